"""One coarse clock for every deadline.

A server has thousands of deadlines and almost none of them is ever reached, so a timer of the event
loop for each would be paid for and thrown away. Here a deadline is a number that its owner moves,
filed in a bucket of a quarter of a second; one timer rings for the first bucket that comes due. So
a deadline may act up to `RESOLUTION` late, never early. Tests use `VirtualClock`, and no time
passes.
"""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import TracebackType

__all__ = ["RESOLUTION", "Clock", "Deadline", "LoopClock", "Timeout", "VirtualClock"]

logger = logging.getLogger(__name__)

RESOLUTION = 0.25
"""How far apart the clock's looks are, in seconds; a power of two, so that no moment is rounded."""


class Deadline:
    """A moment at which `callback` is called once, unless it is moved or cancelled before.

    Made by `Clock.deadline`; unarmed at first. To move it is cheap, so it can be moved per request.
    """

    __slots__ = ("_callback", "_clock", "_context", "_filed", "when")

    def __init__(self, clock: Clock, callback: Callable[[], object]) -> None:
        self._clock = clock
        self._callback = callback
        # Else it would run in the context of whoever happened to start the clock's one timer.
        self._context = copy_context()
        self._filed = math.inf
        self.when = math.inf

    def set(self, seconds: float | None) -> None:
        """Arm it for `seconds` from now; None disarms it."""
        if seconds is None:
            self.when = math.inf
        else:
            self.when = when = self._clock.time() + seconds
            # Moved later it stays where it is filed, and is filed anew when that bucket is due.
            if when < self._filed:
                self._clock._file(self)

    @property
    def armed(self) -> bool:
        """Whether the callback is still to come."""
        return self.when != math.inf

    def cancel(self) -> None:
        """Disarm it and let the clock forget it, so that it keeps nothing alive."""
        self.when = math.inf
        self._clock._unfile(self)


class Clock(ABC):
    """Where deadlines are filed; what the time is, and how to wait for it, is the subclass's.

    A bucket is named by its moment, a multiple of RESOLUTION, at which all in it are looked at.
    """

    def __init__(self) -> None:
        self._buckets: dict[float, dict[Deadline, None]] = {}
        self._next = math.inf

    @abstractmethod
    def time(self) -> float:
        """Seconds since some moment in the past; never runs backwards."""

    @abstractmethod
    def _wake(self) -> None:
        """`_next` has changed: see that `_look` is called then, or never if it is infinite."""

    def deadline(self, callback: Callable[[], object]) -> Deadline:
        """A new deadline, unarmed; its callback must not block, and what it raises is logged.

        The callback runs in the context (`contextvars`) in which the deadline was made.
        """
        return Deadline(self, callback)

    def timeout(self, seconds: float | None) -> Timeout:
        """`async with clock.timeout(2): ...` raises TimeoutError if the block takes longer."""
        return Timeout(self, seconds)

    @property
    def pending(self) -> int:
        """How many deadlines are filed; 0 when every owner has cancelled its own."""
        return sum(map(len, self._buckets.values()))

    def _file(self, deadline: Deadline) -> None:
        self._unfile(deadline)
        # A bucket in the future even for what is due now: else a callback that sets its own
        # deadline anew could keep the clock looking for ever.
        moment = RESOLUTION * max(
            math.ceil(deadline.when / RESOLUTION), math.floor(self.time() / RESOLUTION) + 1
        )
        self._buckets.setdefault(moment, {})[deadline] = None
        deadline._filed = moment
        if moment < self._next:
            self._ring_at(moment)

    def _unfile(self, deadline: Deadline) -> None:
        moment, deadline._filed = deadline._filed, math.inf
        if (filed := self._buckets.get(moment)) is not None:
            del filed[deadline]
            if not filed:
                del self._buckets[moment]
            if not self._buckets:
                self._ring_at(math.inf)

    def _ring_at(self, moment: float) -> None:
        self._next = moment
        self._wake()

    def _look(self) -> None:
        """Call what is due, file anew what was moved."""
        now = self.time()
        try:
            for moment in sorted(moment for moment in self._buckets if moment <= now):
                for deadline in list(self._buckets.get(moment, ())):
                    # A callback before this one may have cancelled it, or filed it elsewhere.
                    if deadline._filed == moment:
                        self._act(deadline, now)
        finally:
            self._ring_at(min(self._buckets, default=math.inf))

    def _act(self, deadline: Deadline, now: float) -> None:
        """A deadline's bucket has come due, and with it the deadline unless it was moved."""
        self._unfile(deadline)
        if deadline.when <= now:
            deadline.when = math.inf
            try:
                deadline._context.run(deadline._callback)
            except Exception:
                logger.exception("a deadline's callback failed: %r", deadline._callback)
        elif deadline.armed:
            self._file(deadline)


class LoopClock(Clock):
    """The clock of an event loop; it has a timer only while something is filed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def time(self) -> float:
        """The event loop's time."""
        return self._loop.time()

    def _wake(self) -> None:
        self.stop()
        if self._next != math.inf:
            self._timer = self._loop.call_at(self._next, self._look)

    def stop(self) -> None:
        """Take the timer back; what is filed is not called unless something else is filed later."""
        if self._timer is not None:
            self._timer.cancel()


class VirtualClock(Clock):
    """A clock for tests: time passes only when `advance` is called."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        """The virtual time."""
        return self._now

    def _wake(self) -> None:
        pass

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass; what comes due is called in its order, at its own time."""
        end = self._now + seconds
        while self._next <= end:
            self._now = self._next
            self._look()
        self._now = end


class Timeout:
    """What `Clock.timeout` gives: an `asyncio.timeout` that a coarse clock tells when to end."""

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._seconds = seconds
        self._scope = asyncio.timeout(None)
        self._deadline = clock.deadline(partial(self._scope.reschedule, 0))

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._deadline.set(self._seconds)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadline.cancel()
        await self._scope.__aexit__(kind, error, traceback)
