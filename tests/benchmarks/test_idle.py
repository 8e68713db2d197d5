"""Idle connections are held, counted and told."""

from __future__ import annotations

import resource
from dataclasses import replace

import pytest
from support.measured import MINIATURE, idle_sample

from benchmarks.idle import allow_files, measure_idle, steps, summarise_idle
from benchmarks.load import LoadError
from benchmarks.process import Subject
from benchmarks.summary import Spread


@pytest.mark.parametrize("name", ["floor", "nbdriver"])
async def test_idle_connections_are_held_while_events_flow_on_others(name: str) -> None:
    subject = Subject(name, "asyncio")
    (taken,) = await measure_idle(7, [subject], MINIATURE)
    assert (taken.round, taken.subject, taken.connections) == (7, subject, 5)
    assert taken.alone.events >= 2
    assert taken.beside.events >= 2
    assert taken.rest.events == 0
    assert taken.rest.wall > 0


async def test_more_files_than_are_allowed_end_the_run_before_it_begins() -> None:
    settings = replace(MINIATURE, idle=2**31)
    with pytest.raises(LoadError, match=r"expected to be allowed 2147483750 open files for"):
        await measure_idle(1, [Subject("floor", "asyncio")], settings)


def test_files_that_are_allowed_already_need_nothing() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_files(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_an_idle_sample_tells_memory_for_each_and_time_per_event_and_at_rest() -> None:
    told = idle_sample(1, 8.0)
    assert (told.kib, told.cpu_alone, told.cpu_beside, told.busy) == (8.0, 50.0, 60.0, 0.001)


def test_idle_samples_are_told_by_their_median() -> None:
    (row,) = summarise_idle([idle_sample(1, 8.0), idle_sample(2, 9.0), idle_sample(3, 13.0, 90.0)])
    assert str(row.subject) == "nbdriver on asyncio"
    assert row.kib == Spread(9.0, 8.0, 13.0)
    assert row.cpu_beside == Spread(60.0, 60.0, 90.0)
    assert row.pinged == Spread(10, 10, 10)


@pytest.mark.parametrize(
    ("connections", "looked_at"),
    [(5, [5]), (100, [100]), (10_000, [100, 300, 1_000, 3_000, 10_000])],
)
def test_memory_is_looked_at_on_the_way_to_the_last(connections: int, looked_at: list[int]) -> None:
    assert steps(connections) == looked_at
