"""A WebSocket over a stream that has much to read: others have their turn, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest
from support.frames import PING, TEXT, Frame, close, frame, read_frames
from support.peer import PATIENCE, settle
from support.websocket_pair import Listener, Pair

from nbdriver.errors import WebSocketClosed
from nbdriver.net.websocket import WebSocketLimits
from nbdriver.wire.frames import FrameLimits
from nbdriver.wire.session import Session

MANY = 1_000


@pytest.mark.parametrize("message", ["x", "x" * 100_000], ids=["many", "large"])
async def test_a_connection_reads_its_share_and_then_others_have_their_turn(message: str) -> None:
    async with Pair() as pair, Pair() as other:
        listener, second = Listener(), Listener()
        pair.websocket.deliver_to(listener)
        other.websocket.deliver_to(second)
        pair.websocket.data_received(frame(message) * MANY)
        other.websocket.data_received(frame("quick"))
        assert second.messages == ["quick"]
        assert 1 <= len(listener.messages) <= 64
        pair.peer.send_close()
        assert await pair.peer.read_close() == (1000, "")
        assert listener.messages == [message] * MANY


@pytest.mark.parametrize("end", ["eof_received", "connection_lost", "a Close", "a violation"])
async def test_what_was_read_is_delivered_though_its_turn_had_not_come(end: str) -> None:
    async with Pair() as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        wire = frame("x") * MANY
        if end == "a Close":
            wire += close()
        elif end == "a violation":
            wire += frame("", 3)
        pair.websocket.data_received(wire)
        assert len(listener.messages) < MANY
        if end == "eof_received":
            pair.websocket.eof_received()
        else:
            pair.websocket.connection_lost()
        await settle()
        assert listener.messages == ["x"] * MANY
        assert isinstance(listener.closed, WebSocketClosed)
        assert listener.closed.code == {"a Close": 1000, "a violation": 1002}.get(end, 1006)


@pytest.mark.parametrize("max_parked", [10_000, 10_000_000])
async def test_what_was_read_is_delivered_though_the_listener_has_paused(max_parked: int) -> None:
    """There is nobody left to be slowed down; but there is a bound on what may wait."""
    async with Pair(limits=WebSocketLimits(max_parked=max_parked)) as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.websocket.data_received(frame("x"))
        pair.websocket.pause_reading()
        pair.websocket.data_received(frame("x" * 100) * MANY)
        assert len(listener.messages) == 1
        pair.peer.transport.abort()
        await settle()
        within_bounds = max_parked < MANY * 100
        assert (len(listener.messages) < MANY // 5) is within_bounds
        assert (len(listener.messages) == 1 + MANY) is not within_bounds
        assert str(listener.closed) == "the WebSocket is closed: 1006: the connection was lost"


async def test_whose_turn_has_not_come_cannot_be_dead() -> None:
    async with Pair() as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.websocket.data_received(frame("x") * 10_000)
        pair.clock.advance(60)
        assert listener.closed is None
        pair.websocket.pause_reading()
        pair.websocket.resume_reading()
        pair.peer.send_close()
        while pair.peer.received[-2:] != b"\x03\xe8":
            await settle()
        assert len(listener.messages) == 10_000


async def test_our_close_reads_on_in_turns_too() -> None:
    async with Pair() as pair:
        closing = asyncio.create_task(pair.websocket.close())
        await settle()
        pair.websocket.data_received(frame("x") * MANY + close(4000))
        await asyncio.wait_for(closing, PATIENCE)
        assert await pair.closed_with() == (4000, "")


async def test_a_ping_that_is_read_after_the_end_is_not_answered() -> None:
    async with Pair() as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.websocket.data_received(frame("x") * 100 + frame("?", PING) + frame("last"))
        pair.peer.transport.abort()
        await settle()
        assert listener.messages[-1] == "last"
        assert not pair.peer.received


# A plain frame that comes alone need not go through the buffer.


@pytest.fixture(params=[True, False], ids=["fast lane", "plain lane"])
def session(request: pytest.FixtureRequest) -> Session:
    return Session(FrameLimits(), fast_lane=request.param)


async def test_the_rest_of_a_frame_is_no_frame_of_its_own(session: Session) -> None:
    """Whatever it looks like: here it is a whole one, empty and masked."""
    wire = frame("x", key=b"\x80abc")
    assert read_frames(wire[1:]) == [Frame(TEXT, b"", masked=True)]
    async with Pair(session=session) as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        for piece in (wire[:1], wire[1:], frame("y")):
            pair.websocket.data_received(piece)
        assert listener.messages == ["x", "y"]


async def test_a_frame_that_comes_alone_does_not_overtake_what_waits_for_its_turn(
    session: Session,
) -> None:
    async with Pair(session=session) as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.websocket.data_received(frame("x") * MANY)
        pair.websocket.data_received(frame("last"))
        await settle()
        assert listener.messages == ["x"] * MANY + ["last"]


async def test_a_frame_that_comes_while_another_is_delivered_comes_after_it(
    session: Session,
) -> None:
    class Receiving(Listener):
        def message_received(self, message: str | bytes) -> None:
            super().message_received(message)
            if message == "first":
                pair.websocket.data_received(frame("second"))
                assert self.messages == ["first"]

    async with Pair(session=session) as pair:
        listener = Receiving()
        pair.websocket.deliver_to(listener)
        pair.websocket.data_received(frame("first"))
        assert listener.messages == ["first", "second"]


async def test_a_frame_that_comes_to_a_listener_that_has_paused_waits(session: Session) -> None:
    async with Pair(session=session) as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.websocket.pause_reading()
        for message in ("a", "b"):
            pair.websocket.data_received(frame(message))
        assert listener.messages == []
        assert not pair.websocket._inbox, "they wait as the bytes that they came as"
        pair.websocket.resume_reading()
        assert listener.messages == ["a", "b"]


async def test_what_comes_behind_a_violation_is_kept_nowhere(session: Session) -> None:
    """It is thrown away (RFC 6455, 7.1.7), while what came before it is still answered."""
    async with Pair(session=session) as pair:
        pair.websocket.data_received(frame("before") + frame("", 3))
        for _ in range(MANY):
            pair.websocket.data_received(frame("x"))
        assert pair.websocket._buffer == b""
        assert await pair.websocket.receive() == "before"
        assert await pair.closed_with() == (1002, "opcode 0x3 is reserved")
