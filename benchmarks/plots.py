"""The drawings of the page, each an SVG that stands inside HTML and takes its colours from there.

matplotlib draws; what is done to its SVG afterwards is to make it fit for a page that holds many:
names that are unique, colours as CSS variables so that one drawing serves light and dark, and text
that stays text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

__all__ = ["COLOURS", "Bar", "Line", "Panel", "Styles", "bars", "lines", "percentiles"]

COLOURS = {
    "ink": ("#1f2328", "#e6edf3"),
    "grid": ("#d0d7de", "#30363d"),
    "ours": ("#d1242f", "#ff7b72"),
    "floor": ("#8a8f98", "#868e99"),
    "series-1": ("#1f6fb4", "#6fb3ee"),
    "series-2": ("#c25e00", "#f0a04b"),
    "series-3": ("#2b8a3e", "#6fd08c"),
    "series-4": ("#7b4fb5", "#b99cf0"),
    "series-5": ("#00838f", "#4fd0da"),
    "series-6": ("#c2418d", "#f08cc8"),
    "series-7": ("#8c5a3c", "#cfa184"),
    "series-8": ("#767600", "#c9c94f"),
    "series-9": ("#4453b8", "#98a4f5"),
    "series-10": ("#5b6b7b", "#a7b6c6"),
}
"""The page's CSS variables, each in light and in dark."""

_LIGHT = {name: light for name, (light, _) in COLOURS.items()}
_SERIES = [light for name, light in _LIGHT.items() if name.startswith("series-")]
_MARKERS = "sD^vPX"
_OWN_COLOURS = {"nbdriver": _LIGHT["ours"], "floor": _LIGHT["floor"]}
_INK, _GRID = _LIGHT["ink"], _LIGHT["grid"]
# matplotlib types the names of settings, of which a variable knows nothing.
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": _GRID,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    # Also where matplotlib would take a colour of its own, as for the ends of a bar's spread.
    "axes.prop_cycle": cycler(color=[_INK]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 10,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_WIDTH = 9.0
_LEGEND_COLUMNS = 4
#: How far apart the ends of a logarithmic axis may be to name more than powers of ten.
_FEW = 300
#: The percentiles that the axis names, and no others.
_PERCENTILES = (0, 90, 99, 99.9, 99.99, 99.999)


@dataclass(frozen=True, slots=True)
class Line:
    """One server in a plot of lines."""

    name: str
    """The server's; it has the same colour in every plot."""
    loop: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One of several plots that stand together."""

    title: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its spread."""

    name: str
    loop: str
    value: float
    low: float
    high: float


class Styles:
    """What the servers of a run look like, in each of its plots."""

    def __init__(self, names: Iterable[str]) -> None:
        others = sorted(set(names) - _OWN_COLOURS.keys())
        styles = zip(others, itertools.cycle(_SERIES), itertools.cycle(_MARKERS), strict=False)
        self._found = {name: (colour, marker) for name, colour, marker in styles}
        self._found |= {name: (colour, "o") for name, colour in _OWN_COLOURS.items()}

    def colour(self, name: str) -> str:
        """The colour of a server."""
        return self._found[name][0]

    def marker(self, name: str) -> str:
        """What marks the points of a server."""
        return self._found[name][1]


def lines(
    name: str,
    drawn: Sequence[Line],
    styles: Styles,
    *,
    x: str,
    y: str,
    log: bool = False,
    linear_through: str | None = None,
) -> str:
    """Lines over a common x axis; both axes are named with their unit.

    `log` makes both logarithmic. `linear_through` names the server through whose last point a line
    is drawn that grows as fast as x. `name` is the drawing's own on its page, here and below.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH, max(4.6, 0.6 + 0.22 * len(drawn))), layout="constrained")
        axes = figure.add_subplot()
        for each in drawn:
            _draw(axes, each, styles, markers=True)
        if log:
            axes.set_xscale("log")
            _log_y(axes)
        else:
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
        base = next((each for each in drawn if each.name == linear_through), None)
        if base is not None:
            _draw_linear(axes, base)
        axes.xaxis.set_major_formatter(FuncFormatter(_short))
        axes.yaxis.set_major_formatter(FuncFormatter(_short))
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        figure.legend(loc="outside right upper")
        return _svg(name, figure)


def _draw(axes: Axes, line: Line, styles: Styles, *, markers: bool) -> None:
    axes.plot(
        [x for x, _ in line.points],
        [y for _, y in line.points],
        label=f"{line.name}, {line.loop}",
        color=styles.colour(line.name),
        linestyle="solid" if line.loop == "uvloop" else "dashed",
        linewidth=2.4 if line.name == "nbdriver" else 1.3,
        marker=styles.marker(line.name) if markers else None,
        zorder=3 if line.name == "nbdriver" else 2,
    )


def _log_y(axes: Axes) -> None:
    """A logarithmic axis that also names numbers between the powers of ten, if those are few."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < _FEW:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_linear(axes: Axes, line: Line) -> None:
    """As a line would go from its last point back, were it proportional to x."""
    (first, _), (last, height) = line.points[0], line.points[-1]
    bottom, top = axes.get_ylim()
    axes.plot(
        [first, last],
        [height * first / last, height],
        label="proportional to size",
        color=_INK,
        linestyle="dotted",
        linewidth=1.2,
    )
    axes.set_ylim(bottom, top)


def percentiles(name: str, panels: Sequence[Panel], styles: Styles, *, y: str) -> str:
    """Values by percentile, on an axis that gives each nine more of 99.99 % the same room."""
    with mpl.rc_context(_STYLE):
        rows = (len(panels) + 1) // 2
        columns = min(2, len(panels))
        names = {(each.name, each.loop) for panel in panels for each in panel.lines}
        height = 0.6 + 3.1 * rows + 0.25 * len(names) / _LEGEND_COLUMNS
        figure = Figure((_WIDTH, height), layout="constrained")
        handles: dict[str, Artist] = {}
        for number, panel in enumerate(panels, 1):
            axes = figure.add_subplot(rows, columns, number)
            for each in panel.lines:
                _draw(axes, each, styles, markers=False)
            _percentile_axis(axes)
            axes.set_title(panel.title)
            _log_y(axes)
            axes.yaxis.set_major_formatter(FuncFormatter(_short))
            axes.set_ylabel(y)
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=_LEGEND_COLUMNS)
        return _svg(name, figure)


def _percentile_axis(axes: Axes) -> None:
    """x is how many events there are for each that is slower: 1 / (1 - percentile)."""
    axes.set_xscale("log")
    _, high = axes.get_xlim()
    ticks = {100 / (100 - each): f"{each:g} %" for each in _PERCENTILES}
    shown = {place: label for place, label in ticks.items() if place <= high}
    axes.set_xticks(list(shown), list(shown.values()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(1, high)


def bars(name: str, drawn: Sequence[Bar], *, x: str) -> str:
    """Values with their spread, the lowest on top."""
    with mpl.rc_context(_STYLE):
        drawn = sorted(drawn, key=lambda each: each.value, reverse=True)
        figure = Figure((_WIDTH, 0.9 + 0.27 * len(drawn)), layout="constrained")
        axes = figure.add_subplot()
        places = range(len(drawn))
        values = [each.value for each in drawn]
        axes.barh(
            places,
            values,
            xerr=[
                [each.value - each.low for each in drawn],
                [each.high - each.value for each in drawn],
            ],
            color=[_OWN_COLOURS.get(each.name, _SERIES[0]) for each in drawn],
            ecolor=_INK,
            error_kw={"capsize": 2, "elinewidth": 0.9},
            height=0.7,
        )
        axes.set_yticks(places, [f"{each.name}, {each.loop}" for each in drawn])
        for place, each in zip(places, drawn, strict=True):
            axes.annotate(
                f"{each.value:,.1f}",
                (each.high, place),
                (6, 0),
                textcoords="offset points",
                va="center",
                size=9,
            )
        axes.set_ylim(-0.6, len(drawn) - 0.4)
        axes.set_xlim(0, 1.1 * max(each.high for each in drawn))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(x)
        return _svg(name, figure)


def _short(value: float, _: int | None = None) -> str:
    """A number on an axis: 20k for 20,000."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _svg(name: str, figure: Figure) -> str:
    """What stands in HTML: no XML head, no metadata, no ids that another drawing has too."""
    written = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', lambda found: f"{found[1]}{name}-", svg)
    svg = re.sub(r"font-family: [^;\"]+", "font-family: inherit", svg)
    for variable, light in _LIGHT.items():
        svg = svg.replace(light, f"var(--{variable})")
    return re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
