"""What has gone wrong with WebSockets, sent by a server to a client of ours over a socket.

Each test ends with the next WebSocket of the same client, which works as if nothing had been.
"""

from __future__ import annotations

import asyncio
import zlib

import pytest
from support.allocation import allocated
from support.deflate import HELLO, bomb
from support.frames import BINARY, CONTINUATION, PING, PONG, TEXT, Frame, close, frame
from support.hazards import RSV1, SERVERS_FLOODS, SERVERS_VIOLATIONS
from support.jumping import jumping
from support.loops import on_each_loop
from support.opening import Reaching, ServerPeer, echo, listening, reaching, switching
from support.peer import settle

from nbdriver.client.client import Client
from nbdriver.client.websocket import ClientWebSocket
from nbdriver.errors import InvalidResponse, NetworkError, WebSocketClosed
from nbdriver.wire.handshake import check, new_opening

DEFLATE = "permessage-deflate"


async def still_works(client: Client, url: str) -> None:
    """See that the next WebSocket of the client works."""
    async with client.websocket(url) as websocket:
        await websocket.send("next")
        assert await websocket.receive() == "next"


# The opening handshake.


@on_each_loop
@pytest.mark.parametrize(
    "parameter",
    ["server_max_window_bits=99", "client_max_window_bits=abc", "server_max_window_bits=7", "x=1"],
)
async def test_a_client_takes_no_window_that_is_none_cve_2026_2229(parameter: str) -> None:
    async def serve(peer: ServerPeer) -> None:
        opening = check(await peer.asked())
        peer.send(switching(opening, deflate=f"{DEFLATE}; {parameter}") + frame("x", key=None))
        assert await peer.read_to_end() == b""

    async with listening(serve) as url, Client(deflate=True) as client:
        with pytest.raises(InvalidResponse, match="expected"):
            await client.websocket(url).__aenter__()
        await still_works(client, url)


@on_each_loop
async def test_frames_in_the_same_segment_as_the_101_are_delivered() -> None:
    async def serve(peer: ServerPeer) -> None:
        frames = frame("one", key=None) + frame("?", PING, key=None) + frame("two", key=None)
        await peer.accept(behind=frames + close(4000, "bye", key=None))
        assert await peer.read_frame() == Frame(PONG, b"?")
        assert await peer.read_close() == (4000, "bye")

    async with listening(serve) as url, Client() as client:
        async with client.websocket(url) as websocket:
            assert await websocket.receive() == "one"
            assert await websocket.receive() == "two"
            with pytest.raises(WebSocketClosed, match="4000: bye"):
                await websocket.receive()
        await still_works(client, url)


# What breaks a rule.


@on_each_loop
@pytest.mark.parametrize("name", SERVERS_VIOLATIONS)
async def test_a_servers_violation_is_closed_by_us_after_what_was_complete_before_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    wire, code = SERVERS_VIOLATIONS[name]

    async def serve(peer: ServerPeer) -> None:
        await peer.accept()
        peer.send(frame("before", key=None) + wire)
        assert (await peer.read_frame()).payload == b"got before"
        assert (await peer.read_close())[0] == code
        await peer.nothing_more()
        peer.transport.close()

    async with listening(serve) as url, Client() as client:
        async with client.websocket(url) as websocket:
            await websocket.send(f"got {await websocket.receive()}")
            with pytest.raises(WebSocketClosed) as caught:
                await websocket.receive()
            assert caught.value.code == code
            assert caught.value.reason
        assert not [each for each in caplog.records if each.exc_info]
        await still_works(client, url)


@on_each_loop
@pytest.mark.parametrize("flood", SERVERS_FLOODS, ids=["one byte each", "empty"])
async def test_a_servers_flood_of_fragments_is_1008_and_memory_is_bounded(flood: bytes) -> None:
    async def serve(peer: ServerPeer) -> None:
        await peer.accept()
        peer.send(flood)
        assert (await peer.read_close())[0] == 1008
        peer.transport.abort()

    async with listening(serve) as url, Client() as client:
        with allocated() as memory:
            async with client.websocket(url) as websocket:
                with pytest.raises(WebSocketClosed, match="1008"):
                    await websocket.receive()
            # The server holds the flood too, until it is sent.
            assert memory.peak < 2 * len(flood) + 2**20
        await still_works(client, url)


@on_each_loop
@pytest.mark.parametrize(
    ("size", "limit"), [(8_000_000, 1_000_000), (64_000_000, 1_000_000), (64_000_000, 16 * 2**20)]
)
async def test_a_servers_bomb_is_1009_at_the_limit_and_memory_is_bounded(
    size: int, limit: int
) -> None:
    payload = bomb(size)

    async def serve(peer: ServerPeer) -> None:
        await peer.accept(deflate=DEFLATE)
        peer.send_frame(payload, BINARY, rsv=RSV1)
        assert await peer.read_close() == (1009, f"a message of over {limit} bytes once inflated")
        await peer.nothing_more()
        peer.transport.close()

    async with listening(serve) as url, Client(deflate=True, max_message=limit) as client:
        with allocated() as memory:
            async with client.websocket(url) as websocket:
                with pytest.raises(WebSocketClosed, match="1009"):
                    await websocket.receive()
            assert memory.peak < 2 * limit + 2**20
        await still_works(client, url)


# What is allowed, and has been taken for a violation.


@on_each_loop
async def test_a_servers_ping_between_the_fragments_of_a_compressed_message_is_answered() -> None:
    async def serve(peer: ServerPeer) -> None:
        await peer.accept(deflate=DEFLATE)
        for _ in range(2):
            peer.send_frame(HELLO[:3], fin=False, rsv=RSV1)
            peer.send_frame("?", PING)
            peer.send_frame(HELLO[3:], CONTINUATION)
            assert await peer.read_frame() == Frame(PONG, b"?")
            assert await peer.read_frame() == Frame(TEXT, b"Hello")
        peer.transport.abort()

    async with listening(serve) as url, Client(deflate=True) as client:
        async with client.websocket(url) as websocket:
            for _ in range(2):
                await websocket.send(await websocket.receive())
            with pytest.raises(WebSocketClosed, match="1006"):
                await websocket.receive()
        await still_works(client, url)


@on_each_loop
async def test_a_servers_message_whose_last_block_is_final_disturbs_no_other() -> None:
    async def serve(peer: ServerPeer) -> None:
        await peer.accept(deflate=DEFLATE)
        stream = zlib.compressobj(wbits=-12)
        # RFC 7692, 7.2.3.4.
        final = stream.compress(b"final") + stream.flush(zlib.Z_FINISH) + b"\0"
        peer.send_frame(final, rsv=RSV1)
        peer.send_frame(HELLO, rsv=RSV1)
        await peer.read_close()
        peer.send_close()

    async with listening(serve) as url, Client(deflate=True) as client:
        async with client.websocket(url) as websocket:
            assert await websocket.receive() == "final"
            assert await websocket.receive() == "Hello"
        await still_works(client, url)


# What we send.


@on_each_loop
@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1014, 1015, 2999, 5000, 70_000])
async def test_a_client_sends_no_code_that_may_not_be_sent(code: int) -> None:
    async with listening() as url, Client() as client:
        async with client.websocket(url) as websocket:
            with pytest.raises(ValueError, match="expected a close code"):
                await websocket.close(code)
            await websocket.send("still open")
            assert await websocket.receive() == "still open"
        await still_works(client, url)


@on_each_loop
async def test_after_a_clients_close_a_ping_is_ignored_and_send_raises() -> None:
    async def serve(peer: ServerPeer) -> None:
        await peer.accept()
        assert await peer.read_close() == (4000, "enough")
        peer.send_frame("?", PING)
        await settle()
        peer.send_close(4000)
        await peer.nothing_more()
        peer.transport.close()

    async with listening(serve) as url, Client() as client:
        async with client.websocket(url) as websocket:
            closing = asyncio.create_task(websocket.close(4000, "enough"))
            await asyncio.sleep(0)
            with pytest.raises(WebSocketClosed, match="4000: enough"):
                await websocket.send("too late")
            await closing
        await still_works(client, url)


@on_each_loop
async def test_a_clients_lone_surrogate_is_a_value_error_and_the_connection_unharmed() -> None:
    async with listening() as url, Client() as client:
        async with client.websocket(url) as websocket:
            with pytest.raises(ValueError, match="surrogates"):
                await websocket.send("\ud800")
            await websocket.send("still open")
            assert await websocket.receive() == "still open"
        await still_works(client, url)


# Time, in which none passes here.


@jumping
async def test_a_server_that_vanishes_without_a_word_is_noticed_within_interval_and_timeout() -> (
    None
):
    async def vanishes(peer: ServerPeer) -> None:
        await peer.accept()
        peer.transport.pause_reading()

    async with reaching(vanishes, echo) as here:
        began = asyncio.get_running_loop().time()
        async with here.open("ws://a/") as websocket:
            with pytest.raises(WebSocketClosed, match="1006: no pong came"):
                await websocket.receive()
        assert asyncio.get_running_loop().time() - began <= 41
        async with here.open("ws://a/"):
            pass


@jumping
async def test_a_server_that_reads_nothing_of_100_mb_is_cut_off_and_memory_is_bounded() -> None:
    async def reads_nothing(peer: ServerPeer) -> None:
        await peer.accept()
        peer.transport.pause_reading()

    sent: list[int] = []

    async def send_all(websocket: ClientWebSocket) -> None:
        for number in range(100):
            await websocket.send(bytes(10**6))
            sent.append(number)

    async with reaching(reads_nothing, echo) as here:
        began = asyncio.get_running_loop().time()
        with allocated() as memory:
            async with here.open("ws://a/", ping_interval=None) as websocket:
                with pytest.raises(WebSocketClosed, match="1006"):
                    await send_all(websocket)
            assert memory.peak < 10 * 2**20
        assert len(sent) < 2
        assert 30 <= asyncio.get_running_loop().time() - began <= 31
        async with here.open("ws://a/"):
            pass


@jumping
@pytest.mark.parametrize("how", ["abort", "write_eof"])
async def test_a_server_that_is_lost_after_any_byte_leaves_nothing(how: str) -> None:
    """Of its 101, its frames and its Close; the blocks see to that."""
    frames = frame("one", key=None) + frame("two" * 50, key=None) + close(4000, "bye", key=None)
    length = len(switching(new_opening())) + len(frames)
    outcomes = set()
    for points in range(length + 1):

        async def serve(peer: ServerPeer, points: int = points) -> None:
            wire = switching(check(await peer.asked())) + frames
            assert len(wire) == length
            peer.send(wire[:points])
            await settle()
            getattr(peer.transport, how)()

        async with reaching(serve, echo) as here:
            outcomes.add(await outcome(here))
            async with here.open("ws://a/"):
                pass
    assert outcomes == {"NetworkError" if how == "abort" else "InvalidResponse", "1006", "4000"}


async def outcome(here: Reaching) -> str:
    """How it ends for whoever opens a WebSocket and takes what comes."""
    try:
        async with here.open("ws://a/") as websocket:
            async for _ in websocket:
                pass
    except WebSocketClosed as closed:
        return str(closed.code)
    except NetworkError as error:
        return type(error).__name__
    return "a normal end"
