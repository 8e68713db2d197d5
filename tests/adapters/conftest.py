"""The drivers that the adapters are tried on, and a word on what was left out."""

from __future__ import annotations

import pytest
from adapters.bots import HOSTS, OURS, Host
from adapters.environments import ENVIRONMENTS, NODE

ALL = "all"


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "the driver that the adapters are tried on; NoneBot's own is there to try the tests"
    names = [host.name for host in HOSTS]
    parser.addoption("--driver", choices=[*names, ALL], default=OURS.name, help=text)


def pytest_configure() -> None:
    """See that what can be there is there."""
    for environment in ENVIRONMENTS:
        if not environment.interpreter.exists():
            raise pytest.UsageError(
                f"expected {environment.interpreter}, found nothing: these tests are run by"
                " `make adapters`, which makes the environments first"
                " (tests/adapters/environments.py)"
            )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each driver in turn: the same scenario on all."""
    if "host" in metafunc.fixturenames:
        chosen: str = metafunc.config.getoption("--driver")
        hosts: list[Host] = [host for host in HOSTS if chosen in (ALL, host.name)]
        metafunc.parametrize("host", hosts, ids=str)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not run for want of npm."""
    if not NODE.exists():
        terminalreporter.section("NOT RUN", red=True, bold=True)
        terminalreporter.line(
            "Nothing here was run against Koishi, nor with GitHub's examples of webhooks: expected"
            " npm, found none (on Debian: apt-get install npm)"
        )
