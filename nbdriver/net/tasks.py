"""Tasks that are held, awaited, and whose exceptions are logged with what caused them.

A task that nobody holds may vanish in mid-flight, and its exception is told only to the garbage
collector. So whoever starts work starts it in a `Tasks`, names its cause, and can await the rest.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Tasks"]

logger = logging.getLogger(__name__)

Done = Callable[[], object]


def _eager(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task that runs at once up to its first wait (Python 3.12)."""
    start: Any = asyncio.Task  # the keyword is unknown to the type checker below 3.12
    task: asyncio.Task[Any] = start(coroutine, loop=asyncio.get_running_loop(), eager_start=True)
    return task


def _scheduled(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task on the next turn of the event loop."""
    return asyncio.get_running_loop().create_task(coroutine)


_start: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]] = (
    _eager if sys.version_info >= (3, 12) else _scheduled
)


class Tasks:
    """A set of running tasks. `len()` of it is their number."""

    def __init__(self) -> None:
        self._held: dict[asyncio.Task[Any], tuple[object, Done | None]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def start(
        self, coroutine: Coroutine[Any, Any, Any], cause: object, done: Done | None = None
    ) -> asyncio.Task[Any]:
        """Run `coroutine` in a task that is held until it ends; on Python 3.12 it starts at once.

        `cause` is what it works on: its text stands in the log if the task fails or has to be
        cancelled. `done` is called when the task has ended, however it ended.
        """
        task = _start(coroutine)
        if task.done():
            self._ended(task, cause, done)
        else:
            self._held[task] = cause, done
            task.add_done_callback(self._release)
        return task

    def _release(self, task: asyncio.Task[Any]) -> None:
        cause, done = self._held.pop(task)
        self._ended(task, cause, done)

    def _ended(self, task: asyncio.Task[Any], cause: object, done: Done | None) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s: failed", _brief(cause), exc_info=error)
        if done is not None:
            done()

    async def join(self) -> None:
        """Wait until no task is left, those included that are started meanwhile.

        Safe to cancel: the tasks themselves are not.
        """
        current = asyncio.current_task()
        while held := [task for task in self._held if task is not current]:
            await asyncio.wait(held)

    async def cancel(self) -> None:
        """Cancel what is left, name each in the log, and wait until it has ended."""
        for task, (cause, _) in list(self._held.items()):
            logger.warning("%s: cancelled, it had not ended in time", _brief(cause))
            task.cancel()
        await self.join()


def _brief(cause: object, limit: int = 200) -> str:
    """The cause as one line for the log."""
    text = str(cause).translate(_LINE_ENDS)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


_LINE_ENDS = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0xA0)]}
