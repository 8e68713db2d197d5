"""The testsuite itself: where it is installed, and `wstest` as a process.

It runs on Python 2.7 alone, so pip puts it into a folder of its own in the project's root, and
`loopback.py` starts it from there.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hosts.environments import ROOT

REQUIREMENT = "autobahntestsuite==25.10.1"
PYTHON = "2.7"
FOLDER = ROOT / ".venv-autobahn"
AGENT = "nbdriver"

_LAUNCHER = Path(__file__).with_name("loopback.py")
_INDEX = "index.json"
# Seconds that the suite waits for a handshake or for the end of a connection. Its own second is not
# enough where a machine is so busy that a process is not run for as long.
PATIENCE = 30


class SuiteError(Exception):
    """The testsuite is not here, or did not come to its end."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which cases, each as in "9.*" or "9.1.6"."""

    cases: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()


def prepare(python: Path | None, folder: Path = FOLDER) -> list[str]:
    """Install the suite for `python`, unless it is there and was made from the same things.

    Gives the command that starts `wstest`. Raises SuiteError, also where no Python was found.
    """
    if python is None:
        raise SuiteError(
            f"expected Python {PYTHON}, on which alone {REQUIREMENT} runs, found none;"
            f" put python{PYTHON} on the search path or install it with pyenv"
        )
    stamp, made_from = folder / "made-from", f"{python}\n{REQUIREMENT}\n"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != made_from:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"Installing {REQUIREMENT} into {folder.name} (once; a minute or so) ...", flush=True)
        _install(python, folder)
        stamp.write_text(made_from, encoding="utf-8")
    return [str(python), "-u", str(_LAUNCHER), str(folder)]


def _install(python: Path, folder: Path) -> None:
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--target", str(folder), REQUIREMENT],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SuiteError(f"pip of {python} could not install {REQUIREMENT}:\n{done.stdout}")


def _environment() -> dict[str, str]:
    """Without what leads our Python to our modules: one of our folders is named autobahn, too."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Wstest:
    """The process, and what it says; of that, `began` is told each group of cases; the long ones
    are told in parts.
    """

    def __init__(self, process: asyncio.subprocess.Process, began: Callable[[str], object]) -> None:
        self._process = process
        self._began = began
        self._group = ""
        self._last_words: deque[str] = deque(maxlen=20)

    async def until(self, pattern: str) -> str:
        """Read on to a line in which `pattern` is found; gives its first group."""
        async for line in self._lines():
            if match := re.search(pattern, line):
                return match[1]
        raise self._error(f"ended before it said {pattern!r}")

    async def finish(self) -> None:
        """Read on to the end. Raises SuiteError if it is not a good one."""
        async for line in self._lines():
            match = re.match(r"Running test case ID (1[23]\.\d+|\d+)\.", line)
            if match and match[1] != self._group:
                self._group = match[1]
                self._began(self._group)
        if code := await self._process.wait():
            raise self._error(f"ended with exit code {code}")

    async def _lines(self) -> AsyncIterator[str]:
        assert self._process.stdout is not None
        while line := (await self._process.stdout.readline()).decode(errors="replace"):
            self._last_words.append(line)
            yield line

    def _error(self, what: str) -> SuiteError:
        return SuiteError(f"wstest {what}; its last words:\n{''.join(self._last_words)}")


@asynccontextmanager
async def started(command: Sequence[str], began: Callable[[str], object]) -> AsyncIterator[Wstest]:
    """The process of `command`, which is ended with the block if it has not ended by itself."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Wstest(process, began)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def fuzzing(
    wstest: Sequence[str],
    mode: str,
    selection: Selection,
    folder: Path,
    began: Callable[[str], object],
    **more: Any,
) -> AsyncIterator[tuple[Wstest, int]]:
    """`wstest` in a mode, and how many cases it is going to try; `more` of its specification.

    Its reports go into `folder`; read them with `results`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # One of an earlier run must not be taken for that of this one.
    (folder / _INDEX).unlink(missing_ok=True)
    content = {
        "outdir": str(folder),
        "cases": selection.cases,
        "exclude-cases": selection.exclude,
        "exclude-agent-cases": {},
        "options": {"openHandshakeTimeout": PATIENCE, "closeHandshakeTimeout": PATIENCE},
        **more,
    }
    spec = folder / "spec.json"
    spec.write_text(json.dumps(content), encoding="utf-8")
    async with started([*wstest, "-m", mode, "-u", "0", "-s", str(spec)], began) as process:
        yield process, int(await process.until(r"will run (\d+) test cases"))


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """What it found, case by case. Raises SuiteError if there is nothing."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except OSError as error:
        raise SuiteError(f"wstest left no report: {error}") from error
    found: dict[str, dict[str, Any]] = index.get(AGENT, {})
    return found
