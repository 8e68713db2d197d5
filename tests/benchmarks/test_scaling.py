"""Sizes, numbers of connections and processes: each is measured as it says."""

from __future__ import annotations

from dataclasses import replace

from support.measured import MINIATURE

from benchmarks.process import Subject
from benchmarks.scaling import measure_connections, measure_processes, measure_sizes

OURS = Subject("nbdriver", "asyncio")


async def test_each_size_is_measured_on_each_server() -> None:
    settings = replace(MINIATURE, sizes=(100, 100_000))
    samples = await measure_sizes(2, "websocket", [OURS], settings)
    assert [(each.round, each.job, each.size) for each in samples] == [
        (2, "websocket", 100),
        (2, "websocket", 100_000),
    ]
    assert all(each.measurement.events >= 2 for each in samples)


async def test_each_number_of_connections_is_measured_on_each_server() -> None:
    settings = replace(MINIATURE, scale=(1, 50))
    samples = await measure_connections(2, "http", [Subject("floor", "asyncio")], settings)
    assert [(each.round, each.job, each.connections) for each in samples] == [
        (2, "http", 1),
        (2, "http", 50),
    ]
    assert samples[1].measurement.events >= 50


async def test_one_process_and_two_that_share_a_port_answer_all_events() -> None:
    one, two = await measure_processes(2, "http", OURS, MINIATURE)
    assert [(each.processes, each.connections) for each in (one, two)] == [(1, 8), (2, 8)]
    assert min(one.measurement.events, two.measurement.events) >= 8
    assert one.cpu > 0
    assert one.rate > 0
    assert one.generator_busy > 0
    assert one.machine_busy <= 1.01
