"""Both clocks keep the same rules: `LoopClock` on a loop whose time jumps, `VirtualClock` by hand."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.loops import JumpingLoop, jumping
from support.peer import settle

from nbdriver.net.clock import RESOLUTION, Clock, Deadline, LoopClock, VirtualClock


class LoopTime:
    """The time of an event loop, which jumps."""

    def __init__(self) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())

    async def passes(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await settle()


class VirtualTime:
    """The time that a test moves."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.clock.advance(1000.1)

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await settle()


Time = LoopTime | VirtualTime
KINDS: list[type[Time]] = [LoopTime, VirtualTime]


def on_both_clocks(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test with each kind of time; at its end no deadline and no timer may be left."""

    @functools.wraps(test)
    async def scenario(kind: type[Time], **fixtures: Any) -> None:
        time = kind()
        await test(time, **fixtures)
        assert time.clock.pending == 0
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        assert loop.timers == 0

    run = jumping(scenario)
    # pytest is told of our own argument in place of the test's first.
    run.__wrapped__ = _signature(test)  # type: ignore[attr-defined]
    return pytest.mark.parametrize("kind", KINDS)(run)
