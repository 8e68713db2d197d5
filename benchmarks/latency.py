"""How long an event takes, from when it is to be sent until its answer is there.

One connection first, the next event when the last was answered: that is what the servers are
compared by. Then some connections at fixed rates (`pace` has why), the same for all, which shows
what becomes of an event if others come in between, and from where on a server cannot follow.

The servers take turns as in `measure`. The floor, measured in the same turns, has in it what is no
server's merit or fault: the kernel, and this load generator.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from .clients import JOBS
from .connection import Connection, undisturbed
from .histogram import Histogram, joined
from .load import LoadError
from .pace import Schedule, Sockets, keep_schedule, ping_pong
from .process import ServerError, ServerProcess, Subject

__all__ = ["LatencySample", "LatencySettings", "measure_latency"]

#: Events that open each turn and are not counted: a server was put aside while others had theirs.
_UNCOUNTED = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySettings:
    """How latency is measured; times in seconds."""

    seconds: float = 1.0
    """For how long each server in a round on one connection, and at each rate."""
    turn: float = 0.1
    """One connection, and"""
    paced_turn: float = 0.25
    """a fixed rate, before the next server has its turn."""
    warm_up: float = 0.4
    rates: tuple[int, ...] = (1_000, 2_000, 4_000)
    """Events per second, over all connections."""
    connections: int = 32
    """How many they are dealt out to."""


@dataclass(frozen=True, slots=True)
class LatencySample:
    """What events took on one server in one round."""

    round: int
    job: str
    subject: Subject
    rate: int | None
    """Events per second; None where the next was sent when the last was answered."""
    connections: int
    latencies: str
    """All of them, as a histogram encodes itself."""
    late: str
    """By how much the load generator was late itself; empty if there was no schedule."""
    wall: int
    """What all took, in nanoseconds."""

    @property
    def histogram(self) -> Histogram:
        """The latencies."""
        return joined([self.latencies])

    @property
    def answered(self) -> float:
        """Events per second that were answered."""
        return self.histogram.count / self.wall * 1e9

    def as_json(self) -> dict[str, Any]:
        """The sample as it is kept; latencies in microseconds, "100" the highest of them."""
        found, late = self.histogram, joined([self.late] if self.late else [])
        return {
            "subject": {"name": self.subject.name, "loop": self.subject.loop},
            "job": self.job,
            "rate": self.rate,
            "answered": self.answered,
            "connections": self.connections,
            "round": self.round,
            "count": found.count,
            "percentiles": {**found.percentiles(), "100": found.highest},
            "late": {**late.percentiles(), "100": late.highest} if self.late else {},
            "hdr": self.latencies,
        }


async def measure_latency(
    number: int, job: str, subjects: Sequence[Subject], settings: LatencySettings
) -> list[LatencySample]:
    """Start the servers, measure them at a job in turns, and end them: one round.

    Raises ServerError or LoadError if anything was not as it should be.
    """
    async with AsyncExitStack() as stack:
        entrants = [
            await stack.enter_async_context(_entrant(subject, job, settings))
            for subject in subjects
        ]
        _take_turns(entrants, settings)
    return [sample for each in entrants for sample in each.samples(number)]


def _take_turns(entrants: Sequence[_Entrant], settings: LatencySettings) -> None:
    for _ in range(max(1, round(settings.seconds / settings.turn))):
        for entrant in entrants:
            entrant.run(settings.turn)
    for entrant in entrants:
        entrant.open(settings.connections)
    for rate in settings.rates:
        events = max(1, round(rate * settings.paced_turn))
        schedule = Schedule(rate, events, settings.connections)
        for _ in range(max(1, round(settings.seconds / settings.paced_turn))):
            for entrant in entrants:
                entrant.keep(schedule)


class _Measured:
    """What was measured so far in one way."""

    def __init__(self, connections: int) -> None:
        self.connections = connections
        self.latencies = Histogram()
        self.late = Histogram()
        self.wall = 0


class _Entrant:
    """A server, the connections to it, and what was measured so far."""

    def __init__(self, subject: Subject, job: str, address: tuple[str, int]) -> None:
        self._subject = subject
        self._job = job
        self._address = address
        self._connections: list[Connection] = []
        self._measured: dict[int | None, _Measured] = {}
        self.open(1)

    @property
    def answered(self) -> int:
        """Events that had their answer."""
        return sum(each.answered for each in self._connections)

    def open(self, connections: int) -> None:
        """See that there are so many connections. Raises LoadError."""
        with self._named():
            for number in range(len(self._connections), connections):
                connection = Connection(JOBS[self._job], self._address, number)
                self._connections.append(connection)

    def warm_up(self, seconds: float) -> None:
        """Events that are not counted. Raises LoadError."""
        with self._named():
            ping_pong(self._connections[0], seconds)

    def run(self, seconds: float) -> None:
        """One turn on one connection, an event after the other. Raises LoadError."""
        measured = self._measured.setdefault(None, _Measured(1))
        with self._named(), undisturbed():
            self._settle(1)
            latencies = ping_pong(self._connections[0], seconds)
        measured.latencies.record(latencies)
        measured.wall += sum(latencies)

    def keep(self, schedule: Schedule) -> None:
        """One turn by a schedule. Raises LoadError."""
        measured = self._measured.setdefault(int(schedule.rate), _Measured(schedule.connections))
        sockets = Sockets(self._connections[: schedule.connections])
        try:
            with self._named(), undisturbed():
                self._settle(schedule.connections)
                paced = keep_schedule(schedule, sockets)
        finally:
            sockets.close()
        measured.latencies.record(paced.latencies)
        measured.late.record(paced.late)
        measured.wall += paced.wall

    def _settle(self, connections: int) -> None:
        """The first events of a turn; pings that have come meanwhile are answered too."""
        for _ in range(max(1, _UNCOUNTED // connections)):
            for connection in self._connections[:connections]:
                ping_pong(connection, 0)

    def samples(self, number: int) -> list[LatencySample]:
        """What was measured, as round `number`."""
        return [
            LatencySample(
                number,
                self._job,
                self._subject,
                rate,
                measured.connections,
                measured.latencies.encode(),
                measured.late.encode() if rate is not None else "",
                measured.wall,
            )
            for rate, measured in self._measured.items()
        ]

    def close(self) -> None:
        """End the connections."""
        for connection in self._connections:
            connection.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """An error tells which server, at which job."""
        try:
            yield
        except LoadError as error:
            raise LoadError(f"{self._subject}, latency, {self._job}: {error}") from error


@asynccontextmanager
async def _entrant(
    subject: Subject, job: str, settings: LatencySettings
) -> AsyncIterator[_Entrant]:
    """A server that is warm; at the end it has to have handled what was answered."""
    async with ServerProcess(subject) as process:
        entrant = _Entrant(subject, job, process.address)
        try:
            entrant.warm_up(settings.warm_up)
            yield entrant
        finally:
            entrant.close()
        handled = await process.finish()
    if handled != entrant.answered:
        raise ServerError(
            f"{subject}, latency, {job}: {entrant.answered} events were answered,"
            f" but its bot was called with {handled}"
        )
