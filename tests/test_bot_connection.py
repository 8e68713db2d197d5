"""A bot's WebSocket: answers pass, events are bounded, parked in order, and never stuck."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, ClassVar

import pytest
from support.bots import RecordingBot, recording_bot
from support.hosts import Host, numbered
from support.peer import PATIENCE, settle

from nbdriver.net.clock import RESOLUTION

# API answers.


class AskingBot(RecordingBot):
    """Asks the platform for something while it handles an event, and waits for the answer."""

    messages: ClassVar[list[Any]] = []
    headers: ClassVar[list[Any]] = []
    answers: ClassVar[dict[Any, asyncio.Future[Any]]] = {}
    handled: ClassVar[list[Any]] = []

    async def handle_message(self, message: dict[str, Any]) -> None:
        if "echo" in message:
            self.answers[message["echo"]].set_result(message["data"])
            return
        assert self.websocket is not None
        number = message["number"]
        self.answers[number] = asyncio.get_running_loop().create_future()
        await self.websocket.send({"action": "ask", "echo": number})
        self.handled.append((number, await self.answers[number]))


def asking_bot() -> type[Any]:
    return type("Asking", (AskingBot,), {"headers": [], "answers": {}, "handled": []})


async def test_answers_pass_by_both_bounds_so_that_nothing_deadlocks() -> None:
    host = Host(asking_bot(), max_pending=2, max_pending_per_connection=2)
    websocket = await host.connect()
    numbers = list(range(20))
    websocket.peer_sends(*({"number": number} for number in numbers))
    await settle()
    assert len(websocket.sent) == 2
    for number in numbers:
        await settle()
        assert {"action": "ask", "echo": number} in websocket.events_sent
        websocket.peer_sends({"echo": number, "data": -number})
    await host.dispatcher.drain()
    assert host.adapter.handled == [(number, -number) for number in numbers]


async def test_what_is_an_answer_is_looked_up_on_the_class() -> None:
    class Adapter(asking_bot()):  # type: ignore[misc]  # a class made for this test
        @classmethod
        def is_answer(cls, message: dict[str, Any]) -> bool:
            return "number" in message

    host = Host(Adapter, max_pending=1)
    websocket = await host.connect()
    websocket.peer_sends(*({"number": number} for number in range(3)))
    await settle()
    assert len(websocket.sent) == 3
    await host.dispatcher.cancel()
    # `is_answer` of an instance would be an API call, which Bot invents for every name.
    assert callable(recording_bot()("http", "1").is_answer)


async def test_an_event_with_an_echo_is_no_answer() -> None:
    host = Host(max_pending=1)
    websocket = await host.connect()
    websocket.peer_sends({"wait": "a"}, {"echo": 1, "post_type": "message"})
    await settle()
    assert host.adapter.messages == [{"wait": "a"}]
    host.adapter.release("a")
    await host.dispatcher.drain()


async def test_what_is_answer_raises_is_logged_and_the_message_is_an_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Adapter(recording_bot()):  # type: ignore[misc]  # a class made for this test
        @classmethod
        def is_answer(cls, message: dict[str, Any]) -> bool:
            raise RuntimeError("no opinion")

    host = Host(Adapter)
    websocket = await host.connect()
    websocket.peer_sends({"a": 1})
    await settle()
    assert host.adapter.messages == [{"a": 1}]
    assert "bot 1: is_answer failed, the message is taken for an event" in caplog.text
    assert "RuntimeError: no opinion" in caplog.text


# A bot that wants to know when its connection is gone.


class Closing(RecordingBot):
    headers: ClassVar[list[Any]] = []
    told: ClassVar[list[Any]] = []

    def connection_closed(self, error: Exception) -> None:
        self.told.append((self, error, dict(self.driver.bots)))
        raise RuntimeError("no matter")


async def test_a_bot_is_told_that_its_connection_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    host, gone = Host(type("Own", (Closing,), {"told": []})), []
    host.driver.on_bot_disconnect(gone.append)
    websocket = await host.connect()
    bot = host.driver.bots["1"]
    websocket.peer_leaves(4000, "bye")
    assert [(it, str(error)) for it, error, _ in host.adapter.told] == [
        (bot, "the WebSocket is closed: 4000: bye")
    ]
    assert "bot 1: connection_closed failed" in caplog.text
    assert "RuntimeError: no matter" in caplog.text
    await host.driver._bot_hooks.join()
    assert (gone, host.driver.bots) == ([bot], {})


# Bounds.


async def test_events_of_a_connection_over_its_bound_are_parked_and_handled_in_order() -> None:
    host = Host(max_pending_per_connection=2)
    websocket = await host.connect()
    events = numbered(10, wait="gate")
    websocket.peer_sends(*events)
    await settle()
    assert host.adapter.messages == events[:2]
    # Another connection, and HTTP, are not held up by it.
    other = await host.connect(self_id="2")
    other.peer_sends({"other": 1})
    assert (await host.post({"other": 2}, x_self_id="3")).status_code == 204
    await settle()
    assert host.adapter.messages[2:] == [{"other": 1}, {"other": 2}]
    host.adapter.release("gate")
    await host.dispatcher.drain()
    assert [message for message in host.adapter.messages if "number" in message] == events


async def test_events_over_the_bound_of_all_are_parked_and_handled_in_order() -> None:
    host = Host(max_pending=3)
    websockets = [await host.connect(self_id=str(number)) for number in range(3)]
    for websocket in websockets:
        websocket.peer_sends(
            *numbered(5, wait="gate", of=websocket.request.headers.get("x-self-id"))
        )
    await settle()
    assert len(host.adapter.messages) == 3
    host.adapter.release("gate")
    await host.dispatcher.drain()
    for number in range(3):
        of = [each for each in host.adapter.messages if each["of"] == str(number)]
        assert of == numbered(5, wait="gate", of=str(number))


async def test_never_are_more_events_handled_at_a_time_than_the_bounds_say() -> None:
    at_a_time = highest = 0

    class Adapter(RecordingBot):
        headers: ClassVar[list[Any]] = []

        async def handle_message(self, message: Any) -> None:
            nonlocal at_a_time, highest
            at_a_time += 1
            highest = max(highest, at_a_time)
            await asyncio.sleep(0)
            at_a_time -= 1

    host = Host(Adapter, max_pending=4, max_pending_per_connection=3)
    websockets = [await host.connect(self_id=str(number)) for number in range(3)]
    posts = [asyncio.create_task(host.post({}, x_self_id="9")) for _ in range(30)]
    for websocket in websockets:
        websocket.peer_sends(*numbered(30))
    async with asyncio.timeout(PATIENCE):
        assert {(await post).status_code for post in posts} == {204}
        await host.dispatcher.drain()
    assert (at_a_time, highest) == (0, 4)


async def test_events_that_do_not_wait_are_handled_however_many_are_parked() -> None:
    host = Host(max_pending=1, max_parked="1KiB")
    websocket = await host.connect()
    websocket.peer_sends({"wait": "first"}, *numbered(3_000))
    await settle()
    assert websocket.paused
    host.adapter.release("first")
    async with asyncio.timeout(PATIENCE):
        while len(host.adapter.messages) < 3_001:
            await asyncio.sleep(0)
    assert host.adapter.messages == [{"wait": "first"}, *numbered(3_000)]
    assert not websocket.paused


async def test_reading_pauses_when_too_much_is_parked_and_goes_on_at_half_of_it() -> None:
    # The budget is one of memory, so that tiny messages cannot take more than they seem to.
    each = sys.getsizeof('{"wait":"0"}')
    host = Host(max_pending_per_connection=1, max_parked=8 * each)
    websocket = await host.connect()
    websocket.peer_sends(*({"wait": str(number)} for number in range(9)))
    assert not websocket.paused
    websocket.peer_sends({"wait": "9"})
    assert websocket.paused
    for number in range(5):
        assert websocket.paused, number
        host.adapter.release(str(number))
        await settle()
    assert not websocket.paused
    for number in range(5, 10):
        host.adapter.release(str(number))
    await host.dispatcher.drain()
    assert host.adapter.messages == [{"wait": str(number)} for number in range(10)]


async def test_events_that_came_before_the_connection_ended_are_handled_after_it() -> None:
    host = Host(max_pending_per_connection=1)
    websocket = await host.connect()
    websocket.peer_sends(*numbered(3, wait="gate"))
    websocket.peer_leaves(1000)
    await settle()
    assert host.driver.bots == {}
    host.adapter.release("gate")
    await host.dispatcher.drain()
    assert host.adapter.messages == numbered(3, wait="gate")


async def test_while_no_event_ends_reading_goes_on_to_find_the_answers_they_wait_for() -> None:
    # Two handlers wait for answers that stand behind more events than may be parked.
    host = Host(
        asking_bot(), max_pending_per_connection=2, max_parked="1KiB", parked_reserve="1MiB"
    )
    websocket = await host.connect()
    events = numbered(500)
    websocket.peer_sends(*events, *({"echo": number, "data": number} for number in range(2)))
    await settle()
    assert websocket.paused
    assert host.adapter.handled == []
    for _ in range(60):
        host.clock.advance(1 + RESOLUTION)
        await settle()
    assert host.adapter.handled == [(0, 0), (1, 1)]
    for number in range(2, 500):
        websocket.peer_sends({"echo": number, "data": number})
        await settle()
    async with asyncio.timeout(PATIENCE):
        await host.dispatcher.drain()
    assert [number for number, _ in host.adapter.handled] == list(range(500))
    assert not websocket.paused
    assert host.dispatcher._parking.reserve == 2**20


async def test_while_events_end_reading_stays_paused_until_half_of_them_is_done() -> None:
    host = Host(max_pending_per_connection=1, max_parked="1KiB")
    websocket = await host.connect()
    websocket.peer_sends(*({"wait": str(number)} for number in range(100)))
    for number in range(5):
        host.clock.advance(1 - RESOLUTION)
        assert websocket.paused
        host.adapter.release(str(number))
        await settle()
    for number in range(5, 100):
        host.adapter.release(str(number))
    async with asyncio.timeout(PATIENCE):
        await host.dispatcher.drain()


async def test_all_connections_park_no_more_than_the_reserve_beyond_their_budgets() -> None:
    host = Host(max_pending=1, max_parked="1KiB", parked_reserve="4KiB")
    websockets = [await host.connect(self_id=str(number)) for number in range(3)]
    for websocket in websockets:
        websocket.peer_sends(*numbered(200, wait="gate"))
    host.clock.advance(60)
    assert all(websocket.paused for websocket in websockets)
    parked = sum(connection._parked_size for connection in host.dispatcher._parking.connections)
    assert 4 * 1024 < parked < 8 * 1024
    assert host.dispatcher._parking.reserve == 0
    host.adapter.release("gate")
    async with asyncio.timeout(PATIENCE):
        while len(host.adapter.messages) < 600:
            await asyncio.sleep(0)
        await host.dispatcher.drain()
    assert host.dispatcher._parking.reserve == 4 * 1024


async def test_a_connection_that_ends_while_it_is_stuck_leaves_no_timer_behind() -> None:
    host = Host(max_pending_per_connection=1, max_parked=1)
    websocket = await host.connect()
    websocket.peer_sends({"wait": "a"}, {"wait": "b"})
    assert websocket.paused
    websocket.peer_leaves()
    assert host.clock.pending == 0
    for name in "ab":
        host.adapter.release(name)
    await host.dispatcher.drain()
    assert host.adapter.messages == [{"wait": "a"}, {"wait": "b"}]
    assert host.clock.pending == 0


async def test_many_answers_at_a_time_are_none_and_wait_as_events_do() -> None:
    class Adapter(recording_bot()):  # type: ignore[misc]  # a class made for this test
        @classmethod
        def is_answer(cls, message: dict[str, Any]) -> bool:
            return True

    host = Host(Adapter, max_pending_per_connection=2)
    websocket = await host.connect()
    messages = numbered(1_030, wait="gate")
    websocket.peer_sends(*messages)
    await settle()
    assert host.adapter.messages == messages[: 1_024 + 2]
    host.adapter.release("gate")
    await host.dispatcher.drain()
    assert host.adapter.messages == messages
    websocket.peer_sends({"wait": "gate"})
    await settle()
    assert len(host.adapter.messages) == 1_031


async def test_answers_that_come_together_pass_the_smallest_bound() -> None:
    """Before Python 3.12 none of them has begun to be handled when the next one comes."""
    host = Host(asking_bot(), max_pending=1, max_pending_per_connection=1)
    websocket = await host.connect()
    websocket.peer_sends({"number": 1})
    await settle()
    host.adapter.answers[2] = asyncio.get_running_loop().create_future()
    websocket.peer_sends({"echo": 2, "data": 2}, {"echo": 1, "data": 1})
    async with asyncio.timeout(PATIENCE):
        await host.dispatcher.drain()
    assert host.adapter.handled == [(1, 1)]


# The end.


async def test_answers_still_pass_while_draining() -> None:
    host = Host(asking_bot())
    websocket = await host.connect()
    websocket.peer_sends({"number": 1})
    draining = asyncio.create_task(host.dispatcher.drain())
    await settle()
    assert not draining.done()
    websocket.peer_sends({"echo": 1, "data": "answer"})
    async with asyncio.timeout(PATIENCE):
        await draining
    assert host.adapter.handled == [(1, "answer")]
