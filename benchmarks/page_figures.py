"""What the page shows of a run: each plot with the table of its figures, made from the run's JSON.

Whatever a run has not measured gives nothing here, and so nothing on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import plots
from .histogram import PERCENTILES, joined
from .summary import Spread, spread

__all__ = [
    "JSON",
    "Figure",
    "Table",
    "cpu",
    "idle",
    "latency",
    "machine",
    "memory",
    "processes",
    "scaling",
    "sizes",
    "starting",
    "targets",
]

JSON = Mapping[str, Any]

JOBS = {
    "http": "HTTP",
    "websocket": "WebSocket",
    "http-70kB": "HTTP, 70 kB",
    "websocket-70kB": "WebSocket, 70 kB",
}
"""What the jobs are called."""

_MIB = 2**20

_TURNS = ("summary", "sizes", "connections", "processes")
_USED_BY = {
    "rounds": ("machine",),
    "seconds": (*_TURNS, "latency", "idle"),
    "turn": _TURNS,
    "warm_up": (*_TURNS, "latency", "idle", "wrk"),
    "connections": ("summary", "sizes", "idle", "wrk"),
    "rest": ("idle",),
    "scale": ("connections",),
    "shared": ("processes",),
    "rates": ("latency",),
    "starts": ("imports",),
}
"""Of which parts of a run each setting says something; others are of the part of their name."""


@dataclass(frozen=True, slots=True)
class Table:
    """Headings and rows; the first `words` columns are words, the others figures."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 2


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot as SVG, and the same in figures."""

    caption: str
    svg: str
    table: Table


def _job(job: str) -> str:
    return JOBS.get(job, job)


def _jobs(samples: Iterable[JSON]) -> list[str]:
    return list(dict.fromkeys(each["job"] for each in samples))


def _subject(each: JSON) -> tuple[str, str]:
    return each["subject"]["name"], each["subject"]["loop"]


def _told(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _styles(content: JSON) -> plots.Styles:
    """One look for each server, in all plots of the page."""
    parts = ("summary", "latency", "idle", "sizes", "connections")
    return plots.Styles(each["subject"]["name"] for part in parts for each in content.get(part, ()))


def targets(content: JSON) -> Table | None:
    """What was aimed at, and whether it was reached."""
    rows = []
    for each in content.get("targets", ()):
        ratio = each["ratio"]
        rows.append(
            [
                each["what"],
                f"{each['direction']} {each['target']:g}",
                "-" if ratio is None else f"{ratio['median']:.2f}",
                each["verdict"],
                each["against"],
                "-" if ratio is None else f"{ratio['low']:.2f}-{ratio['high']:.2f}",
                each["note"],
            ]
        )
    headings = ["what", "target", "measured", "verdict", "against", "lowest-highest", "note"]
    caption = "Ratios; the median of the rounds, and their spread"
    return Table(caption, headings, rows, words=1) if rows else None


def cpu(content: JSON) -> Iterator[Figure]:
    """The CPU time of each server per event, for each job."""
    summary = content.get("summary", ())
    for job in _jobs(summary):
        own = sorted(
            (each for each in summary if each["job"] == job), key=lambda each: each["cpu"]["median"]
        )
        bars = [
            plots.Bar(*_subject(each), *(each["cpu"][key] for key in ("median", "low", "high")))
            for each in own
        ]
        against = list(dict.fromkeys(name for each in own for name in each["ratios"]))
        rows = [
            [
                *_subject(each),
                _told(each["cpu"]["median"]),
                f"{each['cpu']['low']:.1f}-{each['cpu']['high']:.1f}",
                _told(each["rate"]["median"], 0),
                f"{each['busy']['median']:.0%}",
                *(_ratio(each["ratios"].get(name)) for name in against),
            ]
            for each in own
        ]
        headings = ["server", "loop", "us/event", "lowest-highest", "events/s", "busy"]
        headings += [f"/ {name}" for name in against]
        title = f"{_job(job)}: CPU time of the server per event"
        svg = plots.bars(f"cpu-{job}", bars, x="us per event; less is better")
        yield Figure(title, svg, Table(title, headings, rows))


def _ratio(ratio: JSON | None) -> str:
    return "-" if ratio is None else f"{ratio['median']:.2f}"


def latency(content: JSON) -> Iterator[Figure]:
    """Latency by percentile, for each job: one connection, and each rate."""
    samples = content.get("latency", ())
    for job in _jobs(samples):
        panels = []
        rows: list[list[str]] = []
        own = [each for each in samples if each["job"] == job]
        for rate in sorted({each["rate"] for each in own}, key=lambda rate: rate or 0):
            how = "one connection" if rate is None else f"{rate:,} events/s"
            at_rate = [each for each in own if each["rate"] == rate]
            lines = []
            for subject, theirs in _by_subject(at_rate).items():
                line, row = _latencies(subject, theirs)
                lines.append(line)
                rows.append([*subject, how, *row])
            panels.append(plots.Panel(how, lines))
        headings = ["server", "loop", "how", "events"]
        headings += [f"{each:g} %" for each in PERCENTILES] + ["highest", "own delay"]
        title = f"{_job(job)}: latency by percentile, in microseconds"
        svg = plots.percentiles(f"latency-{job}", panels, _styles(content), y="us")
        yield Figure(title, svg, Table(title, headings, rows, words=3))


def _by_subject(samples: Iterable[JSON]) -> dict[tuple[str, str], list[JSON]]:
    found: dict[tuple[str, str], list[JSON]] = {}
    for each in samples:
        found.setdefault(_subject(each), []).append(each)
    return found


def _latencies(subject: tuple[str, str], samples: Sequence[JSON]) -> tuple[plots.Line, list[str]]:
    """A server's latencies of all rounds together, as a line, and in figures."""
    total = joined(each["hdr"] for each in samples)
    points = [
        (100 / (100 - percentile), value) for percentile, value in total.curve() if percentile < 100
    ]
    # The highest stands where one event of so many is.
    points.append((max(float(total.count), points[-1][0]), total.highest))
    told = total.percentiles()
    late = [each["late"]["99"] for each in samples if "99" in each.get("late", {})]
    return plots.Line(*subject, points), [
        f"{total.count:,}",
        *(_told(told.get(f"{each:g}"), 0) for each in PERCENTILES),
        _told(total.highest, 0),
        _told(spread(late).median if late else None, 0),
    ]


def memory(content: JSON) -> Figure | None:
    """Memory of the server's process against the number of idle WebSockets."""
    points = [
        (_subject(each), point["connections"], point["memory"] / _MIB)
        for each in content.get("idle", ())
        for point in each.get("curve", ())
    ]
    if not points:
        return None
    found = _medians(points)
    drawn = [plots.Line(each.name, each.loop, [(0, 0), *each.points]) for each in _lines(found)]
    title = "Idle WebSockets: memory that they add to the server's process"
    svg = plots.lines("memory", drawn, _styles(content), x="idle WebSockets", y="MiB")
    return Figure(title, svg, _pivot(f"{title}, in MiB", found, "{:,}".format))


def idle(content: JSON) -> Table | None:
    """What an idle WebSocket costs, and what events cost beside it."""
    rows = []
    for subject, own in _by_subject(content.get("idle", ())).items():
        kib, *others = (
            spread(each[name] for each in own)
            for name in ("kib", "cpu_alone", "cpu_beside", "busy", "pinged")
        )
        alone, beside, busy, pinged = (each.median for each in others)
        rows.append(
            [
                *(*subject, _told(kib.median), f"{kib.low:.1f}-{kib.high:.1f}"),
                *(_told(alone), _told(beside), _told(100 * busy, 2), _told(pinged, 0)),
            ]
        )
    headings = ["server", "loop", "KiB each", "lowest-highest", "us/event alone", "beside them"]
    headings += ["% of a core at rest", "pings"]
    caption = "What an idle WebSocket costs, and events beside it; medians of the rounds"
    return Table(caption, headings, rows) if rows else None


def sizes(content: JSON) -> Iterator[Figure]:
    """CPU time per event against the size of its message."""
    for job in _jobs(content.get("sizes", ())):
        title = f"{_job(job)}: CPU time of the server per event, by the size of the event"
        found = _medians(_points(content["sizes"], job, "size"))
        svg = plots.lines(
            f"sizes-{job}",
            _lines(found),
            _styles(content),
            x="bytes",
            y="us per event",
            log=True,
            linear_through="nbdriver",
        )
        yield Figure(title, svg, _pivot(f"{title}, in microseconds", found, _bytes))


def scaling(content: JSON) -> Iterator[Figure]:
    """CPU time per event against the number of connections that events come on."""
    for job in _jobs(content.get("connections", ())):
        title = f"{_job(job)}: CPU time of the server per event, by the number of connections"
        found = _medians(_points(content["connections"], job, "connections"))
        svg = plots.lines(
            f"connections-{job}",
            _lines(found),
            _styles(content),
            x="connections",
            y="us per event",
            log=True,
        )
        yield Figure(title, svg, _pivot(f"{title}, in microseconds", found, "{:,}".format))


Points = Sequence[tuple[tuple[str, str], int, float]]
"""A server, where on the x axis, and what was measured there."""
Medians = dict[tuple[str, str], dict[int, Spread]]


def _points(samples: Iterable[JSON], job: str, x: str) -> Points:
    return [(_subject(each), each[x], each["cpu"]) for each in samples if each["job"] == job]


def _medians(points: Points) -> Medians:
    """What was measured in all rounds, for each server and place on the x axis."""
    values: dict[tuple[str, str], dict[int, list[float]]] = {}
    for subject, x, y in points:
        values.setdefault(subject, {}).setdefault(x, []).append(y)
    return {subject: {x: spread(of[x]) for x in sorted(of)} for subject, of in values.items()}


def _lines(found: Medians) -> list[plots.Line]:
    return [
        plots.Line(*subject, [(x, each.median) for x, each in of.items()])
        for subject, of in found.items()
    ]


def _pivot(caption: str, found: Medians, told: Callable[[int], str]) -> Table:
    """A row for each server, a column for each place on the x axis."""
    columns = sorted({x for of in found.values() for x in of})
    rows = [
        [*subject, *(_told(of[x].median if x in of else None) for x in columns)]
        for subject, of in found.items()
    ]
    return Table(caption, ["server", "loop", *map(told, columns)], rows)


def _bytes(size: int) -> str:
    for unit, name in ((1_000_000, "MB"), (1_000, "kB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size} B"


def processes(content: JSON) -> Table | None:
    """What several processes on one port carry."""
    found: dict[tuple[str, ...], list[JSON]] = {}
    for each in content.get("processes", ()):
        key = (*_subject(each), _job(each["job"]), str(each["processes"]))
        found.setdefault(key, []).append(each)
    rows = [
        [
            *key,
            _told(spread(each["rate"] for each in own).median, 0),
            _told(spread(each["cpu"] for each in own).median),
            f"{spread(each['machine_busy'] for each in own).median:.0%}",
        ]
        for key, own in found.items()
    ]
    headings = ["server", "loop", "job", "processes", "events/s", "us/event", "machine busy"]
    caption = "Processes that share a port; medians of the rounds"
    return Table(caption, headings, rows, words=3) if rows else None


def starting(content: JSON) -> Iterator[Table]:
    """What it takes to import a package, and to come to the first answer."""
    imports: dict[str, list[JSON]] = {}
    for each in content.get("imports", ()):
        imports.setdefault(each["package"], []).append(each)
    if imports:
        rows = [
            [name, *(_told(spread(each[key] for each in own).median) for key in ("cpu", "wall"))]
            for name, own in imports.items()
        ]
        caption = "Import of a package, beyond asyncio: milliseconds, medians of the rounds"
        yield Table(caption, ["package", "CPU ms", "ms"], rows, words=1)
    if startups := _by_subject(content.get("startup", ())):
        rows = [
            [
                *subject,
                *(
                    _told(spread(each[key] for each in own).median)
                    for key in ("first_event", "cpu")
                ),
                _told(spread(each["resident"] / _MIB for each in own).median),
            ]
            for subject, own in startups.items()
        ]
        caption = "From the start of the process to the first answer; medians of the rounds"
        yield Table(caption, ["server", "loop", "ms", "CPU ms", "MiB at rest"], rows)


def machine(content: JSON) -> Iterator[Table]:
    """Where the figures come from, and what took part in which version."""
    if facts := content.get("machine"):
        rows = [[name, str(value)] for name, value in facts.items()]
        yield Table("The machine, and what ran beside it", ["what", "which"], rows)
    if versions := content.get("versions"):
        rows = [[name, _listed(of)] for name, of in versions.items()]
        yield Table("What each server's environment holds", ["environment", "versions"], rows)
    if settings := content.get("settings"):
        rows = [
            [name.replace("_", " "), _setting(value)]
            for name, value in settings.items()
            if any(map(content.get, _USED_BY.get(name, [name])))
        ]
        yield Table("Settings of the run; times in seconds", ["setting", "value"], rows)
    if missing := content.get("missing"):
        rows = [[name, str(why)] for name, why in missing.items()]
        yield Table("Left out", ["server", "why"], rows)


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_setting, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _listed(versions: JSON) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
