"""Nothing may be left over: tasks, timers, file descriptors, counted before and after."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from .peer import PATIENCE

_OPEN_FILES = Path("/proc/self/fd")


def open_files() -> int:
    """How many file descriptors the process has open."""
    return len(list(_OPEN_FILES.iterdir())) if _OPEN_FILES.exists() else 0


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """See that the block leaves no task, no timer and no file descriptor behind."""
    gc.collect()
    tasks, files = asyncio.all_tasks(), open_files()
    yield
    async with asyncio.timeout(PATIENCE):
        # A transport that was closed gives its socket back on a later turn of the loop.
        while open_files() > files or asyncio.all_tasks() - tasks:
            gc.collect()
            await asyncio.sleep(0)
    assert not asyncio.all_tasks() - tasks
    assert open_files() <= files
    loop = asyncio.get_running_loop()
    timers = [handle for handle in getattr(loop, "_scheduled", []) if not handle.cancelled()]
    assert not [handle for handle in timers if "nbdriver" in repr(handle)], timers
