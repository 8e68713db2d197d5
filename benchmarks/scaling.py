"""What more connections cost, and what more processes bring.

With one connection a server does one thing in each turn of its loop; with many, several have come
whenever it looks. So the cost per event falls first, and then rises with what no longer fits into
caches; the floor, measured alike, shows how much of either is the loop's and the kernel's.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .clients import JOBS
from .idle import allow_files
from .load import Load, LoadError, Measurement
from .measure import Entrant, Sample, Settings, measure_turns
from .process import ServerError, ServerProcess, Subject
from .processors import all_processors
from .serving import HOST

__all__ = ["ProcessSample", "measure_connections", "measure_processes", "measure_sizes"]


async def measure_sizes(
    number: int, kind: str, subjects: Sequence[Subject], settings: Settings
) -> list[Sample]:
    """Measure the servers with events of each size. Raises ServerError or LoadError."""
    samples = []
    for size in settings.sizes:
        job = JOBS[kind].sized(size)
        # Few, so that what is on its way at a time stays small beside a cache.
        entrants = [
            Entrant(subject, kind, job, min(8, settings.connections)) for subject in subjects
        ]
        samples += await measure_turns(number, entrants, settings)
    return samples


async def measure_connections(
    number: int, kind: str, subjects: Sequence[Subject], settings: Settings
) -> list[Sample]:
    """Measure each server with each number of connections, in turns.

    Raises ServerError or LoadError.
    """
    allow_files(sum(settings.scale))
    job = replace(JOBS[kind], distinct=2)
    samples = []
    for subject in subjects:
        entrants = [Entrant(subject, kind, job, connections) for connections in settings.scale]
        samples += await measure_turns(number, entrants, settings)
    return samples


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """What some processes that share a port took in one round."""

    round: int
    job: str
    subject: Subject
    processes: int
    connections: int
    measurement: Measurement
    machine_busy: float
    """The part of all processors' time in which something ran; near 1, the machine was full."""

    @property
    def cpu(self) -> float:
        """CPU time of the servers per event, in microseconds."""
        return self.measurement.server_cpu / self.measurement.events / 1e3

    @property
    def rate(self) -> float:
        """Events per second, of all of them together."""
        return self.measurement.events / self.measurement.wall * 1e9

    @property
    def generator_busy(self) -> float:
        """The part of the time in which the load generator was running."""
        return self.measurement.generator_cpu / self.measurement.wall


async def measure_processes(
    number: int, kind: str, subject: Subject, settings: Settings
) -> list[ProcessSample]:
    """Measure one process and two that share a port, in turns. Raises ServerError or LoadError."""
    counts = (1, 2)
    measured = [Measurement() for _ in counts]
    busy = [0.0 for _ in counts]
    async with AsyncExitStack() as stack:
        stack.enter_context(all_processors())
        loads = [
            await stack.enter_async_context(_shared(subject, kind, count, settings))
            for count in counts
        ]
        turns = max(1, round(settings.seconds / settings.turn))
        for _ in range(turns):
            for index, load in enumerate(loads):
                before = _machine_idle(), time.monotonic_ns()
                measured[index] += await load.run(settings.turn)
                idle, wall = _machine_idle() - before[0], time.monotonic_ns() - before[1]
                busy[index] += (1 - idle / wall / (os.cpu_count() or 1)) / turns
    return [
        ProcessSample(number, kind, subject, count, settings.shared, total, part)
        for count, total, part in zip(counts, measured, busy, strict=True)
    ]


@asynccontextmanager
async def _shared(
    subject: Subject, kind: str, count: int, settings: Settings
) -> AsyncIterator[Load]:
    """The load on so many processes that share a port, warm."""
    async with AsyncExitStack() as stack:
        # It does not listen, and so nothing comes to it; it keeps the port for those that do.
        reserved = stack.enter_context(socket.socket())
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((HOST, 0))
        port = reserved.getsockname()[1]
        processes = [
            await stack.enter_async_context(ServerProcess(subject, port)) for _ in range(count)
        ]
        clocks = [process.clock() for process in processes]
        load = Load(lambda: sum(clock() for clock in clocks))
        try:
            await load.connect(JOBS[kind], (HOST, port), settings.shared)
            await load.run(settings.warm_up)
            yield load
        except LoadError as error:
            raise LoadError(f"{subject}, {count} processes: {error}") from error
        finally:
            await load.close()
        handled = [await process.finish() for process in processes]
    if sum(handled) != load.answered:
        raise ServerError(
            f"{subject}, {count} processes: {load.answered} events were answered,"
            f" but their bots were called with {handled}"
        )


def _machine_idle() -> int:
    """For how long the processors had nothing to do so far, all together, in nanoseconds."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    # user, nice, system, idle, iowait, ... (proc(5)), in ticks
    return (int(fields[4]) + int(fields[5])) * 10**9 // os.sysconf("SC_CLK_TCK")
