"""The page of a run: whole by itself, a table for each plot, and only what was measured."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks.histogram import Histogram
from benchmarks.measure import Settings
from benchmarks.page import page, write_page

LATENCIES = Histogram(range(100_000, 400_000, 100))
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Reader(HTMLParser):
    """Reads a page, and notes what is in it; an element that is not closed in order fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.setdefault(self._open[-1], []).append(data.strip())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    def ids(self) -> list[str]:
        return [str(of["id"]) for _, of in self.elements if "id" in of]


def spread(median: float) -> dict[str, float]:
    return {"median": median, "low": 0.9 * median, "high": 1.2 * median}


def subject(name: str, loop: str = "uvloop") -> dict[str, str]:
    return {"name": name, "loop": loop}


def latency(name: str, rate: int | None, round_: int = 1) -> dict[str, Any]:
    return {
        "subject": subject(name),
        "job": "http",
        "rate": rate,
        "answered": 900.0,
        "connections": 1 if rate is None else 32,
        "round": round_,
        "count": LATENCIES.count,
        "percentiles": {**LATENCIES.percentiles(), "100": LATENCIES.highest},
        "late": {} if rate is None else {"50": 1.0, "99": 77.0, "100": 90.0},
        "hdr": LATENCIES.encode(),
    }


def target(verdict: str, ratio: float | None) -> dict[str, Any]:
    return {
        "what": f"what is {verdict}",
        "against": "a peer",
        "ratio": None if ratio is None else spread(ratio),
        "target": 0.65,
        "direction": "at most",
        "verdict": verdict,
        "note": "",
    }


def a_run() -> dict[str, Any]:
    """A small run in the layout of `report.write_json`."""
    names = ("floor", "nbdriver", "aiohttp")
    return {
        "began": "2026-01-02T03:04:05+00:00",
        "command": "make bench ARGS='--only <http>'",
        "python": "3.12",
        "machine": {"processors": "2 x <Nothing>", "Python": "3.12.1 (CPython)"},
        "versions": {"aiohttp": {"python": "3.12.1", "aiohttp": "3.14.5"}},
        "environments": {"aiohttp": "aiohttp"},
        "missing": {"granian": "it has no wheel"},
        "settings": {"rounds": 2, "seconds": 0.6},
        "summary": [
            {
                "job": job,
                "subject": subject(name, loop),
                "cpu": spread(20.0 + place),
                "rate": spread(50_000.0),
                "busy": spread(0.8),
                "ratios": {} if name == "floor" else {"floor": spread(1.25)},
            }
            for job in ("http", "websocket-70kB")
            for loop in ("asyncio", "uvloop")
            for place, name in enumerate(names)
        ],
        "sizes": [
            {"job": "http", "subject": subject(name), "size": size, "cpu": size / 50 + extra}
            for name in names
            for size in (100, 70_000, 1_000_000)
            for extra in (20, 30)
        ],
        "connections": [
            {"job": "websocket", "subject": subject("nbdriver"), "connections": each, "cpu": 33.3}
            for each in (1, 10_000)
        ],
        "processes": [
            {
                "job": "http",
                "subject": subject("nbdriver"),
                "processes": each,
                "cpu": 25.0,
                "rate": 40_000.0 * each,
                "machine_busy": 0.5,
            }
            for each in (1, 2)
        ],
        "idle": [
            {
                "subject": subject(name),
                "kib": kib,
                "cpu_alone": 50.0,
                "cpu_beside": 60.0,
                "busy": 0.001,
                "pinged": 10,
                "curve": [
                    {"connections": each, "memory": each * 4_096} for each in (100, 1_000, 10_000)
                ],
            }
            for name in names
            for kib in (4.0, 5.0)
        ],
        "imports": [{"package": "nbdriver", "cpu": 31.0, "wall": 35.0}],
        "startup": [
            {"subject": subject("nbdriver"), "first_event": 130.0, "cpu": 99.0, "resident": 2**25}
        ],
        "latency": [
            latency(name, rate, number)
            for name in names
            for rate in (None, 1_000)
            for number in (1, 2)
        ],
        "targets": [target("met", 0.5), target("not met", 0.8), target("not measured", None)],
    }


@pytest.fixture(scope="module")
def text() -> str:
    return page(a_run())


@pytest.fixture(scope="module")
def read(text: str) -> Reader:
    return Reader(text)


def test_nothing_on_the_page_comes_from_elsewhere(text: str, read: Reader) -> None:
    for tag, attributes in read.elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "base"}
        assert not {"src", "srcset", "data", "action", "background"} & attributes.keys()
        for name, value in attributes.items():
            if name.removeprefix("xlink:") == "href":
                assert str(value).startswith("#")
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)])", text)) <= {"#"}
    # What is left of addresses is the names of XML's vocabularies, which nobody fetches.
    named = re.sub(r'xmlns(:\w+)?="http://www\.w3\.org/[\w/]+"', "", text)
    assert "://" not in named


def test_each_plot_is_whole_and_has_a_name_and_a_table(text: str, read: Reader) -> None:
    # CPU of two jobs, latency of one, memory, sizes, connections.
    figures = re.findall(r"<figure>.*?</figure>", text, re.DOTALL)
    assert len(figures) == read.count("figure") == read.count("svg") == 6
    for figure in figures:
        inside = Reader(figure)
        assert [inside.count(tag) for tag in ("svg", "table", "figcaption", "caption")] == [1] * 4
        (svg,) = (attributes for tag, attributes in inside.elements if tag == "svg")
        assert svg["role"] == "img"
        assert svg["aria-label"] in inside.text["figcaption"]
        assert "nbdriver" in inside.text["th"]
        ET.fromstring(figure[figure.index("<svg") : figure.index("</svg>") + 6])


def test_ids_are_unique_and_what_refers_to_one_finds_it(text: str, read: Reader) -> None:
    assert max(Counter(read.ids()).values()) == 1
    referred = re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]+)', text)
    assert set(referred) <= set(read.ids())


def test_every_section_can_be_reached_from_the_top(text: str) -> None:
    sections = re.findall(r'<h2 id="([^"]+)"', text)
    expected = "targets cpu latency memory sizes connections processes starting machine".split()
    assert sections == expected
    assert re.findall(r'<li><a href="#([^"]+)"', text) == sections


def rows(text: str, caption: str) -> list[list[str]]:
    """The cells of the table with that caption, its headings first."""
    (table,) = re.findall(rf"<caption>{re.escape(caption)}</caption>(.*?)</table>", text, re.DOTALL)
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr.*?</tr>", table)
    ]


def test_targets_tell_what_was_met_in_words(text: str) -> None:
    _, met, not_met, not_measured = rows(text, "Ratios; the median of the rounds, and their spread")
    assert met == ["what is met", "at most 0.65", "0.50", "met", "a peer", "0.45-0.60", ""]
    assert not_met[2:4] == ["0.80", "not met"]
    assert not_measured[2:6] == ["-", "not measured", "a peer", "-"]
    assert "&quot;not met&quot; is a result of this run" in text


def test_what_is_code_in_a_cell_is_code_on_the_page() -> None:
    run = a_run()
    run["targets"] = [target("met", 0.5) | {"what": "import, beyond `import <asyncio>`"}]
    _, only = rows(page(run), "Ratios; the median of the rounds, and their spread")
    assert only[0] == "import, beyond <code>import &lt;asyncio&gt;</code>"


def test_sentences_may_take_several_lines_and_figures_may_not(text: str) -> None:
    (targets,) = re.findall(r"<caption>Ratios;.*?</table>", text, re.DOTALL)
    assert re.findall(r'<th scope="col"(?: class="(\w+)")?>(\w+)', targets) == [
        ("text", "what"),
        ("", "target"),
        ("", "measured"),
        ("", "verdict"),
        ("text", "against"),
        ("", "lowest"),
        ("text", "note"),
    ]


def test_cpu_is_told_with_its_spread_the_least_first(text: str) -> None:
    headings, *servers = rows(text, "WebSocket, 70 kB: CPU time of the server per event")
    assert headings[-1] == "/ floor"
    assert [each[0] for each in servers] == [*["floor"] * 2, *["nbdriver"] * 2, *["aiohttp"] * 2]
    assert servers[2] == ["nbdriver", "asyncio", "21.0", "18.9-25.2", "50,000", "80%", "1.25"]


def test_latencies_of_all_rounds_stand_together_to_the_percentile_that_they_can_tell(
    text: str,
) -> None:
    headings, *servers = rows(text, "HTTP: latency by percentile, in microseconds")
    told = dict(zip(headings, servers[1], strict=True))
    assert [told[each] for each in ("server", "how", "events")] == [
        "nbdriver",
        "one connection",
        "6,000",
    ]
    assert [told[each] for each in ("50 %", "99 %", "99.9 %")] == ["250", "397", "400"]
    assert told["99.99 %"] == told["own delay"] == "-"
    paced = dict(zip(headings, servers[4], strict=True))
    assert (paced["how"], paced["own delay"]) == ("1,000 events/s", "77")


def test_sizes_and_memory_have_a_column_for_each_place_on_the_axis(text: str) -> None:
    name = "HTTP: CPU time of the server per event, by the size of the event, in microseconds"
    headings, floor, *_ = rows(text, name)
    assert headings == ["server", "loop", "100 B", "70 kB", "1 MB"]
    assert floor == ["floor", "uvloop", "27.0", "1,425.0", "20,025.0"]
    name = "Idle WebSockets: memory that they add to the server&#x27;s process, in MiB"
    headings, _, ours, _ = rows(text, name)
    assert headings == ["server", "loop", "100", "1,000", "10,000"]
    assert ours == ["nbdriver", "uvloop", "0.4", "3.9", "39.1"]


def test_what_an_idle_websocket_costs_is_told_as_in_the_terminal(text: str) -> None:
    name = "What an idle WebSocket costs, and events beside it; medians of the rounds"
    headings, _, ours, _ = rows(text, name)
    assert headings[2:] == [
        *("KiB each", "lowest-highest", "us/event alone", "beside them"),
        *("% of a core at rest", "pings"),
    ]
    assert ours == ["nbdriver", "uvloop", "4.5", "4.0-5.0", "50.0", "60.0", "0.10", "10"]


def test_of_the_settings_those_are_told_that_had_a_part_in_the_run() -> None:
    def settings(*parts: str) -> list[str]:
        run = {key: a_run()[key] for key in ("began", "command", "machine", *parts)}
        run["settings"] = asdict(Settings(rates=()))
        _, *told = rows(page(run), "Settings of the run; times in seconds")
        return [": ".join(each) for each in told]

    assert settings("imports") == ["rounds: 4", "starts: 10"]
    assert settings("latency") == ["rounds: 4", "seconds: 0.6", "warm up: 0.2", "rates: none"]
    assert settings("idle")[-2:] == ["idle: 10,000", "rest: 5.0"]
    assert settings("sizes")[-1] == "sizes: 100, 1,000, 10,000, 100,000, 1,000,000"
    every = settings("summary", "latency", "sizes", "connections", "processes", "idle", "imports")
    assert len(every) == len(fields(Settings))


def test_machine_and_versions_are_told_and_no_text_is_taken_for_markup(text: str) -> None:
    assert ["processors", "2 x &lt;Nothing&gt;"] in rows(
        text, "The machine, and what ran beside it"
    )
    assert ["aiohttp", "python 3.12.1, aiohttp 3.14.5"] in rows(
        text, "What each server&#x27;s environment holds"
    )
    assert ["granian", "it has no wheel"] in rows(text, "Left out")
    assert "make bench ARGS=&#x27;--only &lt;http&gt;&#x27;" in text
    assert "begun 2026-01-02 03:04 UTC." in text


@pytest.mark.parametrize(
    ("part", "section"),
    [
        ("targets", "targets"),
        ("summary", "cpu"),
        ("latency", "latency"),
        ("idle", "memory"),
        ("sizes", "sizes"),
        ("connections", "connections"),
        ("processes", "processes"),
    ],
)
def test_what_was_not_measured_is_left_out(part: str, section: str) -> None:
    keep = {"began", "command", "python", "machine", part}
    run = {key: value for key, value in a_run().items() if key in keep}
    assert re.findall(r'<h2 id="([^"]+)"', page(run)) == [section, "machine"]
    assert re.findall(r'<h2 id="([^"]+)"', page(run | {part: []})) == ["machine"]
    del run[part]
    assert re.findall(r'<h2 id="([^"]+)"', page(run)) == ["machine"]


def test_light_and_dark_have_every_colour_and_plots_have_none_of_their_own(text: str) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", text)
    names = set(re.findall(r"--([\w-]+):", light))
    assert names == set(re.findall(r"--([\w-]+):", dark))
    assert set(re.findall(r"var\(--([\w-]+)\)", text)) <= names
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert re.findall(r"(?:fill|stroke): (#\w+)", svg) == []


def test_the_page_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    run = {key: a_run()[key] for key in ("began", "command", "machine")}
    write_page(run, path)
    assert path.read_text("utf-8") == page(run)
