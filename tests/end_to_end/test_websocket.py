"""Bots by reverse WebSocket, from clients that we did not write: websockets and aiohttp."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, ClassVar

import aiohttp
import pytest
from support.bots import RecordingBot
from support.echo import Echo, make_driver, serving
from support.loops import on_each_loop
from support.peer import PATIENCE
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from nbdriver import Driver, WebSocket, WebSocketClosed, abc

ID = {"X-Self-ID": "1"}
MESSAGES = [
    {"text": "你好，世界 🐱"},
    {"text": "字" * 70_000},
    {"text": "x" * 1_000_000},
    {"text": "", "list": [1, 2.5, None, True, {"deep": ["er"]}]},
]


def dial(echo: Echo, self_id: str = "1", **options: Any) -> connect:
    """Connect with `websockets`, uncompressed unless it is asked for."""
    options = {"compression": None, "max_size": None, **options}
    return connect(echo.ws, additional_headers={"X-Self-ID": self_id}, proxy=None, **options)


async def talk(websocket: ClientConnection, message: Any) -> Any:
    await websocket.send(json.dumps(message, ensure_ascii=False))
    return json.loads(await websocket.recv())


@on_each_loop
async def test_websockets_exchanges_messages_of_every_size() -> None:
    async with serving() as echo, dial(echo) as websocket:
        for message in MESSAGES:
            assert await talk(websocket, message) == {"got": message}
        assert set(echo.driver.bots) == {"1"}
        assert echo.messages == MESSAGES


@on_each_loop
async def test_aiohttp_exchanges_messages_of_every_size() -> None:
    async with serving() as echo, aiohttp.ClientSession(headers=ID) as client:
        async with client.ws_connect(echo.ws, max_msg_size=0, heartbeat=30) as websocket:
            for message in MESSAGES:
                await websocket.send_json(message)
                assert await websocket.receive_json() == {"got": message}
            await websocket.ping(b"hello")
        assert websocket.close_code == 1000
    assert echo.messages == MESSAGES


@on_each_loop
async def test_a_message_in_fragments_with_a_ping_between_them_is_one_message() -> None:
    async with serving() as echo, dial(echo) as websocket:
        text = json.dumps({"text": "片" * 5000}, ensure_ascii=False)

        def fragments() -> Iterator[str]:
            for start in range(0, len(text), 100):
                yield text[start : start + 100]

        await websocket.send(fragments())
        pong = await websocket.ping()
        await pong
        assert json.loads(await websocket.recv()) == {"got": json.loads(text)}


@on_each_loop
async def test_the_driver_pings_and_takes_the_pong() -> None:
    class Pings(Driver):
        async def _handle_ws_reverse(self, connection: abc.WebSocketConnection) -> None:
            await connection.accept()
            await connection.ping()
            await connection.send("the pong has come")

    async with serving(make_driver(Pings)) as echo, dial(echo) as websocket:
        assert await websocket.recv() == "the pong has come"


@on_each_loop
async def test_a_subprotocol_that_is_offered_can_be_chosen() -> None:
    class Chooses(Driver):
        async def _handle_ws_reverse(self, connection: abc.WebSocketConnection) -> None:
            websocket = WebSocket(connection)
            await websocket.accept("chat.v2")
            await websocket.send({"welcome": await websocket.receive()})

    async with serving(make_driver(Chooses)) as echo:
        async with dial(echo, subprotocols=["chat.v1", "chat.v2"]) as websocket:
            assert websocket.subprotocol == "chat.v2"
            assert await talk(websocket, {"a": 1}) == {"welcome": {"a": 1}}
        async with (
            aiohttp.ClientSession(headers=ID) as client,
            client.ws_connect(echo.ws, protocols=["chat.v2"]) as other,
        ):
            assert other.protocol == "chat.v2"


@on_each_loop
async def test_permessage_deflate_can_be_turned_on() -> None:
    async with serving(deflate=True) as echo:
        async with dial(echo, compression="deflate") as websocket:
            (extension,) = websocket.protocol.extensions
            assert extension.name == "permessage-deflate"
            for message in MESSAGES:
                assert await talk(websocket, message) == {"got": message}
        async with (
            aiohttp.ClientSession(headers={"X-Self-ID": "2"}) as client,
            client.ws_connect(echo.ws, max_msg_size=0, compress=15) as other,
        ):
            assert other.compress
            for message in MESSAGES:
                await other.send_json(message)
                assert await other.receive_json() == {"got": message}


@on_each_loop
async def test_permessage_deflate_is_off_by_default() -> None:
    async with serving() as echo, dial(echo, compression="deflate") as websocket:
        assert websocket.protocol.extensions == []
        assert await talk(websocket, {"a": 1}) == {"got": {"a": 1}}


@on_each_loop
async def test_a_close_by_the_client_is_answered_and_its_code_is_told() -> None:
    told: list[Any] = []

    class Listens(Driver):
        async def _handle_ws_reverse(self, connection: abc.WebSocketConnection) -> None:
            await connection.accept()
            try:
                await connection.receive()
            except WebSocketClosed as error:
                told.append((error.code, error.reason))

    async with serving(make_driver(Listens)) as echo:
        async with dial(echo) as websocket:
            await websocket.close(4321, "再见")
        assert (websocket.close_code, websocket.close_reason) == (4321, "再见")
        assert websocket.protocol.close_rcvd is not None
        async with aiohttp.ClientSession(headers=ID) as client:
            other = await client.ws_connect(echo.ws)
            await other.close(code=1001, message=b"going")
            assert other.close_code == 1001
    assert told == [(4321, "再见"), (1001, "going")]


@on_each_loop
async def test_a_close_by_the_bot_reaches_the_client() -> None:
    async with serving() as echo, dial(echo) as websocket:
        bot: Any = echo.driver.bots["1"]
        await bot.websocket.close(4000, "enough")
        with pytest.raises(ConnectionClosed) as caught:
            await websocket.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "enough")
        assert echo.driver.bots == {}


@on_each_loop
async def test_a_stop_closes_every_connection_with_1001() -> None:
    async with aiohttp.ClientSession(headers={"X-Self-ID": "2"}) as client:
        async with serving() as echo:
            websocket, other = await dial(echo), await client.ws_connect(echo.ws)
            receiving = asyncio.gather(websocket.recv(), other.receive(), return_exceptions=True)
        # Leaving the block has stopped the server; both clients have answered its Close.
        closed, message = await receiving
    assert isinstance(closed, ConnectionClosed)
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (1001, "the server is shutting down")
    assert isinstance(message, aiohttp.WSMessage)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
    assert echo.driver.bots == {}


@on_each_loop
async def test_a_refusal_is_a_plain_answer_with_status_and_reason() -> None:
    async with serving() as echo:
        first = await dial(echo)
        for path, headers, status, said in [
            ("/other/ws", ID, 404, "expected the path of an adapter"),
            ("/echo/", ID, 405, "expected POST, this is no WebSocket path"),
            ("/echo/ws", {}, 400, "Missing X-Self-ID header"),
            ("/echo/ws", ID | {"Authorization": "no"}, 403, "令牌错误"),
            ("/echo/ws", ID | {"X-Client-Role": "API"}, 400, "expected X-Client-Role: Universal"),
            ("/echo/ws", ID, 409, "bot 1 is already connected, and that connection is alive"),
        ]:
            url = echo.ws.removesuffix("/echo/ws") + path
            with pytest.raises(InvalidStatus) as caught:
                await connect(url, additional_headers=headers, proxy=None)
            response = caught.value.response
            assert (response.status_code, path) == (status, path)
            assert response.body is not None
            assert response.body.decode().startswith(said)
        assert await talk(first, {"still": "alive"}) == {"got": {"still": "alive"}}
        await first.close()


@on_each_loop
async def test_a_client_that_was_cut_off_without_a_word_can_come_back() -> None:
    async with serving(takeover_timeout=0.1) as echo:
        order: list[Any] = []
        echo.driver.on_bot_connect(lambda bot: order.append(("connect", bot)))
        echo.driver.on_bot_disconnect(lambda bot: order.append(("disconnect", bot)))
        # As behind a dropped link: connected, and silent to every ping.
        reader, writer = await silent(echo)
        old = echo.driver.bots["1"]
        async with dial(echo) as again:
            assert await talk(again, {"back": True}) == {"got": {"back": True}}
            new = echo.driver.bots["1"]
        assert order[:3] == [("connect", old), ("disconnect", old), ("connect", new)]
        assert await reader.read() in (b"", b"\x89\x04\x00\x00\x00\x01")
        writer.close()


async def silent(echo: Echo) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a WebSocket by hand, which then answers nothing."""
    host, _, port = echo.ws.removeprefix("ws://").removesuffix("/echo/ws").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"GET /echo/ws HTTP/1.1\r\nHost: localhost\r\nX-Self-ID: 1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@on_each_loop
async def test_a_client_that_vanishes_is_gone_from_the_bots_and_can_come_back() -> None:
    async with serving() as echo:
        websocket = await dial(echo)
        websocket.transport.abort()
        while echo.driver.bots:
            await asyncio.sleep(0)
        async with dial(echo) as again:
            assert await talk(again, {"back": True}) == {"got": {"back": True}}


@on_each_loop
async def test_a_client_that_is_silent_is_gone_from_the_bots_and_its_hooks_run_once() -> None:
    """Half-open: behind a dropped link neither a FIN nor a pong ever comes."""
    async with serving(ping_interval=0.1, ping_timeout=0.1) as echo:
        hooks: list[tuple[str, Any]] = []
        echo.driver.on_bot_connect(lambda bot: hooks.append(("connect", bot)))
        echo.driver.on_bot_disconnect(lambda bot: hooks.append(("disconnect", bot)))
        _, writer = await silent(echo)
        async with asyncio.timeout(PATIENCE):
            while len(hooks) < 2:
                await asyncio.sleep(0)
        assert echo.driver.bots == {}
        writer.close()
    assert hooks == [("connect", hooks[0][1]), ("disconnect", hooks[0][1])]


@on_each_loop
async def test_bots_can_close_the_server_that_waits_for_them() -> None:
    class Closes(RecordingBot):
        headers: ClassVar[list[Any]] = []

        async def handle_message(self, message: Any) -> None:
            await echo.server.close()
            assert self.websocket is not None
            await self.websocket.send({"closed": True})

    async with serving(make_driver(adapter=Closes)) as echo:

        @echo.driver.on_bot_disconnect
        async def closes(bot: Any) -> None:
            await echo.server.close()

        async with dial(echo) as websocket:
            assert await talk(websocket, {}) == {"closed": True}
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
