"""What the latencies say: medians and tails with their spread, and how the servers compare.

As in `summary`, servers are compared within a round; the histograms of all rounds together say what
a single round has too few events for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .histogram import PERCENTILES, joined
from .latency import LatencySample
from .process import Subject
from .summary import Spread, spread

__all__ = ["LatencyRatio", "LatencyRow", "compare_latency", "latency_tables", "summarise_latency"]

_JOBS = {"http": "HTTP", "websocket": "WebSocket"}
_HEADINGS = ["server", "loop", "events", "median us", "lowest-highest", "p99 us", "lowest-highest"]
_HEADINGS += [f"p{each:g}" for each in PERCENTILES if each > 99]
_HEADINGS += ["highest", "answered/s", "own delay p99"]


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """A server's latencies over all rounds, in microseconds."""

    job: str
    subject: Subject
    rate: int | None
    connections: int
    count: int
    """How many events."""
    median: Spread
    """Of the rounds' medians,"""
    p99: Spread
    """and of the latencies that 99 % of a round's events stayed within."""
    percentiles: dict[str, float]
    """Of the events of all rounds together."""
    highest: float
    answered: Spread
    """Events per second."""
    late: float | None
    """What 99 % of the load generator's own delays stayed within; None without a schedule."""


@dataclass(frozen=True, slots=True)
class LatencyRatio:
    """A server's latency on one connection over that of the best of its peers."""

    job: str
    subject: Subject
    percentile: float
    ratio: Spread
    """Of the rounds."""
    peer: Subject
    """The one whose latency, the median of the rounds', was the lowest."""


def summarise_latency(samples: Sequence[LatencySample]) -> list[LatencyRow]:
    """A row for each server, job and rate, in the order of the samples."""
    by_key: dict[Any, list[LatencySample]] = {}
    for each in samples:
        key = (each.job, each.subject, each.rate, each.connections)
        by_key.setdefault(key, []).append(each)
    return [_row(own) for own in by_key.values()]


def _row(own: Sequence[LatencySample]) -> LatencyRow:
    first = own[0]
    total = joined([each.latencies for each in own])
    late = None if first.rate is None else joined([each.late for each in own]).at(99)
    return LatencyRow(
        first.job,
        first.subject,
        first.rate,
        first.connections,
        total.count,
        median=spread(each.histogram.at(50) for each in own),
        p99=spread(each.histogram.at(99) for each in own),
        percentiles=total.percentiles(),
        highest=total.highest,
        answered=spread(each.answered for each in own),
        late=late,
    )


def compare_latency(
    samples: Sequence[LatencySample],
    job: str,
    subject: Subject,
    peers: Sequence[Subject],
    percentile: float,
) -> LatencyRatio | None:
    """How a server compares with the best of its peers on one connection, round by round.

    None if it was not measured, or none of the peers in the same rounds.
    """
    by_subject: dict[Subject, dict[int, float]] = {}
    for each in samples:
        if each.job == job and each.rate is None:
            by_subject.setdefault(each.subject, {})[each.round] = each.histogram.at(percentile)
    own = by_subject.get(subject, {})
    found = [peer for peer in peers if by_subject.get(peer, {}).keys() & own.keys()]
    if not found:
        return None
    best = min(found, key=lambda peer: spread(by_subject[peer].values()).median)
    theirs = by_subject[best]
    ratio = spread(own[number] / theirs[number] for number in own.keys() & theirs.keys())
    return LatencyRatio(job, subject, percentile, ratio, best)


def latency_tables(samples: Sequence[LatencySample]) -> Iterator[tuple[str, list[list[str]]]]:
    """For each job and rate a title and a table, line by line, the headings first."""
    rows = sorted(summarise_latency(samples), key=lambda row: (row.job, row.rate or 0))
    for (job, rate), of_rate in groupby(rows, key=lambda row: (row.job, row.rate)):
        yield _title(job, rate), [_HEADINGS, *map(_cells, of_rate)]


def _title(job: str, rate: int | None) -> str:
    name = _JOBS.get(job, job)
    if rate is None:
        return f"{name}: latency on one connection, the next event when the last was answered"
    return f"{name}: latency at {rate:,} events/s, from when each was to be sent"


def _cells(row: LatencyRow) -> list[str]:
    return [
        row.subject.name,
        row.subject.loop,
        f"{row.count:,}",
        *_figures(row.median),
        *_figures(row.p99),
        *(_told(row.percentiles.get(f"{each:g}")) for each in PERCENTILES if each > 99),
        _told(row.highest),
        f"{row.answered.median:,.0f}",
        _told(row.late),
    ]


def _figures(spread: Spread) -> list[str]:
    return [_told(spread.median), f"{_told(spread.low)}-{_told(spread.high)}"]


def _told(microseconds: float | None) -> str:
    return "-" if microseconds is None else f"{microseconds:,.0f}"
