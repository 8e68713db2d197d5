"""An event loop for tests whose time is ours."""

from __future__ import annotations

import asyncio
import functools
import selectors
import socket
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["JumpingLoop", "jumping"]


class JumpingLoop(asyncio.SelectorEventLoop):
    """Nothing waits here: when there is nothing left to do, the time jumps to the next timer.

    So whatever waits for time can be tested on a real loop, to its last digit, and no time passes.
    """

    def __init__(self) -> None:
        # Not at a whole number, or timers would look better aligned than they are.
        self._now = 1000.1
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float | None) -> None:
        if seconds is None:
            raise RuntimeError("expected something to wait for: nothing will ever happen here")
        self._now += seconds

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        """At once: another thread would be waited for, and nothing waits here."""
        return socket.getaddrinfo(*args, **kwargs)

    @property
    def timers(self) -> int:
        """How many timers are set."""
        return sum(not handle.cancelled() for handle in self._scheduled)


class _Jump(selectors.DefaultSelector):
    """Looks at the sockets without waiting; what would be waited for is over at once."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout != 0:
            self._loop.jump(timeout)
        return ready


def jumping(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on a JumpingLoop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
