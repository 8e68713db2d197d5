"""A program of ours in a process of its own: what it says, what it is told, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import websockets

from nbdriver.config import PREFIX, Config

from . import lanes

PATIENCE = 60.0
"""Seconds after which a wait for another process has been in vain; on a busy machine it is slow."""

ROOT = Path(__file__).resolve().parents[2]


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of the tests without what would configure a bot, and with `variables`.

    The lane is the one setting that stays.
    """
    known = {row.name for row in Config.describe()}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == lanes.SETTING
        or (name.upper() not in known and not name.upper().startswith(PREFIX))
    }
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


class Program:
    """A running Python; `out` and `err` are what it has said so far and was read."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.out = ""
        self.err = ""

    async def read_err(self, pattern: str) -> re.Match[str]:
        """Read standard error until it holds `pattern`."""
        assert self._process.stderr is not None
        while (match := re.search(pattern, self.err)) is None:
            self.err += await self._line(self._process.stderr)
        return match

    async def read_out(self, pattern: str) -> re.Match[str]:
        """Read standard output until it holds `pattern`."""
        assert self._process.stdout is not None
        while (match := re.search(pattern, self.out)) is None:
            self.out += await self._line(self._process.stdout)
        return match

    async def _line(self, stream: asyncio.StreamReader) -> str:
        async with asyncio.timeout(PATIENCE):
            line = await stream.readline()
        assert line, f"it has ended; it said: {self.out}{self.err}"
        return line.decode()

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    async def port(self) -> int:
        """The port that it listens on, as its log tells."""
        return int((await self.read_err(r"Listening on http://\S+:(\d+)"))[1])

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.signal(signal.SIGINT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until it has ended, read the rest of what it said, and give its exit code."""
        async with asyncio.timeout(PATIENCE):
            out, err = await self._process.communicate()
        self.out += out.decode()
        self.err += err.decode()
        assert self._process.returncode is not None
        return self._process.returncode


@asynccontextmanager
async def program(*arguments: str, cwd: Path, **variables: str) -> AsyncIterator[Program]:
    """Run Python with `arguments` in the folder `cwd`; however the block ends, so has Python."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=cwd,
        env=clean_environment(**variables),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(2 * PATIENCE):
            yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def platform(address: str, **headers: str) -> websockets.connect:
    """A platform's WebSocket client; the underscores in names of headers stand for dashes."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return websockets.connect(
        address, additional_headers=fields, open_timeout=PATIENCE, ping_interval=None
    )
