"""A server under measure, and the process that it runs in."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from .cpu import process_clock, resident
from .serving import HOST

__all__ = ["Launch", "ServerError", "ServerProcess", "Subject", "clean_environ"]

ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 20.0


class ServerError(Exception):
    """A server's process did not do what it should."""


def clean_environ() -> dict[str, str]:
    """The environment without what would change one server and not another.

    Settings of the driver; and Python's own, such as the one by which it writes no bytecode: then
    what pip has compiled would start faster than what stands in this folder.
    """
    hidden = ("NBDRIVER_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server's process is started."""

    python: str = sys.executable
    """The interpreter, which is that of the environment where the server is installed."""
    json: str = "json"
    """The library that reads and writes JSON in it, one of `application.JSON_LIBRARIES`."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server under measure: its name in `servers.SERVERS`, and the event loop that it runs on."""

    name: str
    loop: str
    launch: Launch = field(default=Launch(), compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.name} on {self.loop}"


class ServerProcess:
    """A server in a process of its own, which ends with the `async with` block."""

    def __init__(self, subject: Subject, port: int = 0) -> None:
        """With a `port` other than 0, a server of ours shares it with others that are given it."""
        self._subject = subject
        self._port = port

    async def __aenter__(self) -> ServerProcess:
        subject = self._subject
        command = [subject.launch.python, "-m", "benchmarks.servers", subject.name, subject.loop]
        # A session of its own, so that Ctrl-C in the terminal is ours alone to answer.
        self._process = await asyncio.create_subprocess_exec(
            *command,
            f"--port={self._port}",
            cwd=ROOT,
            env=clean_environ() | {"BENCHMARKS_JSON": subject.launch.json},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            said = await self._read()
            self.address = HOST, int(said["port"])
            self.pids: list[int] = said["processes"] or [self.pid]
        except BaseException:
            await self._end()
            raise
        return self

    @property
    def pid(self) -> int:
        """The process's id; some servers have more than one, see `pids`."""
        return self._process.pid

    def clock(self) -> Callable[[], int]:
        """A function that gives the CPU time of all its processes so far, in nanoseconds."""
        clocks = [process_clock(pid) for pid in self.pids]
        if len(clocks) == 1:
            return clocks[0]
        return lambda: sum(clock() for clock in clocks)

    def resident(self) -> int:
        """The bytes of memory that all its processes have resident."""
        return sum(resident(pid) for pid in self.pids)

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
            # And what it has started, which is of its session.
            os.killpg(self.pid, signal.SIGKILL)
            await self._process.wait()
            if not isinstance(error, TimeoutError):
                raise
