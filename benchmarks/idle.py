"""What a WebSocket costs on which nothing happens: memory, CPU time at rest, and that of others.

A bot's connection is idle most of the time, and a driver holds many. So events flow on some, first
alone and then beside the idle ones, and then on none.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .clients import JOBS
from .load import Load, LoadError, Measurement
from .measure import Settings
from .process import ServerError, ServerProcess, Subject
from .summary import Spread, spread

__all__ = ["IdleRow", "IdleSample", "allow_files", "measure_idle", "steps", "summarise_idle"]

#: What a process has open beside its connections, at most.
_OTHER_FILES = 100
#: Seconds for all of them to be connected.
_PATIENCE = 120.0
#: What is done on the idle ones: nothing, under ids that no other has.
_HELD = replace(JOBS["websocket"], distinct=1, offset=1_000_000)


@dataclass(frozen=True, slots=True)
class IdleSample:
    """What one server took in one round. Times in nanoseconds, memory in bytes."""

    round: int
    subject: Subject
    connections: int
    """How many were idle."""
    memory: int
    """By how much the resident memory of the server's process grew with them."""
    alone: Measurement
    """Events on other connections, before the idle ones were there,"""
    beside: Measurement
    """and beside them."""
    rest: Measurement
    """The idle ones without any events."""
    pinged: int
    """Pings that came during the rest."""
    curve: tuple[tuple[int, int], ...] = ()
    """Of how many connections how much memory: pairs, from few to all."""

    @property
    def kib(self) -> float:
        """KiB of memory for each idle connection."""
        return self.memory / self.connections / 1024

    @property
    def cpu_alone(self) -> float:
        """CPU time of the server per event, in microseconds."""
        return self.alone.server_cpu / self.alone.events / 1e3

    @property
    def cpu_beside(self) -> float:
        """The same beside the idle connections."""
        return self.beside.server_cpu / self.beside.events / 1e3

    @property
    def busy(self) -> float:
        """The part of a core that the idle connections take."""
        return self.rest.server_cpu / self.rest.wall


@dataclass(frozen=True, slots=True)
class IdleRow:
    """A server with its idle connections, over all rounds; the properties of its samples."""

    subject: Subject
    kib: Spread
    cpu_alone: Spread
    cpu_beside: Spread
    busy: Spread
    pinged: Spread


def summarise_idle(samples: Sequence[IdleSample]) -> list[IdleRow]:
    """A row for each server, in the order of the samples."""
    rows = []
    for subject in dict.fromkeys(each.subject for each in samples):
        own = [each for each in samples if each.subject == subject]
        rows.append(
            IdleRow(
                subject,
                kib=spread(each.kib for each in own),
                cpu_alone=spread(each.cpu_alone for each in own),
                cpu_beside=spread(each.cpu_beside for each in own),
                busy=spread(each.busy for each in own),
                pinged=spread(each.pinged for each in own),
            )
        )
    return rows


def allow_files(connections: int) -> None:
    """See that this process, and the servers that it starts, may hold so many connections.

    Raises LoadError if the system does not let them.
    """
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LoadError(
            f"expected to be allowed {needed} open files for {connections} connections,"
            f" the hard limit is {hard} (ulimit -Hn); take fewer with --idle"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def steps(connections: int) -> list[int]:
    """The numbers of connections at which memory is looked at: some on the way, then all."""
    return [*(n for n in (100, 300, 1_000, 3_000, 10_000, 30_000) if n < connections), connections]


async def measure_idle(
    number: int, subjects: Iterable[Subject], settings: Settings
) -> list[IdleSample]:
    """Measure the servers one after the other: each takes as many descriptors as there may be.

    Raises ServerError or LoadError if anything was not as it should be.
    """
    allow_files(settings.idle + settings.connections)
    return [await _measure(number, subject, settings) for subject in subjects]


async def _measure(number: int, subject: Subject, settings: Settings) -> IdleSample:
    async with ServerProcess(subject) as process:
        clock = process.clock()
        busy, held = Load(clock), Load(clock)
        held.patience = _PATIENCE
        try:
            await busy.connect(JOBS["websocket"], process.address, settings.connections)
            await busy.run(settings.warm_up)
            alone = await busy.run(settings.seconds)
            before = process.resident()
            curve: list[tuple[int, int]] = []
            for connections in steps(settings.idle):
                more = connections - (curve[-1][0] if curve else 0)
                await held.connect(_HELD, process.address, more)
                curve.append((connections, process.resident() - before))
            memory = curve[-1][1]
            # Python looks through all that has come once more for garbage; that is no event's.
            await busy.run(settings.warm_up)
            beside = await busy.run(settings.seconds)
            pinged = held.pinged
            rest = await held.rest(settings.rest)
            pinged = held.pinged - pinged
        except LoadError as error:
            raise LoadError(f"{subject}, idle: {error}") from error
        finally:
            await held.close()
            await busy.close()
        handled = await process.finish()
    if handled != busy.answered:
        raise ServerError(
            f"{subject}, idle: {busy.answered} events were answered,"
            f" but its bot was called with {handled}"
        )
    return IdleSample(
        number, subject, settings.idle, memory, alone, beside, rest, pinged, tuple(curve)
    )
