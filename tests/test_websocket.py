"""The contract's WebSocket: JSON objects, and None for what is none."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.frames import BINARY, TEXT, Frame
from support.peer import PATIENCE, settle
from support.websocket_pair import Handshake, Pair

from nbdriver import WebSocket
from nbdriver.errors import WebSocketClosed

LOG = "nbdriver.websocket"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with Pair() as pair:
        yield pair


@pytest.fixture
def websocket(pair: Pair) -> WebSocket:
    return WebSocket(pair.websocket)


async def sent(pair: Pair) -> Any:
    """The JSON that came over."""
    frame = await pair.peer.read_frame()
    assert frame.opcode == TEXT
    return json.loads(frame.payload)


@dataclasses.dataclass
class Segment:
    type: str
    data: dict[str, str]


async def test_it_wraps_a_message_level_connection(pair: Pair, websocket: WebSocket) -> None:
    assert websocket.websocket is pair.websocket
    assert websocket.closed is False


async def test_accepting_goes_to_the_connection_with_its_subprotocol() -> None:
    handshake = Handshake()
    async with Pair(handshake=handshake) as pair:
        websocket = WebSocket(pair.websocket)
        await websocket.accept("chat")
        assert handshake.subprotocols == ["chat"]


async def test_json_objects_go_both_ways_as_text(pair: Pair, websocket: WebSocket) -> None:
    pair.peer.send_frame('{"message": "你好", "id": 12345678901234567890}')
    assert await websocket.receive() == {"message": "你好", "id": 12345678901234567890}
    await websocket.send({"answer": [1, 2.5, None, True, "再见"]})
    assert await sent(pair) == {"answer": [1, 2.5, None, True, "再见"]}


async def test_dataclasses_go_out_as_their_fields(pair: Pair, websocket: WebSocket) -> None:
    await websocket.send({"message": [Segment("text", {"text": "a"})]})
    assert await sent(pair) == {"message": [{"type": "text", "data": {"text": "a"}}]}


@pytest.mark.parametrize("data", [{"a": float("nan")}, {"a": object()}, {"a": {1, 2}}])
async def test_what_json_cannot_hold_is_an_error_and_the_connection_unharmed(
    pair: Pair, websocket: WebSocket, data: dict[str, Any]
) -> None:
    with pytest.raises((TypeError, ValueError)):
        await websocket.send(data)
    await websocket.send({})
    assert await sent(pair) == {}


async def test_a_lone_surrogate_goes_out_as_an_escape(pair: Pair, websocket: WebSocket) -> None:
    """JSON can carry what UTF-8 cannot; JavaScript sends such things."""
    await websocket.send({"a": "\ud800"})
    frame = await pair.peer.read_frame()
    assert frame.payload.decode() == r'{"a":"\ud800"}'


async def test_a_binary_message_may_be_json_too(pair: Pair, websocket: WebSocket) -> None:
    pair.peer.send_frame(b'{"a": 1}', BINARY)
    assert await websocket.receive() == {"a": 1}


@pytest.mark.parametrize("message", ["", "nonsense", "[1]", '"text"', "1", "null", "[" * 100_000])
async def test_a_message_that_is_no_json_object_is_none_and_logged(
    pair: Pair, websocket: WebSocket, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, LOG)
    pair.peer.send_frame(message)
    assert await websocket.receive() is None
    assert websocket.closed is False
    (record,) = caplog.records
    assert record.message.startswith("WebSocket /a/ws: message ignored, ")
    assert len(record.message) < 500


async def test_the_contracts_loop_drops_nothing_and_ends(
    pair: Pair, websocket: WebSocket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, LOG)
    received = []

    async def loop() -> None:
        while not websocket.closed:
            received.append(await websocket.receive())

    looping = asyncio.create_task(loop())
    await settle()
    for message in ('{"a": 1}', "nonsense", '{"a": 2}', '{"a": 3}'):
        pair.peer.send_frame(message)
    pair.peer.transport.write_eof()
    await asyncio.wait_for(looping, PATIENCE)
    assert received[:4] == [{"a": 1}, None, {"a": 2}, {"a": 3}]
    assert set(map(str, received[4:])) <= {"None"}
    assert await websocket.receive() is None


async def test_text_and_bytes_may_be_received_and_sent_as_they_are(
    pair: Pair, websocket: WebSocket
) -> None:
    pair.peer.send_frame("text")
    pair.peer.send_frame(b"\xff", BINARY)
    assert await websocket.receive_text() == "text"
    assert await websocket.receive_bytes() == b"\xff"
    await websocket.send_text("text")
    await websocket.send_bytes(b"\xff")
    assert await pair.peer.read_frame() == Frame(TEXT, b"text")
    assert await pair.peer.read_frame() == Frame(BINARY, b"\xff")


async def test_a_message_of_the_other_kind_is_a_type_error(
    pair: Pair, websocket: WebSocket
) -> None:
    pair.peer.send_frame("text")
    pair.peer.send_frame(b"\xff", BINARY)
    with pytest.raises(TypeError, match="a binary message, got text of 4 characters"):
        await websocket.receive_bytes()
    with pytest.raises(TypeError, match="a text message, got a binary one of 1 bytes"):
        await websocket.receive_text()


async def test_once_it_is_closed_all_but_receive_raise_with_code_and_reason(
    pair: Pair, websocket: WebSocket
) -> None:
    pair.peer.send_close(4000, "enough")
    await settle()
    assert websocket.closed is True
    assert await websocket.receive() is None
    for call in (
        websocket.receive_text(),
        websocket.receive_bytes(),
        websocket.send({}),
        websocket.send_text("a"),
        websocket.send_bytes(b"a"),
    ):
        with pytest.raises(WebSocketClosed) as caught:
            await call
        assert (caught.value.code, caught.value.reason) == (4000, "enough")


async def test_closing_tells_the_peer_code_and_reason(pair: Pair, websocket: WebSocket) -> None:
    closing = asyncio.create_task(websocket.close(4000, "enough"))
    assert await pair.peer.read_close() == (4000, "enough")
    pair.peer.send_close(4000)
    await asyncio.wait_for(closing, PATIENCE)
    assert websocket.closed is True
    await websocket.close()


async def test_a_close_is_1000_unless_it_says_otherwise(pair: Pair, websocket: WebSocket) -> None:
    closing = asyncio.create_task(websocket.close())
    assert await pair.peer.read_close() == (1000, "")
    pair.peer.send_close()
    await asyncio.wait_for(closing, PATIENCE)


async def test_a_code_that_may_not_be_sent_is_a_value_error(websocket: WebSocket) -> None:
    with pytest.raises(ValueError, match="expected a close code"):
        await websocket.close(1006)
