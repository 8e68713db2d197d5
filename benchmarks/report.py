"""What is told of a run: a table to read, JSON to keep, and the block in docs/performance.md.

No figure stands in the docs that this did not write there, between two marks that name the version
of Python, so that a run replaces the figures of its own version and leaves the others alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from .measure import Sample, Settings
from .summary import REFERENCES, Row, Spread, summarise

__all__ = ["Run", "in_docs", "text", "write_docs", "write_json"]

TITLES = {
    "http": "HTTP: an event posted, answered 204",
    "websocket": "WebSocket: an event as a frame, answered by an API call",
}
_HEADINGS = ["server", "loop", "CPU us/event", "lowest-highest", "events/s", "busy"]
_HEADINGS += [f"/ {name}" for name in REFERENCES]
_BLOCK = re.compile(r"<!-- figures: Python (\S+) -->\n.*?<!-- end of figures -->\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run: what was asked for, where, and what came out."""

    began: datetime
    command: str
    machine: dict[str, str]
    settings: Settings
    samples: Sequence[Sample]

    @property
    def python(self) -> str:
        """The version of Python without its last part, such as 3.12."""
        return ".".join(self.machine["Python"].split(".")[:2])


def text(run: Run) -> str:
    """The tables for a terminal."""
    return "\n\n".join(f"{TITLES[job]}\n{_aligned(rows)}" for job, rows in _tables(run))


def _tables(run: Run) -> Iterator[tuple[str, list[list[str]]]]:
    """For each job its table, line by line, the headings first."""
    for job, rows in groupby(summarise(run.samples), key=lambda row: row.job):
        yield job, [_HEADINGS, *map(_cells, rows)]


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
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.began:%Y%m%d-%H%M%S}-python{run.python}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def in_docs(run: Run) -> str:
    """The block of a run for the docs."""
    lines = [f"<!-- figures: Python {run.python} -->", f"### Python {run.python}", ""]
    for job, table in _tables(run):
        lines += [f"**{TITLES[job]}**", "", *_markdown(table), ""]
    facts = "; ".join(f"{name} {value}" for name, value in run.machine.items())
    lines.append(f"By `{run.command}` on {run.began:%Y-%m-%d}: {_settings(run.settings)}; {facts}.")
    return "\n".join([*lines, "<!-- end of figures -->", ""])


def _settings(settings: Settings) -> str:
    return (
        f"rounds {settings.rounds}, each of {settings.seconds:g} s for every server"
        f" in turns of {settings.turn:g} s; connections {settings.connections}"
    )


def _markdown(lines: Iterable[Sequence[str]]) -> Iterator[str]:
    headings, *rows = lines
    yield f"| {' | '.join(headings)} |"
    yield "|---|---|" + "---:|" * (len(headings) - 2)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def write_docs(run: Run, path: Path) -> None:
    """Put the block of a run into the docs: in the place of that of the same Python, or last.

    Raises ValueError if there is no block at all to put it beside.
    """
    content = path.read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(content))
    if not blocks:
        raise ValueError(f"expected a block `<!-- figures: Python X -->` in {path}, found none")
    own = next((block for block in blocks if block[1] == run.python), None)
    start, end = own.span() if own else (blocks[-1].end(), blocks[-1].end())
    between = "" if own else "\n"
    path.write_text(content[:start] + between + in_docs(run) + content[end:], encoding="utf-8")
