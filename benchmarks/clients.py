"""The connections of the load generator: what is sent on each, and how each answer is checked.

They must not be what limits the server, so everything is built beforehand: a client compares what
comes with what has to come, and writes the next event. Every answer is checked, and the first wrong
one ends the run: a server that is fast because it does something else is of no use as a peer.
"""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from . import bodies, wire

__all__ = ["JOBS", "LARGE", "Client", "Job", "Listener"]

_MAX_HEAD = 65_536

LARGE = 70_000
"""The bytes of an event that is large, as one that holds a picture is."""


class Listener(Protocol):
    """Whom a client tells how it fares: a `load.Load`, or a `connection.Connection`."""

    answered: int
    pausing: bool
    pinged: int

    def idle(self) -> None:
        """A connection waits for nothing."""

    def fail(self, message: str) -> None:
        """An answer is wrong."""

    def lost(self, message: str) -> None:
        """A connection is gone."""


class Client(asyncio.Protocol, ABC):
    """One connection: sends an event, sees the answer, sends the next."""

    def __init__(self, load: Listener, self_id: int, job: Job) -> None:
        self._load = load
        self._self_id = str(self_id)
        encoded = [
            self._encode(bodies.dumps(job.event(self_id, number)).encode())
            for number in range(job.distinct)
        ]
        self._next_event = itertools.cycle(encoded).__next__
        self._buffer = b""

    @abstractmethod
    def _encode(self, event: bytes) -> bytes:
        """An event as it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._load.lost(f"the server ended a connection ({exc or 'it was closed'})")

    def send(self) -> None:
        """Send the next event; the answer to the last one has come."""
        self._transport.write(self._next_event())

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def _answered(self) -> None:
        """The right answer to an event has come."""
        load = self._load
        load.answered += 1
        if load.pausing:
            load.idle()
        else:
            self._transport.write(self._next_event())

    def _fail(self, expected: str) -> None:
        self._load.fail(f"expected {expected}, got {self._buffer[:300]!r}")


class _HTTPClient(Client):
    """Posts events on a connection that is kept alive; each has to be answered 204."""

    def _encode(self, event: bytes) -> bytes:
        return wire.http_request(event, self._self_id, bodies.AUTHORIZATION)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        super().connection_made(transport)
        self._load.idle()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n") + 4
        if end == len(data) and data.startswith(b"HTTP/1.1 204 "):
            self._buffer = b""
            self._answered()
            return
        self._buffer = data
        if end >= 4 or len(data) > _MAX_HEAD:
            self._fail("an answer 204 without a body")


class _WebSocketClient(Client):
    """Sends events as frames; each has to be answered with the frame of the right API call."""

    def __init__(self, load: Listener, self_id: int, job: Job) -> None:
        super().__init__(load, self_id, job)
        call = bodies.action("send_msg", bodies.reply(job.event(self_id, 0)), self._self_id)
        self._answer = wire.server_frame(bodies.dumps(call).encode())
        self._open = False

    def _encode(self, event: bytes) -> bytes:
        return wire.client_frame(event)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        super().connection_made(transport)
        self._transport.write(wire.ws_request(self._self_id, bodies.AUTHORIZATION))

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if data == self._answer and not self._buffer:
            self._answered()
            return
        self._buffer += data
        if self._open:
            while self._take_frame():
                pass
        else:
            self._take_handshake()

    def _take_handshake(self) -> None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end and len(head) <= _MAX_HEAD:
            return
        accept = b"sec-websocket-accept: " + wire.ws_accept().lower()
        lines = head.lower().split(b"\r\n")
        if rest or not head.startswith(b"HTTP/1.1 101 ") or accept not in lines:
            self._fail("the end of an opening handshake")
            return
        self._buffer = b""
        self._open = True
        self._load.idle()

    def _take_frame(self) -> bool:
        """Take the right answer, or a ping (RFC 6455, 5.5.2), from the buffer."""
        buffer = self._buffer
        if buffer[:1] == b"\x89" and len(buffer) >= 2:
            end = 2 + buffer[1]
            if len(buffer) < end:
                return False
            self._buffer = buffer[end:]
            self._transport.write(wire.client_frame(buffer[2:end], 0xA))
            self._load.pinged += 1
            return True
        if buffer.startswith(self._answer):
            self._buffer = buffer[len(self._answer) :]
            self._answered()
            return True
        if not self._answer.startswith(buffer):
            self._fail(f"the frame {self._answer!r}")
        return False


@dataclass(frozen=True, slots=True)
class Job:
    """What is done on each connection of a load."""

    kind: str
    """`http` or `websocket`."""
    size: int | None = None
    """The bytes of an event as JSON; None for a message as people write it (`bodies.event`)."""
    distinct: int = 16
    """How many different events are sent in turn."""
    offset: int = 0
    """What is added to the ids of the bots, where one load stands beside another."""

    def event(self, self_id: int, number: int) -> dict[str, Any]:
        """One of the events."""
        if self.size is None:
            return bodies.event(self_id, number)
        return bodies.sized_event(self_id, number, self.size)

    def client(self, load: Listener, self_id: int) -> Client:
        """The protocol of one connection, with the bot of that id."""
        kind = _HTTPClient if self.kind == "http" else _WebSocketClient
        return kind(load, self_id + self.offset, self)

    def sized(self, size: int) -> Job:
        """The same with events of another size, and of large ones fewer, to keep them in memory."""
        return replace(self, size=size, distinct=max(2, min(16, 1_000_000 // size)))


JOBS = {"http": Job("http"), "websocket": Job("websocket")}
JOBS |= {f"{name}-70kB": job.sized(LARGE) for name, job in JOBS.items()}
