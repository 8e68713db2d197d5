"""A WebSocket under an ASGI server: its messages, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.asgi import Listening, Open, talk
from support.peer import settle
from support.websocket_pair import Listener

from nbdriver import WebSocketClosed
from nbdriver.asgi import ASGIWebSocketConnection

# Messages.


async def test_messages_go_both_ways() -> None:
    async with Open() as ours:
        ours.conversation.text("你好")
        ours.conversation.give("websocket.receive", bytes=b"\xff")
        ours.conversation.give("websocket.receive", text=None, bytes=bytearray(b"a"))
        ours.conversation.give("websocket.receive", text="", bytes=None)
        assert [await ours.websocket.receive() for _ in range(4)] == ["你好", b"\xff", b"a", ""]
        await ours.websocket.send("再见")
        await ours.websocket.send(b"\xff")
        assert await ours.conversation.take() == {"type": "websocket.send", "text": "再见"}
        assert await ours.conversation.take() == {"type": "websocket.send", "bytes": b"\xff"}


async def test_the_server_is_asked_for_one_message_ahead_and_no_more() -> None:
    """Its flow control is the only one."""
    async with Open() as ours:
        for text in ("a", "b", "c"):
            ours.conversation.text(text)
        # The first one was to connect.
        for asked in (2, 3, 4):
            await settle()
            assert ours.conversation.asked == asked
            await ours.websocket.receive()


async def test_a_handler_that_only_sends_notices_the_clients_end() -> None:
    async with Open() as ours:
        ours.conversation.give("websocket.disconnect", code=1001, reason="bye")
        await settle()
        assert ours.websocket.closed
        with pytest.raises(WebSocketClosed, match="1001: bye"):
            await ours.websocket.send("a")


async def test_a_time_out_around_receive_loses_nothing() -> None:
    async with Open() as ours:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ours.websocket.receive(), 0)
        receiving = asyncio.create_task(ours.websocket.receive())
        await settle()
        receiving.cancel()
        await settle()
        ours.conversation.text("a")
        await settle()
        assert await ours.websocket.receive() == "a"


async def test_two_tasks_cannot_receive() -> None:
    async with Open() as ours:
        first = asyncio.create_task(ours.websocket.receive())
        await settle()
        with pytest.raises(RuntimeError, match="expected one receiver"):
            await ours.websocket.receive()
        ours.conversation.text("a")
        assert await first == "a"


async def test_a_lone_surrogate_is_a_value_error_and_the_connection_unharmed() -> None:
    async with Open() as ours:
        with pytest.raises(ValueError, match="surrogates"):
            await ours.websocket.send("\ud800")
        with pytest.raises(TypeError, match="expected str or bytes to send, got int"):
            await ours.websocket.send(1)  # type: ignore[arg-type]  # what is to be refused
        await ours.websocket.send("ok")
        assert (await ours.conversation.take())["text"] == "ok"


async def test_it_cannot_be_pinged() -> None:
    async with Open() as ours:
        assert not ours.websocket.can_ping
        with pytest.raises(RuntimeError, match="ASGI has no pings"):
            await ours.websocket.ping()


async def test_what_the_server_makes_up_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Open() as ours:
        ours.conversation.give("websocket.receive", bytes="no bytes")
        assert await ours.closed_with() == (1006, "the connection was lost")
    assert "what came could not be taken" in caplog.text


# Ending.


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"code": 4000, "reason": "enough"}, (4000, "enough")),
        ({"code": 1001, "reason": None}, (1001, "")),
        ({}, (1005, "")),
    ],
)
async def test_the_clients_end_is_carried_with_code_and_reason(
    fields: dict[str, Any], told: tuple[int, str]
) -> None:
    async with Open() as ours:
        ours.conversation.text("a")
        ours.conversation.give("websocket.disconnect", **fields)
        assert await ours.websocket.receive() == "a"
        assert not ours.websocket.closed
        assert await ours.closed_with() == told
        assert ours.websocket.closed
        with pytest.raises(WebSocketClosed):
            await ours.websocket.send("too late")
        await ours.websocket.close()


async def test_a_send_that_finds_the_client_gone_raises_websocket_closed() -> None:
    async with Open() as ours:
        ours.conversation.error = OSError("gone")
        with pytest.raises(WebSocketClosed, match="1006: the connection was lost"):
            await ours.websocket.send("a")
        assert ours.websocket.closed


async def test_closing_tells_the_server_once_and_wakes_whoever_waits() -> None:
    async with Open() as ours:
        receiving = asyncio.create_task(ours.websocket.receive())
        await settle()
        await ours.websocket.close(4000, "汉" * 100)
        await ours.websocket.close(4001)
        assert await ours.conversation.take() == {
            "type": "websocket.close",
            "code": 4000,
            "reason": "汉" * 41,
        }
        with pytest.raises(WebSocketClosed, match="4000: 汉"):
            await receiving
        assert ours.websocket.closed


@pytest.mark.parametrize(("code", "reason"), [(1006, ""), (5000, ""), (1000, "\ud800")])
async def test_a_close_that_may_not_be_sent_is_a_value_error_and_changes_nothing(
    code: int, reason: str
) -> None:
    async with Open() as ours:
        with pytest.raises(ValueError, match=r"close code|surrogates"):
            await ours.websocket.close(code, reason)
        assert not ours.websocket.closed


async def test_a_message_that_comes_after_our_close_is_not_wanted() -> None:
    async with Open() as ours:
        await settle()
        await ours.websocket.close()
        assert ours.websocket.closed
        ours.conversation.text("late")
        await settle()
        assert ours.websocket.closed
        await ours.conversation.take()


async def test_a_handler_that_returns_closes_with_1000() -> None:
    async with Open() as ours:
        ours.left.set()
        assert await ours.conversation.take() == {
            "type": "websocket.close",
            "code": 1000,
            "reason": "",
        }
        await ours.conversation.end()


async def test_a_close_of_another_connection_closes_this_one_too_in_the_end() -> None:
    async def fail(websocket: ASGIWebSocketConnection) -> None:
        await websocket.accept()
        raise WebSocketClosed(1006, "another one")

    conversation = talk(fail)
    await conversation.take()
    assert (await conversation.take())["code"] == 1000
    await conversation.end()


async def test_a_close_that_nobody_hears_any_more_is_nobodys_failure() -> None:
    async with Open() as ours:
        ours.conversation.error = OSError("gone")
        await ours.websocket.close()
        assert ours.websocket.closed


async def test_aborting_wakes_whoever_waits_and_leaves_the_end_to_the_server() -> None:
    async with Open() as ours:
        receiving = asyncio.create_task(ours.websocket.receive())
        await settle()
        ours.websocket.abort()
        ours.websocket.abort()
        with pytest.raises(WebSocketClosed, match="1006: aborted"):
            await receiving
        ours.left.set()
        await ours.conversation.end()


async def test_a_call_that_the_server_cancels_leaves_nothing_waiting() -> None:
    async with Open() as ours:
        receiving = asyncio.create_task(ours.websocket.receive())
        await settle()
        await ours.conversation.cancel()
        with pytest.raises(WebSocketClosed, match="1006: the server ended the connection"):
            await receiving


# A listener.


async def test_a_connection_lives_on_for_its_listener() -> None:
    async with Listening() as ours:
        for text in ("a", "b"):
            ours.conversation.text(text)
        await settle()
        assert ours.listener.messages == ["a", "b"]
        ours.conversation.give("websocket.disconnect", code=1001, reason="bye")
        await ours.conversation.end()
        assert str(ours.listener.closed) == "the WebSocket is closed: 1001: bye"


async def test_a_listener_may_come_before_the_connection_is_accepted() -> None:
    listener = Listener()

    async def listen(websocket: ASGIWebSocketConnection) -> None:
        websocket.deliver_to(listener)
        await websocket.accept()

    conversation = talk(listen)
    await conversation.take()
    conversation.text("a")
    conversation.give("websocket.disconnect", code=1000)
    await conversation.end()
    assert listener.messages == ["a"]
    assert str(listener.closed) == "the WebSocket is closed: 1000"


async def test_a_listener_of_a_connection_that_is_never_accepted_is_told_of_its_end() -> None:
    listener = Listener()

    async def listen(websocket: ASGIWebSocketConnection) -> None:
        websocket.deliver_to(listener)

    conversation = talk(listen)
    assert await conversation.take() == {"type": "websocket.close"}
    await conversation.end()
    assert str(listener.closed) == "the WebSocket is closed: 1006: refused"


async def test_what_a_task_did_not_receive_goes_to_the_listener() -> None:
    async with Open() as ours:
        receiving = asyncio.create_task(ours.websocket.receive())
        await settle()
        receiving.cancel()
        await settle()
        listener = Listener()
        ours.websocket.deliver_to(listener)
        for text in ("a", "b"):
            ours.conversation.text(text)
        await settle()
        assert listener.messages == ["a", "b"]
        ours.conversation.give("websocket.disconnect")
        await settle()


async def test_pausing_stops_the_delivery_and_the_reading() -> None:
    class Pausing(Listener):
        def message_received(self, message: str | bytes) -> None:
            super().message_received(message)
            if message == "b":
                ours.websocket.pause_reading()

    async with Listening(Pausing()) as ours:
        for text in ("a", "b", "c", "d"):
            ours.conversation.text(text)
        await settle()
        assert ours.listener.messages == ["a", "b"]
        asked = ours.conversation.asked
        ours.websocket.pause_reading()
        await settle()
        assert ours.conversation.asked == asked
        ours.websocket.resume_reading()
        ours.websocket.resume_reading()
        await settle()
        assert ours.listener.messages == ["a", "b", "c", "d"]
        ours.conversation.give("websocket.disconnect")
        await ours.conversation.end()


@pytest.mark.parametrize("inside", [True, False])
async def test_aborting_ends_the_call_and_its_task_is_not_cancelled(inside: bool) -> None:
    class Aborting(Listener):
        def message_received(self, message: str | bytes) -> None:
            super().message_received(message)
            ours.websocket.abort()

    async with Listening(Aborting() if inside else Listener()) as ours:
        ours.conversation.text("a")
        await settle()
        if not inside:
            ours.websocket.abort()
        await ours.conversation.end()
        assert ours.conversation.task.cancelling() == 0
        assert ours.listener.messages == ["a"]
        assert str(ours.listener.closed) == "the WebSocket is closed: 1006: aborted"


async def test_a_listener_that_raises_ends_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Raising(Listener):
        def message_received(self, message: str | bytes) -> None:
            raise RuntimeError("it must not")

    async with Listening(Raising()) as ours:
        ours.conversation.text("a")
        await ours.conversation.end()
        assert str(ours.listener.closed) == "the WebSocket is closed: 1006: the connection was lost"
    assert "what came could not be taken" in caplog.text


async def test_a_listener_is_told_when_the_server_cancels_the_call() -> None:
    """Else its bot would stay connected for ever."""
    async with Listening() as ours:
        await settle()
        await ours.conversation.cancel()
        assert (
            str(ours.listener.closed)
            == "the WebSocket is closed: 1006: the server ended the connection"
        )
