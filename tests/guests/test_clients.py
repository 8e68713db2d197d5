"""NoneBot's clients over ours: what only ours does, and what each keeps for how long.

What it has in common with NoneBot's own is in tests/conformance.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from conformance.standing_in import Connection, accepted, serve_bytes
from nonebot.config import Config, Env
from nonebot.drivers import HTTPClientMixin, Request, Timeout, WebSocketClientMixin, combine_driver
from nonebot.drivers.none import Driver as NoneDriver
from websockets.asyncio.server import ServerConnection, serve

from nbdriver.errors import ConfigError, InvalidResponse, NetworkTimeout, UpgradeRefused
from nbdriver.nonebot import Driver, Mixin


@pytest.fixture(params=["driver", "mixin"])
def client(request: pytest.FixtureRequest, make_driver: Callable[..., Any]) -> Any:
    """Our clients, as a part of our driver and of another."""
    if request.param == "driver":
        return make_driver()
    return combine_driver(NoneDriver, Mixin)(Env(_env_file=None), Config(_env_file=None))


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """A server that answers with the client's port, and sets a cookie."""

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        port = request.transport.get_extra_info("peername")[1]
        cookies = request.headers.get("cookie", "none")
        return web.Response(text=f"{port} {cookies}", headers={"Set-Cookie": "a=1"})

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def get(client: Any, url: str) -> list[str]:
    """The port from which a plain request came, and its cookies."""
    response = await client.request(Request("GET", url))
    return response.content.decode().split(" ")


def test_it_is_a_client_of_both_kinds(client: Any) -> None:
    assert isinstance(client, HTTPClientMixin)
    assert isinstance(client, WebSocketClientMixin)
    assert "nbdriver" in client.type


def test_the_driver_and_the_mixin_have_one_name() -> None:
    assert Mixin.type.fget(None) == Driver.type.fget(None) == "nbdriver"  # type: ignore[attr-defined]  # a property


async def test_while_the_bot_runs_connections_are_kept_and_cookies_are_not(
    client: Any, server: str
) -> None:
    async with client._lifespan:
        ports, cookies = zip(*[await get(client, server) for _ in range(3)], strict=True)
    assert len(set(ports)) == 1
    assert set(cookies) == {"none"}


async def test_where_no_bot_runs_each_request_has_its_own_connection(
    client: Any, server: str
) -> None:
    ports = {(await get(client, server))[0] for _ in range(3)}
    assert len(ports) == 3


async def test_after_the_stop_requests_can_still_be_made(client: Any, server: str) -> None:
    async with client._lifespan:
        await get(client, server)
    await get(client, server)


async def test_a_hook_may_make_requests(client: Any, server: str) -> None:
    ports: list[str] = []

    async def hook() -> None:
        ports.extend((await get(client, server))[:1])

    client.on_startup(hook)
    client.on_shutdown(hook)
    async with client._lifespan:
        pass
    assert len(set(ports)) == 1


async def test_in_another_loop_a_request_has_a_client_of_its_own(client: Any, server: str) -> None:
    async with client._lifespan:
        await get(client, server)
        found = await asyncio.to_thread(lambda: asyncio.run(get(client, server)))
    assert found[1] == "none"


async def test_the_stop_ends_connections_and_websockets(client: Any, server: str) -> None:
    told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def handle(peer: ServerConnection) -> None:
        await peer.wait_closed()
        told.set_result(peer.close_code)

    async with serve(handle, "127.0.0.1", 0) as opened:
        url = f"ws://127.0.0.1:{opened.sockets[0].getsockname()[1]}/"
        await client._lifespan.startup()
        context = client.websocket(Request("GET", url))
        await context.__aenter__()
        await client._lifespan.shutdown()
        assert await told == 1001
        await context.__aexit__(None, None, None)


async def test_the_stop_ends_them_even_if_somebodys_hook_fails(driver: Any) -> None:
    told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def handle(peer: ServerConnection) -> None:
        await peer.wait_closed()
        told.set_result(peer.close_code)

    async def failing() -> None:
        raise LookupError("no database")

    driver.on_shutdown(failing)
    async with serve(handle, "127.0.0.1", 0) as opened:
        url = f"ws://127.0.0.1:{opened.sockets[0].getsockname()[1]}/"
        async with driver.server_app.lifespan():
            context = driver.websocket(Request("GET", url))
            await context.__aenter__()
        assert told.done()
        assert told.result() == 1001
        await context.__aexit__(None, None, None)


async def test_a_stop_without_a_start_ends_nothing(client: Any) -> None:
    await client._clients.stop()


async def test_what_cannot_be_asked_is_told(client: Any) -> None:
    with pytest.raises(ConfigError, match="headers"):
        client.get_session(headers={"a b": "c"})
    given: list[Any] = [{"X-Count": 1}, {"X-Count": None}]
    for headers in given:
        with pytest.raises(TypeError, match=r"text as the header X-Count, got (int|NoneType)"):
            await client.request(Request("GET", "http://127.0.0.1:1", headers=headers))
    with pytest.raises(RuntimeError, match="HTTP version"):
        client.get_session(version="2")
    with pytest.raises(RuntimeError, match="HTTP version"):
        async with client.websocket(Request("GET", "ws://127.0.0.1:1", version="2")):
            pass


async def test_a_refusal_of_a_websocket_has_its_status(client: Any, server: str) -> None:
    with pytest.raises(UpgradeRefused) as caught:
        async with client.websocket(Request("GET", server.replace("http", "ws"))):
            pass
    assert caught.value.status_code == 200


async def test_a_receive_that_was_too_long_says_so(client: Any) -> None:
    async def handle(peer: ServerConnection) -> None:
        await peer.send(await peer.recv())

    async with serve(handle, "127.0.0.1", 0) as opened:
        url = f"ws://127.0.0.1:{opened.sockets[0].getsockname()[1]}/"
        request = Request("GET", url, timeout=Timeout(read=0.05))
        async with client.websocket(request) as websocket:
            with pytest.raises(NetworkTimeout, match="the read limit"):
                await websocket.receive()
            await websocket.send("and then")
            assert await websocket.receive() == "and then"


async def test_pings_are_sent_as_a_later_nonebot_asks(client: Any) -> None:
    pinged = asyncio.Event()

    async def answer(connection: Connection) -> None:
        connection.send(accepted(await connection.head()))
        if await connection.reader.read(1) == b"\x89":
            pinged.set()
        await connection.ends()

    async with serve_bytes(answer) as server, asyncio.timeout(10):
        url = f"ws://127.0.0.1:{server.port}/"
        request: Any = Request("GET", url, timeout=Timeout(close=0.05))
        request.ping_interval = 0.1
        async with client.websocket(request):
            await pinged.wait()


async def test_an_answer_that_is_too_large_is_an_error_but_not_as_a_stream(client: Any) -> None:
    size = 65 * 2**20

    async def answer(connection: Connection) -> None:
        await connection.head()
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(65):
            connection.send(bytes(2**20))
            await connection.writer.drain()

    async with serve_bytes(answer) as server:
        with pytest.raises(InvalidResponse, match="at most"):
            await client.request(Request("GET", server.base))
        pieces = client.stream_request(Request("GET", server.base), chunk_size=2**20)
        assert sum([len(piece.content) async for piece in pieces]) == size
