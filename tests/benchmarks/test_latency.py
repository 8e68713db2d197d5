"""A round of latencies: every server, in every way, each answer counted by its bot."""

from __future__ import annotations

import pytest

from benchmarks.histogram import joined
from benchmarks.latency import LatencySettings, measure_address, measure_latency
from benchmarks.load import LoadError
from benchmarks.process import ServerProcess, Subject

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


async def test_a_server_that_runs_already_is_measured_by_its_address() -> None:
    subject = Subject("somebody's", "unknown")
    async with ServerProcess(Subject("floor", "asyncio")) as process:
        samples = measure_address(1, "websocket", subject, process.address, SHORT)
        counted = sum(each.histogram.count for each in samples)
        # The others warmed it up, and opened each turn.
        assert 0 < counted < await process.finish()
    assert {each.subject for each in samples} == {subject}


async def test_a_sample_is_kept_with_all_that_the_page_needs() -> None:
    async with ServerProcess(Subject("floor", "asyncio")) as process:
        samples = measure_address(3, "http", Subject("floor", "asyncio"), process.address, SHORT)
        await process.finish()
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


def test_an_error_tells_which_server_at_which_job() -> None:
    nobody = Subject("nobody", "asyncio")
    with pytest.raises(LoadError, match="nobody on asyncio, latency, http: could not connect"):
        measure_address(1, "http", nobody, ("127.0.0.1", 1), SHORT)
