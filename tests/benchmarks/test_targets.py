"""A target is judged by the ratios of the rounds, and by nothing that was not measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.measured import a_run, idle_sample, sample

from benchmarks.histogram import Histogram
from benchmarks.latency import LatencySample
from benchmarks.load import Measurement
from benchmarks.measure import Sample
from benchmarks.process import Subject
from benchmarks.result import Run
from benchmarks.scaling import ProcessSample
from benchmarks.starting import ImportSample, StartSample
from benchmarks.summary import Spread
from benchmarks.targets import MET, NOT_MEASURED, NOT_MET, TARGETS, UNDECIDED, Verdict, judge


def empty() -> Run:
    run = a_run()
    run.samples = []
    return run


def verdict(run: Run, what: str, against: str = "") -> Verdict:
    (found,) = [each for each in judge(run) if each.what == what and against in each.against]
    return found


def rounds(job: str, name: str, loop: str, *figures: float) -> list[Sample]:
    return [sample(number, job, name, cpu, loop) for number, cpu in enumerate(figures, 1)]


def test_what_was_not_measured_is_told_so() -> None:
    verdicts = judge(empty())
    assert len(verdicts) == len(TARGETS)
    assert {each.verdict for each in verdicts} == {NOT_MEASURED}
    assert {each.ratio for each in verdicts} == {None}


def test_no_two_targets_are_the_same() -> None:
    assert len({(each.what, each.against) for each in TARGETS}) == len(TARGETS)


@pytest.mark.parametrize(("cpu", "expected"), [(65.0, MET), (66.0, NOT_MET)])
def test_an_event_is_judged_against_the_peer_on_uvloop(cpu: float, expected: str) -> None:
    run = empty()
    run.samples = rounds("http", "nbdriver", "asyncio", cpu)
    run.samples += rounds("http", "uvicorn-httptools", "uvloop", 100.0)
    run.samples += rounds("http", "uvicorn-httptools", "asyncio", 1.0)
    found = verdict(run, "HTTP event, asyncio's own loop", "uvicorn-httptools")
    assert found.ratio == Spread(cpu / 100, cpu / 100, cpu / 100)
    assert (found.verdict, found.target, found.direction) == (expected, 0.65, "at most")


def test_the_better_of_two_is_the_better_of_each_round() -> None:
    run = empty()
    run.samples = rounds("websocket", "nbdriver", "uvloop", 10.0, 10.0, 10.0)
    run.samples += rounds("websocket", "aiohttp", "uvloop", 20.0, 40.0, 40.0)
    run.samples += rounds("websocket", "uvicorn-sansio", "uvloop", 50.0, 25.0, 10.0)
    found = verdict(run, "WebSocket event, uvloop", "the better of aiohttp")
    assert found.ratio == Spread(0.5, 0.4, 1.0)
    assert (found.verdict, found.note) == (MET, "")


@pytest.mark.parametrize(("cpu", "expected"), [(10.0, UNDECIDED), (19.0, NOT_MET)])
def test_a_target_is_not_met_while_one_of_several_peers_is_missing(
    cpu: float, expected: str
) -> None:
    run = empty()
    run.samples = rounds("websocket", "nbdriver", "uvloop", cpu)
    run.samples += rounds("websocket", "aiohttp", "uvloop", 20.0)
    found = verdict(run, "WebSocket event, uvloop", "the better of aiohttp")
    assert (found.verdict, found.note) == (expected, "without uvicorn-sansio")


def test_every_loop_has_its_own_floor() -> None:
    run = empty()
    for loop, cpu in (("asyncio", 15.0), ("uvloop", 17.0)):
        run.samples += rounds("http", "nbdriver", loop, cpu) + rounds("http", "floor", loop, 10.0)
    assert verdict(run, "HTTP event, asyncio's own loop", "the floor").verdict == MET
    assert verdict(run, "HTTP event, uvloop", "the floor").verdict == NOT_MET


def test_idle_memory_is_judged_against_aiohttp_on_uvloop() -> None:
    run = empty()
    run.idle = [
        idle_sample(1, 6.0, subject=Subject("nbdriver", "uvloop")),
        idle_sample(1, 15.0, subject=Subject("aiohttp", "uvloop")),
        idle_sample(1, 1.0, subject=Subject("aiohttp", "asyncio")),
    ]
    found = verdict(run, "memory of an idle WebSocket, uvloop")
    assert found.ratio == Spread(0.4, 0.4, 0.4)
    assert (found.verdict, found.note) == (MET, "6.0 KiB and 15.0 KiB each")


def test_imports_are_judged_against_the_cheaper_uvicorn() -> None:
    run = empty()
    figures = {"nbdriver": 30, "uvicorn, h11": 50, "uvicorn, httptools": 60, "aiohttp.web": 1}
    run.imports = [ImportSample(1, name, cpu, cpu) for name, cpu in figures.items()]
    found = verdict(run, "import, beyond `import asyncio`")
    assert found.ratio == Spread(0.6, 0.6, 0.6)
    assert found.verdict == NOT_MET


def test_more_connections_are_judged_by_the_dearest_of_them() -> None:
    run = empty()
    run.connections = [
        sample(number, "http", "nbdriver", cpu * number, "uvloop", connections=connections)
        for number in (1, 2)
        for connections, cpu in ((1, 20.0), (100, 10.0), (1_000, 15.0))
    ]
    found = verdict(run, "HTTP event with more connections")
    assert found.ratio == Spread(0.75, 0.75, 0.75)
    assert (found.verdict, found.note) == (MET, "dearest with 1,000")


def test_bytes_of_a_message_are_judged_by_what_one_more_costs() -> None:
    run = empty()
    run.sizes = [
        sample(1, "websocket", "nbdriver", cpu, "uvloop", size=size)
        for size, cpu in ((100, 7.0), (10_000, 10.0), (100_000, 100.0), (1_000_000, 1_900.0))
    ]
    found = verdict(run, "a byte more of a message, 100 kB to 1 MB")
    assert found.ratio == Spread(2.0, 2.0, 2.0)
    assert found.verdict == NOT_MET


def process_samples(rate: int, machine_busy: float, cpu: float = 20.0) -> list[ProcessSample]:
    """One process with 100 events a second and two with `rate`; an event of one takes 20 us."""
    subject = Subject("nbdriver", "uvloop")
    alone = Measurement(100, 10**9, 2_000_000)
    both = Measurement(rate, 10**9, int(rate * cpu * 1e3))
    return [
        ProcessSample(1, "http", subject, 1, 256, alone, 0.5),
        ProcessSample(1, "http", subject, 2, 256, both, machine_busy),
    ]


@pytest.mark.parametrize(
    ("rate", "machine_busy", "expected"),
    [(180, 0.9, MET), (180, 1.0, MET), (150, 0.9, NOT_MET), (150, 1.0, UNDECIDED)],
)
def test_two_processes_are_judged_unless_the_machine_was_full(
    rate: int, machine_busy: float, expected: str
) -> None:
    run = empty()
    run.processes = process_samples(rate, machine_busy)
    found = verdict(run, "events/s of two processes that share a port")
    assert found.ratio == Spread(rate / 100, rate / 100, rate / 100)
    assert found.verdict == expected
    assert ("was the limit" in found.note) == (machine_busy == 1.0)


def test_two_processes_on_a_full_machine_are_told_by_their_cost() -> None:
    run = empty()
    run.processes = process_samples(150, 1.0, cpu=25.0)
    note = verdict(run, "events/s of two processes that share a port").note
    assert note.endswith("would carry 1.60 times as much")


def latency_sample(number: int, name: str, microseconds: int) -> LatencySample:
    histogram = Histogram()
    histogram.record([microseconds * 1000] * 100)
    subject = Subject(name, "uvloop")
    return LatencySample(number, "http", subject, None, 1, histogram.encode(), "", 10**9)


def test_latency_is_judged_against_the_best_of_the_peers() -> None:
    run = empty()
    figures = {"nbdriver": 80, "uvicorn-httptools": 100, "hypercorn": 200, "floor": 1}
    figures |= {"aiohttp": 300}
    run.latency = [latency_sample(1, name, figure) for name, figure in figures.items()]
    run.latency.append(replace(run.latency[0], rate=1_000))
    found = verdict(run, "latency on one connection, HTTP, median")
    assert found.ratio is not None
    assert found.ratio.median == pytest.approx(0.8, rel=0.01)
    assert (found.verdict, found.note) == (MET, "the best is uvicorn-httptools")
    del run.latency[4]
    found = verdict(run, "latency on one connection, HTTP, median")
    assert (found.verdict, found.note) == (
        UNDECIDED,
        "the best is uvicorn-httptools; without aiohttp",
    )


@pytest.mark.parametrize(
    ("job", "title", "cpu", "expected"),
    [
        ("http", "HTTP", 35.0, MET),
        ("http", "HTTP", 36.0, NOT_MET),
        ("websocket", "WebSocket", 75.0, MET),
        ("websocket", "WebSocket", 76.0, NOT_MET),
    ],
)
@pytest.mark.parametrize(
    ("loop", "spoken"), [("asyncio", "asyncio's own loop"), ("uvloop", "uvloop")]
)
def test_inside_nonebot_an_event_is_judged_against_its_fastapi_driver_on_the_same_loop(
    job: str, title: str, cpu: float, expected: str, loop: str, spoken: str
) -> None:
    run = empty()
    for other in ("asyncio", "uvloop"):
        figures = (cpu, 100.0) if other == loop else (1.0, 1.0)
        for name, figure in zip(("nonebot-nbdriver", "nonebot-fastapi"), figures, strict=True):
            run.samples += rounds(job, name, other, figure)
    found = verdict(run, f"{title} event inside NoneBot, {spoken}")
    assert (found.ratio, found.verdict) == (Spread(cpu / 100, cpu / 100, cpu / 100), expected)


@pytest.mark.parametrize(("own", "expected"), [(99, MET), (100, NOT_MET), (101, NOT_MET)])
@pytest.mark.parametrize("what", ["first event inside NoneBot", "memory at rest inside NoneBot"])
def test_a_start_inside_nonebot_has_to_take_less_than_that_of_its_fastapi_driver(
    what: str, own: int, expected: str
) -> None:
    run = empty()
    run.starts = [
        StartSample(1, Subject(name, "asyncio"), first_event=figure, cpu=1, resident=figure)
        for name, figure in (("nonebot-nbdriver", own), ("nonebot-fastapi", 100))
    ]
    (found,) = [each for each in judge(run) if each.what.startswith(what)]
    assert (found.ratio, found.verdict) == (Spread(own / 100, own / 100, own / 100), expected)
