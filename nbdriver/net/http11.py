"""The server's side of an HTTP/1.1 connection.

A request is read from the buffer by `wire.exchange`, answered by the application, and the
connection is kept for the next. One function refuses, one sends, one ends. A task exists only while
a handler runs; all waiting for time is one deadline, whose meaning is the state's.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from functools import lru_cache

from ..errors import ConnectionLost, HTTPError, WebSocketClosed
from ..logs import escape, mask_secrets, name_peer
from ..model import Identity, Request, Response, read_address, refusal
from ..wire import extensions, handshake, origin, proxy
from ..wire.deflate import PerMessageDeflate
from ..wire.exchange import Exchange
from ..wire.head import Head
from ..wire.session import Session
from .context import Context
from .stream import Stream
from .websocket import WebSocketConnection

__all__ = ["HTTPConnection"]

logger = logging.getLogger(__name__)
access_logger = logging.getLogger(f"{__name__}.access")

#: Elements (heads, pieces of a body) that a connection reads before others have their turn.
_SHARE = 64
#: Bytes that a body must bring within `body_timeout` not to count as stalled.
_BODY_PROGRESS = 1_024
# In English, whatever the locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: What is no failure of a handler: a refusal, and a cancellation, of which `Tasks` tells the log.
_NO_FAILURE = (HTTPError, asyncio.CancelledError)


class _State(enum.Enum):
    HEAD = enum.auto()
    """A request is expected, or has begun."""
    BODY = enum.auto()
    RESPONDING = enum.auto()
    """A request is with the application; what comes meanwhile waits in the buffer."""
    IDLE = enum.auto()
    """An answer is given, and nothing of another request has come."""
    UPGRADING = enum.auto()
    """A WebSocket is with the application, neither accepted nor refused."""
    DONE = enum.auto()
    """The connection is ended, or is a WebSocket's."""


# Tuples, in which a member is found by its identity: in a set it would be hashed, in Python.
_READING = (_State.HEAD, _State.BODY, _State.IDLE)
_BETWEEN = (_State.HEAD, _State.IDLE)


class HTTPConnection:
    """One connection from its first byte until it ends or becomes a WebSocket."""

    __slots__ = (
        "_agreed",
        "_began",
        "_buffer",
        "_client",
        "_context",
        "_deadline",
        "_eof",
        "_exchange",
        "_identity",
        "_last",
        "_loopback",
        "_opening",
        "_progress",
        "_request",
        "_scheme",
        "_state",
        "_stream",
        "_trusted",
        "_turn",
        "_websocket",
    )

    def __init__(self, stream: Stream, context: Context) -> None:
        self._stream = stream
        self._context = context
        self._client = read_address(stream.info("peername"))
        self._trusted = context.proxies.is_trusted(self._client)
        local = read_address(stream.info("sockname"))
        self._loopback = local is not None and origin.is_loopback(local[0])
        self._scheme = "http" if stream.info("ssl_object") is None else "https"
        self._identity = Identity()
        self._exchange = Exchange(
            context.http.head, context.http.max_body, fast_lane=context.http.fast_lane
        )
        self._buffer = bytearray()
        self._progress = 0
        self._turn: asyncio.Handle | None = None
        self._request: Request | None = None
        self._began: float | None = None
        self._opening: handshake.Opening | None = None
        self._agreed: tuple[PerMessageDeflate, str] | None = None
        self._websocket: WebSocketConnection | None = None
        self._eof = False
        self._last = False
        self._state = _State.HEAD
        self._deadline = context.clock.deadline(self._expire)
        self._deadline.set(context.http.head_timeout)

    def __str__(self) -> str:
        if (request := self._request) is not None:
            return f"{request} from {name_peer(request.client)}"
        return f"a connection from {name_peer(self._client)}"

    # What the stream calls.

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._state in _BETWEEN and not self._buffer and self._take_whole(data):
            return
        self._buffer += data
        if self._turn is None and self._state in _READING:
            self._advance()
        else:
            self._read_on()

    def eof_received(self) -> None:
        """The peer will send no more; what it has sent is still answered, but for a WebSocket."""
        self._eof = True
        if self._websocket is not None:
            self._websocket.eof_received()
        self._read_on()

    def connection_lost(self) -> None:
        """The connection is gone; a handler that runs goes on, its event was accepted."""
        self._leave()
        if self._websocket is not None:
            self._websocket.connection_lost()

    def shut_down(self) -> None:
        """The server is stopping: end now if nothing has begun, else with the next answer."""
        self._last = True
        if self._state in (_State.HEAD, _State.IDLE) and not self._buffer:
            self._end(linger=False)
        elif self._state in (_State.HEAD, _State.BODY):
            left = self._deadline.when - self._context.clock.time()
            self._deadline.set(min(left, self._context.http.stop_timeout))

    # Reading.

    def _take_whole(self, data: bytes) -> bool:
        """Read a plain request that came in one piece, as nearly all do; gives whether it is one.

        It does what `_advance` does with any request, without the buffer.
        """
        whole = self._exchange.read_whole(data)
        if whole is None:
            return False
        request = self._request = self._make_request(*whole)
        if self._trusted or not self._exchange.repeated:
            try:
                self._check_provenance(request)
            except HTTPError as error:
                self.refuse(error)
                return True
        self._complete(request)
        return True

    def _advance(self) -> None:
        """Read what is there: one request at most, and no more than a share of a long one."""
        self._turn = None
        try:
            for _ in range(_SHARE):
                if not self._step():
                    break
            else:
                self._wait_for_turn()
        except HTTPError as error:
            self.refuse(error)
        self._read_on()

    def _wait_for_turn(self) -> None:
        """Read on later: others come first, and no request is answered inside another."""
        self._turn = asyncio.get_running_loop().call_soon(self._advance)

    def _read_on(self) -> None:
        """Wait for more, or end where no more will come; keep no more than may be read ahead."""
        if self._turn is None and self._state in _READING:
            if self._eof:
                self._end()
            else:
                self._stream.resume_reading()
        elif len(self._buffer) > self._context.http.read_ahead:
            self._stream.pause_reading()

    def _step(self) -> bool:
        """Read one element; gives whether more of the same request is to be read."""
        if self._state is _State.BODY:
            return self._read_body()
        return self._read_head()

    def _read_head(self) -> bool:
        head = self._exchange.read_head(self._buffer)
        if head is None:
            if self._state is _State.IDLE and self._buffer:
                self._state = _State.HEAD
                self._deadline.set(self._context.http.head_timeout)
            return False
        request = self._request = self._make_request(head)
        self._check_provenance(request)
        if handshake.wants_websocket(request.headers):
            self._begin_upgrade(request)
        elif head.content_length == 0:
            self._complete(request)
        else:
            self._begin_body(head.content_length)
            return True
        return False

    def _make_request(self, head: Head, body: bytes = b"") -> Request:
        return Request(
            head.method,
            head.target,
            head.headers,
            body,
            head.http_version,
            self._scheme,
            self._client,
            self._identity,
        )

    def _check_provenance(self, request: Request) -> None:
        """See who sent the request, and whether a web page may have. Raises HTTPError."""
        hosts = request.headers.get_all("host")
        if self._trusted:
            proxy.believe(request, self._context.proxies)
            hosts += request.headers.get_all("host")
        try:
            origin.check(request.headers, hosts, self._context.origin, loopback=self._loopback)
        except HTTPError as error:
            # A page is not shown why its WebSocket failed; whoever runs the bot has to learn it.
            logger.warning("%s: %s", self, error.reason)
            raise

    def _begin_body(self, length: int | None) -> None:
        self._exchange.begin_body(length)
        self._state = _State.BODY
        self._await_body()
        # A client that has begun to send the body waits for nothing (RFC 9110, 10.1.1).
        if self._exchange.continue_is_awaited and not self._buffer:
            self._write(self._exchange.inform(100, "Continue", []))

    def _read_body(self) -> bool:
        assert self._request is not None
        size = self._exchange.read_body(self._buffer)
        if not size:
            return False
        self._progress += size
        if self._progress >= _BODY_PROGRESS:
            self._await_body()
        body = self._exchange.take_body()
        if body is None:
            return True
        self._request.body = body
        self._complete(self._request)
        return False

    def _await_body(self) -> None:
        """Give more of the body its time; at the stop it is one time for all of it."""
        self._progress = 0
        if not self._last:
            self._deadline.set(self._context.http.body_timeout)

    # Answering.

    def _complete(self, request: Request) -> None:
        """A request is all there: give it to the application."""
        self._hand_over(_State.RESPONDING)
        self._context.tasks.start(self._respond(request), request)

    def _hand_over(self, state: _State) -> None:
        """From now on it is the application that takes its time."""
        self._state = state
        if self._context.http.access_log:
            self._began = self._context.clock.time()

    async def _respond(self, request: Request) -> None:
        try:
            self._send(await self._context.application.handle_http(request))
        except GeneratorExit:
            # Thrown away with its event loop: nothing can be done any more.
            raise
        except BaseException as error:
            # Whatever it is, a cancellation at a forced stop too: no client must wait for ever.
            self.refuse(error)
            await _raise_on(error)
            return
        if self._stream.full:
            try:
                await self._stream.drain()
            except asyncio.CancelledError:
                self._end()
                raise
            except ConnectionLost:
                return
        self._next()

    def _next(self) -> None:
        """The answer is sent: keep the connection for the next request, or end it."""
        if self._state is not _State.RESPONDING:
            # Lost meanwhile.
            return
        if self._last or not self._exchange.start_next():
            self._end()
            return
        self._request = self._began = None
        self._state = _State.IDLE
        self._deadline.set(self._context.http.idle_timeout)
        if self._buffer:
            self._wait_for_turn()
        self._read_on()

    def refuse(self, error: BaseException) -> None:
        """Answer what went wrong and end the connection: the one place where requests are refused.

        What nobody meant to happen is logged with its traceback.
        """
        if not isinstance(error, _NO_FAILURE):
            logger.error("%s: the handler failed", self, exc_info=error)
        if self._state is _State.DONE:
            return
        answer = refusal(error)
        told = mask_secrets(answer.body.decode().rstrip())
        logger.debug("%s: refused, %d: %s", self, answer.status_code, told)
        self._last = True
        self._send(answer)
        self._end()

    def _send(self, response: object) -> None:
        """Send an answer in one piece: the one place where answers are written."""
        if not isinstance(response, Response):
            raise TypeError(f"expected a Response from the handler, got {response!r:.100}")
        settings = self._context.http
        self._write(
            self._exchange.answer(
                response,
                date=_date(int(time.time())),
                server=settings.server_header,
                close=self._last,
                to_head=self._request is not None and self._request.method == "HEAD",
            )
        )
        if settings.access_log:
            self._log_access(response.status_code)

    def _write(self, data: bytes) -> None:
        """Send `data`, if somebody is there still: the one place where bytes are written."""
        try:
            self._stream.write(data)
        except ConnectionLost:
            pass

    def _log_access(self, status_code: int) -> None:
        if not access_logger.isEnabledFor(logging.INFO):
            return
        line, took = "-", ""
        if (request := self._request) is not None:
            target = escape(mask_secrets(request.target))
            line = f"{request.method} {target} HTTP/{request.http_version}"
        if self._began is not None:
            took = f" {(self._context.clock.time() - self._began) * 1000:.1f} ms"
        client = self._client if request is None else request.client
        access_logger.info('%s "%s" %d%s', name_peer(client), line, status_code, took)

    # Upgrading to WebSocket.

    def _begin_upgrade(self, request: Request) -> None:
        """Give a WebSocket that wants to be accepted to the application."""
        self._opening = handshake.check(request)
        if self._context.deflate is not None:
            self._agreed = extensions.negotiate(self._opening.extensions, self._context.deflate)
        self._hand_over(_State.UPGRADING)
        websocket = self._websocket = WebSocketConnection(
            self._stream, request, self._context.clock, self._context.websocket, upgrade=self
        )
        self._context.tasks.start(self._serve_websocket(websocket), websocket)

    async def _serve_websocket(self, websocket: WebSocketConnection) -> None:
        try:
            await self._context.application.handle_websocket(websocket)
        except WebSocketClosed:
            pass
        except GeneratorExit:
            raise
        except BaseException as error:
            await self._fail(websocket, error)
            await _raise_on(error)
        # A connection that delivers to a listener lives on; any other ends with its handler.
        if not websocket.delivers:
            await websocket.close()

    async def _fail(self, websocket: WebSocketConnection, error: BaseException) -> None:
        """The handler of a WebSocket failed: refuse the connection, or close it."""
        if not websocket.accepted:
            self.refuse(error)
            return
        if not isinstance(error, _NO_FAILURE):
            logger.error("%s: the handler failed", websocket, exc_info=error)
        elif isinstance(error, HTTPError) and not websocket.closed:
            logger.error("%s: accepted, so not refused with %s", websocket, escape(str(error)))
        await websocket.close(1011)

    def accept(
        self, websocket: WebSocketConnection, subprotocol: str | None
    ) -> tuple[Session, bytes]:
        """Switch protocols (RFC 6455, 4.2.2); see `websocket.Upgrade`."""
        if self._opening is None:
            raise ConnectionLost("expected a request that waits to be accepted, it was answered")
        extension, answer = self._agreed or (None, None)
        headers = handshake.accept_headers(self._opening, subprotocol, answer)
        self._stream.write(self._exchange.inform(101, "Switching Protocols", headers))
        if self._context.http.access_log:
            self._log_access(101)
        ahead = bytes(self._buffer)
        self._websocket = None
        self._leave()
        self._stream.push(websocket)
        self._context.connections[self._stream] = websocket
        limits = self._context.websocket
        session = Session(limits.frames, extension=extension, fast_lane=limits.fast_lane)
        return session, ahead

    # Ending.

    def _expire(self) -> None:
        """The deadline is over; the application's time is its own."""
        limits = self._context.http
        if self._state in (_State.RESPONDING, _State.UPGRADING):
            return
        if self._state is _State.IDLE:
            self._end(linger=False)
        elif self._last:
            self.refuse(HTTPError(503, "the server is stopping, and the request was not complete"))
        elif self._state is _State.BODY:
            self.refuse(
                HTTPError(408, f"expected more of the body within {limits.body_timeout:g} s")
            )
        else:
            self.refuse(HTTPError(408, f"expected a request within {limits.head_timeout:g} s"))

    def _end(self, *, linger: bool = True) -> None:
        """The one place where an HTTP connection is closed."""
        self._leave()
        self._stream.close(linger=linger)

    def _leave(self) -> None:
        """Read and wait for nothing any more."""
        self._state = _State.DONE
        self._deadline.cancel()
        self._buffer.clear()
        self._exchange.forget()
        self._opening = None
        if self._turn is not None:
            self._turn.cancel()


async def _raise_on(error: BaseException) -> None:
    """Raise what a handler raised and is not meant for us: a cancellation, the end of the program.

    The latter in a turn of its own: a task that was started eagerly would raise it in whatever has
    brought the bytes.
    """
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        await asyncio.sleep(0)
        raise error
    if isinstance(error, asyncio.CancelledError):
        raise error


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """The Date header of that second (RFC 9110, 5.6.7 and 6.6.1).

    By hand: `email.utils` is a twentieth of the time in which all of this is imported.
    """
    moment = time.gmtime(second)
    day, month = _DAYS[moment.tm_wday], _MONTHS[moment.tm_mon - 1]
    return time.strftime(f"{day}, %d {month} %Y %H:%M:%S GMT", moment)
