"""The client's side of a connection, and a server that says what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h11

from nbdriver.client.client import Client
from nbdriver.client.connection import Connection
from nbdriver.client.routes import Route
from nbdriver.model import Headers
from nbdriver.net.channel import Channel
from nbdriver.net.clock import LoopClock
from nbdriver.net.tasks import Tasks
from nbdriver.wire.head import HeadLimits

from . import memory
from .peer import Peer

FIVE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Server(Peer):
    """Answers each request whose end it sees with what it is given."""

    def __init__(self, *answers: bytes, end: bytes = b"\r\n\r\n") -> None:
        super().__init__()
        self._answers = list(answers)
        self._end = end

    def eof_received(self) -> bool:
        super().eof_received()
        return False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        while self._answers and self._end in self.received:
            del self.received[: self.received.index(self._end) + len(self._end)]
            self.send(self._answers.pop(0))


def new_channel(peer: Peer) -> Channel:
    """A channel to `peer`, in memory."""
    channel = Channel(LoopClock(asyncio.get_running_loop()))
    memory.connect(channel.stream, peer)
    return channel


def new_connection(peer: Peer, tasks: Tasks | None = None) -> Connection:
    """A client's connection to `peer`, in memory."""
    tasks = Tasks(eager=False) if tasks is None else tasks
    return Connection(new_channel(peer), HeadLimits(), tasks, "http://a")


async def read_all(connection: Connection) -> bytes:
    """The body of an answer to its end."""
    body = bytearray()
    while piece := await connection.read():
        body += piece
    return bytes(body)


@dataclass
class Asked:
    """A request as a server has read it."""

    method: str
    target: str
    headers: Headers
    body: bytes
    route: Route
    connection: int
    """The number of the connection that it came by."""

    @property
    def url(self) -> str:
        origin = self.route.origin
        return f"{origin.scheme}://{origin.host}:{origin.port}{self.target}"


Answers = Callable[[Asked], bytes | None]
"""What a server says to a request; None for nothing at all."""


def answer(body: bytes = b"", *lines: str, status: str = "200 OK") -> bytes:
    """An answer with a length."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def redirect(location: str, *lines: str, status: str = "302 Found") -> bytes:
    """An answer that leads elsewhere."""
    return answer(b"moved", f"Location: {location}", *lines, status=status)


class AnsweringServer(Peer):
    """Reads requests by h11, and says what it is told to."""

    def __init__(self, answers: Answers, asked: list[Asked], route: Route, number: int) -> None:
        super().__init__()
        self._answers = answers
        self._asked = asked
        self._route = route
        self._number = number
        self._h11 = h11.Connection(h11.SERVER)
        self._events = list[h11.Event]()

    def eof_received(self) -> bool:
        super().eof_received()
        return False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._h11.receive_data(data)
        while not isinstance(event := self._h11.next_event(), type):
            self._events.append(event)
            if isinstance(event, h11.EndOfMessage):
                self._answer()

    def _answer(self) -> None:
        head, *pieces, _ = self._events
        assert isinstance(head, h11.Request)
        self._events = []
        body = b"".join(piece.data for piece in pieces if isinstance(piece, h11.Data))
        asked = Asked(
            head.method.decode(),
            head.target.decode(),
            Headers.from_bytes(head.headers),
            body,
            self._route,
            self._number,
        )
        self._asked.append(asked)
        if said := self._answers(asked):
            self.send(said)
        # A new one, since ours does not go through h11.
        self._h11 = h11.Connection(h11.SERVER)


class MemoryClient(Client):
    """A client to whom every server is in memory, and says what `answers` gives."""

    def __init__(self, answers: Answers, **settings: Any) -> None:
        super().__init__(**{"trust_env": False, **settings})
        self.answers = answers
        self.asked = list[Asked]()
        self.servers = list[AnsweringServer]()
        self.channels = list[Channel]()

    async def __aenter__(self) -> MemoryClient:
        await super().__aenter__()
        self._connector.connect = self.reach  # type: ignore[method-assign]  # no network but ours
        return self

    async def reach(self, route: Route) -> Channel:
        """What a connector does."""
        await asyncio.sleep(0)
        server = AnsweringServer(self.answers, self.asked, route, len(self.servers))
        self.servers.append(server)
        self.channels.append(new_channel(server))
        return self.channels[-1]
