"""What tests of the benchmark share: servers in this process, and samples with round figures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from benchmarks.application import Tally
from benchmarks.clients import JOBS
from benchmarks.floor import FloorProtocol
from benchmarks.idle import IdleSample
from benchmarks.load import Load, Measurement
from benchmarks.measure import Sample, Settings
from benchmarks.process import Subject
from benchmarks.result import Run
from benchmarks.serving import HOST

Address = tuple[str, int]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

MINIATURE = Settings(
    seconds=0.02, turn=0.01, warm_up=0.01, connections=2, idle=5, rest=0.01, starts=1, shared=8
)
"""Everything once, as short as it goes."""


def no_clock() -> int:
    """No time ever passes."""
    return 0


@asynccontextmanager
async def floor() -> AsyncIterator[tuple[Address, Tally]]:
    """The floor, in this process."""
    tally = Tally()
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: FloorProtocol(tally), HOST, 0) as server:
        yield server.sockets[0].getsockname(), tally


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[Address]:
    """A server that does on each connection what `answer` does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (EOFError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        yield server.sockets[0].getsockname()


async def run_load(job: str, address: Address, seconds: float = 0.01) -> Load:
    """A load of two connections that has run and ended."""
    load = Load(no_clock)
    try:
        await load.connect(JOBS[job], address, 2)
        await load.run(seconds)
    finally:
        await load.close()
    return load


def sample(
    number: int,
    job: str,
    name: str,
    cpu: float,
    loop: str = "asyncio",
    *,
    wall: int = 10**9,
    connections: int = 32,
    size: int = 0,
) -> Sample:
    """A thousand events that took `cpu` microseconds each."""
    measured = Measurement(1000, wall, int(cpu * 1e6), 3_000_000)
    return Sample(number, job, Subject(name, loop), measured, connections, size)


OURS = Subject("nbdriver", "asyncio")


def idle_sample(
    number: int, kib: float, beside: float = 60.0, subject: Subject = OURS
) -> IdleSample:
    """Ten idle connections of so many KiB each, and a second at rest that took a millisecond."""
    memory = int(kib * 10_240)
    return IdleSample(
        number,
        subject,
        connections=10,
        memory=memory,
        alone=Measurement(1000, 10**9, 50_000_000),
        beside=Measurement(1000, 10**9, int(beside * 1e6)),
        rest=Measurement(0, 10**9, 1_000_000),
        pinged=10,
        curve=((5, memory // 2), (10, memory)),
    )


def a_run(python: str = "3.12.1", cpu: float = 40.0) -> Run:
    """A run in which HTTP was measured once, on the floor and on ours."""
    machine = {"processors": "2 x Nothing", "Python": f"{python} (CPython)"}
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    run = Run(began, "make bench", machine, Settings(rounds=1))
    run.samples = [sample(1, "http", "floor", 20.0), sample(1, "http", "nbdriver", cpu)]
    return run
