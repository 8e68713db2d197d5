"""What breaks a rule on a WebSocket over a stream, and what was complete before that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from support.deflate import bomb
from support.frames import BINARY, PING, PONG, TEXT, Frame, fragments, frame, header
from support.peer import PATIENCE, settle
from support.websocket_pair import Pair
from websockets.extensions.permessage_deflate import PerMessageDeflate as TheirDeflate
from websockets.frames import Frame as TheirFrame
from websockets.protocol import CLIENT, SERVER, Protocol

from nbdriver.errors import WebSocketClosed
from nbdriver.net.websocket import WebSocketLimits
from nbdriver.wire.deflate import DeflateSettings, PerMessageDeflate, Window
from nbdriver.wire.frames import FrameLimits
from nbdriver.wire.session import Session

LOG = "nbdriver.net.websocket"
both_roles = pytest.mark.parametrize("client", [False, True], ids=["server", "client"])


@pytest.fixture(params=[False, True], ids=["server", "client"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with Pair(client=request.param) as pair:
        yield pair


def limited(**limits: int) -> WebSocketLimits:
    return WebSocketLimits(frames=FrameLimits(**limits))


VIOLATIONS = [
    pytest.param(1002, lambda key: frame("", 3, key=key), id="reserved opcode"),
    pytest.param(1002, lambda key: frame("a", rsv=0x40, key=key), id="RSV1 without an extension"),
    pytest.param(1002, lambda key: b"\x82\xff" + b"\xff" * 8, id="a length of 2^64-1"),
    pytest.param(1002, lambda key: frame("a", key=None if key else b"abcd"), id="masking"),
    pytest.param(1007, lambda key: frame(b"\xff", key=key), id="not UTF-8"),
    pytest.param(1008, lambda key: b"".join(fragments(*[""] * 9, key=key)), id="empty fragments"),
    pytest.param(1009, lambda key: header(2**62, masked=key is not None), id="a length of 2^62"),
]


@both_roles
@pytest.mark.parametrize(("code", "wire"), VIOLATIONS)
async def test_a_violation_is_told_to_the_peer_and_ends_the_connection(
    client: bool, code: int, wire: Callable[[bytes | None], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOG)
    async with Pair(client=client, limits=limited(max_fragments=8)) as pair:
        receiver = asyncio.create_task(pair.closed_with())
        await settle()
        pair.peer.send(wire(pair.peer.key))
        got, reason = await receiver
        assert got == code
        assert await pair.peer.read_close() == (code, reason)
        await pair.peer.nothing_more()
        assert [record.message for record in caplog.records] == [
            f"WebSocket /a/ws: closed, {code}: {reason}"
        ]


async def test_the_size_of_what_was_too_big_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOG)
    async with Pair(limits=limited(max_message=1_000)) as pair:
        pair.peer.send(header(1_001))
        assert await pair.closed_with() == (
            1009,
            "a message of 1001 bytes, at most 1000 are taken",
        )
    assert "1001 bytes" in caplog.text


@both_roles
@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("", "a message of 4097 frames that hold 0 bytes"),
        ("x", "a message of 4229 frames that hold 4229 bytes"),
    ],
    ids=["empty", "of one byte"],
)
async def test_a_fragment_flood_is_closed_in_bounded_memory(
    payload: str, words: str, client: bool
) -> None:
    """GHSA-96hv-2xvq-fx4p: 131,000 frames without an end."""
    async with Pair(client=client) as pair:
        receiver = asyncio.create_task(pair.closed_with())
        first, rest = fragments(payload, payload, "", key=pair.peer.key)[:2]
        pair.peer.send(first + rest * 131_000)
        assert await receiver == (1008, words)
        assert await pair.peer.read_close() == (1008, words)


@both_roles
async def test_messages_complete_before_a_violation_are_received_and_answered_before_the_close(
    client: bool,
) -> None:
    """Receive, send, receive: asking for more is what says that all is answered."""
    async with Pair(client=client) as pair:
        wire = frame("one", key=pair.peer.key) + frame("two", key=pair.peer.key)
        pair.peer.send(wire + frame("", 3, key=pair.peer.key))
        for expected in ("one", "two"):
            message = await pair.websocket.receive()
            assert message == expected
            await settle()
            await pair.websocket.send(message)
        assert (await pair.closed_with())[0] == 1002
        assert await pair.peer.read_frame() == Frame(TEXT, b"one")
        assert await pair.peer.read_frame() == Frame(TEXT, b"two")
        assert (await pair.peer.read_close())[0] == 1002


async def test_an_answer_that_is_under_way_when_the_violation_comes_is_sent(pair: Pair) -> None:
    pair.peer.send_frame("one")
    message = await pair.websocket.receive()
    pair.peer.send_frame("", 3)
    await settle()
    await pair.websocket.send(message)
    assert (await pair.closed_with())[0] == 1002
    assert await pair.peer.read_frame() == Frame(TEXT, b"one")


async def test_a_handler_that_asks_for_no_more_does_not_put_off_the_close(pair: Pair) -> None:
    pair.peer.send_frame("", 3)
    await settle()
    await pair.websocket.send("still")
    pair.clock.advance(10)
    assert await pair.peer.read_frame() == Frame(TEXT, b"still")
    assert (await pair.peer.read_close())[0] == 1002
    with pytest.raises(WebSocketClosed, match="1002"):
        await pair.websocket.send("too late")


async def test_what_comes_after_a_violation_is_thrown_away(pair: Pair) -> None:
    pair.peer.send_frame("one")
    pair.peer.send_frame("", 3)
    pair.peer.send_frame("two")
    await settle()
    pair.peer.send_frame("?", PING)
    pair.peer.send_close()
    await settle()
    assert await pair.websocket.receive() == "one"
    assert (await pair.closed_with())[0] == 1002
    assert (await pair.peer.read_close())[0] == 1002
    await pair.peer.nothing_more()


async def test_a_violation_after_our_close_ends_it_without_another(pair: Pair) -> None:
    closing = asyncio.create_task(pair.websocket.close())
    await settle()
    pair.peer.send_frame("", 3)
    await asyncio.wait_for(closing, PATIENCE)
    assert (await pair.closed_with())[0] == 1002
    assert await pair.peer.read_close() == (1000, "")
    await pair.peer.nothing_more()


# permessage-deflate.

OPTIONS = DeflateSettings(threshold=0, max_message=10_000)


def deflating(*, client: bool) -> Session:
    extension = PerMessageDeflate(Window(15, True), Window(15, True), OPTIONS)
    return Session(FrameLimits(max_message=10_000), client=client, extension=extension)


@both_roles
async def test_compressed_messages_pass_between_us_and_websockets(client: bool) -> None:
    theirs = Protocol(SERVER if client else CLIENT)
    theirs.extensions = [TheirDeflate(False, False, 15, 15)]
    async with Pair(client=client, session=deflating(client=client)) as pair:
        for message in ("hello" * 100, "hello" * 100, ""):
            theirs.send_text(message[:10].encode(), fin=False)
            theirs.send_ping(b"?")
            theirs.send_continuation(message[10:].encode(), fin=True)
            pair.peer.send(b"".join(theirs.data_to_send()))
            await pair.websocket.send(await pair.websocket.receive())
            await settle()
            theirs.receive_data(bytes(pair.peer.received))
            pair.peer.received.clear()
            pong, echo = theirs.events_received()
            assert isinstance(pong, TheirFrame)
            assert isinstance(echo, TheirFrame)
            assert (pong.opcode, echo.data) == (PONG, message.encode())


@both_roles
async def test_a_bomb_is_1009(client: bool) -> None:
    async with Pair(client=client, session=deflating(client=client)) as pair:
        pair.peer.send_frame(bomb(8_000_000), BINARY, rsv=0x40)
        assert await pair.closed_with() == (1009, "a message of over 10000 bytes once inflated")
        assert (await pair.peer.read_close())[0] == 1009
