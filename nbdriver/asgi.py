"""The application as an ASGI 3 application, for whoever has an ASGI server already.

The waist is the same as under our own server, so that adapters and bots cannot tell the two apart.
What an ASGI server does for itself (parsing, keep-alive, pings) is its business here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar

from . import abc
from .config import ServerConfig
from .errors import HTTPError, StartupError, WebSocketClosed
from .model import Headers, Request, Response, refusal
from .wire.closing import check_code as check_close_code

__all__ = ["ASGIApplication", "ASGIWebSocketConnection"]

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

NO_STATUS = 1005
ABNORMAL_CLOSURE = 1006


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

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._application.lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await self._application.drain()
        except StartupError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope)
        try:
            request.body = await self._read_body(receive)
            response = await self._application.handle_http(request)
        except WebSocketClosed:
            return
        except Exception as error:
            response = _refusal(request, error)
        await _respond(response, send)

    async def _read_body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise WebSocketClosed(ABNORMAL_CLOSURE, "the client left before its request ended")
            parts.append(event.get("body", b""))
            size += len(parts[-1])
            if size > self._config.max_body:
                raise HTTPError(413, f"expected a body of at most {self._config.max_body} bytes")
            if not event.get("more_body", False):
                return b"".join(parts)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = ASGIWebSocketConnection(scope, receive, send)
        await receive()  # websocket.connect
        try:
            await self._application.handle_websocket(websocket)
            if websocket.accepted:
                await websocket.deliver()
        except WebSocketClosed:
            pass
        except Exception as error:
            await websocket.fail(_refusal(websocket.request, error))
        await websocket.close()


def _refusal(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPError):
        logger.error("%s: the handler failed", request, exc_info=error)
    return refusal(error)


def _request(scope: Scope) -> Request:
    """The request that a scope tells of."""
    path = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string", b"")
    target = (path + b"?" + query if query else path).decode("latin-1")
    client = scope.get("client")
    return Request(
        scope.get("method", "GET"),
        target,
        Headers.from_bytes(scope["headers"]),
        http_version=scope.get("http_version", "1.1"),
        scheme=scope.get("scheme", "http"),
        client=(client[0], client[1]) if client else None,
    )


def _head(response: Response, kind: str) -> Event:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers]
    if response.status_code not in (204, 304):
        headers.append((b"content-length", str(len(response.body)).encode()))
    return {"type": kind, "status": response.status_code, "headers": headers}


async def _respond(response: Response, send: Send) -> None:
    await send(_head(response, "http.response.start"))
    await send({"type": "http.response.body", "body": response.body})


class ASGIWebSocketConnection(abc.WebSocketConnection):
    """The message level over ASGI's events; the server pings and closes in its own way."""

    can_ping: ClassVar[bool] = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request = _request(scope)
        self._extensions = scope.get("extensions") or {}
        self._receive = receive
        self._send = send
        self._listener: abc.WebSocketListener | None = None
        self._reading = asyncio.Event()
        self._reading.set()
        self._ended: WebSocketClosed | None = None
        self._delivering: asyncio.Task[Any] | None = None
        self.accepted = False
        """Whether `accept` was called."""

    def __str__(self) -> str:
        return f"WebSocket {self.request.path}"

    @property
    def closed(self) -> bool:
        """See `abc.WebSocketConnection.closed`."""
        return self._ended is not None

    async def accept(self, subprotocol: str | None = None) -> None:
        """See `abc.WebSocketConnection.accept`."""
        if self._ended is not None:
            raise self._ended
        if self.accepted:
            raise RuntimeError("expected to accept a connection once, it was accepted before")
        self.accepted = True
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})

    async def receive(self) -> str | bytes:
        """See `abc.WebSocketConnection.receive`."""
        await self._reading.wait()
        if self._ended is not None:
            raise self._ended
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            error = WebSocketClosed(event.get("code", NO_STATUS), event.get("reason") or "")
            self._end(error)
            raise error
        text: str | None = event.get("text")
        return text if text is not None else bytes(event["bytes"])

    async def send(self, message: str | bytes) -> None:
        """See `abc.WebSocketConnection.send`."""
        if self._ended is not None:
            raise self._ended
        event: Event = {"type": "websocket.send"}
        if isinstance(message, str):
            message.encode()  # a lone surrogate is refused here, whatever the server does with it
            event["text"] = message
        else:
            event["bytes"] = message
        try:
            await self._send(event)
        except OSError as error:
            lost = WebSocketClosed(ABNORMAL_CLOSURE, "the connection was lost")
            self._end(lost)
            raise lost from error

    async def ping(self) -> None:
        """Not to be had over ASGI: raises RuntimeError, as `can_ping` says."""
        raise RuntimeError("expected a connection that can be pinged, ASGI has no pings")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `abc.WebSocketConnection.close`; an ASGI server does not tell of the peer's Close."""
        check_close_code(code)
        if self._ended is not None:
            return
        if not self.accepted:
            await self.fail(refusal(HTTPError(403, reason or "the connection was not accepted")))
            return
        self._end(WebSocketClosed(code, reason))
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except OSError as error:
            logger.debug("%s: gone before it was closed, %s", self, error)

    async def fail(self, response: Response) -> None:
        """Refuse the connection with `response`, or close it with 1011 if it was accepted."""
        if self.accepted:
            await self.close(1011)
        elif self._ended is None:
            self._end(WebSocketClosed(ABNORMAL_CLOSURE, "refused"))
            if "websocket.http.response" in self._extensions:
                await self._send(_head(response, "websocket.http.response.start"))
                await self._send({"type": "websocket.http.response.body", "body": response.body})
            else:
                await self._send({"type": "websocket.close"})

    def abort(self) -> None:
        """See `abc.WebSocketConnection.abort`; the server closes once `deliver` has returned."""
        self._end(WebSocketClosed(ABNORMAL_CLOSURE, "aborted"))
        if self._delivering is not None:
            self._delivering.cancel()

    def deliver_to(self, listener: abc.WebSocketListener) -> None:
        """See `abc.WebSocketConnection.deliver_to`."""
        self._listener = listener

    async def deliver(self) -> None:
        """Deliver each message to the listener, if there is one, until the connection is gone."""
        if self._listener is None:
            return
        self._delivering = asyncio.current_task()
        try:
            while True:
                self._listener.message_received(await self.receive())
        except asyncio.CancelledError:
            if self._ended is None or self._delivering is None:
                raise
            self._delivering.uncancel()
        finally:
            self._delivering = None

    def pause_reading(self) -> None:
        """See `abc.WebSocketConnection.pause_reading`."""
        self._reading.clear()

    def resume_reading(self) -> None:
        """See `abc.WebSocketConnection.resume_reading`."""
        self._reading.set()

    def _end(self, error: WebSocketClosed) -> None:
        if self._ended is None:
            self._ended = error
            self._reading.set()
            if self._listener is not None:
                self._listener.connection_closed(error)
