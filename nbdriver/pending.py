"""Events that are being handled: counted, bounded, and waited for at the end.

A bot that is slower than its events must not fill the memory, and one busy connection must not take
all the places: each has a `Share` of them. What finds no place waits in line; the line moves as
events end.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

from .net.tasks import Tasks

__all__ = ["Pending", "Share"]

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
        self._cancelled = False
        self.draining = False
        """Whether no further events are taken."""

    @property
    def free(self) -> bool:
        """Whether there is a place."""
        return self._running < self._limit

    def start(self, coroutine: Coroutine[Any, Any, Any], cause: object, done: Callback) -> None:
        """Handle an event, in one of the places; `done` is called when it has ended.

        It has to `give_back` the place.
        """
        self._running += 1
        self._tasks.start(coroutine, cause, done)

    def give_back(self) -> None:
        """A place is free again: offer it to whoever stands in line."""
        self._running -= 1
        if self._line:
            self._admit()

    def start_beside(
        self, coroutine: Coroutine[Any, Any, Any], cause: object, done: Callback
    ) -> None:
        """Handle what takes no place: the answers that events in their places may wait for."""
        self._tasks.start(coroutine, cause, done)

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

    def _admit(self) -> None:
        # What is admitted may end at once and come here again; the loop that runs sees to it.
        if self._admitting or self._cancelled:
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
        """Cancel what is left, naming it in the log; nobody gets a place any more."""
        self._cancelled = True
        await self._tasks.cancel()


class Share:
    """What one connection may take of the places: at most `limit` at a time."""

    __slots__ = ("__weakref__", "_limit", "_pending", "_running", "_waiting")

    def __init__(self, pending: Pending, limit: int) -> None:
        self._pending = pending
        self._limit = limit
        self._running = 0
        self._waiting: Callback | None = None

    @property
    def free(self) -> bool:
        """Whether there is a place, and this connection may take it."""
        pending = self._pending
        return self._running < self._limit and pending._running < pending._limit

    def start(self, coroutine: Coroutine[Any, Any, Any], cause: object) -> None:
        """Handle an event, in one of the places."""
        self._running += 1
        self._pending.start(coroutine, cause, self._ended)

    def when_free(self, callback: Callback) -> None:
        """As `Pending.when_free`; a connection has one callback at a time."""
        self._waiting = callback
        self._stand_in_line()

    def leave_line(self) -> None:
        """Do not call the callback any more, if it still waits."""
        self._waiting = None
        self._pending.leave_line(self._offer)

    def _stand_in_line(self) -> None:
        # While its own events take all that it may have, it is their end that it waits for.
        if self._waiting is not None and self._running < self._limit:
            self._pending.when_free(self._offer)

    def _offer(self) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        waiting()

    def _ended(self) -> None:
        # First, so that those who stand in line come before another event of this connection.
        self._pending.give_back()
        self._running -= 1
        if self._waiting is not None:
            self._stand_in_line()
