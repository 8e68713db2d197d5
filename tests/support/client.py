"""The client's side of a connection, and a server that says what a test tells it to."""

from __future__ import annotations

import asyncio

from nbdriver.client.connection import Connection
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
