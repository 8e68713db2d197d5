"""Both clocks keep the same rules: `LoopClock` on a loop whose time jumps, `VirtualClock` as is."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar, copy_context
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jumping import JumpingLoop, jumping
from support.peer import settle

from nbdriver.net.clock import RESOLUTION, Clock, Deadline, LoopClock, VirtualClock


class Time:
    """A clock, and the way in which time passes for it."""

    clock: Clock

    async def passes(self, seconds: float) -> None:
        raise NotImplementedError


class LoopTime(Time):
    """The time of an event loop, which jumps."""

    def __init__(self) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())

    async def passes(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualTime(Time):
    """The time that a test moves."""

    clock: VirtualClock

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.clock.advance(1000.1)

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)


def timers() -> int:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    return loop.timers


@asynccontextmanager
async def nothing_filed(kind: type[Time]) -> AsyncIterator[Time]:
    """A time of that kind; at the end no deadline and no timer may be left."""
    time = kind()
    yield time
    assert time.clock.pending == 0
    assert timers() == 0


both_clocks = pytest.mark.parametrize("kind", [LoopTime, VirtualTime])


class Record:
    """When deadlines have acted, by their names."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.times: dict[str, list[float]] = {}

    def deadline(self, name: str = "it") -> Deadline:
        return self._clock.deadline(lambda: self._note(name))

    def _note(self, name: str) -> None:
        self.times.setdefault(name, []).append(self._clock.time())

    @property
    def names(self) -> list[str]:
        return list(self.times)


# Deadlines.


@both_clocks
@given(
    st.lists(
        st.tuples(
            st.floats(0, 3, allow_subnormal=False),  # time that passes before
            st.floats(0, 3, allow_subnormal=False),  # seconds to the deadline
        ),
        max_size=20,
    )
)
def test_a_deadline_acts_once_never_early_and_at_most_the_resolution_late(
    kind: type[Time], plan: list[tuple[float, float]]
) -> None:
    """Whenever deadlines are set, each acts once, at `when` or up to RESOLUTION after it."""

    @jumping
    async def scenario() -> None:
        async with nothing_filed(kind) as time:
            record = Record(time.clock)
            due = {}
            for number, (before, seconds) in enumerate(plan):
                await time.passes(before)
                deadline = record.deadline(str(number))
                deadline.set(seconds)
                due[str(number)] = deadline.when
            await time.passes(3 + 2 * RESOLUTION)
            assert record.times.keys() == due.keys()
            for name, (acted,) in record.times.items():
                assert due[name] <= acted <= due[name] + RESOLUTION

    scenario()


@both_clocks
@jumping
async def test_a_deadline_is_armed_until_it_has_acted(kind: type[Time]) -> None:
    async with nothing_filed(kind) as time:
        deadline = Record(time.clock).deadline()
        assert not deadline.armed
        deadline.set(1)
        assert deadline.armed
        await time.passes(2)
        assert not deadline.armed


@both_clocks
@jumping
async def test_a_deadline_moved_later_acts_at_the_later_moment_only(kind: type[Time]) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)
        deadline = record.deadline()
        deadline.set(1)
        await time.passes(0.9)
        deadline.set(1)
        when = deadline.when
        await time.passes(0.9)
        assert not record.names
        await time.passes(1)
        assert when <= record.times["it"][0] <= when + RESOLUTION


@both_clocks
@jumping
async def test_a_deadline_moved_earlier_acts_at_the_earlier_moment_only(kind: type[Time]) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)
        deadline = record.deadline()
        deadline.set(60)
        deadline.set(1)
        assert time.clock.pending == 1
        when = deadline.when
        await time.passes(100)
        assert len(record.times["it"]) == 1
        assert when <= record.times["it"][0] <= when + RESOLUTION


@both_clocks
@jumping
async def test_deadlines_act_in_the_order_of_their_buckets(kind: type[Time]) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)
        for seconds in (3, 1, 2):
            record.deadline(str(seconds)).set(seconds)
        await time.passes(4)
        assert record.names == ["1", "2", "3"]


@jumping
async def test_virtual_time_passes_as_far_as_it_is_told_whether_or_not_something_is_due() -> None:
    clock = VirtualClock()
    clock.advance(1.1)
    assert clock.time() == 1.1
    clock.deadline(lambda: None).set(1)
    clock.advance(3)
    assert clock.time() == pytest.approx(4.1)


@jumping
async def test_a_deadline_at_the_very_moment_of_a_look_acts_then() -> None:
    clock = VirtualClock()
    record = Record(clock)
    record.deadline().set(1)
    clock.advance(1 - RESOLUTION)
    assert not record.names
    clock.advance(RESOLUTION)
    assert record.times == {"it": [1]}


@both_clocks
@pytest.mark.parametrize("seconds", [0, -5])
@jumping
async def test_a_deadline_that_is_due_already_acts_at_the_next_look(
    kind: type[Time], seconds: float
) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)
        record.deadline().set(seconds)
        await settle()
        assert not record.names
        await time.passes(RESOLUTION)
        assert record.names


@both_clocks
@jumping
async def test_a_deadline_set_to_none_does_not_act_and_can_be_set_again(kind: type[Time]) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)
        deadline = record.deadline()
        deadline.set(1)
        deadline.set(None)
        assert not deadline.armed
        await time.passes(2)
        assert not record.names
        deadline.set(1)
        await time.passes(2)
        assert len(record.times["it"]) == 1


@both_clocks
@jumping
async def test_a_cancelled_deadline_does_not_act_and_is_forgotten_at_once(
    kind: type[Time],
) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)
        deadline = record.deadline()
        deadline.set(1)
        assert time.clock.pending == 1
        deadline.cancel()
        assert not deadline.armed
        assert time.clock.pending == 0
        assert timers() == 0
        deadline.cancel()  # safe to repeat
        gone = weakref.ref(deadline._context)
        del deadline
        gc.collect()
        assert gone() is None
        await time.passes(2)
        assert not record.names


@both_clocks
@jumping
async def test_a_cancelled_deadline_can_be_set_again(kind: type[Time]) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)
        deadline = record.deadline()
        deadline.set(1)
        deadline.cancel()
        deadline.set(1)
        await time.passes(2)
        assert len(record.times["it"]) == 1


# Callbacks.


@both_clocks
@jumping
async def test_what_a_callback_raises_is_logged_and_stops_no_other(
    kind: type[Time], caplog: pytest.LogCaptureFixture
) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)

        def fail() -> None:
            raise ZeroDivisionError("a mistake")

        record.deadline("before").set(1)
        time.clock.deadline(fail).set(1)
        record.deadline("after").set(1)
        record.deadline("later").set(2)
        await time.passes(3)
        assert record.names == ["before", "after", "later"]
        (logged,) = caplog.records
        assert logged.levelno == logging.ERROR
        assert "fail" in logged.getMessage()
        assert logged.exc_info is not None
        assert isinstance(logged.exc_info[1], ZeroDivisionError)


@jumping
async def test_after_an_exit_in_a_callback_the_clock_goes_on() -> None:
    clock = VirtualClock()
    record = Record(clock)

    def leave() -> None:
        raise SystemExit

    clock.deadline(leave).set(1)
    record.deadline("same bucket").set(1)
    record.deadline("later").set(2)
    with pytest.raises(SystemExit):
        clock.advance(5)
    clock.advance(5)
    assert record.names == ["same bucket", "later"]
    assert clock.pending == 0


@both_clocks
@jumping
async def test_a_callback_may_cancel_another_of_the_same_moment(kind: type[Time]) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)
        first = time.clock.deadline(lambda: [each.cancel() for each in others])
        others = [record.deadline("same bucket"), record.deadline("next bucket")]
        first.set(1)
        others[0].set(1)
        others[1].set(1 + RESOLUTION)
        await time.passes(3)
        assert not record.names


@both_clocks
@jumping
async def test_a_callback_may_move_another_of_the_same_moment(kind: type[Time]) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)
        first = time.clock.deadline(lambda: other.set(1))
        other = record.deadline()
        first.set(1)
        other.set(1)
        await time.passes(1.5)
        assert not record.names
        await time.passes(1)
        assert len(record.times["it"]) == 1


@both_clocks
@jumping
async def test_a_callback_may_cancel_another_of_the_same_moment_and_set_it_anew(
    kind: type[Time],
) -> None:
    async with nothing_filed(kind) as time:
        record = Record(time.clock)

        def move() -> None:
            other.cancel()
            other.set(0)

        first = time.clock.deadline(move)
        other = record.deadline()
        first.set(1)
        other.set(1)
        await time.passes(3)
        assert len(record.times["it"]) == 1


@both_clocks
@jumping
async def test_a_callback_that_sets_its_own_deadline_for_now_does_not_stop_time(
    kind: type[Time],
) -> None:
    async with nothing_filed(kind) as time:
        times = []

        def again() -> None:
            times.append(time.clock.time())
            deadline.set(0)

        deadline = time.clock.deadline(again)
        deadline.set(0)
        await time.passes(1)
        deadline.cancel()
        assert len(times) == 1 / RESOLUTION
        assert {after - before for before, after in pairwise(times)} == {RESOLUTION}


@both_clocks
@jumping
async def test_a_callback_runs_in_the_context_in_which_its_deadline_was_made(
    kind: type[Time],
) -> None:
    async with nothing_filed(kind) as time:
        owner = ContextVar("owner", default="nobody")
        owners = []

        def make(name: str) -> Deadline:
            owner.set(name)
            return time.clock.deadline(lambda: owners.append(owner.get()))

        deadlines = [copy_context().run(make, name) for name in ("a", "b")]
        for deadline in deadlines:
            copy_context().run(deadline.set, 1)
        await time.passes(2)
        assert owners == ["a", "b"]
        assert owner.get() == "nobody"


# The timer of a LoopClock.


@jumping
async def test_ten_thousand_deadlines_cost_one_timer() -> None:
    async with nothing_filed(LoopTime) as time:
        record = Record(time.clock)
        deadlines = [record.deadline() for _ in range(10_000)]
        for number, deadline in enumerate(deadlines):
            deadline.set(1 + number % 75)
        assert time.clock.pending == 10_000
        assert timers() == 1
        await time.passes(100)
        assert len(record.times["it"]) == 10_000


@jumping
async def test_there_is_no_timer_while_nothing_is_filed() -> None:
    async with nothing_filed(LoopTime) as time:
        first, second = (Record(time.clock).deadline() for _ in range(2))
        assert timers() == 0
        first.set(1)
        second.set(2)
        assert timers() == 1
        first.cancel()
        assert timers() == 1
        second.cancel()
        assert timers() == 0


@jumping
async def test_the_loop_is_woken_only_when_a_bucket_comes_due() -> None:
    loop = asyncio.get_running_loop()
    looks = 0

    class Counting(LoopClock):
        def _look(self) -> None:
            nonlocal looks
            looks += 1
            super()._look()

    clock = Counting(loop)
    Record(clock).deadline().set(3600)
    await asyncio.sleep(3601)
    # The time of a jumping loop is a sum of floats, and may fall short of a moment by a hair: then
    # the clock looks again.
    assert looks <= 3
    assert clock.pending == 0


@jumping
async def test_a_stopped_clock_calls_nothing() -> None:
    clock = LoopClock(asyncio.get_running_loop())
    record = Record(clock)
    record.deadline().set(1)
    clock.stop()
    clock.stop()  # safe to repeat
    assert timers() == 0
    await asyncio.sleep(2)
    assert not record.names


@jumping
async def test_a_loop_that_is_late_makes_deadlines_late_and_loses_none() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    async with nothing_filed(LoopTime) as time:
        record = Record(time.clock)
        moved = record.deadline("moved")
        moved.set(1)
        record.deadline("on time").set(2)
        loop.jump(10)  # as if something had blocked it
        moved.set(1)
        await settle()
        assert record.names == ["on time"]
        await time.passes(2)
        assert record.names == ["on time", "moved"]


# Timeouts: whatever `asyncio.timeout` does, `Clock.timeout` does, only coarser.


Scope = Callable[[float | None], AbstractAsyncContextManager[object]]


def scope_of(kind: str) -> Scope:
    if kind == "asyncio":
        return asyncio.timeout
    return LoopClock(asyncio.get_running_loop()).timeout


both_scopes = pytest.mark.parametrize("kind", ["asyncio", "clock"])


@both_scopes
@pytest.mark.parametrize("seconds", [1, None])
@jumping
async def test_a_block_that_ends_in_time_is_left_alone(kind: str, seconds: float | None) -> None:
    async with scope_of(kind)(seconds):
        await asyncio.sleep(0.9)
    assert timers() == 0
    await asyncio.sleep(10)


@both_scopes
@jumping
async def test_a_block_that_takes_longer_ends_with_a_timeout_error(kind: str) -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError) as caught:
        async with scope_of(kind)(1):
            await asyncio.sleep(10)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert 1 <= asyncio.get_running_loop().time() - began <= 1 + RESOLUTION
    assert timers() == 0
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


@both_scopes
@pytest.mark.parametrize("seconds", [0, -1])
@jumping
async def test_a_time_that_is_over_already_ends_the_block_at_its_first_wait(
    kind: str, seconds: float
) -> None:
    with pytest.raises(TimeoutError):
        async with scope_of(kind)(seconds):
            await asyncio.sleep(10)


@both_scopes
@jumping
async def test_a_block_that_fails_keeps_its_exception(kind: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with scope_of(kind)(1):
            raise ZeroDivisionError
    assert timers() == 0


@both_scopes
@jumping
async def test_a_block_that_fails_when_it_is_cut_off_keeps_its_exception(kind: str) -> None:
    async def fail_when_cut_off() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with scope_of(kind)(1):
            await fail_when_cut_off()
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


@both_scopes
@pytest.mark.parametrize(("inner", "outer"), [(1, 5), (5, 1)])
@jumping
async def test_of_nested_timeouts_the_one_whose_time_is_over_raises(
    kind: str, inner: float, outer: float
) -> None:
    scope = scope_of(kind)
    raised_by = []
    try:
        async with scope(outer):
            try:
                async with scope(inner):
                    await asyncio.sleep(10)
            except TimeoutError:
                raised_by.append("inner")
    except TimeoutError:
        raised_by.append("outer")
    assert raised_by == ["inner" if inner < outer else "outer"]


@pytest.mark.parametrize("inside", ["asyncio", "clock"])
@pytest.mark.parametrize(("inner", "outer"), [(1, 5), (5, 1)])
@jumping
async def test_both_kinds_of_timeouts_can_be_nested(
    inside: str, inner: float, outer: float
) -> None:
    outside = {"asyncio": "clock", "clock": "asyncio"}[inside]
    raised_by = []
    try:
        async with scope_of(outside)(outer):
            try:
                async with scope_of(inside)(inner):
                    await asyncio.sleep(10)
            except TimeoutError:
                raised_by.append("inner")
    except TimeoutError:
        raised_by.append("outer")
    assert raised_by == ["inner" if inner < outer else "outer"]


@both_scopes
@jumping
async def test_of_nested_timeouts_that_are_over_in_the_same_turn_the_outer_one_raises(
    kind: str,
) -> None:
    scope = scope_of(kind)
    raised = []
    try:
        async with scope(1):
            try:
                async with scope(1):
                    await asyncio.sleep(10)
            except BaseException as error:
                raised.append(type(error))
                raise
    except TimeoutError as error:
        raised.append(type(error))
    assert raised == [asyncio.CancelledError, TimeoutError]


@both_scopes
@pytest.mark.parametrize("seconds", [0.5, 1, 2])
@jumping
async def test_a_cancellation_from_outside_stays_one_also_in_the_turn_of_the_expiry(
    kind: str, seconds: float
) -> None:
    loop = asyncio.get_running_loop()

    async def work() -> None:
        async with scope_of(kind)(1):
            await asyncio.sleep(10)

    task = loop.create_task(work())
    await settle()
    # A moment at which the clock looks, so that both happen in one turn.
    due = -(-(loop.time() + 1) // RESOLUTION) * RESOLUTION if kind == "clock" else loop.time() + 1
    loop.call_at(due - 1 + seconds, task.cancel)
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert type(outcome) is (asyncio.CancelledError if seconds <= 1 else TimeoutError)


@both_scopes
@jumping
async def test_a_block_that_swallows_its_cut_off_ends_quietly(kind: str) -> None:
    async with scope_of(kind)(1):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            pass
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


@both_scopes
@jumping
async def test_a_result_that_comes_in_the_turn_of_the_expiry_is_not_half_taken(kind: str) -> None:
    loop = asyncio.get_running_loop()
    result = loop.create_future()
    due = -(-(loop.time() + 1) // RESOLUTION) * RESOLUTION
    loop.call_at(due, result.set_result, "it")
    outcome = []
    try:
        async with scope_of(kind)(due - loop.time()):
            outcome.append(await result)
    except TimeoutError:
        outcome.append("too late")
    assert len(outcome) == 1
    assert timers() == 0


@jumping
async def test_a_timeout_cannot_be_used_twice() -> None:
    scope = VirtualClock().timeout(1)
    async with scope:
        pass
    with pytest.raises(RuntimeError):
        async with scope:
            raise AssertionError("unreachable")


@pytest.mark.parametrize("kind", ["asyncio", "clock"])
@jumping
async def test_a_timeout_outside_of_a_task_is_an_error(kind: str) -> None:
    async def block() -> None:
        async with scope_of(kind)(1):
            raise AssertionError("unreachable")

    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def step() -> None:
        coroutine = block()
        try:
            coroutine.send(None)
        except RuntimeError as error:
            failed.set_exception(error)

    asyncio.get_running_loop().call_soon(step)
    with pytest.raises(RuntimeError, match="task"):
        await failed
