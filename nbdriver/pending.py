"""Events that are being handled: counted, bounded, and waited for at the end.

A bot that is slower than its events must not fill the memory, and one busy connection must not take
all the places. What finds no place waits in line; the line moves as events end.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

from .net.tasks import Tasks

__all__ = ["Pending"]

logger = logging.getLogger(__name__)

Callback = Callable[[], object]


class Pending:
    """At most `limit` events at a time, each in a held task."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0
        self._tasks = Tasks()
        self._line: OrderedDict[Callback, None] = OrderedDict()
        self._admitting = False
        self.draining = False
        """Whether no further events are taken."""

    @property
    def free(self) -> bool:
        """Whether there is a place."""
        return self._running < self._limit

    def start(self, coroutine: Coroutine[Any, Any, Any], cause: object, done: Callback) -> None:
        """Handle an event, in one of the places; `done` is called when it has ended.

        Whoever stands in line has been offered the place by then.
        """
        self._running += 1
        self._tasks.start(coroutine, cause, lambda: self._end(done))

    def start_beside(self, coroutine: Coroutine[Any, Any, Any], cause: object) -> None:
        """Handle what takes no place: the answers that events in their places may wait for."""
        self._tasks.start(coroutine, cause)

    def when_free(self, callback: Callback) -> None:
        """Call `callback` once when there is a place, in the order of asking.

        It has to take the place before it returns; else the next in line gets it. Asking again
        while it waits changes nothing. What it raises is logged.
        """
        self._line.setdefault(callback)
        self._admit()

    def leave_line(self, callback: Callback) -> None:
        """Do not call `callback` any more, if it still waits."""
        self._line.pop(callback, None)

    def _end(self, done: Callback) -> None:
        self._running -= 1
        # Before `done`, which may start another event of the same busy connection.
        self._admit()
        done()

    def _admit(self) -> None:
        # What is admitted may end at once and come here again; the loop that runs sees to it.
        if self._admitting:
            return
        self._admitting = True
        try:
            while self._line and self.free:
                callback, _ = self._line.popitem(last=False)
                self._call(callback)
        finally:
            self._admitting = False

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:
            logger.exception("what waited for a place failed: %r", callback)

    async def drain(self) -> None:
        """Take no further events, and wait until all that were taken have ended."""
        self.draining = True
        await self._tasks.join()

    async def cancel(self) -> None:
        """Cancel what is left, naming it in the log; those in line are forgotten."""
        self._line.clear()
        await self._tasks.cancel()
