"""The server's side of an ASGI scope, exact about what an application may send when (ASGI 3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Self

from nbdriver import Request, Response, WebSocketClosed, abc
from nbdriver.asgi import ASGIApplication, ASGIWebSocketConnection
from nbdriver.config import ServerConfig

from .peer import PATIENCE, settle
from .websocket_pair import Listener

Event = MutableMapping[str, Any]

#: What may be sent in which state of a scope, and the state after it.
_ALLOWED = {
    "http": {"http.response.start": "http body"},
    "http body": {"http.response.body": "over"},
    "websocket": {
        "websocket.accept": "open",
        "websocket.close": "over",
        "websocket.http.response.start": "denial",
    },
    "denial": {"websocket.http.response.body": "over"},
    "open": {"websocket.send": "open", "websocket.close": "over"},
    "lifespan": {"lifespan.startup.complete": "up", "lifespan.startup.failed": "over"},
    "up": {"lifespan.shutdown.complete": "over", "lifespan.shutdown.failed": "over"},
    "over": {},
}


def http_scope(method: str = "POST", path: str = "/echo/", **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"a")],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        **more,
    }


def websocket_scope(path: str = "/echo/ws", **more: Any) -> dict[str, Any]:
    scope = http_scope("GET", path, subprotocols=[], extensions={})
    del scope["method"]
    return {**scope, "type": "websocket", "scheme": "ws", **more}


class Conversation:
    """Calls an application with a scope in a task of its own, and talks to it."""

    def __init__(self, application: Any, scope: dict[str, Any]) -> None:
        self._state = scope["type"]
        self._denial = "websocket.http.response" in scope.get("extensions", {})
        self._coming: asyncio.Queue[Event] = asyncio.Queue()
        self._going: asyncio.Queue[Event] = asyncio.Queue()
        self.error: Exception | None = None
        """What a send raises, since the client is gone."""
        self.asked = 0
        """How many events the application has asked for."""
        self.task = asyncio.get_running_loop().create_task(
            application(scope, self._receive, self._send)
        )

    async def _receive(self) -> Event:
        self.asked += 1
        return await self._coming.get()

    async def _send(self, event: Event) -> None:
        if self.error is not None:
            raise self.error
        assert event["type"] in _ALLOWED[self._state], f"{event} while {self._state}"
        assert self._denial or not event["type"].startswith("websocket.http")
        self._state = _ALLOWED[self._state][event["type"]]
        await self._going.put(event)

    def give(self, kind: str, **fields: Any) -> None:
        """An event for the application."""
        self._coming.put_nowait({"type": kind, **fields})

    def text(self, text: str) -> None:
        """A text message from the client."""
        self.give("websocket.receive", text=text)

    async def take(self) -> Event:
        """The next event from the application."""
        return await asyncio.wait_for(self._going.get(), PATIENCE)

    async def end(self) -> None:
        """See that the application returns, having sent nothing more."""
        await asyncio.wait_for(self.task, PATIENCE)
        assert self._going.empty()

    async def cancel(self) -> None:
        """Cancel the application's task, as a server does that is stopped by force."""
        self.task.cancel()
        await settle()
        assert self.task.cancelled()


Handler = Callable[[ASGIWebSocketConnection], Awaitable[None]]
#: The extension by which a server can tell more of a refusal than 403.
DENIAL: dict[str, dict[str, Any]] = {"websocket.http.response": {}}


class App(abc.Application):
    """Hands each WebSocket to a function of the test."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        yield

    async def handle_http(self, request: Request) -> Response:
        raise NotImplementedError

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        assert isinstance(websocket, ASGIWebSocketConnection)
        await self._handler(websocket)

    async def drain(self) -> None:
        raise NotImplementedError


def talk(handler: Handler, **scope: Any) -> Conversation:
    """A client has asked for a WebSocket, and `handler` has it."""
    application = ASGIApplication(App(handler), ServerConfig())
    conversation = Conversation(application, websocket_scope(**scope))
    conversation.give("websocket.connect")
    return conversation


class Open:
    """A WebSocket that was accepted; its handler returns when `left` is set."""

    def __init__(self, **scope: Any) -> None:
        self.left = asyncio.Event()
        self.conversation = talk(self._handle, **scope)

    async def _handle(self, websocket: ASGIWebSocketConnection) -> None:
        self.websocket = websocket
        await websocket.accept()
        await self.left.wait()

    async def __aenter__(self) -> Self:
        assert (await self.conversation.take())["type"] == "websocket.accept"
        return self

    async def __aexit__(self, *_: object) -> None:
        """The client and the handler leave, and nothing is left of their tasks."""
        self.left.set()
        self.conversation.give("websocket.disconnect", code=1006)
        await asyncio.wait([self.conversation.task], timeout=PATIENCE)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def closed_with(self) -> tuple[int, str]:
        """What `receive` raises."""
        try:
            message = await asyncio.wait_for(self.websocket.receive(), PATIENCE)
        except WebSocketClosed as error:
            return error.code, error.reason
        raise AssertionError(f"expected the end, got {message!r}")


class Listening(Open):
    """A WebSocket that delivers to `listener`, and whose handler has returned."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.listener = listener or Listener()
        super().__init__()

    async def _handle(self, websocket: ASGIWebSocketConnection) -> None:
        self.websocket = websocket
        await websocket.accept()
        websocket.deliver_to(self.listener)
