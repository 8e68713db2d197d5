"""A round of latencies: every server, in every way, each answer counted by its bot."""

from __future__ import annotations

import pytest

from benchmarks.histogram import joined
from benchmarks.latency import LatencySettings, measure_latency
from benchmarks.load import LoadError
from benchmarks.process import Subject

SHORT = LatencySettings(
    seconds=0.04, turn=0.02, paced_turn=0.02, warm_up=0.01, rates=(500, 1_000), connections=3
)


@pytest.mark.parametrize("job", ["http", "websocket"])
async def test_a_round_measures_each_server_on_one_connection_and_at_each_rate(job: str) -> None:
    subjects = [Subject("floor", "asyncio"), Subject("nbdriver", "asyncio")]
    samples = await measure_latency(7, job, subjects, SHORT)
    assert [(each.subject, each.rate, each.connections) for each in samples] == [
        (subject, rate, connections)
        for subject in subjects
        for rate, connections in ((None, 1), (500, 3), (1_000, 3))
    ]
    assert {(each.round, each.job) for each in samples} == {(7, job)}
    # Two turns at each rate, so long that this many events belong into each.
    assert [each.histogram.count for each in samples if each.rate] == [20, 40, 20, 40]
    assert all(each.histogram.count >= 2 for each in samples)


async def test_a_sample_is_kept_with_all_that_the_page_needs() -> None:
    samples = await measure_latency(3, "http", [Subject("floor", "asyncio")], SHORT)
    alone, paced, _ = (each.as_json() for each in samples)
    assert alone["subject"] == {"name": "floor", "loop": "asyncio"}
    assert [alone[key] for key in ("job", "rate", "connections", "round")] == ["http", None, 1, 3]
    assert alone["late"] == {}
    assert [paced[key] for key in ("rate", "connections", "count")] == [500, 3, 20]
    assert paced["percentiles"].keys() == {"50", "75", "90", "100"}
    assert paced["percentiles"]["50"] <= paced["percentiles"]["100"]
    assert paced["late"].keys() == {"50", "75", "90", "100"}
    assert joined([paced["hdr"]]).count == 20
    assert joined([paced["hdr"]]).at(50) == paced["percentiles"]["50"]


async def test_an_error_tells_which_server_at_which_job() -> None:
    # The floor knows no frame with a header as long as this one has.
    with pytest.raises(LoadError, match="floor on asyncio, latency, websocket-70kB: "):
        await measure_latency(1, "websocket-70kB", [Subject("floor", "asyncio")], SHORT)
