"""NoneBot's WebSocket over ours: its names, its errors, and when it is closed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from nonebot.drivers import Request
from nonebot.drivers import WebSocket as NoneBotWebSocket
from nonebot.exception import WebSocketClosed
from support.frames import BINARY
from support.peer import PATIENCE, settle
from support.websocket_pair import Handshake, Pair

from nbdriver.errors import ConnectionLost
from nbdriver.nonebot.v2.websockets import WebSocket

REQUEST = Request("GET", "http://a/ws")


def wrapped(pair: Pair, *, accepted: bool = True) -> WebSocket:
    return WebSocket(pair.websocket, REQUEST, accepted=accepted)


def test_it_is_nonebots_and_has_the_request_of_its_handshake() -> None:
    websocket = WebSocket(None, REQUEST)  # type: ignore[arg-type]  # none of it is used
    assert isinstance(websocket, NoneBotWebSocket)
    assert websocket.request is REQUEST
    assert repr(websocket) == "WebSocket('http://a/ws')"


async def test_text_and_bytes_are_received_as_what_they_are() -> None:
    async with Pair() as pair:
        websocket = wrapped(pair)
        pair.peer.send_frame("你")
        pair.peer.send_frame(b"\x00", BINARY)
        pair.peer.send_frame("a")
        pair.peer.send_frame(b"b", BINARY)
        assert [await websocket.receive() for _ in range(2)] == ["你", b"\x00"]
        assert await websocket.receive_text() == "a"
        assert await websocket.receive_bytes() == b"b"


async def test_the_other_kind_of_message_is_a_type_error() -> None:
    async with Pair() as pair:
        websocket = wrapped(pair)
        pair.peer.send_frame("a")
        pair.peer.send_frame(b"b", BINARY)
        pair.peer.send_frame("c")
        with pytest.raises(TypeError, match="a binary message, got text"):
            await websocket.receive_bytes()
        with pytest.raises(TypeError, match="a text message, got a binary one"):
            await websocket.receive_text()
        assert await websocket.receive() == "c"


async def test_text_and_bytes_are_sent_as_what_they_are() -> None:
    async with Pair() as pair:
        websocket = wrapped(pair)
        await websocket.send("你")
        await websocket.send(b"1")
        await websocket.send_text("a")
        for data in (b"b", bytearray(b"c"), memoryview(b"d")):
            await websocket.send_bytes(data)  # type: ignore[arg-type]  # as uvicorn takes them
        frames = [await pair.peer.read_frame() for _ in range(6)]
    assert [frame.payload.decode() for frame in frames] == ["你", "1", "a", "b", "c", "d"]
    assert [frame.opcode for frame in frames] == [1, 2, 1, 2, 2, 2]


@pytest.mark.parametrize(("name", "data"), [("send", 1), ("send_text", b"a"), ("send_bytes", "a")])
async def test_what_is_neither_is_not_sent(name: str, data: Any) -> None:
    async with Pair() as pair:
        with pytest.raises(TypeError, match=r"expected|required"):
            await getattr(wrapped(pair), name)(data)


@pytest.mark.parametrize("name", ["receive", "receive_text", "receive_bytes"])
async def test_the_end_has_the_peers_code_and_reason(name: str) -> None:
    async with Pair() as pair:
        websocket = wrapped(pair)
        pair.peer.send_close(4001, "说再见")
        with pytest.raises(WebSocketClosed) as caught:
            await getattr(websocket, name)()
        assert (caught.value.code, caught.value.reason) == (4001, "说再见")
        assert caught.value.__suppress_context__
        assert websocket.closed


async def test_a_connection_that_is_lost_has_closed_with_1006() -> None:
    async with Pair() as pair:
        websocket = wrapped(pair)
        receiving = asyncio.create_task(websocket.receive())
        await settle()
        pair.peer.reset()
        with pytest.raises(WebSocketClosed) as caught:
            await asyncio.wait_for(receiving, PATIENCE)
        assert caught.value.code == 1006


@pytest.mark.parametrize("name", ["receive", "receive_text", "receive_bytes"])
async def test_who_goes_on_after_the_end_holds_nobody_up_and_can_be_cancelled(name: str) -> None:
    async with Pair() as pair:
        websocket = wrapped(pair)

        async def stubborn() -> None:
            for _ in range(100_000):
                with suppress(WebSocketClosed):
                    await getattr(websocket, name)()

        pair.peer.send_close(1000)
        receiving = asyncio.create_task(stubborn())
        await settle()
        assert not receiving.done()
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving


async def test_nothing_can_be_sent_once_the_peer_has_left() -> None:
    async with Pair() as pair:
        websocket = wrapped(pair)
        pair.peer.send_frame("unread")
        await settle()
        pair.peer.transport.abort()
        await settle()
        assert not websocket.closed
        for send in (websocket.send, websocket.send_text):
            with pytest.raises(WebSocketClosed):
                await send("a")
        assert websocket.closed
        assert await websocket.receive() == "unread"


async def test_closed_it_sends_and_receives_no_more() -> None:
    async with Pair() as pair:
        websocket = wrapped(pair)
        assert not websocket.closed
        closing = asyncio.create_task(websocket.close(4002, "enough"))
        assert await pair.peer.read_close() == (4002, "enough")
        pair.peer.send_close(4002)
        await closing
        assert websocket.closed
        await websocket.close()
        with pytest.raises(WebSocketClosed):
            await websocket.receive()
        with pytest.raises(WebSocketClosed):
            await websocket.send("a")


async def test_a_code_that_must_not_be_sent_is_refused() -> None:
    async with Pair() as pair:
        websocket = wrapped(pair)
        with pytest.raises(ValueError, match="expected a close code"):
            await websocket.close(1006)
        assert not websocket.closed


async def test_it_has_to_be_accepted_first() -> None:
    handshake = Handshake()
    async with Pair(handshake=handshake) as pair:
        websocket = wrapped(pair, accepted=False)
        for too_early in (websocket.receive, websocket.receive_text):
            with pytest.raises(RuntimeError, match="that was accepted"):
                await too_early()
        with pytest.raises(RuntimeError, match="that was accepted"):
            await websocket.send("a")
        await websocket.accept()
        assert handshake.subprotocols == [None]
        pair.peer.send_frame("a")
        assert await websocket.receive() == "a"


async def test_a_peer_that_leaves_before_it_is_accepted_has_closed_it() -> None:
    async with Pair(handshake=Handshake(error=ConnectionLost("gone"))) as pair:
        websocket = wrapped(pair, accepted=False)
        with pytest.raises(WebSocketClosed) as caught:
            await websocket.accept()
        assert caught.value.code == 1006
        assert websocket.left


@pytest.mark.parametrize("code", [1000, 1006, 0])
async def test_before_it_is_accepted_any_code_refuses_it(code: int) -> None:
    handshake = Handshake()
    async with Pair(handshake=handshake) as pair:
        websocket = wrapped(pair, accepted=False)
        await websocket.close(code, "not you")
        assert [(error.status_code, error.reason) for error in handshake.refused] == [
            (403, "not you")
        ]
        assert websocket.closed
        pair.stream.close()
