"""What docs/nonebot.md tells of other drivers is what the conformance tests hold them to."""

from __future__ import annotations

import subprocess
import sys

from conformance import differences


def test_the_page_has_the_differences_that_are_tested() -> None:
    page = differences.PAGE.read_text("utf-8")
    assert len(differences.BLOCK.findall(page)) == 1
    assert page == differences.with_tables(page), "tests/conformance/differences.py --write-docs"


def test_each_row_is_of_another_test() -> None:
    for rows in differences.BEHAVIOURS.values():
        names = [row.test for row in rows]
        assert len(names) == len(set(names))


def test_the_command_says_what_it_expects() -> None:
    command = [sys.executable, differences.__file__]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (said.returncode, said.stderr) == (1, "expected --write-docs\n")
