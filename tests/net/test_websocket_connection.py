"""A WebSocket over a stream, in both roles: its opening, and messages both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.frames import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    frame,
)
from support.peer import PATIENCE, settle
from support.websocket_pair import Handshake, Listener, Pair

from nbdriver.errors import ConnectionLost, WebSocketClosed
from nbdriver.net.websocket import WebSocketLimits

both_roles = pytest.mark.parametrize("client", [False, True], ids=["server", "client"])


@pytest.fixture(params=[False, True], ids=["server", "client"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with Pair(client=request.param) as pair:
        yield pair


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
        pair.websocket.request.target = "/a\n\x1b[31m"
        assert str(pair.websocket) == r"WebSocket /a\n\x1b[31m"


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


async def test_of_many_senders_to_a_peer_that_does_not_read_only_one_fills_the_buffer(
    pair: Pair,
) -> None:
    pair.peer.transport.pause_reading()
    senders = [asyncio.create_task(pair.websocket.send(bytes(100_000))) for _ in range(20)]
    await settle()
    assert 100_000 <= pair.stream.unsent < 200_000
    pair.peer.transport.resume_reading()
    for sender in senders:
        await asyncio.wait_for(sender, PATIENCE)
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
