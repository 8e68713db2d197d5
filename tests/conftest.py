"""Options of the whole suite."""

from __future__ import annotations

import itertools
import os

import pytest
from support.lanes import LANES, take_lane
from support.leaks import set_aside

PROXIES = frozenset({"all_proxy", "http_proxy", "https_proxy", "no_proxy"})


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "plain: nothing takes the fast lane, but in tests that are about it"
    parser.addoption("--lane", choices=LANES, default=LANES[0], help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Before any test is imported, since some make their limits then."""
    # A client of ours would look for them, and everything here is on this machine.
    for name in [each for each in os.environ if each.lower() in PROXIES]:
        del os.environ[name]
    lane: str = config.getoption("lane")
    if lane != LANES[0]:
        take_lane(lane)


_ended = itertools.count()


def pytest_runtest_logfinish() -> None:
    """Now and then, a test having ended: keep the search for what a test leaves a short one."""
    if next(_ended) % 50 == 0:
        set_aside()
