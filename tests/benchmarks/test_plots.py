"""Plots name what they show, and a server looks the same in each of them."""

from __future__ import annotations

import re

from benchmarks import plots
from benchmarks.plots import Bar, Line, Panel, Styles

NAMES = ["nbdriver", "floor", *(f"peer-{number}" for number in range(14))]


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_server_keeps_its_look_whoever_stands_beside_it() -> None:
    styles = Styles(NAMES)
    looks = {(styles.colour(name), styles.marker(name)) for name in NAMES}
    assert len(looks) == len(NAMES)
    assert styles.colour("nbdriver") == Styles([]).colour("nbdriver")
    assert styles.colour("peer-3") == Styles(reversed(NAMES)).colour("peer-3")


def test_lines_are_named_with_server_and_loop_and_axes_with_their_units() -> None:
    drawn = [
        Line("nbdriver", "uvloop", [(100, 20), (1_000_000, 20_000)]),
        Line("floor", "asyncio", [(100, 10), (1_000_000, 10_000)]),
    ]
    svg = plots.lines(
        "sizes", drawn, Styles(NAMES), x="bytes", y="us", log=True, linear_through="nbdriver"
    )
    found = texts(svg)
    assert {"nbdriver, uvloop", "floor, asyncio", "bytes", "us", "1M", "10k"} <= set(found)
    assert "proportional to size" in found
    plain = plots.lines("sizes", drawn, Styles(NAMES), x="bytes", y="us")
    assert "proportional to size" not in texts(plain)


def test_the_axis_of_percentiles_names_as_many_nines_as_there_are_events_for() -> None:
    points = [(1.0, 20.0), (10.0, 30.0), (100.0, 40.0), (1_500.0, 900.0)]
    panel = Panel("one connection", [Line("nbdriver", "uvloop", points)])
    found = texts(plots.percentiles("latency", [panel], Styles(NAMES), y="us"))
    assert "one connection" in found
    assert [each for each in found if each.endswith("%")] == ["0 %", "90 %", "99 %", "99.9 %"]


def test_panels_share_one_legend() -> None:
    lines = [Line(name, "uvloop", [(1.0, 20.0), (10.0, 30.0)]) for name in NAMES[:3]]
    panels = [Panel(f"panel {number}", lines) for number in range(3)]
    found = texts(plots.percentiles("latency", panels, Styles(NAMES), y="us"))
    assert [each for each in found if "uvloop" in each] == [f"{name}, uvloop" for name in NAMES[:3]]


def test_bars_stand_in_order_with_their_values() -> None:
    drawn = [Bar("peer-1", "uvloop", 90.5, 80, 100), Bar("nbdriver", "uvloop", 25.25, 20, 30)]
    found = texts(plots.bars("cpu", drawn, x="us per event"))
    labels = [each for each in found if "uvloop" in each]
    # matplotlib goes from below upwards.
    assert labels == ["peer-1, uvloop", "nbdriver, uvloop"]
    assert {"90.5", "25.2", "us per event"} <= set(found)


def test_two_plots_on_a_page_have_no_id_in_common() -> None:
    bars = [Bar("nbdriver", "uvloop", 2, 1, 3)]
    ids = [
        set(re.findall(r'\bid="([^"]+)"', plots.bars(name, bars, x="us"))) for name in ("a", "b")
    ]
    assert ids[0]
    assert not ids[0] & ids[1]
