"""How a WebSocket over a stream ends: by us, by the peer, or by neither; and all are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from support.frames import CLOSE, PING, TEXT, Frame, close, frame
from support.peer import PATIENCE, settle
from support.websocket_pair import Pair

from nbdriver.errors import WebSocketClosed
from nbdriver.net.websocket import WebSocketLimits

both_roles = pytest.mark.parametrize("client", [False, True], ids=["server", "client"])


@pytest.fixture(params=[False, True], ids=["server", "client"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with Pair(client=request.param) as pair:
        yield pair


async def start(pair: Pair, code: int = 1000, reason: str = "") -> asyncio.Task[None]:
    """A task that closes our side, and has come as far as it can."""
    task = asyncio.create_task(pair.websocket.close(code, reason))
    await settle()
    return task


# By us.


async def test_our_close_waits_for_the_peers_and_carries_what_it_says(pair: Pair) -> None:
    closing = await start(pair, 4000, "enough")
    assert await pair.peer.read_close() == (4000, "enough")
    assert not closing.done()
    assert not pair.websocket.closed
    assert not pair.peer.eof
    pair.peer.send_close(4001, "as you like")
    await asyncio.wait_for(closing, PATIENCE)
    assert pair.websocket.closed
    assert await pair.closed_with() == (4001, "as you like")
    await pair.peer.nothing_more()


async def test_a_long_reason_is_cut(pair: Pair) -> None:
    closing = await start(pair, 1000, "汉" * 100)
    assert await pair.peer.read_close() == (1000, "汉" * 41)
    pair.peer.send_close()
    await closing


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1014, 1015, 2999, 5000, 70000])
async def test_a_code_that_may_not_be_sent_is_a_value_error_before_a_byte_is_sent(
    pair: Pair, code: int
) -> None:
    with pytest.raises(ValueError, match="expected a close code"):
        await pair.websocket.close(code)
    await pair.websocket.send("still open")
    assert await pair.peer.read_frame() == Frame(TEXT, b"still open")


async def test_a_reason_that_utf_8_cannot_carry_is_a_value_error_and_changes_nothing(
    pair: Pair,
) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        await pair.websocket.close(1000, "\ud800")
    await pair.websocket.send("still open")
    assert await pair.peer.read_frame() == Frame(TEXT, b"still open")


async def test_closing_is_idempotent(pair: Pair) -> None:
    closing = [await start(pair, 1000 + number) for number in range(3)]
    assert await pair.peer.read_close() == (1000, "")
    pair.peer.send_close()
    await asyncio.wait_for(asyncio.gather(*closing), PATIENCE)
    await pair.websocket.close()
    await pair.peer.nothing_more()


async def test_after_our_close_a_ping_is_ignored_and_send_raises(pair: Pair) -> None:
    closing = await start(pair, 1001, "going")
    pair.peer.send_frame("?", PING)
    for call in (pair.websocket.send("a"), pair.websocket.ping()):
        with pytest.raises(WebSocketClosed, match="1001: going"):
            await call
    pair.peer.send_close()
    await closing
    assert await pair.peer.read_close() == (1001, "going")
    await pair.peer.nothing_more()


async def test_messages_that_come_after_our_close_are_not_wanted(pair: Pair) -> None:
    pair.peer.send_frame("before")
    await settle()
    closing = await start(pair)
    pair.peer.send_frame("after")
    pair.peer.send_close()
    await closing
    assert await pair.rest() == ["before"]


async def test_a_peer_that_never_closes_is_cut_off_after_10_s(pair: Pair) -> None:
    closing = await start(pair)
    receiver = asyncio.create_task(pair.closed_with())
    pair.clock.advance(9.75)
    await settle()
    assert not closing.done()
    pair.clock.advance(0.5)
    await asyncio.wait_for(closing, PATIENCE)
    assert await receiver == (1006, "no Close came in time")
    await settle()
    assert pair.peer.lost


async def test_a_peer_that_goes_on_sending_has_no_longer_than_that(pair: Pair) -> None:
    closing = await start(pair)
    for _ in range(11):
        pair.peer.send_frame("x")
        await settle()
        pair.clock.advance(1)
    await asyncio.wait_for(closing, PATIENCE)
    assert await pair.closed_with() == (1006, "no Close came in time")


async def test_our_close_does_not_wait_for_a_receiver_that_is_slow() -> None:
    """websockets #1527: the queue is full, reading is paused, the Close comes behind it all."""
    async with Pair(limits=WebSocketLimits(max_parked=10_000)) as pair:
        for number in range(100):
            pair.peer.send_frame(str(number) * 1_000)
            await asyncio.sleep(0)
        pair.peer.send_close(1001)
        await settle()
        assert pair.peer.transport.get_write_buffer_size() > 0
        closing = await start(pair)
        await asyncio.wait_for(closing, PATIENCE)
        received = await pair.rest()
        assert received == [str(number) * 1_000 for number in range(len(received))]
        assert len(received) >= 10


async def test_a_close_that_is_cancelled_still_ends_in_time(pair: Pair) -> None:
    closing = await start(pair)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    again = await start(pair)
    pair.clock.advance(11)
    await asyncio.wait_for(again, PATIENCE)
    assert pair.websocket.closed


async def test_a_stopping_server_says_1001_and_does_not_wait() -> None:
    async with Pair() as pair:
        pair.websocket.shut_down()
        pair.websocket.shut_down()
        assert await pair.peer.read_close() == (1001, "the server is shutting down")
        pair.peer.send_close(1001)
        assert await pair.closed_with() == (1001, "")


async def test_closing_after_a_violation_says_which(pair: Pair) -> None:
    pair.peer.send_frame("", 3)
    await settle()
    await asyncio.wait_for(pair.websocket.close(4000), PATIENCE)
    assert (await pair.peer.read_close())[0] == 1002


# By the peer.


@pytest.mark.parametrize(
    ("code", "reason", "told"), [(1000, "", 1000), (4242, "再见", 4242), (None, "", 1005)]
)
async def test_the_peers_close_is_answered_in_kind_and_carried(
    pair: Pair, code: int | None, reason: str, told: int
) -> None:
    receiver = asyncio.create_task(pair.closed_with())
    await settle()
    pair.peer.send_close(code, reason)
    assert await receiver == (told, reason)
    assert await pair.peer.read_close() == (code, reason)
    await pair.peer.nothing_more()
    for call in (pair.websocket.send("a"), pair.websocket.ping()):
        with pytest.raises(WebSocketClosed) as caught:
            await call
        assert caught.value.code == told
    await pair.websocket.close()


async def test_the_peers_close_is_answered_though_nobody_receives(pair: Pair) -> None:
    pair.peer.send_close(1000, "bye")
    assert await pair.peer.read_close() == (1000, "bye")
    assert pair.websocket.closed


async def test_a_message_before_the_peers_close_is_received_and_answered(pair: Pair) -> None:
    """Autobahn 7.1.1: both in one segment."""
    pair.peer.send(
        frame("one", key=pair.peer.key)
        + frame("two", key=pair.peer.key)
        + close(1000, "bye", key=pair.peer.key)
        + frame("never", key=pair.peer.key)
    )
    await settle()
    for expected in (b"one", b"two"):
        await pair.websocket.send(await pair.websocket.receive())
        assert await pair.peer.read_frame() == Frame(TEXT, expected)
    assert not pair.websocket.closed
    assert await pair.closed_with() == (1000, "bye")
    assert await pair.peer.read_close() == (1000, "bye")
    await pair.peer.nothing_more()


async def test_a_close_behind_a_message_that_made_reading_pause_waits_for_its_answer() -> None:
    """That the receiver has taken the message is no reason to say goodbye: it has to answer it."""
    async with Pair(limits=WebSocketLimits(max_parked=1_000)) as pair:
        pair.peer.send(frame("x" * 2_000) + close(1000))
        await settle()
        await pair.websocket.send(await pair.websocket.receive())
        assert await pair.closed_with() == (1000, "")
        assert (await pair.peer.read_frame()).payload == b"x" * 2_000
        assert await pair.peer.read_close() == (1000, "")
        await pair.peer.nothing_more()


async def test_a_peer_that_has_sent_its_close_is_not_pinged_since_it_will_not_answer(
    pair: Pair,
) -> None:
    pair.peer.send_frame("one")
    pair.peer.send_close(1001, "bye")
    await settle()
    with pytest.raises(WebSocketClosed, match="1001: bye"):
        await pair.websocket.ping()
    assert await pair.websocket.receive() == "one"
    assert await pair.closed_with() == (1001, "bye")
    assert await pair.peer.read_close() == (1001, "bye")


async def test_a_receiver_that_is_slow_does_not_put_off_the_close_for_ever(pair: Pair) -> None:
    pair.peer.send_frame("one")
    pair.peer.send_close(1000)
    await settle()
    assert not pair.peer.received
    pair.clock.advance(11)
    assert await pair.peer.read_close() == (1000, "")
    with pytest.raises(WebSocketClosed):
        await pair.websocket.send("too late")
    assert not pair.websocket.closed
    assert await pair.rest() == ["one"]


async def test_a_peer_that_closes_and_ends_its_side_still_gets_its_answer(pair: Pair) -> None:
    pair.peer.send_frame("one")
    pair.peer.send_close(1000, "bye")
    pair.peer.transport.write_eof()
    await settle()
    await pair.websocket.send(await pair.websocket.receive())
    assert await pair.closed_with() == (1000, "bye")
    assert await pair.peer.read_frame() == Frame(TEXT, b"one")
    assert await pair.peer.read_close() == (1000, "bye")


@pytest.mark.parametrize("violation", [False, True])
async def test_a_peer_that_closes_and_is_gone_has_closed_it_none_the_less(
    pair: Pair, violation: bool
) -> None:
    pair.peer.send_frame("one")
    if violation:
        pair.peer.send_frame("", 3)
    else:
        pair.peer.send_close(1000, "bye")
    await settle()
    pair.peer.transport.abort()
    await settle()
    assert await pair.websocket.receive() == "one"
    with pytest.raises(WebSocketClosed):
        await pair.websocket.send("answer")
    assert (await pair.closed_with())[0] == (1002 if violation else 1000)


async def test_both_may_close_at_once(pair: Pair) -> None:
    pair.websocket.shut_down()
    pair.peer.send_close(4001)
    assert (await pair.peer.read_close())[0] == 1001
    assert await pair.closed_with() == (4001, "")
    await pair.peer.nothing_more()


# By neither.


async def test_an_end_without_a_close_is_1006(pair: Pair) -> None:
    receiver = asyncio.create_task(pair.closed_with())
    await settle()
    pair.peer.send_frame("half", fin=False)
    pair.peer.transport.write_eof()
    assert await receiver == (1006, "the peer ended the connection without a Close")
    await pair.peer.nothing_more()


async def test_a_lost_connection_is_1006_and_wakes_everybody(pair: Pair) -> None:
    pair.peer.transport.pause_reading()
    tasks = [
        asyncio.create_task(call)
        for call in (
            pair.websocket.receive(),
            pair.websocket.send("x" * 100_000),
            pair.websocket.ping(),
            pair.websocket.ping(),
        )
    ]
    await settle()
    pair.peer.transport.abort()
    for task in tasks:
        with pytest.raises(WebSocketClosed, match="1006: the connection was lost"):
            await asyncio.wait_for(task, PATIENCE)
    await pair.websocket.close()


async def test_messages_before_the_end_are_received_and_closed_is_true_only_then(
    pair: Pair,
) -> None:
    """The contract's loop: `while not ws.closed: data = await ws.receive()`."""
    for message in ("one", "two", "three"):
        pair.peer.send_frame(message)
    pair.peer.send_frame("half", fin=False)
    pair.peer.transport.close()
    await settle()
    assert not pair.websocket.closed
    assert await pair.rest() == ["one", "two", "three"]


async def test_aborting_is_at_once_and_without_a_close(pair: Pair) -> None:
    pair.peer.send_frame("one")
    await settle()
    pair.websocket.abort()
    pair.websocket.abort()
    assert await pair.rest() == ["one"]
    assert await pair.closed_with() == (1006, "aborted")
    await pair.peer.nothing_more()
    assert pair.peer.lost


@both_roles
@pytest.mark.parametrize("loss", ["abort", "close", "write_eof"])
@pytest.mark.parametrize(
    "doing", ["nothing", "receiving", "sending", "pinging", "closing", "answering", "failing"]
)
async def test_the_peer_may_be_lost_at_any_point(client: bool, loss: str, doing: str) -> None:
    """Whatever is under way ends, and nothing is left; the block sees to that."""
    async with Pair(client=client) as pair:
        websocket = pair.websocket
        calls: dict[str, Callable[[], asyncio.Task[object]]] = {
            "receiving": lambda: asyncio.create_task(websocket.receive()),
            "sending": lambda: asyncio.create_task(websocket.send(bytes(10**6))),
            "pinging": lambda: asyncio.create_task(websocket.ping()),
            "closing": lambda: asyncio.create_task(websocket.close()),
        }
        if doing == "sending":
            pair.peer.transport.pause_reading()
        if doing == "answering":
            pair.peer.send_frame("one")
            pair.peer.send_close()
        if doing == "failing":
            pair.peer.send_frame("", 3)
        task = calls[doing]() if doing in calls else None
        await settle()
        getattr(pair.peer.transport, loss)()
        await settle()
        if doing == "sending":
            # Half a connection may still carry it.
            pair.peer.transport.resume_reading()
        if doing in ("answering", "failing"):
            pair.clock.advance(11)
        if task is not None:
            await asyncio.wait_for(asyncio.wait([task]), PATIENCE)
            error = task.exception()
            assert isinstance(error, WebSocketClosed) or doing == "closing"
        assert pair.websocket.accepted
        await pair.rest()
        with pytest.raises(WebSocketClosed):
            await pair.websocket.send("too late")


async def test_nothing_that_comes_after_the_end_matters(pair: Pair) -> None:
    pair.peer.send_close()
    assert await pair.peer.read_close() == (1000, "")
    pair.peer.send_frame("x")
    pair.peer.send_frame("", 3)
    pair.peer.send_close()
    await settle()
    assert await pair.closed_with() == (1000, "")
    await pair.peer.nothing_more()


async def test_a_close_that_cannot_be_written_any_more_ends_it_as_well() -> None:
    async with Pair() as pair:
        pair.peer.transport.pause_reading()
        writer = asyncio.create_task(pair.websocket.send(bytes(10**6)))
        await settle()
        pair.stream.abort()
        await asyncio.wait_for(pair.websocket.close(), PATIENCE)
        assert await pair.closed_with() == (1006, "the connection was lost")
        with pytest.raises(WebSocketClosed):
            await writer


async def test_the_opcode_of_a_close_is_8() -> None:
    """What `read_close` of these tests relies on."""
    assert close()[0] == 0x80 | CLOSE
