"""A driver and its dispatcher on a virtual clock, without a server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from nbdriver import Driver, Headers, Request, Response
from nbdriver.config import Config, Env, ServerConfig
from nbdriver.dispatch import Dispatcher
from nbdriver.model import refusal
from nbdriver.net.clock import VirtualClock

from .bots import recording_bot
from .websockets import MemoryWebSocket


class Host:
    """A driver with one adapter, "echo", and its dispatcher on a virtual clock."""

    def __init__(
        self,
        adapter: type[Any] | None = None,
        denied: tuple[type[Exception], ...] = (),
        **settings: Any,
    ) -> None:
        self.driver = Driver(Env(_env_file=None, _environ={}), Config(_environ={}))
        self.driver.register_adapter("echo", adapter or recording_bot())
        self.adapter: Any = self.driver._adapters["echo"]
        self.clock = VirtualClock()
        self.config = ServerConfig(**settings)
        self.dispatcher = Dispatcher(self.driver, self.config, self.clock, denied)

    async def post(
        self,
        message: Any = None,
        path: str = "/echo/",
        method: str = "POST",
        connection: object = None,
        **headers: str,
    ) -> Response:
        """Post an event; a refusal is answered as the server would answer it."""
        headers.setdefault("x_self_id", "1")
        fields = [(name.replace("_", "-"), value) for name, value in headers.items() if value]
        body = message if isinstance(message, bytes) else json.dumps(message or {}).encode()
        request = Request(method, path, Headers(fields), body, connection=connection)
        try:
            return await self.dispatcher.handle_http(request)
        except Exception as error:
            return refusal(error)

    async def connect(
        self, websocket: MemoryWebSocket | None = None, self_id: str = "1"
    ) -> MemoryWebSocket:
        """Connect a bot, or raise what the connection is refused with."""
        websocket = websocket or MemoryWebSocket(x_self_id=self_id)
        await self.dispatcher.handle_websocket(websocket)
        return websocket

    def start_connecting(self, websocket: MemoryWebSocket) -> asyncio.Task[MemoryWebSocket]:
        return asyncio.create_task(self.connect(websocket))


def numbered(count: int, **more: Any) -> list[dict[str, Any]]:
    """Events that can be told from each other."""
    return [{"number": number, **more} for number in range(count)]
