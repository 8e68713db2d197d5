"""A WebSocket over a stream, in both roles: opening, messages both ways, and broken rules."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from support.deflate import bomb
from support.frames import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    fragments,
    frame,
    header,
)
from support.peer import PATIENCE, settle
from support.websocket_pair import Handshake, Listener, Pair
from websockets.extensions.permessage_deflate import PerMessageDeflate as TheirDeflate
from websockets.frames import Frame as TheirFrame
from websockets.protocol import CLIENT, SERVER, Protocol

from nbdriver.errors import ConnectionLost, WebSocketClosed
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


async def closed_with(pair: Pair) -> tuple[int, str]:
    """What receive raises."""
    with pytest.raises(WebSocketClosed) as caught:
        await asyncio.wait_for(pair.websocket.receive(), PATIENCE)
    return caught.value.code, caught.value.reason


# Opening.


async def test_a_connection_that_is_not_accepted_carries_nothing() -> None:
    async with Pair(handshake=Handshake()) as pair:
        websocket = pair.websocket
        assert not websocket.accepted
        for call in (websocket.receive(), websocket.send("a"), websocket.ping()):
            with pytest.raises(RuntimeError, match="expected a connection that was accepted"):
                await call
        assert not websocket.closed


async def test_accepting_opens_it_and_reads_what_came_ahead() -> None:
    handshake = Handshake(frame("early") + frame("too", fin=False))
    async with Pair(handshake=handshake) as pair:
        await pair.websocket.accept("chat")
        assert handshake.subprotocols == ["chat"]
        assert pair.websocket.accepted
        assert await pair.websocket.receive() == "early"
        pair.peer.send_frame("!", CONTINUATION)
        assert await pair.websocket.receive() == "too!"


async def test_it_is_accepted_once() -> None:
    async with Pair(handshake=Handshake()) as pair:
        await pair.websocket.accept()
        with pytest.raises(RuntimeError, match="neither accepted nor closed before"):
            await pair.websocket.accept()


async def test_a_subprotocol_that_was_not_offered_changes_nothing() -> None:
    handshake = Handshake(error=ValueError("not offered"))
    async with Pair(handshake=handshake) as pair:
        with pytest.raises(ValueError, match="not offered"):
            await pair.websocket.accept("chat")
        assert not pair.websocket.accepted
        handshake.error = None
        await pair.websocket.accept()
        assert pair.websocket.accepted


async def test_accepting_a_peer_that_has_left_raises_websocket_closed() -> None:
    async with Pair(handshake=Handshake()) as pair:
        pair.peer.transport.close()
        await settle()
        assert pair.websocket.closed
        with pytest.raises(WebSocketClosed, match="1006: the peer ended the connection"):
            await pair.websocket.accept()


async def test_accepting_when_the_stream_is_lost_raises_websocket_closed() -> None:
    async with Pair(handshake=Handshake(error=ConnectionLost("gone"))) as pair:
        with pytest.raises(WebSocketClosed, match="1006: the connection was lost"):
            await pair.websocket.accept()
        assert pair.websocket.closed


async def test_closing_before_accepting_refuses_with_403_and_the_reason() -> None:
    handshake = Handshake()
    async with Pair(handshake=handshake) as pair:
        await pair.websocket.close(reason="not you")
        assert [str(error) for error in handshake.refused] == ["403: not you"]
        assert pair.websocket.accepted
        assert pair.websocket.closed
        await pair.websocket.close()
        assert len(handshake.refused) == 1
        with pytest.raises(RuntimeError, match="neither accepted nor closed before"):
            await pair.websocket.accept()
        with pytest.raises(WebSocketClosed, match="1000: not you"):
            await pair.websocket.send("a")


async def test_a_refusal_without_words_has_some_of_ours() -> None:
    handshake = Handshake()
    async with Pair(handshake=handshake) as pair:
        await pair.websocket.close(1008)
        assert [str(error) for error in handshake.refused] == [
            "403: the connection was not accepted"
        ]


async def test_it_names_itself_by_its_path_for_the_log() -> None:
    async with Pair() as pair:
        pair.websocket.request.path = "/a\n\x1b[31m"
        assert str(pair.websocket) == r"WebSocket /a\n\x1b[31m"


# Messages.


@pytest.mark.parametrize("message", ["", "hello 你好", b"", b"\x00\xff", "x" * 70_000])
async def test_messages_go_both_ways(pair: Pair, message: str | bytes) -> None:
    opcode = TEXT if isinstance(message, str) else BINARY
    pair.peer.send_frame(message, opcode)
    assert await pair.websocket.receive() == message
    await pair.websocket.send(message)
    data = message.encode() if isinstance(message, str) else message
    assert await pair.peer.read_frame() == Frame(opcode, data)


async def test_a_message_may_come_in_fragments_with_control_frames_between_them(
    pair: Pair,
) -> None:
    pair.peer.send_frame("a", fin=False)
    pair.peer.send_frame("1", PING)
    pair.peer.send_frame("", CONTINUATION, fin=False)
    pair.peer.send_frame("2", PONG)
    pair.peer.send_frame("b", CONTINUATION)
    assert await pair.websocket.receive() == "ab"
    assert await pair.peer.read_frame() == Frame(PONG, b"1")


async def test_bytes_may_come_one_by_one(pair: Pair) -> None:
    wire = frame("hello", key=pair.peer.key) + frame(b"?", PING, key=pair.peer.key)
    for byte in wire:
        pair.peer.send(bytes([byte]))
        await asyncio.sleep(0)
    assert await pair.websocket.receive() == "hello"
    assert await pair.peer.read_frame() == Frame(PONG, b"?")


async def test_a_time_out_around_receive_loses_nothing(pair: Pair) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pair.websocket.receive(), 0)
    pair.peer.send_frame("a")
    assert await pair.websocket.receive() == "a"


async def test_two_tasks_cannot_receive(pair: Pair) -> None:
    first = asyncio.create_task(pair.websocket.receive())
    await settle()
    with pytest.raises(RuntimeError, match="expected one receiver"):
        await pair.websocket.receive()
    pair.peer.send_frame("a")
    assert await first == "a"


async def test_a_lone_surrogate_is_a_value_error_and_the_connection_unharmed(pair: Pair) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        await pair.websocket.send("\ud800")
    await pair.websocket.send("ok")
    assert await pair.peer.read_frame() == Frame(TEXT, b"ok")


@pytest.mark.parametrize("message", [None, 1, bytearray(b"a"), {"a": 1}])
async def test_what_is_no_message_is_a_type_error(pair: Pair, message: object) -> None:
    with pytest.raises(TypeError, match="expected str or bytes to send, got "):
        await pair.websocket.send(message)  # type: ignore[arg-type]  # what is to be refused


# Pings from the peer.


async def test_a_ping_is_answered_while_nobody_receives(pair: Pair) -> None:
    """A slow bot is still alive."""
    for number in range(3):
        pair.peer.send_frame(str(number), PING)
        assert await pair.peer.read_frame() == Frame(PONG, str(number).encode())


async def test_a_pong_that_nobody_asked_for_is_ignored(pair: Pair) -> None:
    pair.peer.send_frame("hello", PONG)
    pair.peer.send_frame("a")
    assert await pair.websocket.receive() == "a"


async def test_a_peer_that_pings_and_does_not_read_fills_no_memory() -> None:
    """RFC 6455, 5.5.3: the pongs to earlier pings may be left out."""
    async with Pair() as pair:
        pair.peer.transport.pause_reading()
        for _ in range(5_000):
            pair.peer.send_frame(bytes(125), PING)
            if pair.stream.unsent > 262_144:
                break
            await asyncio.sleep(0)
        await settle()
        assert 262_144 <= pair.stream.unsent < 262_144 + 200
        pair.peer.send_frame("still there")
        assert await pair.websocket.receive() == "still there"


# A peer that is slow to read.


async def test_sending_waits_for_a_peer_that_is_slow_to_read(pair: Pair) -> None:
    pair.peer.transport.pause_reading()
    sending = asyncio.create_task(pair.websocket.send(bytes(100_000)))
    await settle()
    assert not sending.done()
    pair.peer.transport.resume_reading()
    await asyncio.wait_for(sending, PATIENCE)
    assert len((await pair.peer.read_frame()).payload) == 100_000


async def test_a_peer_that_does_not_read_is_cut_off_and_writers_wake(pair: Pair) -> None:
    pair.peer.transport.pause_reading()
    writers = [asyncio.create_task(pair.websocket.send(bytes(100_000))) for _ in range(3)]
    receiver = asyncio.create_task(pair.websocket.receive())
    await settle()
    pair.clock.advance(30)
    for task in (*writers, receiver):
        with pytest.raises(WebSocketClosed, match="1006: the connection was lost"):
            await asyncio.wait_for(task, PATIENCE)
    assert pair.websocket.closed


async def test_a_writer_that_is_cancelled_harms_nothing(pair: Pair) -> None:
    pair.peer.transport.pause_reading()
    writer = asyncio.create_task(pair.websocket.send("x" * 100_000))
    await settle()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    pair.peer.transport.resume_reading()
    await pair.websocket.send("next")
    assert len((await pair.peer.read_frame()).payload) == 100_000
    assert await pair.peer.read_frame() == Frame(TEXT, b"next")


# A receiver that is slow.


@both_roles
async def test_reading_pauses_when_too_much_waits_and_goes_on_by_itself(client: bool) -> None:
    async with Pair(client=client, limits=WebSocketLimits(max_parked=10_000)) as pair:
        messages = [str(number) * 1_000 for number in range(100, 200)]
        for message in messages:
            pair.peer.send_frame(message)
            await asyncio.sleep(0)
        await settle()
        # What cannot be read waits with the peer.
        assert pair.peer.transport.get_write_buffer_size() > 200_000
        received = [await pair.websocket.receive() for _ in messages]
        assert received == messages


@pytest.mark.parametrize("message", ["", "a", "ab"])
async def test_tiny_messages_count_by_the_room_that_they_take(message: str) -> None:
    async with Pair(limits=WebSocketLimits(max_parked=20_000)) as pair:
        count = 4_000
        for _ in range(count // 100):
            pair.peer.send(frame(message) * 100)
            await asyncio.sleep(0)
        await settle()
        assert pair.peer.transport.get_write_buffer_size() > count * len(frame(message)) // 2
        for _ in range(count):
            assert await pair.websocket.receive() == message


async def test_one_message_may_be_larger_than_what_may_wait(pair: Pair) -> None:
    pair.peer.send_frame(bytes(5 * 2**20), BINARY)
    pair.peer.send_frame("next")
    assert len(await pair.websocket.receive()) == 5 * 2**20
    assert await pair.websocket.receive() == "next"


async def test_a_receiver_goes_on_by_itself_after_a_pause(pair: Pair) -> None:
    pair.websocket.pause_reading()
    pair.websocket.pause_reading()
    pair.peer.send_frame("a")
    await settle()
    assert await asyncio.wait_for(pair.websocket.receive(), PATIENCE) == "a"


# Violations.

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
        receiver = asyncio.create_task(closed_with(pair))
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
        assert await closed_with(pair) == (
            1009,
            "a message of 1001 bytes, at most 1000 are taken",
        )
    assert "1001 bytes" in caplog.text


async def test_a_fragment_flood_is_closed_in_bounded_memory() -> None:
    """GHSA-96hv-2xvq-fx4p: 131,000 frames without an end."""
    async with Pair() as pair:
        receiver = asyncio.create_task(closed_with(pair))
        pair.peer.send(frame("x", fin=False) + frame("x", CONTINUATION, fin=False) * 131_000)
        assert await receiver == (1008, "a message of over 4096 frames")
        assert await pair.peer.read_close() == (1008, "a message of over 4096 frames")


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
        assert (await closed_with(pair))[0] == 1002
        assert await pair.peer.read_frame() == Frame(TEXT, b"one")
        assert await pair.peer.read_frame() == Frame(TEXT, b"two")
        assert (await pair.peer.read_close())[0] == 1002


async def test_an_answer_that_is_under_way_when_the_violation_comes_is_sent(pair: Pair) -> None:
    pair.peer.send_frame("one")
    message = await pair.websocket.receive()
    pair.peer.send_frame("", 3)
    await settle()
    await pair.websocket.send(message)
    assert (await closed_with(pair))[0] == 1002
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
    assert (await closed_with(pair))[0] == 1002
    assert (await pair.peer.read_close())[0] == 1002
    await pair.peer.nothing_more()


async def test_a_violation_after_our_close_ends_it_without_another(pair: Pair) -> None:
    closing = asyncio.create_task(pair.websocket.close())
    await settle()
    pair.peer.send_frame("", 3)
    await asyncio.wait_for(closing, PATIENCE)
    assert (await closed_with(pair))[0] == 1002
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


async def test_a_bomb_is_1009() -> None:
    async with Pair(session=deflating(client=False)) as pair:
        pair.peer.send_frame(bomb(8_000_000), BINARY, rsv=0x40)
        assert await closed_with(pair) == (1009, "a message of over 10000 bytes once inflated")
        assert (await pair.peer.read_close())[0] == 1009


async def test_a_listener_that_was_there_before_the_connection_was_accepted() -> None:
    listener = Listener()
    async with Pair(handshake=Handshake(frame("early"))) as pair:
        pair.websocket.deliver_to(listener)
        assert not pair.websocket.delivers
        pair.websocket.pause_reading()
        await pair.websocket.accept()
        assert pair.websocket.delivers
        pair.peer.send_frame("late")
        await settle()
        assert listener.messages == []
        pair.websocket.resume_reading()
        await settle()
        assert listener.messages == ["early", "late"]
