"""What was counted of an event reaches the tables, whoever counts it; valgrind is not needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.measured import a_run

from benchmarks import report
from benchmarks.__main__ import main
from benchmarks.anatomy import MadeOf, StepCosts, count_steps, count_subject
from benchmarks.counting import COUNTED, PLAIN
from benchmarks.marks import OUTSIDE, Log, Marks, calibrate
from benchmarks.process import ServerError, Subject
from benchmarks.steps import CALIBRATION, EVENTS, STEPS

FAST = StepCosts("http", True, 1_000, {OUTSIDE: 200, "JSON": 500, "connection": 310})
FLOOR = StepCosts("http", None, 500, {OUTSIDE: 200, "JSON": 250, "connection": 50})


# What it is made of


async def test_ours_is_counted_with_the_fast_lane_and_without() -> None:
    made_of = await count_subject(Subject("nbdriver", "asyncio"))
    assert [(each.server, each.kind) for each in made_of] == [
        (server, kind) for server in ("nbdriver", PLAIN) for kind in ("http", "websocket")
    ]
    fast, _, plain, _ = (each.counts["functions"] for each in made_of)
    assert fast < plain


async def test_a_server_that_cannot_be_counted_is_one_line() -> None:
    with pytest.raises(ServerError, match=r"^apache could not be counted: .*invalid choice"):
        await count_subject(Subject("apache", "asyncio"))


# The steps


def _stand_in(folder: Path, walks: list[dict[str, object]], counts: dict[str, int]) -> str:
    """What takes valgrind's place: a command that leaves dumps, and prints, what it was given."""
    script = folder / "valgrind"
    script.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        "(place,) = [each.partition('=')[2] for each in sys.argv if 'out-file' in each]\n"
        f"for walk in {walks!r}:\n"
        f"    count = {counts!r}[walk['case']]\n"
        "    for number in range(1, len(walk['log']) + 1):\n"
        "        with open(place.replace('%p', f\"{walk['pid']}.{number}\"), 'w') as dump:\n"
        "            dump.write(f'totals: {count}\\n')\n"
        "    print(json.dumps(walk))\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return str(script)


def _walk(case: str, marked: str, pid: int, log: Log) -> dict[str, object]:
    return {"case": case, "marked": marked, "pid": pid, "log": log}


def test_steps_are_what_was_counted_less_what_the_marks_take(tmp_path: Path) -> None:
    marks = Marks()
    calibrate(marks)
    event: Log = [("connection", False), ("JSON", False), None, None]
    name = "http, fast lane"
    walks = [
        _walk(CALIBRATION, "", 1, marks.log),
        _walk(name, "steps", 2, event * (EVENTS + 1)),
        _walk(name, "whole", 3, [event[0], None] * (EVENTS + 1)),
    ]
    # So each mark takes 100 within a step, and 100 around it.
    valgrind = _stand_in(tmp_path, walks, {CALIBRATION: 100, name: 1_000})
    (costs,) = count_steps(valgrind)
    assert (costs.kind, costs.fast_lane) == ("http", True)
    assert costs.steps == {OUTSIDE: 900, "connection": 2_000 - 200, "JSON": 900}
    assert costs.whole == 900 + 900
    assert costs.rest == 1_800 - 3_600


def test_a_valgrind_that_fails_is_told(tmp_path: Path) -> None:
    script = tmp_path / "valgrind"
    script.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    script.chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        count_steps(str(script))


# The tables


def test_the_steps_and_the_rest_make_the_whole() -> None:
    run = a_run()
    run.samples = []
    run.steps = [FLOOR, FAST]
    lines = report.in_docs(run, "anatomy").splitlines()
    assert "| step | where | fast lane | share | floor | share |" in lines
    assert f"| {' | '.join(STEPS['JSON'])} | 500 | 50.0% | 250 | 50.0% |" in lines
    rest = "| the rest | what the marks have changed | -10 | -1.0% | 0 | 0.0% |"
    whole = "| the whole |  | 1,000 | 100.0% | 500 | 100.0% |"
    assert lines[lines.index(rest) + 1] == whole
    assert "counted, not timed" in lines[-2]
    assert "a round" not in lines[-2]


def test_a_step_that_only_one_way_has_is_blank_in_the_other() -> None:
    run = a_run()
    run.steps = [FLOOR, StepCosts("http", True, 10, {"head": 10})]
    head = f"| {' | '.join(STEPS['head'])} | 10 | 100.0% | - | - |"
    assert head in report.in_docs(run, "anatomy").splitlines()


def test_what_an_event_is_made_of_has_a_column_for_each_count() -> None:
    run = a_run()
    run.made_of = [MadeOf("floor", "websocket", dict(zip(COUNTED, range(9), strict=True)))]
    lines = report.in_docs(run, "anatomy").splitlines()
    assert f"| server | event | {' | '.join(COUNTED)} |" in lines
    assert "| floor | WebSocket | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 |" in lines


def test_without_valgrind_the_counts_are_told_and_the_steps_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    docs = tmp_path / "performance.md"
    run = a_run("3.0.1")
    run.steps = [FAST]
    docs.write_text(report.in_docs(run, "anatomy"), "utf-8")
    command = "--only anatomy --peers floor --write-docs"
    assert main(command.split(), results=tmp_path, docs=docs) == 0
    (path,) = tmp_path.glob("*.json")
    content = json.loads(path.read_text("utf-8"))
    assert {each["server"] for each in content["made_of"]} == {"floor", "nbdriver", PLAIN}
    assert content["steps"] == []
    assert "valgrind was not measured: it is not installed" in capsys.readouterr().out
    assert docs.read_text("utf-8").count("| floor | HTTP |") == 1
