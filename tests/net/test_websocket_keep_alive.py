"""Pings of ours, and a peer that is no longer there."""

from __future__ import annotations

import asyncio
import logging

import pytest
from support.frames import PING, PONG, Frame
from support.peer import PATIENCE, settle
from support.websocket_pair import Listener, Pair

from nbdriver.errors import WebSocketClosed
from nbdriver.net.websocket import WebSocketLimits

both_roles = pytest.mark.parametrize("client", [False, True], ids=["server", "client"])


async def answer_ping(pair: Pair) -> None:
    ping = await pair.peer.read_frame()
    assert ping.opcode == PING
    pair.peer.send_frame(ping.payload, PONG)
    await settle()


@both_roles
async def test_a_peer_is_pinged_every_20_s_and_lives_as_long_as_it_answers(client: bool) -> None:
    async with Pair(client=client) as pair:
        for _ in range(5):
            pair.clock.advance(19.75)
            assert not pair.peer.received
            pair.clock.advance(0.25)
            await answer_ping(pair)
        assert not pair.websocket.closed


@both_roles
async def test_a_dead_peer_is_aborted_20_s_after_the_ping_and_whoever_waits_wakes(
    client: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A dropped link: nothing comes, not even an end."""
    caplog.set_level(logging.INFO, "nbdriver.net.websocket")
    async with Pair(client=client) as pair:
        receiver = asyncio.create_task(pair.websocket.receive())
        pair.clock.advance(39.75)
        await settle()
        assert not receiver.done()
        pair.clock.advance(0.25)
        with pytest.raises(
            WebSocketClosed, match=r"^the WebSocket is closed: 1006: no pong came within 20\.0 s$"
        ):
            await asyncio.wait_for(receiver, PATIENCE)
        assert pair.websocket.closed
        await settle()
        assert pair.peer.lost
    assert "WebSocket /a/ws: cut off, no pong came within 20.0 s" in caplog.text


async def test_a_listener_is_told_of_a_dead_peer() -> None:
    async with Pair() as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.clock.advance(40)
        assert str(listener.closed) == "the WebSocket is closed: 1006: no pong came within 20.0 s"


async def test_any_byte_counts_as_a_sign_of_life() -> None:
    async with Pair() as pair:
        pair.clock.advance(39)
        pair.peer.send(b"\x81")
        await settle()
        pair.clock.advance(19)
        assert not pair.websocket.closed


async def test_a_time_out_may_be_shorter_or_longer_than_the_interval() -> None:
    for timeout in (5, 50):
        async with Pair(limits=WebSocketLimits(ping_timeout=timeout)) as pair:
            for _ in range(3):
                pair.clock.advance(20)
                await answer_ping(pair)
            assert not pair.websocket.closed
            pair.clock.advance(20 + timeout - 0.25)
            await settle()
            assert not pair.websocket.closed
            pair.clock.advance(0.25)
            assert pair.websocket.closed


async def test_without_an_interval_nobody_is_pinged() -> None:
    async with Pair(limits=WebSocketLimits(ping_interval=None)) as pair:
        assert pair.clock.pending == 0
        pair.clock.advance(10_000)
        await settle()
        assert not pair.peer.received
        assert not pair.websocket.closed


async def test_without_a_time_out_a_silent_peer_is_pinged_for_ever() -> None:
    async with Pair(limits=WebSocketLimits(ping_timeout=None)) as pair:
        for _ in range(10):
            pair.clock.advance(20)
            assert (await pair.peer.read_frame()).opcode == PING
        assert not pair.websocket.closed


async def test_the_time_for_the_pong_stands_still_while_reading_is_paused() -> None:
    """Nothing can be heard from a peer that we do not listen to."""
    async with Pair() as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.websocket.pause_reading()
        for _ in range(5):
            pair.clock.advance(20)
            await answer_ping(pair)
        assert listener.closed is None
        pair.websocket.resume_reading()
        # What came meanwhile is read on the next turn; its time has not run out before that.
        pair.clock.advance(19.75)
        assert listener.closed is None
        await settle()
        pair.clock.advance(20)
        assert listener.closed is None


async def test_a_peer_that_is_silent_after_a_pause_has_its_whole_time_and_no_more() -> None:
    async with Pair() as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.clock.advance(20)
        pair.websocket.pause_reading()
        pair.clock.advance(100)
        pair.websocket.resume_reading()
        pair.clock.advance(19.75)
        assert listener.closed is None
        pair.clock.advance(0.25)
        assert str(listener.closed) == "the WebSocket is closed: 1006: no pong came within 20.0 s"


async def test_a_slow_receiver_does_not_make_its_peer_look_dead() -> None:
    async with Pair(limits=WebSocketLimits(max_parked=1_000)) as pair:
        for _ in range(3):
            pair.peer.send_frame("x" * 1_000)
            await settle()
        for _ in range(5):
            pair.clock.advance(20)
            await answer_ping(pair)
        assert [await pair.websocket.receive() for _ in range(3)] == ["x" * 1_000] * 3
        pair.clock.advance(19)
        assert not pair.websocket.closed


async def test_a_ping_that_finds_the_stream_gone_leaves_no_deadline() -> None:
    async with Pair() as pair:
        pair.stream.abort()
        pair.clock.advance(20)
        assert pair.websocket.closed
        await settle()
        assert pair.clock.pending == 0


# Asking.


@both_roles
async def test_asking_waits_for_the_pong(client: bool) -> None:
    async with Pair(client=client) as pair:
        asking = asyncio.create_task(pair.websocket.ping())
        await settle()
        ping = await pair.peer.read_frame()
        pair.peer.send_frame("something else", PONG)
        await settle()
        assert not asking.done()
        pair.peer.send_frame(ping.payload, PONG)
        await asyncio.wait_for(asking, PATIENCE)


async def test_a_pong_answers_every_ping_before_it() -> None:
    """RFC 6455, 5.5.3."""
    async with Pair() as pair:
        asking = [asyncio.create_task(pair.websocket.ping()) for _ in range(3)]
        await settle()
        pings = [await pair.peer.read_frame() for _ in range(3)]
        assert len({ping.payload for ping in pings}) == 3
        pair.peer.send_frame(pings[-1].payload, PONG)
        await asyncio.wait_for(asyncio.gather(*asking), PATIENCE)


@pytest.mark.parametrize("end", ["close", "abort", "lost", "violation"])
async def test_whoever_waits_for_a_pong_wakes_when_none_can_come(end: str) -> None:
    async with Pair() as pair:
        asking = asyncio.create_task(pair.websocket.ping())
        await settle()
        if end == "close":
            pair.peer.send_close(1000, "bye")
        elif end == "abort":
            pair.websocket.abort()
        elif end == "lost":
            pair.peer.transport.abort()
        else:
            pair.peer.send_frame("", 3)
            await settle()
            pair.clock.advance(11)
        with pytest.raises(WebSocketClosed):
            await asyncio.wait_for(asking, PATIENCE)


async def test_whoever_no_longer_waits_for_a_pong_is_not_missed() -> None:
    async with Pair() as pair:
        asking = asyncio.create_task(pair.websocket.ping())
        await settle()
        ping = await pair.peer.read_frame()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        pair.peer.send_frame(ping.payload, PONG)
        pair.peer.send_frame("?", PING)
        assert await pair.peer.read_frame() == Frame(PONG, b"?")
