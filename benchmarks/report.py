"""What is told of a run: a table to read, JSON to keep, and the block in docs/performance.md.

No figure stands in the docs that this did not write there, between two marks that name the job and
the version of Python, so that a run replaces the figures of its own and leaves the others alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from .idle import IdleRow, IdleSample, summarise_idle
from .measure import Sample, Settings
from .summary import REFERENCES, Row, Spread, summarise

__all__ = ["Run", "idle_in_docs", "in_docs", "text", "write_docs", "write_json"]

TITLES = {
    "http": "HTTP: an event posted, answered 204",
    "websocket": "WebSocket: an event as a frame, answered by an API call",
}
_HEADINGS = ["server", "loop", "CPU us/event", "lowest-highest", "events/s", "busy"]
_HEADINGS += [f"/ {name}" for name in REFERENCES]
_IDLE_TITLE = "Idle WebSockets: what one costs that is held, and events on others beside them"
_IDLE_HEADINGS = ["server", "loop", "KiB each", "lowest-highest", "us/event alone", "beside them"]
_IDLE_HEADINGS += ["% of a core at rest", "pings"]
_BLOCK = r"<!-- {}: Python (\S+) -->\n.*?<!-- end of {} -->\n"


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run: what was asked for, where, and what came out."""

    began: datetime
    command: str
    machine: dict[str, str]
    settings: Settings
    samples: Sequence[Sample]
    idle: Sequence[IdleSample] = ()

    @property
    def python(self) -> str:
        """The version of Python without its last part, such as 3.12."""
        return ".".join(self.machine["Python"].split(".")[:2])


def text(run: Run) -> str:
    """The tables for a terminal."""
    return "\n\n".join(f"{title}\n{_aligned(rows)}" for title, rows in _all_tables(run))


def _all_tables(run: Run) -> Iterator[tuple[str, list[list[str]]]]:
    """For each job its title and its table, line by line, the headings first."""
    yield from _tables(run)
    yield from _idle_tables(run)


def _idle_tables(run: Run) -> Iterator[tuple[str, list[list[str]]]]:
    if run.idle:
        yield _IDLE_TITLE, [_IDLE_HEADINGS, *map(_idle_cells, summarise_idle(run.idle))]


def _tables(run: Run) -> Iterator[tuple[str, list[list[str]]]]:
    for job, rows in groupby(summarise(run.samples), key=lambda row: row.job):
        yield TITLES[job], [_HEADINGS, *map(_cells, rows)]


def _cells(row: Row) -> list[str]:
    return [
        row.subject.name,
        row.subject.loop,
        f"{row.cpu.median:.1f}",
        f"{row.cpu.low:.1f}-{row.cpu.high:.1f}",
        f"{row.rate.median:,.0f}",
        f"{row.busy.median:.0%}",
        *(_ratio(row.ratios.get(name)) for name in REFERENCES),
    ]


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


def _ratio(ratio: Spread | None) -> str:
    return f"{ratio.median:.2f}" if ratio else "-"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns under one another: words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write_json(run: Run, folder: Path) -> Path:
    """Write everything into a new file in `folder`; gives its path."""
    content = {
        "began": run.began.isoformat(timespec="seconds"),
        "command": run.command,
        "machine": run.machine,
        "settings": asdict(run.settings),
        "summary": [asdict(row) for row in summarise(run.samples)],
        "samples": [asdict(sample) for sample in run.samples],
        "idle summary": [asdict(row) for row in summarise_idle(run.idle)],
        "idle samples": [asdict(sample) for sample in run.idle],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.began:%Y%m%d-%H%M%S}-python{run.python}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def in_docs(run: Run) -> str:
    """The block of a run's events for the docs."""
    how = (
        f"rounds {run.settings.rounds}, each of {run.settings.seconds:g} s for every server"
        f" in turns of {run.settings.turn:g} s; connections {run.settings.connections}"
    )
    return _block("figures", run, _tables(run), how)


def idle_in_docs(run: Run) -> str:
    """The block of a run's idle WebSockets for the docs."""
    settings = run.settings
    how = (
        f"rounds {settings.rounds}; {settings.idle:,} idle WebSockets, at rest for"
        f" {settings.rest:g} s; events on {settings.connections} others for {settings.seconds:g} s"
    )
    return _block("idle", run, _idle_tables(run), how)


def _block(job: str, run: Run, tables: Iterable[tuple[str, list[list[str]]]], settings: str) -> str:
    lines = [f"<!-- {job}: Python {run.python} -->", f"### Python {run.python}", ""]
    for title, table in tables:
        lines += [f"**{title}**", "", *_markdown(table), ""]
    facts = "; ".join(f"{name} {value}" for name, value in run.machine.items())
    lines.append(f"By `{run.command}` on {run.began:%Y-%m-%d}: {settings}; {facts}.")
    return "\n".join([*lines, f"<!-- end of {job} -->", ""])


def _markdown(lines: Iterable[Sequence[str]]) -> Iterator[str]:
    headings, *rows = lines
    yield f"| {' | '.join(headings)} |"
    yield "|---|---|" + "---:|" * (len(headings) - 2)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def write_docs(run: Run, path: Path) -> None:
    """Put what a run has measured into the docs: in the place of the same Python's, or last.

    Raises ValueError if there is no block at all to put it beside.
    """
    if run.samples:
        _write_block("figures", run.python, in_docs(run), path)
    if run.idle:
        _write_block("idle", run.python, idle_in_docs(run), path)


def _write_block(job: str, python: str, block: str, path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    blocks = list(re.finditer(_BLOCK.format(job, job), content, re.DOTALL))
    if not blocks:
        raise ValueError(f"expected a block `<!-- {job}: Python X -->` in {path}, found none")
    own = next((found for found in blocks if found[1] == python), None)
    start, end = own.span() if own else (blocks[-1].end(), blocks[-1].end())
    between = "" if own else "\n"
    path.write_text(content[:start] + between + block + content[end:], encoding="utf-8")
