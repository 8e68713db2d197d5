"""An environment is made once, anew when its requirements change, and its failure is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.environments import (
    OWN,
    InstallError,
    interpreter,
    prepare,
    run_command,
    versions,
)


class Builder:
    """Makes environments that are empty folders, since a real one takes ten seconds."""

    def __init__(self, place: Path, wanted: str = "something\n") -> None:
        self.place = place
        self.requirements = place / "requirements"
        self.requirements.mkdir()
        self.want(wanted)
        self.said: list[str] = []
        self.commands: list[list[str]] = []
        self.fails = False

    def want(self, wanted: str) -> None:
        (self.requirements / "peer.txt").write_text(wanted, "utf-8")

    def run(self, command: list[str]) -> None:
        self.commands.append(command)
        if self.fails:
            raise InstallError("no such thing")
        if "venv" in command:
            Path(command[-1]).mkdir(parents=True, exist_ok=True)

    def prepare(self) -> None:
        prepare(
            "peer",
            self.said.append,
            place=self.place,
            requirements=self.requirements,
            run=self.run,
        )


def test_our_own_environment_is_the_one_that_runs_this(tmp_path: Path) -> None:
    said: list[str] = []
    prepare(OWN, said.append, place=tmp_path)
    assert interpreter(OWN, tmp_path) == Path(sys.executable)
    assert said == []
    assert versions(OWN)["h11"]


def test_an_environment_is_made_with_the_python_that_runs_this(tmp_path: Path) -> None:
    builder = Builder(tmp_path)
    builder.prepare()
    (python, *venv), (pip_python, *pip) = builder.commands
    assert Path(python).parent == Path(sys.base_prefix, "bin")
    assert venv[:2] == ["-m", "venv"]
    assert Path(pip_python) == interpreter("peer", tmp_path)
    assert pip[-2:] == ["--requirement", str(tmp_path / "requirements" / "peer.txt")]


def test_an_environment_is_made_once_and_anew_when_its_requirements_change(tmp_path: Path) -> None:
    builder = Builder(tmp_path)
    builder.prepare()
    builder.prepare()
    assert builder.said == ["Making the environment of peer (once) ..."]
    builder.want("something newer\n")
    builder.prepare()
    assert len(builder.said) == 2


def test_what_cannot_be_installed_is_tried_again(tmp_path: Path) -> None:
    builder = Builder(tmp_path)
    builder.fails = True
    with pytest.raises(InstallError):
        builder.prepare()
    builder.fails = False
    builder.prepare()
    assert len(builder.said) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("one\nERROR: no matching distribution\nhint", "ERROR: no matching distribution"),
        ("one\ntwo\n", "two"),
        ("", "nothing"),
    ],
)
def test_why_a_command_failed_is_what_it_said(said: str, reason: str) -> None:
    script = f"import sys; print({said!r}, end=''); sys.exit(3)"
    with pytest.raises(InstallError) as caught:
        run_command([sys.executable, "-c", script])
    assert str(caught.value) == reason


def test_a_command_that_works_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run_command([sys.executable, "-c", "print('noise')"])
    assert capfd.readouterr().out == ""
