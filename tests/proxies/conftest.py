"""The proxies that are there, one after the other, and a word on one that is not."""

from __future__ import annotations

import pytest
from proxies.forwarding import FORWARDING, Forwarding
from proxies.proxying import PROXIES, Proxy


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which proxies nothing was run behind."""
    for proxy in PROXIES:
        if proxy.missing:
            terminalreporter.section("NOT RUN", red=True, bold=True)
            terminalreporter.line(
                f"Nothing here was run behind {proxy}: expected {proxy.command}, found none"
                f" (on Debian: apt-get install {proxy.command})"
            )
    for forwarding in FORWARDING:
        if forwarding.missing:
            packages = " ".join(forwarding.missing)
            terminalreporter.section("NOT RUN", red=True, bold=True)
            terminalreporter.line(
                f"Nothing here went through {forwarding}: it is not installed"
                f" (on Debian: apt-get install {packages})"
            )


@pytest.fixture(params=[proxy for proxy in PROXIES if not proxy.missing], ids=str)
def proxy(request: pytest.FixtureRequest) -> Proxy:
    """Each proxy in turn: the same scenario behind all."""
    found: Proxy = request.param
    return found


@pytest.fixture(params=[each for each in FORWARDING if not each.missing], ids=str)
def forwarding(request: pytest.FixtureRequest) -> Forwarding:
    """Each proxy that clients go through, in turn."""
    found: Forwarding = request.param
    return found


@pytest.fixture(
    params=[each for each in FORWARDING if each.needs_password and not each.missing], ids=str
)
def closed_forwarding(request: pytest.FixtureRequest) -> Forwarding:
    """Each of them that asks for a name and a password."""
    found: Forwarding = request.param
    return found
