"""The load generator: several connections, each with one event on its way at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import bodies
from .clients import Client, Job

__all__ = ["Load", "LoadError", "Measurement", "source"]

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
        """Open connections, with a WebSocket on each if that is the job. Raises LoadError.

        May be called again for more, as long as no event was sent.
        """
        first = self._connections
        self._connections += connections
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.patience):
                for number in range(first, self._connections):
                    make_client = partial(job.client, self, bodies.first_self_id + number)
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
