"""A client's WebSockets with servers that we did not write, and with our own, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from support.apps import App
from support.apps import settings as server_settings
from support.certificates import client_context, write_certificate
from support.loops import on_each_loop
from support.raw_proxy import raw_proxy
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request as TheirRequest
from websockets.http11 import Response as TheirResponse
from websockets.typing import Subprotocol

from nbdriver import HTTPError, WebSocketClosed, abc
from nbdriver.client.client import Client
from nbdriver.errors import UpgradeRefused
from nbdriver.net.server import Server

HOST = "127.0.0.1"
MESSAGES: list[str | bytes] = [
    "hello",
    "",
    b"",
    "汉𝄞" * 10_000,
    bytes(range(256)) * 300,
    b"x" * 70_000,
]


# The same of each server: it echoes, closes with 4001 at "close", and refuses /no with 403.


@asynccontextmanager
async def websockets_server() -> AsyncIterator[str]:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            if message == "close":
                await connection.close(4001, "as you like")
                return
            await connection.send(message)

    def refuse(connection: ServerConnection, request: TheirRequest) -> TheirResponse | None:
        return connection.respond(403, "not you") if request.path == "/no" else None

    def choose(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((name for name in offered if name == "12.bot"), None)

    async with serve(
        echo, HOST, 0, process_request=refuse, select_subprotocol=choose, max_size=None
    ) as server:
        yield f"ws://{HOST}:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def aiohttp_server() -> AsyncIterator[str]:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(protocols=["12.bot"])
        await websocket.prepare(request)
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                if message.data == "close":
                    await websocket.close(code=4001, message=b"as you like")
                    break
                await websocket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
        return websocket

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=403, text="not you")

    app = web.Application()
    app.add_routes([web.get("/", echo), web.get("/no", refuse)])
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        yield f"ws://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def echo(websocket: abc.WebSocketConnection) -> None:
    if websocket.request.path == "/no":
        raise HTTPError(403, "not you")
    await websocket.accept("12.bot" if "12.bot" in str(websocket.request.headers) else None)
    try:
        while True:
            message = await websocket.receive()
            if message == "close":
                await websocket.close(4001, "as you like")
            await websocket.send(message)
    except WebSocketClosed:
        pass


@asynccontextmanager
async def our_server() -> AsyncIterator[str]:
    async with Server(App(websocket=echo), server_settings(deflate=True)) as server:
        yield f"ws://{HOST}:{server.addresses[0][1]}"


SERVERS: dict[str, Callable[[], Any]] = {
    "websockets": websockets_server,
    "aiohttp": aiohttp_server,
    "ours": our_server,
}
each_server = pytest.mark.parametrize("name", SERVERS)


@on_each_loop
@each_server
@pytest.mark.parametrize("deflate", [False, True])
async def test_messages_go_there_and_back(name: str, deflate: bool) -> None:
    async with (
        SERVERS[name]() as url,
        Client(deflate=deflate) as client,
        client.websocket(f"{url}/") as websocket,
    ):
        agreed = websocket.response_headers.get("sec-websocket-extensions")
        assert (agreed is not None) is deflate
        for message in MESSAGES * 2:
            await websocket.send(message)
            assert await websocket.receive() == message
        await websocket.ping()


@on_each_loop
@each_server
async def test_the_subprotocol_is_the_servers_choice(name: str) -> None:
    async with SERVERS[name]() as url, Client() as client:
        async with client.websocket(f"{url}/", subprotocols=["11.bot", "12.bot"]) as websocket:
            assert websocket.subprotocol == "12.bot"
        async with client.websocket(f"{url}/") as websocket:
            assert websocket.subprotocol is None


@on_each_loop
@each_server
async def test_the_servers_code_and_reason_are_told(name: str) -> None:
    async with (
        SERVERS[name]() as url,
        Client() as client,
        client.websocket(f"{url}/") as websocket,
    ):
        await websocket.send("close")
        with pytest.raises(WebSocketClosed) as caught:
            await websocket.receive()
        assert (caught.value.code, caught.value.reason) == (4001, "as you like")


@on_each_loop
@each_server
async def test_a_refusal_tells_its_status_and_why(name: str) -> None:
    async with SERVERS[name]() as url, Client() as client:
        with pytest.raises(UpgradeRefused) as caught:
            await client.websocket(f"{url}/no").__aenter__()
        assert caught.value.status_code == 403
        assert b"not you" in caught.value.body
        async with client.websocket(f"{url}/"):
            pass


@on_each_loop
@each_server
async def test_many_at_once_are_no_burden_to_each_other(name: str) -> None:
    async def use(number: int) -> None:
        async with client.websocket(f"{url}/") as websocket:
            for _ in range(20):
                await websocket.send(str(number))
                assert await websocket.receive() == str(number)

    async with SERVERS[name]() as url, Client() as client:
        await asyncio.gather(*map(use, range(30)))


@on_each_loop
async def test_wss_is_a_websocket_over_tls(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "certificate.pem")
    config = server_settings(tls_certificate=certificate, deflate=True)
    async with (
        Server(App(websocket=echo), config) as server,
        Client(tls=client_context()) as client,
    ):
        port = server.addresses[0][1]
        for host in ("localhost", HOST):
            async with client.websocket(f"wss://{host}:{port}/") as websocket:
                for message in MESSAGES:
                    await websocket.send(message)
                    assert await websocket.receive() == message
                await websocket.send("close")
                with pytest.raises(WebSocketClosed, match="4001: as you like"):
                    await websocket.receive()


@on_each_loop
@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_websocket_goes_through_a_tunnel_whose_proxy_is_told_no_token(
    scheme: str, tls: bool, tmp_path: Path
) -> None:
    """Also without TLS: a proxy that forwards requests does not forward their Upgrade."""
    config = server_settings()
    if tls:
        config = server_settings(tls_certificate=write_certificate(tmp_path / "certificate.pem"))
    async with Server(App(websocket=echo), config) as server:
        port = server.addresses[0][1]
        url = f"{'wss' if tls else 'ws'}://localhost:{port}/"
        async with (
            raw_proxy(port) as proxy,
            Client(tls=client_context(), proxy=proxy.url(scheme)) as client,
            client.websocket(url, headers={"Authorization": "Bearer secret"}) as websocket,
        ):
            assert proxy.asked
            assert b"secret" not in b"".join(proxy.asked)
            for message in MESSAGES:
                await websocket.send(message)
                assert await websocket.receive() == message


@on_each_loop
async def test_a_websocket_goes_over_a_unix_socket(tmp_path: Path) -> None:
    config = server_settings(listen=f"unix:{tmp_path / 'socket'}")
    async with (
        Server(App(websocket=echo), config),
        Client(unix=str(tmp_path / "socket")) as client,
        client.websocket("ws://localhost/") as websocket,
    ):
        await websocket.send("hello")
        assert await websocket.receive() == "hello"


@on_each_loop
@pytest.mark.parametrize("tls", [False, True])
async def test_a_server_is_told_1001_by_whoever_is_cancelled(tls: bool, tmp_path: Path) -> None:
    """Though nobody waits for what becomes of it."""
    heard = asyncio.get_running_loop().create_future()

    async def hear(websocket: abc.WebSocketConnection) -> None:
        await websocket.accept()
        with pytest.raises(WebSocketClosed) as caught:
            await websocket.receive()
        heard.set_result((caught.value.code, caught.value.reason))

    async def use(url: str) -> None:
        async with client.websocket(url) as websocket:
            opened.set()
            await websocket.receive()

    opened = asyncio.Event()
    config = server_settings()
    if tls:
        config = server_settings(tls_certificate=write_certificate(tmp_path / "certificate.pem"))
    async with (
        Server(App(websocket=hear), config) as server,
        Client(tls=client_context()) as client,
    ):
        url = f"{'wss' if tls else 'ws'}://localhost:{server.addresses[0][1]}/"
        using = asyncio.create_task(use(url))
        await opened.wait()
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert await heard == (1001, "")
