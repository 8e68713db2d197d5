"""A bot with some adapters on a driver, in a process of its own."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.environments import ADAPTERS, GITHUB, LEAN, MORE, THEIRS
from adapters.processes import Process, free_port, process
from hosts.environments import Environment

BOT = Path(__file__).with_name("bot.py")

#: What no run says, and what is not said but for errors that a test brings about.
_UNWANTED = re.compile(r"\[CRITICAL\]|was never (awaited|retrieved)|Warning: ")
_ERROR = re.compile(r"\[ERROR\]")


@dataclass(frozen=True)
class Host:
    """A driver, the line by which it says that it listens, and the code that SIGTERM ends it by."""

    name: str
    driver: str
    listens: str
    code: int

    def environment(self, *adapters: str) -> Environment:
        """Where these adapters are installed with this driver."""
        if self is not OURS:
            return THEIRS
        names = {adapter.partition(".")[0] for adapter in adapters} & ADAPTERS.keys()
        if names <= {"onebot", "satori"}:
            return LEAN
        return GITHUB if "github" in names else MORE

    def __str__(self) -> str:
        return self.name


OURS = Host("nbdriver", "nbdriver.nonebot", r"Listening on http://", 0)
#: uvicorn has itself ended by the signal that it was sent, once all is put away.
NONEBOTS = Host(
    "nonebot", "~fastapi+~httpx+~websockets", r"Uvicorn running on http://", -signal.SIGTERM
)
HOSTS = (OURS, NONEBOTS)


@asynccontextmanager
async def running_bot(
    host: Host,
    folder: Path,
    *adapters: str,
    errors: int = 0,
    tracebacks: bool = False,
    **settings: object,
) -> AsyncIterator[Process]:
    """Run a bot with these adapters and settings, from listening until it is asked to stop.

    It has to end well, having logged as many errors as the test has brought about, and no traceback
    without one unless the test says so.
    """
    port = free_port()
    _write_settings(folder, {"DRIVER": host.driver, "PORT": port, **settings})
    interpreter = host.environment(*adapters).interpreter
    async with process(interpreter, BOT, *adapters, cwd=folder, port=port) as bot:
        await bot.says(host.listens)
        yield bot
        assert await bot.stop() == host.code, bot.output
        assert not _UNWANTED.search(bot.output), bot.output
        assert len(_ERROR.findall(bot.output)) == errors, bot.output
        assert errors or tracebacks or "Traceback" not in bot.output, bot.output


async def has_echoed(bot: Process, times: int = 1) -> None:
    """Wait until its plugin is through with so many `/echo`: the platform's answers are there."""
    await bot.says(r"nonebot\.plugins\.echo\b.* running complete", times)


def _write_settings(folder: Path, settings: dict[str, object]) -> None:
    text = "".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}\n"
        for name, value in settings.items()
    )
    (folder / ".env.prod").write_text(text, "utf-8")
