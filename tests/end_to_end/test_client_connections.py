"""Connections of a client on real sockets: kept, left by their servers, reset, in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.client import FIVE
from support.loops import on_each_loop
from support.peer import Peer
from support.web import raw_server

from nbdriver.client import (
    Client,
    InvalidResponse,
    NetworkError,
    NetworkTimeout,
    Timeouts,
)


async def gone(client: Client) -> None:
    """Wait until the client knows that no connection of its pool can be used."""
    while any(connection.ready for connection in client._pool._resting):
        await asyncio.sleep(0)


def leave(peer: Peer) -> None:
    """No answer, and the end of the connection."""
    peer.transport.close()


def reset(peer: Peer) -> None:
    peer.reset()


@on_each_loop
async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with raw_server(FIVE, FIVE, FIVE) as server, Client() as client:
        for _ in range(3):
            assert (await client.request("GET", server.url)).content == b"hello"
        assert server.connections == [0, 0, 0]


@on_each_loop
async def test_a_connection_that_its_server_has_left_is_not_tried() -> None:
    async with raw_server(*[FIVE] * 4) as server, Client() as client:
        for leaves in (Peer.reset, lambda peer: peer.transport.close()):
            await client.request("GET", server.url)
            leaves(server.peers[-1])
            await gone(client)
            await client.request("POST", server.url)
        assert server.connections == [0, 1, 1, 2]


@pytest.mark.parametrize("end", [leave, reset])
@on_each_loop
async def test_a_connection_that_ends_under_a_request_is_replaced_once(end: object) -> None:
    async with raw_server(FIVE, end, FIVE, end, end) as server, Client() as client:  # type: ignore[arg-type]  # pytest's
        await client.request("GET", server.url)
        assert (await client.request("GET", server.url)).content == b"hello"
        assert server.connections == [0, 0, 1]
        with pytest.raises(NetworkError):
            await client.request("GET", server.url)
        assert server.connections == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("end", [leave, reset])
@on_each_loop
async def test_a_post_is_never_sent_twice(end: object) -> None:
    async with raw_server(FIVE, end, FIVE) as server, Client() as client:  # type: ignore[arg-type]  # pytest's
        await client.request("GET", server.url)
        with pytest.raises(NetworkError):
            await client.request("POST", server.url)
        assert server.connections == [0, 0]
        await client.request("POST", server.url)
        assert server.connections == [0, 0, 1]


@on_each_loop
async def test_what_is_said_unasked_is_nobodys_answer() -> None:
    smuggled = FIVE.replace(b"hello", b"wrong")
    async with raw_server(FIVE, FIVE + smuggled, FIVE) as server, Client() as client:
        await client.request("GET", server.url)
        server.peers[0].send(smuggled)
        await gone(client)
        for _ in range(2):
            assert (await client.request("GET", server.url)).content == b"hello"
        assert server.connections == [0, 1, 2]


@on_each_loop
async def test_an_answer_that_is_cut_off_is_none() -> None:
    def half(peer: Peer) -> None:
        peer.send(FIVE[:-1])
        peer.transport.close()

    def half_and_reset(peer: Peer) -> None:
        peer.send(FIVE[:-1])
        asyncio.get_running_loop().call_soon(peer.reset)

    async with raw_server(half, half_and_reset, FIVE) as server, Client() as client:
        with pytest.raises(InvalidResponse, match="the rest of the body"):
            await client.request("GET", server.url)
        with pytest.raises(NetworkError):
            await client.request("GET", server.url)
        assert (await client.request("GET", server.url)).content == b"hello"


@on_each_loop
async def test_a_body_that_ends_with_the_connection_is_whole() -> None:
    def old(peer: Peer) -> None:
        peer.send(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 300_000)
        peer.transport.close()

    async with raw_server(old, FIVE) as server, Client() as client:
        assert (await client.request("GET", server.url)).content == b"x" * 300_000
        await client.request("GET", server.url)
        assert server.connections == [0, 1]


@on_each_loop
async def test_an_answer_may_come_byte_by_byte_and_interim_ones_before_it() -> None:
    def drip(peer: Peer) -> None:
        data = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + FIVE

        def send(at: int) -> None:
            peer.send(data[at : at + 1])
            if at + 1 < len(data):
                asyncio.get_running_loop().call_soon(send, at + 1)

        send(0)

    async with raw_server(drip, FIVE) as server, Client() as client:
        for _ in range(2):
            assert (await client.request("GET", server.url)).content == b"hello"
        assert server.connections == [0, 0]


@on_each_loop
async def test_a_server_that_says_nothing_is_given_up_and_its_connection_too() -> None:
    async with raw_server(b"", FIVE) as server, Client(timeouts=Timeouts(read=0.1)) as client:
        with pytest.raises(NetworkTimeout, match=r"waited 0\.1 s \(the read limit\)"):
            await client.request("GET", server.url)
        assert (await client.request("GET", server.url)).content == b"hello"
        assert server.connections == [0, 1]


@on_each_loop
async def test_an_early_answer_ends_a_body_that_would_never_end() -> None:
    stopped = list[bool]()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
        finally:
            stopped.append(True)

    def refuse(peer: Peer) -> None:
        # It reads no more, and does not end the connection either.
        peer.send(FIVE.replace(b"200 OK", b"413 Content Too Large"))
        peer.transport.pause_reading()

    async with raw_server(refuse, FIVE) as server, Client() as client:
        response = await client.request("POST", server.url, content=endless())
        assert (response.status_code, response.content, stopped) == (413, b"hello", [True])
        await client.request("GET", server.url)
        assert server.connections == [0, 1]


@on_each_loop
async def test_a_connection_that_has_rested_long_enough_is_closed() -> None:
    async with raw_server(FIVE, FIVE) as server, Client(idle_timeout=0.1) as client:
        await client.request("GET", server.url)
        await server.peers[0].until(lambda: server.peers[0].eof or server.peers[0].lost)
        await client.request("GET", server.url)
        assert server.connections == [0, 1]


@on_each_loop
async def test_a_stream_that_is_left_early_ends_its_connection() -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 200_000
    async with raw_server(endless, FIVE) as server, Client() as client:
        async with client.stream("GET", server.url) as response:
            await anext(aiter(response.pieces()))
        await server.peers[0].until(lambda: server.peers[0].eof or server.peers[0].lost)
        await client.request("GET", server.url)
        assert server.connections == [0, 1]


@on_each_loop
async def test_of_two_addresses_of_a_name_the_one_that_answers_is_taken() -> None:
    # The server listens on IPv4 alone, and localhost may mean IPv6 as well.
    async with raw_server(FIVE) as server, Client() as client:
        url = server.url.replace("127.0.0.1", "localhost")
        assert (await client.request("GET", url)).content == b"hello"
