"""The server's side of an HTTP/1.1 connection, over h11.

A request is cut from the buffer and checked by `wire.head` and `wire.body`, read by h11, answered by
the application, and the connection is kept for the next. One function refuses, one sends, one ends.
A task exists only while a handler runs; all waiting for time is one deadline, whose meaning is the
state's.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import Protocol

import h11

from ..abc import Application
from ..errors import ConnectionLost, HTTPError, WebSocketClosed
from ..logs import escape, mask_secrets
from ..model import Address, Headers, Request, Response, refusal
from ..wire import deflate, handshake, head
from ..wire.body import BodyCutter, ChunkedCutter, LengthCutter
from ..wire.session import Session
from .clock import Clock
from .stream import Receiver, Stream
from .tasks import Tasks
from .websocket import WebSocketConnection, WebSocketLimits

__all__ = ["Connection", "Context", "HTTPConnection", "HTTPLimits"]

logger = logging.getLogger(__name__)
access_logger = logging.getLogger(f"{__name__}.access")

#: Requests of one connection that are answered in one go, before other connections have their turn.
_BURST = 16
#: Bytes that a body must bring within `body_timeout` not to count as stalled.
_BODY_PROGRESS = 1_024
#: What the server alone decides, whatever an application says.
_FRAMING = frozenset(["connection", "content-length", "date", "transfer-encoding"])


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPLimits:
    """Limits and times of a connection (bytes, seconds)."""

    head: head.HeadLimits = head.HeadLimits()
    max_body: int = 16 * 2**20
    read_ahead: int = 65_536
    """Bytes of further requests that are read while one is being answered."""
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    server_header: str | None = None
    access_log: bool = True


class Connection(Receiver, Protocol):
    """What the server knows of a connection, whichever protocol it speaks at the moment."""

    def shut_down(self) -> None:
        """Begin to end: what has begun is finished, nothing new is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all connections of a server share."""

    application: Application
    clock: Clock
    tasks: Tasks
    http: HTTPLimits = HTTPLimits()
    websocket: WebSocketLimits = WebSocketLimits()
    deflate: deflate.DeflateSettings | None = None
    connections: dict[Stream, Connection] = field(default_factory=dict)


class _State(enum.Enum):
    IDLE = enum.auto()
    """Nothing of the next request has come."""
    HEAD = enum.auto()
    BODY = enum.auto()
    RESPONDING = enum.auto()
    """A request is with the application; what comes meanwhile waits in the buffer."""
    UPGRADING = enum.auto()
    """A WebSocket is with the application, neither accepted nor refused."""
    DONE = enum.auto()
    """The connection is ended, or is a WebSocket's."""


_READING = frozenset([_State.IDLE, _State.HEAD, _State.BODY])


class HTTPConnection:
    """One connection from its first byte until it ends or becomes a WebSocket."""

    __slots__ = (
        "_advancing",
        "_began",
        "_body",
        "_body_cutter",
        "_buffer",
        "_client",
        "_context",
        "_deadline",
        "_eof",
        "_h11",
        "_head_cutter",
        "_last",
        "_opening",
        "_progress",
        "_request",
        "_state",
        "_stream",
        "_websocket",
    )

    def __init__(self, stream: Stream, context: Context) -> None:
        self._stream = stream
        self._context = context
        self._h11 = h11.Connection(h11.SERVER)
        self._head_cutter = head.HeadCutter(context.http.head)
        self._body_cutter: BodyCutter | None = None
        self._buffer = bytearray()
        self._body: list[bytes] = []
        self._progress = 0
        self._request: Request | None = None
        self._began = 0.0
        self._opening: handshake.Opening | None = None
        self._websocket: WebSocketConnection | None = None
        self._client = _address(stream.info("peername"))
        self._advancing = False
        self._eof = False
        self._last = False
        self._state = _State.IDLE
        self._deadline = context.clock.deadline(self._expire)
        self._deadline.set(context.http.head_timeout)

    # What the stream calls.

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._buffer += data
        if self._state in _READING:
            self._advance()
        elif len(self._buffer) > self._context.http.read_ahead:
            self._stream.pause_reading()

    def eof_received(self) -> None:
        """The peer will send no more; what it has sent is still answered, but for a WebSocket."""
        self._eof = True
        if self._websocket is not None:
            self._websocket.eof_received()
        self._end_at_eof()

    def connection_lost(self) -> None:
        """The connection is gone; a handler that runs goes on, its event was accepted."""
        self._state = _State.DONE
        self._deadline.cancel()
        if self._websocket is not None:
            self._websocket.connection_lost()

    def shut_down(self) -> None:
        """The server is stopping: end now if nothing has begun, else with the next answer."""
        self._last = True
        if self._state is _State.IDLE:
            self._end(linger=False)

    # Reading.

    def _advance(self) -> None:
        """Read what is there, request by request."""
        if self._advancing:
            return
        self._advancing = True
        try:
            for _ in range(_BURST):
                while self._state in _READING and self._step():
                    pass
                if self._state is not _State.IDLE or not self._buffer:
                    break
            else:
                asyncio.get_running_loop().call_soon(self._advance)
        except HTTPError as error:
            self._refuse(error)
        finally:
            self._advancing = False
        self._end_at_eof()

    def _step(self) -> bool:
        """Read one element; gives whether there may be another of the same request."""
        if self._state is _State.BODY:
            return self._read_body()
        return self._read_head()

    def _read_head(self) -> bool:
        if self._state is _State.IDLE and self._buffer:
            self._state = _State.HEAD
            # The first request's time runs from the connection's start.
            if self._request is not None:
                self._deadline.set(self._context.http.head_timeout)
        raw = self._head_cutter.cut(self._buffer)
        if raw is None:
            return False
        verdict = head.check(raw, self._context.http.head)
        complete = any(isinstance(event, h11.EndOfMessage) for event in self._read(raw))
        self._request = Request(
            verdict.method,
            verdict.target,
            Headers.from_bytes(verdict.fields),
            http_version=verdict.http_version,
            client=self._client,
        )
        if handshake.wants_websocket(self._request.headers):
            self._begin_upgrade(self._request)
        elif complete:
            self._complete(self._request)
        else:
            self._begin_body(verdict)
        return True

    def _begin_body(self, verdict: head.Head) -> None:
        limit = self._context.http.max_body
        self._body_cutter = (
            ChunkedCutter(limit)
            if verdict.content_length is None
            else LengthCutter(verdict.content_length, limit)
        )
        self._state = _State.BODY
        self._progress = 0
        self._deadline.set(self._context.http.body_timeout)
        # A client that has begun to send the body waits for nothing (RFC 9110, 10.1.1).
        if verdict.expect_continue and not self._buffer:
            self._stream.write(
                self._h11.send(h11.InformationalResponse(status_code=100, headers=[]))
            )

    def _read_body(self) -> bool:
        assert self._body_cutter is not None
        assert self._request is not None
        element = self._body_cutter.cut(self._buffer)
        if element is None:
            return False
        self._progress += len(element)
        for event in self._read(element):
            if isinstance(event, h11.Data):
                self._body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._request.body = b"".join(self._body)
                self._body.clear()
                self._complete(self._request)
        return True

    def _read(self, element: bytes) -> list[h11.Event]:
        """Let h11 read one checked element; what it does not like is a refusal of ours."""
        events = []
        self._h11.receive_data(element)
        try:
            while not isinstance(event := self._h11.next_event(), type):
                events.append(event)
        except h11.RemoteProtocolError as error:
            raise HTTPError(error.error_status_hint, str(error)) from error
        return events

    # Answering.

    def _complete(self, request: Request) -> None:
        """A request is all there: give it to the application."""
        self._state = _State.RESPONDING
        self._deadline.set(None)
        self._began = self._context.clock.time()
        self._context.tasks.start(self._respond(request), request)

    async def _respond(self, request: Request) -> None:
        try:
            response = await self._context.application.handle_http(request)
        except Exception as error:
            self._refuse(error)
            return
        self._send(response)
        try:
            await self._stream.drain()
        except ConnectionLost:
            return
        self._next()

    def _next(self) -> None:
        """The answer is sent: keep the connection for the next request, or end it."""
        if self._h11.our_state is h11.MUST_CLOSE:
            self._end()
            return
        self._h11.start_next_cycle()
        self._state = _State.IDLE
        self._deadline.set(self._context.http.idle_timeout)
        self._stream.resume_reading()
        self._advance()

    def _refuse(self, error: Exception) -> None:
        """Answer what went wrong and end the connection: the one place where a request is refused."""
        if self._state is _State.DONE:
            return
        if isinstance(error, HTTPError):
            logger.debug("%s: refused, %s", self._request or "request", error)
        else:
            logger.error("%s: the handler failed", self._request, exc_info=error)
        self._last = True
        self._send(refusal(error))
        self._end()

    def _send(self, response: Response) -> None:
        """Write an answer in one piece: the one place where answers are written."""
        headers = [("Date", _date(int(time.time())))]
        if self._context.http.server_header is not None:
            headers.append(("Server", self._context.http.server_header))
        headers += [item for item in response.headers if item[0].lower() not in _FRAMING]
        # RFC 9110, 8.6: a 204 has no length; a 304 would have that of another answer.
        if response.status_code not in (204, 304):
            headers.append(("Content-Length", str(len(response.body))))
        if self._last:
            headers.append(("Connection", "close"))
        event = h11.Response(
            status_code=response.status_code,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers],
            reason=response.reason.encode(),
        )
        data = self._h11.send(event)
        has_body = response.status_code not in (204, 304) and (
            self._request is None or self._request.method != "HEAD"
        )
        if has_body and response.body:
            data += self._h11.send(h11.Data(data=response.body))
        data += self._h11.send(h11.EndOfMessage())
        if self._stream.open:
            self._stream.write(data)
        if self._context.http.access_log:
            self._log_access(response)

    def _log_access(self, response: Response) -> None:
        client = f"{self._client[0]}:{self._client[1]}" if self._client else "-"
        request = self._request
        what = (
            f"{request.method} {escape(mask_secrets(request.target))} HTTP/{request.http_version}"
            if request
            else "-"
        )
        milliseconds = (self._context.clock.time() - self._began) * 1000 if self._began else 0
        access_logger.info('%s "%s" %d %.1f ms', client, what, response.status_code, milliseconds)

    # Upgrading to WebSocket.

    def _begin_upgrade(self, request: Request) -> None:
        """Give a WebSocket that wants to be accepted to the application."""
        self._opening = handshake.check(request)
        self._state = _State.UPGRADING
        self._deadline.set(None)
        websocket = self._websocket = WebSocketConnection(
            self._stream, request, self._context.clock, self._context.websocket, upgrade=self
        )
        self._context.tasks.start(self._serve_websocket(websocket), websocket)

    async def _serve_websocket(self, websocket: WebSocketConnection) -> None:
        try:
            await self._context.application.handle_websocket(websocket)
        except WebSocketClosed:
            pass
        except Exception as error:
            if not websocket.accepted:
                self._refuse(error)
                return
            if not isinstance(error, HTTPError):
                logger.error("%s: the handler failed", websocket, exc_info=error)
            await websocket.close(1011)
        # A connection that delivers to a listener lives on; any other ends with its handler.
        if not websocket.delivers:
            await websocket.close()

    def accept(
        self, websocket: WebSocketConnection, subprotocol: str | None
    ) -> tuple[Session, bytes]:
        """Switch protocols (RFC 6455, 4.2.2); see `websocket.Upgrade`."""
        assert self._opening is not None
        extension = negotiated = None
        if self._context.deflate is not None:
            negotiated = deflate.negotiate(self._opening.extensions, self._context.deflate)
        if negotiated is not None:
            extension = negotiated[0]
        headers = handshake.accept_headers(self._opening, subprotocol, negotiated and negotiated[1])
        event = h11.InformationalResponse(
            status_code=101,
            headers=[(name.encode(), value.encode()) for name, value in headers],
            reason=b"Switching Protocols",
        )
        self._stream.write(self._h11.send(event))
        self._state = _State.DONE
        self._deadline.cancel()
        self._websocket = None
        self._stream.push(websocket)
        self._stream.resume_reading()
        self._context.connections[self._stream] = websocket
        session = Session(self._context.websocket.frames, extension=extension)
        return session, bytes(self._buffer)

    def refuse(self, error: HTTPError) -> None:
        """Refuse the upgrade; see `websocket.Upgrade`."""
        self._refuse(error)

    # Ending.

    def _expire(self) -> None:
        """The deadline is over."""
        limits = self._context.http
        if self._state is _State.BODY and self._progress >= _BODY_PROGRESS:
            self._progress = 0
            self._deadline.set(limits.body_timeout)
        elif self._state is _State.BODY:
            self._refuse(
                HTTPError(408, f"expected the body to go on within {limits.body_timeout} s")
            )
        elif self._state is _State.IDLE and self._request is not None:
            self._end(linger=False)
        else:
            self._refuse(HTTPError(408, f"expected a request within {limits.head_timeout} s"))

    def _end_at_eof(self) -> None:
        if self._eof and self._state in _READING:
            self._end()

    def _end(self, *, linger: bool = True) -> None:
        """The one place where an HTTP connection is closed."""
        self._state = _State.DONE
        self._deadline.cancel()
        self._buffer.clear()
        self._stream.close(linger=linger)


def _address(peer: object) -> Address | None:
    """The host and port of a peer; a Unix socket has none."""
    return (peer[0], peer[1]) if isinstance(peer, tuple) else None


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """The Date header of that second (RFC 9110, 6.6.1)."""
    return formatdate(second, usegmt=True)
