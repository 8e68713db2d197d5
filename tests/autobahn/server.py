"""An echo server for Autobahn's fuzzing client: `net.server.Server` under a small Application.

Run with a port; it listens on 127.0.0.1 until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nbdriver import Request, Response, abc
from nbdriver.config import ServerConfig
from nbdriver.net.server import Server


class Echo(abc.Application):
    """Sends back each message as it came."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        yield

    async def handle_http(self, request: Request) -> Response:
        return Response(204)

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        await websocket.accept()
        while True:
            await websocket.send(await websocket.receive())

    async def drain(self) -> None:
        pass


async def main(port: int) -> None:
    config = ServerConfig(port=port, deflate=True, access_log=False, max_message=32 * 2**20)
    async with Server(Echo(), config):
        # Whoever has started us ends us by closing the pipe, also by ending itself.
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
