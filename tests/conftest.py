"""Options of the whole suite."""

from __future__ import annotations

import os

import pytest
from support.lanes import LANES, take_lane

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
