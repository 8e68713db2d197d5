"""One coarse clock for every deadline.

A server has thousands of deadlines and almost none of them is ever reached, so a timer of the event
loop for each would be paid for and thrown away. Here a deadline is a number that its owner moves,
filed in a bucket of a quarter of a second; one timer looks at the buckets that have come due. So a
deadline may act up to `RESOLUTION` late, never early. Tests use `VirtualClock`, and no time passes.
"""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from types import TracebackType

__all__ = ["RESOLUTION", "Clock", "Deadline", "LoopClock", "Timeout", "VirtualClock"]

logger = logging.getLogger(__name__)

RESOLUTION = 0.25
"""How long the clock sleeps between two looks, in seconds."""


class Deadline:
    """A moment at which `callback` is called once, unless the deadline is moved or cancelled before.

    Made by `Clock.deadline`; unarmed at first. To move it is cheap, so it can be moved per request.
    """

    __slots__ = ("_callback", "_clock", "_filed", "when")

    def __init__(self, clock: Clock, callback: Callable[[], object]) -> None:
        self._clock = clock
        self._callback = callback
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
    """Where deadlines are filed; what the time is and when to look is up to the subclass."""

    def __init__(self) -> None:
        self._buckets: dict[float, set[Deadline]] = {}

    @abstractmethod
    def time(self) -> float:
        """Seconds since some moment in the past; never runs backwards."""

    @abstractmethod
    def _wake(self) -> None:
        """See to it that `_look` is called within RESOLUTION; called whenever something is filed."""

    def deadline(self, callback: Callable[[], object]) -> Deadline:
        """A new deadline, unarmed; its callback must not block, and what it raises is logged."""
        return Deadline(self, callback)

    def timeout(self, seconds: float | None) -> Timeout:
        """`async with clock.timeout(2): ...` raises TimeoutError if the block takes longer."""
        return Timeout(self, seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds, up to RESOLUTION more."""
        woken = asyncio.get_running_loop().create_future()
        deadline = self.deadline(partial(woken.set_result, None))
        deadline.set(seconds)
        try:
            await woken
        finally:
            deadline.cancel()

    @property
    def pending(self) -> int:
        """How many deadlines are filed; 0 when every owner has cancelled its own."""
        return sum(map(len, self._buckets.values()))

    def _file(self, deadline: Deadline) -> None:
        self._unfile(deadline)
        bucket = math.ceil(deadline.when / RESOLUTION)
        self._buckets.setdefault(bucket, set()).add(deadline)
        deadline._filed = bucket * RESOLUTION
        self._wake()

    def _unfile(self, deadline: Deadline) -> None:
        if deadline._filed != math.inf:
            bucket = round(deadline._filed / RESOLUTION)
            deadline._filed = math.inf
            if filed := self._buckets.get(bucket):
                filed.discard(deadline)
                if not filed:
                    del self._buckets[bucket]

    def _look(self) -> None:
        """Call what is due, file anew what was moved."""
        now = self.time()
        for bucket in sorted(key for key in self._buckets if key * RESOLUTION <= now):
            for deadline in self._buckets.pop(bucket, ()):
                deadline._filed = math.inf
                if deadline.when > now:
                    if deadline.armed:
                        self._file(deadline)
                    continue
                deadline.when = math.inf
                try:
                    deadline._callback()
                except Exception:
                    logger.exception("a deadline's callback failed: %r", deadline._callback)
        if self._buckets:
            self._wake()


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
        if self._timer is None:
            self._timer = self._loop.call_later(RESOLUTION, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._look()

    def stop(self) -> None:
        """Take the timer back; deadlines that are still filed will not be called."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


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
        """Let that many seconds pass, one look per RESOLUTION, as the real clock would."""
        end = self._now + seconds
        while self._now < end:
            self._now = min(self._now + RESOLUTION, end)
            self._look()


class Timeout:
    """What `Clock.timeout` gives: `asyncio.timeout` in kind, counted by a coarse clock."""

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._deadline = clock.deadline(self._expire)
        self._seconds = seconds
        self._expired = False

    async def __aenter__(self) -> Timeout:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("expected Clock.timeout to be used inside a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._deadline.set(self._seconds)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadline.cancel()
        # Only a cancellation that is ours alone becomes a TimeoutError (as in asyncio.timeout).
        if (
            self._expired
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
