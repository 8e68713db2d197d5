"""The work under measure as a bot on the driver's contract.

It runs under our own server, and under a peer's by way of `driver.asgi`; `application.BareApp` does
the same without a driver.
"""

from __future__ import annotations

from typing import Any

from nbdriver import Bot, Config, Driver, Env, RequestDenied

from . import bodies
from .application import Tally

__all__ = ["BenchBot", "make_driver"]


class BenchBot(Bot):
    """Counts each event, and answers one that came by WebSocket with an API call."""

    tally: Tally

    def __init__(self, connection_type: str, self_id: str, *, websocket: Any = None) -> None:
        super().__init__(connection_type, self_id, websocket=websocket)

    @property
    def type(self) -> str:
        """The adapter's name."""
        return bodies.ADAPTER

    @classmethod
    def register(cls, driver: Any, config: Any, **kwargs: Any) -> None:
        """Takes the tally that events are counted in."""
        super().register(driver, config)
        cls.tally = kwargs["tally"]

    @classmethod
    async def check_permission(
        cls, driver: Any, connection_type: str, headers: dict[str, str], body: Any
    ) -> str:
        """Lets in who has an id and the token."""
        self_id = headers.get("x-self-id", "")
        authorization = headers.get("authorization", "").encode("latin-1")
        if (status := bodies.refusal(self_id, authorization)) is not None:
            raise RequestDenied(status, "expected an X-Self-ID and the token")
        return self_id

    async def handle_message(self, message: dict[str, Any]) -> None:
        """Handles one event."""
        self.tally.events += 1
        if self.websocket is not None:
            await self.send(message, message["message"])

    async def call_api(self, api: str, **data: Any) -> None:
        """Sends an API call; what the platform answers is not waited for."""
        assert self.websocket is not None
        await self.websocket.send(bodies.action(api, data, self.self_id))

    async def send(self, event: Any, message: Any, **kwargs: Any) -> None:
        """Sends a message to where `event` came from."""
        await self.call_api("send_msg", **bodies.reply(event))


def make_driver(tally: Tally) -> Driver:
    """The driver as a bot's author makes it, untouched by the environment that it runs in."""
    driver = Driver(Env(_env_file=None, _environ={}), Config(_environ={}))
    driver.register_adapter(bodies.ADAPTER, BenchBot, tally=tally)
    return driver
