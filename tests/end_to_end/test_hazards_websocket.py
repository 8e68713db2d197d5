"""What has gone wrong with WebSockets in servers like this one, sent to a driver over a socket.

Each test ends with the next connections, of either kind, which work as if nothing had been.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

import pytest
from support.allocation import allocated
from support.deflate import HELLO, bomb
from support.echo import make_driver, serving
from support.frames import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    close,
    frame,
    header,
    read_frames,
)
from support.hazards import FLOODS, HANDSHAKES_REFUSED, RSV1, VIOLATIONS
from support.loops import on_each_loop
from support.peer import settle
from support.raw import connect, exchange, open_websocket, still_works, upgrade
from support.websocket_pair import FramePeer

from nbdriver import Driver, WebSocketClosed, abc

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


class Raw(Driver):
    """Sends back each message as it came, on any path; `/echo/ws` stays the adapter's."""

    async def _handle_ws_reverse(self, connection: abc.WebSocketConnection) -> None:
        if connection.request.headers.get("x-self-id") != "1":
            await super()._handle_ws_reverse(connection)
            return
        await connection.accept()
        while True:
            await connection.send(await connection.receive())


# The opening handshake.


@on_each_loop
@pytest.mark.parametrize("name", HANDSHAKES_REFUSED)
async def test_an_opening_handshake_that_is_wrong_is_refused_by_status(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    data, status = HANDSHAKES_REFUSED[name]
    async with serving(deflate=True) as echo:
        first, _, body = (await exchange(echo, data)).partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 %d " % status)
        assert (b"\r\nSec-WebSocket-Version: 13" in first) == (status == 426)
        assert body.startswith(b"expected ")
        assert echo.driver.bots == {}
        assert not [each for each in caplog.records if each.exc_info]
        await still_works(echo)


@on_each_loop
async def test_several_lines_of_connection_are_read_as_one_list() -> None:
    async with serving() as echo:
        peer = await connect(echo, FramePeer(client=True))
        peer.send(upgrade("Connection: foo, UPGRADE", connection="Connection: keep-alive"))
        assert (await peer.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        peer.transport.abort()
        await still_works(echo)


@on_each_loop
@pytest.mark.parametrize(
    ("offer", "granted"),
    [
        ("permessage-deflate; client_max_window_bits=abc", None),
        ("permessage-deflate; server_max_window_bits=99", None),
        (
            'permessage-deflate; client_max_window_bits="10"',
            b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=10",
        ),
    ],
)
async def test_an_offer_of_windows_is_granted_or_declined_cve_2026_2229(
    offer: str, granted: bytes | None
) -> None:
    async with serving(deflate=True) as echo:
        peer = await connect(echo, FramePeer(client=True))
        peer.send(upgrade(f"Sec-WebSocket-Extensions: {offer}"))
        lines = (await peer.read(b"\r\n\r\n")).split(b"\r\n")
        assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
        answers = [line for line in lines if line.startswith(b"Sec-WebSocket-Extensions: ")]
        assert answers == ([b"Sec-WebSocket-Extensions: " + granted] if granted else [])
        peer.transport.abort()
        await still_works(echo)


@on_each_loop
async def test_frames_in_the_same_segment_as_the_upgrade_are_delivered() -> None:
    async with serving() as echo:
        frames = frame('{"n": 1}') + frame("?", PING) + frame('{"n": 2}') + close(4000, "bye")
        answer = await exchange(echo, upgrade() + frames)
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        got = read_frames(rest)
        assert Frame(PONG, b"?") in got
        assert got[-1].payload == b"\x0f\xa0bye"
        assert echo.messages == [{"n": 1}, {"n": 2}]
        await still_works(echo)


# What breaks a rule.


@on_each_loop
@pytest.mark.parametrize("name", VIOLATIONS)
async def test_a_violation_is_closed_by_us_after_what_was_complete_before_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    wire, code = VIOLATIONS[name]
    async with serving() as echo:
        peer = await open_websocket(echo)
        peer.send(frame('{"n": 1}') + wire)
        assert (await peer.read_frame()).payload == b'{"got":{"n":1}}'
        assert (await peer.read_close())[0] == code
        await peer.nothing_more()
        peer.transport.close()
        assert not [each for each in caplog.records if each.exc_info]
        await still_works(echo)
        assert echo.messages[0] == {"n": 1}


@on_each_loop
@pytest.mark.parametrize("flood", FLOODS, ids=["one byte each", "empty"])
async def test_a_flood_of_fragments_is_1008_and_memory_is_bounded_ghsa_96hv_2xvq_fx4p(
    flood: bytes,
) -> None:
    async with serving() as echo:
        peer = await open_websocket(echo)
        with allocated() as memory:
            peer.send(flood)
            assert (await peer.read_close())[0] == 1008
            await peer.nothing_more()
            # The client holds the flood too, until it is sent.
            assert memory.peak < 2 * len(flood) + 2**20
        peer.transport.close()
        await still_works(echo)


@on_each_loop
@pytest.mark.parametrize(
    ("size", "limit"), [(8_000_000, 1_000_000), (64_000_000, 1_000_000), (64_000_000, None)]
)
async def test_a_bomb_is_1009_at_the_limit_and_memory_is_bounded_cve_2018_1000518(
    size: int, limit: int | None
) -> None:
    settings = {"max_message": limit} if limit else {}
    payload = bomb(size)
    assert len(payload) < size // 1_000
    async with serving(deflate=True, **settings) as echo:
        peer = await open_websocket(echo, DEFLATE)
        with allocated() as memory:
            peer.send_frame(payload, BINARY, rsv=RSV1)
            limit = limit or 16 * 2**20
            assert await peer.read_close() == (
                1009,
                f"a message of over {limit} bytes once inflated",
            )
            await peer.nothing_more()
            assert memory.peak < 2 * limit + 2**20
        peer.transport.close()
        await still_works(echo)


# What is allowed, and has been taken for a violation.


@on_each_loop
async def test_a_ping_between_the_fragments_of_a_compressed_message_is_answered() -> None:
    async with serving(make_driver(Raw), deflate=True) as echo:
        peer = await open_websocket(echo, DEFLATE)
        for _ in range(2):
            peer.send_frame(HELLO[:3], fin=False, rsv=RSV1)
            peer.send_frame("?", PING)
            peer.send_frame(HELLO[3:], CONTINUATION)
            assert await peer.read_frame() == Frame(PONG, b"?")
            assert await peer.read_frame() == Frame(TEXT, b"Hello")
        peer.transport.abort()
        await still_works(echo)


@on_each_loop
async def test_a_compressed_message_whose_last_block_is_final_disturbs_no_other() -> None:
    async with serving(make_driver(Raw), deflate=True) as echo:
        peer = await open_websocket(echo, DEFLATE)
        stream = zlib.compressobj(wbits=-12)
        final = stream.compress(b"final") + stream.flush(zlib.Z_FINISH)
        # RFC 7692, 7.2.3.4.
        peer.send_frame(final + b"\0", rsv=RSV1)
        peer.send_frame(HELLO, rsv=RSV1)
        assert await peer.read_frame() == Frame(TEXT, b"final")
        assert await peer.read_frame() == Frame(TEXT, b"Hello")
        peer.transport.abort()
        await still_works(echo)


# What we send.


async def connected(echo: Any) -> tuple[FramePeer, Any]:
    """A bot's WebSocket from both ends."""
    peer = await open_websocket(echo)
    return peer, echo.driver.bots["1"].websocket


@on_each_loop
@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1014, 1015, 2999, 5000, 70_000])
async def test_a_code_that_may_not_be_sent_is_a_value_error_before_a_byte_is_sent(
    code: int,
) -> None:
    async with serving() as echo:
        peer, websocket = await connected(echo)
        with pytest.raises(ValueError, match="expected a close code"):
            await websocket.close(code)
        await websocket.send({"still": "open"})
        assert (await peer.read_frame()).payload == b'{"still":"open"}'
        peer.transport.abort()
        await still_works(echo)


@on_each_loop
async def test_each_code_that_may_be_sent_is_sent() -> None:
    async with serving() as echo:
        for code in (*range(1000, 1004), *range(1007, 1014), 3000, 4999):
            peer, websocket = await connected(echo)
            closing = asyncio.create_task(websocket.close(code))
            assert await peer.read_close() == (code, "")
            peer.send_close(code)
            await closing
            peer.transport.close()
            while echo.driver.bots:
                await asyncio.sleep(0)
        await still_works(echo)


@on_each_loop
async def test_after_our_close_a_ping_is_ignored_and_send_raises() -> None:
    async with serving() as echo:
        peer, websocket = await connected(echo)
        closing = asyncio.create_task(websocket.close(4000, "enough"))
        assert await peer.read_close() == (4000, "enough")
        with pytest.raises(WebSocketClosed, match="4000: enough"):
            await websocket.send({})
        peer.send_frame("?", PING)
        peer.send_close(4000)
        await closing
        await peer.nothing_more()
        peer.transport.close()
        await still_works(echo)


@on_each_loop
async def test_a_lone_surrogate_is_a_value_error_and_the_connection_unharmed() -> None:
    async with serving() as echo:
        peer, websocket = await connected(echo)
        with pytest.raises(ValueError, match="surrogates"):
            await websocket.send_text("\ud800")
        await websocket.send({"a": "\ud800"})
        assert json.loads((await peer.read_frame()).payload) == {"a": "\ud800"}
        peer.transport.abort()
        await still_works(echo)


@on_each_loop
async def test_pings_are_answered_while_every_handler_is_busy() -> None:
    async with serving(max_pending=2) as echo:
        peer, _ = await connected(echo)
        for number in range(5):
            peer.send_frame(json.dumps({"wait": "gate", "number": number}))
            peer.send_frame(str(number), PING)
            assert await peer.read_frame() == Frame(PONG, str(number).encode())
        echo.adapter.release("gate")
        got = [json.loads((await peer.read_frame()).payload)["got"]["number"] for _ in range(5)]
        assert sorted(got) == list(range(5))
        peer.transport.abort()
        await still_works(echo)


@on_each_loop
async def test_a_handler_that_fails_is_1011_and_nothing_of_it_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Crashes(Driver):
        async def _handle_ws_reverse(self, connection: abc.WebSocketConnection) -> None:
            await connection.accept()
            raise RuntimeError("the secret of the house")

    async with serving(make_driver(Crashes)) as echo:
        peer = await open_websocket(echo)
        assert await peer.read_close() == (1011, "")
        peer.send_close(1011)
        await peer.nothing_more()
        peer.transport.close()
        assert "the secret of the house" in caplog.text
        caplog.clear()
        await settle()


def test_the_bytes_of_the_rows_are_those_that_the_rows_name() -> None:
    """What a helper builds is what the hazard says it is."""
    assert HELLO[:3] == b"\xf2\x48\xcd"
    assert 7_500 < len(bomb(8_000_000)) < 8_000
    assert header(2**63)[2:] == b"\x80" + bytes(7)
