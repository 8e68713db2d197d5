"""A run as one HTML page, to be read, kept and sent: no script, and nothing from elsewhere.

Each plot has its figures in a table beside it, for whoever does not see it or wants to copy them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from . import page_figures, plots
from .page_figures import JSON, Figure, Table

__all__ = ["page", "write_page"]

_CSS = """
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .25rem; border-top: 1px solid var(--grid);
  padding-top: 1.25rem; }
p { max-width: 46rem; margin: .25rem 0 1rem; }
a { color: inherit; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; }
figure { margin: 1.5rem 0; }
figcaption { font-weight: 600; margin-bottom: .5rem; }
svg { display: block; width: 100%; min-width: 36rem; max-width: 60rem; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; margin: .5rem 0 1rem; }
caption { text-align: left; color: var(--muted); padding-bottom: .25rem; }
th, td { padding: .2rem .75rem .2rem 0; text-align: right; white-space: nowrap;
  vertical-align: top; border-bottom: 1px solid var(--grid); font-variant-numeric: tabular-nums; }
.word { text-align: left; }
.text { text-align: left; white-space: normal; min-width: 11rem; }
tbody th { font-weight: inherit; }
tr.ours { font-weight: 600; }
.met { color: var(--met); font-weight: 600; }
.not-met { color: var(--ours); font-weight: 600; }
code { font-size: .9em; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  main { padding: 1rem; }
  th, td { padding-right: .5rem; }
  .text { min-width: 6.5rem; }
}
@media print { .wide { overflow: visible; } }
"""
_PAGE_COLOURS = {
    "paper": ("#ffffff", "#0d1117"),
    "muted": ("#59636e", "#9198a1"),
    "met": ("#1a7f37", "#3fb950"),
}
_INTRODUCTION = (
    "One event of a OneBot client comes in, one bot is called, one answer goes out. nbdriver beside"
    " its peers and the floor, a bare protocol that answers constant bytes. All servers did the"
    " same work in turns on the same machine, and every answer was checked."
)
_PROSE = ("what", "against", "note", "versions", "which", "why")
"""Headings of columns whose cells are sentences or lists, and may take several lines."""

_SECTIONS = {
    "targets": (
        "Targets",
        """What the project aims at, as ratios to peers; "not met" is a result of this run, not a
        fault of it.""",
    ),
    "cpu": (
        "CPU time per event",
        """User and system time of the server's process over the number of events. The thin lines
        reach from the lowest round to the highest.""",
    ),
    "latency": (
        "Latency",
        """On one connection, the next event is sent when the last was answered. At a fixed rate,
        each has a time at which it is to be sent, and counts from there even if a server that
        stalls makes it wait. The floor holds what the kernel and the load generator take; "own
        delay" is what 99 % of the generator's own delays in sending stayed within.""",
    ),
    "memory": (
        "Idle WebSockets",
        """Memory is what the server's process has resident beyond what it had with no idle
        WebSocket; what the kernel holds for a socket is not in it. us/event is that of events on
        other connections, first alone and then beside the idle ones; at rest there are no events
        at all.""",
    ),
    "sizes": (
        "Size of a message",
        """Both axes are logarithmic: what grows as fast as the message runs along the dotted line,
        which goes through nbdriver's largest.""",
    ),
    "connections": ("Number of connections", "Both axes are logarithmic."),
    "processes": ("Several processes", ""),
    "starting": ("Import and start", ""),
    "machine": ("Machine and versions", ""),
}
"""For each section its title, and what its figures mean."""


def write_page(content: JSON, path: Path) -> None:
    """Write the page of a run, from what its JSON holds."""
    path.write_text(page(content), encoding="utf-8")


def page(content: JSON) -> str:
    """The page of a run, from what its JSON holds; what was not measured is left out."""
    sections = list(_sections(content))
    links = "".join(
        f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in sections
    )
    body = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>{inner}</section>\n'
        for name, title, inner in sections
    )
    python = f" on Python {escape(content['python'])}" if content.get("python") else ""
    began = f"{datetime.fromisoformat(content['began']):%Y-%m-%d %H:%M %Z}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>What an event costs: nbdriver{python}</title>
<style>{_colours()}{_CSS}</style>
</head>
<body>
<main>
<h1>What an event costs{python}</h1>
<p>{escape(_INTRODUCTION)}</p>
<p>By <code>{escape(content["command"])}</code>, begun {escape(began)}.</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
{body}</main>
</body>
</html>
"""


def _colours() -> str:
    """The variables that page and plots take their colours from."""
    names = {**plots.COLOURS, **_PAGE_COLOURS}
    light = " ".join(f"--{name}: {each};" for name, (each, _) in names.items())
    dark = " ".join(f"--{name}: {each};" for name, (_, each) in names.items())
    return (
        f"\n:root {{ color-scheme: light dark; {light} }}"
        f"\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    )


def _sections(content: JSON) -> Iterator[tuple[str, str, str]]:
    """For each section that has something its name, its title and what stands in it."""
    memory, idle = page_figures.memory(content), page_figures.idle(content)
    targets = page_figures.targets(content)
    processes = page_figures.processes(content)
    found = {
        "targets": _tables([targets] if targets else []),
        "cpu": _figures(page_figures.cpu(content)),
        "latency": _figures(page_figures.latency(content)),
        "memory": _figures([memory] if memory else []) + _tables([idle] if idle else []),
        "sizes": _figures(page_figures.sizes(content)),
        "connections": _figures(page_figures.scaling(content)),
        "processes": _tables([processes] if processes else []),
        "starting": _tables(page_figures.starting(content)),
        "machine": _tables(page_figures.machine(content)),
    }
    for name, inner in found.items():
        title, text = _SECTIONS[name]
        if inner:
            yield name, title, (f"<p>{escape(text)}</p>" if text else "") + inner


def _figures(figures: Iterable[Figure]) -> str:
    return "".join(map(_figure, figures))


def _figure(figure: Figure) -> str:
    caption = escape(figure.caption)
    svg = figure.svg.replace("<svg", f'<svg role="img" aria-label="{caption}"', 1)
    plot = f'<div class="wide">{svg}</div>'
    return f"<figure><figcaption>{caption}</figcaption>{plot}{_table(figure.table)}</figure>\n"


def _tables(tables: Iterable[Table]) -> str:
    return "".join(map(_table, tables))


def _table(table: Table) -> str:
    """A table that a screen reader can follow, and that scrolls by itself where it is too wide."""
    kinds = [
        "text" if name in _PROSE else "word" if place < table.words else ""
        for place, name in enumerate(table.headings)
    ]
    headings = "".join(
        f'<th scope="col"{_class(kind)}>{escape(name)}</th>'
        for name, kind in zip(table.headings, kinds, strict=True)
    )
    ours = "nbdriver" if table.headings[0] == "server" else None
    rows = "\n".join(_row(row, kinds, row[0] == ours) for row in table.rows)
    return (
        f'<div class="wide" role="region" aria-label="{escape(table.caption)}" tabindex="0">'
        f"<table><caption>{escape(table.caption)}</caption>\n"
        f"<thead><tr>{headings}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )


def _row(row: Sequence[str], kinds: Sequence[str], ours: bool) -> str:
    first, *others = row
    cells = "".join(
        f"<td{_class(cell.replace(' ', '-') if cell in ('met', 'not met') else kind)}>"
        f"{_text(cell)}</td>"
        for cell, kind in zip(others, kinds[1:], strict=True)
    )
    kind = _class("ours" if ours else "")
    return f'<tr{kind}><th scope="row"{_class(kinds[0])}>{_text(first)}</th>{cells}</tr>'


def _text(cell: str) -> str:
    """A cell; what stands between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(cell))


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
