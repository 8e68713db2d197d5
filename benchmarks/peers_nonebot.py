"""NoneBot 2 through its own drivers and through ours: a bare handler in the place of an adapter.

The event is taken as the driver has parsed it, so that it is not parsed twice, as in an adapter.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from . import bodies, peers
from .application import Tally, dumps, loads
from .serving import HOST, Serving, Started

__all__ = ["nonebot", "our_driver"]


def nonebot(driver: str) -> Serving:
    """NoneBot with its driver of that name, under uvicorn as that driver itself runs it."""

    def serve(tally: Tally, port: int) -> AbstractAsyncContextManager[Started]:
        return peers.uvicorn(lambda tally: _driver(f"~{driver}", tally).asgi, lifespan="on")(
            tally, port
        )

    return serve


@asynccontextmanager
async def our_driver(tally: Tally, port: int) -> AsyncIterator[Started]:
    """NoneBot with our driver, on its own server."""
    driver = _driver("nbdriver.nonebot", tally)
    async with driver.serve(HOST, port, access_log=False) as server:
        yield Started(server.addresses[0][1])


def _driver(name: str, tally: Tally) -> Any:
    import nonebot as library
    from nonebot import drivers

    library.logger.remove()
    library.logger.add(sys.stderr, level="WARNING")
    library.init(_env_file=None, driver=name, log_level="WARNING")
    driver: Any = library.get_driver()

    async def post(request: Any) -> Any:
        if not isinstance(request.json, dict):
            return drivers.Response(400)
        headers = request.headers
        authorization = headers.get("Authorization", "").encode("latin-1")
        status = bodies.refusal(headers.get("X-Self-ID"), authorization)
        if status is None:
            tally.events += 1
        return drivers.Response(status or 204)

    async def connect(websocket: Any) -> None:
        headers = websocket.request.headers
        self_id = headers.get("X-Self-ID", "")
        authorization = headers.get("Authorization", "").encode("latin-1")
        if bodies.refusal(self_id, authorization) is not None:
            await websocket.close()
            return
        await websocket.accept()
        try:
            while True:
                event = loads(await websocket.receive())
                if isinstance(event, dict):
                    tally.events += 1
                    called = bodies.action("send_msg", bodies.reply(event), self_id)
                    await websocket.send(dumps(called))
        except library.exception.WebSocketClosed:
            pass

    driver.setup_http_server(
        drivers.HTTPServerSetup(drivers.URL("/onebot/http"), "POST", "event", post)
    )
    driver.setup_websocket_server(
        drivers.WebSocketServerSetup(drivers.URL("/onebot/ws"), "websocket", connect)
    )
    return driver
