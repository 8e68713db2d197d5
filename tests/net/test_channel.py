"""`Channel`: what a client waits for, in memory and over real transports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support import memory
from support.cancelling import WAYS, Way
from support.jumping import jumping
from support.peer import PATIENCE, Peer, settle
from support.transports import KINDS, TLS_KINDS, Kind

from nbdriver.errors import ConnectionLost
from nbdriver.net.channel import Channel
from nbdriver.net.clock import LoopClock, VirtualClock
from nbdriver.net.stream import StreamLimits

LITTLE = 1_000
"""What may lie in the buffer here before reading pauses."""


class Pushed:
    """A receiver that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def eof_received(self) -> None:
        self.told.append("eof")

    def connection_lost(self) -> None:
        self.told.append("connection_lost")


def connect(max_buffered: int = LITTLE) -> tuple[Channel, Peer]:
    """A channel and its peer, joined in memory."""
    channel, peer = Channel(VirtualClock(), max_buffered=max_buffered), Peer()
    memory.connect(channel.stream, peer)
    return channel, peer


async def finish(channel: Channel, peer: Peer) -> None:
    channel.abort()
    peer.transport.abort()
    async with asyncio.timeout(PATIENCE):
        await channel.wait_closed()
        await peer.until(lambda: peer.lost)


def over_each_transport(
    test: Callable[[Channel, Peer], Awaitable[None]],
) -> Callable[[Kind], None]:
    def run(kind: Kind) -> None:
        async def scenario() -> None:
            clock = LoopClock(asyncio.get_running_loop())
            channel, peer = Channel(clock), Peer()
            await kind.connect(peer, channel.stream)
            async with asyncio.timeout(PATIENCE):
                await test(channel, peer)
            await finish(channel, peer)
            assert clock.pending == 0

        with asyncio.Runner(loop_factory=kind.loop_factory) as runner:
            runner.run(scenario())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return pytest.mark.parametrize("kind", [*KINDS, *TLS_KINDS], ids=str)(run)


# Reading.


@over_each_transport
async def test_what_comes_lies_in_the_buffer_in_its_order(channel: Channel, peer: Peer) -> None:
    for number in range(100):
        peer.send(b"%d," % number)
    while not channel.buffer.endswith(b"99,"):
        assert await channel.more()
    assert channel.buffer == b"".join(b"%d," % number for number in range(100))


@over_each_transport
async def test_much_comes_whole_however_slowly_it_is_taken(channel: Channel, peer: Peer) -> None:
    much = b"0123456789abcdef" * 2**17
    peer.send(much)
    taken = bytearray()
    while len(taken) < len(much):
        assert await channel.more()
        await settle()
        taken += channel.buffer
        channel.buffer.clear()
    assert taken == much


@over_each_transport
async def test_the_end_of_what_a_peer_sends_is_told_after_all_of_it(
    channel: Channel, peer: Peer
) -> None:
    peer.send(b"the rest")
    peer.transport.close()
    while await channel.more():
        pass
    assert channel.buffer == b"the rest"
    assert channel.eof
    assert not channel.open
    assert not await channel.more()


@over_each_transport
async def test_a_connection_that_is_reset_is_lost_to_whoever_waits(
    channel: Channel, peer: Peer
) -> None:
    waiting = asyncio.create_task(channel.more())
    await settle()
    peer.reset()
    with pytest.raises(ConnectionLost, match="is gone"):
        await waiting
    assert not channel.eof
    assert not channel.open
    with pytest.raises(ConnectionLost):
        await channel.more()
    await channel.wait_closed()


@jumping
async def test_more_is_more_than_lies_there_already() -> None:
    channel, peer = connect()
    peer.send(b"first")
    assert await channel.more()
    waiting = asyncio.create_task(channel.more())
    await settle()
    assert not waiting.done()
    peer.send(b", second")
    assert await waiting
    assert channel.buffer == b"first, second"
    await finish(channel, peer)


@jumping
async def test_what_came_before_a_reset_is_told_before_it() -> None:
    channel, peer = connect()
    waiting = asyncio.create_task(channel.more())
    await asyncio.sleep(0)
    channel.stream.data_received(b"last words")
    channel.stream.connection_lost(ConnectionResetError())
    assert await waiting
    assert channel.buffer == b"last words"
    with pytest.raises(ConnectionLost):
        await channel.more()
    await finish(channel, peer)


@jumping
async def test_a_reset_after_the_end_is_the_end() -> None:
    channel, peer = connect()
    peer.transport.write_eof()
    assert not await channel.more()
    peer.reset()
    await channel.wait_closed()
    assert not await channel.more()
    await finish(channel, peer)


@jumping
async def test_a_channel_that_we_close_gives_no_more() -> None:
    channel, peer = connect()
    waiting = asyncio.create_task(channel.more())
    await settle()
    channel.close()
    peer.send(b"too late")
    with pytest.raises(ConnectionLost):
        await waiting
    assert channel.buffer == b""
    await finish(channel, peer)


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@jumping
async def test_whoever_waits_may_be_cancelled_and_nothing_is_lost(way: Way) -> None:
    for number in range(1, 6):
        channel, peer = connect()

        async def ask(channel: Channel = channel, peer: Peer = peer) -> bool:
            peer.send(b"hello")
            return await channel.more()

        outcome = await way(ask(), number)
        assert outcome.cancelled or outcome.result is True
        if not channel.buffer:
            assert await channel.more()
        assert channel.buffer == b"hello"
        await finish(channel, peer)


# Back-pressure.


@jumping
async def test_reading_pauses_while_the_buffer_is_full_and_goes_on_when_more_is_asked_for() -> None:
    channel, peer = connect()
    peer.transport.share = 400  # type: ignore[attr-defined]  # a MemoryTransport
    peer.send(b"x" * 10 * LITTLE)
    await settle()
    assert LITTLE < len(channel.buffer) <= LITTLE + 400
    assert channel.stream.paused
    before = len(channel.buffer)
    assert await channel.more()
    # It was full already, so that a piece more was let in, and no second one.
    assert before < len(channel.buffer) <= before + 400
    channel.buffer.clear()
    assert await channel.more()
    await settle()
    assert LITTLE < len(channel.buffer) <= LITTLE + 400
    await finish(channel, peer)


@jumping
async def test_while_reading_is_paused_a_channel_is_not_open_for_another_request() -> None:
    channel, peer = connect()
    peer.send(b"x" * 2 * LITTLE)
    await settle()
    channel.rest()
    assert channel.stream.paused  # full as before
    peer.send(b"unasked")
    channel.buffer.clear()
    assert not channel.open
    channel.rest()
    assert channel.open  # as far as anybody knows
    await settle()
    assert channel.buffer == b"unasked"
    assert not channel.open
    await finish(channel, peer)


# Another request?


def nothing(peer: Peer) -> None:
    pass


def bytes_unasked(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")


def the_end(peer: Peer) -> None:
    peer.transport.write_eof()


def a_reset(peer: Peer) -> None:
    peer.reset()


@pytest.mark.parametrize("came", [nothing, bytes_unasked, the_end, a_reset])
@jumping
async def test_a_channel_is_open_until_something_comes_unasked(
    came: Callable[[Peer], None],
) -> None:
    channel, peer = connect()
    assert channel.open
    came(peer)
    await settle()
    assert channel.open is (came is nothing)
    await finish(channel, peer)


# Writing and ending.


@over_each_transport
async def test_what_is_written_arrives_and_drain_waits_for_a_slow_peer(
    channel: Channel, peer: Peer
) -> None:
    piece, written = b"0123456789abcdef" * 2**12, 0
    peer.transport.pause_reading()
    while channel.stream.full is None:
        channel.write(piece)
        written += len(piece)
        await settle()
    draining = asyncio.create_task(channel.drain())
    await settle()
    assert not draining.done()
    peer.transport.resume_reading()
    await draining
    await peer.until(lambda: len(peer.received) == written)


@over_each_transport
async def test_close_sends_what_waits_and_then_the_end(channel: Channel, peer: Peer) -> None:
    channel.write(b"goodbye")
    channel.close()
    channel.close()  # safe to repeat
    assert await peer.read_to_end() == b"goodbye"
    assert not channel.open
    with pytest.raises(ConnectionLost):
        channel.write(b"too late")
    peer.transport.close()
    await channel.wait_closed()
    with pytest.raises(ConnectionLost):
        await channel.drain()


@jumping
async def test_a_peer_that_does_not_read_cannot_keep_a_closed_channel() -> None:
    loop = asyncio.get_running_loop()
    channel, peer = Channel(LoopClock(loop), StreamLimits(write_timeout=5.0)), Peer()
    memory.connect(channel.stream, peer)
    peer.transport.pause_reading()
    channel.write(b"x" * 100_000)
    channel.close()
    began = loop.time()
    await channel.wait_closed()
    assert 5.0 <= loop.time() - began < 6.0
    await peer.until(lambda: peer.lost)


@jumping
async def test_a_channel_tells_the_facts_about_its_transport() -> None:
    channel, peer = Channel(VirtualClock(), peername=("192.0.2.7", 80)), Peer()
    memory.connect(channel.stream, peer, sockname=("192.0.2.1", 50_000))
    assert channel.info("peername") == ("192.0.2.7", 80)
    assert channel.info("sockname") == ("192.0.2.1", 50_000)
    assert channel.info("no such fact") is None
    await finish(channel, peer)


# Handing over.


@over_each_transport
async def test_what_was_read_ahead_is_handed_over_and_the_rest_is_pushed(
    channel: Channel, peer: Peer
) -> None:
    peer.send(b"101, then a frame")
    while not channel.buffer.endswith(b"frame"):
        await channel.more()
    del channel.buffer[:5]
    pushed = Pushed()
    assert channel.hand_over(pushed) == b"then a frame"
    peer.send(b"another frame")
    while not pushed.told:
        await asyncio.sleep(0)
    peer.transport.close()
    channel.abort()
    await channel.wait_closed()
    assert channel.buffer == b""
    assert pushed.told[0] == b"another frame"
    assert pushed.told[-1] == "connection_lost"


@jumping
async def test_reading_goes_on_when_a_full_channel_is_handed_over() -> None:
    channel, peer = connect()
    peer.send(b"x" * 2 * LITTLE)
    await settle()
    assert channel.stream.paused
    pushed = Pushed()
    assert channel.hand_over(pushed) == b"x" * 2 * LITTLE
    peer.send(b"y")
    await settle()
    assert pushed.told == [b"y"]
    await finish(channel, peer)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (the_end, nothing, ["eof"]),
        (the_end, a_reset, ["eof", "connection_lost"]),
        (a_reset, nothing, ["connection_lost"]),
    ],
)
@jumping
async def test_who_takes_over_is_told_of_an_end_that_came_before(
    before: Callable[[Peer], None], after: Callable[[Peer], None], told: list[str]
) -> None:
    channel, peer = connect()
    before(peer)
    await settle()
    pushed = Pushed()
    assert channel.hand_over(pushed) == b""
    assert pushed.told == []  # not before it had what was read ahead
    after(peer)
    await settle()
    assert pushed.told == told
    await finish(channel, peer)


@jumping
async def test_who_takes_over_is_told_nothing_after_the_connection_was_lost() -> None:
    channel, peer = connect()
    peer.transport.write_eof()
    await settle()
    pushed = Pushed()
    channel.hand_over(pushed)
    channel.stream.connection_lost(ConnectionResetError())
    await settle()
    assert pushed.told == ["connection_lost"]
    peer.transport.abort()
