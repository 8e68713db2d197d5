"""The steps of an event are found where they are, in every case; nothing is counted here."""

from __future__ import annotations

import gc
import time
from collections import Counter

import pytest

from benchmarks.marks import OUTSIDE, Log, Marks
from benchmarks.steps import (
    BOUNDARIES,
    CASES,
    EVENTS,
    OUTERMOST,
    STEPS,
    Case,
    WrongAnswer,
    walk,
    whole,
)

BOTH = {OUTSIDE, "connection", "JSON"}
OF_OURS = BOTH | {"route", "task", "bot", "answer", "write"}
EXPECTED = {
    "http, fast lane": OF_OURS | {"head", "request", "permission", "next"},
    "http, plain way": OF_OURS | {"head", "request", "permission", "next"},
    "http, floor": BOTH,
    "websocket, fast lane": OF_OURS | {"frame", "dumps", "send"},
    "websocket, plain way": OF_OURS | {"frame", "dumps", "send"},
    "websocket, floor": BOTH | {"frame"},
}


async def walked(name: str, boundaries: tuple[tuple[str, str], ...]) -> Log:
    marks = Marks(lambda _: None)
    with marks.placed(boundaries):
        await walk(CASES[name], marks)
    return marks.log[whole(marks.log)]


@pytest.mark.parametrize("name", CASES)
async def test_each_event_goes_through_the_steps_of_its_case(name: str) -> None:
    log = await walked(name, BOUNDARIES)
    begun = Counter(each[0] for each in log if each is not None)
    assert begun.keys() == EXPECTED[name]
    assert all(times % EVENTS == 0 for times in begun.values())
    assert begun.total() == log.count(None)


async def test_between_two_events_there_is_one_mark_and_its_end() -> None:
    log = await walked("http, fast lane", OUTERMOST)
    assert log == [("connection", False), None] * EVENTS


def test_every_step_is_found_somewhere() -> None:
    assert {step for step, _ in BOUNDARIES} == STEPS.keys()


async def test_time_passes_and_garbage_is_collected_when_it_is_over() -> None:
    clocks = time.time, time.monotonic
    await walked("http, floor", OUTERMOST)
    assert (time.time, time.monotonic) == clocks
    assert gc.isenabled()


async def test_a_wrong_answer_ends_the_walk() -> None:
    class Demanding(Case):
        def answered(self, received: bytes) -> bool:
            return False

    with pytest.raises(WrongAnswer, match="the client has given up"):
        await walk(Demanding("http", fast_lane=True), Marks())


def test_marks_of_too_few_events_are_refused() -> None:
    with pytest.raises(ValueError, match=f"expected marks of {EVENTS + 1} events, got those of 1"):
        whole([("connection", False), ("JSON", False), None, None, ("JSON", False), None])
