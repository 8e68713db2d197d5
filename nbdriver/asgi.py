"""The application as an ASGI 3 application, for whoever has an ASGI server already.

The waist is the same as under our own server, so that adapters and bots cannot tell the two apart.
What an ASGI server does for itself (parsing, keep-alive, pings) is its business here.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import re
import string
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar
from urllib.parse import quote

from . import abc
from .config import ServerConfig
from .errors import ConnectionLost, HTTPError, StartupError, WebSocketClosed
from .inbox import Inbox
from .logs import escape
from .model import Headers, Request, Response, refusal
from .wire.closing import ABNORMAL_CLOSURE, INTERNAL_ERROR, NO_STATUS, check_code, clip_reason

__all__ = ["ASGIApplication", "ASGIWebSocketConnection"]

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

#: What stands in a path or a query as it is; of anything else, who knows what a log makes of it.
_IN_PATH = string.punctuation.replace("?", "").replace("#", "")
_IN_QUERY = f"{_IN_PATH}?"
_LENGTH = re.compile(r"[0-9]{1,19}")
_SCHEMES = {"ws": "http", "wss": "https"}
#: What the server alone decides, whatever an application says.
_OURS = frozenset(["connection", "content-length", "date", "server", "transfer-encoding"])


class ASGIApplication:
    """Calls an `Application` as an ASGI server asks: scopes "http", "websocket" and "lifespan"."""

    def __init__(self, application: abc.Application, config: ServerConfig) -> None:
        self._application = application
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope (ASGI 3). Raises ValueError for one of another type."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await self._websocket(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case other:
                raise ValueError(f"expected a scope http, websocket or lifespan, got {other!r}")

    # The lifespan.

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        phase = "startup"
        try:
            async with self._application.lifespan():
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()
                await self._drain()
        except Exception as error:
            # A server takes an exception from here for "there is no lifespan", and would go on.
            if not isinstance(error, StartupError):
                logger.exception("the %s failed", phase)
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _drain(self) -> None:
        timeout = self._config.shutdown_timeout
        try:
            async with asyncio.timeout(timeout):
                await self._application.drain()
        except TimeoutError:
            logger.warning("not everything had ended within %g s", timeout)

    # HTTP.

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope)
        try:
            request.body = await self._read_body(request, receive)
            response = await self._answer(request)
        except HTTPError as error:
            response = _refusal(request, error)
        except ConnectionLost as error:
            logger.debug("%s: %s", request, error)
            return
        try:
            await send(_head(response, "http.response.start"))
            await send({"type": "http.response.body", "body": response.body})
        except OSError as error:
            logger.debug("%s: the client left before it was answered, %s", request, error)

    async def _read_body(self, request: Request, receive: Receive) -> bytes:
        """The whole body. Raises HTTPError for one that is too large, ConnectionLost."""
        limit = self._config.max_body
        announced = request.headers.get("content-length") or ""
        size = int(announced) if _LENGTH.fullmatch(announced) else 0
        body = bytearray()
        more = True
        while more and size <= limit:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise ConnectionLost("the client left before its request ended")
            body += event.get("body", b"")
            size = len(body)
            more = event.get("more_body", False)
        if size > limit:
            raise HTTPError(413, f"expected a body of at most {limit} bytes")
        return bytes(body)

    async def _answer(self, request: Request) -> Response:
        try:
            response: object = await self._application.handle_http(request)
            if not isinstance(response, Response):
                raise TypeError(f"expected a Response from the handler, got {response!r:.100}")
        except Exception as error:
            return _refusal(request, error)
        return response

    # WebSocket.

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        websocket = ASGIWebSocketConnection(scope, receive, send)
        try:
            await self._handle(websocket)
            # One that delivers to a listener lives on; any other ends with its handler.
            await websocket.delivered()
            await websocket.close()
        finally:
            await websocket.release()

    async def _handle(self, websocket: ASGIWebSocketConnection) -> None:
        try:
            await self._application.handle_websocket(websocket)
        except WebSocketClosed:
            pass
        except Exception as error:
            await websocket.fail(error)


def _refusal(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPError):
        logger.debug("%s: refused, %s", request, escape(str(error)))
    else:
        logger.error("%s: the handler failed", request, exc_info=error)
    return refusal(error)


def _request(scope: Scope) -> Request:
    """The request that a scope tells of, its path as it is below the place where we are mounted."""
    raw = scope.get("raw_path")
    target = quote(raw, safe=_IN_PATH) if raw else quote(scope["path"])
    root = quote(scope.get("root_path", "").rstrip("/"))
    if root and (target == root or target.startswith(f"{root}/")):
        target = target.removeprefix(root) or "/"
    if query := scope.get("query_string"):
        target = f"{target}?{quote(query, safe=_IN_QUERY)}"
    client = scope.get("client")
    scheme: str = scope.get("scheme", "http")
    return Request(
        scope.get("method", "GET"),
        target,
        Headers.from_bytes(scope["headers"]),
        http_version=scope.get("http_version", "1.1"),
        scheme=_SCHEMES.get(scheme, scheme),
        client=(client[0], client[1]) if client else None,
    )


def _head(response: Response, kind: str) -> Event:
    headers = [
        (name.lower().encode(), value.encode("latin-1"))
        for name, value in response.headers
        if name.lower() not in _OURS
    ]
    # RFC 9110, 8.6: what has no body has no length.
    if response.status_code not in (204, 304):
        headers.append((b"content-length", str(len(response.body)).encode()))
    return {"type": kind, "status": response.status_code, "headers": headers}


class _State(enum.Enum):
    CONNECTING = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class ASGIWebSocketConnection(abc.WebSocketConnection):
    """The message level over ASGI's events; the server pings and closes in its own way.

    The server's events are read by one task. Where a task receives, it is one message ahead: enough
    to notice the client's end while nobody receives, and little enough to keep the flow control.
    """

    can_ping: ClassVar[bool] = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request = _request(scope)
        self._subprotocols = scope.get("subprotocols") or ()
        self._extensions = scope.get("extensions") or {}
        self._receive_event = receive
        self._send_event = send
        self._inbox = Inbox()
        self._reader: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._code, self._reason = ABNORMAL_CLOSURE, ""
        self._state = _State.CONNECTING

    def __str__(self) -> str:
        return f"WebSocket {escape(self.request.path)}"

    # Opening.

    async def accept(self, subprotocol: str | None = None) -> None:
        """See `abc.WebSocketConnection.accept`."""
        if self._state is not _State.CONNECTING:
            raise RuntimeError("expected a connection that was neither accepted nor closed before")
        if subprotocol is not None and subprotocol not in self._subprotocols:
            offered = ", ".join(self._subprotocols) or "none"
            raise ValueError(
                f"expected a subprotocol that the client offers ({offered}), got {subprotocol!r}"
            )
        self._state = _State.OPEN
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})
        self._read_on()

    # Reading.

    def _read_on(self) -> None:
        """See to it that events are read, if another is wanted."""
        if self._wanted and (self._reader is None or self._reader.done()):
            self._reader = asyncio.get_running_loop().create_task(self._read())

    @property
    def _wanted(self) -> bool:
        if self._state is not _State.OPEN:
            return False
        return not self._inbox.paused if self._inbox.listening else not self._inbox

    async def _read(self) -> None:
        try:
            while self._wanted:
                self._take(await self._receive_event())
        except Exception:
            logger.exception("%s: what came could not be taken", self)
            self._end(ABNORMAL_CLOSURE, "the connection was lost")

    def _take(self, event: Event) -> None:
        if self._state is _State.CLOSED:
            return
        if event["type"] == "websocket.disconnect":
            self._end(event.get("code") or NO_STATUS, event.get("reason") or "")
        else:
            text: str | None = event.get("text")
            self._inbox.put(bytes(event["bytes"]) if text is None else text)

    async def receive(self) -> str | bytes:
        """See `abc.WebSocketConnection.receive`. Raises RuntimeError if another task receives."""
        if self._state is _State.CONNECTING:
            raise RuntimeError("expected a connection that was accepted")
        message = await self._inbox.take()
        self._read_on()
        return message

    def deliver_to(self, listener: abc.WebSocketListener) -> None:
        """See `abc.WebSocketConnection.deliver_to`. Raises RuntimeError if a task receives."""
        self._inbox.deliver_to(listener)
        self.resume_reading()

    def pause_reading(self) -> None:
        """See `abc.WebSocketConnection.pause_reading`."""
        self._inbox.paused = True

    def resume_reading(self) -> None:
        """See `abc.WebSocketConnection.resume_reading`."""
        self._inbox.paused = False
        self._inbox.flush()
        self._read_on()

    async def delivered(self) -> None:
        """Wait until the connection is gone, if it is a listener's."""
        if self._state is _State.OPEN and self._inbox.listening:
            await self._gone.wait()

    # Writing.

    async def send(self, message: str | bytes) -> None:
        """See `abc.WebSocketConnection.send`."""
        if not isinstance(message, str | bytes):
            raise TypeError(f"expected str or bytes to send, got {type(message).__name__}")
        if self._state is _State.CONNECTING:
            raise RuntimeError("expected a connection that was accepted")
        if isinstance(message, str):
            message.encode()  # a lone surrogate is refused here, whatever the server does with it
            await self._send({"type": "websocket.send", "text": message})
        else:
            await self._send({"type": "websocket.send", "bytes": message})

    async def _send(self, event: Event) -> None:
        """The one place where a connection that is open sends. Raises WebSocketClosed."""
        if self._state is _State.OPEN:
            try:
                await self._send_event(event)
                return
            except OSError as error:
                logger.debug("%s: %s", self, error)
                self._end(ABNORMAL_CLOSURE, "the connection was lost")
        raise WebSocketClosed(self._code, self._reason)

    async def ping(self) -> None:
        """Not to be had over ASGI: raises RuntimeError, as `can_ping` says."""
        raise RuntimeError("expected a connection that can be pinged, ASGI has no pings")

    # Ending.

    @property
    def closed(self) -> bool:
        """See `abc.WebSocketConnection.closed`."""
        return self._inbox.exhausted

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `abc.WebSocketConnection.close`; an ASGI server does not tell of the peer's Close."""
        check_code(code)
        reason = clip_reason(reason)
        if self._state is _State.CONNECTING:
            error = HTTPError(403, reason or "the connection was not accepted")
            await self._refuse(refusal(error))
        elif self._state is _State.OPEN:
            self._end(code, reason)
            await self._send_last({"type": "websocket.close", "code": code, "reason": reason})

    async def fail(self, error: Exception) -> None:
        """The handler failed: refuse the connection, or close it with 1011 if it was accepted."""
        if self._state is _State.CONNECTING:
            await self._refuse(_refusal(self.request, error))
            return
        # To refuse a client that has left meanwhile is nobody's mistake.
        if not (self.closed and isinstance(error, HTTPError)):
            logger.error("%s: the handler failed", self, exc_info=error)
        await self.close(INTERNAL_ERROR)

    async def _refuse(self, response: Response) -> None:
        self._end(ABNORMAL_CLOSURE, "refused")
        if "websocket.http.response" in self._extensions:
            await self._send_last(
                _head(response, "websocket.http.response.start"),
                {"type": "websocket.http.response.body", "body": response.body},
            )
        else:
            await self._send_last({"type": "websocket.close"})

    async def _send_last(self, *events: Event) -> None:
        try:
            for event in events:
                await self._send_event(event)
        except OSError as error:
            logger.debug("%s: gone before it was closed, %s", self, error)

    def abort(self) -> None:
        """See `abc.WebSocketConnection.abort`; the server cuts it off once the handler returns."""
        self._end(ABNORMAL_CLOSURE, "aborted")

    async def release(self) -> None:
        """The server's call ends: nothing more is read, and whoever waits is told."""
        self._end(ABNORMAL_CLOSURE, "the server ended the connection")
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    def _end(self, code: int, reason: str) -> None:
        """Let everybody know; no await, so that no cancellation can tear it."""
        if self._state is not _State.CLOSED:
            self._state = _State.CLOSED
            self._code, self._reason = code, reason
            self._gone.set()
            self._inbox.end(code, reason)
