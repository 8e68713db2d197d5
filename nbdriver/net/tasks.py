"""Tasks that are held, awaited, and whose exceptions are logged with what caused them.

A task that nobody holds may vanish in mid-flight, and its exception is told only to the garbage
collector. So whoever starts work starts it in a `Tasks`, names its cause, and can await the rest.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

__all__ = ["Tasks"]

logger = logging.getLogger(__name__)

Done = Callable[[], object]


#: How a task is made that runs at once up to its first wait; before Python 3.12 there is no way.
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Tasks:
    """A set of running tasks. `len()` of it is their number.

    Those of an `eager` set run at once up to their first wait, from Python 3.12 on.
    """

    def __init__(self, *, eager: bool = True) -> None:
        self._make: Callable[..., asyncio.Task[Any]] = partial(
            asyncio.Task, **(_EAGER if eager else {})
        )
        self._held: dict[asyncio.Task[Any], tuple[object, Done | None]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def start(
        self, coroutine: Coroutine[Any, Any, Any], cause: object, done: Done | None = None
    ) -> asyncio.Task[Any]:
        """Run `coroutine` in a task that is held until it ends.

        `cause` is what it works on: its text stands in the log if the task fails or has to be
        cancelled. `done` is called once when the task has ended, however it ended; what it raises
        is logged.
        """
        task = self._make(coroutine, loop=asyncio.get_running_loop())
        see_to_its_end = _see_off if task.done() else self._hold
        see_to_its_end(task, cause, done)
        return task

    def _hold(self, task: asyncio.Task[Any], cause: object, done: Done | None) -> None:
        self._held[task] = cause, done
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        _see_off(task, *self._held.pop(task))

    async def join(self) -> None:
        """Wait until no task is left, those included that are started meanwhile.

        Called by one of the tasks, it waits for the others. Safe to cancel: the tasks are not.
        """
        while held := self._others():
            await asyncio.wait(held)

    async def cancel(self) -> None:
        """Cancel what is left, name each in the log, and wait until it has ended.

        What is started meanwhile is cancelled as well. Called by one of the tasks, it cancels the
        others.
        """
        while held := self._others():
            for task in held:
                cause, _ = self._held[task]
                if task.cancel():
                    logger.warning("%s: cancelled, it had not ended in time", _brief(cause))
            await asyncio.wait(held)

    def _others(self) -> list[asyncio.Task[Any]]:
        current = asyncio.current_task()
        return [task for task in self._held if task is not current]


def _see_off(task: asyncio.Task[Any], cause: object, done: Done | None) -> None:
    """A task has ended: tell the log if it failed, and call what is to be called."""
    if task.cancelled():
        # Whoever cancels a task knows of it; one that ends so by itself would end unseen.
        if not task.cancelling():
            logger.error("%s: failed with a CancelledError of its own", _brief(cause))
    elif (error := task.exception()) is not None:
        logger.error("%s: failed", _brief(cause), exc_info=error)
    if done is not None:
        try:
            done()
        except Exception:
            logger.exception("%s: what was to be done at its end failed", _brief(cause))


def _brief(cause: object, limit: int = 200) -> str:
    """The cause as one line for the log, without what could lead a terminal astray."""
    text = str(cause)
    brief = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in brief)
