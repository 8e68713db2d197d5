"""What is done in a run, step by step: each job in each round, one after the other."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from .anatomy import count_steps, count_subject, find_valgrind
from .command import Choice
from .environments import interpreter
from .idle import measure_idle
from .latency import LatencySettings, measure_latency
from .measure import Sample, Settings, measure_round
from .process import Launch, ServerError, Subject
from .result import Run
from .scaling import measure_connections, measure_processes, measure_sizes
from .servers import SERVERS
from .starting import measure_imports, measure_start
from .summary import OURS
from .wrk import find_wrk, measure_wrk

__all__ = ["Step", "plan", "subjects_of"]

_START = 0.9
"""About how long it takes to start a server and to end it, in seconds."""


@dataclass(frozen=True, slots=True)
class Step:
    """A job in a round."""

    label: str
    seconds: float
    """About how long it takes; for the time that is left, and nothing else."""
    run: Callable[[], Awaitable[str]]
    """Measures, puts the samples into the run, and gives the words for the progress."""


def subjects_of(choice: Choice, json: str, missing: Mapping[str, str] = {}) -> list[Subject]:
    """The servers of a job, each on each loop, but for those that cannot be measured."""
    return [
        Subject(name, loop, Launch(str(interpreter(entry.environment)), json))
        for loop in choice.loops
        for name, entry in SERVERS.items()
        if (name == OURS or name in choice.peers) and name not in missing
    ]


def plan(run: Run, jobs: Mapping[str, Choice], json: str) -> list[Step]:
    """The steps of a run, in order."""
    steps = []
    for number in range(1, max((choice.rounds for choice in jobs.values()), default=0) + 1):
        for name, choice in jobs.items():
            if number <= choice.rounds:
                subjects = subjects_of(choice, json, run.missing)
                steps += _JOBS[name](run, number, subjects)
    return steps


def _entered(subjects: Sequence[Subject], kind: str) -> list[Subject]:
    """Those that are entered for HTTP, or for WebSocket."""
    return [each for each in subjects if kind in SERVERS[each.name].kinds]


def _turns(subjects: Sequence[Subject], settings: Settings) -> float:
    return len(subjects) * (settings.seconds + settings.warm_up + _START)


def _events(*names: str) -> Callable[[Run, int, Sequence[Subject]], list[Step]]:
    def steps(run: Run, number: int, subjects: Sequence[Subject]) -> list[Step]:
        return [_event(run, number, name, subjects) for name in names]

    return steps


def _event(run: Run, number: int, name: str, subjects: Sequence[Subject]) -> Step:
    own = _entered(subjects, name.partition("-")[0])
    if name.endswith("-70kB"):
        # The floor knows no event that comes in pieces.
        own = [each for each in own if each.name != "floor"]

    async def measure() -> str:
        taken = await measure_round(number, name, own, run.settings)
        run.samples += taken
        return _told(taken)

    return Step(name, _turns(own, run.settings), measure)


def _told(samples: Sequence[Sample]) -> str:
    own = [each for each in samples if each.subject.name == OURS]
    return f"{OURS} " + ", ".join(f"{each.cpu:.1f} us on {each.subject.loop}" for each in own)


def _latency(run: Run, number: int, subjects: Sequence[Subject]) -> list[Step]:
    settings = run.settings
    latency = LatencySettings(
        seconds=settings.seconds, warm_up=settings.warm_up, rates=settings.rates
    )

    def step(kind: str) -> Step:
        own = _entered(subjects, kind)

        async def measure() -> str:
            taken = await measure_latency(number, kind, own, latency)
            run.latency += taken
            closed = [each for each in taken if _ours(each.subject) and each.rate is None]
            return f"{OURS} " + ", ".join(
                f"{each.histogram.at(50):.0f} us on {each.subject.loop}" for each in closed
            )

        seconds = settings.seconds * (1 + len(settings.rates)) + settings.warm_up + _START
        return Step(f"latency, {kind}", len(own) * seconds, measure)

    return [step("http"), step("websocket")]


def _sizes(run: Run, number: int, subjects: Sequence[Subject]) -> list[Step]:
    def step(kind: str) -> Step:
        own = [each for each in _entered(subjects, kind) if each.name != "floor"]

        async def measure() -> str:
            taken = await measure_sizes(number, kind, own, run.settings)
            run.sizes += taken
            return _across(taken, "size", "bytes")

        seconds = len(run.settings.sizes) * _turns(own, run.settings)
        return Step(f"sizes of events, {kind}", seconds, measure)

    return [step("http"), step("websocket")]


def _scaling(run: Run, number: int, subjects: Sequence[Subject]) -> list[Step]:
    settings = run.settings
    loops = dict.fromkeys(each.loop for each in subjects)

    def connections(kind: str) -> Step:
        own = _entered(subjects, kind)

        async def measure() -> str:
            taken = await measure_connections(number, kind, own, settings)
            run.connections += taken
            return _across(taken, "connections", "connections")

        seconds = len(own) * (4 * settings.seconds + sum(settings.scale) / 2_000 + 3)
        return Step(f"numbers of connections, {kind}", seconds, measure)

    def processes(loop: str) -> Step:
        own = next(each for each in subjects if each.name == OURS and each.loop == loop)

        async def measure() -> str:
            one, two = await measure_processes(number, "http", own, settings)
            run.processes += one, two
            return f"{OURS} {two.rate / one.rate:.2f} times the events of one on {loop}"

        return Step("two processes", 2 * settings.seconds + 4 * _START, measure)

    return [connections("http"), connections("websocket"), *map(processes, loops)]


def _across(samples: Sequence[Sample], what: str, unit: str) -> str:
    own = [each for each in samples if each.subject.name == OURS]
    first, last = own[0], own[-1]
    return (
        f"{OURS} {first.cpu:.1f} us with {getattr(first, what):,} {unit},"
        f" {last.cpu:.1f} with {getattr(last, what):,}"
    )


def _idle(run: Run, number: int, subjects: Sequence[Subject]) -> list[Step]:
    own = _entered(subjects, "websocket")

    async def measure() -> str:
        held = await measure_idle(number, own, run.settings)
        run.idle += held
        kib = [f"{each.kib:.1f} KiB on {each.subject.loop}" for each in held if _ours(each.subject)]
        return f"{OURS} {', '.join(kib)}"

    each = 2 * run.settings.seconds + run.settings.rest + run.settings.idle / 2_500 + _START
    return [Step("idle", len(own) * each, measure)]


def _ours(subject: Subject) -> bool:
    return subject.name == OURS


def _start(run: Run, number: int, subjects: Sequence[Subject]) -> list[Step]:
    environments = {SERVERS[each.name].environment for each in subjects}
    passes = range((number - 1) * run.settings.starts, number * run.settings.starts)

    async def imports() -> str:
        # Once to have everything as bytecode, as it is whenever it is imported again.
        await measure_imports(0, sorted(environments))
        for one in passes:
            run.imports += await measure_imports(one, sorted(environments))
        own = [each.cpu for each in run.imports if each.package == OURS]
        return f"{OURS} {sorted(own)[len(own) // 2] / 1e6:.1f} ms"

    async def starts() -> str:
        taken = await measure_start(number, subjects)
        run.starts += taken
        own = [each.first_event for each in taken if _ours(each.subject)]
        return f"{OURS} {', '.join(f'{each / 1e6:.0f} ms' for each in own)}"

    return [
        Step("imports", len(passes) * len(environments) * 0.4, imports),
        Step("first event", len(subjects) * (_START + 0.3), starts),
    ]


def _wrk(run: Run, number: int, subjects: Sequence[Subject]) -> list[Step]:
    wrk = find_wrk()
    if wrk is None:
        run.missing["wrk"] = "it is not installed (Debian: apt-get install wrk)"
        return []
    own = _entered(subjects, "http")

    async def measure() -> str:
        taken = await measure_wrk(number, wrk, own, run.settings)
        run.wrk += taken
        told = [
            f"{each.wrk:.1f} us, by ours {each.ours:.1f}" for each in taken if _ours(each.subject)
        ]
        return f"{OURS} {'; '.join(told)}"

    return [Step("wrk", len(own) * (2.5 + _START), measure)]


def _anatomy(run: Run, number: int, subjects: Sequence[Subject]) -> list[Step]:
    # granian's server has processes of its own, in none of which anything can be counted.
    own = [each for each in subjects if each.loop == "asyncio" and each.name != "granian"]

    async def made_of() -> str:
        for subject in own:
            run.made_of += await count_subject(subject)
        ours = [each for each in run.made_of if each.server == OURS]
        return f"{OURS} " + ", ".join(
            f"{each.kind} {each.counts['functions']} calls" for each in ours
        )

    async def steps() -> str:
        assert valgrind is not None
        try:
            run.steps = await asyncio.to_thread(count_steps, valgrind)
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            raise ServerError(f"the steps could not be counted: {error}") from error
        ours = [each for each in run.steps if each.fast_lane]
        return f"{OURS} " + ", ".join(f"{each.kind} {each.whole:,} instructions" for each in ours)

    planned = [Step("what an event is made of", len(own) * _START, made_of)] if own else []
    if (valgrind := find_valgrind()) is None:
        run.missing["valgrind"] = "it is not installed (Debian: apt-get install valgrind)"
        return planned
    return [*planned, Step("the steps of an event", 100.0, steps)]


_JOBS: dict[str, Callable[[Run, int, Sequence[Subject]], list[Step]]] = {
    "http": _events("http"),
    "websocket": _events("websocket"),
    "large": _events("http-70kB", "websocket-70kB"),
    "latency": _latency,
    "sizes": _sizes,
    "scaling": _scaling,
    "idle": _idle,
    "start": _start,
    "wrk": _wrk,
    "anatomy": _anatomy,
}
