"""Events and replies are what a OneBot client and a bot would send."""

from __future__ import annotations

import pytest

from benchmarks import bodies
from benchmarks.measure import Settings


def test_an_event_has_about_300_bytes() -> None:
    size = len(bodies.dumps(bodies.event(bodies.first_self_id, 1)).encode())
    assert 250 < size < 450


def test_the_reply_is_one_for_all_events_of_a_connection_and_another_elsewhere() -> None:
    first, second = bodies.event(1, 1), bodies.event(1, 2)
    assert first != second
    assert bodies.reply(first) == bodies.reply(second)
    assert bodies.reply(first) != bodies.reply(bodies.event(2, 1))


@pytest.mark.parametrize("size", [*Settings().sizes, 70_000])
def test_a_sized_event_has_that_size_and_differs_from_the_next(size: int) -> None:
    first, second = (bodies.sized_event(bodies.first_self_id, number, size) for number in (0, 15))
    assert len(bodies.dumps(first).encode()) == len(bodies.dumps(second).encode()) == size
    assert first != second
    assert bodies.reply(first) == bodies.reply(second)


def test_the_reply_to_a_large_event_is_short() -> None:
    event = bodies.sized_event(bodies.first_self_id, 0, 70_000)
    assert len(bodies.dumps(bodies.reply(event))) < 100


def test_an_event_smaller_than_its_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a size from 100 bytes, got 50"):
        bodies.sized_event(bodies.first_self_id, 0, 50)
