"""A run is kept whole, and without the paths of the machine that it ran on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from support.measured import a_run, idle_sample

from benchmarks.archive import as_json, write_json
from benchmarks.servers import SERVERS


def test_a_sample_is_kept_with_what_it_says() -> None:
    content = as_json(a_run())
    kept = content["samples"][1]
    assert kept["subject"] == {"name": "nbdriver", "loop": "asyncio"}
    assert (kept["cpu"], kept["rate"], kept["busy"], kept["generator_cpu"]) == (
        40.0,
        1e3,
        0.04,
        3.0,
    )
    assert kept["measurement"]["events"] == 1000
    assert content["summary"][1]["ratios"]["floor"] == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_memory_is_kept_by_the_number_of_connections() -> None:
    run = a_run()
    run.idle = [idle_sample(1, 8.0)]
    (kept,) = as_json(run)["idle"]
    assert kept["kib"] == 8.0
    assert kept["curve"] == [
        {"connections": 5, "memory": 40_960},
        {"connections": 10, "memory": 81_920},
    ]


def test_the_environment_of_each_server_is_told() -> None:
    environments = as_json(a_run())["environments"]
    assert environments.keys() == SERVERS.keys()
    assert environments["uvicorn-sansio"] == "uvicorn"


def test_the_file_is_named_after_its_time_and_python(tmp_path: Path) -> None:
    path = write_json(a_run(), tmp_path / "results")
    assert path.name == "20260102-030405-python3.12.json"
    text = path.read_text("utf-8")
    assert json.loads(text)["python"] == "3.12"
    assert sys.executable not in text
