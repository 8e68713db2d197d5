"""What is told of a run: tables to read, and the blocks in docs/performance.md.

No figure stands in the docs that this did not write there, between two marks that name the part and
the version of Python, so that a run replaces the figures of its own and leaves the others alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from .result import Run
from .tables import Table, sections, words
from .targets import NOT_MEASURED, judge

__all__ = ["in_docs", "text", "write_docs"]

_BLOCK = r"<!-- {}: Python (\S+) -->\n.*?<!-- end of {} -->\n"


def text(run: Run) -> str:
    """The tables for a terminal, and what is missing in them."""
    parts = [
        _targets(table) if name == "targets" else f"{table[0]}\n{_aligned(table[1])}"
        for name, tables in sections(run)
        for table in tables
    ]
    missing = [f"{name} was not measured: {why}" for name, why in run.missing.items()]
    failed = [f"A step has failed, and has no figures: {why}" for why in run.failures]
    if missing or failed:
        parts.append("\n".join(missing + failed))
    return "\n\n".join(parts)


def _targets(table: Table) -> str:
    """Those that were measured, and how many were not."""
    title, (headings, *rows) = table
    measured = [row for row in rows if NOT_MEASURED not in row]
    count = len(rows) - len(measured)
    if not measured:
        return f"{title}\n{count} that this run did not measure"
    left = f"\nand {count} that this run did not measure" if count else ""
    return f"{title}\n{_aligned([headings, *measured])}{left}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns under one another: words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = words(lines[0])
    return "\n".join(
        "  ".join(
            cell.ljust(width) if is_word else cell.rjust(width)
            for cell, width, is_word in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


def in_docs(run: Run, name: str) -> str:
    """The block of one part of a run for the docs."""
    tables = dict(sections(run))[name]
    lines = [f"<!-- {name}: Python {run.python} -->", f"### Python {run.python}", ""]
    for table in tables:
        lines += _markdown(table)
    return "\n".join([*lines, _origin(run, name), f"<!-- end of {name} -->", ""])


def _origin(run: Run, name: str) -> str:
    """How the figures of a part came to be."""
    settings = run.settings
    how = (
        f"each server for {settings.seconds:g} s a round in turns of {settings.turn:g} s;"
        f" connections {settings.connections}; idle WebSockets {settings.idle:,}, at rest for"
        f" {settings.rest:g} s"
    )
    if name == "anatomy":
        how = "counted, not timed"
    facts = "; ".join(f"{name} {value}" for name, value in run.machine.items())
    return f"By `{run.command}` on {run.began:%Y-%m-%d}: {how}; {facts}."


def _markdown(table: Table) -> Iterator[str]:
    title, (headings, *rows) = table
    yield from (f"**{title}**", "", f"| {' | '.join(headings)} |")
    yield "".join("|---" if is_word else "|---:" for is_word in words(headings)) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def write_docs(run: Run, path: Path) -> None:
    """Put what a run has measured into the docs: in the place of the same Python's, or last.

    Raises ValueError if there is no block at all to put it beside.
    """
    for name, _ in sections(run):
        if name != "targets" or _judged(run):
            _write_block(name, run.python, in_docs(run, name), path)


def _judged(run: Run) -> bool:
    """Whether a run has anything to say of the targets."""
    return any(each.verdict != NOT_MEASURED for each in judge(run))


def _write_block(name: str, python: str, block: str, path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    blocks = list(re.finditer(_BLOCK.format(name, name), content, re.DOTALL))
    if not blocks:
        raise ValueError(f"expected a block `<!-- {name}: Python X -->` in {path}, found none")
    own = next((found for found in blocks if found[1] == python), None)
    start, end = own.span() if own else (blocks[-1].end(), blocks[-1].end())
    between = "" if own else "\n"
    path.write_text(content[:start] + between + block + content[end:], encoding="utf-8")
