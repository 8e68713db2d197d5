"""`Stream` over each kind of transport: what holds in memory holds on real sockets as well."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import memory
from support.certificates import authority, client_context
from support.jumping import jumping
from support.loops import LOOPS
from support.peer import PATIENCE, Peer, settle
from support.transports import IN_MEMORY, KINDS, TCP_KINDS, TLS_KINDS, Kind, socket_pair

from nbdriver.errors import ConnectionLost
from nbdriver.net.clock import RESOLUTION, VirtualClock
from nbdriver.net.stream import Stream, StreamLimits

LIMITS = StreamLimits(write_buffer=16_384, write_timeout=30.0, linger_timeout=2.0)

#: More than all buffers on the way can hold, so that some of it waits in ours.
MUCH = b"0123456789abcdef" * 2**18


class Recorder:
    """A receiver that keeps what it is told, one item for each thing that happened."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.received = bytearray()
        self.changed = asyncio.Event()

    def note(self, what: str) -> None:
        self.happened.append(what)
        self.changed.set()

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.happened[-1:] != ["data"]:
            self.note("data")
        self.changed.set()

    def eof_received(self) -> None:
        self.note("eof")

    def connection_lost(self) -> None:
        self.note("connection_lost")


class Link:
    """A stream, its receiver, and the peer at the other end."""

    def __init__(self, receiver: Recorder | None = None) -> None:
        self.receiver = receiver or Recorder()
        self.clock = VirtualClock()
        self.peer = Peer()
        self.stream = Stream(self._connected, self._lost, self.clock, LIMITS)

    def _connected(self, stream: Stream) -> Recorder:
        assert stream is self.stream
        self.receiver.note("connected")
        return self.receiver

    def _lost(self, stream: Stream) -> None:
        assert stream is self.stream
        self.receiver.note("lost")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that happened to the stream has made `condition` true."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.receiver.changed.clear()
                await self.receiver.changed.wait()

    @property
    def lost(self) -> bool:
        return "lost" in self.receiver.happened

    async def until_lost(self) -> None:
        await self.until(lambda: self.lost)

    async def until_read(self, data: bytes) -> None:
        await self.until(lambda: self.receiver.received == data)

    async def fill(self) -> None:
        """Write more than is sent while the peer does not read."""
        self.peer.transport.pause_reading()
        self.stream.write(MUCH)
        await settle()
        assert self.stream.unsent > LIMITS.write_buffer

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def finish(self) -> None:
        """End both sides, and see that the stream has told it once, last, and kept nothing."""
        self.peer.transport.resume_reading()
        self.stream.abort()
        if not self.peer.lost:
            self.peer.transport.abort()
        await self.until_lost()
        await self.peer.until(lambda: self.peer.lost)
        happened = self.receiver.happened
        assert happened[0] == "connected"
        assert happened[-2:] == ["connection_lost", "lost"]
        assert len([each for each in happened if each != "data"]) == len(set(happened) - {"data"})
        assert self.clock.pending == 0


def over(*kinds: Kind) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Run a test over each of these kinds of transport, with a link that is finished at its end.

    The test gets the link first, and whatever else it asks pytest for.
    """

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        def run(kind: Kind, **others: Any) -> None:
            async def scenario() -> None:
                link = Link()
                await kind.connect(link.stream, link.peer)
                try:
                    await test(link, **others)
                finally:
                    await link.finish()

            with asyncio.Runner(loop_factory=kind.loop_factory) as runner:
                runner.run(scenario())

        own = inspect.signature(run).parameters["kind"]
        asked = list(inspect.signature(test).parameters.values())[1:]
        run.__signature__ = inspect.Signature([own, *asked])
        run.__name__, run.__doc__ = test.__name__, test.__doc__
        run.pytestmark = getattr(test, "pytestmark", [])
        return pytest.mark.parametrize("kind", kinds, ids=str)(run)

    return decorate


over_each_transport = over(*KINDS)


# Reading.


@over_each_transport
async def test_what_the_peer_sends_is_pushed_to_the_receiver_in_its_order(link: Link) -> None:
    for number in range(100):
        link.peer.send(b"%d," % number)
        await asyncio.sleep(0)
    await link.until_read(b"".join(b"%d," % number for number in range(100)))
    assert link.receiver.happened == ["connected", "data"]


async def test_whatever_a_transport_brings_the_receiver_gets_bytes() -> None:
    """On Windows, Python 3.11 brings a bytearray."""
    pieces: list[bytes] = []

    class Collector(Recorder):
        def data_received(self, data: bytes) -> None:
            pieces.append(data)

    link = Link(Collector())
    memory.connect(link.stream, link.peer)
    link.stream.data_received(bytearray(b"hello"))  # type: ignore[arg-type]  # as there
    assert [(type(piece), piece) for piece in pieces] == [(bytes, b"hello")]
    await link.finish()


@over_each_transport
async def test_push_gives_what_comes_from_now_on_to_another_receiver(link: Link) -> None:
    link.peer.send(b"first")
    await link.until_read(b"first")
    second = Recorder()
    link.stream.push(second)
    link.peer.send(b"second")
    link.peer.transport.write_eof()
    async with asyncio.timeout(PATIENCE):
        while second.happened != ["data", "eof"]:
            second.changed.clear()
            await second.changed.wait()
    link.stream.abort()
    await link.until_lost()
    assert second.received == b"second"
    assert second.happened == ["data", "eof", "connection_lost"]
    assert link.receiver.happened == ["connected", "data", "lost"]
    link.receiver.happened.insert(-1, "connection_lost")  # which `finish` looks for


@over_each_transport
async def test_the_facts_about_a_connection_are_those_of_its_transport(link: Link) -> None:
    host, port = link.stream.info("peername")
    assert host == "127.0.0.1"
    assert isinstance(port, int)
    assert link.stream.info("no such fact") is None


async def test_an_address_that_is_known_better_takes_the_place_of_the_transports() -> None:
    peers = [("192.0.2.1", 5), "", None]
    streams = [
        Stream(lambda _: Recorder(), lambda _: None, VirtualClock(), LIMITS, peername)
        for peername in peers
    ]
    for stream in streams:
        memory.connect(stream, Peer(), peername=("127.0.0.1", 50_000))
    told = [stream.info("peername") for stream in streams]
    assert told == [("192.0.2.1", 5), "", ("127.0.0.1", 50_000)]


@over_each_transport
async def test_while_reading_is_paused_nothing_is_pushed_and_nothing_is_lost(link: Link) -> None:
    link.stream.pause_reading()
    link.stream.pause_reading()  # safe to repeat
    link.peer.send(b"later")
    await settle()
    assert link.receiver.received == b""
    link.stream.resume_reading()
    link.stream.resume_reading()  # safe to repeat
    await link.until_read(b"later")


@over_each_transport
async def test_a_peer_is_slowed_down_while_reading_is_paused(link: Link) -> None:
    link.stream.pause_reading()
    link.peer.send(MUCH)
    await settle()
    assert link.peer.transport.get_write_buffer_size() > 0
    link.stream.resume_reading()
    await link.until_read(MUCH)


@over_each_transport
async def test_the_receiver_may_pause_reading_while_it_is_pushed_to(link: Link) -> None:
    def pause(data: bytes) -> None:
        Recorder.data_received(link.receiver, data)
        link.stream.pause_reading()

    link.receiver.data_received = pause
    link.peer.send(b"one")
    await link.until_read(b"one")
    link.peer.send(b"two")
    await settle()
    assert link.receiver.received == b"one"
    link.stream.resume_reading()
    await link.until_read(b"onetwo")


# Half-closed.


@over_each_transport
async def test_a_peer_that_sends_no_more_can_still_be_written_to(link: Link) -> None:
    link.peer.send(b"question")
    link.peer.transport.write_eof()
    await link.until(lambda: "eof" in link.receiver.happened)
    assert link.receiver.received == b"question"
    assert link.stream.open
    link.stream.write(b"answer")
    await link.stream.drain()
    link.stream.close()
    assert await link.peer.read_to_end() == b"answer"


@over_each_transport
async def test_the_end_of_what_the_peer_sends_is_told_once(link: Link) -> None:
    link.peer.transport.write_eof()
    await link.until(lambda: "eof" in link.receiver.happened)
    link.stream.pause_reading()
    await settle()
    link.stream.resume_reading()
    await settle()
    assert link.receiver.happened == ["connected", "eof"]


# Writing.


@over_each_transport
async def test_what_is_written_arrives_in_its_order(link: Link) -> None:
    for number in range(100):
        link.stream.write(b"%d," % number)
    assert await link.peer.read(b"99,") == b"".join(b"%d," % number for number in range(100))
    assert link.stream.unsent == 0


@over_each_transport
async def test_drain_returns_at_once_while_the_buffer_has_room(link: Link) -> None:
    link.stream.write(b"little")
    with pytest.raises(StopIteration):
        link.stream.drain().send(None)


@over_each_transport
async def test_drain_waits_until_a_full_buffer_has_room_again(link: Link) -> None:
    await link.fill()
    waiting = [asyncio.create_task(link.stream.drain()) for _ in range(3)]
    await settle()
    assert not any(each.done() for each in waiting)
    link.peer.transport.resume_reading()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)
    await link.peer.until(lambda: link.peer.received == MUCH)


@over_each_transport
async def test_drain_can_be_cancelled_and_the_others_wait_on(link: Link) -> None:
    await link.fill()
    first, second = (asyncio.create_task(link.stream.drain()) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert not second.done()
    link.peer.transport.resume_reading()
    async with asyncio.timeout(PATIENCE):
        await second
        await link.stream.drain()


@over_each_transport
async def test_a_buffer_can_be_filled_and_drained_again_and_again(link: Link) -> None:
    for number in range(1, 4):
        await link.fill()
        draining = asyncio.create_task(link.stream.drain())
        link.peer.transport.resume_reading()
        async with asyncio.timeout(PATIENCE):
            await draining
        await link.peer.until(lambda number=number: link.peer.received == MUCH * number)


@over_each_transport
@pytest.mark.parametrize("linger", [False, True])
async def test_after_it_was_closed_nothing_can_be_written(link: Link, linger: bool) -> None:
    link.stream.close(linger=linger)
    assert not link.stream.open
    with pytest.raises(ConnectionLost, match="closed"):
        link.stream.write(b"too late")
    assert await link.peer.read_to_end() == b""


@over_each_transport
async def test_after_it_was_lost_nothing_can_be_written_and_nothing_is_waited_for(
    link: Link,
) -> None:
    link.peer.reset()
    await link.until_lost()
    assert not link.stream.open
    with pytest.raises(ConnectionLost):
        link.stream.write(b"too late")
    with pytest.raises(ConnectionLost, match="gone"):
        await link.stream.drain()
    assert link.stream.unsent == 0
    for harmless in (
        link.stream.pause_reading,
        link.stream.resume_reading,
        link.stream.close,
        link.stream.abort,
    ):
        harmless()
    link.stream.close(linger=True)
    assert link.stream.info("no such fact") is None


# A connection that goes away.


def the_peer_resets(link: Link) -> None:
    link.peer.reset()


def we_abort(link: Link) -> None:
    link.stream.abort()


def the_peer_reads_nothing_for_too_long(link: Link) -> None:
    link.clock.advance(LIMITS.write_timeout + RESOLUTION)


@over_each_transport
@pytest.mark.parametrize(
    "goes_away", [the_peer_resets, we_abort, the_peer_reads_nothing_for_too_long]
)
@pytest.mark.parametrize("state", ["open", "half closed", "closed", "lingering"])
async def test_whoever_drains_wakes_when_the_connection_goes_away_in_any_state(
    link: Link, goes_away: Callable[[Link], None], state: str
) -> None:
    if state == "half closed":
        link.peer.transport.write_eof()
        await link.until(lambda: "eof" in link.receiver.happened)
    await link.fill()
    draining = [asyncio.create_task(link.stream.drain()) for _ in range(3)]
    await settle()
    if state in ("closed", "lingering"):
        link.stream.close(linger=state == "lingering")
    await settle()
    assert not any(each.done() for each in draining)
    goes_away(link)
    await link.until_lost()
    async with asyncio.timeout(PATIENCE):
        outcomes = await asyncio.gather(*draining, return_exceptions=True)
    assert [type(each) for each in outcomes] == [ConnectionLost] * 3


@over_each_transport
@pytest.mark.parametrize("state", ["open", "half closed", "lingering"])
async def test_a_reset_is_noticed_while_nothing_is_written(link: Link, state: str) -> None:
    if state == "half closed":
        link.peer.transport.write_eof()
        await link.until(lambda: "eof" in link.receiver.happened)
        # Over TCP it is the next write that meets the reset.
        link.peer.reset()
        while link.stream.open:
            link.stream.write(b"?")
            await asyncio.sleep(0)
    elif state == "lingering":
        link.stream.close(linger=True)
        link.peer.reset()
    else:
        link.peer.reset()
    await link.until_lost()


@over_each_transport
async def test_lost_is_told_even_if_the_receiver_fails(link: Link) -> None:
    failed = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))

    def fail() -> None:
        link.receiver.note("connection_lost")
        raise ZeroDivisionError

    link.receiver.connection_lost = fail
    link.stream.abort()
    await link.until_lost()
    await settle()
    assert [type(context["exception"]) for context in failed] == [ZeroDivisionError]


@over_each_transport
async def test_nothing_is_written_to_a_transport_that_ends_by_itself(link: Link) -> None:
    link.stream._transport.abort()
    assert not link.stream.open
    with pytest.raises(ConnectionLost):
        link.stream.write(b"too late")
    await link.until_lost()


# A peer that reads slowly, or not at all.


@over_each_transport
@pytest.mark.parametrize("closed", [False, True])
async def test_a_peer_that_reads_nothing_is_cut_off_when_its_time_is_over(
    link: Link, closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "nbdriver")
    await link.fill()
    if closed:
        link.stream.close()
    link.clock.advance(LIMITS.write_timeout - RESOLUTION)
    await settle()
    assert not link.lost
    link.clock.advance(2 * RESOLUTION)
    await link.until_lost()
    link.peer.transport.resume_reading()
    await link.peer.until(lambda: link.peer.lost or link.peer.eof)
    assert len(link.peer.received) < len(MUCH)
    assert "cut off: the peer took 0 bytes in 30 s" in caplog.messages


@over(*TCP_KINDS)
@pytest.mark.parametrize("closed", [False, True])
async def test_the_kernel_keeps_nothing_for_a_peer_that_was_cut_off(
    link: Link, closed: bool
) -> None:
    await link.fill()
    if closed:
        link.stream.close()
    link.clock.advance(LIMITS.write_timeout + RESOLUTION)
    await link.until_lost()
    link.peer.transport.resume_reading()
    await link.peer.until(lambda: link.peer.lost or link.peer.eof)
    # Reset, not ended: an end would come only after all that the kernel had kept.
    assert not link.peer.eof


@over_each_transport
@pytest.mark.parametrize("ending", ["none", "close", "linger"])
async def test_a_peer_that_reads_slowly_is_not_cut_off(link: Link, ending: str) -> None:
    await link.fill()
    if ending != "none":
        link.stream.close(linger=ending == "linger")
    while link.stream.unsent > LIMITS.write_buffer:
        link.clock.advance(LIMITS.write_timeout * 0.9)
        before = link.stream.unsent
        while link.stream.unsent == before:
            await link.peer.read_some()
    link.peer.transport.resume_reading()
    await link.peer.until(lambda: link.peer.received == MUCH)


@over_each_transport
async def test_a_peer_that_reads_less_than_is_written_is_not_cut_off(link: Link) -> None:
    await link.fill()
    for _ in range(5):
        link.clock.advance(LIMITS.write_timeout * 0.9)
        before = link.stream.unsent
        while link.stream.unsent == before:
            await link.peer.read_some()
        link.stream.write(MUCH)
        assert link.stream.unsent > before
    await settle()
    assert not link.lost


@over_each_transport
async def test_a_peer_that_read_slowly_and_reads_no_more_is_cut_off(link: Link) -> None:
    await link.fill()
    link.clock.advance(LIMITS.write_timeout * 0.9)
    before = link.stream.unsent
    while link.stream.unsent == before:
        await link.peer.read_some()
    await settle()
    link.clock.advance(LIMITS.write_timeout)
    await settle()
    assert not link.lost
    link.clock.advance(LIMITS.write_timeout)
    await link.until_lost()


@over(IN_MEMORY)
@pytest.mark.parametrize(("taken", "cut_off"), [(1_023, True), (1_024, False)])
async def test_a_peer_that_takes_less_than_1_kib_in_its_time_is_cut_off(
    link: Link, taken: int, cut_off: bool
) -> None:
    link.peer.transport.other.share = taken
    await link.fill()
    await link.peer.read_some()
    link.clock.advance(LIMITS.write_timeout + RESOLUTION)
    await settle()
    assert link.lost is cut_off


@over_each_transport
async def test_time_runs_only_while_the_peer_has_to_read(link: Link) -> None:
    await link.fill()
    link.clock.advance(LIMITS.write_timeout * 0.9)
    link.peer.transport.resume_reading()
    async with asyncio.timeout(PATIENCE):
        await link.stream.drain()
    link.clock.advance(10 * LIMITS.write_timeout)
    await link.peer.until(lambda: link.peer.received == MUCH)
    assert not link.lost


# Closing.


@over_each_transport
async def test_close_ends_the_connection_after_what_waits_is_sent(link: Link) -> None:
    link.stream.write(MUCH)
    link.stream.close()
    link.stream.close()  # safe to repeat
    assert await link.peer.read_to_end() == MUCH
    await link.until_lost()


@over_each_transport
async def test_whoever_drains_a_stream_that_is_closed_waits_until_all_is_sent(link: Link) -> None:
    await link.fill()
    draining = asyncio.create_task(link.stream.drain())
    link.stream.close()
    await settle()
    assert not draining.done()
    link.peer.transport.resume_reading()
    # Whether there is a turn between the last byte and the end is the transport's affair.
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait([draining])
    assert draining.exception() is None or link.lost
    assert await link.peer.read_to_end() == MUCH


@over_each_transport
async def test_what_the_peer_sends_after_close_is_not_pushed(link: Link) -> None:
    link.stream.close()
    link.peer.send(b"too late")
    await link.until_lost()
    assert link.receiver.happened == ["connected", "connection_lost", "lost"]


@over_each_transport
async def test_abort_ends_the_connection_at_once_and_drops_what_waits(link: Link) -> None:
    await link.fill()
    link.stream.abort()
    link.stream.abort()  # safe to repeat
    link.stream.close()  # and so is this
    link.stream.close(linger=True)
    await link.until_lost()
    link.peer.transport.resume_reading()
    await link.peer.until(lambda: link.peer.lost or link.peer.eof)
    assert len(link.peer.received) < len(MUCH)


@over_each_transport
async def test_abort_after_close_does_not_wait_for_the_peer(link: Link) -> None:
    await link.fill()
    link.stream.close()
    link.stream.abort()
    await link.until_lost()


@over_each_transport
@pytest.mark.parametrize("ending", ["close", "linger", "abort"])
async def test_the_receiver_may_end_the_connection_while_it_is_pushed_to(
    link: Link, ending: str
) -> None:
    def end(data: bytes) -> None:
        link.receiver.note("data")
        if ending == "abort":
            link.stream.abort()
        else:
            link.stream.write(b"answer")
            link.stream.close(linger=ending == "linger")

    link.receiver.data_received = end
    link.peer.send(b"question")
    await link.peer.until(lambda: link.peer.lost or link.peer.eof)
    assert link.peer.received == (b"" if ending == "abort" else b"answer")
    link.peer.send(b"and another question")
    link.peer.transport.close()
    await link.until_lost()
    assert link.receiver.happened == ["connected", "data", "connection_lost", "lost"]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("ending", ["close", "linger", "abort"])
def test_a_connection_may_be_ended_as_soon_as_it_is_made(kind: Kind, ending: str) -> None:
    class Hasty(Link):
        def _connected(self, stream: Stream) -> Recorder:
            if ending == "abort":
                stream.abort()
            else:
                stream.write(b"go away")
                stream.close(linger=ending == "linger")
            return super()._connected(stream)

    async def scenario() -> None:
        link = Hasty()
        await kind.connect(link.stream, link.peer)
        await link.peer.until(lambda: link.peer.lost or link.peer.eof)
        assert link.peer.received == (b"" if ending == "abort" else b"go away")
        await link.finish()

    with asyncio.Runner(loop_factory=kind.loop_factory) as runner:
        runner.run(scenario())


# Lingering (RFC 9112, 9.6).


@over_each_transport
async def test_a_lingering_close_ends_with_the_peers_own_end(link: Link) -> None:
    link.stream.write(b"answer")
    link.stream.close(linger=True)
    assert await link.peer.read_to_end() == b"answer"
    assert link.peer.eof
    await settle()
    assert not link.lost
    link.peer.transport.close()
    await link.until_lost()


@over_each_transport
async def test_a_lingering_close_throws_away_what_the_peer_still_sends(link: Link) -> None:
    link.stream.close(linger=True)
    link.peer.send(MUCH)
    await link.peer.until(lambda: link.peer.eof)
    link.peer.transport.write_eof()
    await link.until_lost()
    assert link.receiver.received == b""
    assert "eof" not in link.receiver.happened


@over_each_transport
async def test_unread_input_does_not_take_the_last_answer_with_it(link: Link) -> None:
    link.stream.pause_reading()
    link.peer.send(MUCH)
    await settle()
    link.stream.write(b"413 Content Too Large")
    link.stream.close(linger=True)
    assert await link.peer.read_to_end() == b"413 Content Too Large"
    assert link.peer.eof
    assert not link.peer.lost
    # The peer's input is taken to its end, so that it may send all before it reads the answer.
    link.peer.transport.write_eof()
    await link.until_lost()
    assert link.receiver.received == b""


@over_each_transport
async def test_a_lingering_close_ends_when_its_time_is_over(link: Link) -> None:
    link.stream.close(linger=True)
    await link.peer.until(lambda: link.peer.eof)
    link.clock.advance(LIMITS.linger_timeout - RESOLUTION)
    link.peer.send(b"I go on")
    await settle()
    assert not link.lost
    link.clock.advance(2 * RESOLUTION)
    await link.until_lost()


@over_each_transport
async def test_the_time_of_a_lingering_close_begins_when_all_is_sent(link: Link) -> None:
    await link.fill()
    link.stream.close(linger=True)
    link.clock.advance(5 * LIMITS.linger_timeout)
    await settle()
    assert not link.lost
    link.peer.transport.resume_reading()
    assert await link.peer.read_to_end() == MUCH
    assert link.stream.unsent == 0
    await settle()
    assert not link.lost
    link.clock.advance(LIMITS.linger_timeout + RESOLUTION)
    await link.until_lost()


@over_each_transport
async def test_a_lingering_close_cuts_off_a_peer_that_reads_nothing(link: Link) -> None:
    await link.fill()
    link.stream.close(linger=True)
    link.clock.advance(LIMITS.write_timeout + RESOLUTION)
    await link.until_lost()


@over_each_transport
async def test_a_peer_that_sends_no_more_is_not_lingered_for(link: Link) -> None:
    link.peer.transport.write_eof()
    await link.until(lambda: "eof" in link.receiver.happened)
    link.stream.write(b"answer")
    link.stream.close(linger=True)
    assert await link.peer.read_to_end() == b"answer"
    await link.until_lost()


@over_each_transport
async def test_a_peer_that_ends_before_all_is_sent_still_gets_it(link: Link) -> None:
    await link.fill()
    link.stream.close(linger=True)
    link.peer.transport.write_eof()
    await settle()
    link.peer.transport.resume_reading()
    assert await link.peer.read_to_end() == MUCH
    await link.until_lost()


@over(IN_MEMORY)
async def test_a_lingering_close_of_a_connection_that_was_reset_just_now_ends_it(
    link: Link,
) -> None:
    def close() -> None:
        link.peer.lost = True
        link.stream.close(linger=True)

    link.peer.connection_lost = lambda _: close()
    link.peer.transport.abort()
    await link.until_lost()


@pytest.mark.parametrize("kind", TCP_KINDS, ids=str)
def test_a_lingering_close_of_a_socket_that_was_reset_just_now_ends_it(kind: Kind) -> None:
    async def scenario() -> None:
        link = Link()
        here, there = socket_pair()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: link.stream, here)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there.close()
        link.stream.close(linger=True)
        await link.until_lost()
        assert link.clock.pending == 0

    with asyncio.Runner(loop_factory=kind.loop_factory) as runner:
        runner.run(scenario())


# TLS, of which asyncio's transports know no half-closed connection.


async def fill_over_tls(link: Link) -> bytes:
    """As `Link.fill`, in pieces: of a large write asyncio does not tell how much of it waits."""
    link.peer.transport.pause_reading()
    written = b""
    while link.stream.unsent <= LIMITS.write_buffer:
        piece = b"%07d," % len(written) * 2**13
        link.stream.write(piece)
        written += piece
        await settle()
    return written


@over(*TLS_KINDS)
async def test_over_tls_bytes_are_carried_both_ways_and_drained(link: Link) -> None:
    link.peer.send(b"question")
    await link.until_read(b"question")
    written = await fill_over_tls(link)
    draining = asyncio.create_task(link.stream.drain())
    link.peer.transport.resume_reading()
    async with asyncio.timeout(PATIENCE):
        await draining
    await link.peer.until(lambda: link.peer.received == written)


@over(*TLS_KINDS)
async def test_over_tls_the_end_of_what_the_peer_sends_ends_the_connection(link: Link) -> None:
    link.peer.transport.close()
    await link.until_lost()
    assert link.receiver.happened == ["connected", "eof", "connection_lost", "lost"]


@over(*TLS_KINDS)
@pytest.mark.parametrize("linger", [False, True])
async def test_over_tls_close_sends_what_waits_and_says_goodbye(link: Link, linger: bool) -> None:
    link.stream.write(MUCH)
    link.stream.close(linger=linger)
    assert await link.peer.read_to_end() == MUCH
    await link.until_lost()


@over(*TLS_KINDS)
async def test_over_tls_a_peer_that_reads_nothing_is_cut_off(link: Link) -> None:
    await fill_over_tls(link)
    link.stream.close()
    link.clock.advance(LIMITS.write_timeout + RESOLUTION)
    await link.until_lost()


def over_tls(test: Callable[[Link, ssl.SSLSocket], Awaitable[None]]) -> Callable[..., None]:
    """Run a test with a link to a TLS client that blocks, and does nothing by itself."""

    async def scenario(version: ssl.TLSVersion) -> None:
        raised: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        link = Link()
        client_side = client_context()
        client_side.maximum_version = version
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority().issue_cert("localhost").configure_cert(server_side)
        loop = asyncio.get_running_loop()
        here, there = socket_pair()
        there.settimeout(PATIENCE)
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, client = await asyncio.gather(
            loop.connect_accepted_socket(lambda: link.stream, here, ssl=server_side),
            asyncio.to_thread(client_side.wrap_socket, there, server_hostname="localhost"),
        )
        with client:
            await test(link, client)
        await link.until_lost()
        assert link.clock.pending == 0
        assert raised == []

    def run(loop: str, version: ssl.TLSVersion) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(scenario(version))

    versions = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
    run.__name__ = test.__name__
    return pytest.mark.parametrize("version", versions)(pytest.mark.parametrize("loop", LOOPS)(run))


def read_all(client: ssl.SSLSocket) -> bytes:
    """All that comes until the server has said goodbye; a mere end is an error (RFC 8446, 6.1)."""
    client.settimeout(PATIENCE)
    received = b""
    while data := client.recv(65_536):
        received += data
    return received


@over_tls
async def test_over_tls_unread_input_does_not_take_the_last_answer_with_it(
    link: Link, client: ssl.SSLSocket
) -> None:
    link.stream.pause_reading()
    sending = asyncio.create_task(asyncio.to_thread(client.sendall, MUCH))
    await settle()
    link.stream.write(b"413 Content Too Large")
    link.stream.close(linger=True)
    # It sends to its end, and only then reads.
    await sending
    assert await asyncio.to_thread(read_all, client) == b"413 Content Too Large"
    await settle()
    assert not link.lost
    assert link.receiver.received == b""


@over_tls
async def test_over_tls_a_goodbye_among_what_is_unread_ends_a_lingering_close(
    link: Link, client: ssl.SSLSocket
) -> None:
    link.stream.pause_reading()
    client.setblocking(False)
    client.sendall(b"unread")
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()
    await settle()
    link.stream.write(b"answer")
    link.stream.close(linger=True)
    await link.until_lost()
    assert link.receiver.received == b""


@over_tls
async def test_over_tls_a_lingering_close_ends_when_its_time_is_over(
    link: Link, client: ssl.SSLSocket
) -> None:
    link.stream.write(b"answer")
    link.stream.close(linger=True)
    assert await asyncio.to_thread(read_all, client) == b"answer"
    link.clock.advance(LIMITS.linger_timeout - RESOLUTION)
    await asyncio.to_thread(client.sendall, b"I go on")
    await settle()
    assert not link.lost
    link.clock.advance(2 * RESOLUTION)
    await link.until_lost()


@over_tls
async def test_over_tls_a_peer_that_does_not_answer_the_goodbye_is_not_waited_for(
    link: Link, client: ssl.SSLSocket
) -> None:
    link.stream.write(b"answer")
    link.stream.close()
    await settle()
    link.clock.advance(LIMITS.linger_timeout - RESOLUTION)
    await settle()
    assert not link.lost
    link.clock.advance(2 * RESOLUTION)
    await link.until_lost()
    assert await asyncio.to_thread(read_all, client) == b"answer"


@over_tls
async def test_over_tls_the_answer_to_the_goodbye_ends_the_connection(
    link: Link, client: ssl.SSLSocket
) -> None:
    link.stream.write(b"answer")
    link.stream.close()
    assert await asyncio.to_thread(read_all, client) == b"answer"
    await asyncio.to_thread(client.unwrap)
    await link.until_lost()
    assert link.receiver.happened == ["connected", "connection_lost", "lost"]


@over_tls
async def test_over_tls_a_peer_that_reads_what_waits_is_given_its_time(
    link: Link, client: ssl.SSLSocket
) -> None:
    written = b""
    while link.stream.unsent <= LIMITS.write_buffer:
        link.stream.write(b"x" * 65_536)
        written += b"x" * 65_536
        await settle()
    link.stream.close()
    reading = asyncio.create_task(asyncio.to_thread(read_all, client))
    async with asyncio.timeout(PATIENCE):
        while link.stream.unsent:
            await asyncio.sleep(0)
    link.clock.advance(LIMITS.write_timeout + RESOLUTION)
    await settle()
    assert not link.lost
    assert await reading == written
    link.clock.advance(LIMITS.linger_timeout + RESOLUTION)
    await link.until_lost()


# Whatever is done in whatever order.

DEEDS: dict[str, Callable[[Link], object]] = {
    "write": lambda link: link.stream.open and link.stream.write(b"x" * 20_000),
    "close": lambda link: link.stream.close(),
    "linger": lambda link: link.stream.close(linger=True),
    "abort": lambda link: link.stream.abort(),
    "pause reading": lambda link: link.stream.pause_reading(),
    "resume reading": lambda link: link.stream.resume_reading(),
    "time passes": lambda link: link.clock.advance(1),
    "much time passes": lambda link: link.clock.advance(LIMITS.write_timeout),
    "the peer sends": lambda link: link.peer.lost or peer_sends(link.peer),
    "the peer stops reading": lambda link: link.peer.transport.pause_reading(),
    "the peer reads again": lambda link: link.peer.transport.resume_reading(),
    "the peer ends": lambda link: link.peer.lost or peer_ends(link.peer),
    "the peer closes": lambda link: link.peer.transport.close(),
    "the peer resets": lambda link: link.peer.transport.abort(),
}


def peer_sends(peer: Peer) -> None:
    try:
        peer.send(b"y" * 20_000)
    except RuntimeError:
        pass  # it has ended


def peer_ends(peer: Peer) -> None:
    try:
        peer.transport.write_eof()
    except OSError:
        pass  # the stream is closed


@given(st.lists(st.tuples(st.sampled_from(sorted(DEEDS)), st.booleans()), max_size=30))
def test_whatever_happens_a_connection_ends_once_and_leaves_nothing(
    deeds: list[tuple[str, bool]],
) -> None:
    """In any order of deeds of both sides, with or without a turn of the loop between them, the
    stream tells the receiver of its end once and last, whoever drains wakes up, and no deadline is
    left.
    """

    @jumping
    async def scenario() -> None:
        link = Link()
        await IN_MEMORY.connect(link.stream, link.peer)
        draining = []
        sent = 20_000 * sum(deed == "the peer sends" for deed, _ in deeds)
        for deed, then_settle in deeds:
            DEEDS[deed](link)
            draining.append(asyncio.create_task(link.stream.drain()))
            if then_settle:
                await settle()
        await link.finish()
        await asyncio.gather(*draining, return_exceptions=True)
        assert {type(each.exception()) for each in draining} <= {type(None), ConnectionLost}
        assert len(link.receiver.received) <= sent

    scenario()
