"""A time limit that is over is told by its name; a cancellation is never mistaken for one."""

from __future__ import annotations

import asyncio

import pytest
from support.jumping import jumping

from nbdriver.client.limits import within
from nbdriver.errors import NetworkTimeout


@jumping
async def test_a_limit_that_is_over_says_which_and_for_what() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(NetworkTimeout) as caught:
        async with within("read", 2.5, "for bytes"):
            await asyncio.sleep(100)
    assert str(caught.value) == "waited 2.5 s (the read limit) for bytes"
    assert loop.time() - began == pytest.approx(2.5)


@jumping
async def test_none_is_no_limit_and_0_is_over_at_the_first_wait() -> None:
    async with within("read", None, "for bytes"):
        await asyncio.sleep(100_000)
    with pytest.raises(NetworkTimeout):
        async with within("read", 0, "for bytes"):
            await asyncio.sleep(100)
    async with within("read", 0, "for nothing"):
        pass


@jumping
async def test_a_limit_may_have_begun_before_its_block() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(2)
    with pytest.raises(NetworkTimeout, match=r"^waited 3 s \(the total limit\) for all$"):
        async with within("total", 3, "for all", since=began):
            await asyncio.sleep(100)
    assert loop.time() - began == pytest.approx(3)


@jumping
async def test_a_limit_may_begin_within_its_block() -> None:
    async def wait() -> None:
        async with within("read", 3, "for bytes", running=False) as start:
            await asyncio.sleep(50)
            start()
            await asyncio.sleep(100)

    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(NetworkTimeout):
        await wait()
    assert loop.time() - began == pytest.approx(53)
    async with within("read", None, "for bytes", running=False) as start:
        start()
        await asyncio.sleep(100)


@jumping
async def test_of_two_limits_the_one_that_is_over_is_told() -> None:
    for total, read in ((1, 2), (2, 1)):
        with pytest.raises(NetworkTimeout) as caught:
            async with within("total", total, "for all"), within("read", read, "for bytes"):
                await asyncio.sleep(100)
        assert caught.value.limit == ("total" if total < read else "read")


@jumping
async def test_a_time_out_of_somebody_else_is_left_alone() -> None:
    with pytest.raises(TimeoutError, match="theirs") as caught:
        async with within("read", 1, "for bytes"):
            raise TimeoutError("theirs")
    assert not isinstance(caught.value, NetworkTimeout)


@jumping
async def test_a_cancellation_stays_one() -> None:
    async def wait() -> None:
        async with within("total", 10, "for all"):
            await asyncio.sleep(100)

    task = asyncio.create_task(wait())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
