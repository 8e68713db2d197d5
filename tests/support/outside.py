"""The world outside a client: servers that are there, and addresses that are not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trustme

from .certificates import authority
from .jumping import JumpingLoop
from .peer import PATIENCE, Peer

__all__ = ["Outside", "blackhole", "named", "no_server", "outside", "server_context"]


def server_context(*names: str, ca: trustme.CA | None = None, **facts: Any) -> ssl.SSLContext:
    """What a server has that is called by these names; `facts` go into its certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    (ca or authority()).issue_cert(*names or ["localhost"], **facts).configure_cert(context)
    return context


class Outside:
    """A server that accepts, each connection a `Peer`."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.address: Any = None
        """What it listens on: a host and a port, or the path of a Unix socket."""
        self._came = asyncio.Event()

    def accept(self) -> Peer:
        peer = _Accepted(self._came)
        self.peers.append(peer)
        return peer

    async def peer(self, number: int = 0) -> Peer:
        """The one that came as number so-and-so, as soon as it is there."""
        async with asyncio.timeout(PATIENCE):
            while len(self.peers) <= number or not hasattr(self.peers[number], "transport"):
                self._came.clear()
                await self._came.wait()
        return self.peers[number]


class _Accepted(Peer):
    def __init__(self, came: asyncio.Event) -> None:
        super().__init__()
        self._came = came

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._came.set()

    def eof_received(self) -> bool:
        super().eof_received()
        # asyncio warns of anything else over TLS.
        return False

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on over TLS, or over TLS inside of TLS, as a server."""
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self.transport, self, context, server_side=True)
        assert transport is not None
        self.transport = transport


@asynccontextmanager
async def outside(
    host: str = "127.0.0.1",
    *,
    tls: ssl.SSLContext | None = None,
    unix: str | None = None,
    sock: socket.socket | None = None,
) -> AsyncIterator[Outside]:
    """A server at a free port, or at the path of a Unix socket; at the end its peers are gone."""
    loop = asyncio.get_running_loop()
    there = Outside()
    if unix is not None:
        server = await loop.create_unix_server(there.accept, unix, ssl=tls)
    elif sock is not None:
        server = await loop.create_server(there.accept, sock=sock, ssl=tls)
    else:
        server = await loop.create_server(there.accept, host, 0, ssl=tls)
    there.address = server.sockets[0].getsockname()
    try:
        yield there
    finally:
        server.close()
        for peer in there.peers:
            if hasattr(peer, "transport"):
                peer.transport.abort()
        await server.wait_closed()


@contextmanager
def no_server(host: str = "127.0.0.1") -> Iterator[int]:
    """A port at which nobody listens, though nobody else can take it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.bind((host, 0))
        yield bound.getsockname()[1]


@contextmanager
def blackhole(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that answers nothing at all: its backlog is full, so that the kernel is silent."""
    with socket.socket() as listening:
        listening.bind((host, 0))
        listening.listen(0)
        waiting: list[socket.socket] = []
        try:
            while True:
                client = socket.socket()
                waiting.append(client)
                client.settimeout(0.1)
                client.connect(listening.getsockname())
        except TimeoutError:
            yield listening.getsockname()[1]
        finally:
            for client in waiting:
                client.close()


def named(**names: list[str]) -> type[JumpingLoop]:
    """A jumping loop whose names are these, and no others; `a_b` stands for `a.b`."""

    class NamedLoop(JumpingLoop):
        async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> Any:
            if host.replace(".", "_") not in names:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [
                found
                for address in names[host.replace(".", "_")]
                for found in socket.getaddrinfo(address, port, **kwargs)
            ]

    return NamedLoop
