"""The sums are right, and servers are compared within a round."""

from __future__ import annotations

from support.measured import sample

from benchmarks.summary import Spread, spread, summarise


def test_a_sample_tells_microseconds_per_event_and_events_per_second() -> None:
    told = sample(1, "http", "nbdriver", 40.0, wall=2 * 10**9)
    assert (told.cpu, told.rate, told.busy, told.generator_cpu) == (40.0, 500.0, 0.02, 3.0)


def test_a_spread_is_the_median_with_the_lowest_and_the_highest() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([4.0, 1.0, 2.0, 3.0]) == Spread(2.5, 1.0, 4.0)


def test_servers_are_compared_within_a_round_and_a_loop() -> None:
    figures = {"aiohttp": (50, 100, 300), "nbdriver": (100, 400, 300)}
    samples = [
        sample(number, "http", name, cpu)
        for name, values in figures.items()
        for number, cpu in enumerate(values, 1)
    ]
    samples += [sample(1, "http", "nbdriver", 10, "uvloop"), sample(1, "websocket", "floor", 5)]
    rows = summarise(samples)
    assert [(row.job, str(row.subject)) for row in rows] == [
        ("http", "aiohttp on asyncio"),
        ("http", "nbdriver on asyncio"),
        ("http", "nbdriver on uvloop"),
        ("websocket", "floor on asyncio"),
    ]
    # The rounds' ratios are 0.5, 0.25 and 1; that of the medians would be a third.
    assert rows[0].ratios == {"nbdriver": Spread(0.5, 0.25, 1.0)}
    assert rows[0].cpu == Spread(100.0, 50.0, 300.0)
    assert rows[2].ratios == {"nbdriver": Spread(1.0, 1.0, 1.0)}
    assert rows[3].ratios == {"floor": Spread(1.0, 1.0, 1.0)}
