"""NoneBot 2 through its own drivers: a bare handler in the place of an adapter.

The event is taken as the driver has parsed it, so that it is not parsed twice, as in an adapter.
"""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from typing import Any

from . import bodies, peers
from .application import Tally, dumps, loads
from .serving import Serving, Started

__all__ = ["nonebot"]


def nonebot(driver: str) -> Serving:
    """NoneBot with its driver of that name, under uvicorn as that driver itself runs it."""

    def serve(tally: Tally, port: int) -> AbstractAsyncContextManager[Started]:
        return peers.uvicorn(lambda tally: _app(driver, tally), lifespan="on")(tally, port)

    return serve


def _app(name: str, tally: Tally) -> Any:
    import nonebot as library
    from nonebot import drivers

    library.logger.remove()
    library.logger.add(sys.stderr, level="WARNING")
    library.init(_env_file=None, driver=f"~{name}", log_level="WARNING")
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
    return driver.asgi
