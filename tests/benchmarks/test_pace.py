"""A schedule is kept whatever the server does: what should have been sent meanwhile is counted.

The server here is a queue in virtual time, so each latency is known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.histogram import Histogram
from benchmarks.load import LoadError
from benchmarks.pace import Schedule, keep_schedule

MS = 1_000_000


class Queue:
    """A wire to a server that takes events one by one, in virtual time."""

    def __init__(self, takes: Callable[[int], int], slow_to_wake: int = 0) -> None:
        """`takes` gives what an event takes that is begun at a time; all in nanoseconds."""
        self.clock = 7 * MS
        self._takes = takes
        self._slow_to_wake = slow_to_wake
        self._free = 0
        self._answers: list[tuple[int, int]] = []

    def now(self) -> int:
        return self.clock

    def send(self, connection: int) -> None:
        begun = max(self.clock, self._free)
        self._free = begun + self._takes(begun)
        self._answers.append((self._free, connection))

    def wait(self, until: int) -> Iterable[tuple[int, int]]:
        first = min(self._answers, default=(until, 0))[0]
        self.clock = max(self.clock, min(until, first) + self._slow_to_wake)
        here = [each for each in self._answers if each[0] <= self.clock]
        self._answers = [each for each in self._answers if each not in here]
        return [(connection, came) for came, connection in here]


def test_a_server_that_is_quick_enough_makes_no_event_wait() -> None:
    kept = keep_schedule(Schedule(1_000, 500, 4), Queue(lambda _: MS // 10))
    assert kept.latencies == [MS // 10] * 500
    assert kept.late == [0] * 500
    assert kept.wall == 499 * MS + MS // 10


def test_a_stall_counts_for_all_events_that_should_have_been_sent_during_it() -> None:
    stalled, service = 200 * MS, MS // 10
    hung = 7 * MS + 300 * MS
    kept = keep_schedule(
        Schedule(1_000, 1_000, 1), Queue(lambda begun: stalled if begun == hung else service)
    )
    slow = [each for each in kept.latencies if each > service]
    # Those that were due during the stall, and those that waited until these were answered.
    assert slow[0] == stalled
    assert slow == [stalled - number * (MS - service) for number in range(len(slow))]
    assert len(slow) == 223
    # A client that had waited for its answers would have seen the stall once in a thousand.
    assert Histogram(kept.latencies).at(99) > 150_000


def test_a_stall_counts_on_every_connection() -> None:
    stalled, hung = 100 * MS, 7 * MS + 50 * MS
    kept = keep_schedule(
        Schedule(1_000, 200, 10), Queue(lambda begun: stalled if begun == hung else 0)
    )
    assert sorted(each for each in kept.latencies if each) == [
        number * MS for number in range(1, 101)
    ]


@given(
    st.lists(st.integers(0, 20 * MS), min_size=1, max_size=60),
    st.sampled_from([100, 333, 1_000, 7_000]),
)
def test_latencies_on_one_connection_are_those_of_a_queue(takes: list[int], rate: int) -> None:
    schedule = Schedule(rate, len(takes), 1)
    following = iter(takes)
    kept = keep_schedule(schedule, Queue(lambda _: next(following)))
    done, expected = 0, []
    for number, taken in enumerate(takes):
        done = max(done, schedule.due(number)) + taken
        expected.append(done - schedule.due(number))
    assert kept.latencies == expected
    assert kept.wall == done


@given(
    st.lists(st.integers(0, 20 * MS), min_size=1, max_size=60),
    st.integers(1, 5),
)
def test_every_event_of_a_schedule_is_counted_once(takes: list[int], connections: int) -> None:
    schedule = Schedule(1_000, len(takes), connections)
    following = iter(takes)
    kept = keep_schedule(schedule, Queue(lambda _: next(following)))
    assert len(kept.latencies) == len(takes)
    assert min(kept.latencies) >= min(takes)


def test_it_is_told_by_how_much_the_generator_itself_was_late() -> None:
    kept = keep_schedule(Schedule(1_000, 100, 2), Queue(lambda _: 0, slow_to_wake=MS // 20))
    # The first is due at once, and nothing sleeps before it.
    assert kept.late == [0] + [MS // 20] * 99
    assert min(kept.latencies[1:]) >= MS // 20


def test_an_event_that_waits_for_its_connection_counts_from_when_it_was_due() -> None:
    late, began = 3 * MS // 10, 7 * MS
    wire = Queue(lambda begun: 10 * MS if begun == began else 0, slow_to_wake=late)
    kept = keep_schedule(Schedule(1_000, 5, 1), wire)
    # The first is answered after 10 ms, which we see a little later, and send the next.
    assert kept.latencies[:2] == [10 * MS, 10 * MS + late - 1 * MS]


def test_a_server_that_never_answers_ends_the_run() -> None:
    wire = Queue(lambda _: 10**15)
    with pytest.raises(LoadError, match="no answer came on 3 connections within 10 s"):
        keep_schedule(Schedule(1_000, 100_000, 3), wire)


def test_a_server_that_is_asked_seldom_is_not_taken_to_be_dead() -> None:
    kept = keep_schedule(Schedule(0.01, 3, 2), Queue(lambda _: MS))
    assert kept.latencies == [MS] * 3
