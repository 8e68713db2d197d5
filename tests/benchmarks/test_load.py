"""Every event that counts was sent, and had the right answer."""

from __future__ import annotations

import asyncio
import socket

import pytest
from support.measured import answering, floor, no_clock, run_load

from benchmarks import bodies, wire
from benchmarks.clients import JOBS
from benchmarks.load import Load, LoadError, source
from benchmarks.serving import HOST


@pytest.mark.parametrize("job", ["http", "websocket"])
async def test_every_event_that_was_sent_was_answered_and_counted(job: str) -> None:
    async with floor() as (address, tally):
        load = await run_load(job, address)
        assert load.answered == tally.events >= 2


async def test_a_load_can_pause_and_go_on_with_what_it_measured_so_far() -> None:
    clock = iter([0, 5, 5, 25])
    async with floor() as (address, tally):
        load = Load(lambda: next(clock))
        await load.connect(JOBS["websocket"], address, 2)
        first = await load.run(0.01)
        second = await load.run(0.01)
        await load.close()
    total = first + second
    assert total.events == first.events + second.events == tally.events
    assert [each.server_cpu for each in (first, second, total)] == [5, 20, 25]
    assert total.wall == first.wall + second.wall > 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nx",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        bytes(70_000),
    ],
)
async def test_a_wrong_answer_to_a_post_ends_the_run(answer: bytes) -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    async with answering(wrong) as address:
        with pytest.raises(LoadError, match="expected an answer 204 without a body"):
            await run_load("http", address, 10)


async def test_an_answer_that_comes_in_two_pieces_is_one() -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
            writer.write(b"HTTP/1.1 20")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            writer.write(b"4 No Content\r\n\r\n")

    async with answering(in_pieces) as address:
        assert (await run_load("http", address)).answered >= 2


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Accept a WebSocket, and read its first event; gives the frame that answers it."""
    head = await reader.readuntil(b"\r\n\r\n")
    accept = wire.ws_accept().decode()
    writer.write(f"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    self_id = int(head.split(b"X-Self-ID: ")[1].split(b"\r\n")[0])
    await reader.readexactly(2)
    call = bodies.action("send_msg", bodies.reply(bodies.event(self_id, 0)), str(self_id))
    return wire.server_frame(bodies.dumps(call).encode())


async def test_an_answer_that_strays_to_another_connection_ends_the_run() -> None:
    async def strayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        call = bodies.action("send_msg", bodies.reply(bodies.event(7, 0)), "7")
        writer.write(wire.server_frame(bodies.dumps(call).encode()))
        await reader.read()

    async with answering(strayed) as address:
        with pytest.raises(LoadError, match="expected the frame"):
            await run_load("websocket", address, 10)


async def test_a_websocket_that_is_refused_ends_the_run() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await reader.read()

    async with answering(refuse) as address:
        with pytest.raises(LoadError, match="expected the end of an opening handshake"):
            await run_load("websocket", address, 10)


async def test_a_ping_is_answered_and_the_answer_around_it_still_read() -> None:
    pongs: list[bytes] = []

    async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = await shake_hands(reader, writer)
        pong = wire.client_frame(b"abcd", 0xA)
        ping = b"\x89\x04abcd"
        for piece in (ping[:1], ping[1:] + answer[:20], answer[20:] + ping):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        seen = b""
        while seen.count(pong[:2]) < 2 and (data := await reader.read(4096)):
            seen += data
        pongs.append(seen)
        await reader.read()

    async with answering(ping) as address:
        load = Load(no_clock)
        await load.connect(JOBS["websocket"], address, 1)
        await load.run(0)
        assert load.answered == 1
        while not pongs:
            await asyncio.sleep(0)
        await load.close()
    assert pongs[0].count(b"\x8a\x84") == load.pinged == 2


async def test_a_server_that_hangs_up_ends_the_run() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with answering(hang_up) as address:
        with pytest.raises(LoadError, match="the server ended a connection"):
            await run_load("http", address, 10)


async def test_a_server_that_says_nothing_ends_the_run() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with answering(say_nothing) as address:
        load = Load(no_clock)
        await load.connect(JOBS["http"], address, 2)
        load.patience = 0
        with pytest.raises(LoadError, match="no answer came on 2 connections within 0 s"):
            await load.run(0)
        await load.close()


async def test_a_server_that_is_not_there_ends_the_run() -> None:
    async with floor() as (address, _):
        pass
    with pytest.raises(LoadError, match="could not connect"):
        await run_load("http", address)


def test_twenty_thousand_connections_come_from_one_address_and_more_from_others() -> None:
    assert [source(number) for number in (0, 19_999)] == [None, None]
    assert [source(number) for number in (20_000, 40_000)] == [("127.0.0.2", 0), ("127.0.0.3", 0)]
    with socket.create_server((HOST, 0)) as server:
        address = server.getsockname()[:2]
        with socket.create_connection(address, source_address=source(20_000)) as client:
            assert client.getsockname()[0] == "127.0.0.2"


async def test_more_connections_can_follow_the_first() -> None:
    async with floor() as (address, tally):
        load = Load(no_clock)
        await load.connect(JOBS["websocket"], address, 2)
        await load.connect(JOBS["websocket"], address, 3)
        await load.run(0)
        await load.close()
    assert load.answered == tally.events == 5
