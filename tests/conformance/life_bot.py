"""The bot whose whole life the tests follow, on each driver, from its start to its stop.

Like `server_bot` it is written for NoneBot alone. What happens, it tells in lines that begin with
MARK: a name, and what was found.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import anyio
import nonebot
from nonebot.adapters import Adapter, Bot
from nonebot.drivers import (
    URL,
    ASGIMixin,
    Driver,
    HTTPServerSetup,
    Request,
    Response,
    WebSocket,
    WebSocketServerSetup,
)
from nonebot.exception import WebSocketClosed


def mark(name: str, found: object = None) -> None:
    """Tell the test what happened."""
    sys.stdout.write(f"MARK {json.dumps([name, found])}\n")
    sys.stdout.flush()


class SomeBot(Bot):
    """A bot that says nothing."""

    async def send(self, event: Any, message: Any, **kwargs: Any) -> Any:
        """Never called."""


class SomeAdapter(Adapter):
    """An adapter that does nothing."""

    @classmethod
    def get_name(cls) -> str:
        """Its name in the log."""
        return "Some Adapter"

    async def _call_api(self, bot: Bot, api: str, **data: Any) -> Any:
        """Never called."""


nonebot.init()
driver = nonebot.get_driver()
assert isinstance(driver, ASGIMixin)
driver.register_adapter(SomeAdapter)

mark("is a driver", isinstance(driver, Driver))
mark("type", driver.type)
mark("env", driver.env)
mark("logger", isinstance(driver.logger, logging.Logger))
mark("app", nonebot.get_app() is driver.server_app)
mark("asgi", nonebot.get_asgi() is driver.asgi and callable(driver.asgi))
mark("bots", driver.bots)
try:
    driver.task_group  # noqa: B018
except RuntimeError:
    mark("no task group before the start")


async def page(request: Request) -> Response:
    """Something to read."""
    return Response(200, content="a page")


async def add(request: Request) -> Response:
    """Sets up a route while the bot runs."""
    serve("/added", "GET", page)
    return Response(204)


async def wait(request: Request) -> Response:
    """Is answered although the stop has begun meanwhile."""
    mark("request begun")
    await asyncio.sleep(0.2)
    return Response(200, content="done")


async def connect_bot(websocket: WebSocket) -> None:
    """What an adapter does for a bot that connects."""
    bot = SomeBot(driver._adapters[SomeAdapter.get_name()], "1")
    await websocket.accept()
    driver._bot_connect(bot)
    try:
        await websocket.receive()
    except WebSocketClosed:
        mark("closed")
    finally:
        driver._bot_disconnect(bot)


async def stay(websocket: WebSocket) -> None:
    """A WebSocket that is open when the bot is stopped."""
    await websocket.accept()
    await websocket.send("accepted")
    try:
        await websocket.receive()
    except WebSocketClosed:
        mark("told of the stop")
    finally:
        await asyncio.sleep(0.05)
        mark("handler ended")


def serve(path: str, method: str, handle: Any) -> None:
    """A route."""
    driver.setup_http_server(HTTPServerSetup(URL(path), method, path, handle))  # type: ignore[attr-defined]  # an ASGIMixin, as is asserted above


serve("/page", "GET", page)
serve("/add", "POST", add)
serve("/wait", "GET", wait)
driver.setup_websocket_server(WebSocketServerSetup(URL("/bot"), "bot", connect_bot))
driver.setup_websocket_server(WebSocketServerSetup(URL("/stay"), "stay", stay))


@driver.on_bot_connect
async def connected(bot: Bot) -> None:
    mark("connect", [bot.self_id, bot.self_id in driver.bots])


@driver.on_bot_disconnect
async def disconnected(bot: Bot) -> None:
    mark("disconnect", [bot.self_id, bot.self_id in driver.bots])


async def work() -> None:
    """A task of the driver's task group."""
    mark("at work")
    try:
        await anyio.sleep_forever()
    finally:
        mark("work cancelled")


tasks: list[object] = []


@driver.on_startup
async def first() -> None:
    tasks.append(asyncio.current_task())
    driver.task_group.start_soon(work)
    serve("/late", "GET", page)
    try:
        await asyncio.open_connection("127.0.0.1", driver.config.port)
    except OSError:
        mark("start 1", "not served yet")


@driver.on_startup
def second() -> None:
    mark("start 2")
    if getattr(driver.config, "fail_at_start", False):
        raise ZeroDivisionError("a start-up hook that fails")


@driver.on_startup
async def third() -> None:
    mark("start 3")


@driver.on_shutdown
async def fourth() -> None:
    mark("stop 1", asyncio.current_task() in tasks)


@driver.on_shutdown
def fifth() -> None:
    mark("stop 2")


if getattr(driver.config, "fail_at_stop", False):

    @driver.on_shutdown
    async def sixth() -> None:
        raise ZeroDivisionError("a shut-down hook that fails")


if __name__ == "__main__":
    nonebot.run(host="127.0.0.1", port=driver.config.port)
