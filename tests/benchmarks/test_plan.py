"""The steps of a run: each job as often as it was asked for, with the servers that are there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.measured import MINIATURE, a_run

from benchmarks.command import Choice
from benchmarks.plan import plan, subjects_of


def test_every_server_of_a_job_is_on_each_of_its_loops() -> None:
    choice = Choice(("floor", "granian"), loops=("asyncio", "uvloop"))
    assert [str(each) for each in subjects_of(choice, "json", {"granian": "gone"})] == [
        "floor on asyncio",
        "nbdriver on asyncio",
        "floor on uvloop",
        "nbdriver on uvloop",
    ]


def test_a_subject_is_started_in_its_environment_with_the_json_of_the_run() -> None:
    launches = {
        each.name: each.launch
        for each in subjects_of(Choice(("aiohttp",), loops=("asyncio",)), "orjson")
    }
    assert launches["aiohttp"].json == launches["nbdriver"].json == "orjson"
    assert "/aiohttp/" in launches["aiohttp"].python
    assert launches["nbdriver"].python != launches["aiohttp"].python


def test_jobs_take_turns_until_each_has_had_its_rounds() -> None:
    jobs = {
        "http": Choice(("floor",), loops=("asyncio",), rounds=2),
        "idle": Choice(("floor",), loops=("asyncio",), rounds=1),
    }
    steps = plan(a_run(), jobs, "json")
    assert [each.label for each in steps] == ["http", "idle", "http"]
    assert all(each.seconds > 0 for each in steps)


def test_without_wrk_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run()
    monkeypatch.setenv("PATH", "")
    assert plan(run, {"wrk": Choice(("floor",), loops=("asyncio",), rounds=1)}, "json") == []
    assert run.missing["wrk"].startswith("it is not installed")


@pytest.mark.parametrize("job", ["sizes", "scaling", "latency", "start"])
async def test_a_step_leaves_its_samples_in_the_run(job: str) -> None:
    run = a_run()
    run.settings = replace(MINIATURE, sizes=(100,), scale=(1, 2), rates=())
    choice = Choice((), loops=("asyncio",), rounds=1)
    for step in plan(run, {job: choice}, "json"):
        assert "nbdriver" in await step.run()
    found = {
        "sizes": run.sizes,
        "scaling": [*run.connections, *run.processes],
        "latency": run.latency,
        "start": [*run.imports, *run.starts],
    }
    assert found[job]
