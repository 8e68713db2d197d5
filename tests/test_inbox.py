"""Messages on their way to a task that receives, or to a listener."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest
from support.peer import PATIENCE, settle
from support.websocket_pair import Listener

from nbdriver.errors import WebSocketClosed
from nbdriver.inbox import Inbox


class Reacting(Listener):
    """Does something at each message."""

    def __init__(self, react: Callable[[str | bytes], object]) -> None:
        super().__init__()
        self._react = react

    def message_received(self, message: str | bytes) -> None:
        super().message_received(message)
        self._react(message)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


# A task receives.


async def test_messages_are_taken_in_their_order(inbox: Inbox) -> None:
    for message in ("a", b"b", "c"):
        inbox.put(message)
    assert len(inbox) == 3
    assert [await inbox.take() for _ in range(3)] == ["a", b"b", "c"]
    assert len(inbox) == 0


async def test_whoever_waits_wakes_when_a_message_comes(inbox: Inbox) -> None:
    task = asyncio.create_task(inbox.take())
    await settle()
    assert inbox.starving
    inbox.put("a")
    inbox.put("b")
    assert not inbox.starving
    assert await task == "a"
    assert not inbox.starving


async def test_an_inbox_that_nobody_takes_from_does_not_starve(inbox: Inbox) -> None:
    assert not inbox.starving


async def test_a_cancelled_receiver_leaves_its_message(inbox: Inbox) -> None:
    task = asyncio.create_task(inbox.take())
    await settle()
    inbox.put("a")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await inbox.take() == "a"


async def test_a_time_out_loses_nothing(inbox: Inbox) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inbox.take(), 0)
    inbox.put("a")
    assert await asyncio.wait_for(inbox.take(), PATIENCE) == "a"


async def test_two_receivers_are_one_too_many(inbox: Inbox) -> None:
    task = asyncio.create_task(inbox.take())
    await settle()
    with pytest.raises(RuntimeError, match="expected one receiver"):
        await inbox.take()
    with pytest.raises(RuntimeError, match="expected one receiver"):
        inbox.deliver_to(Listener())
    inbox.put("a")
    assert await task == "a"


async def test_the_end_comes_after_the_last_message(inbox: Inbox) -> None:
    inbox.put("a")
    inbox.end(1001, "bye")
    assert not inbox.exhausted
    assert await inbox.take() == "a"
    assert inbox.exhausted
    for _ in range(2):
        with pytest.raises(WebSocketClosed) as caught:
            await inbox.take()
        assert (caught.value.code, caught.value.reason) == (1001, "bye")


async def test_whoever_waits_wakes_at_the_end(inbox: Inbox) -> None:
    task = asyncio.create_task(inbox.take())
    await settle()
    inbox.put("a")
    inbox.end(1006, "lost")
    assert await task == "a"
    task = asyncio.create_task(inbox.take())
    with pytest.raises(WebSocketClosed, match="1006: lost"):
        await task


async def test_a_receiver_without_a_message_wakes_at_the_end(inbox: Inbox) -> None:
    task = asyncio.create_task(inbox.take())
    await settle()
    inbox.end(1006, "lost")
    with pytest.raises(WebSocketClosed, match="1006: lost"):
        await task


def test_the_size_is_the_memory_of_what_waits(inbox: Inbox) -> None:
    """Tiny messages take room too, by their number."""
    messages: list[str | bytes] = ["", "", b"", "好" * 100, bytes(1000)]
    for message in messages:
        inbox.put(message)
    assert inbox.size == sum(map(sys.getsizeof, messages))
    inbox.deliver_to(Listener())
    inbox.flush()
    assert inbox.size == 0


# A listener is delivered to.


def test_a_listener_gets_what_waits_and_then_what_comes(inbox: Inbox) -> None:
    listener = Listener()
    inbox.put("a")
    inbox.deliver_to(listener)
    assert inbox.listening
    assert listener.messages == []
    inbox.flush()
    inbox.put("b")
    assert listener.messages == ["a", "b"]


async def test_with_a_listener_no_task_can_receive_and_no_other_listener(inbox: Inbox) -> None:
    inbox.deliver_to(Listener())
    with pytest.raises(RuntimeError, match="expected one receiver"):
        await inbox.take()
    with pytest.raises(RuntimeError, match="expected one receiver"):
        inbox.deliver_to(Listener())


def test_a_listener_that_pauses_gets_no_more_until_it_is_flushed_again(inbox: Inbox) -> None:
    def pause(message: str | bytes) -> None:
        inbox.paused = message == "b"

    listener = Reacting(pause)
    for message in "abc":
        inbox.put(message)
    inbox.deliver_to(listener)
    inbox.flush()
    inbox.put("d")
    assert listener.messages == ["a", "b"]
    inbox.paused = False
    inbox.flush()
    assert listener.messages == ["a", "b", "c", "d"]


def test_flushing_from_inside_a_delivery_does_not_nest(inbox: Inbox) -> None:
    """Else a thousand messages that wait would be a thousand frames deep."""
    depth = deepest = 0

    def flush(message: str | bytes) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        inbox.flush()
        depth -= 1

    listener = Reacting(flush)
    for number in range(10_000):
        inbox.put(str(number))
    inbox.deliver_to(listener)
    inbox.flush()
    assert deepest == 1
    assert listener.messages == [str(number) for number in range(10_000)]


def test_what_is_put_in_from_inside_a_delivery_comes_after_it(inbox: Inbox) -> None:
    listener = Reacting(lambda message: inbox.put("b") if message == "a" else None)
    inbox.deliver_to(listener)
    inbox.put("a")
    assert listener.messages == ["a", "b"]


def test_a_listener_is_told_of_the_end_once_and_last(inbox: Inbox) -> None:
    listener = Listener()
    inbox.put("a")
    inbox.deliver_to(listener)
    inbox.end(1000, "bye")
    inbox.flush()
    assert listener.messages == ["a"]
    assert isinstance(listener.closed, WebSocketClosed)
    assert str(listener.closed) == "the WebSocket is closed: 1000: bye"
    assert inbox.exhausted
    assert not inbox.listening


def test_at_the_end_a_listener_gets_even_what_it_has_paused(inbox: Inbox) -> None:
    """There is nobody left to be slowed down by it."""
    listener = Listener()
    inbox.paused = True
    inbox.deliver_to(listener)
    inbox.put("a")
    assert listener.messages == []
    inbox.end(1006, "lost")
    assert listener.messages == ["a"]
    assert listener.closed is not None


def test_an_end_from_inside_a_delivery_is_told_after_what_still_waits(inbox: Inbox) -> None:
    listener = Reacting(lambda message: inbox.end(1006, "aborted") if message == "a" else None)
    for message in "abc":
        inbox.put(message)
    inbox.deliver_to(listener)
    inbox.flush()
    assert listener.messages == ["a", "b", "c"]
    assert str(listener.closed) == "the WebSocket is closed: 1006: aborted"


def test_a_listener_that_comes_too_late_is_told_at_once(inbox: Inbox) -> None:
    listener = Listener()
    inbox.put("a")
    inbox.end(1006, "lost")
    inbox.deliver_to(listener)
    inbox.flush()
    assert listener.messages == ["a"]
    assert str(listener.closed) == "the WebSocket is closed: 1006: lost"


def test_a_listener_that_raises_keeps_its_connection_out_of_nothing(inbox: Inbox) -> None:
    """It must not, but the next message comes nevertheless."""

    def fail(message: str | bytes) -> None:
        raise ValueError(message)

    listener = Reacting(fail)
    inbox.deliver_to(listener)
    for message in "ab":
        with pytest.raises(ValueError, match=message):
            inbox.put(message)
    assert listener.messages == ["a", "b"]


def test_what_need_not_wait_is_delivered_without_being_kept(inbox: Inbox) -> None:
    kept: list[tuple[int, int]] = []
    listener = Reacting(lambda message: kept.append((len(inbox), inbox.size)))
    inbox.deliver_to(listener)
    inbox.put("a")
    inbox.put(b"b")
    assert listener.messages == ["a", b"b"]
    assert kept == [(0, 0), (0, 0)]


def test_what_comes_while_something_waits_does_not_overtake_it(inbox: Inbox) -> None:
    """For a listener that has not yet been flushed, or has paused and resumed."""
    listener = Listener()
    inbox.put("a")
    inbox.deliver_to(listener)
    inbox.put("b")
    assert listener.messages == ["a", "b"]
    inbox.paused = True
    inbox.put("c")
    inbox.paused = False
    inbox.put("d")
    assert listener.messages == ["a", "b", "c", "d"]


def test_puts_from_inside_deliveries_do_not_nest(inbox: Inbox) -> None:
    """A listener that puts a message in at each message is no deeper than one."""
    depth = deepest = 0

    def put(message: str | bytes) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        if int(message) < 2_000:
            inbox.put(str(int(message) + 1))
        depth -= 1

    listener = Reacting(put)
    inbox.deliver_to(listener)
    inbox.put("0")
    assert deepest == 1
    assert listener.messages == [str(number) for number in range(2_001)]


def test_a_listener_that_pauses_in_a_delivery_gets_no_more_of_what_was_put_in_from_it(
    inbox: Inbox,
) -> None:
    def pause(message: str | bytes) -> None:
        inbox.paused = True
        inbox.put("b")

    listener = Reacting(pause)
    inbox.deliver_to(listener)
    inbox.put("a")
    assert listener.messages == ["a"]
    assert len(inbox) == 1


@pytest.mark.parametrize("paused", [False, True])
def test_an_end_from_inside_the_delivery_of_what_just_came_is_told_after_it(
    inbox: Inbox, paused: bool
) -> None:
    def end(message: str | bytes) -> None:
        if message == "a":
            inbox.paused = paused
            inbox.put("b")
            inbox.end(1006, "aborted")
            assert listener.closed is None

    listener = Reacting(end)
    inbox.deliver_to(listener)
    inbox.put("a")
    assert listener.messages == ["a", "b"]
    assert str(listener.closed) == "the WebSocket is closed: 1006: aborted"
    assert inbox.exhausted


def test_a_listener_that_raises_loses_nothing_that_was_put_in_from_it(inbox: Inbox) -> None:
    def fail(message: str | bytes) -> None:
        if message == "a":
            inbox.put("b")
            raise ValueError(message)

    listener = Reacting(fail)
    inbox.deliver_to(listener)
    with pytest.raises(ValueError, match="a"):
        inbox.put("a")
    inbox.put("c")
    assert listener.messages == ["a", "b", "c"]
