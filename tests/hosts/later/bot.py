"""The bot that these tests run inside NoneBot 2.x: set-ups in the place of adapters.

It is written for NoneBot alone and knows nothing of the driver, which the settings in the working
directory name. What a hook sees, it tells in a line that begins with `MARK`.
"""

import asyncio
import os
import sys
from pathlib import Path

import nonebot
from nonebot.drivers import URL, HTTPServerSetup, Request, Response, WebSocketServerSetup
from nonebot.exception import WebSocketClosed


def mark(text: str) -> None:
    """Tell the test what happened."""
    sys.stdout.write(f"MARK {text}\n")
    sys.stdout.flush()


nonebot.init()
driver = nonebot.get_driver()
# What the test wants to fail, or to take longer than it should.
TROUBLE = os.environ.get("TROUBLE", "")


@driver.on_startup
async def started() -> None:
    mark("startup")
    if TROUBLE == "startup":
        raise LookupError("no database")


@driver.on_shutdown
async def stopped() -> None:
    mark("shutdown")


async def event(request: Request) -> Response:
    """Answer with what came; in trouble, once the test lets it."""
    if TROUBLE == "event":
        mark("waiting")
        await asyncio.to_thread(Path("go").read_bytes)
    return Response(200, content=request.content)


async def echo(websocket) -> None:
    await websocket.accept()
    mark("connected")
    try:
        while True:
            await websocket.send(await websocket.receive())
    except WebSocketClosed as closed:
        mark(f"closed {closed.code}")
        while TROUBLE == "handler":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass


driver.setup_http_server(HTTPServerSetup(URL("/event"), "POST", "event", event))
driver.setup_websocket_server(WebSocketServerSetup(URL("/ws"), "echo", echo))

if __name__ == "__main__":
    nonebot.run()
