#!/usr/bin/env python3
"""Why it exists: no NoneBot is installed beside our tests, and some cannot be.

The pins of 2.0.0a10 (h11 below 0.10, httpx below 0.17, pydantic 1) contradict ours, and its FastAPI
driver cannot be imported on Python 3.11; and what today's 2.x finds installed is the point of some
tests. So each host has a virtual environment of its own in the project's root, made here from the
standard library and pip alone. The tests in this folder start their bots with its interpreter;
those in tests/conformance and tests/guests are run with that of `.venv-nonebot-2.5-drivers`.

    .venv-nonebot-2.5              Python 3.12: NoneBot 2.5.0, this package, nonebug, coverage
    .venv-nonebot-2.5-drivers      Python 3.12: NoneBot 2.5.0, all its own drivers, tools for tests
    .venv-nonebot-2.4              Python 3.11: NoneBot 2.4.4, this package, coverage
    .venv-nonebot-2.3              Python 3.11: NoneBot 2.3.3, this package, coverage
    .venv-nonebot-a10              Python 3.11: NoneBot 2.0.0a10, this package, coverage
    .venv-nonebot-a10-fastapi      Python 3.9: NoneBot 2.0.0a10, its own FastAPI driver

    environments.py            makes what is missing or out of date, tells what stands where
    environments.py find 3.12  prints the path of a Python of that version, or exits with 1
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Environment:
    """One host's environment: the Python it needs, and what is installed into it."""

    name: str
    python: str
    requirements: tuple[str, ...]
    #: Installed with `--no-deps`, because what they ask for contradicts `requirements`.
    alone: tuple[str, ...] = ()
    #: What is lost where this Python is missing; empty if nothing can be done without it.
    lost: str = ""

    @property
    def directory(self) -> Path:
        """Where the environment stands."""
        return ROOT / f".venv-{self.name}"

    @property
    def interpreter(self) -> Path:
        """The environment's Python."""
        return self.directory / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """The file that tells from what the environment was made."""
        return self.directory / "made-from"


ENVIRONMENTS = (
    Environment(
        name="nonebot-2.5",
        python="3.12",
        # Bare: no web framework, no other client. What nonebug brings opens no socket.
        requirements=(
            "nonebot2==2.5.0",
            "nonebug==0.4.4",
            "pytest",
            "pytest-asyncio",
            "coverage",
            "--editable=.",
        ),
    ),
    Environment(
        name="nonebot-2.5-drivers",
        python="3.12",
        requirements=(
            "nonebot2[fastapi,quart,httpx,aiohttp,websockets]==2.5.0",
            # Without it FastAPI reads no forms.
            "python-multipart",
            "nonebug==0.4.4",
            "pytest",
            "pytest-asyncio",
            "hypothesis",
            "trustme",
            "coverage",
            "--editable=.",
        ),
    ),
    Environment(
        name="nonebot-2.4",
        python="3.11",
        requirements=("nonebot2==2.4.4", "coverage", "--editable=."),
    ),
    Environment(
        name="nonebot-2.3",
        python="3.11",
        requirements=("nonebot2==2.3.3", "coverage", "--editable=."),
    ),
    Environment(
        name="nonebot-a10",
        python="3.11",
        alone=("nonebot2==2.0.0a10",),
        requirements=(
            # It imports pkg_resources, which setuptools 81 has dropped.
            "setuptools<81",
            "pydantic[dotenv]==1.7.4",
            # Newer than it asks for: that one would bring an h11 below 0.12.
            "httpx",
            "loguru",
            "pygtrie",
            "typing_extensions",
            "coverage",
            "--editable=.",
        ),
    ),
    Environment(
        name="nonebot-a10-fastapi",
        python="3.9",
        # uvicorn by itself: it would bring a uvloop that is years younger. So it runs on asyncio.
        alone=("nonebot2==2.0.0a10", "uvicorn==0.11.8"),
        requirements=(
            "setuptools<81",
            "fastapi==0.63.0",
            "pydantic[dotenv]==1.7.4",
            "websockets==8.1",
            "h11==0.9.0",
            "httpx==0.16.1",
            "loguru==0.5.3",
            "click==7.1.2",
            "pygtrie",
            "typing_extensions<4",
        ),
        lost="the comparison with NoneBot's own FastAPI driver",
    ),
)


def find_python(version: str) -> Path | None:
    """The first Python of `version` ('3.11'): this one, on the search path, or among pyenv's.

    A name on the search path proves nothing (pyenv's shims answer 'command not found'), so each
    is asked.
    """
    return next((path for path in _candidates(version) if _version_of(path) == version), None)


def _candidates(version: str) -> Iterator[Path]:
    # The base and not the virtual environment that runs this, so that both make the same.
    yield Path(sys.base_prefix, "bin", f"python{version}")
    yield from (Path(directory, f"python{version}") for directory in os.get_exec_path())
    yield from sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)


def _version_of(python: Path) -> str | None:
    command = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def prepare(environment: Environment, python: Path) -> None:
    """Make the environment from `python`, unless it stands and was made from the same things.

    Raises `subprocess.CalledProcessError` when a step fails; its `output` is what the step said.
    """
    made_from = _fingerprint(environment, python)
    if environment.stamp.exists() and environment.stamp.read_text(encoding="utf-8") == made_from:
        return
    print(
        f"Making {environment.directory.name} with {python} (once; a minute or so) ...", flush=True
    )
    pip = [str(environment.interpreter), "-m", "pip", "install", "--disable-pip-version-check"]
    _run([str(python), "-m", "venv", "--clear", str(environment.directory)])
    if environment.alone:
        _run([*pip, "--no-deps", *environment.alone])
    _run([*pip, *environment.requirements])
    environment.stamp.write_text(made_from, encoding="utf-8")


def _fingerprint(environment: Environment, python: Path) -> str:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return f"{python}\n{environment!r}\n{setup['options']['install_requires']}\n"


def _run(command: list[str]) -> None:
    subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )


def prepare_all() -> int:
    """Make every environment whose Python is here.

    The exit code is 1 if that fails, or if a Python is missing that cannot be done without.
    """
    for environment in ENVIRONMENTS:
        python = find_python(environment.python)
        if python is None:
            print(_missing(environment), flush=True)
            if not environment.lost:
                return 1
            continue
        try:
            prepare(environment, python)
        except subprocess.CalledProcessError as error:
            print(error.output, error, sep="\n", file=sys.stderr)
            return 1
        print(f"{environment.name}: {environment.interpreter.relative_to(ROOT)}", flush=True)
    return 0


def _missing(environment: Environment) -> str:
    name = f"python{environment.python}"
    consequence = f"left out: {environment.lost}" if environment.lost else "cannot be done without"
    return (
        f"{environment.name}: expected Python {environment.python}, found none ({consequence}); "
        f"put {name} on the search path or install it with pyenv"
    )


def main(arguments: list[str]) -> int:
    """The command line: see the module's docstring."""
    if not arguments:
        return prepare_all()
    if len(arguments) == 2 and arguments[0] == "find":
        python = find_python(arguments[1])
        if python is not None:
            print(python)
        return 0 if python else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
