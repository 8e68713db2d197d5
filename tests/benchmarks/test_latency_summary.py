"""Latencies of several rounds, summed up and compared."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from benchmarks.histogram import Histogram
from benchmarks.latency import LatencySample
from benchmarks.latency_summary import compare_latency, latency_tables, summarise_latency
from benchmarks.process import Subject

OURS, FAST, STEADY = (Subject(name, "uvloop") for name in ("nbdriver", "fast", "steady"))
close = {"rel": 2e-3}


def sample(
    number: int,
    subject: Subject,
    latencies: Iterable[int],
    rate: int | None = None,
    job: str = "http",
) -> LatencySample:
    """Latencies in microseconds, of events that took a second together."""
    found = Histogram(each * 1_000 for each in latencies)
    late = "" if rate is None else Histogram([5_000] * 100).encode()
    connections = 1 if rate is None else 32
    return LatencySample(number, job, subject, rate, connections, found.encode(), late, 10**9)


def even(middle: int, tail: int) -> list[int]:
    """A hundred latencies, of which a few at the end are of another length."""
    return [middle] * 95 + [tail] * 5


def test_a_row_has_the_spread_of_the_rounds_and_the_percentiles_of_all_together() -> None:
    samples = [
        sample(1, OURS, [100] * 600),
        sample(2, OURS, [300] * 399 + [9_000]),
        sample(3, OURS, [200] * 500),
    ]
    (row,) = summarise_latency(samples)
    assert (row.job, row.subject, row.rate, row.connections) == ("http", OURS, None, 1)
    assert row.count == 1_500
    assert row.median.median == pytest.approx(200, **close)
    assert (row.median.low, row.median.high) == pytest.approx((100, 300), **close)
    assert row.p99.high == pytest.approx(300, **close)
    assert row.highest == pytest.approx(9_000, **close)
    assert row.percentiles["50"] == pytest.approx(200, **close)
    assert "99.99" not in row.percentiles
    assert row.answered.median == 500
    assert row.late is None


def test_rates_jobs_and_servers_have_rows_of_their_own() -> None:
    samples = [
        sample(1, OURS, [1]),
        sample(1, OURS, [1], rate=1_000),
        sample(1, FAST, [1]),
        sample(1, OURS, [1], job="websocket"),
    ]
    rows = summarise_latency(samples)
    assert [(row.job, row.subject, row.rate) for row in rows] == [
        ("http", OURS, None),
        ("http", OURS, 1_000),
        ("http", FAST, None),
        ("websocket", OURS, None),
    ]
    assert rows[1].late == pytest.approx(5, **close)


def test_servers_are_compared_within_rounds_with_the_best_at_that_percentile() -> None:
    samples = [
        *(sample(number, OURS, even(*of)) for number, of in enumerate([(50, 90), (80, 90)], 1)),
        *(sample(number, FAST, even(*of)) for number, of in enumerate([(100, 900), (80, 900)], 1)),
        *(sample(number, STEADY, even(200, 300)) for number in (1, 2)),
    ]
    median = compare_latency(samples, "http", OURS, [FAST, STEADY], 50)
    assert median is not None
    assert median.peer == FAST
    assert (median.ratio.low, median.ratio.high) == pytest.approx((0.5, 1.0), rel=4e-3)
    tail = compare_latency(samples, "http", OURS, [FAST, STEADY], 99)
    assert tail is not None
    assert tail.peer == STEADY
    assert tail.ratio.median == pytest.approx(0.3, rel=4e-3)


def test_what_was_not_measured_is_not_compared() -> None:
    own = sample(1, OURS, [1])
    assert compare_latency([own], "http", OURS, [FAST], 50) is None
    assert compare_latency([own, sample(2, FAST, [1])], "http", OURS, [FAST], 50) is None
    assert compare_latency([own, sample(1, FAST, [1], 1_000)], "http", OURS, [FAST], 50) is None
    other = sample(1, FAST, [1], job="websocket")
    assert compare_latency([own, other], "http", OURS, [FAST], 50) is None
    assert compare_latency([sample(1, FAST, [1])], "http", OURS, [FAST], 50) is None


def test_tables_have_a_title_for_each_job_and_rate() -> None:
    samples = [
        sample(1, OURS, [100] * 99 + [2_000], rate=1_000),
        sample(1, OURS, [100] * 100),
        sample(1, FAST, [100] * 100),
    ]
    alone, paced = latency_tables(samples)
    assert "on one connection" in alone[0]
    assert [row[0] for row in alone[1]] == ["server", "nbdriver", "fast"]
    assert "at 1,000 events/s" in paced[0]
    headings, row = paced[1]
    cells = dict(zip(headings, row, strict=True))
    assert cells["median us"] == "100"
    assert cells["p99.9"] == "-"
    assert cells["highest"] in ("2,000", "2,001")
    assert cells["own delay p99"] == "5"
