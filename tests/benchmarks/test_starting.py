"""Imports and starts are measured in processes of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.environments import OWN
from benchmarks.process import ServerError, Subject
from benchmarks.starting import PACKAGES, import_cost, measure_imports, measure_start


async def test_only_what_is_installed_is_imported() -> None:
    (taken,) = await measure_imports(4, [OWN])
    assert (taken.round, taken.package) == (4, "nbdriver")
    assert taken.cpu > 0
    assert taken.wall > 0


async def test_what_cannot_be_imported_is_an_error_that_names_it() -> None:
    with pytest.raises(ServerError, match=r"(?s)import nothing\.at\.all: .*ModuleNotFoundError"):
        await import_cost(Path(sys.executable), ["nothing.at.all"])


async def test_a_start_ends_with_the_first_answered_event() -> None:
    (taken,) = await measure_start(4, [Subject("floor", "asyncio")])
    assert (taken.round, str(taken.subject)) == (4, "floor on asyncio")
    assert taken.cpu > 0
    assert taken.first_event > 0
    assert 2**20 < taken.resident < 2**30


def test_our_package_is_imported_with_all_that_serves() -> None:
    _, modules = PACKAGES["nbdriver"]
    assert {"h11", "wsproto", "nbdriver.net.http11"} <= set(modules.split())
