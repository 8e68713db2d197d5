"""What is told of a run: in columns for a person, in blocks for the docs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.measured import a_run, idle_sample, sample

from benchmarks import report
from benchmarks.process import Subject
from benchmarks.result import Run
from benchmarks.scaling import ProcessSample
from benchmarks.starting import ImportSample, StartSample
from benchmarks.tables import TITLES, sections
from benchmarks.targets import judge
from benchmarks.wrk import WrkSample

FULL = {"figures", "sizes", "scaling", "idle", "start", "wrk", "targets"}


def test_the_table_stands_in_columns() -> None:
    title, headings, floor_row, own_row, *_ = report.text(a_run()).splitlines()
    assert title == TITLES["http"]
    assert headings.split()[:2] == ["server", "loop"]
    assert floor_row.split() == "floor asyncio 20.0 20.0-20.0 1,000 2% 1.00 0.50".split()
    assert own_row.split() == "nbdriver asyncio 40.0 40.0-40.0 1,000 4% 2.00 1.00".split()
    assert floor_row.index("20.0") == own_row.index("40.0")


def test_only_what_was_measured_has_tables() -> None:
    assert [name for name, _ in sections(a_run())] == ["figures", "targets"]


def test_targets_that_were_not_measured_are_but_counted() -> None:
    run = a_run()
    told = report.text(run).splitlines()
    targets = told[told.index("Targets, on Python 3.12") + 1 :]
    count = len(judge(run))
    assert [line.split("  ")[0] for line in targets] == [
        "what",
        "HTTP event, asyncio's own loop",
        f"and {count - 1} that this run did not measure",
    ]
    run.samples = run.samples[1:]
    assert report.text(run).splitlines()[-2:] == [
        "Targets, on Python 3.12",
        f"{count} that this run did not measure",
    ]
    assert report.in_docs(run, "targets").count("| not measured |") == count


def test_every_table_has_a_cell_for_each_heading() -> None:
    run, ours = a_run(), Subject("nbdriver", "uvloop")
    run.sizes = [sample(1, "http", "nbdriver", 10.0, size=size) for size in (100, 1_000)]
    run.sizes.append(sample(1, "http", "aiohttp", 10.0, size=100))
    run.connections = [sample(1, "http", "nbdriver", 10.0, connections=each) for each in (1, 10)]
    measurement = run.samples[0].measurement
    run.processes = [ProcessSample(1, "http", ours, 2, 256, measurement, 0.5)]
    run.idle = [idle_sample(1, 8.0)]
    run.imports = [ImportSample(1, name, 3_000_000, 4_000_000) for name in ("nbdriver", "aiohttp")]
    run.starts = [StartSample(1, ours, 90_000_000, 80_000_000, 2**24)]
    run.wrk = [WrkSample(1, ours, 20.0, 19.0, 1000.0, 1100.0)]
    tables = dict(sections(run))
    assert tables.keys() == FULL
    for _, lines in (table for found in tables.values() for table in found):
        assert len({len(line) for line in lines}) == 1
    told = report.text(run)
    assert "aiohttp   asyncio  10.0      -" in told
    assert "nbdriver  asyncio  0.0  0.1" in told
    assert "nbdriver  uvloop               90           90-90      80         16.0" in told


def test_what_is_missing_and_what_has_failed_is_told() -> None:
    run = a_run()
    run.missing["granian"] = "no wheel for it"
    run.failures.append("aiohttp on uvloop, http: no answer came")
    assert report.text(run).splitlines()[-2:] == [
        "granian was not measured: no wheel for it",
        "A step has failed, and has no figures: aiohttp on uvloop, http: no answer came",
    ]


def test_the_docs_take_the_figures_of_each_python_in_its_own_block(tmp_path: Path) -> None:
    def run(python: str, cpu: float = 40.0) -> Run:
        # Ours alone, of which no target says anything.
        made = a_run(python, cpu)
        made.samples = made.samples[1:]
        return made

    def block(python: str, cpu: float = 40.0) -> str:
        return report.in_docs(run(python, cpu), "figures")

    docs = tmp_path / "performance.md"
    docs.write_text("Before.\n\n" + block("3.11.7") + "\nAfter.\n", "utf-8")
    report.write_docs(run("3.12.1", cpu=50.0), docs)
    report.write_docs(run("3.11.9", cpu=60.0), docs)
    content = docs.read_text("utf-8")
    lines = ["Before.", "", block("3.11.9", 60.0), block("3.12.1", 50.0), "After.", ""]
    assert content == "\n".join(lines)
    assert "| nbdriver | asyncio | 60.0 | 60.0-60.0 |" in content
    assert "processors 2 x Nothing; Python 3.11.9 (CPython)." in content


def test_each_part_has_its_own_block_in_the_docs(tmp_path: Path) -> None:
    docs = tmp_path / "performance.md"
    run, again = a_run(), a_run()
    run.samples, again.samples = [], []
    run.idle, again.idle = [idle_sample(1, 8.0)], [idle_sample(1, 7.0)]
    figures = report.in_docs(a_run(), "figures")
    docs.write_text(figures + "\n" + report.in_docs(run, "idle"), "utf-8")
    report.write_docs(again, docs)
    assert docs.read_text("utf-8") == figures + "\n" + report.in_docs(again, "idle")
    assert "| nbdriver | asyncio | 7.0 | 7.0-7.0 | 50.0 | 60.0 | 0.10 | 10 |" in docs.read_text()


def test_docs_without_a_place_for_figures_are_left_alone(tmp_path: Path) -> None:
    docs = tmp_path / "performance.md"
    docs.write_text("Nothing.\n", "utf-8")
    with pytest.raises(ValueError, match="expected a block"):
        report.write_docs(a_run(), docs)
    assert docs.read_text("utf-8") == "Nothing.\n"
