"""Servers in memory that a client's opening handshake comes to, and speak bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from nbdriver import Request
from nbdriver.client.connector import Connector
from nbdriver.client.cookies import new_jar
from nbdriver.client.routes import Route
from nbdriver.client.settings import ClientSettings
from nbdriver.client.urls import URL
from nbdriver.client.websockets import WebSockets
from nbdriver.net.channel import Channel
from nbdriver.net.clock import LoopClock
from nbdriver.net.tasks import Tasks
from nbdriver.wire.handshake import Opening, accept_headers, check
from nbdriver.wire.head import HeadLimits
from nbdriver.wire.head import check as check_head

from .frames import CLOSE
from .leaks import nothing_left
from .memory import connect
from .websocket_pair import FramePeer


class ServerPeer(FramePeer):
    """The server's end of a connection; `route` is how its client came, in memory."""

    def __init__(self, route: Route | None = None) -> None:
        super().__init__(client=False)
        self.route = route

    async def asked(self) -> Request:
        """The next request, which is one by our server's own law."""
        head = check_head(await self.read(b"\r\n\r\n"), HeadLimits())
        return Request(head.method, head.target, head.headers)

    async def accept(
        self,
        *lines: str,
        behind: bytes = b"",
        subprotocol: str | None = None,
        deflate: str | None = None,
    ) -> Request:
        """Answer the next request with a 101, and in the same piece with what is to be behind."""
        request = await self.asked()
        self.send(
            switching(check(request), *lines, subprotocol=subprotocol, deflate=deflate) + behind
        )
        return request


def switching(
    opening: Opening,
    *lines: str,
    subprotocol: str | None = None,
    deflate: str | None = None,
    status: str = "HTTP/1.1 101 Switching Protocols",
) -> bytes:
    """The answer that opens."""
    headers = accept_headers(opening, subprotocol, deflate)
    every = [status, *(f"{name}: {value}" for name, value in headers), *lines, "", ""]
    return "\r\n".join(every).encode("latin-1")


def answer(status: int, *lines: str, body: bytes = b"", reason: str = "Whatever") -> bytes:
    """An answer with a body whose length is told."""
    every = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(every).encode("latin-1") + body


Serve = Callable[[ServerPeer], Awaitable[object]]


class MemoryConnector(Connector):
    """Connects to servers in memory; each connection is served by the next of them."""

    def __init__(self, clock: LoopClock, servers: Iterable[Serve]) -> None:
        super().__init__(ClientSettings(), clock)
        self.servers = list(servers)
        self._tasks: set[asyncio.Future[object]] = set()
        self.channels: list[Channel] = []
        self.peers: list[ServerPeer] = []
        self.delay = 0.0
        """Seconds that a connection takes."""
        self.read = 262_144
        """Bytes that are read at most in one go."""

    async def connect(self, route: Route) -> Channel:
        await asyncio.sleep(self.delay)
        channel, peer = Channel(self._clock), ServerPeer(route)
        connect(channel.stream, peer, read=self.read)
        self.channels.append(channel)
        self.peers.append(peer)
        self._tasks.add(asyncio.ensure_future(self.servers.pop(0)(peer)))
        return channel

    async def end(self) -> None:
        """The servers leave, and have done all that they were to do."""
        for peer in self.peers:
            peer.transport.abort()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.result()


class Reaching:
    """WebSockets of a client, and the servers in memory that they come to."""

    def __init__(self, *servers: Serve, **settings: Any) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.tasks, self.jar = Tasks(eager=False), new_jar()
        self.net = MemoryConnector(self.clock, servers)
        self.settings = ClientSettings(**settings)
        self.websockets = WebSockets(
            self.settings, self.net, self.clock, self.tasks, self.jar, self._route
        )
        self.open = self.websockets.open

    def _route(self, url: URL) -> Route:
        return Route(url.origin)


@asynccontextmanager
async def reaching(*servers: Serve, **settings: Any) -> AsyncIterator[Reaching]:
    """See that nothing is left of it."""
    async with nothing_left():
        reaching = Reaching(*servers, **settings)
        try:
            yield reaching
        finally:
            await reaching.net.end()
        assert len(reaching.tasks) == 0


@asynccontextmanager
async def listening(*servers: Serve) -> AsyncIterator[str]:
    """The URL of a server on a real socket; each of these serves a connection, and then `echo`."""
    left, peers, tasks = list(servers), list[ServerPeer](), list[asyncio.Task[None]]()

    async def serve(peer: ServerPeer) -> None:
        await peer.until(lambda: hasattr(peer, "transport"))
        await (left.pop(0) if left else echo)(peer)

    def accepted() -> ServerPeer:
        peers.append(ServerPeer())
        tasks.append(asyncio.create_task(serve(peers[-1])))
        return peers[-1]

    loop = asyncio.get_running_loop()
    async with await loop.create_server(accepted, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/a/ws"
        await asyncio.gather(*tasks)
        for peer in peers:
            peer.transport.abort()


async def echo(peer: ServerPeer) -> None:
    """Accept, and send back what comes, until the client closes."""
    await peer.accept()
    while (got := await peer.read_frame()).opcode != CLOSE:
        peer.send_frame(got.payload, got.opcode, rsv=got.rsv)
    peer.send_close()
    peer.transport.close()
