"""Runs the servers and the load on them, in turns.

CPU time is no constant either: what else runs on a machine, or on the host of a virtual one, takes
caches and half of a core. So the servers take turns of a tenth of a second (A B A B ...), and what
happens meanwhile happens to all of them. In each round they are started afresh, since the layout of
a process's memory and its hash seed move a figure by some per cent, which belong into its spread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from .clients import JOBS, Job
from .load import Load, LoadError, Measurement
from .process import ServerError, ServerProcess, Subject

__all__ = ["Entrant", "Sample", "Settings", "measure_round", "measure_turns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How it is measured; times in seconds."""

    rounds: int = 4
    seconds: float = 0.6
    """How long each server is measured in a round, in turns of `turn`."""
    turn: float = 0.1
    warm_up: float = 0.2
    connections: int = 32
    idle: int = 10_000
    """How many WebSockets without events are held beside them, by the job of that name."""
    rest: float = 5.0
    """How long it is measured what those cost if there are no events at all."""
    sizes: tuple[int, ...] = (100, 1_000, 10_000, 100_000, 1_000_000)
    """The bytes of an event, for the cost against its size."""
    scale: tuple[int, ...] = (1, 100, 1_000, 10_000)
    """The connections with events on them, for the cost against their number."""
    shared: int = 256
    """The connections of processes that share a port: so many that the kernel, which deals them out
    by chance, gives each about as many."""
    rates: tuple[int, ...] = (1_000, 2_000, 4_000)
    """Events per second at which latency is measured, beside one event after the other."""
    starts: int = 10
    """How often a package is imported, in processes of their own."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one server took for one job in one round."""

    round: int
    job: str
    subject: Subject
    measurement: Measurement
    connections: int = 0
    size: int = 0
    """The bytes of an event; 0 for a message as people write it."""

    @property
    def cpu(self) -> float:
        """CPU time of the server per event, in microseconds."""
        return self.measurement.server_cpu / self.measurement.events / 1e3

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.measurement.events / self.measurement.wall * 1e9

    @property
    def busy(self) -> float:
        """The part of the time in which the server was running; the rest it waited for the load."""
        return self.measurement.server_cpu / self.measurement.wall

    @property
    def generator_cpu(self) -> float:
        """CPU time of the load generator per event, in microseconds."""
        return self.measurement.generator_cpu / self.measurement.events / 1e3


@dataclass(frozen=True, slots=True)
class Entrant:
    """A server that takes turns with others, and the load on it."""

    subject: Subject
    name: str
    """The job's name."""
    job: Job
    connections: int


async def measure_round(
    number: int, name: str, subjects: Sequence[Subject], settings: Settings
) -> list[Sample]:
    """Start the servers, measure them in turns at the job of that name, and end them.

    Raises ServerError or LoadError if anything was not as it should be.
    """
    job, connections = JOBS[name], settings.connections
    entrants = [Entrant(subject, name, job, connections) for subject in subjects]
    return await measure_turns(number, entrants, settings)


async def measure_turns(
    number: int, entrants: Sequence[Entrant], settings: Settings
) -> list[Sample]:
    """Measure each with a server and a load of its own, in turns; gives a sample for each.

    Raises ServerError or LoadError if anything was not as it should be.
    """
    async with AsyncExitStack() as stack:
        lanes = [await stack.enter_async_context(_lane(each, settings)) for each in entrants]
        for _ in range(max(1, round(settings.seconds / settings.turn))):
            for lane in lanes:
                await lane.run(settings.turn)
    return [
        Sample(number, each.name, each.subject, lane.measured, each.connections, each.job.size or 0)
        for each, lane in zip(entrants, lanes, strict=True)
    ]


class _Lane:
    """The load on an entrant's server, and what was measured so far."""

    def __init__(self, entrant: Entrant, load: Load) -> None:
        self.measured = Measurement()
        self._entrant = entrant
        self._load = load

    async def connect(self, address: tuple[str, int]) -> None:
        """Open the connections. Raises LoadError."""
        with self._named():
            await self._load.connect(self._entrant.job, address, self._entrant.connections)

    async def run(self, seconds: float) -> None:
        """One turn. Raises LoadError."""
        with self._named():
            self.measured += await self._load.run(seconds)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except LoadError as error:
            raise LoadError(f"{self._entrant.subject}, {self._entrant.name}: {error}") from error


@asynccontextmanager
async def _lane(entrant: Entrant, settings: Settings) -> AsyncIterator[_Lane]:
    """A server that is warm; at the end it has to have handled what was answered."""
    async with ServerProcess(entrant.subject) as process:
        load = Load(process.clock())
        lane = _Lane(entrant, load)
        try:
            await lane.connect(process.address)
            await lane.run(settings.warm_up)
            lane.measured = Measurement()
            yield lane
        finally:
            await load.close()
        handled = await process.finish()
    if handled != load.answered:
        raise ServerError(
            f"{entrant.subject}, {entrant.name}: {load.answered} events were answered,"
            f" but its bot was called with {handled}"
        )
