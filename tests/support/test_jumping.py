"""A JumpingLoop is asyncio's loop in everything but the passing of time."""

from __future__ import annotations

import asyncio
import time

import pytest

from .jumping import JumpingLoop, jumping
from .transports import socket_pair


@jumping
async def test_time_passes_without_being_waited_for() -> None:
    loop, began = asyncio.get_running_loop(), time.monotonic()
    virtual = loop.time()
    await asyncio.sleep(1_000_000)
    assert loop.time() - virtual == pytest.approx(1_000_000)
    assert time.monotonic() - began < 1_000_000


@jumping
async def test_timers_ring_in_their_order_at_their_time() -> None:
    loop = asyncio.get_running_loop()
    began, rung = loop.time(), []
    for seconds in (3, 1, 2):
        loop.call_later(seconds, lambda: rung.append(round(loop.time() - began, 6)))
    assert isinstance(loop, JumpingLoop)
    assert loop.timers == 3
    await asyncio.sleep(4)
    assert rung == [1, 2, 3]
    assert loop.timers == 0


@jumping
async def test_what_is_there_to_be_read_comes_before_any_timer() -> None:
    loop = asyncio.get_running_loop()
    here, there = socket_pair()
    with here, there:
        here.setblocking(False)
        async with asyncio.timeout(1):
            for number in range(10):
                there.sendall(b"%d" % number)
                assert await loop.sock_recv(here, 1) == b"%d" % number


def test_a_test_that_waits_for_nothing_fails() -> None:
    @jumping
    async def wait_for_nothing() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing will ever happen"):
        wait_for_nothing()


@pytest.mark.parametrize("number", [1, 2])
@jumping
async def test_a_test_gets_what_it_asks_pytest_for(number: int, tmp_path: object) -> None:
    assert number in (1, 2)
    assert tmp_path
