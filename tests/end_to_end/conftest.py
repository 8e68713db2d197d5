"""Every test of this folder ends with everything given back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.leaks import nothing_kept
from support.loops import LOOPS


@pytest.fixture(scope="session", autouse=True)
def loops_are_there() -> None:
    """The first loop of a kind opens what the process keeps (libuv: a pipe for its signals)."""
    for make in LOOPS.values():
        make().close()


@pytest.fixture(autouse=True)
def leaves_nothing(loops_are_there: None) -> Iterator[None]:
    """Whichever loop a test runs on, or none at all."""
    with nothing_kept():
        yield
