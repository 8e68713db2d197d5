"""Bots that run for all tests, one for each driver, and a word on a driver that was not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hosts.hosting import (
    HOSTS,
    LATER,
    OURS,
    TOKEN,
    BotProcess,
    Host,
    PlatformAPI,
    serve_platform_api,
)

#: NoneBot knows the address of a bot's API by the bot's id, so that the ids are fixed beforehand.
SELF_IDS = [str(number) for number in range(10_001, 10_201)]

#: What a run without a defect does not log.
UNWANTED = ("Traceback", "[ERROR]", "was never")

_running = [host for host in HOSTS if not host.missing]


def pytest_configure() -> None:
    """See that what can be there is there."""
    for host in (*_running, *LATER):
        if not host.environment.interpreter.exists():
            raise pytest.UsageError(
                f"expected {host.environment.interpreter}, found nothing: these tests are run by"
                " `make hosts`, which makes the environments first (tests/hosts/environments.py)"
            )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which drivers the scenario was not run on."""
    for host in HOSTS:
        if host.missing:
            terminalreporter.section("NOT RUN", red=True, bold=True)
            terminalreporter.line(
                f"Nothing here was run on the driver {host.driver}: expected Python"
                f" {host.environment.python}, found none ({host.environment.lost} is left out)"
            )


@pytest.fixture(scope="session")
def platform() -> Iterator[PlatformAPI]:
    """The platform's HTTP API, which the bots call when an event has come by HTTP."""
    with serve_platform_api() as api:
        yield api


@pytest.fixture(scope="session")
def start(
    platform: PlatformAPI, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Host], BotProcess]]:
    """Gives the bot that runs for all tests on a driver; what it logs as an error fails the run."""
    roots = platform.roots(SELF_IDS)
    settings = {"CQHTTP_ACCESS_TOKEN": TOKEN, "API_ROOT": roots}
    bots: dict[Host, BotProcess] = {}
    with ExitStack() as stack:

        def started(host: Host) -> BotProcess:
            if host not in bots:
                directory = tmp_path_factory.mktemp(host.name)
                bots[host] = stack.enter_context(BotProcess(host, directory, settings))
            return bots[host].listens()

        yield started
        codes = {host: bot.stop() for host, bot in bots.items()}
        assert set(codes.values()) <= {0}, codes
        if OURS in bots:
            output = bots[OURS].output
            assert not [word for word in UNWANTED if word in output], output


@pytest.fixture(params=_running, ids=str)
def bot(request: pytest.FixtureRequest, start: Callable[[Host], BotProcess]) -> BotProcess:
    """The bot on each driver in turn: the same scenario on both."""
    host: Host = request.param
    return start(host)


@pytest.fixture
def our_bot(start: Callable[[Host], BotProcess]) -> BotProcess:
    """The bot on our driver, for what only ours does."""
    return start(OURS)


_unused = iter(SELF_IDS)


@pytest.fixture
def self_id() -> str:
    """The id of a bot that no other test uses."""
    return next(_unused)
