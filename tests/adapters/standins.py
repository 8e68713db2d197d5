"""What stands in for a platform, of libraries that we did not write.

An HTTP server of aiohttp's, a client of httpx's, a WebSocket server of websockets'.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from adapters.processes import PATIENCE, Process
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve


@asynccontextmanager
async def served(*routes: web.RouteDef) -> AsyncIterator[str]:
    """Serve these routes on the loopback; gives the address without its scheme."""
    application = web.Application(client_max_size=2**24)
    application.add_routes(routes)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


def client(bot: Process) -> httpx.AsyncClient:
    """A client of the bot's server."""
    return httpx.AsyncClient(base_url=f"http://{bot.base}", timeout=PATIENCE, trust_env=False)


@asynccontextmanager
async def accepted() -> AsyncIterator[tuple[str, asyncio.Queue[ServerConnection]]]:
    """Take WebSockets on the loopback; gives the address without its scheme, and what has come."""
    connections: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def hold(connection: ServerConnection) -> None:
        connections.put_nowait(connection)
        await connection.wait_closed()

    async with serve(hold, "127.0.0.1", 0, max_size=None) as server:
        host, port = next(iter(server.sockets)).getsockname()
        yield f"{host}:{port}", connections
