"""The command measures, tells how far it is, and leaves a file, a page and the docs' tables."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from support.measured import a_run

from benchmarks import report
from benchmarks.__main__ import main
from benchmarks.process import ServerProcess, Subject
from benchmarks.tables import TITLES

SHORT = "--rounds 1 --seconds 0.05 --connections 2 --peers floor --loops asyncio"


def test_a_miniature_run_measures_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "performance.md"
    blocks = [report.in_docs(a_run("3.0.1"), name) for name in ("figures", "targets")]
    docs.write_text("\n".join(blocks), "utf-8")
    command = f"--quick --only http,websocket {SHORT} --write-docs"
    assert main(command.split(), results=tmp_path / "results", docs=docs) == 0
    kept, page = sorted(
        (tmp_path / "results").iterdir(), key=lambda path: path.suffix, reverse=True
    )
    assert "<svg" in page.read_text("utf-8")
    content = json.loads(kept.read_text("utf-8"))
    taken = [(each["job"], each["subject"]["name"]) for each in content["samples"]]
    assert taken == [(job, name) for job in ("http", "websocket") for name in ("floor", "nbdriver")]
    assert all(each["measurement"]["events"] for each in content["samples"])
    assert content["command"] == f"make bench ARGS='{command}'"
    assert content["machine"]["h11"]
    assert content["versions"]["nbdriver"]["wsproto"]
    told = capsys.readouterr()
    assert all(TITLES[job] in told.out for job in ("http", "websocket"))
    assert "nbdriver on asyncio: answers as it should" in told.err
    assert "2 of 2, websocket: nbdriver" in told.err
    assert "; 0 s left" in told.err
    assert f"`make bench ARGS='{command}'`" in docs.read_text("utf-8")


def test_a_miniature_run_of_idle_connections_measures_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"--only idle --idle 5 --rest 0.05 {SHORT}"
    assert main(command.split(), results=tmp_path) == 0
    (path,) = tmp_path.glob("*.json")
    content = json.loads(path.read_text("utf-8"))
    assert content["samples"] == []
    taken = [(each["subject"]["name"], each["connections"]) for each in content["idle"]]
    assert taken == [("floor", 5), ("nbdriver", 5)]
    told = capsys.readouterr()
    assert "KiB each" in told.out
    assert "KiB on asyncio" in told.err


def test_a_step_that_fails_has_no_figures_and_the_others_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"--only http,idle --idle 2000000000 {SHORT}"
    assert main(command.split(), results=tmp_path) == 1
    (path,) = tmp_path.glob("*.json")
    content = json.loads(path.read_text("utf-8"))
    assert len(content["samples"]) == 2
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
    assert "CPU time of its process" in capsys.readouterr().out


def test_a_server_that_cannot_be_reached_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--address 127.0.0.1:1 --connections 1".split()) == 1
    assert capsys.readouterr().err.startswith("The run has failed. could not connect to")
