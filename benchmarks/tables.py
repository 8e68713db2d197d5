"""What was measured as tables: lines of cells, the headings first, for a terminal or for the docs.

The first two cells of a line are words, and so are verdicts and notes; all others are figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby

from .anatomy import StepCosts
from .counting import COUNTED
from .idle import IdleRow, summarise_idle
from .latency_summary import latency_tables
from .measure import Sample
from .result import Run
from .steps import STEPS
from .summary import OURS, REFERENCES, Row, Spread, spread, summarise
from .targets import Verdict, judge

__all__ = ["SECTIONS", "TITLES", "Table", "sections", "words"]

Table = tuple[str, list[list[str]]]
"""A title, and lines of cells."""

TITLES = {
    "http": "HTTP: an event posted, answered 204",
    "websocket": "WebSocket: an event as a frame, answered by an API call",
    "http-70kB": "HTTP: an event of 70 kB posted, answered 204",
    "websocket-70kB": "WebSocket: an event of 70 kB as a frame, answered by a short API call",
}
_WAYS = {True: "fast lane", False: "plain way", None: "floor"}
_KINDS = {"http": "HTTP", "websocket": "WebSocket"}


def words(headings: Sequence[str]) -> list[bool]:
    """For each column whether it holds words, which stand to the left."""
    return [
        place < 2 or heading in ("verdict", "note", "job") for place, heading in enumerate(headings)
    ]


def sections(run: Run) -> Iterator[tuple[str, list[Table]]]:
    """For each part of the report its name and its tables, if anything of it was measured."""
    for name, build in SECTIONS.items():
        if tables := list(build(run)):
            yield name, tables


def _events(run: Run) -> Iterator[Table]:
    headings = ["server", "loop", "CPU us/event", "lowest-highest", "events/s", "busy"]
    headings += [f"/ {name}" for name in REFERENCES]
    for job, rows in groupby(summarise(run.samples), key=lambda row: row.job):
        yield TITLES[job], [headings, *map(_event_cells, rows)]


def _event_cells(row: Row) -> list[str]:
    return [
        row.subject.name,
        row.subject.loop,
        f"{row.cpu.median:.1f}",
        f"{row.cpu.low:.1f}-{row.cpu.high:.1f}",
        f"{row.rate.median:,.0f}",
        f"{row.busy.median:.0%}",
        *(_ratio(row.ratios.get(name)) for name in REFERENCES),
    ]


def _ratio(ratio: Spread | None) -> str:
    return f"{ratio.median:.2f}" if ratio else "-"


def _across(samples: Sequence[Sample], what: str, title: str) -> Iterator[Table]:
    """CPU time per event, a line for each server and a column for each size or number."""
    for kind, heading in _KINDS.items():
        own = [each for each in samples if each.job == kind]
        columns = sorted({getattr(each, what) for each in own})
        lines = [["server", "loop", *(f"{column:,}" for column in columns)]]
        for subject in dict.fromkeys(each.subject for each in own):
            cells = [subject.name, subject.loop]
            for column in columns:
                figures = [
                    each.cpu
                    for each in own
                    if (each.subject, getattr(each, what)) == (subject, column)
                ]
                cells.append(f"{spread(figures).median:.1f}" if figures else "-")
            lines.append(cells)
        if own:
            yield title.format(heading), lines


def _sizes(run: Run) -> Iterator[Table]:
    return _across(run.sizes, "size", "{}: CPU us/event by the bytes of an event")


def _scaling(run: Run) -> Iterator[Table]:
    yield from _across(
        run.connections, "connections", "{}: CPU us/event by connections with events"
    )
    if run.processes:
        yield "Processes that share a port", _process_lines(run)


def _process_lines(run: Run) -> list[list[str]]:
    headings = ["server", "loop", "job", "processes", "events/s", "CPU us/event"]
    lines = [[*headings, "generator busy", "machine busy"]]
    keys = dict.fromkeys((each.subject, each.job, each.processes) for each in run.processes)
    for subject, job, count in keys:
        own = [
            each
            for each in run.processes
            if (each.subject, each.job, each.processes) == (subject, job, count)
        ]
        lines.append(
            [
                *(subject.name, subject.loop, job, str(count)),
                f"{spread(each.rate for each in own).median:,.0f}",
                f"{spread(each.cpu for each in own).median:.1f}",
                f"{spread(each.generator_busy for each in own).median:.0%}",
                f"{spread(each.machine_busy for each in own).median:.0%}",
            ]
        )
    return lines


def _idle(run: Run) -> Iterator[Table]:
    if run.idle:
        headings = ["server", "loop", "KiB each", "lowest-highest", "us/event alone"]
        headings += ["beside them", "% of a core at rest", "pings"]
        yield (
            "Idle WebSockets: what one costs that is held, and events on others beside them",
            [headings, *map(_idle_cells, summarise_idle(run.idle))],
        )
        yield from _memory_curve(run)


def _idle_cells(row: IdleRow) -> list[str]:
    return [
        row.subject.name,
        row.subject.loop,
        f"{row.kib.median:.1f}",
        f"{row.kib.low:.1f}-{row.kib.high:.1f}",
        f"{row.cpu_alone.median:.1f}",
        f"{row.cpu_beside.median:.1f}",
        f"{100 * row.busy.median:.2f}",
        f"{row.pinged.median:,.0f}",
    ]


def _memory_curve(run: Run) -> Iterator[Table]:
    counts = sorted({count for each in run.idle for count, _ in each.curve})
    if len(counts) < 2:
        return
    lines = [["server", "loop", *(f"{count:,}" for count in counts)]]
    for subject in dict.fromkeys(each.subject for each in run.idle):
        cells = [subject.name, subject.loop]
        for count in counts:
            own = [dict(each.curve).get(count, 0) for each in run.idle if each.subject == subject]
            cells.append(f"{spread(own).median / 2**20:.1f}")
        lines.append(cells)
    yield "Idle WebSockets: MiB more than with none, by their number", lines


def _starting(run: Run) -> Iterator[Table]:
    if run.imports:
        lines = [["package", "", "CPU ms", "lowest-highest", "ms", f"/ {OURS}"]]
        ours = {each.round: each.cpu for each in run.imports if each.package == OURS}
        for package in dict.fromkeys(each.package for each in run.imports):
            own = [each for each in run.imports if each.package == package]
            cpu = spread(each.cpu / 1e6 for each in own)
            ratios = [each.cpu / ours[each.round] for each in own if each.round in ours]
            lines.append(
                [
                    *(package, "", f"{cpu.median:.1f}", f"{cpu.low:.1f}-{cpu.high:.1f}"),
                    f"{spread(each.wall / 1e6 for each in own).median:.1f}",
                    _ratio(spread(ratios) if ratios else None),
                ]
            )
        yield "Import, beyond `import asyncio`", lines
    if run.starts:
        lines = [["server", "loop", "first event, ms", "lowest-highest", "CPU ms", "MiB at rest"]]
        for subject in dict.fromkeys(each.subject for each in run.starts):
            taken = [each for each in run.starts if each.subject == subject]
            first = spread(each.first_event / 1e6 for each in taken)
            lines.append(
                [
                    *(subject.name, subject.loop),
                    f"{first.median:.0f}",
                    f"{first.low:.0f}-{first.high:.0f}",
                    f"{spread(each.cpu / 1e6 for each in taken).median:.0f}",
                    f"{spread(each.resident / 2**20 for each in taken).median:.1f}",
                ]
            )
        yield "From the start of the process to the first answered event, and memory then", lines


def _wrk(run: Run) -> Iterator[Table]:
    if run.wrk:
        lines = [["server", "loop", "us/event, ours", "by wrk", "wrk / ours", "events/s", "by wrk"]]
        for subject in dict.fromkeys(each.subject for each in run.wrk):
            own = [each for each in run.wrk if each.subject == subject]
            lines.append(
                [
                    *(subject.name, subject.loop),
                    f"{spread(each.ours for each in own).median:.1f}",
                    f"{spread(each.wrk for each in own).median:.1f}",
                    f"{spread(each.wrk / each.ours for each in own).median:.2f}",
                    f"{spread(each.ours_rate for each in own).median:,.0f}",
                    f"{spread(each.wrk_rate for each in own).median:,.0f}",
                ]
            )
        yield "HTTP by two load generators: ours and wrk", lines


def _anatomy(run: Run) -> Iterator[Table]:
    if run.made_of:
        lines = [["server", "event", *COUNTED]]
        for each in sorted(run.made_of, key=lambda each: each.kind):
            counts = (str(each.counts[what]) for what in COUNTED)
            lines.append([each.server, _KINDS[each.kind], *counts])
        yield "What an event is made of", lines
    for kind, title in _KINDS.items():
        ways = {each.fast_lane: each for each in run.steps if each.kind == kind}
        if ways:
            yield f"{title}: instructions of an event, step by step", _step_lines(ways)


def _step_lines(ways: Mapping[bool | None, StepCosts]) -> list[list[str]]:
    """A line for each step; `ways` by whether it is the fast lane, None for the floor."""
    order = [(name, ways[way]) for way, name in _WAYS.items() if way in ways]
    lines = [["step", "where", *(each for name, _ in order for each in (name, "share"))]]
    for step, (what, where) in STEPS.items():
        if any(step in costs.steps for _, costs in order):
            cells = [_step_cells(costs, costs.steps.get(step)) for _, costs in order]
            lines.append([what, where, *chain.from_iterable(cells)])
    rests = (_step_cells(costs, costs.rest) for _, costs in order)
    wholes = (_step_cells(costs, costs.whole) for _, costs in order)
    lines.append(["the rest", "what the marks have changed", *chain.from_iterable(rests)])
    lines.append(["the whole", "", *chain.from_iterable(wholes)])
    return lines


def _step_cells(costs: StepCosts, count: int | None) -> tuple[str, str]:
    return ("-", "-") if count is None else (f"{count:,}", f"{count / costs.whole:.1%}")


def _latency(run: Run) -> Iterator[Table]:
    return latency_tables(run.latency)


def _targets(run: Run) -> Iterator[Table]:
    headings = ["what", "against", "ratio", "lowest-highest", "target", "verdict", "note"]
    yield f"Targets, on Python {run.python}", [headings, *map(_target_cells, judge(run))]


def _target_cells(verdict: Verdict) -> list[str]:
    sign = {"at most": "<=", "at least": ">=", "less than": "<"}[verdict.direction]
    ratio = verdict.ratio
    return [
        verdict.what,
        verdict.against,
        _ratio(ratio),
        f"{ratio.low:.2f}-{ratio.high:.2f}" if ratio else "-",
        f"{sign} {verdict.target:.2f}",
        verdict.verdict,
        verdict.note,
    ]


SECTIONS = {
    "figures": _events,
    "latency": _latency,
    "sizes": _sizes,
    "scaling": _scaling,
    "idle": _idle,
    "start": _starting,
    "wrk": _wrk,
    "anatomy": _anatomy,
    "targets": _targets,
}
"""The parts of the report, by the names that their blocks have in the docs."""
