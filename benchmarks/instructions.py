"""Fails when the path of an event has become longer than it was: `make bench-check`.

Time cannot be held to 5 % on a machine that does something else as well, the number of instructions
can: valgrind's callgrind counts those of `hot_path`. Run after run gives the same number to
0.1 %, on a busy machine too; where addresses differ, as in another folder, it is the same to 1 %.
callgrind begins a new count where `hot_path` marks it, so neither the start of Python nor the
warm-up is in it.

What an event takes depends on how Python was compiled, and on its version. So `instructions.json`
has an entry for each version, and what is compared is not the count but its ratio to that of a
reference from the same run, which differs much less. On one and the same Python the reference is a
constant, so that nothing is lost there; and there it has to stay one, for who makes the reference
slower would make room for the driver.

The standard library's JSON and asyncio's own loop are used whatever is installed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .hot_path import CASES, REFERENCES

__all__ = [
    "ALLOWED",
    "FILE",
    "Entry",
    "Row",
    "callgrind",
    "judge",
    "load",
    "main",
    "save",
    "total",
]

ALLOWED = 0.05
"""How much a ratio may grow; more is a failure, and as much less is worth being recorded."""
FILE = Path(__file__).with_suffix(".json")

_ROOT = Path(__file__).resolve().parents[1]
#: Seconds for all cases; on an idle machine it takes half a minute.
_PATIENCE = 900.0
#: orjson is hidden, where it is installed.
_WALK = "import sys; sys.modules['orjson'] = None; from benchmarks.{} import main; main()"
_ADVICE = "make bench-check ARGS=--record"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one version of Python takes."""

    build: str
    """Which Python exactly, on which machine, with which dependencies."""
    instructions: Mapping[str, int]
    """Per event, by the names of cases and references."""


@dataclass(frozen=True, slots=True)
class Row:
    """A case or a reference, as it was counted and as it is recorded."""

    name: str
    count: int | None
    """Instructions per event; None if it was not counted."""
    recorded: int | None
    ratio: float | None = None
    """Of `count` to the reference's; None for a reference."""
    recorded_ratio: float | None = None
    fault: str = ""
    """Why the check fails; empty if it does not."""
    recording: bool = False
    """Whether it is about to be recorded, so that nothing fails."""

    @property
    def growth(self) -> float | None:
        """How much more it is than what is recorded, as a part of that: of the ratio, if any."""
        if self.ratio is not None and self.recorded_ratio is not None:
            return self.ratio / self.recorded_ratio - 1
        if self.count is not None and self.recorded is not None:
            return self.count / self.recorded - 1
        return None

    @property
    def verdict(self) -> str:
        """The end of its line in the table."""
        if self.recording and (self.count is None or self.recorded is None):
            return "new" if self.recorded is None else "no longer counted"
        if self.fault:
            return f"FAILED: {self.fault}"
        if self.growth is None:
            return "not recorded"
        if self.ratio is None:
            return "what the others are divided by"
        if abs(self.growth) <= ALLOWED:
            return "as recorded"
        return "better" if self.growth < 0 else "dearer"


def judge(
    counted: Entry,
    recorded: Entry | None,
    references: Mapping[str, str],
    *,
    recording: bool = False,
) -> list[Row]:
    """Compare; `references` has for each case the name of its reference.

    With nothing recorded there is nothing to fail. Otherwise a case fails that grew by more than
    `ALLOWED`, that is not recorded, or that is recorded and was not counted; and a reference that
    moved by more than that although the build is the same. When it is `recording`, nothing fails.
    """
    now, then = counted.instructions, recorded.instructions if recorded is not None else {}
    rows = []
    for name in dict.fromkeys([*now, *then]):
        count, before = now.get(name), then.get(name)
        ratio, ratio_before = (_ratio(each, name, references) for each in (now, then))
        row = Row(name, count, before, ratio, ratio_before, recording=recording)
        if recorded is not None and not recording:
            row = replace(row, fault=_fault(row, counted, recorded))
        rows.append(row)
    return rows


def _ratio(counts: Mapping[str, int], name: str, references: Mapping[str, str]) -> float | None:
    if name not in counts or name not in references:
        return None
    return counts[name] / counts[references[name]]


def _fault(row: Row, counted: Entry, recorded: Entry) -> str:
    if row.count is None:
        return "recorded, but no longer counted"
    if row.growth is None:
        return "not recorded"
    if row.ratio is not None:
        return f"grew by more than {ALLOWED:.0%}" if row.growth > ALLOWED else ""
    moved = abs(row.growth) > ALLOWED and counted.build == recorded.build
    return "a reference has to stay as it is" if moved else ""


# The file.


def load(file: Path) -> dict[str, Entry]:
    """The recorded entries by version; none if there is no file."""
    if not file.exists():
        return {}
    entries = json.loads(file.read_text(encoding="utf-8"))
    return {version: Entry(**entry) for version, entry in entries.items()}


def save(file: Path, version: str, entry: Entry) -> None:
    """Record an entry in place of the version's old one; those of other versions stay."""
    entries = load(file) | {version: entry}
    ordered = sorted(entries.items(), key=lambda each: [*map(int, each[0].split("."))])
    text = json.dumps({name: asdict(each) for name, each in ordered}, indent=4)
    file.write_text(text + "\n", encoding="utf-8")


# Counting.


def _count(valgrind: str) -> Entry:
    """Count the instructions of every case, by running `hot_path` under callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        said = callgrind(valgrind, "hot_path", folder, _PATIENCE)
        events = {name: case.events for name, case in {**REFERENCES, **CASES}.items()}
        counts = {}
        for line in said.splitlines():
            walked = json.loads(line)
            # The first count ends where the events begin.
            count = total((Path(folder) / f"{walked['pid']}.2").read_text(encoding="utf-8"))
            counts[walked["case"]] = round(count / events[walked["case"]])
    return Entry(_build(), counts)


def callgrind(valgrind: str, module: str, folder: str, patience: float) -> str:
    """Run a module's `main` under callgrind; gives what it printed.

    At each call of libc's getsid the count up to there is left in `folder`, as `PID.1`, `PID.2` and
    so on, and a new one begins. Raises subprocess.SubprocessError if it fails, or takes longer than
    so many seconds.
    """
    command = [
        valgrind,
        "--quiet",
        "--tool=callgrind",
        "--dump-before=getsid",
        f"--callgrind-out-file={folder}/%p",
        *(sys.executable, "-c", _WALK.format(module)),
    ]
    # An environment of its own: its size would shift the stack, its settings the path.
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    done = subprocess.run(
        command,
        cwd=_ROOT,
        env={**kept, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=patience,
        check=True,
    )
    return done.stdout


def total(dump: str) -> int:
    """The instructions in one dump of callgrind's. Raises ValueError if it does not say."""
    if (match := re.search(r"^totals: (\d+)$", dump, re.MULTILINE)) is None:
        raise ValueError("expected a dump of callgrind's with a line 'totals: NUMBER', found none")
    return int(match[1])


def _build() -> str:
    packages = (f"{name} {importlib.metadata.version(name)}" for name in ("h11", "wsproto"))
    python = f"Python {sys.version}".replace("\n", " ")
    return ", ".join([python, *packages, " ".join(platform.libc_ver()), platform.machine()])


# The command.


def main() -> None:
    """Count, print the table, and exit with 1 if a case has grown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument(
        "--record", action="store_true", help="take what is counted as what is allowed from now on"
    )
    arguments = parser.parse_args()
    if (valgrind := shutil.which("valgrind")) is None:
        sys.exit(
            "expected valgrind, which counts the instructions, found none; install it"
            " (Debian: apt-get install valgrind)"
        )
    version = "{}.{}".format(*sys.version_info)
    print(f"Counting instructions on Python {version}, for about half a minute ...", flush=True)
    try:
        counted = _count(valgrind)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        sys.exit(f"the events could not be counted: {error}")
    recorded = load(FILE).get(version)
    references = {name: case.reference for name, case in CASES.items()}
    rows = judge(counted, recorded, references, recording=arguments.record)
    _print_table(rows)
    if recorded is not None and recorded.build != counted.build:
        print(f"\nhere:     {counted.build}\nrecorded: {recorded.build}")
    if arguments.record:
        save(FILE, version, counted)
        print(f"\nRecorded for Python {version} in {FILE.relative_to(_ROOT)}.")
        return
    _conclude(version, rows, recorded)


def _print_table(rows: list[Row]) -> None:
    """A line for each row; counts per event, ratios to the reference."""
    shape = "{:28} {:>12} {:>12} {:>9} {:>9} {:>9}  {}"
    print("\n" + shape.format("", "instructions", "recorded", "ratio", "recorded", "growth", ""))
    for row in rows:
        counts = ("" if each is None else f"{each:,}" for each in (row.count, row.recorded))
        ratios = ("" if each is None else f"{each:.3f}" for each in (row.ratio, row.recorded_ratio))
        growth = "" if row.growth is None else f"{row.growth:+.1%}"
        print(shape.format(row.name, *counts, *ratios, growth, row.verdict))


def _conclude(version: str, rows: list[Row], recorded: Entry | None) -> None:
    """Say what follows; exits with 1 if something has failed."""
    if recorded is None:
        known = ", ".join(load(FILE)) or "none"
        print(
            f"\nNothing was compared: {FILE.name} has no entry for Python {version}, only for"
            f" {known}. To make one: {_ADVICE}"
        )
    if any(row.verdict == "better" for row in rows):
        print(f"\nThe path has become shorter. To hold it there: {_ADVICE}")
    if failed := [row.name for row in rows if row.fault]:
        sys.exit(
            f"\nfailed: {'; '.join(failed)}. Make the path shorter again; or, if what it does is"
            f" worth it, or was counted for the first time, {_ADVICE}"
        )


if __name__ == "__main__":
    main()
