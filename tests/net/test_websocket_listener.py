"""A WebSocket over a stream that delivers to a listener, which may call back from inside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.frames import CONTINUATION, PING, PONG, TEXT, Frame, close, frame
from support.peer import PATIENCE, settle
from support.websocket_pair import Handshake, Listener, Pair

from nbdriver.errors import WebSocketClosed
from nbdriver.net.tasks import Tasks
from nbdriver.net.websocket import WebSocketConnection, WebSocketLimits

both_roles = pytest.mark.parametrize("client", [False, True], ids=["server", "client"])


class Reacting(Listener):
    """Does something at each message."""

    def __init__(self, react: Callable[[str | bytes], object]) -> None:
        super().__init__()
        self.react = react

    def message_received(self, message: str | bytes) -> None:
        super().message_received(message)
        self.react(message)


class Echoing(Listener):
    """Sends each message back, in a task of its own, as a driver's bots do."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        super().__init__()
        self._websocket = websocket
        self._tasks = Tasks()

    def message_received(self, message: str | bytes) -> None:
        super().message_received(message)
        self._tasks.start(self._websocket.send(message), message)


@both_roles
async def test_messages_are_delivered_as_they_come(client: bool) -> None:
    async with Pair(client=client) as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        assert pair.websocket.delivers
        pair.peer.send_frame("one")
        pair.peer.send_frame("two", fin=False)
        pair.peer.send_frame("?", PING)
        pair.peer.send_frame("!", CONTINUATION)
        await settle()
        assert listener.messages == ["one", "two!"]
        assert await pair.peer.read_frame() == Frame(PONG, b"?")
        pair.peer.send_close(1000, "bye")
        assert await pair.peer.read_close() == (1000, "bye")
        assert str(listener.closed) == "the WebSocket is closed: 1000: bye"
        assert pair.websocket.closed


async def test_what_waits_already_is_delivered_first() -> None:
    async with Pair(handshake=Handshake(frame("one") + frame("two"))) as pair:
        await pair.websocket.accept()
        listener = Listener()
        pair.websocket.deliver_to(listener)
        assert listener.messages == ["one", "two"]
        pair.peer.send_frame("three")
        await settle()
        assert listener.messages == ["one", "two", "three"]


async def test_a_full_queue_is_delivered_and_reading_goes_on() -> None:
    async with Pair(limits=WebSocketLimits(max_parked=1_000)) as pair:
        messages = [str(number) * 100 for number in range(100)]
        for message in messages:
            pair.peer.send_frame(message)
            await settle()
        listener = Listener()
        pair.websocket.deliver_to(listener)
        await settle()
        assert listener.messages == messages


async def test_with_a_listener_no_task_can_receive() -> None:
    async with Pair() as pair:
        pair.websocket.deliver_to(Listener())
        with pytest.raises(RuntimeError, match="expected one receiver"):
            await pair.websocket.receive()
        with pytest.raises(RuntimeError, match="expected one receiver"):
            pair.websocket.deliver_to(Listener())


async def test_a_listener_cannot_come_between_a_task_and_its_message() -> None:
    async with Pair() as pair:
        receiver = asyncio.create_task(pair.websocket.receive())
        await settle()
        with pytest.raises(RuntimeError, match="expected one receiver"):
            pair.websocket.deliver_to(Listener())
        pair.peer.send_frame("a")
        assert await receiver == "a"


# Pausing.


@both_roles
async def test_pausing_stops_the_delivery_and_slows_the_peer(client: bool) -> None:
    async with Pair(client=client) as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.websocket.pause_reading()
        for _ in range(10):
            pair.peer.send_frame("x" * 100_000)
            await asyncio.sleep(0)
        await settle()
        assert listener.messages == []
        assert pair.peer.transport.get_write_buffer_size() > 800_000
        pair.websocket.resume_reading()
        pair.websocket.resume_reading()
        await settle()
        assert listener.messages == ["x" * 100_000] * 10


@pytest.mark.parametrize("before", [True, False], ids=["waiting before", "coming together"])
async def test_a_listener_that_pauses_in_the_middle_gets_the_rest_later(before: bool) -> None:
    async with Pair() as pair:

        def pause(message: str | bytes) -> None:
            if message == "2":
                pair.websocket.pause_reading()

        listener = Reacting(pause)
        if not before:
            pair.websocket.deliver_to(listener)
        pair.peer.send(b"".join(frame(str(number)) for number in range(5)))
        await settle()
        if before:
            pair.websocket.deliver_to(listener)
            await settle()
        assert listener.messages == ["0", "1", "2"]
        pair.peer.send_frame("5")
        await settle()
        pair.websocket.resume_reading()
        await settle()
        assert listener.messages == ["0", "1", "2", "3", "4", "5"]


async def test_resuming_from_inside_a_delivery_does_not_nest() -> None:
    """As when an event ends as soon as it has begun, and makes room for the next."""
    depth = deepest = 0

    def react(message: str | bytes) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        pair.websocket.pause_reading()
        pair.websocket.resume_reading()
        depth -= 1

    async with Pair(handshake=Handshake(frame("early") * 5_000)) as pair:
        await pair.websocket.accept()
        listener = Reacting(react)
        pair.websocket.deliver_to(listener)
        pair.peer.send(frame("late") * 5_000 + close())
        await pair.peer.read_close()
        assert listener.messages == ["early"] * 5_000 + ["late"] * 5_000
        assert deepest == 1


async def test_the_peers_close_waits_behind_what_is_paused() -> None:
    async with Pair() as pair:

        def pause(message: str | bytes) -> None:
            if message == "one":
                pair.websocket.pause_reading()

        listener = Reacting(pause)
        pair.websocket.deliver_to(listener)
        pair.peer.send(frame("one") + frame("two") + close(1000, "bye"))
        await settle()
        assert listener.messages == ["one"]
        assert listener.closed is None
        pair.websocket.resume_reading()
        await settle()
        assert listener.messages == ["one", "two"]
        assert str(listener.closed) == "the WebSocket is closed: 1000: bye"


async def test_our_close_does_not_wait_behind_what_is_paused() -> None:
    """websockets #1555."""
    async with Pair() as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.websocket.pause_reading()
        pair.peer.send_frame("one")
        pair.peer.send_close(1000, "bye")
        await settle()
        await asyncio.wait_for(pair.websocket.close(), PATIENCE)
        assert listener.messages == []
        assert str(listener.closed) == "the WebSocket is closed: 1000: bye"
        pair.websocket.pause_reading()
        pair.websocket.resume_reading()


async def test_a_listener_that_pauses_after_our_close_does_not_keep_it_from_ending() -> None:
    async with Pair() as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        closing = asyncio.create_task(pair.websocket.close())
        await settle()
        pair.websocket.pause_reading()
        pair.peer.send_close(1000)
        await asyncio.wait_for(closing, PATIENCE)
        assert str(listener.closed) == "the WebSocket is closed: 1000"


async def test_a_connection_that_is_lost_while_paused_delivers_what_waits_and_then_its_end() -> (
    None
):
    async with Pair(handshake=Handshake(frame("one") + frame("two"))) as pair:
        await pair.websocket.accept()
        listener = Reacting(lambda message: pair.websocket.pause_reading())
        pair.websocket.deliver_to(listener)
        assert listener.messages == ["one"]
        pair.peer.transport.abort()
        await settle()
        assert listener.messages == ["one", "two"]
        assert str(listener.closed) == "the WebSocket is closed: 1006: the connection was lost"
        pair.websocket.resume_reading()


# Its end.


async def test_a_listener_that_comes_after_the_end_gets_all_and_is_told() -> None:
    async with Pair() as pair:
        pair.peer.send_frame("one")
        pair.peer.transport.write_eof()
        await settle()
        listener = Listener()
        pair.websocket.deliver_to(listener)
        assert listener.messages == ["one"]
        assert isinstance(listener.closed, WebSocketClosed)
        assert listener.closed.code == 1006
        assert pair.websocket.closed


@both_roles
@pytest.mark.parametrize("violation", [True, False], ids=["violation", "close"])
@pytest.mark.parametrize("early", [True, False], ids=["waiting before", "coming together"])
async def test_messages_before_the_end_are_delivered_and_answered_before_our_close(
    client: bool, violation: bool, early: bool
) -> None:
    async with Pair(client=client) as pair:
        listener = Echoing(pair.websocket)
        if not early:
            pair.websocket.deliver_to(listener)
        key = pair.peer.key
        end = frame("", 3, key=key) if violation else close(1000, key=key)
        pair.peer.send(frame("one", key=key) + frame("two", key=key) + end)
        await settle()
        if early:
            pair.websocket.deliver_to(listener)
        assert await pair.peer.read_frame() == Frame(TEXT, b"one")
        assert await pair.peer.read_frame() == Frame(TEXT, b"two")
        code = 1002 if violation else 1000
        assert (await pair.peer.read_close())[0] == code
        assert listener.messages == ["one", "two"]
        assert isinstance(listener.closed, WebSocketClosed)
        assert listener.closed.code == code


async def test_a_pause_puts_off_the_close_after_a_violation_but_not_for_ever() -> None:
    async with Pair() as pair:
        pair.peer.send(frame("one") + frame("two") + frame("three") + frame("", 3))
        await settle()
        listener = Reacting(lambda message: pair.websocket.pause_reading())
        pair.websocket.deliver_to(listener)
        await settle()
        assert listener.messages == ["one"]
        pair.websocket.resume_reading()
        await settle()
        assert listener.messages == ["one", "two"]
        assert listener.closed is None
        pair.clock.advance(11)
        assert listener.messages == ["one", "two", "three"]
        assert isinstance(listener.closed, WebSocketClosed)
        assert listener.closed.code == 1002


async def test_a_connection_that_ends_before_its_answers_were_awaited_ends_once() -> None:
    async with Pair() as pair:
        listener = Listener()
        pair.websocket.deliver_to(listener)
        pair.websocket.data_received(frame("", 3))
        pair.websocket.abort()
        await settle()
        assert str(listener.closed) == "the WebSocket is closed: 1006: aborted"


# From inside a delivery.


@pytest.mark.parametrize("what", ["abort", "shut_down"])
async def test_a_listener_may_end_the_connection_from_inside_a_delivery(what: str) -> None:
    async with Pair() as pair:
        listener = Reacting(lambda message: message == "two" and getattr(pair.websocket, what)())
        pair.websocket.deliver_to(listener)
        pair.peer.send(b"".join(map(frame, ("one", "two", "three", "four"))) + close(1000))
        await settle()
        assert listener.messages == ["one", "two"]
        assert str(listener.closed) == (
            "the WebSocket is closed: 1006: aborted"
            if what == "abort"
            else "the WebSocket is closed: 1000"
        )


async def test_a_listener_may_close_and_send_from_inside_a_delivery() -> None:
    async with Pair() as pair:
        tasks = Tasks()

        async def answer_and_leave(message: str | bytes) -> None:
            await pair.websocket.send(message)
            await pair.websocket.close(4000, "enough")

        listener = Reacting(lambda message: tasks.start(answer_and_leave(message), message))
        pair.websocket.deliver_to(listener)
        pair.peer.send_frame("one")
        assert await pair.peer.read_frame() == Frame(TEXT, b"one")
        assert await pair.peer.read_close() == (4000, "enough")
        pair.peer.send_close(4000)
        await asyncio.wait_for(tasks.join(), PATIENCE)
        assert listener.messages == ["one"]
        assert str(listener.closed) == "the WebSocket is closed: 4000"


async def test_a_listener_may_find_the_peer_gone_from_inside_a_delivery() -> None:
    async with Pair() as pair:
        tasks = Tasks()
        errors: list[Exception] = []

        async def answer(message: str | bytes) -> None:
            try:
                await pair.websocket.send(message)
            except WebSocketClosed as error:
                errors.append(error)

        def react(message: str | bytes) -> None:
            pair.stream.abort()
            tasks.start(answer(message), message)

        listener = Reacting(react)
        pair.websocket.deliver_to(listener)
        pair.peer.send(frame("one") + frame("two"))
        await settle()
        assert str(listener.closed) == "the WebSocket is closed: 1006: the connection was lost"
        assert errors
