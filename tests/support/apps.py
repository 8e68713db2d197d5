"""An application that keeps the order in which it is called, and clients of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from nbdriver import Request, Response, abc
from nbdriver.config import ServerConfig
from nbdriver.net.server import Server

from .leaks import nothing_left
from .peer import PATIENCE, Peer

Handler = Callable[[Any], Awaitable[Any]]


async def nothing(*_: object) -> None:
    """Do nothing."""


async def answer(request: Request) -> Response:
    return Response(200, f"{request.method} {request.path}")


async def accept(websocket: abc.WebSocketConnection) -> None:
    await websocket.accept()
    websocket.deliver_to(Listener())


class Listener:
    def message_received(self, message: str | bytes) -> None:
        """Messages are not what is tested here."""

    def connection_closed(self, error: Exception) -> None:
        """Neither is this."""


class App(abc.Application):
    """An application that keeps the order in which it is called; what it does is up to the test."""

    def __init__(
        self,
        *,
        start: Handler = nothing,
        http: Handler = answer,
        websocket: Handler = accept,
        drain: Handler = nothing,
        stop: Handler = nothing,
    ) -> None:
        self.order: list[str] = []
        self.start, self.http, self.websocket = start, http, websocket
        self.draining, self.stop = drain, stop

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.order.append("start")
        try:
            await self.start(self)
            yield
        finally:
            self.order.append("stop")
            await self.stop(self)

    async def handle_http(self, request: Request) -> Response:
        self.order.append(str(request))
        response = await self.http(request)
        assert isinstance(response, Response)
        return response

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        self.order.append(str(websocket))
        await self.websocket(websocket)

    async def drain(self) -> None:
        self.order.append("drain")
        await self.draining(self)


def settings(**given: Any) -> ServerConfig:
    return ServerConfig(**{"host": "127.0.0.1", "port": 0, **given})


@asynccontextmanager
async def serving(app: abc.Application, **given: Any) -> AsyncIterator[Server]:
    server = Server(app, settings(**given))
    async with nothing_left(), asyncio.timeout(PATIENCE), server:
        yield server


async def connect(server: Server) -> Peer:
    host, port = server.addresses[0]
    _, peer = await asyncio.get_running_loop().create_connection(Peer, host, port)
    return peer


async def ask(server: Server, path: str = "/") -> Peer:
    """Connect and send a request."""
    peer = await connect(server)
    peer.send(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    return peer


async def open_websocket(server: Server, path: str = "/") -> Peer:
    peer = await connect(server)
    peer.send(
        b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        % path.encode()
    )
    return peer


CLOSE_1001 = b"\x88\x1d\x03\xe9the server is shutting down"
CLOSE_FROM_PEER = b"\x88\x82\x00\x00\x00\x00\x03\xe9"


def hang_up(*peers: Peer) -> None:
    for peer in peers:
        peer.transport.close()


class Gate:
    """Lets through only once it is opened; `reached` tells that somebody stands before it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, *_: object) -> None:
        self.reached.set()
        await self.opened.wait()


def held_by(gate: Gate) -> Handler:
    """A handler that answers when the gate is opened."""

    async def handler(request: Request) -> Response:
        await gate()
        return await answer(request)

    return handler
