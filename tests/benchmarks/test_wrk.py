"""wrk sends the same event, and what it says is checked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.measured import MINIATURE

from benchmarks import bodies
from benchmarks.load import LoadError
from benchmarks.process import Subject
from benchmarks.wrk import measure_wrk, script

FLOOR = Subject("floor", "asyncio")


def stand_in(folder: Path, said: str) -> str:
    """A program in the place of wrk that says so."""
    program = folder / "wrk"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n", "utf-8")
    program.chmod(0o755)
    return str(program)


def test_the_script_holds_the_event_and_the_headers_of_a_onebot_client() -> None:
    text = script()
    assert bodies.dumps(bodies.event(bodies.first_self_id, 0)) in text
    assert f'wrk.headers["Authorization"] = "{bodies.AUTHORIZATION.decode()}"' in text
    assert f'wrk.headers["X-Self-ID"] = "{bodies.first_self_id}"' in text


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("  9 requests in 1.00s, 1MB read\n  Non-2xx or 3xx responses: 9", "Non-2xx or 3xx"),
        ("  Socket errors: connect 0, read 3", "Socket errors"),
        ("unable to connect", "expected wrk to tell how many requests"),
        ("  0 requests in 1.00s, 0B read", "expected wrk to tell how many requests"),
    ],
)
async def test_what_wrk_says_of_errors_ends_the_step(
    said: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(LoadError, match=f"floor on asyncio, wrk: {message}|{message}"):
        await measure_wrk(1, stand_in(tmp_path, said), [FLOOR], MINIATURE)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed here")
async def test_both_generators_have_their_events_counted() -> None:
    wrk = shutil.which("wrk")
    assert wrk is not None
    (taken,) = await measure_wrk(1, wrk, [FLOOR], MINIATURE)
    assert min(taken.ours, taken.wrk, taken.ours_rate, taken.wrk_rate) > 0
