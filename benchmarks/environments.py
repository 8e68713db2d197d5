"""The peers' virtual environments, made once: their dependencies must not clash, nor touch ours.

Each stands in `.venv-bench-peers/PYTHON/NAME`, made from `requirements/NAME.txt` with the Python
that runs this, and is made anew when that file changes. What cannot be installed (no network, no
wheel for this Python) is told, and the run goes on without it.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["OWN", "InstallError", "interpreter", "prepare", "run_command", "versions"]

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
PLACE = ROOT / ".venv-bench-peers"

OWN = "nbdriver"
"""The environment that this runs in, where the package itself is installed."""

_LIST = """
import importlib.metadata, json
found = {each.name: each.version for each in importlib.metadata.distributions()}
print(json.dumps(found))
"""


class InstallError(Exception):
    """An environment could not be made; the text is the last line that pip said."""


def interpreter(name: str, place: Path = PLACE) -> Path:
    """The Python of an environment, whether it has been made or not."""
    if name == OWN:
        return Path(sys.executable)
    version = ".".join(map(str, sys.version_info[:2]))
    return place / version / name / "bin" / "python"


def prepare(
    name: str,
    say: Callable[[str], None],
    *,
    place: Path = PLACE,
    requirements: Path = REQUIREMENTS,
    run: Callable[[list[str]], None] | None = None,
) -> None:
    """Make an environment, unless it stands and was made from the same requirements.

    `say` is told before something is done that takes long, and `run` does it; by default that is
    `run_command`. Raises InstallError.
    """
    if name == OWN:
        return
    python = interpreter(name, place)
    home = python.parents[1]
    stamp = home / "made-from"
    wanted = requirements / f"{name}.txt"
    made_from = f"Python {platform.python_version()}\n{wanted.read_text(encoding='utf-8')}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return
    say(f"Making the environment of {name} (once) ...")
    run = run or run_command
    run([_base_python(), "-m", "venv", "--clear", str(home)])
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    # A peer that has to be compiled would need compilers that are not ours to ask for.
    run([*pip, "--only-binary=:all:", "--requirement", str(wanted)])
    stamp.write_text(made_from, encoding="utf-8")


def _base_python() -> str:
    """The Python behind the environment that runs this, so that all have the same."""
    return str(Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}"))


def run_command(command: list[str]) -> None:
    """Run a command that says nothing unless it fails. Raises InstallError with the reason."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.strip()] or ["nothing"]
        errors = [line for line in said if line.startswith("ERROR:")]
        raise InstallError((errors or said)[-1])


def versions(name: str, place: Path = PLACE) -> dict[str, str]:
    """What is installed in an environment that was made: distribution and version, in order."""
    done = subprocess.run(
        [str(interpreter(name, place)), "-c", _LIST],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        # Not from the project's folder, whose own metadata would be found from there.
        cwd=place.anchor,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return {"Python": platform.python_version()} | dict(sorted(found.items(), key=_folded))


def _folded(item: tuple[str, str]) -> str:
    return item[0].casefold()
