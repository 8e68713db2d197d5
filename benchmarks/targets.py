"""The targets: what is promised of the driver beside its peers, and whether a run has found it so.

Each is a ratio of what was measured in the same round of the same run, and is judged by the median
of the rounds' ratios. Where it says `the better of`, it is the better in that round. A target whose
figures are not in a run is said to be not measured; nothing is taken from another run.
"""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .clients import LARGE
from .latency_summary import compare_latency
from .measure import Sample
from .process import Subject
from .result import Run
from .servers import SERVERS
from .starting import StartSample
from .summary import FLOOR, OURS, Spread, spread

__all__ = ["MET", "NOT_MEASURED", "NOT_MET", "UNDECIDED", "Verdict", "judge"]

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "at most": operator.le,
    "at least": operator.ge,
    "less than": operator.lt,
}
MET, NOT_MET, NOT_MEASURED = "met", "not met", "not measured"
UNDECIDED = "cannot be told here"

Series = Mapping[int, float]
"""A figure for each round."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, and what a run has found."""

    what: str
    against: str
    ratio: Spread | None
    target: float
    direction: str
    """`at most`, `at least` or `less than`."""
    verdict: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The spread of the rounds' ratios, if any, and what has to be known about them."""

    ratio: Spread | None
    note: str = ""
    may_be_met: bool = True
    """Whether a good ratio proves anything, and"""
    may_be_missed: bool = True
    """whether a bad one does."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is promised, and how a run is asked for it."""

    what: str
    against: str
    value: float
    find: Callable[[Run], Found]
    direction: str = "at most"

    def judge(self, run: Run) -> Verdict:
        """What the run has found."""
        found = self.find(run)
        ratio = found.ratio
        if ratio is None:
            verdict = NOT_MEASURED
        elif self._holds(ratio.median):
            verdict = MET if found.may_be_met else UNDECIDED
        else:
            verdict = NOT_MET if found.may_be_missed else UNDECIDED
        return Verdict(
            self.what, self.against, ratio, self.value, self.direction, verdict, found.note
        )

    def _holds(self, ratio: float) -> bool:
        return _HOLDS[self.direction](ratio, self.value)


def judge(run: Run) -> list[Verdict]:
    """Every target, with what the run says of it."""
    return [target.judge(run) for target in TARGETS]


def _found(ratios: Sequence[float], note: str = "", *, may_be_missed: bool = True) -> Found:
    return Found(spread(ratios), note, may_be_missed=may_be_missed) if ratios else Found(None)


def _without(found: Found, absent: Sequence[str]) -> Found:
    """The same, where some of the peers were not measured: the best may have been among them."""
    if found.ratio is None or not absent:
        return found
    note = "; ".join(filter(None, (found.note, f"without {', '.join(absent)}")))
    return replace(found, note=note, may_be_met=False)


def _over(own: Series, others: Mapping[str, Series]) -> Found:
    """Our figure over the best of the others', round by round; those that are missing are named."""
    there = {name: series for name, series in others.items() if series}
    if not there:
        return Found(None)
    ratios = []
    for number, figure in own.items():
        figures = [series[number] for series in there.values() if number in series]
        if figures:
            ratios.append(figure / min(figures))
    absent = [name for name in others if name not in there]
    return _without(_found(ratios), absent)


def _cpu(samples: Iterable[Sample], job: str, name: str, loop: str) -> Series:
    return {
        each.round: each.cpu
        for each in samples
        if (each.job, each.subject.name, each.subject.loop) == (job, name, loop)
    }


def _event(
    job: str, loop: str, *peers: str, peers_loop: str = "uvloop", own: str = OURS
) -> Callable[[Run], Found]:
    """CPU time per event over that of the best of the peers."""

    def find(run: Run) -> Found:
        others = {name: _cpu(run.samples, job, name, peers_loop) for name in peers}
        return _over(_cpu(run.samples, job, own, loop), others)

    return find


def _start(what: Callable[[StartSample], float]) -> Callable[[Run], Found]:
    """A figure of a start inside NoneBot over that of NoneBot's FastAPI driver."""

    def find(run: Run) -> Found:
        def series(name: str) -> Series:
            return {each.round: what(each) for each in run.starts if each.subject.name == name}

        return _over(series(_IN_NONEBOT), {_FASTAPI: series(_FASTAPI)})

    return find


def _latency(job: str, percentile: float) -> Callable[[Run], Found]:
    """Latency on one connection over that of the best of the peers."""

    def find(run: Run) -> Found:
        peers = [Subject(name, "uvloop") for name in _WAITED_FOR if job in SERVERS[name].kinds]
        found = compare_latency(run.latency, job, Subject(OURS, "uvloop"), peers, percentile)
        if found is None:
            return Found(None)
        there = {each.subject for each in run.latency if each.job == job}
        absent = [peer.name for peer in peers if peer not in there]
        return _without(Found(found.ratio, f"the best is {found.peer.name}"), absent)

    return find


def _idle_memory(run: Run) -> Found:
    def kib(name: str) -> Series:
        return {
            each.round: each.kib
            for each in run.idle
            if (each.subject.name, each.subject.loop) == (name, "uvloop")
        }

    found = _over(kib(OURS), {"aiohttp": kib("aiohttp")})
    return Found(found.ratio, _kib_note(kib(OURS), kib("aiohttp")) if found.ratio else "")


def _kib_note(own: Series, other: Series) -> str:
    ours, theirs = statistics.median(own.values()), statistics.median(other.values())
    return f"{ours:.1f} KiB and {theirs:.1f} KiB each"


def _imports(run: Run) -> Found:
    by_package: dict[str, dict[int, float]] = {}
    for each in run.imports:
        by_package.setdefault(each.package, {})[each.round] = each.cpu
    others = {name: figures for name, figures in by_package.items() if name.startswith("uvicorn")}
    return _over(by_package.get(OURS, {}), others)


def _connections(job: str) -> Callable[[Run], Found]:
    """The worst cost with more connections over that with one."""

    def find(run: Run) -> Found:
        by_round: dict[int, dict[int, float]] = {}
        for each in run.connections:
            if (each.job, each.subject.name, each.subject.loop) == (job, OURS, "uvloop"):
                by_round.setdefault(each.round, {})[each.connections] = each.cpu
        ratios, worst = [], set()
        for costs in by_round.values():
            if 1 in costs and len(costs) > 1:
                dearest = max((count for count in costs if count != 1), key=costs.__getitem__)
                ratios.append(costs[dearest] / costs[1])
                worst.add(dearest)
        note = f"dearest with {', '.join(f'{count:,}' for count in sorted(worst))}"
        return _found(ratios, note)

    return find


def _processes(run: Run) -> Found:
    """The rate of two processes over that of one; undecided if the machine itself was full."""
    pairs: dict[int, dict[int, tuple[float, float]]] = {}
    full = False
    for each in run.processes:
        if each.subject.name == OURS:
            pairs.setdefault(each.round, {})[each.processes] = each.rate, each.cpu
            full |= each.processes == 2 and max(each.machine_busy, each.generator_busy) > 0.95
    both = [pair for pair in pairs.values() if 1 in pair and 2 in pair]
    ratios = [pair[2][0] / pair[1][0] for pair in both]
    if not ratios or not full:
        return _found(ratios)
    alone = statistics.median(2 * pair[1][1] / pair[2][1] for pair in both)
    return _found(
        ratios,
        "the generator or the machine was the limit; by CPU time per event, two cores of their own"
        f" would carry {alone:.2f} times as much",
        may_be_missed=False,
    )


def _linear(run: Run) -> Found:
    """What one more byte costs from 100 kB to 1 MB, over what it costs from 10 kB to 100 kB."""
    by_round: dict[int, dict[int, float]] = {}
    for each in run.sizes:
        if (each.job, each.subject.name, each.subject.loop) == ("websocket", OURS, "uvloop"):
            by_round.setdefault(each.round, {})[each.size] = each.cpu
    ratios = []
    for costs in by_round.values():
        sizes = sorted(costs)[-3:]
        if len(sizes) == 3:
            small, middle, large = sizes
            before = (costs[middle] - costs[small]) / (middle - small)
            ratios.append((costs[large] - costs[middle]) / (large - middle) / before)
    return _found(ratios)


_HTTPTOOLS = "uvicorn-httptools on uvloop"
_BETTER = "the better of aiohttp and uvicorn-sansio on uvloop"
_WAITED_FOR = ("uvicorn-httptools", "uvicorn-sansio", "hypercorn", "aiohttp")
_UNMASK_IN_C = ("aiohttp", "uvicorn-sansio")
_IN_NONEBOT = "nonebot-nbdriver"
_FASTAPI = "nonebot-fastapi"

TARGETS = [
    Target(
        "HTTP event, asyncio's own loop",
        _HTTPTOOLS,
        0.65,
        _event("http", "asyncio", "uvicorn-httptools"),
    ),
    Target("HTTP event, uvloop", _HTTPTOOLS, 0.50, _event("http", "uvloop", "uvicorn-httptools")),
    Target(
        "WebSocket event, asyncio's own loop",
        _BETTER,
        0.85,
        _event("websocket", "asyncio", *_UNMASK_IN_C),
    ),
    Target("WebSocket event, uvloop", _BETTER, 0.70, _event("websocket", "uvloop", *_UNMASK_IN_C)),
    Target(
        "WebSocket event, uvloop", "picows on uvloop", 1.0, _event("websocket", "uvloop", "picows")
    ),
    Target(
        f"WebSocket message of {LARGE // 1000} kB, uvloop",
        _BETTER,
        1.7,
        _event("websocket-70kB", "uvloop", *_UNMASK_IN_C),
    ),
    *(
        Target(
            f"latency on one connection, {title}, {spoken}",
            "the best of uvicorn, hypercorn and aiohttp on uvloop",
            0.9,
            _latency(job, percentile),
        )
        for job, title in (("http", "HTTP"), ("websocket", "WebSocket"))
        for percentile, spoken in ((50, "median"), (99, "p99"))
    ),
    Target("memory of an idle WebSocket, uvloop", "aiohttp on uvloop", 0.4, _idle_memory),
    Target(
        "import, beyond `import asyncio`",
        "the better of uvicorn's with its protocols",
        0.5,
        _imports,
    ),
    *(
        Target(
            f"{title} event, {spoken}",
            f"the floor on {loop}",
            1.6,
            _event(job, loop, FLOOR, peers_loop=loop),
        )
        for job, title in (("http", "HTTP"), ("websocket", "WebSocket"))
        for loop, spoken in (("asyncio", "asyncio's own loop"), ("uvloop", "uvloop"))
    ),
    *(
        Target(f"{title} event with more connections", "with one", 1.3, _connections(job))
        for job, title in (("http", "HTTP"), ("websocket", "WebSocket"))
    ),
    Target(
        "events/s of two processes that share a port", "one process", 1.7, _processes, "at least"
    ),
    Target("a byte more of a message, 100 kB to 1 MB", "10 kB to 100 kB", 1.3, _linear),
    *(
        Target(
            f"{title} event inside NoneBot, {spoken}",
            f"its FastAPI driver on {loop}",
            most,
            _event(job, loop, _FASTAPI, peers_loop=loop, own=_IN_NONEBOT),
        )
        for job, title, most in (("http", "HTTP", 0.35), ("websocket", "WebSocket", 0.75))
        for loop, spoken in (("asyncio", "asyncio's own loop"), ("uvloop", "uvloop"))
    ),
    Target(
        "first event inside NoneBot, from the start of the process",
        "its FastAPI driver",
        1.0,
        _start(lambda each: each.first_event),
        "less than",
    ),
    Target(
        "memory at rest inside NoneBot",
        "its FastAPI driver",
        1.0,
        _start(lambda each: each.resident),
        "less than",
    ),
]
"""In the order in which they are told."""
