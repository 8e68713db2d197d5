"""Peers that vanish, that are slow, that all come back at once: a driver, and virtual time.

The server is the real one with its real clock; the connections are in memory, and the event loop's
time is ours, so that a minute takes no time and nothing is a matter of luck.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from support.allocation import allocated
from support.bots import RecordingBot
from support.echo import Echo, make_driver, serving
from support.frames import PING, PONG, Frame, take_frame
from support.jumping import JumpingLoop, jumping
from support.leaks import nothing_left
from support.peer import Peer, settle
from support.raw import connect_in_memory, event, upgrade
from support.websocket_pair import FramePeer

from nbdriver.net.clock import RESOLUTION


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[Echo]:
    """A driver that has given everything back when the block ends."""
    async with nothing_left(), serving(**settings) as echo:
        yield echo


def hooks_of(echo: Echo) -> list[tuple[str, Any]]:
    """What the driver's hooks are told from now on."""
    told: list[tuple[str, Any]] = []
    echo.driver.on_bot_connect(lambda bot: told.append(("connect", bot)))
    echo.driver.on_bot_disconnect(lambda bot: told.append(("disconnect", bot)))
    return told


class Client(Peer):
    """A client that is there: it answers each ping. `status` is the answer to its handshake."""

    def __init__(self, *, alive: bool = True) -> None:
        super().__init__()
        self.alive = alive
        self.status = 0
        self.frames: list[Frame] = []
        self._speaker = FramePeer(client=True)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.status and (end := self.received.find(b"\r\n\r\n")) >= 0:
            self.status = int(self.received[9:12])
            del self.received[: end + 4]
        while self.status == 101 and (frame := take_frame(self.received)) is not None:
            self.frames.append(frame)
            if frame.opcode == PING and self.alive:
                self.send_frame(frame.payload, PONG)

    def send_frame(self, payload: bytes | str, *opcode: int) -> None:
        self._speaker.transport = self.transport
        self._speaker.send_frame(payload, *opcode)

    @property
    def texts(self) -> list[Any]:
        return [json.loads(frame.payload) for frame in self.frames if frame.opcode == 1]


def dial(echo: Echo, *, alive: bool = True) -> Client:
    return connect_in_memory(echo, Client(alive=alive), upgrade())


async def talks(client: Client) -> None:
    """See that an echo comes back."""
    before = len(client.texts)
    client.send_frame('{"a": 1}')
    await settle()
    assert client.texts[before:] == [{"got": {"a": 1}}]


@jumping
async def test_a_peer_that_vanishes_without_a_word_is_gone_within_interval_and_timeout() -> None:
    async with served(ping_interval=20, ping_timeout=20) as echo:
        told = hooks_of(echo)
        vanished = dial(echo, alive=False)
        alive = connect_in_memory(echo, Client(), upgrade(self_id="2"))
        await talks(vanished)
        old = echo.driver.bots["1"]
        await asyncio.sleep(39)
        assert echo.driver.bots["1"] is old
        await asyncio.sleep(1 + RESOLUTION)
        assert set(echo.driver.bots) == {"2"}
        await asyncio.sleep(600)
        assert [each for each in told if each[1] is old] == [
            ("connect", old),
            ("disconnect", old),
        ]
        again = dial(echo)
        await settle()
        await talks(again)
        for client in (vanished, alive, again):
            client.transport.abort()


async def storm(echo: Echo, count: int = 500) -> list[Client]:
    """So many connections with one bot id in a second."""
    newcomers = []
    for _ in range(count):
        newcomers.append(dial(echo))
        await asyncio.sleep(1 / count)
    # As long as a connection that is asked for a sign of life may take.
    await asyncio.sleep(2 + 2 * RESOLUTION)
    return newcomers


@jumping
async def test_a_reconnect_storm_of_500_while_the_bot_is_alive_changes_nothing() -> None:
    async with served() as echo:
        told = hooks_of(echo)
        first = dial(echo)
        await talks(first)
        newcomers = await storm(echo)
        assert {client.status for client in newcomers} == {409}
        assert all(client.eof for client in newcomers)
        assert [name for name, _ in told] == ["connect"]
        await talks(first)
        for client in (first, *newcomers):
            client.transport.abort()
        await settle()
        assert [name for name, _ in told] == ["connect", "disconnect"]


@jumping
async def test_a_reconnect_storm_of_500_after_the_bot_was_cut_off_leaves_one() -> None:
    async with served() as echo:
        told = hooks_of(echo)
        first = dial(echo, alive=False)
        await talks(first)
        newcomers = await storm(echo)
        statuses = [client.status for client in newcomers]
        assert (statuses.count(101), statuses.count(409)) == (1, 499)
        assert first.lost
        assert [name for name, _ in told] == ["connect", "disconnect", "connect"]
        await talks(newcomers[statuses.index(101)])
        for client in newcomers:
            client.transport.abort()


@jumping
async def test_a_peer_that_reads_nothing_of_100_mb_is_cut_off_and_memory_is_bounded() -> None:
    class Floods(RecordingBot):
        headers: ClassVar[list[Any]] = []
        sent: ClassVar[int] = 0
        ended: ClassVar[list[BaseException]] = []

        async def handle_message(self, message: dict[str, Any]) -> None:
            text = "x" * 1_000_000
            assert self.websocket is not None
            try:
                for _ in range(100):
                    await self.websocket.send_text(text)
                    Floods.sent += 1
            except Exception as error:
                Floods.ended.append(error)
                raise

    async with served(driver=make_driver(adapter=Floods)) as echo:
        client = dial(echo)
        await settle()
        client.transport.pause_reading()
        with allocated() as memory:
            client.send_frame("{}")
            await asyncio.sleep(29)
            assert set(echo.driver.bots) == {"1"}
            await asyncio.sleep(1 + RESOLUTION)
            assert echo.driver.bots == {}
            assert Floods.sent <= 1
            assert len(Floods.ended) == 1
            # A message, as text, as a frame, and in the transport.
            assert memory.peak < 6 * 1_000_000
        # Who does read gets all of it.
        again = dial(echo)
        await settle()
        again.send_frame("{}")
        while len(again.frames) < 100:
            await asyncio.sleep(0)
        again.transport.abort()
        # The last is sent, and the bot has not noticed yet.
        await settle()


# No timer survives its connection.

End = Callable[[Echo], Awaitable[Peer]]


async def ends_after_an_answer(echo: Echo) -> Peer:
    closing = event({}).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    return connect_in_memory(echo, Peer(), closing)


async def is_refused(echo: Echo) -> Peer:
    return connect_in_memory(echo, Peer(), b"nonsense\r\n\r\n")


async def sends_no_head_in_time(echo: Echo) -> Peer:
    peer = connect_in_memory(echo, Peer(), b"POST")
    await asyncio.sleep(10 + RESOLUTION)
    return peer


async def sends_no_body_in_time(echo: Echo) -> Peer:
    peer = connect_in_memory(echo, Peer(), event({})[:-1])
    for _ in range(30):
        await asyncio.sleep(1)
    await asyncio.sleep(RESOLUTION)
    return peer


async def is_idle(echo: Echo) -> Peer:
    peer = connect_in_memory(echo, Peer(), event({}))
    await asyncio.sleep(75 + 2 * RESOLUTION)
    return peer


async def resets_in_a_head(echo: Echo) -> Peer:
    peer = connect_in_memory(echo, Peer(), b"POST")
    await settle()
    peer.reset()
    return peer


async def resets_in_a_body(echo: Echo) -> Peer:
    peer = connect_in_memory(echo, Peer(), event({})[:-1])
    await settle()
    peer.reset()
    return peer


async def resets_while_it_is_idle(echo: Echo) -> Peer:
    peer = connect_in_memory(echo, Peer(), event({}))
    await settle()
    peer.reset()
    return peer


async def waits_for_a_place_in_vain(echo: Echo) -> Peer:
    connect_in_memory(echo, holding := Peer(), event({"wait": "gate"}))
    await settle()
    peer = connect_in_memory(echo, Peer(), event({}))
    await asyncio.sleep(30 + RESOLUTION)
    assert peer.received.startswith(b"HTTP/1.1 503 ")
    echo.adapter.release("gate")
    holding.transport.abort()
    return peer


async def leaves_while_it_waits_for_a_place(echo: Echo) -> Peer:
    connect_in_memory(echo, holding := Peer(), event({"wait": "gate"}))
    await settle()
    peer = connect_in_memory(echo, Peer(), event({}))
    await settle()
    peer.reset()
    echo.adapter.release("gate")
    holding.transport.abort()
    return peer


async def is_not_let_in(echo: Echo) -> Peer:
    return connect_in_memory(echo, Client(), upgrade("Authorization: Bearer wrong"))


async def closes_a_websocket(echo: Echo) -> Peer:
    client = dial(echo)
    await settle()
    client.send_frame(b"\x03\xe8", 8)
    return client


async def breaks_a_rule(echo: Echo) -> Peer:
    client = dial(echo)
    await settle()
    client.send_frame("", 3)
    return client


async def resets_a_websocket(echo: Echo) -> Peer:
    client = dial(echo)
    await settle()
    client.reset()
    return client


async def never_answers_a_ping(echo: Echo) -> Peer:
    client = dial(echo, alive=False)
    await asyncio.sleep(40 + RESOLUTION)
    return client


async def never_answers_our_close(echo: Echo) -> Peer:
    client = dial(echo)
    await settle()
    bot: Any = echo.driver.bots["1"]
    closing = asyncio.create_task(bot.websocket.close())
    await asyncio.sleep(10 + RESOLUTION)
    await closing
    return client


async def resets_during_our_close(echo: Echo) -> Peer:
    client = dial(echo)
    await settle()
    bot: Any = echo.driver.bots["1"]
    closing = asyncio.create_task(bot.websocket.close())
    await settle()
    client.reset()
    await closing
    return client


async def never_reads(echo: Echo) -> Peer:
    client = dial(echo)
    await settle()
    client.transport.pause_reading()
    client.send_frame(json.dumps({"long": "x" * 200_000}))
    await asyncio.sleep(30 + RESOLUTION)
    return client


async def is_taken_over(echo: Echo) -> Peer:
    dial(echo, alive=False)
    await settle()
    client = dial(echo)
    await asyncio.sleep(2 + RESOLUTION)
    assert client.status == 101
    client.reset()
    return client


async def comes_twice(echo: Echo) -> Peer:
    client = dial(echo)
    await settle()
    second = dial(echo)
    await settle()
    assert second.status == 409
    client.reset()
    return second


ENDS: list[End] = [
    ends_after_an_answer,
    is_refused,
    sends_no_head_in_time,
    sends_no_body_in_time,
    is_idle,
    resets_in_a_head,
    resets_in_a_body,
    resets_while_it_is_idle,
    waits_for_a_place_in_vain,
    leaves_while_it_waits_for_a_place,
    is_not_let_in,
    closes_a_websocket,
    breaks_a_rule,
    resets_a_websocket,
    never_answers_a_ping,
    never_answers_our_close,
    resets_during_our_close,
    never_reads,
    is_taken_over,
    comes_twice,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_no_timer_survives_its_connection(end: End) -> None:
    @jumping
    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        async with served(max_pending=1) as echo:
            peer = await end(echo)
            await settle()
            # It has ended its side too; the time for a lingering close must not be needed.
            peer.transport.close()
            await settle()
            assert len(echo.server._connections) == 0
            assert echo.driver.bots == {}
            assert echo.server._clock.pending == 0
            assert loop.timers == 0

    run()


@jumping
async def test_what_is_looked_at_above_is_there_while_a_connection_is() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    async with served() as echo:
        client, fresh = dial(echo), connect_in_memory(echo, Peer())
        await settle()
        assert (len(echo.server._connections), len(echo.driver.bots)) == (2, 1)
        assert echo.server._clock.pending == 2
        assert loop.timers == 1
        client.transport.abort()
        fresh.transport.abort()
