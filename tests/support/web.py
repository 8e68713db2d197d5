"""Servers that we did not write, and one that says whatever bytes it is given."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from aiohttp import web

from .peer import PATIENCE, Peer

__all__ = ["RawServer", "aiohttp_server", "raw_server", "uvicorn_server"]


@asynccontextmanager
async def aiohttp_server(
    app: web.Application,
    *,
    tls: ssl.SSLContext | None = None,
    path: Path | None = None,
    **settings: Any,
) -> AsyncIterator[str]:
    """Serve `app` on a free port, or at the path of a Unix socket; gives the beginning of a URL."""
    # What is left of a body that nobody read, aiohttp waits for, even if the client is gone.
    runner = web.AppRunner(app, shutdown_timeout=0.1, lingering_time=0.2, **settings)
    await runner.setup()
    try:
        if path is not None:
            await web.UnixSite(runner, path).start()
            yield "http://localhost"
        else:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            port = runner.addresses[0][1]
            yield f"{'http' if tls is None else 'https'}://localhost:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def uvicorn_server(app: Callable[..., Awaitable[None]], http: str) -> AsyncIterator[str]:
    """Serve an ASGI app on a free port, by one of uvicorn's two parsers."""
    config = uvicorn.Config(
        app, http=http, ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        try:
            async with asyncio.timeout(PATIENCE):
                while not server.started:
                    await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


class RawServer:
    """Gives each request the next answer, as it stands, and notes on which connection it came."""

    def __init__(self, answers: list[bytes | Callable[[Peer], None]]) -> None:
        self._answers = answers
        self.requests = list[tuple[int, bytes]]()
        self.peers = list[Peer]()
        self.url = ""

    def accept(self) -> Peer:
        peer = _RawPeer(self, len(self.peers))
        self.peers.append(peer)
        return peer

    def asked(self, peer: Peer, number: int, request: bytes) -> None:
        self.requests.append((number, request))
        if self._answers:
            answer = self._answers.pop(0)
            if callable(answer):
                answer(peer)
            else:
                peer.send(answer)

    @property
    def connections(self) -> list[int]:
        """By which connection each request came."""
        return [number for number, _ in self.requests]


class _RawPeer(Peer):
    def __init__(self, server: RawServer, number: int) -> None:
        super().__init__()
        self._server = server
        self._number = number

    def eof_received(self) -> bool:
        super().eof_received()
        return False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            request = bytes(self.received[: end + 4])
            del self.received[: end + 4]
            self._server.asked(self, self._number, request)


@asynccontextmanager
async def raw_server(*answers: bytes | Callable[[Peer], None]) -> AsyncIterator[RawServer]:
    """Answer requests without a body, each with the next of these bytes, or by what it does."""
    raw = RawServer(list(answers))
    server = await asyncio.get_running_loop().create_server(raw.accept, "127.0.0.1", 0)
    try:
        raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield raw
    finally:
        server.close()
        for peer in raw.peers:
            peer.transport.abort()
        await server.wait_closed()
