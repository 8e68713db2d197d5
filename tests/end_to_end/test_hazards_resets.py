"""A peer that resets its connection (TCP's RST) at every point of what is under way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, ClassVar

import pytest
from support.bots import RecordingBot, recording_bot
from support.echo import Echo, make_driver, serving
from support.frames import close, frame
from support.leaks import held
from support.loops import on_each_loop
from support.peer import PATIENCE, Peer
from support.raw import connect, event, head, still_works, upgrade

LONG = json.dumps({"long": "x" * 300_000})

#: What a client sends: all that it takes to be at any point of a request, a handshake, a response
#: or a close, by the client or by us.
SENT: dict[str, bytes] = {
    "requests": event({"n": 1})
    + head("X-Self-ID: 1", "Transfer-Encoding: chunked")
    + b"2\r\n{}\r\n0\r\n\r\n",
    "a refusal": head("Content-Length: 99999999"),
    "a handshake": upgrade(),
    "a response": upgrade() + frame(LONG),
    "a close by the client": upgrade() + frame("{}") + close(4000, "bye"),
    "a close by us": upgrade() + frame('{"close": true}') + close(1000),
    "a violation": upgrade() + frame("{}") + frame("", 3),
}


def closing_bot() -> type[RecordingBot]:
    """Echoes, and closes when it is told to."""

    class Closes(recording_bot()):  # type: ignore[misc]  # made for each test
        async def handle_message(self, message: dict[str, Any]) -> None:
            assert self.websocket is not None or "close" not in message
            if "close" in message:
                await self.websocket.close(4001, "enough")
            else:
                await super().handle_message(message)

    return Closes


async def all_gone(echo: Echo, tasks: int) -> None:
    """Wait until nothing is left on our side of any connection."""
    async with asyncio.timeout(PATIENCE):
        while echo.driver.bots or echo.server._connections or len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0)


def hooks_of(echo: Echo) -> Counter[str]:
    told: Counter[str] = Counter()
    echo.driver.on_bot_connect(lambda bot: told.update(["connect"]))
    echo.driver.on_bot_disconnect(lambda bot: told.update(["disconnect"]))
    return told


@on_each_loop
@pytest.mark.parametrize("what", SENT)
async def test_a_reset_after_any_byte_leaves_nothing(what: str) -> None:
    data = SENT[what]
    # Of a long message not every byte is a point of its own.
    cuts = [*range(1, min(len(data), 400)), *range(400, len(data), 50_000)]
    async with serving(make_driver(adapter=closing_bot())) as echo:
        told, tasks, before = hooks_of(echo), len(asyncio.all_tasks()), held()
        for cut in cuts:
            peer = await connect(echo, Peer())
            peer.send(data[:cut])
            # One in three is reset before anything is looked at.
            for _ in range(cut % 3 * 5):
                await asyncio.sleep(0)
            peer.reset()
            await all_gone(echo, tasks)
        assert not held() - before
        assert told["connect"] == told["disconnect"]
        await still_works(echo)


@on_each_loop
@pytest.mark.parametrize("what", SENT)
async def test_a_reset_after_any_turn_of_the_loop_leaves_nothing(what: str) -> None:
    async with serving(make_driver(adapter=closing_bot())) as echo:
        told, tasks, before = hooks_of(echo), len(asyncio.all_tasks()), held()
        for turns in range(40):
            peer = await connect(echo, Peer())
            if turns % 2:
                # What is sent back stays with the server.
                peer.transport.pause_reading()
            peer.send(SENT[what])
            for _ in range(turns):
                await asyncio.sleep(0)
            peer.reset()
            await all_gone(echo, tasks)
        assert not held() - before
        assert told["connect"] == told["disconnect"]
        await still_works(echo)


@on_each_loop
async def test_a_reset_while_permission_is_asked_or_a_probe_waits_leaves_nothing() -> None:
    class Asks(RecordingBot):
        headers: ClassVar[list[Any]] = []
        messages: ClassVar[list[Any]] = []
        gate: ClassVar[asyncio.Event] = asyncio.Event()
        asked: ClassVar[int] = 0

        @classmethod
        async def check_permission(cls, driver: Any, kind: str, headers: Any, body: Any) -> str:
            cls.asked += 1
            if "x-wait" in headers:
                await cls.gate.wait()
            return str(headers["x-self-id"])

    async with serving(make_driver(adapter=Asks), takeover_timeout=0.25) as echo:
        told, tasks = hooks_of(echo), len(asyncio.all_tasks())
        waiting = []
        for data in (upgrade("X-Wait: 1"), event({}).replace(b"Host", b"X-Wait: 1\r\nHost")):
            waiting.append(await connect(echo, Peer()))
            waiting[-1].send(data)
        while Asks.asked < 2:
            await asyncio.sleep(0)
        for peer in waiting:
            peer.reset()
        while echo.server._connections:
            await asyncio.sleep(0)
        Asks.gate.set()
        await all_gone(echo, tasks)
        # The event had been taken in whole; who was not connected yet has never been.
        assert (echo.messages, told) == ([{}], {})

        # A connection that is silent is asked for a sign of life, and the newcomer leaves.
        silent = await connect(echo, Peer())
        silent.send(upgrade())
        await silent.read(b"\r\n\r\n")
        newcomer = await connect(echo, Peer())
        newcomer.send(upgrade())
        await silent.read(b"\x89")
        newcomer.reset()
        await silent.read_to_end()
        silent.transport.close()
        await all_gone(echo, tasks)
        assert told == {"connect": 1, "disconnect": 1}
        await still_works(echo)
