"""Cancelling a coroutine at each of its awaits, and after each turn of the loop that it takes."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, NamedTuple

__all__ = ["WAYS", "Outcome", "Way"]


class Outcome(NamedTuple):
    """How a coroutine ended that was to be cancelled."""

    reached: bool
    """Whether it came as far as where it was to be cancelled."""
    error: BaseException | None
    result: Any = None

    @property
    def cancelled(self) -> bool:
        return isinstance(self.error, asyncio.CancelledError)


Way = Callable[[Coroutine[Any, Any, Any], int], Awaitable[Outcome]]


async def at_await(coroutine: Coroutine[Any, Any, Any], number: int) -> Outcome:
    """Run it in a task, and cancel that the moment it waits for the `number`-th time."""
    reached: list[bool] = []

    async def run() -> Any:
        return await _stepping(coroutine, number, reached)

    return await _outcome(asyncio.create_task(run()), reached)


async def after_turns(coroutine: Coroutine[Any, Any, Any], number: int) -> Outcome:
    """Run it in a task, and cancel that after `number` turns: when what it waits for may be there.

    That is when what has come is easily lost with the one who was to get it.
    """
    task = asyncio.create_task(coroutine)
    for _ in range(number):
        await asyncio.sleep(0)
    return await _outcome(task, [True] if task.cancel() else [])


async def _outcome(task: asyncio.Task[Any], reached: list[bool]) -> Outcome:
    await asyncio.wait([task])
    if task.cancelled():
        return Outcome(bool(reached), asyncio.CancelledError())
    error = task.exception()
    return Outcome(bool(reached), error, None if error else task.result())


@types.coroutine
def _stepping(
    coroutine: Coroutine[Any, Any, Any], number: int, reached: list[bool]
) -> Generator[Any, Any, Any]:
    """Pass on each of its waits; it runs in our task, as asyncio's time-outs need it."""
    error: BaseException | None = None
    while True:
        try:
            waited_for = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration as end:
            return end.value
        number -= 1
        task = asyncio.current_task()
        if number == 0 and task is not None:
            reached.append(True)
            # While its task runs, this cancels what the task is about to wait for.
            task.cancel()
        try:
            error = None
            yield waited_for
        except BaseException as raised:
            error = raised


WAYS: dict[str, Way] = {"at await": at_await, "after turns": after_turns}
