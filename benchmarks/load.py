"""The load generator: several connections, each with one event on its way at a time.

It must not be what limits the server, so everything is built beforehand: it compares what comes
with what has to come, and writes the next event. Every answer is checked, and the first wrong one
ends the run: a server that is fast because it does something else is of no use as a peer.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

from . import bodies, wire

__all__ = [
    "JOBS",
    "Client",
    "Job",
    "Listener",
    "Load",
    "LoadError",
    "Measurement",
    "idle",
    "source",
]

_MAX_HEAD = 65_536
_PER_ADDRESS = 20_000


class LoadError(Exception):
    """A server could not be connected to, or answered something else than it should have."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Events that were answered, and what they took; times in nanoseconds."""

    events: int = 0
    wall: int = 0
    server_cpu: int = 0
    generator_cpu: int = 0

    def __add__(self, other: Measurement) -> Measurement:
        return Measurement(
            self.events + other.events,
            self.wall + other.wall,
            self.server_cpu + other.server_cpu,
            self.generator_cpu + other.generator_cpu,
        )

    def __sub__(self, other: Measurement) -> Measurement:
        return Measurement(
            self.events - other.events,
            self.wall - other.wall,
            self.server_cpu - other.server_cpu,
            self.generator_cpu - other.generator_cpu,
        )


class Listener(Protocol):
    """Whom a client tells how it fares: a `Load`, or the one connection of `connection`."""

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

    _distinct_events = 16

    def __init__(self, load: Listener, self_id: int) -> None:
        self._load = load
        self._self_id = str(self_id)
        events = [bodies.event(self_id, number) for number in range(self._distinct_events)]
        encoded = [self._encode(bodies.dumps(event).encode()) for event in events]
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

    def __init__(self, load: Listener, self_id: int) -> None:
        super().__init__(load, self_id)
        call = bodies.action("send_msg", bodies.reply(bodies.event(self_id, 0)), self._self_id)
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


class _IdleClient(_WebSocketClient):
    """Holds a WebSocket and answers pings; it is never asked to send."""

    _distinct_events = 1


Job = Callable[[Listener, int], Client]
"""Makes a connection's protocol; the number is the id of its bot."""

JOBS: dict[str, Job] = {"http": _HTTPClient, "websocket": _WebSocketClient}


def idle(load: Listener, self_id: int) -> Client:
    """Holds a WebSocket beside those of JOBS, and so with another id."""
    return _IdleClient(load, self_id + 1_000_000)


def source(number: int) -> tuple[str, int] | None:
    """Where a connection comes from: an address has ports for some 28,000, so others follow."""
    if number < _PER_ADDRESS:
        return None
    return f"127.0.0.{1 + number // _PER_ADDRESS}", 0


class Load:
    """The connections to one server; they stay open from one `run` to the next."""

    def __init__(self, server_clock: Callable[[], int]) -> None:
        """`server_clock` gives the CPU time of the server's process so far, in nanoseconds."""
        self.answered = 0
        """Events that have had their answer."""
        self.pausing = True
        """Whether a connection sends no further event when it has its answer."""
        self.pinged = 0
        """Pings that were answered."""
        self.patience = 10.0
        """For how many seconds connections and answers are waited for."""
        self._server_clock = server_clock
        self._clients: list[Client] = []
        self._connections = 0
        self._idle = 0
        self._closing = False
        self._failure: LoadError | None = None
        self._woken: asyncio.Future[None] | None = None

    async def connect(self, job: Job, address: tuple[str, int], connections: int) -> None:
        """Open the connections, with a WebSocket on each if that is the job. Raises LoadError."""
        self._connections = connections
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.patience):
                for number in range(connections):
                    make_client = partial(job, self, bodies.first_self_id + number)
                    _, client = await loop.create_connection(
                        make_client, *address, local_addr=source(number)
                    )
                    self._clients.append(client)
        except (OSError, TimeoutError) as error:
            raise LoadError(f"could not connect to {address}: {error!r}") from error
        await self._until_idle()

    async def run(self, seconds: float) -> Measurement:
        """Send events for that long, and wait for the last answers; they count too.

        Raises LoadError if an answer is wrong, or does not come.
        """
        before = self._look()
        self._idle = 0
        self.pausing = False
        for client in self._clients:
            client.send()
        await self._wait(seconds)
        self.pausing = True
        await self._until_idle()
        return self._look() - before

    async def rest(self, seconds: float) -> Measurement:
        """Send nothing for that long. Raises LoadError if a connection is lost."""
        before = self._look()
        await self._wait(seconds)
        return self._look() - before

    def _look(self) -> Measurement:
        """The clocks as they stand."""
        return Measurement(
            self.answered, time.monotonic_ns(), self._server_clock(), time.process_time_ns()
        )

    async def close(self) -> None:
        """End every connection."""
        self._closing = True
        for client in self._clients:
            client.close()
        # A transport that is closed tells its protocol on the loop's next turn.
        await asyncio.sleep(0)

    async def _until_idle(self) -> None:
        if self._idle < self._connections:
            await self._wait(self.patience)
        if self._idle < self._connections:
            missing = self._connections - self._idle
            raise LoadError(f"no answer came on {missing} connections within {self.patience} s")

    async def _wait(self, seconds: float) -> None:
        """Wait that long, or until all connections are idle. Raises LoadError if one fails."""
        self._woken = asyncio.get_running_loop().create_future()
        if self._failure is None:
            await asyncio.wait([self._woken], timeout=seconds)
        if self._failure is not None:
            raise self._failure

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    # What the connections call.

    def idle(self) -> None:
        """A connection waits for nothing."""
        self._idle += 1
        if self._idle == self._connections:
            self._wake()

    def fail(self, message: str) -> None:
        """An answer is wrong."""
        self._failure = self._failure or LoadError(message)
        self._wake()

    def lost(self, message: str) -> None:
        """A connection is gone."""
        if not self._closing:
            self.fail(message)
