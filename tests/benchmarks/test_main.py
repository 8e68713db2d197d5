"""The command measures, tells how far it is, and leaves a file, a page and the docs' tables."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from support.measured import a_run, idle_sample

from benchmarks import report
from benchmarks.__main__ import main
from benchmarks.process import ServerProcess, Subject
from benchmarks.tables import TITLES

SHORT = "--rounds 1 --seconds 0.05 --connections 2 --peers floor --loops asyncio"


def test_a_miniature_run_measures_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "performance.md"
    run = a_run("3.0.1")
    run.idle = [idle_sample(1, 8.0)]
    blocks = [report.in_docs(run, name) for name in ("figures", "idle", "targets")]
    docs.write_text("\n".join(blocks), "utf-8")
    command = f"--quick --only http,idle --idle 5 --rest 0.05 {SHORT} --write-docs"
    by = f"make bench-quick ARGS='{command.removeprefix('--quick ')}'"
    assert main(command.split(), results=tmp_path / "results", docs=docs) == 0
    (page,) = (tmp_path / "results").glob("*.html")
    assert "<svg" in page.read_text("utf-8")
    content = json.loads(page.with_suffix(".json").read_text("utf-8"))
    taken = [(each["job"], each["subject"]["name"]) for each in content["samples"]]
    assert taken == [("http", "floor"), ("http", "nbdriver")]
    assert all(each["measurement"]["events"] for each in content["samples"])
    held = [(each["subject"]["name"], each["connections"]) for each in content["idle"]]
    assert held == [("floor", 5), ("nbdriver", 5)]
    assert content["command"] == by
    assert content["machine"]["h11"]
    assert content["versions"]["nbdriver"]["wsproto"]
    told = capsys.readouterr()
    assert TITLES["http"] in told.out
    assert "KiB each" in told.out
    assert "nbdriver on asyncio: answers as it should" in told.err
    assert "1 of 2, http: nbdriver" in told.err
    assert "KiB on asyncio; 0 s left" in told.err
    written = docs.read_text("utf-8")
    assert written.count(f"By `{by}`") == 3


def test_a_step_that_fails_has_no_figures_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"--only idle --idle 2000000000 {SHORT}"
    assert main(command.split(), results=tmp_path) == 1
    (path,) = tmp_path.glob("*.json")
    content = json.loads(path.read_text("utf-8"))
    assert content["idle"] == []
    assert content["failures"][0].startswith("expected to be allowed")
    assert "A step has failed, and has no figures" in capsys.readouterr().out


async def test_anybody_s_server_is_measured_by_its_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with ServerProcess(Subject("floor", "asyncio")) as process:
        host, port = process.address
        command = f"--address {host}:{port} --seconds 0.05 --connections 2 --pid {process.pid}"
        assert await asyncio.to_thread(main, command.split()) == 0
        assert await process.finish() > 0
    told = capsys.readouterr().out
    assert told.startswith("http at /onebot/http, 2 connections:\n")
    assert "CPU time of its process" in told


def test_a_server_that_cannot_be_reached_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--address 127.0.0.1:1 --connections 1".split()) == 1
    # Before it, at most, that the machine is busy.
    *_, line = capsys.readouterr().err.splitlines()
    assert line == "The run has failed. nothing listens at 127.0.0.1:1"
