"""What the project promises around its code: dependencies, commands, a wheel, a folder to copy."""

from __future__ import annotations

import configparser
import email.message
import fnmatch
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nbdriver"
COMMANDS = {"run", "test", "lint", "types", "check", "format", "stress", "fuzz", "bench", "clean"}
COMMANDS |= {"help", "autobahn", "autobahn-full", "bench-quick"}
DEPENDENCIES = ["h11<1,>=0.16", "wsproto<2,>=1.2"]


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def run_python(script: str, *arguments: str | Path) -> str:
    """Run a script in a Python of its own that sees the installed packages but not this folder.

    Neither does it see a measurement of coverage, which would be found among the loaded modules.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE", "COV_"))}
    command = [sys.executable, "-I", "-W", "error", "-c", script, *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


# setup.cfg


def test_h11_and_wsproto_are_all_that_it_needs() -> None:
    required = setup_cfg()["options"]["install_requires"].split()
    assert required == ["h11>=0.16,<1", "wsproto>=1.2,<2"]


def test_python_3_11_is_the_oldest_that_it_runs_on() -> None:
    assert setup_cfg()["options"]["python_requires"] == ">=3.11"
    assert setup_cfg()["mypy"]["python_version"] == "3.11"


def test_pyproject_toml_holds_nothing_but_what_pip_asks_for() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "[build-system]"
    assert len(lines) <= 3


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from a copy so that nothing is left in the project, without a network."""
    project = tmp_path_factory.mktemp("project")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    shutil.copytree(PACKAGE, project / "nbdriver")
    (project / "tests").mkdir()
    (project / "tests" / "__init__.py").touch()
    run_python(
        "import contextlib, io, os, sys, warnings\n"
        "warnings.simplefilter('default')\n"
        "from setuptools import build_meta\n"
        "os.chdir(sys.argv[1])\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(sys.stdout):\n"
        "    build_meta.build_wheel('.')\n",
        project,
    )
    (path,) = project.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_every_module_and_the_mark_of_its_types(wheel: zipfile.ZipFile) -> None:
    expected = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == expected | {"nbdriver/py.typed"}


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_asks_for_h11_and_wsproto_alone(metadata: email.message.Message) -> None:
    required = metadata.get_all("Requires-Dist", [])
    assert sorted(line for line in required if "extra ==" not in line) == DEPENDENCIES
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_changelog_knows_the_version(metadata: email.message.Message) -> None:
    assert f"## [{metadata['Version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# The Makefile


def make(*arguments: str) -> str:
    """What `make` says, run as a person would, not as a part of the make that runs the tests."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_make_alone_lists_every_command() -> None:
    listed = {line.split()[1] for line in make().splitlines()}
    assert listed >= COMMANDS
    assert make("help") == make()


def test_every_listed_command_is_one(tmp_path: Path) -> None:
    for line in make().splitlines():
        command = line.split()[1]
        assert make("--dry-run", command, f"VENV={tmp_path}"), command


def test_make_says_in_one_line_that_a_python_is_too_old_or_missing(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text(
        "#!/bin/sh\ncase $2 in *print*) echo 3.9.1;; *) exit 1;; esac\n", encoding="utf-8"
    )
    old.chmod(0o755)
    for python, found in ((old, "Python 3.9.1"), (tmp_path / "none", "none")):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            make("run", f"VENV={tmp_path}/venv", f"PYTHON={python}")
        assert caught.value.stderr.splitlines()[0] == (
            f"expected Python 3.11 or newer, found {found}; say make PYTHON=/path/to/python"
        )


# What is in the files


def project_files() -> Iterator[Path]:
    """What git would track, found without git, since a copy of the project may come without it."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    patterns = [".git", *(line.strip("/") for line in lines)]
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        folders[:] = [name for name in folders if not is_ignored(here / name, patterns)]
        yield from (ROOT / here / name for name in names if not is_ignored(here / name, patterns))


def is_ignored(path: Path, patterns: list[str]) -> bool:
    names = (path.name, path.as_posix())
    return any(fnmatch.fnmatch(name, pattern) for name in names for pattern in patterns)


def test_no_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    registries = "|".join(re.escape(f"{host}.org") for host in ("pypi", "pythonhosted", "npmjs"))
    options = "index" + "-url|find" + "-links"
    homes = r"(?<![\w/.~}])/(?:root|home|Users|work)/\w"
    suspicious = re.compile(f"{registries}|{options}|{homes}")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in project_files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if suspicious.search(line)
    ]
    assert not found, "\n".join(["", *found])


# The package from outside


IMPORT = """
import asyncio, gc, json, logging, os, signal, sys, threading, warnings

def state():
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return {
        "threads": threading.active_count(),
        "loops": sum(issubclass(type(o), asyncio.AbstractEventLoop) for o in gc.get_objects()),
        "signals": {s.name: repr(signal.getsignal(s)) for s in signal.Signals},
        "handlers": [repr(handler) for logger in loggers
                     for handler in getattr(logger, "handlers", ())
                     if type(handler) is not logging.NullHandler],
        "levels": {logger.name: logger.level for logger in loggers
                   if getattr(logger, "level", logging.NOTSET) != logging.NOTSET},
        "environment": dict(os.environ),
        "filters": len(warnings.filters),
        "hooks": [repr(sys.excepthook), repr(threading.excepthook), repr(sys.unraisablehook)],
    }

sys.path.insert(0, sys.argv[1])
modules, before = set(sys.modules), state()
import nbdriver
after = state()
changed = {key: [before[key], after[key]] for key in before if before[key] != after[key]}
loaded = {name.partition(".")[0] for name in set(sys.modules) - modules}
print(json.dumps({"changed": changed, "loaded": sorted(loaded - sys.stdlib_module_names)}))
"""


def test_importing_it_changes_nothing_and_loads_only_what_it_declares() -> None:
    seen = json.loads(run_python(IMPORT, ROOT))
    assert seen["changed"] == {}
    # orjson, where somebody has installed it, is the one that may come uncalled.
    assert set(seen["loaded"]) <= {"nbdriver", "h11", "wsproto", "orjson"}


COPY = """
import asyncio, contextlib, http.client, importlib, pkgutil, sys

folder, name = sys.argv[1:]
sys.path.insert(0, folder)
package = importlib.import_module(name)
for module in pkgutil.walk_packages(package.__path__, name + "."):
    # NoneBot is not installed here, and its guest room says so when it is entered.
    if not module.name.startswith(name + ".nonebot"):
        importlib.import_module(module.name)

def post(host, port, path):
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=30)) as connection:
        connection.request("POST", path, b"{}")
        return connection.getresponse().status

async def main():
    driver = package.Driver(package.Env(), package.Config())
    async with driver.serve("127.0.0.1", 0) as server:
        host, port = server.addresses[0][:2]
        return await asyncio.to_thread(post, host, port, "/nobody/")

print(asyncio.run(main()), sorted(m for m in sys.modules if m.partition(".")[0] == "nbdriver"))
"""


def test_the_folder_copied_under_another_name_serves_a_request(tmp_path: Path) -> None:
    name = f"vendored_{secrets.token_hex(4)}"
    shutil.copytree(PACKAGE, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    assert run_python(COPY, tmp_path, name).split() == ["404", "[]"]
