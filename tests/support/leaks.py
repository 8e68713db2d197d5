"""Nothing may be left over: what a test opened, started or filed is counted before and after."""

from __future__ import annotations

import asyncio
import functools
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from nbdriver import Driver
from nbdriver.net.clock import Clock
from nbdriver.net.server import Server

from .peer import PATIENCE

_SELF = Path("/proc/self")


def open_files(process: Path = _SELF) -> int:
    """How many file descriptors a process (a folder of /proc) has open."""
    folder = process / "fd"
    return len(list(folder.iterdir())) if folder.exists() else 0


def held() -> Counter[str]:
    """What the process has of each kind, on whichever loop, in whichever driver and server."""
    counts = Counter({"file descriptors": open_files()})
    for each in gc.get_objects():
        if (kind := _kind(type(each))) is not None:
            name, count = kind
            counts[name] += count(each)
    return counts


def set_aside() -> None:
    """Look no more at what is there by now, between two tests: each look is a short one then.

    Else the last of some thousands of tests look through what all before them have left to pytest.
    """
    gc.collect()
    gc.freeze()


@functools.cache
def _kind(of: type[Any]) -> tuple[str, Callable[[Any], int]] | None:
    """What objects of a class are called, and how many of that one of them stands for."""
    # uvloop's transports are asyncio's by their methods, not by their class.
    if issubclass(of, asyncio.BaseTransport) or (
        of.__module__ == "uvloop.loop" and of.__name__.endswith("Transport")
    ):
        return "open transports", lambda transport: not transport.is_closing()
    return next(((name, count) for base, name, count in _KINDS if issubclass(of, base)), None)


def _is_ours(timer: Any) -> bool:
    """Whether a timer of asyncio's is still to come, and was set by code of ours."""
    if not timer._scheduled or timer.cancelled():
        return False
    callback = timer._callback
    while isinstance(callback, functools.partial):
        callback = callback.func
    return str(getattr(callback, "__module__", "")).startswith("nbdriver")


_KINDS: list[tuple[type[Any], str, Callable[[Any], int]]] = [
    (asyncio.TimerHandle, "timers", _is_ours),
    (Clock, "deadlines", lambda clock: clock.pending),
    (Driver, "bots", lambda driver: len(driver.bots)),
    (Server, "connections", lambda server: len(server._connections)),
]


@contextmanager
def nothing_kept() -> Iterator[None]:
    """See that the block leaves nothing of what `held` counts; for what has ended when it ends."""
    gc.collect()
    before = held()
    yield
    gc.collect()
    left = held() - before
    assert not left, f"left: {left}"


@asynccontextmanager
async def nothing_left(patience: float = PATIENCE) -> AsyncIterator[None]:
    """See that the block leaves no task either, and nothing of what `held` counts."""
    gc.collect()
    tasks, before = asyncio.all_tasks(), held()
    yield
    # By the machine's clock, since a loop's may be a virtual one.
    end = time.monotonic() + patience
    # A transport that was closed gives its socket back on a later turn of the loop.
    while asyncio.all_tasks() - tasks or held() - before:
        left = [*asyncio.all_tasks() - tasks, held() - before]
        assert time.monotonic() < end, f"left: {left}"
        gc.collect()
        await asyncio.sleep(0)
