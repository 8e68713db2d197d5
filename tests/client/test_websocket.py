"""A client's WebSocket once it is open: iteration, and how its block is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.frames import PING, TEXT, Frame, close, frame
from support.jumping import jumping
from support.leaks import nothing_left
from support.memory import connect
from support.peer import settle
from support.websocket_pair import FramePeer

from nbdriver import Headers, Request, WebSocket, WebSocketClosed
from nbdriver.client.websocket import ClientWebSocket
from nbdriver.net.channel import Channel
from nbdriver.net.clock import LoopClock
from nbdriver.net.websocket import WebSocketLimits
from nbdriver.wire.frames import FrameLimits
from nbdriver.wire.session import Session


class Opened:
    """A WebSocket that was opened, and its server; `websocket.leave` is for the test to call."""

    def __init__(self, ahead: bytes = b"", **limits: Any) -> None:
        clock = LoopClock(asyncio.get_running_loop())
        self.channel = Channel(clock)
        self.server = FramePeer(client=False)
        connect(self.channel.stream, self.server)
        self.channel.data_received(ahead)
        self.websocket = ClientWebSocket(
            self.channel,
            clock,
            Session(FrameLimits(), client=True),
            Request("GET", "/a/ws?access_token=secret", Headers([("Host", "bot")]), scheme="ws"),
            Headers([("Server", "x")]),
            subprotocol="12.bot",
            limits=WebSocketLimits(**limits),
        )

    async def left(self) -> None:
        """See that whoever leaves leaves nothing, not even a socket."""
        assert self.websocket.closed
        await self.channel.wait_closed()
        await settle()
        assert self.server.lost or self.server.eof


@asynccontextmanager
async def opened(ahead: bytes = b"", **limits: Any) -> AsyncIterator[Opened]:
    async with nothing_left():
        opened = Opened(ahead, **limits)
        yield opened
        opened.server.transport.abort()


async def left(websocket: ClientWebSocket, error: BaseException | None = None) -> float:
    """Leave, and give how many seconds it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await websocket.leave(error)
    return loop.time() - began


# What it is.


@jumping
async def test_it_tells_what_the_server_has_answered_and_no_secret() -> None:
    async with opened() as here:
        assert here.websocket.subprotocol == "12.bot"
        assert here.websocket.response_headers.get("server") == "x"
        assert str(here.websocket) == "WebSocket ws://bot/a/ws"


@jumping
async def test_messages_go_both_ways_and_ours_are_masked() -> None:
    async with opened() as here:
        await here.websocket.send("汉")
        await here.websocket.send(b"\xff")
        assert await here.server.read_frame() == Frame(TEXT, "汉".encode())  # which sees the mask
        assert (await here.server.read_frame()).payload == b"\xff"
        here.server.send_frame("one")
        here.server.send_frame(b"two", 2)
        assert await here.websocket.receive_text() == "one"
        assert await here.websocket.receive_bytes() == b"two"


@jumping
async def test_a_message_of_the_other_kind_is_a_type_error() -> None:
    async with opened(frame("one", key=None) + frame(b"two", 2, key=None)) as here:
        with pytest.raises(TypeError, match="expected a binary message, got text of 3 characters"):
            await here.websocket.receive_bytes()
        with pytest.raises(TypeError, match="expected a text message, got a binary one of 3 bytes"):
            await here.websocket.receive_text()


@jumping
async def test_the_contracts_websocket_wraps_it() -> None:
    async with opened() as here:
        websocket = WebSocket(here.websocket)
        await websocket.send({"汉": 1})
        assert (await here.server.read_frame()).payload == '{"汉":1}'.encode()
        here.server.send_frame('{"n": 2}')
        assert await websocket.receive() == {"n": 2}


@jumping
async def test_what_came_behind_the_101_is_received_and_answered() -> None:
    async with opened(frame("one", key=None) + frame("?", PING, key=None) + b"\x81") as here:
        assert await here.websocket.receive() == "one"
        assert (await here.server.read_frame()).payload == b"?"
        here.server.send(b"\x03two")
        assert await here.websocket.receive() == "two"


# Iteration.


@jumping
@pytest.mark.parametrize("code", [1000, 1001, None])
async def test_iteration_ends_when_the_server_closes_normally(code: int | None) -> None:
    ahead = frame("one", key=None) + frame("two", key=None) + close(code, key=None)
    async with opened(ahead) as here:
        assert [message async for message in here.websocket] == ["one", "two"]
        assert here.websocket.closed


@jumping
async def test_iteration_raises_the_servers_code_and_reason_for_any_other_end() -> None:
    async with opened(frame("one", key=None) + close(4001, "再见", key=None)) as here:
        assert await anext(here.websocket) == "one"
        with pytest.raises(WebSocketClosed) as caught:
            await anext(here.websocket)
        assert (caught.value.code, caught.value.reason) == (4001, "再见")


@jumping
async def test_iteration_raises_if_the_server_just_goes_away() -> None:
    async with opened() as here:
        here.server.transport.abort()
        with pytest.raises(WebSocketClosed, match="1006: the connection was lost"):
            await anext(here.websocket)


# Leaving.


@jumping
@pytest.mark.parametrize(("error", "code"), [(None, 1000), (RuntimeError("secret"), 1011)])
async def test_leaving_says_goodbye_and_waits_for_the_answer(
    error: Exception | None, code: int
) -> None:
    async with opened() as here:
        leaving = asyncio.create_task(here.websocket.leave(error))
        assert await here.server.read_close() == (code, "")
        here.server.send_frame("too late")
        await asyncio.sleep(5)
        assert not leaving.done()
        here.server.send_close(4000, "bye")
        await settle()
        here.server.transport.close()
        await leaving
        await here.left()
        with pytest.raises(WebSocketClosed, match="4000: bye"):
            await here.websocket.receive()


@jumping
@pytest.mark.parametrize("close_timeout", [0, 0.1, 3])
async def test_a_server_that_never_answers_has_the_close_limit_and_no_more(
    close_timeout: float,
) -> None:
    async with opened(close_timeout=close_timeout) as here:
        assert await left(here.websocket) == pytest.approx(close_timeout, abs=1e-3)
        await here.left()
        with pytest.raises(WebSocketClosed, match="1006: no Close came in time"):
            await here.websocket.receive()


@jumping
async def test_a_server_that_answers_and_keeps_the_connection_has_no_more_time_than_that() -> None:
    """It is not read any more, so that our end cannot be told to it."""
    async with opened(close_timeout=1.5) as here:
        here.server.send_close()
        await settle()
        here.server.transport.pause_reading()
        assert await left(here.websocket) == pytest.approx(1.5)
        await here.left()


@jumping
async def test_without_a_close_limit_the_answer_may_take_its_time() -> None:
    async with opened(close_timeout=None, ping_interval=None) as here:
        leaving = asyncio.create_task(here.websocket.leave())
        await asyncio.sleep(10_000)
        assert not leaving.done()
        here.server.send_close()
        await leaving
        await here.left()


@jumping
async def test_whoever_is_cancelled_says_1001_and_waits_for_nothing() -> None:
    async with opened() as here:
        assert await left(here.websocket, asyncio.CancelledError()) == 0
        await here.left()
        assert await here.server.read_close() == (1001, "")
        await here.server.nothing_more()


@jumping
async def test_a_cancellation_while_the_answer_is_waited_for_ends_the_connection_at_once() -> None:
    async with opened() as here:
        leaving = asyncio.create_task(here.websocket.leave())
        await here.server.read_close()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await here.left()


@jumping
async def test_leaving_does_not_wait_behind_what_nobody_has_received() -> None:
    async with opened(max_parked=1_000) as here:
        for _ in range(100):
            here.server.send_frame("x" * 10_000)
        await settle()
        assert here.server.transport.get_write_buffer_size()
        leaving = asyncio.create_task(here.websocket.leave())
        await here.server.read_close()
        here.server.send_close()
        here.server.transport.close()
        await leaving
        await here.channel.wait_closed()


@jumping
@pytest.mark.parametrize("error", [None, RuntimeError(), asyncio.CancelledError()])
@pytest.mark.parametrize(
    "how", ["closed by the server", "aborted", "closed by us", "lost", "ended"]
)
async def test_what_has_ended_before_is_left_as_it_is(
    how: str, error: BaseException | None
) -> None:
    async with opened() as here:
        if how == "closed by the server":
            here.server.send_close(4000)
            with pytest.raises(WebSocketClosed):
                await here.websocket.receive()
        elif how == "aborted":
            here.websocket.abort()
        elif how == "closed by us":
            closing = asyncio.create_task(here.websocket.close(4000))
            await here.server.read_close()
            here.server.send_close(4000)
            await closing
        elif how == "lost":
            here.server.transport.abort()
        else:
            here.server.transport.write_eof()
        await settle()
        assert await left(here.websocket, error) <= 2.25  # for the server to end its side
        with pytest.raises(WebSocketClosed) as caught:
            await here.websocket.receive()
        assert caught.value.code == (4000 if "by" in how else 1006)


@jumping
@pytest.mark.parametrize("lost", [False, True])
async def test_an_end_that_had_come_with_the_101_is_seen(lost: bool) -> None:
    async with nothing_left():
        clock = LoopClock(asyncio.get_running_loop())
        channel, server = Channel(clock), FramePeer(client=False)
        connect(channel.stream, server)
        server.send_frame("one")
        if not lost:
            server.send_close(4000, "go")
        await settle()
        if lost:
            server.transport.abort()
        else:
            server.transport.write_eof()
        await settle()
        websocket = ClientWebSocket(
            channel,
            clock,
            Session(FrameLimits(), client=True),
            Request("GET", "/"),
            Headers(),
            limits=WebSocketLimits(),
        )
        assert await websocket.receive() == "one"
        with pytest.raises(WebSocketClosed) as caught:
            await websocket.receive()
        assert str(caught.value) == (
            "the WebSocket is closed: 1006: the connection was lost"
            if lost
            else "the WebSocket is closed: 4000: go"
        )
        await websocket.leave()
        server.transport.abort()
