"""Runs the servers and the load on them, in turns.

CPU time is no constant either: what else runs on a machine, or on the host of a virtual one, takes
caches and half of a core. So the servers take turns of a tenth of a second (A B A B ...), and what
happens meanwhile happens to all of them. In each round they are started afresh, since the layout of
a process's memory and its hash seed move a figure by some per cent, which belong into its spread.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from .cpu import process_clock
from .load import JOBS, Load, LoadError, Measurement
from .servers import HOST

__all__ = ["Sample", "ServerError", "ServerProcess", "Settings", "Subject", "measure_round"]

ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 20.0


class ServerError(Exception):
    """A server's process did not do what it should."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server under measure: its name in `servers.SERVERS`, and the event loop that it runs on."""

    name: str
    loop: str

    def __str__(self) -> str:
        return f"{self.name} on {self.loop}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How it is measured; times in seconds."""

    rounds: int = 5
    seconds: float = 1.0
    """How long each server is measured in a round, in turns of `turn`."""
    turn: float = 0.1
    warm_up: float = 0.4
    connections: int = 32
    idle: int = 10_000
    """How many WebSockets without events are held beside them, by the job of that name."""
    rest: float = 20.0
    """How long it is measured what those cost if there are no events at all."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one server took for one job in one round."""

    round: int
    job: str
    subject: Subject
    measurement: Measurement

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


class ServerProcess:
    """A server in a process of its own, which ends with the `async with` block."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    async def __aenter__(self) -> ServerProcess:
        # A session of its own, so that Ctrl-C in the terminal is ours alone to answer.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.servers", self._subject.name, self._subject.loop),
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if not k.startswith("NBDRIVER_")},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self.address = HOST, int((await self._read())["port"])
        except BaseException:
            await self._end()
            raise
        return self

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def _read(self) -> dict[str, Any]:
        """The next thing that the server says of itself. Raises ServerError."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ServerError(f"{self._subject}: said nothing for {_PATIENCE} s") from None
        if not line:
            raise ServerError(f"{self._subject}: its process ended; what it said stands above")
        said: dict[str, Any] = json.loads(line)
        return said

    async def finish(self) -> int:
        """Let the server end; gives the number of events that its bot was called with."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return int((await self._read())["handled"])

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        """The process ends by itself when its standard input does; if it does not, it is killed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._process.wait()
        except BaseException as error:
            self._process.kill()
            await self._process.wait()
            if not isinstance(error, TimeoutError):
                raise


async def measure_round(
    number: int, job: str, subjects: Sequence[Subject], settings: Settings
) -> list[Sample]:
    """Start the servers, measure them at a job in turns, and end them.

    Raises ServerError or LoadError if anything was not as it should be.
    """
    async with AsyncExitStack() as stack:
        entrants = [
            await stack.enter_async_context(_entrant(subject, job, settings))
            for subject in subjects
        ]
        for _ in range(max(1, round(settings.seconds / settings.turn))):
            for entrant in entrants:
                await entrant.run(settings.turn)
    return [Sample(number, job, each.subject, each.measured) for each in entrants]


class _Entrant:
    """A server, the load on it, and what was measured so far."""

    def __init__(self, subject: Subject, job: str, load: Load) -> None:
        self.subject = subject
        self.measured = Measurement()
        self._job = job
        self._load = load

    async def run(self, seconds: float) -> None:
        """One turn. Raises LoadError."""
        try:
            self.measured += await self._load.run(seconds)
        except LoadError as error:
            raise LoadError(f"{self.subject}, {self._job}: {error}") from error


@asynccontextmanager
async def _entrant(subject: Subject, job: str, settings: Settings) -> AsyncIterator[_Entrant]:
    """A server that is warm; at the end it has to have handled what was answered."""
    async with ServerProcess(subject) as process:
        load = Load(process_clock(process.pid))
        try:
            await load.connect(JOBS[job], process.address, settings.connections)
            entrant = _Entrant(subject, job, load)
            await entrant.run(settings.warm_up)
            entrant.measured = Measurement()
            yield entrant
        finally:
            await load.close()
        handled = await process.finish()
    if handled != load.answered:
        raise ServerError(
            f"{subject}, {job}: {load.answered} events were answered,"
            f" but its bot was called with {handled}"
        )
