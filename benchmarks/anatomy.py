"""What an event is made of, and what each step of its way costs: both counted, nothing timed.

Each server is counted in a process of its own, see `counting`; the steps are those of ours and of
the floor, counted by valgrind's callgrind, see `steps`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .counting import PLAIN
from .instructions import callgrind, total
from .marks import Log, Overheads, attribute, read_calibration
from .process import ROOT, ServerError, Subject, clean_environ
from .steps import CALIBRATION, CASES, EVENTS, Case, whole
from .summary import OURS

__all__ = ["MadeOf", "StepCosts", "count_steps", "count_subject", "find_valgrind"]

#: Seconds for all steps; on an idle machine they take a minute.
_PATIENCE = 900.0


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What an event of a server is made of."""

    server: str
    kind: str
    """`http` or `websocket`."""
    counts: dict[str, int]
    """By the names in `counting.COUNTED`."""


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Instructions that an event takes in our server, or in the floor."""

    kind: str
    fast_lane: bool | None
    """None is the floor."""
    whole: int
    steps: dict[str, int]
    """By the names in `steps.STEPS`, each without those that begin in it."""

    @property
    def rest(self) -> int:
        """What of the whole is in no step; below 0, the steps have become dearer by the marks."""
        return self.whole - sum(self.steps.values())


async def count_subject(subject: Subject) -> list[MadeOf]:
    """What an event is made of on a server, and on ours without its fast lane too."""
    names = [subject.name, PLAIN] if subject.name == OURS else [subject.name]
    return [each for name in names for each in await _count(subject, name)]


async def _count(subject: Subject, name: str) -> list[MadeOf]:
    process = await asyncio.create_subprocess_exec(
        *(subject.launch.python, "-m", "benchmarks.counting", name),
        cwd=ROOT,
        env=clean_environ() | {"BENCHMARKS_JSON": subject.launch.json, "PYTHONHASHSEED": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    if process.returncode:
        lines = complaint.decode(errors="replace").splitlines() or ["nothing was said"]
        raise ServerError(f"{name} could not be counted: {lines[-1]}")
    return [MadeOf(name, kind, counts) for kind, counts in json.loads(said).items()]


# Steps.


def find_valgrind() -> str | None:
    """Where valgrind is, if it is installed."""
    return shutil.which("valgrind")


def count_steps(valgrind: str) -> list[StepCosts]:
    """What each step costs, in every case. Raises subprocess.SubprocessError, ValueError."""
    overheads = None
    taken: dict[str, dict[str, dict[str, int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for line in callgrind(valgrind, "steps", folder, _PATIENCE).splitlines():
            walked = json.loads(line)
            log: Log = walked["log"]
            counts = _between(Path(folder), walked["pid"], len(log))
            if walked["case"] == CALIBRATION:
                overheads = read_calibration(log, counts)
            elif overheads is not None:
                costs = _per_event(log, counts, overheads)
                taken.setdefault(walked["case"], {})[walked["marked"]] = costs
    return [_costs(CASES[name], **each) for name, each in taken.items()]


def _between(folder: Path, pid: int, marks: int) -> list[int]:
    """What was counted from each mark to the next; the last has none."""
    dumps = (folder / f"{pid}.{number}" for number in range(2, marks + 1))
    return [*(total(each.read_text(encoding="utf-8")) for each in dumps), 0]


def _per_event(log: Log, counts: Sequence[int], overheads: Overheads) -> dict[str, int]:
    events = whole(log)
    own = attribute(log[events], counts[events], overheads)
    return {step: round(count / EVENTS) for step, count in own.items()}


def _costs(case: Case, steps: dict[str, int], whole: dict[str, int]) -> StepCosts:
    return StepCosts(case.kind, case.fast_lane, sum(whole.values()), steps)
