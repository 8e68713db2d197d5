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

__all__ = ["FLOOR", "OURS", "REFERENCES", "Row", "Spread", "spread", "summarise"]

OURS = "nbdriver"
"""The server that this is all about."""
FLOOR = "floor"
REFERENCES = (FLOOR, OURS)
"""What every server is compared with, each on the same event loop."""


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
    ratios: dict[str, Spread]
    """`cpu` over that of each reference that was measured too."""


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
        ratios = {}
        for name in REFERENCES:
            others = [by_key.get((job, Subject(name, subject.loop), each.round)) for each in own]
            pairs = zip(own, others, strict=True)
            found = [mine.cpu / other.cpu for mine, other in pairs if other is not None]
            if found:
                ratios[name] = spread(found)
        rows.append(
            Row(
                job,
                subject,
                cpu=spread(each.cpu for each in own),
                rate=spread(each.rate for each in own),
                busy=spread(each.busy for each in own),
                ratios=ratios,
            )
        )
    return rows
