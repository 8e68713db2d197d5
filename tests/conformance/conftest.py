"""Each behaviour on each driver in turn, and what is known of those that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import conformance.authority  # noqa: F401  # before aiohttp is imported: see there
import pytest
from conformance.differences import BEHAVIOURS
from conformance.drivers import DRIVERS, HTTP_CLIENTS, SERVERS, WEBSOCKET_CLIENTS, make_client
from conformance.serving import SERVER_BOT, Server, host_of
from hosts.hosting import BotProcess
from nonebot.drivers import Driver

#: What NoneBot's drivers are warned of by the libraries that they use.
WARNINGS = (
    "ignore:Setting per-request cookies:DeprecationWarning",
    r"ignore:ConnectionClosed\.(code|reason) is deprecated:DeprecationWarning",
    "ignore:Sending a large body directly with raw bytes:ResourceWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    """Have it that warnings of other people's code are no errors."""
    for warning in WARNINGS:
        config.addinivalue_line("filterwarnings", warning)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A driver that does something else is expected to: it fails if it does what the test says.

    So a row of `BEHAVIOURS` is wrong as soon as it says too much, and missing as long as it says
    too little.
    """
    missing = {
        (fixture, row.test, driver)
        for fixture, rows in BEHAVIOURS.items()
        for row in rows
        for driver in row.instead
        if driver in DRIVERS[fixture]
    }
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            missing -= _expect(item)
    if missing and len({item.path for item in items}) >= len(_MODULES):
        raise pytest.UsageError(f"differences of which no test was found: {sorted(missing)}")


_MODULES = list(Path(__file__).parent.glob("test_*.py"))


def _expect(item: pytest.Function) -> set[tuple[str, str, str]]:
    """Mark a test with what its driver does instead; gives the rows that say so."""
    found = set()
    for fixture, rows in BEHAVIOURS.items():
        driver = item.callspec.params.get(fixture)
        case = item.callspec.id.replace(str(driver), "", 1).strip("-")
        names = (item.originalname, f"{item.originalname}[{case}]")
        for row in rows:
            if row.test in names and driver in row.instead:
                reason = f"{driver}: {row.instead[driver]}"
                item.add_marker(pytest.mark.xfail(strict=True, reason=reason))
                found.add((fixture, row.test, driver))
    return found


# NoneBot's test tool, a plugin of pytest's, starts a NoneBot of its own around all tests: these do
# without it, in its places.
@pytest.fixture(scope="session")
def _nonebot_init() -> None: ...


@pytest.fixture(scope="session")
def after_nonebot_init() -> None: ...


@pytest.fixture(scope="session")
def nonebug_init() -> None: ...


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Gives the bot that runs for all tests on a driver."""
    servers: dict[str, Server] = {}
    with ExitStack() as stack:

        def started(driver: str) -> Server:
            if driver not in servers:
                directory = tmp_path_factory.mktemp("bot")
                process = BotProcess(host_of(driver), directory, program=SERVER_BOT)
                servers[driver] = stack.enter_context(Server(stack.enter_context(process)))
            return servers[driver]

        yield started


@pytest.fixture(params=SERVERS)
def server_driver(request: pytest.FixtureRequest) -> str:
    """The name of a driver with a server, as in the setting DRIVER."""
    return str(request.param)


@pytest.fixture
def server(server_driver: str, start: Callable[[str], Server]) -> Server:
    """The bot on each driver with a server."""
    return start(server_driver)


@pytest.fixture(params=HTTP_CLIENTS)
def http_driver(request: pytest.FixtureRequest) -> str:
    """The name of a driver with an HTTP client."""
    return str(request.param)


@pytest.fixture(params=WEBSOCKET_CLIENTS)
def websocket_driver(request: pytest.FixtureRequest) -> str:
    """The name of a driver with a WebSocket client."""
    return str(request.param)


@pytest.fixture
def client(http_driver: str) -> Driver:
    """Each driver with an HTTP client."""
    return make_client(http_driver)


@pytest.fixture
def websocket_client(websocket_driver: str) -> Driver:
    """Each driver with a WebSocket client."""
    return make_client(websocket_driver)
