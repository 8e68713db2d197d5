"""Latencies as an HDR histogram: every one counted, each to three digits, up to ten minutes.

An average hides the few that were slow, and a list of all grows with the run. A histogram whose
buckets widen with the value keeps the tail as exactly as the middle, adds up over rounds, and is
kept in JSON in the form that HdrHistogram's own tools read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hdrh.histogram import HdrHistogram

__all__ = ["PERCENTILES", "Histogram", "joined"]

PERCENTILES = (50.0, 75.0, 90.0, 99.0, 99.9, 99.99)
"""What is told of a distribution, beside its highest value."""

_LOWEST, _HIGHEST, _DIGITS = 1, 600 * 10**9, 3
#: Points of a curve for each halving of what remains to 100 %, as HdrHistogram's plots have them.
_TICKS = 5


class Histogram:
    """Latencies in nanoseconds; whatever it tells is in microseconds."""

    def __init__(self, nanoseconds: Iterable[int] = ()) -> None:
        self._counts = HdrHistogram(_LOWEST, _HIGHEST, _DIGITS)
        self.record(nanoseconds)

    def record(self, nanoseconds: Iterable[int]) -> None:
        """Count these too. Raises ValueError for one beyond ten minutes, or below nothing."""
        record = self._counts.record_value
        for each in nanoseconds:
            if not record(each):
                raise ValueError(f"expected a latency from 0 to {_HIGHEST} ns, got {each}")

    def add(self, encoded: str) -> None:
        """Count all that another histogram holds, in the form that `encode` gives."""
        self._counts.decode_and_add(encoded)

    def encode(self) -> str:
        """All that it holds, in HdrHistogram's own form (V2, compressed, base64)."""
        encoded: bytes = self._counts.encode()
        return encoded.decode("ascii")

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._counts.get_total_count())

    @property
    def highest(self) -> float:
        """The highest, in microseconds; 0 if there is none."""
        return float(self._counts.get_max_value() / 1e3)

    def at(self, percentile: float) -> float:
        """The latency that this part of all stayed within, in microseconds; 0 if there are none."""
        return float(self._counts.get_value_at_percentile(percentile) / 1e3)

    def percentiles(self, wanted: Sequence[float] = PERCENTILES) -> dict[str, float]:
        """Those of `wanted` that so many can tell, in microseconds, by name ("99.9").

        Of a thousand events, what one in ten thousand took is not known.
        """
        told = [each for each in wanted if round(self.count * (100 - each), 6) >= 100]
        found = self._counts.get_percentile_to_value_dict(told)
        return {f"{each:g}": found[each] / 1e3 for each in told}

    def curve(self) -> list[tuple[float, float]]:
        """Percentiles that come ever closer to 100, each with its latency in microseconds."""
        points = self._counts.get_percentile_iterator(_TICKS)
        return [
            (each.percentile_level_iterated_to, each.value_iterated_to / 1e3) for each in points
        ]


def joined(encoded: Iterable[str]) -> Histogram:
    """All that some histograms hold, each in the form that `encode` gives."""
    total = Histogram()
    for each in encoded:
        total.add(each)
    return total
