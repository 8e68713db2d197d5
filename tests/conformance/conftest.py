"""Each behaviour on each driver in turn, and what is known of those that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conformance.differences import BEHAVIOURS, Behaviour
from conformance.drivers import HTTP_CLIENTS, SERVERS, WEBSOCKET_CLIENTS, make_client
from conformance.serving import SERVER_BOT, Server, host_of
from hosts.hosting import BotProcess
from nonebot.drivers import Driver

#: The parameters whose value is the name of a driver.
FIXTURES = ("server_driver", "http_driver", "websocket_driver")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A driver that does something else is expected to: it fails if it does what the test says.

    So a row of `BEHAVIOURS` is wrong as soon as it says too much, and missing as long as it says
    too little.
    """
    used: set[tuple[str, str]] = set()
    for item in items:
        if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
            continue
        parameters = item.callspec.params
        driver = next((str(parameters[name]) for name in FIXTURES if name in parameters), None)
        if driver is None:
            continue
        case = item.callspec.id.replace(driver, "", 1).strip("-")
        for test in (item.originalname, f"{item.originalname}[{case}]"):
            found = _ROWS.get(test)
            if found is not None and driver in found.instead:
                used.add((test, driver))
                reason = found.instead[driver]
                item.add_marker(pytest.mark.xfail(strict=True, reason=f"{driver}: {reason}"))
    if len({item.path for item in items}) >= len(list(Path(__file__).parent.glob("test_*.py"))):
        unused = {(row.test, driver) for row in BEHAVIOURS for driver in row.instead} - used
        if unused:
            raise pytest.UsageError(f"differences of which no test was found: {sorted(unused)}")


_ROWS: dict[str, Behaviour] = {behaviour.test: behaviour for behaviour in BEHAVIOURS}


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
