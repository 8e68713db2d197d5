"""A round measures every server, in turns, with all that was answered."""

from __future__ import annotations

import pytest
from support.measured import MINIATURE

from benchmarks.clients import JOBS, LARGE
from benchmarks.load import LoadError
from benchmarks.measure import Entrant, measure_round, measure_turns
from benchmarks.process import Subject


async def test_a_round_measures_every_server_once_at_its_job() -> None:
    subjects = [Subject("floor", "asyncio"), Subject("nbdriver", "asyncio")]
    samples = await measure_round(3, "websocket", subjects, MINIATURE)
    assert [(each.round, each.job, each.subject) for each in samples] == [
        (3, "websocket", subject) for subject in subjects
    ]
    assert all(each.measurement.server_cpu > 0 for each in samples)
    assert {(each.connections, each.size) for each in samples} == {(2, 0)}


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_large_event_is_answered_as_a_small_one_is(kind: str) -> None:
    (taken,) = await measure_round(1, f"{kind}-70kB", [Subject("nbdriver", "asyncio")], MINIATURE)
    assert taken.size == LARGE
    assert taken.measurement.events >= 2


async def test_an_error_tells_which_server_at_which_job() -> None:
    # The floor knows no frame with a header as short as this one has.
    entrant = Entrant(Subject("floor", "asyncio"), "too short", JOBS["websocket"].sized(100), 1)
    with pytest.raises(LoadError, match="floor on asyncio, too short: the server ended"):
        await measure_turns(1, [entrant], MINIATURE)
