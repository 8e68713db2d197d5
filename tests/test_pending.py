"""`Pending`: never more events than there are places, and nobody waits while one is free."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jumping import jumping
from support.peer import settle

from nbdriver.pending import Pending, Share

#: Whether an event that does not wait has ended when `start` returns.
EAGER = sys.version_info >= (3, 12)


def nothing() -> None:
    """What is to be done at the end of an event."""


class Events:
    """Starts events in a `Pending`, and knows how many run and in which order they began."""

    def __init__(self, limit: int) -> None:
        self.pending = Pending(limit)
        self.started = 0
        self.began: list[object] = []
        self.done: list[object] = []
        self.running = 0
        self.most = 0
        self.gates: dict[object, asyncio.Event] = {}

    def start(self, name: object = "it", then: Callable[[], object] = lambda: None) -> None:
        """Start an event that goes on until it is released."""
        self.gates[name] = asyncio.Event()
        self._start(name, then)

    def start_short(self, name: object = "it") -> None:
        """Start an event that waits for nothing."""
        self._start(name, lambda: None)

    def _start(self, name: object, then: Callable[[], object]) -> None:
        def done() -> None:
            self.pending.give_back()
            self.done.append(name)
            then()

        self.started += 1
        self.pending.start(self._run(name), name, done)

    async def _run(self, name: object) -> None:
        self.began.append(name)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if name in self.gates:
                await self.gates[name].wait()
        finally:
            self.running -= 1

    async def release(self, name: object) -> None:
        self.gates[name].set()
        await settle()

    async def release_all(self) -> None:
        while len(self.done) < self.started:
            for gate in self.gates.values():
                gate.set()
            await settle()


# Places.


async def test_there_is_a_place_until_the_limit_is_reached() -> None:
    events = Events(2)
    assert events.pending.free
    events.start(1)
    assert events.pending.free
    events.start(2)
    assert not events.pending.free
    await events.release(1)
    assert events.pending.free
    await events.release_all()
    assert events.done == [1, 2]


@pytest.mark.parametrize("error", [None, ZeroDivisionError(), asyncio.CancelledError()])
async def test_an_event_gives_its_place_back_however_it_ends(error: BaseException | None) -> None:
    async def event() -> None:
        if error is not None:
            raise error

    pending = Pending(1)
    share = Share(pending, 1)
    share.start(event(), "event")
    await settle()
    assert pending.free
    assert share.free


async def test_what_is_started_beside_takes_no_place() -> None:
    gate = asyncio.Event()
    events = Events(1)
    events.pending.start_beside(gate.wait(), "an answer", nothing)
    assert events.pending.free
    events.start(1)
    assert not events.pending.free
    events.pending.start_beside(gate.wait(), "another answer", nothing)
    gate.set()
    await settle()
    assert not events.pending.free
    await events.release_all()


# The line.


async def test_while_there_is_a_place_nobody_waits() -> None:
    events = Events(1)
    events.pending.when_free(lambda: events.start("at once"))
    assert not events.pending.free
    await events.release_all()


async def test_places_are_given_in_the_order_of_asking_one_for_each_event_that_ends() -> None:
    events = Events(2)
    events.start(1)
    events.start(2)
    for name in (3, 4, 5):
        events.pending.when_free(lambda name=name: events.start(name))
    await settle()
    assert events.began == [1, 2]
    await events.release(2)
    assert events.began == [1, 2, 3]
    await events.release(1)
    assert events.began == [1, 2, 3, 4]
    await events.release_all()
    assert events.began == [1, 2, 3, 4, 5]
    assert events.most == 2


async def test_who_does_not_take_the_place_leaves_it_to_the_next() -> None:
    events = Events(1)
    events.start(1)
    asked = []
    events.pending.when_free(lambda: asked.append("no, thank you"))
    events.pending.when_free(lambda: events.start(2))
    await events.release(1)
    assert asked == ["no, thank you"]
    assert events.began == [1, 2]
    await events.release_all()
    assert asked == ["no, thank you"]


async def test_the_line_comes_before_whoever_follows_the_event_that_has_ended() -> None:
    events = Events(1)

    def next_of_the_same_connection() -> None:
        if events.pending.free:
            events.start("the same connection's next")

    events.start("a busy connection's", next_of_the_same_connection)
    events.pending.when_free(lambda: events.start("another connection's"))
    await events.release("a busy connection's")
    assert events.began == ["a busy connection's", "another connection's"]
    await events.release_all()


async def test_who_leaves_the_line_is_not_called() -> None:
    events = Events(1)
    events.start(1)
    called: list[int] = []
    callbacks = [lambda number=number: called.append(number) for number in range(3)]
    for callback in callbacks:
        events.pending.when_free(callback)
    events.pending.leave_line(callbacks[1])
    events.pending.leave_line(callbacks[1])  # safe to repeat
    await events.release(1)
    assert called == [0, 2]
    events.pending.leave_line(callbacks[0])  # it has been called


async def test_who_asks_twice_is_called_once_and_keeps_the_first_place_in_line() -> None:
    events = Events(1)
    events.start(1)
    called: list[str] = []

    def first() -> None:
        called.append("first")

    events.pending.when_free(first)
    events.pending.when_free(lambda: called.append("second"))
    events.pending.when_free(first)
    await events.release(1)
    assert called == ["first", "second"]


async def test_who_was_called_may_stand_in_line_again() -> None:
    events = Events(1)
    events.start(1)

    def start_and_ask_again() -> None:
        name = len(events.began) + 1
        events.start(name)
        if name < 5:
            events.pending.when_free(start_and_ask_again)

    events.pending.when_free(start_and_ask_again)
    for name in range(1, 6):
        await events.release(name)
    assert events.began == [1, 2, 3, 4, 5]
    assert events.most == 1


async def test_what_one_in_line_raises_is_logged_and_the_next_gets_the_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = Events(1)
    events.start(1)

    def fail() -> None:
        raise ZeroDivisionError

    events.pending.when_free(fail)
    events.pending.when_free(lambda: events.start(2))
    await events.release(1)
    assert events.began == [1, 2]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "fail" in record.getMessage()
    assert record.exc_info is not None
    await events.release_all()


async def test_ten_thousand_in_line_whose_events_end_at_once_are_served_without_recursion() -> None:
    events = Events(1)
    events.start("the first")
    for number in range(10_000):
        events.pending.when_free(lambda number=number: events.start_short(number))
    await events.release("the first")
    await events.pending.drain()
    assert events.began == ["the first", *range(10_000)]
    assert events.most == 1
    assert events.pending.free


async def test_an_event_that_ends_inside_of_start_lets_the_line_go_on() -> None:
    events = Events(1)
    events.start("the first")

    def start_two() -> None:
        # Where tasks start at once, the place is free again after each of them.
        events.start_short("a")
        assert events.pending.free == EAGER

    events.pending.when_free(start_two)
    events.pending.when_free(lambda: events.start_short("b"))
    await events.release("the first")
    await events.pending.drain()
    assert events.began == ["the first", "a", "b"]


async def test_an_exit_in_the_line_does_not_close_it() -> None:
    events = Events(1)

    def leave() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        events.pending.when_free(leave)
    events.pending.when_free(lambda: events.start("the next"))
    assert not events.pending.free
    await events.release_all()


@given(
    st.integers(1, 3),
    st.lists(st.sampled_from(["start", "start short", "ask", "release", "turn"]), max_size=40),
)
def test_places_are_never_exceeded_and_never_left_empty(limit: int, deeds: list[str]) -> None:
    """However events come and go, at most `limit` run at a time, nobody stands in line while there
    is a place, and whoever asked for one gets it in the end.
    """

    @jumping
    async def scenario() -> None:
        events = Events(limit)
        asked = 0
        for number, deed in enumerate(deeds):
            if deed == "start" and events.pending.free:
                events.start(number)
            elif deed == "start short" and events.pending.free:
                events.start_short(number)
            elif deed == "ask":
                asked += 1
                events.pending.when_free(lambda number=number: events.start(("asked", number)))
            elif deed == "release" and events.gates:
                await events.release(list(events.gates)[number % len(events.gates)])
            elif deed == "turn":
                await settle()
            in_line = asked - sum(isinstance(name, tuple) for name in events.gates)
            assert not (in_line and events.pending.free)
        await events.release_all()
        await events.pending.drain()
        assert events.most <= limit
        assert sorted(map(str, events.done)) == sorted(map(str, events.began))
        assert sum(isinstance(name, tuple) for name in events.done) == asked

    scenario()


# The end.


async def test_drain_waits_for_all_events_also_those_in_line_and_beside() -> None:
    gate = asyncio.Event()
    events = Events(1)
    events.start(1)
    events.pending.when_free(lambda: events.start(2))
    events.pending.start_beside(gate.wait(), "an answer", nothing)
    assert not events.pending.draining
    draining = asyncio.create_task(events.pending.drain())
    await settle()
    assert events.pending.draining
    for release in (lambda: events.release(1), lambda: events.release(2)):
        assert not draining.done()
        await release()
    assert not draining.done()
    gate.set()
    await draining
    assert events.done == [1, 2]


async def test_drain_can_be_cancelled_without_harm_to_the_events() -> None:
    events = Events(1)
    events.start(1)
    draining = asyncio.create_task(events.pending.drain())
    await settle()
    draining.cancel()
    await asyncio.wait([draining])
    assert not events.pending.free
    assert events.pending.draining
    await events.release_all()
    assert events.done == [1]


async def test_cancel_ends_all_events_names_them_and_forgets_the_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = Events(2)
    events.start({"message": "one"}.__repr__())
    events.start("two")
    events.pending.start_beside(asyncio.Event().wait(), "an answer", nothing)
    events.pending.when_free(lambda: events.start("in line"))
    await settle()
    await events.pending.cancel()
    assert sorted(record.getMessage() for record in caplog.records) == [
        "an answer: cancelled, it had not ended in time",
        "two: cancelled, it had not ended in time",
        "{'message': 'one'}: cancelled, it had not ended in time",
    ]
    assert events.pending.free
    assert "in line" not in events.began


# The share of a connection.


async def test_a_share_is_never_exceeded_and_leaves_the_rest_to_others() -> None:
    pending, gate = Pending(3), asyncio.Event()
    busy, other = Share(pending, 2), Share(pending, 2)
    for _ in range(2):
        assert busy.free
        busy.start(gate.wait(), "an event")
    assert not busy.free
    assert other.free
    other.start(gate.wait(), "another's event")
    assert not other.free
    gate.set()
    await pending.drain()
    assert busy.free
    assert other.free


async def test_a_share_that_is_used_up_waits_for_the_end_of_its_own_events() -> None:
    pending, gate, called = Pending(3), asyncio.Event(), []
    share = Share(pending, 1)
    share.start(gate.wait(), "an event")
    share.when_free(lambda: called.append(share.free))
    assert not called
    gate.set()
    await settle()
    assert called == [True]


async def test_a_share_that_is_not_used_up_waits_for_a_place_of_all() -> None:
    pending, called = Pending(1), []
    share, gate = Share(pending, 2), asyncio.Event()
    Share(pending, 1).start(gate.wait(), "another's event")
    share.when_free(lambda: called.append(share.free))
    assert not called
    gate.set()
    await settle()
    assert called == [True]


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_share_whose_callback_left_the_line_calls_nobody(limit: int) -> None:
    pending, gate, called = Pending(1), asyncio.Event(), []
    share = Share(pending, limit)
    share.start(gate.wait(), "an event")
    share.when_free(lambda: called.append(1))
    share.leave_line()
    gate.set()
    await settle()
    assert called == []
    assert share.free
