"""Histograms tell what was recorded, and no more than so many events can tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.histogram import Histogram, joined

# Within three digits, which is what is kept.
close = {"rel": 1e-3}


def test_percentiles_are_those_of_what_was_recorded_in_microseconds() -> None:
    found = Histogram(each * 1_000 for each in range(1, 10_001))
    assert found.count == 10_000
    assert found.at(50) == pytest.approx(5_000, **close)
    assert found.highest == pytest.approx(10_000, **close)
    told = found.percentiles()
    assert list(told) == ["50", "75", "90", "99", "99.9", "99.99"]
    assert told["99.99"] == pytest.approx(9_999, **close)


def test_what_so_few_events_cannot_tell_is_left_out() -> None:
    assert list(Histogram([1_000] * 999).percentiles()) == ["50", "75", "90", "99"]
    assert list(Histogram([1_000] * 1_000).percentiles()) == ["50", "75", "90", "99", "99.9"]
    assert Histogram().percentiles() == {}


def test_a_curve_ends_with_the_highest() -> None:
    curve = Histogram([10_000] * 99 + [5_000_000]).curve()
    percentiles = [percentile for percentile, _ in curve]
    assert percentiles == sorted(percentiles)
    assert curve[0][1] == pytest.approx(10, **close)
    assert curve[-1] == (100, pytest.approx(5_000, **close))
    assert Histogram().curve() == []


@given(st.lists(st.lists(st.integers(0, 10**10), max_size=20), max_size=4))
def test_joined_histograms_hold_what_each_of_them_held(parts: list[list[int]]) -> None:
    whole = Histogram(each for part in parts for each in part)
    found = joined(Histogram(part).encode() for part in parts)
    assert found.count == whole.count
    assert [found.at(each) for each in (1, 50, 99)] == [whole.at(each) for each in (1, 50, 99)]
    assert found.highest == pytest.approx(whole.highest, **close)


@pytest.mark.parametrize("latency", [-1, 3_600 * 10**9])
def test_a_latency_that_cannot_be_is_an_error(latency: int) -> None:
    with pytest.raises(
        ValueError, match=f"expected a latency from 0 to 600000000000 ns, got {latency}"
    ):
        Histogram([latency])
