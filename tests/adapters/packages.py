#!/usr/bin/env python3
"""What is installed for a bot of two adapters: with this driver, and with NoneBot's own.

    packages.py               makes two fresh environments, and shows their packages and sizes
    packages.py --write-docs  the same, into docs/nonebot.md

The size of a package is that of the files that were installed, without the bytecode that Python
makes of them. pip is left out, and setuptools: they were there before.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A script sees its own folder alone.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from adapters.environments import ADAPTERS, NONEBOT, PYTHON, THEIRS
from hosts.environments import ROOT, find_python

PAGE = ROOT / "docs" / "nonebot.md"
BEGIN = "<!-- packages: made by tests/adapters/packages.py --write-docs -->"
END = "<!-- end -->"
KIB = 1024
_LIST = """
import importlib.metadata, json
print(json.dumps({
    each.name.lower(): [each.version, sum(
        file.locate().stat().st_size for file in each.files if "__pycache__" not in file.parts
    )]
    for each in importlib.metadata.distributions() if each.name not in ("pip", "setuptools")
}))
"""

Packages = dict[str, tuple[str, int]]
"""The version and the size in bytes of each package, by its name."""


def install(python: Path, *requirements: str) -> Packages:
    """Install these into a fresh environment, and give what is in it then.

    Raises `subprocess.CalledProcessError` when a step fails; its `output` is what the step said.
    """
    with tempfile.TemporaryDirectory() as folder:
        # In isolation, so that no variable or folder of ours adds to what it sees.
        interpreter = (Path(folder) / "bin" / "python", "-I")
        pip = (*interpreter, "-m", "pip", "install", "--disable-pip-version-check", "--quiet")
        _run(python, "-m", "venv", folder)
        _run(*pip, *requirements)
        listed = json.loads(_run(*interpreter, "-c", _LIST))
        return {name: (version, size) for name, (version, size) in listed.items()}


@contextmanager
def copied() -> Iterator[str]:
    """A copy of the project to build from, since that leaves things behind."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "nbdriver", Path(folder) / "nbdriver")
        yield folder


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout


def table(ours: Packages, theirs: Packages) -> str:
    """Both lists side by side, in Markdown."""
    lines = [
        "| package | `nonebot2 nbdriver` | `nonebot2[fastapi,httpx,websockets]` |",
        "|---|--:|--:|",
    ]
    for name in sorted(ours.keys() | theirs.keys()):
        version = (ours.get(name) or theirs[name])[0]
        cells = [
            _size(packages[name][1]) if name in packages else "" for packages in (ours, theirs)
        ]
        lines.append(f"| {name} {version} | {' | '.join(cells)} |")
    totals = [
        f"**{len(packages)} packages, {_size(sum(size for _, size in packages.values()))}**"
        for packages in (ours, theirs)
    ]
    lines.append(f"| **in all** | {' | '.join(totals)} |")
    return "\n".join(lines)


def _size(size: int) -> str:
    return f"{size / KIB:,.0f} KiB"


def write(page: Path, text: str) -> None:
    """Put `text` between the marks of a page."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END} in {page}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")


def main(arguments: list[str]) -> int:
    """The command line: see the module's docstring."""
    if arguments not in ([], ["--write-docs"]):
        print(__doc__, file=sys.stderr)
        return 2
    python = find_python(PYTHON)
    if python is None:
        print(f"expected Python {PYTHON}, found none", file=sys.stderr)
        return 1
    adapters = (ADAPTERS["onebot"], ADAPTERS["satori"])
    try:
        with copied() as project:
            ours = install(python, NONEBOT, *adapters, project)
        theirs = install(python, THEIRS.requirements[0], *adapters)
    except subprocess.CalledProcessError as error:
        print(error.output, error, sep="\n", file=sys.stderr)
        return 1
    about = f"For a bot with the adapters of OneBot and Satori (Python {PYTHON}, {sys.platform}):"
    text = f"{about}\n\n{table(ours, theirs)}"
    if arguments:
        write(PAGE, text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
