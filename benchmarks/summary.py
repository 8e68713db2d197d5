"""What the samples say: medians, their spread, and how the servers compare.

Servers are compared within a round, where they ran in turns on the same machine in the same minute;
the ratio that is told is the median of the rounds' ratios, not the ratio of two medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .measure import Sample
from .process import Subject

__all__ = ["FLOOR", "OURS", "Row", "Spread", "spread", "summarise"]

OURS = "nbdriver"
"""The server that this is all about."""
FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, and the lowest and highest of them."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """A server at a job, over all rounds."""

    job: str
    subject: Subject
    cpu: Spread
    """CPU time of the server per event, in microseconds."""
    rate: Spread
    """Events per second."""
    busy: Spread
    """The part of the time in which the server was running."""
    over_floor: Spread | None
    """`cpu` over that of the floor on the same loop, if that was measured too."""
    ours_over: Spread | None
    """That of the driver on the same loop over this: below 1, the driver is cheaper."""


def spread(values: Iterable[float]) -> Spread:
    """The spread of some values; at least one."""
    values = sorted(values)
    return Spread(statistics.median(values), values[0], values[-1])


def summarise(samples: Sequence[Sample]) -> list[Row]:
    """A row for each server at each job, in the order of the samples."""
    by_key = {(each.job, each.subject, each.round): each for each in samples}
    rows = []
    for job, subject in dict.fromkeys((each.job, each.subject) for each in samples):
        own = [each for each in samples if (each.job, each.subject) == (job, subject)]
        floor = [by_key.get((job, Subject(FLOOR, subject.loop), each.round)) for each in own]
        ours = [by_key.get((job, Subject(OURS, subject.loop), each.round)) for each in own]
        rows.append(
            Row(
                job,
                subject,
                cpu=spread(each.cpu for each in own),
                rate=spread(each.rate for each in own),
                busy=spread(each.busy for each in own),
                over_floor=_ratio(own, floor),
                ours_over=_ratio(ours, own),
            )
        )
    return rows


def _ratio(over: Sequence[Sample | None], under: Sequence[Sample | None]) -> Spread | None:
    """The spread of the rounds' ratios, of the rounds in which both were measured."""
    found = [
        upper.cpu / lower.cpu
        for upper, lower in zip(over, under, strict=True)
        if upper is not None and lower is not None
    ]
    return spread(found) if found else None
