"""A server of aiohttp's which says again what it is told, for clients of ours."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from .certificates import authority


@dataclass
class Server:
    """Where it is, and what it was asked: target, Host, Proxy-Authorization of each request."""

    ports: dict[str, int]
    asked: list[tuple[str, str, str | None]]
    connections: set[object]
    leads_to: str | None = None
    """Where to the next request is redirected."""

    def url(self, scheme: str, path: str = "/", host: str = "localhost") -> str:
        port = self.ports["https" if scheme in ("https", "wss") else "http"]
        return f"{scheme}://{host}:{port}{path}"


@asynccontextmanager
async def server(*names: str) -> AsyncIterator[Server]:
    """By HTTP, and by HTTPS as localhost or one of `names`: bodies and messages come back."""
    here = Server({}, [], set())

    async def say_again(request: web.Request) -> web.StreamResponse:
        here.asked.append(
            (request.path_qs, request.host, request.headers.get("Proxy-Authorization"))
        )
        here.connections.add(request.transport)
        if here.leads_to is not None:
            location, here.leads_to = here.leads_to, None
            raise web.HTTPFound(location)
        if request.headers.get("Upgrade") != "websocket":
            return web.Response(body=await request.read())
        websocket = web.WebSocketResponse(max_msg_size=0)
        await websocket.prepare(request)
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
        return websocket

    application = web.Application(client_max_size=2**24)
    application.router.add_route("*", "/{path:.*}", say_again)
    runner = web.AppRunner(application)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*names or ("localhost",)).configure_cert(context)
    try:
        for scheme, tls in (("http", None), ("https", context)):
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            here.ports[scheme] = runner.addresses[-1][1]
        yield here
    finally:
        await runner.cleanup()
