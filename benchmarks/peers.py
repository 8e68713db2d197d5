"""The peers' servers, each with the work of `application` as its own users would write it.

All listen on 127.0.0.1, write no access log, and log from warnings upwards; beyond that they have
their own defaults. Each is imported where it is started, in an environment that has it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

from . import bodies
from .application import BareApp, Tally, dumps, loads
from .serving import HOST, Serving, Started

__all__ = ["aiohttp", "hypercorn", "our_driver", "picows", "uvicorn"]


def our_driver(tally: Tally) -> Any:
    """Our driver with its bot as an ASGI app."""
    from .bot import make_driver

    return make_driver(tally).asgi


def uvicorn(
    make_app: Callable[[Tally], Any] = BareApp,
    *,
    http: str = "auto",
    ws: str = "auto",
    lifespan: Literal["on", "off"] = "off",
) -> Serving:
    """An ASGI app under uvicorn, with the parsers of those names."""

    @asynccontextmanager
    async def serve(tally: Tally, port: int) -> AsyncIterator[Started]:
        import uvicorn

        config = uvicorn.Config(
            make_app(tally),
            http=http,
            ws=ws,
            lifespan=lifespan,
            # It would look for proxies' headers in each request, which nobody else here does.
            proxy_headers=False,
            # Ours; by default it would hang up on connections that wait for their turn.
            timeout_keep_alive=75,
            access_log=False,
            log_level="warning",
        )
        server = uvicorn.Server(config)
        with socket.create_server((HOST, port), backlog=2048) as listening:
            # Whoever connects before it is ready waits in the backlog.
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            yield Started(listening.getsockname()[1])
            server.should_exit = True
            await serving

    return serve


@asynccontextmanager
async def hypercorn(tally: Tally, port: int) -> AsyncIterator[Started]:
    """The bare ASGI app under hypercorn, in this process."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    listening = socket.create_server((HOST, port), backlog=2048)
    port = listening.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.keep_alive_timeout = 75
    # By default it ends a connection after a thousand requests, as nobody else does.
    config.keep_alive_max_requests = sys.maxsize
    config.loglevel = "WARNING"
    ending = asyncio.Event()
    app: Any = BareApp(tally)
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=ending.wait, mode="asgi"))
    yield Started(port)
    ending.set()
    await serving


@asynccontextmanager
async def aiohttp(tally: Tally, port: int) -> AsyncIterator[Started]:
    """aiohttp's own server with two handlers."""
    from aiohttp import web

    async def post(request: web.Request) -> web.Response:
        try:
            event = loads(await request.read())
        except ValueError:
            return web.Response(status=400)
        if not isinstance(event, dict):
            return web.Response(status=400)
        headers = request.headers
        authorization = headers.get("Authorization", "").encode("latin-1")
        status = bodies.refusal(headers.get("X-Self-ID"), authorization)
        if status is None:
            tally.events += 1
        return web.Response(status=status or 204)

    async def connect(request: web.Request) -> web.StreamResponse:
        headers = request.headers
        self_id = headers.get("X-Self-ID", "")
        authorization = headers.get("Authorization", "").encode("latin-1")
        if (status := bodies.refusal(self_id, authorization)) is not None:
            return web.Response(status=status)
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            event = loads(message.data)
            if isinstance(event, dict):
                tally.events += 1
                called = bodies.action("send_msg", bodies.reply(event), self_id)
                await websocket.send_str(dumps(called))
        return websocket

    app = web.Application()
    app.router.add_post("/onebot/http", post)
    app.router.add_get("/onebot/ws", connect)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75)
    await runner.setup()
    with socket.create_server((HOST, port), backlog=2048) as listening:
        await web.SockSite(runner, listening, backlog=2048).start()
        yield Started(listening.getsockname()[1])
        await runner.cleanup()


def picows(*, use_aiofastnet: bool = True) -> Serving:
    """picows, a WebSocket server alone, with the work in its listener.

    Where aiofastnet is installed, which it asks for, it has transports in C and not the loop's.
    """

    @asynccontextmanager
    async def serve(tally: Tally, port: int) -> AsyncIterator[Started]:
        import picows as library

        text, close = library.WSMsgType.TEXT, library.WSMsgType.CLOSE

        # Its types are not there where this is checked, so its class is anything to mypy.
        class Listener(library.WSListener):  # type: ignore[misc]
            def __init__(self, self_id: str) -> None:
                super().__init__()
                self._self_id = self_id

            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                if frame.msg_type == text:
                    event = loads(frame.get_payload_as_utf8_text())
                    if isinstance(event, dict):
                        tally.events += 1
                        called = bodies.action("send_msg", bodies.reply(event), self._self_id)
                        transport.send(text, dumps(called))
                elif frame.msg_type == close:
                    transport.send_close(frame.get_close_code(), frame.get_close_message())
                    transport.disconnect()

        def admit(request: Any) -> Any:
            self_id = request.headers.get("X-Self-ID", "")
            authorization = request.headers.get("Authorization", "").encode("latin-1")
            status = bodies.refusal(self_id, authorization)
            if status is None and request.path == b"/onebot/ws":
                return Listener(self_id)
            refused = library.WSUpgradeResponse.create_error_response(status or 404)
            return library.WSUpgradeResponseWithListener(refused, None)

        server = await library.ws_create_server(
            admit, HOST, port, use_aiofastnet=use_aiofastnet, backlog=2048
        )
        async with server:
            yield Started(server.sockets[0].getsockname()[1])

    return serve
