"""A bot that asks itself, by HTTP and by WebSocket, with whatever clients its driver has.

What it finds, it tells in a line that begins with MARK, and then it stops.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import nonebot
from nonebot.drivers import (
    URL,
    ASGIMixin,
    HTTPClientMixin,
    HTTPServerSetup,
    Request,
    Response,
    WebSocket,
    WebSocketClientMixin,
    WebSocketServerSetup,
)

nonebot.init()
driver = nonebot.get_driver()


tasks: list[asyncio.Task[None]] = []


async def page(request: Request) -> Response:
    """Tells who has asked."""
    return Response(200, content=request.headers["user-agent"].partition("/")[0])


async def tell(websocket: WebSocket) -> None:
    """The same by WebSocket, and repeats a message."""
    await websocket.accept()
    await websocket.send(websocket.request.headers["user-agent"].partition("/")[0])
    await websocket.send(await websocket.receive())


async def ask() -> dict[str, object]:
    """What the bot finds of itself."""
    place = f"127.0.0.1:{driver.config.port}"
    found: dict[str, object] = {"type": driver.type}
    if isinstance(driver, HTTPClientMixin):
        if isinstance(driver, ASGIMixin):
            request = Request("GET", f"http://{place}/page", timeout=10.0)
            response = await driver.request(request)
            async with driver.get_session(headers={"X-A": "1"}, timeout=10.0) as session:
                again = await session.request(request)
            assert isinstance(response.content, bytes)
            assert again.content == response.content
            found["HTTP"] = response.content.decode()
        else:
            found["HTTP"] = "a client"
    if isinstance(driver, WebSocketClientMixin):
        if isinstance(driver, ASGIMixin):
            async with driver.websocket(Request("GET", f"ws://{place}/ws")) as websocket:
                found["WebSocket"] = await websocket.receive()
                await websocket.send("你好")
                found["said"] = await websocket.receive()
        else:
            found["WebSocket"] = "a client"
    return found


async def ask_and_stop() -> None:
    """Ask as soon as the server listens."""
    while isinstance(driver, ASGIMixin):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", driver.config.port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            break
    found: dict[str, object] = {}
    try:
        found = await ask()
    finally:
        sys.stdout.write(f"MARK {json.dumps(found)}\n")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGINT)


if isinstance(driver, ASGIMixin):
    driver.setup_http_server(HTTPServerSetup(URL("/page"), "GET", "page", page))
    driver.setup_websocket_server(WebSocketServerSetup(URL("/ws"), "ws", tell))


@driver.on_startup
async def start() -> None:
    # NoneBot 2.3 has no task group.
    tasks.append(asyncio.create_task(ask_and_stop()))


if __name__ == "__main__":
    nonebot.run()
