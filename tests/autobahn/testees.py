"""What is tested: a server and a client of ours that send each message back as it came.

Both with permessage-deflate and with every limit as it is by default.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.lanes import LANES

from nbdriver import Request, Response, WebSocketClosed, abc
from nbdriver.client.client import Client
from nbdriver.config import ServerConfig
from nbdriver.net.server import Server

HOST = "127.0.0.1"


async def send_back(websocket: abc.WebSocketConnection) -> None:
    """Echo every message; returns when the connection has ended."""
    try:
        while True:
            await websocket.send(await websocket.receive())
    except WebSocketClosed:
        pass


class Echo(abc.Application):
    """The server's side."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        yield

    async def handle_http(self, request: Request) -> Response:
        return Response(204)

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        await websocket.accept()
        await send_back(websocket)

    async def drain(self) -> None:
        pass


def echo_server(lane: str = LANES[0]) -> Server:
    """A server that listens on a free port of the loopback address."""
    fast = lane == LANES[0]
    config = ServerConfig(host=HOST, port=0, deflate=True, access_log=False, fast_lane=fast)
    return Server(Echo(), config)


@asynccontextmanager
async def connected(
    port: int, target: str, lane: str = LANES[0]
) -> AsyncIterator[abc.WebSocketConnection]:
    """A WebSocket of our client; at the end of the block the connection is gone.

    Raises NetworkError.
    """
    client = Client(deflate=True, trust_env=False, fast_lane=lane == LANES[0])
    async with client, client.websocket(f"ws://{HOST}:{port}{target}") as websocket:
        yield websocket


async def echo_client(port: int, target: str, lane: str = LANES[0]) -> None:
    """Connect, and echo until the server ends it."""
    async with connected(port, target, lane) as websocket:
        await send_back(websocket)
