"""A few of the runs of `make stress`, and that its judge sees what goes wrong."""

from __future__ import annotations

import re
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stress import run
from stress.clients import Held, Seen
from stress.judge import Outcome, complaints
from stress.plan import Moment, Plan
from support.leaks import nothing_left

SAMPLE = (3, 8, 13, 24)
"""The start on uvloop, handshakes on asyncio, the load on uvloop, the stop on asyncio."""


@pytest.mark.parametrize("seed", SAMPLE)
async def test_a_signal_at_any_moment_loses_nothing_that_was_promised(
    seed: int, tmp_path: Path
) -> None:
    plan = Plan.of(seed)
    async with nothing_left():
        assert complaints(plan, await run.run(plan, tmp_path)) == []


# The plans.


def test_the_sample_holds_every_moment_and_both_loops() -> None:
    plans = [Plan.of(seed) for seed in SAMPLE]
    assert {plan.moment for plan in plans} == set(Moment) - {Moment.PYTHON}
    assert {plan.loop for plan in plans} == {"asyncio", "uvloop"}


def test_a_hundred_runs_are_half_on_uvloop_and_at_every_moment() -> None:
    plans = [Plan.of(seed) for seed in range(1_000, 1_100)]
    assert Counter(plan.loop for plan in plans) == {"asyncio": 50, "uvloop": 50}
    assert min(Counter(plan.moment for plan in plans).values()) >= 6
    assert {plan.moment for plan in plans} == set(Moment)


def test_a_seed_has_one_plan() -> None:
    assert Plan.of(17) == Plan.of(17)
    assert "seed 17 (uvloop, in the load: " in str(Plan.of(17))


# The judge.

LOAD, PYTHON, STOP = (Plan.of(seed) for seed in (12, 0, 24))
LINE = "2026-01-02 03:04:05 "


def good() -> Outcome:
    """A run in which all went as it has to."""
    held = Held([2, 3, 4], {2, 3}, 1001)
    lines = ["starting", "connected a", "ended 1", "ended 3", "ended 2", "disconnected a"]
    log = f"{LINE}INFO    Listening\n{LINE}WARNING bot a: 1 events came after the stop\n"
    return Outcome(0, [*lines, "shut down"], log, Seen(answered=[1], held=[held]))


def test_the_judge_has_nothing_against_a_run_that_went_well() -> None:
    assert complaints(LOAD, good()) == []
    assert str(good()) == "exit code 0, 1 posts answered, 2 events of 1 WebSockets"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"code": 1}, "it ended with 1"),
        ({"code": -signal.SIGTERM}, "it ended with -15"),
        ({"written": [*good().written, "ended 5"]}, "its last line"),
        ({"written": ["ended 1", *good().written]}, "handled an event twice"),
        ({"written": [*good().written[:-2], "shut down"]}, "the hooks of a"),
        ({"errors": "Traceback (most recent call last):\n"}, "it said: Traceback"),
        ({"errors": f"{LINE}ERROR   failed\n"}, "it said: 2026-01-02 03:04:05 ERROR   failed"),
        ({"seen": Seen(answered=[1, 7])}, r"answered 204 to \[7\]"),
        ({"seen": Seen(refused=Counter([503]))}, r"refused with \{503: 1\}"),
        ({"seen": Seen(cut=[b"HTTP/1.1 2"])}, "its answers broke off"),
        ({"seen": Seen(held=[Held([2, 9, 3], {2, 3}, 1001)])}, r"left out \[9\]"),
        ({"seen": Seen(held=[Held([2, 3], {2}, 1001)])}, r"handled or replied to \[3\]"),
        ({"seen": Seen(held=[Held([2, 3], {2, 3}, None)])}, "with the code None"),
    ],
)
def test_the_judge_sees_what_went_wrong(changed: dict[str, Any], complaint: str) -> None:
    (found,) = complaints(LOAD, replace(good(), **changed))
    assert re.search(complaint, found)


def test_python_may_end_before_us_but_not_with_a_traceback() -> None:
    gone = Outcome(-signal.SIGTERM, [], "", Seen())
    assert complaints(PYTHON, gone) == []
    assert complaints(PYTHON, replace(gone, errors="Traceback"))
    assert complaints(PYTHON, replace(gone, code=1))
    assert complaints(LOAD, gone)


def test_a_forced_stop_has_to_name_the_events_that_it_cancels() -> None:
    named = f"{LINE}WARNING bot a: {{'number': 7}}: cancelled, it had not ended in time\n"
    forced = replace(good(), code=1, errors=named, seen=Seen(answered=[1, 7]))
    assert complaints(STOP, forced) == []
    assert complaints(STOP, replace(forced, errors=""))
    assert complaints(LOAD, forced)


def test_a_forced_stop_has_to_name_the_hooks_that_it_cuts_off() -> None:
    named = f"{LINE}ERROR   Shut-down hooks cut off: shut_down\n"
    forced = replace(good(), code=1, written=good().written[:-1], errors=named)
    assert complaints(STOP, forced) == []
    assert complaints(STOP, replace(forced, errors=""))
    assert complaints(LOAD, forced)


def test_a_second_signal_may_end_what_has_stopped_already() -> None:
    ended = replace(good(), code=-signal.SIGTERM)
    assert complaints(STOP, replace(ended, errors=f"{LINE}INFO    Stopped\n")) == []
    assert complaints(STOP, ended)


# The command.


def test_a_run_is_told_with_its_seed_and_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run.main(["--seed", "8"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"passed {Plan.of(8)}: exit code 0, ")
    assert told[1].startswith("1 passed in ")
