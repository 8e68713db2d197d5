"""The same work for every server: a bot on the driver's contract, and a bare ASGI app that does it.

The bot runs under our own server, and under a peer by way of `driver.asgi`. The bare app is there
so that nobody can say that the peer was slowed by our ASGI front: it has no routing table, no
bounds and no held tasks, and handles an event before it answers, which is less than the driver
promises.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from nbdriver import Bot, Config, Driver, Env, RequestDenied, codec

from . import bodies

__all__ = ["BareApp", "BenchBot", "Tally", "dumps", "loads", "make_driver"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def _json() -> tuple[Callable[[str | bytes], Any], Callable[[Any], str]]:
    """Reading and writing by the JSON library that the driver uses, and nothing around it."""
    library = importlib.import_module(codec.library)
    if codec.library == "orjson":
        return library.loads, lambda value: library.dumps(value).decode()
    return library.loads, bodies.dumps


loads, dumps = _json()


class Tally:
    """How many events a server's bot was called with; compared with what was sent."""

    __slots__ = ("events",)

    def __init__(self) -> None:
        self.events = 0


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


class BareApp:
    """The work of the driver and its bot as the least that an ASGI app can do."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one scope (ASGI 3), of type "http" or "websocket"."""
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": await self._post(scope, receive)})
            await send({"type": "http.response.body"})
        else:
            await self._websocket(scope, receive, send)

    async def _post(self, scope: Message, receive: Receive) -> int:
        """Handle one event; gives the status of the answer."""
        if scope["path"] != "/onebot/http":
            return 404
        if scope["method"] != "POST":
            return 405
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        try:
            event = loads(body)
        except ValueError:
            return 400
        if not isinstance(event, dict):
            return 400
        headers = dict(scope["headers"])
        status = bodies.refusal(headers.get(b"x-self-id"), headers.get(b"authorization", b""))
        if status is None:
            self._tally.events += 1
        return status or 204

    async def _websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        headers = dict(scope["headers"])
        self_id = headers.get(b"x-self-id", b"").decode()
        refused = bodies.refusal(self_id, headers.get(b"authorization", b""))
        if refused or scope["path"] != "/onebot/ws":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            event = loads(message["text"])
            if isinstance(event, dict):
                self._tally.events += 1
                called = bodies.action("send_msg", bodies.reply(event), self_id)
                await send({"type": "websocket.send", "text": dumps(called)})
