"""The check of the hot path can fail: cases that are really walked, ratios that are compared.

valgrind is not needed here; where it is, `make bench-check` counts, and .ci/run runs that.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.application import Tally
from benchmarks.hot_path import CASES, REFERENCES, WARM_UP, Answer, WrongAnswer, walk
from benchmarks.instructions import FILE, Entry, Row, judge, load, save, total

ROOT = Path(__file__).resolve().parents[2]
WALKS = {**REFERENCES, **CASES}
DIVIDED_BY = {"HTTP": "reference"}
RECORDED = Entry("one build", {"reference": 1_000, "HTTP": 4_000})


def judged(counted: Entry, recorded: Entry | None = RECORDED) -> dict[str, Row]:
    return {row.name: row for row in judge(counted, recorded, DIVIDED_BY)}


def failed(counted: Entry, recorded: Entry | None = RECORDED) -> dict[str, str]:
    rows = judged(counted, recorded).values()
    return {row.name: row.fault for row in rows if row.fault}


# What is compared


@pytest.mark.parametrize("count", [4_001, 4_199, 3_800, 3_000])
def test_a_case_may_grow_by_five_per_cent_and_shrink_as_it_likes(count: int) -> None:
    assert failed(replace(RECORDED, instructions={"reference": 1_000, "HTTP": count})) == {}


def test_a_case_that_grew_by_more_fails() -> None:
    counted = replace(RECORDED, instructions={"reference": 1_000, "HTTP": 4_204})
    assert failed(counted) == {"HTTP": "grew by more than 5%"}
    assert judged(counted)["HTTP"].growth == pytest.approx(0.051)


def test_a_case_that_shrank_by_more_is_told_so_that_it_can_be_recorded() -> None:
    verdicts = [
        judged(replace(RECORDED, instructions={"reference": 1_000, "HTTP": count}))["HTTP"].verdict
        for count in (3_801, 3_799)
    ]
    assert verdicts == ["as recorded", "better"]


def test_another_build_that_moves_everything_is_no_growth() -> None:
    assert failed(Entry("another build", {"reference": 1_500, "HTTP": 6_000})) == {}
    assert failed(Entry("another build", {"reference": 1_000, "HTTP": 6_000})).keys() == {"HTTP"}


@pytest.mark.parametrize("moved", [900, 1_100])
def test_on_the_same_build_nobody_moves_the_reference(moved: int) -> None:
    counts = {"reference": moved, "HTTP": 4 * moved}
    assert failed(replace(RECORDED, instructions=counts)).keys() == {"reference"}


def test_a_case_is_neither_added_nor_taken_away_unrecorded() -> None:
    more = replace(RECORDED, instructions={**RECORDED.instructions, "WebSocket": 2_000})
    assert failed(more) == {"WebSocket": "not recorded"}
    assert failed(RECORDED, more) == {"WebSocket": "recorded, but no longer counted"}


def test_what_is_just_being_recorded_fails_nothing_and_says_what_is_new() -> None:
    then = replace(RECORDED, instructions={**RECORDED.instructions, "gone": 1_000})
    counted = {"reference": 1_200, "HTTP": 6_000, "WebSocket": 2_000}
    rows = judge(replace(then, instructions=counted), then, DIVIDED_BY, recording=True)
    assert {row.name: row.verdict for row in rows} == {
        "reference": "what the others are divided by",
        "HTTP": "dearer",
        "WebSocket": "new",
        "gone": "no longer counted",
    }
    assert not any(row.fault for row in rows)
    first = judge(RECORDED, None, DIVIDED_BY, recording=True)
    assert {row.verdict for row in first} == {"new"}


def test_a_version_without_an_entry_is_not_judged() -> None:
    assert failed(RECORDED, None) == {}
    assert {row.verdict for row in judged(RECORDED, None).values()} == {"not recorded"}


# The file


def test_recording_a_version_leaves_the_others_alone(tmp_path: Path) -> None:
    file = tmp_path / "instructions.json"
    assert load(file) == {}
    for version in ("3.12", "3.9"):
        save(file, version, RECORDED)
    changed = replace(RECORDED, build="another build")
    save(file, "3.12", changed)
    assert load(file) == {"3.9": RECORDED, "3.12": changed}
    assert list(json.loads(file.read_text("utf-8"))) == ["3.9", "3.12"]


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_case_is_recorded_for_every_python(version: str) -> None:
    assert load(FILE)[version].instructions.keys() == WALKS.keys()


# The counting


def test_a_count_is_the_total_of_a_dump() -> None:
    dump = "events: Ir\nsummary: 17\n\nfn=(1) totals: 3\n0 12\n\ntotals: 41246392\n"
    assert total(dump) == 41_246_392
    with pytest.raises(ValueError, match="expected a dump of callgrind's"):
        total("events: Ir\n")


def test_without_valgrind_it_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.instructions"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "apt-get install valgrind" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# What is counted


@pytest.mark.parametrize("name", WALKS)
async def test_the_events_of_a_case_are_answered_between_two_marks(name: str) -> None:
    marks: list[None] = []
    await walk(WALKS[name], lambda: marks.append(None))
    assert len(marks) == 2


def test_every_case_has_a_reference_for_the_same_number_of_bytes() -> None:
    for case in CASES.values():
        size = len(REFERENCES[case.reference].event)
        assert size / 2 < len(case.event) < size * 2


async def test_a_wrong_answer_ends_the_walk() -> None:
    wrong = replace(CASES["HTTP"], answer=Answer(b"HTTP/1.1 200 "))
    with pytest.raises(WrongAnswer, match=r"expected Answer.*200.*got b'HTTP/1\.1 204 "):
        await walk(wrong)


async def test_a_server_that_hangs_up_ends_the_walk() -> None:
    refused = replace(CASES["HTTP"], event=b"GET\r\n\r\n")
    with pytest.raises(WrongAnswer, match=r"got b'HTTP/1\.1 400 "):
        await walk(refused)


async def test_an_answer_without_a_call_of_the_bot_is_noticed() -> None:
    @asynccontextmanager
    async def serve_uncounted(
        listening: socket.socket, tally: Tally, settings: Mapping[str, Any]
    ) -> AsyncIterator[None]:
        async with REFERENCES["reference"].serve(listening, Tally(), settings):
            yield

    uncounted = replace(REFERENCES["reference"], serve=serve_uncounted)
    with pytest.raises(WrongAnswer, match=f"expected {WARM_UP + uncounted.events} calls .*got 0"):
        await walk(uncounted)
