"""The transports in memory keep asyncio's contract: the same tests run over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

from .peer import PATIENCE, Peer, settle
from .transports import KINDS, Kind

MUCH = bytes(2**22)


class End(Peer):
    """One end, which notes how it was told to pause writing, and why it was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.keeps_open = True

    def pause_writing(self) -> None:
        self.calls.append("pause")
        self._changed.set()

    def resume_writing(self) -> None:
        self.calls.append("resume")
        self._changed.set()

    def eof_received(self) -> bool:
        assert not self.eof
        super().eof_received()
        return self.keeps_open

    def connection_lost(self, exc: Exception | None) -> None:
        assert not self.lost
        self.error = exc
        super().connection_lost(exc)


class Pair(NamedTuple):
    here: End
    there: End


def over_each_transport(test: Callable[[Pair], Awaitable[None]]) -> Callable[[Kind], None]:
    """Run a test over each kind of transport, with two ends that are both closed at its end."""

    @pytest.mark.parametrize("kind", KINDS, ids=str)
    def run(kind: Kind) -> None:
        async def scenario() -> None:
            pair = Pair(End(), End())
            await kind.connect(*pair)
            try:
                await test(pair)
            finally:
                for end in pair:
                    if not end.lost:
                        end.transport.abort()
                        await end.until(lambda end=end: end.lost)

        with asyncio.Runner(loop_factory=kind.loop_factory) as runner:
            runner.run(scenario())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@over_each_transport
async def test_bytes_are_carried_both_ways_in_their_order(pair: Pair) -> None:
    for number in range(50):
        pair.here.send(b"%d," % number)
        pair.there.send(b"%d;" % number)
    await pair.there.read(b"49,")
    await pair.here.read(b"49;")
    assert pair.here.transport.get_write_buffer_size() == 0


@over_each_transport
async def test_while_reading_is_paused_nothing_is_received(pair: Pair) -> None:
    assert pair.there.transport.is_reading()
    pair.there.transport.pause_reading()
    pair.there.transport.pause_reading()
    assert not pair.there.transport.is_reading()
    pair.here.send(b"later")
    pair.here.transport.write_eof()
    await settle()
    assert pair.there.received == b""
    assert not pair.there.eof
    pair.there.transport.resume_reading()
    pair.there.transport.resume_reading()
    assert await pair.there.read_to_end() == b"later"


@over_each_transport
async def test_writing_is_paused_above_the_high_mark_and_resumed_at_the_low_one(pair: Pair) -> None:
    pair.here.transport.set_write_buffer_limits(high=1000, low=10)
    pair.there.transport.pause_reading()
    pair.here.send(MUCH)
    await settle()
    assert pair.here.calls == ["pause"]
    assert pair.here.transport.get_write_buffer_size() > 1000
    pair.there.transport.resume_reading()
    await pair.here.until(lambda: pair.here.calls == ["pause", "resume"])
    assert pair.here.transport.get_write_buffer_size() <= 10
    await pair.there.until(lambda: pair.there.received == MUCH)


@over_each_transport
async def test_a_high_mark_of_0_tells_when_all_is_sent(pair: Pair) -> None:
    pair.there.transport.pause_reading()
    pair.here.transport.set_write_buffer_limits(high=len(MUCH))
    pair.here.send(MUCH)
    await settle()
    assert pair.here.calls == []
    pair.here.transport.set_write_buffer_limits(high=0)
    assert pair.here.calls == ["pause"]
    pair.there.transport.resume_reading()
    await pair.here.until(lambda: pair.here.calls == ["pause", "resume"])
    assert pair.here.transport.get_write_buffer_size() == 0


@over_each_transport
async def test_after_write_eof_nothing_can_be_written_but_still_be_read(pair: Pair) -> None:
    assert pair.here.transport.can_write_eof()
    pair.here.send(b"the last")
    pair.here.transport.write_eof()
    pair.here.transport.write_eof()
    with pytest.raises(RuntimeError):
        pair.here.send(b"one more")
    assert await pair.there.read_to_end() == b"the last"
    pair.there.send(b"I am still here")
    await pair.here.read(b"still here")
    assert not pair.here.lost
    assert not pair.there.lost


@over_each_transport
async def test_an_end_that_does_not_keep_open_at_the_others_eof_is_closed(pair: Pair) -> None:
    pair.there.keeps_open = False
    pair.here.transport.write_eof()
    await pair.there.until(lambda: pair.there.lost)
    assert pair.there.error is None
    await pair.here.until(lambda: pair.here.eof)


@over_each_transport
async def test_close_sends_what_waits_and_then_ends(pair: Pair) -> None:
    pair.here.send(MUCH)
    pair.here.transport.close()
    pair.here.transport.close()
    assert pair.here.transport.is_closing()
    assert not pair.here.transport.is_reading()
    assert await pair.there.read_to_end() == MUCH
    await pair.here.until(lambda: pair.here.lost)
    assert pair.here.error is None
    assert pair.there.eof
    assert not pair.there.transport.is_closing()


@over_each_transport
async def test_what_is_written_or_comes_after_close_is_dropped(pair: Pair) -> None:
    pair.here.transport.close()
    pair.here.send(b"too late")
    pair.there.send(b"too late")
    await pair.here.until(lambda: pair.here.lost)
    assert pair.here.received == b""
    assert await pair.there.read_to_end() == b""


@over_each_transport
async def test_abort_drops_what_waits(pair: Pair) -> None:
    pair.there.transport.pause_reading()
    pair.here.send(MUCH)
    await settle()
    pair.here.transport.abort()
    assert not pair.here.lost  # it is told later, not inside of the call
    await pair.here.until(lambda: pair.here.lost)
    assert pair.here.error is None
    pair.there.transport.resume_reading()
    await pair.there.until(lambda: pair.there.lost or pair.there.eof)
    assert len(pair.there.received) < len(MUCH)


@over_each_transport
async def test_a_reset_is_an_error_at_the_other_end(pair: Pair) -> None:
    pair.here.reset()
    await pair.there.until(lambda: pair.there.lost)
    assert isinstance(pair.there.error, ConnectionResetError)
    assert not pair.there.eof


@over_each_transport
async def test_closing_with_unread_input_resets_the_connection(pair: Pair) -> None:
    pair.here.transport.pause_reading()
    pair.there.send(MUCH)
    await settle()
    pair.here.transport.close()
    await pair.there.until(lambda: pair.there.lost)
    assert isinstance(pair.there.error, ConnectionResetError | BrokenPipeError)


@over_each_transport
async def test_writing_to_an_end_that_is_closed_ends_in_an_error(pair: Pair) -> None:
    pair.here.transport.close()
    await pair.there.until(lambda: pair.there.eof)
    async with asyncio.timeout(PATIENCE):
        while not pair.there.lost:
            pair.there.send(b"?")
            await settle()
    assert isinstance(pair.there.error, ConnectionResetError | BrokenPipeError)


@over_each_transport
async def test_what_a_transport_does_not_know_is_none_or_the_default(pair: Pair) -> None:
    assert isinstance(pair.here.transport.get_extra_info("peername"), tuple)
    assert pair.here.transport.get_extra_info("no such thing") is None
    assert pair.here.transport.get_extra_info("no such thing", 1) == 1
