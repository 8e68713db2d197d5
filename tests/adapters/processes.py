"""Bots and their peers as processes: what they say, what they are told, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""Seconds after which a wait for another process has been in vain; on a busy machine it is slow."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_INHERITED = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR")
#: Below what systems give to outgoing connections, which would take a port away from us.
_PORTS = range(20_000, 30_000)


class Process:
    """A running program; what it says, on either stream, is read all the time.

    Programs of ours tell what a test wants to know in lines that begin with `MARK`, a name and a
    value as JSON.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int = 0) -> None:
        self.port = port
        """The port of the loopback that it was told to listen on."""
        self._process = process
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        self.lines: list[str] = []

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(_COLOURS.sub("", line.decode().rstrip("\r\n")))
            self._news.set()
        self._news.set()

    @property
    def base(self) -> str:
        """Where it listens, without a scheme."""
        return f"127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """All that it has said, without colours; long lines are cut."""
        return "\n".join(line[:500] for line in self.lines)

    async def says(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until so many of its lines have `pattern` in them; gives the last one's match."""
        try:
            async with asyncio.timeout(PATIENCE):
                while len(matches := self._find(pattern)) < times and not self._ended:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        assert len(matches) >= times, f"expected {pattern!r} {times} time(s), got:\n{self.output}"
        return matches[times - 1]

    def _find(self, pattern: str) -> list[re.Match[str]]:
        return [match for line in self.lines if (match := re.search(pattern, line))]

    @property
    def _ended(self) -> bool:
        assert self._process.stdout is not None
        return self._process.stdout.at_eof()

    async def marks(self, name: str, times: int = 1) -> Any:
        """Wait until it has marked `name` so many times; gives the last value."""
        return json.loads((await self.says(rf"^MARK {name} (.*)", times))[1])

    def tell(self, **command: object) -> None:
        """Write a line of JSON to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def stop(self) -> int:
        """Ask it to stop, unless it has ended by itself, and give its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            code = await self._process.wait()
            await self._reading
        return code


@asynccontextmanager
async def process(
    *command: str | Path, cwd: Path, port: int = 0, environ: Mapping[str, str] = {}
) -> AsyncIterator[Process]:
    """Run a program in the folder `cwd`; however the block ends, so has the program.

    A block that waits in vain ends with `TimeoutError`.

    Its environment has nothing of ours that it might take for a setting or a proxy.
    """
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**inherited, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**24,
    )
    running = Process(child, port)
    try:
        async with asyncio.timeout(2 * PATIENCE):
            yield running
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        await running._reading
        sys.stdout.write(f"{command} said:\n{running.output}\n")  # shown if a test fails


def free_port() -> int:
    """A port of the loopback that nobody listens on at the moment."""
    while True:
        try:
            with socket.create_server(("127.0.0.1", random.choice(_PORTS))) as server:
                port: int = server.getsockname()[1]
                return port
        except OSError:
            continue
