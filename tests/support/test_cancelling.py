"""The helper that cancels at each await comes to each of them, and to no other."""

from __future__ import annotations

import asyncio

from .cancelling import after_turns, at_await


async def three_waits(seen: list[int]) -> str:
    seen.append(0)
    await asyncio.sleep(0)
    seen.append(1)
    async with asyncio.timeout(60):
        await asyncio.to_thread(int)
    seen.append(2)
    await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0))])
    seen.append(3)
    return "done"


async def test_it_cancels_at_each_await_in_turn() -> None:
    for number in (1, 2, 3):
        seen: list[int] = []
        outcome = await at_await(three_waits(seen), number)
        assert (outcome.reached, outcome.cancelled) == (True, True)
        assert seen == list(range(number))
    outcome = await at_await(three_waits([]), 4)
    assert (outcome.reached, outcome.error, outcome.result) == (False, None, "done")


async def test_who_catches_the_cancellation_goes_on() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "went on"

    outcome = await at_await(stubborn(), 1)
    assert (outcome.reached, outcome.error, outcome.result) == (True, None, "went on")


async def test_an_error_is_told() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("of its own")

    outcome = await at_await(fails(), 2)
    assert (outcome.reached, type(outcome.error)) == (False, KeyError)


async def test_it_cancels_after_a_number_of_turns() -> None:
    seen: list[int] = []
    assert (await after_turns(three_waits(seen), 0)).cancelled
    assert seen == []
    assert (await after_turns(three_waits(seen), 1)).cancelled
    assert seen == [0]

    async def at_once() -> int:
        return 1

    assert await after_turns(at_once(), 2) == (False, None, 1)
