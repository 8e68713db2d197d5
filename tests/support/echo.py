"""A driver with an echo bot, served on a free port of the loopback address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nbdriver import Driver
from nbdriver.config import Config, Env
from nbdriver.net.server import Server

from .bots import RecordingBot, recording_bot


class Echo:
    """What `serving` gives: the driver, its adapter, and its addresses as URLs."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.adapter: Any = driver._adapters["echo"]
        self.http = self.ws = ""
        self.server: Server

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that the bots have got."""
        messages: list[dict[str, Any]] = self.adapter.messages
        return messages

    def reading_is_paused(self, self_id: str) -> bool:
        """Whether the peer of a bot's connection is being slowed down."""
        connections: Any = self.driver.server_app.dispatcher._connections  # type: ignore[attr-defined]
        return bool(connections[self_id].paused)


def make_driver(kind: type[Driver] = Driver, adapter: type[RecordingBot] | None = None) -> Driver:
    config = Config(_environ={}, host="127.0.0.1", port=0)
    driver = kind(Env(_env_file=None, _environ={}), config)
    driver.register_adapter("echo", adapter or recording_bot())
    return driver


@asynccontextmanager
async def serving(driver: Driver | None = None, **settings: Any) -> AsyncIterator[Echo]:
    """Serve while the block runs; `settings` are those of `Driver.serve`."""
    echo = Echo(driver or make_driver())
    async with echo.driver.serve(**settings) as server:
        echo.server = server
        ((host, port),) = server.addresses
        echo.http = f"{server.scheme}://{host}:{port}/echo"
        echo.ws = f"{server.scheme.replace('http', 'ws')}://{host}:{port}/echo/ws"
        yield echo
    # Whatever the clients did, the stop was a clean one.
    assert not server.forced
