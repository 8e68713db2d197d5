"""A client's connection: requests and answers in turn, and which of them is the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from support.cancelling import WAYS, Way
from support.client import FIVE, Server, new_connection, read_all
from support.jumping import jumping
from support.leaks import nothing_left
from support.peer import settle

from nbdriver.client.connection import Connection
from nbdriver.errors import InvalidResponse, NetworkError, NetworkTimeout
from nbdriver.net.tasks import Tasks
from nbdriver.wire.response_head import ResponseHead

HOST = [("Host", "a")]
CHUNKS = [*HOST, ("Transfer-Encoding", "chunked")]
OK = b"HTTP/1.1 200 OK\r\n"
LARGE = b"x" * 10_000_000


def with_length(body: bytes) -> list[tuple[str, str]]:
    return [*HOST, ("Content-Length", str(len(body)))]


async def finish(connection: Connection) -> None:
    connection.close()
    await connection.wait_closed()


# Requests and answers.


@jumping
async def test_requests_and_answers_take_turns_on_one_connection() -> None:
    async with nothing_left():
        connection = new_connection(Server(FIVE, FIVE.replace(b"200", b"404"), FIVE))
        for status_code in (200, 404, 200):
            assert connection.ready
            head = await connection.send("GET", "/", HOST)
            assert (head.status_code, await read_all(connection)) == (status_code, b"hello")
            assert connection.reusable
            connection.rest()
            assert connection.used
        await finish(connection)


@jumping
async def test_a_body_of_few_bytes_goes_out_with_its_head() -> None:
    peer, tasks = Server(FIVE, end=b"body"), Tasks(eager=False)
    connection = new_connection(peer, tasks)
    sending = asyncio.create_task(connection.send("POST", "/", with_length(b"body"), b"body"))
    await asyncio.sleep(0)
    assert len(tasks) == 0
    await sending
    assert connection.reusable is False
    assert await read_all(connection) == b"hello"
    assert connection.reusable
    await finish(connection)


@jumping
async def test_a_long_body_and_one_that_comes_in_pieces_are_sent_while_reading() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a" * 200_000
        await asyncio.sleep(1)
        yield b""
        yield b"b"

    peer = Server(FIVE, end=b"the end")
    connection = new_connection(peer)
    body = LARGE + b"the end"
    await connection.send("POST", "/", with_length(body), body)
    assert await read_all(connection) == b"hello"
    assert connection.reusable
    connection.rest()
    peer._answers, peer._end = [FIVE], b"0\r\n\r\n"
    await connection.send("POST", "/", CHUNKS, pieces())
    assert await read_all(connection) == b"hello"
    assert connection.reusable
    await finish(connection)


@jumping
async def test_an_answer_that_ends_with_the_connection_is_complete_there() -> None:
    peer = Server(OK + b"\r\nhel")
    connection = new_connection(peer)
    await connection.send("GET", "/", HOST)
    assert await connection.read() == b"hel"
    peer.send(b"lo")
    assert await connection.read() == b"lo"
    peer.transport.write_eof()
    assert await connection.read() == b""
    assert await connection.read() == b""
    assert not connection.reusable
    await finish(connection)


@jumping
async def test_pieces_that_are_there_come_together_and_others_have_their_turn() -> None:
    chunks = b"1\r\na\r\n" * 150
    peer = Server(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    connection = new_connection(peer)
    await connection.send("GET", "/", HOST)
    turns, sizes = [], []
    asyncio.get_running_loop().call_soon(turns.append, 0)
    while piece := await connection.read():
        sizes.append((len(piece), len(turns)))
    assert sizes == [(64, 0), (64, 1), (22, 1)]
    assert connection.reusable
    await finish(connection)


@jumping
async def test_a_connection_whose_reading_has_paused_can_be_used_again() -> None:
    body = b"x" * 400_000
    connection = new_connection(Server(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body, FIVE))
    await connection.send("GET", "/", HOST)
    assert await read_all(connection) == body
    assert connection.reusable
    connection.rest()
    await connection.send("GET", "/", HOST)
    assert await read_all(connection) == b"hello"
    await finish(connection)


# Answers that come early.


@pytest.mark.parametrize("status", ["413 Content Too Large", "307 Elsewhere", "500 X"])
def test_an_early_answer_that_refuses_the_body_ends_the_sending(status: str) -> None:
    @jumping
    async def run() -> None:
        closed = []

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 50_000
            finally:
                closed.append(True)

        async with nothing_left():
            # After its answer the server reads no more, and does not close either.
            peer = Server(b"HTTP/1.1 " + status.encode() + b"\r\nContent-Length: 5\r\n\r\nlarge")
            connection = new_connection(peer)
            sending = asyncio.create_task(connection.send("POST", "/", CHUNKS, endless()))
            await settle()
            peer.transport.pause_reading()
            head = await sending
            assert closed == [True]
            assert head.status_code == int(status[:3])
            assert await read_all(connection) == b"large"
            assert not connection.reusable
            connection.close()
            peer.transport.abort()
            await connection.wait_closed()

    run()


@jumping
async def test_a_server_may_answer_piece_by_piece_while_it_reads() -> None:
    peer = Server(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    connection = new_connection(peer)
    got = asyncio.Queue[bytes]()

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two"):
            yield piece
            assert await got.get() == piece

    head = await connection.send("POST", "/", CHUNKS, pieces())
    assert head.status_code == 200
    for piece in (b"one", b"two"):
        await peer.read(b"3\r\n" + piece + b"\r\n")
        peer.send(b"3\r\n" + piece + b"\r\n")
        got.put_nowait(await connection.read())
    await peer.read(b"0\r\n\r\n")
    peer.send(b"0\r\n\r\n")
    assert await connection.read() == b""
    assert connection.reusable
    await finish(connection)


@jumping
async def test_an_answer_that_is_complete_before_the_request_is_the_last() -> None:
    async with nothing_left():
        connection = new_connection(Server(FIVE))
        blocked = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            await blocked.wait()
            yield b"never"

        await connection.send("POST", "/", CHUNKS, pieces())
        assert await read_all(connection) == b"hello"
        assert not connection.reusable
        await finish(connection)


@jumping
async def test_a_server_that_answers_and_resets_is_heard() -> None:
    peer = Server(b"HTTP/1.1 413 X\r\nContent-Length: 5\r\n\r\nlarge")
    connection = new_connection(peer)
    sending = asyncio.create_task(connection.send("POST", "/", with_length(LARGE), LARGE))
    await settle()
    peer.reset()
    assert (await sending).status_code == 413
    assert await read_all(connection) == b"large"
    await finish(connection)


# What goes wrong while sending.


@pytest.mark.parametrize("error", [ZeroDivisionError("theirs"), asyncio.CancelledError()])
def test_what_a_body_raises_is_told_to_whoever_asked(error: BaseException) -> None:
    @jumping
    async def run() -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.sleep(1)
            raise error

        async with nothing_left():
            connection = new_connection(Server())
            with pytest.raises(type(error)):
                await connection.send("POST", "/", CHUNKS, pieces(), read_limit=100)
            assert not connection.ready
            await finish(connection)

    run()


class Pieces:
    """An async iterator that is no generator."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop(0)


@pytest.mark.parametrize("length", ["3", "5"])
def test_a_body_of_another_length_than_announced_is_an_error_of_the_caller(length: str) -> None:
    @jumping
    async def run() -> None:
        connection = new_connection(Server())
        headers = [*HOST, ("Content-Length", length)]
        with pytest.raises(ValueError, match="for declared Content-Length"):
            await connection.send("POST", "/", headers, Pieces(b"bo", b"dy"))
        await finish(connection)

    run()


@jumping
async def test_what_http_cannot_carry_is_not_sent() -> None:
    peer = Server()
    connection = new_connection(peer)
    with pytest.raises(ValueError, match="expected a request that HTTP/1"):
        await connection.send("GET", "/", [*HOST, ("A", "b\r\nC: d")])
    await settle()
    assert peer.received == b""
    await finish(connection)


@pytest.mark.parametrize("size", [4, 60_000, 10_000_000])
def test_a_connection_that_is_gone_while_sending_is_a_network_error(size: int) -> None:
    @jumping
    async def run() -> None:
        async with nothing_left():
            peer = Server()
            connection = new_connection(peer)
            body = b"x" * size
            sending = asyncio.create_task(connection.send("POST", "/", with_length(body), body))
            await settle()
            peer.reset()
            with pytest.raises(NetworkError, match=r"^expected an answer from http://a, but the"):
                await sending
            assert not connection.answered
            await finish(connection)

    run()


@jumping
async def test_a_connection_that_is_gone_before_sending_is_a_network_error() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"never sent"

    for body in (b"", pieces()):
        peer = Server()
        connection = new_connection(peer)
        peer.reset()
        await settle()
        assert not connection.ready
        with pytest.raises(NetworkError, match="the connection was lost"):
            await connection.send("GET", "/", CHUNKS if body else HOST, body)
        await finish(connection)


@jumping
async def test_a_body_that_comes_after_the_connection_is_gone_is_not_sent() -> None:
    gone = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        await gone.wait()
        yield b"too late"
        raise AssertionError("nobody asked for more")

    async with nothing_left():
        peer, tasks = Server(), Tasks(eager=False)
        connection = new_connection(peer, tasks)
        sending = asyncio.create_task(connection.send("POST", "/", CHUNKS, pieces()))
        await settle()
        peer.reset()
        with pytest.raises(NetworkError, match="the connection was lost"):
            await sending
        gone.set()
        await tasks.join()
        await finish(connection)


# What goes wrong while reading.


@pytest.mark.parametrize(
    ("data", "said", "answered"),
    [
        (b"", "expected an answer, got nothing but the connection's end", False),
        (b"HTTP/1.1 200", "expected an answer, got only a part of it", True),
        (FIVE[:-1], "expected the rest of the body, got the connection's end", True),
    ],
)
def test_an_answer_that_ends_early_is_none(data: bytes, said: str, answered: bool) -> None:
    @jumping
    async def run() -> None:
        peer = Server(data)
        connection = new_connection(peer)
        task = asyncio.create_task(send_and_read(connection))
        await settle()
        peer.transport.write_eof()
        with pytest.raises(InvalidResponse, match=said):
            await task
        assert connection.answered is answered
        assert not connection.reusable
        await finish(connection)

    run()


@pytest.mark.parametrize(
    ("answers", "requests", "hinted"), [([], 1, True), ([b"HTTP/1"], 1, False), ([FIVE], 2, False)]
)
def test_where_nothing_came_the_server_may_want_tls(
    answers: list[bytes], requests: int, hinted: bool
) -> None:
    @jumping
    async def run() -> None:
        peer = Server(*answers)
        connection = new_connection(peer)
        for _ in range(requests - 1):
            await send_and_read(connection)
            connection.rest()
        task = asyncio.create_task(send_and_read(connection))
        await settle()
        peer.transport.write_eof()
        with pytest.raises(InvalidResponse, match=r"^http://a: expected an answer, got ") as caught:
            await task
        assert ("does it want TLS" in str(caught.value)) is hinted
        await finish(connection)

    run()


async def send_and_read(connection: Connection) -> tuple[ResponseHead, bytes]:
    head = await connection.send("GET", "/", HOST)
    return head, await read_all(connection)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 5, 5\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\nnothing\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n",
        b"hello\r\n",
    ],
)
def test_an_answer_that_breaks_http_is_the_last(answer: bytes) -> None:
    @jumping
    async def run() -> None:
        connection = new_connection(Server(answer))
        with pytest.raises(InvalidResponse):
            await send_and_read(connection)
        assert not connection.reusable
        await finish(connection)

    run()


@jumping
async def test_what_is_sent_unasked_ends_the_use_of_a_connection() -> None:
    # Else it would be taken for the answer to the next request.
    connection = new_connection(Server(FIVE + FIVE))
    await send_and_read(connection)
    assert not connection.reusable
    await finish(connection)
    peer = Server(FIVE)
    connection = new_connection(peer)
    await send_and_read(connection)
    assert connection.reusable
    connection.rest()
    peer.send(b"H")
    await settle()
    assert not connection.ready
    await finish(connection)


@jumping
async def test_a_server_that_leaves_ends_the_use_of_a_connection() -> None:
    peer = Server(FIVE)
    connection = new_connection(peer)
    await send_and_read(connection)
    connection.rest()
    peer.transport.close()
    await settle()
    assert not connection.ready
    await finish(connection)


# Time.


@jumping
async def test_each_wait_for_bytes_has_its_limit() -> None:
    loop = asyncio.get_running_loop()
    peer = Server(OK + b"Content-Length: 5\r\n\r\n")
    connection = new_connection(peer)
    await connection.send("GET", "/", HOST, read_limit=3)
    began = loop.time()
    for letter in b"hell":
        loop.call_later(2, peer.send, bytes([letter]))
        assert await connection.read() == bytes([letter])
    with pytest.raises(NetworkTimeout) as caught:
        await connection.read()
    assert loop.time() - began == pytest.approx(4 * 2 + 3)
    said = "waited 3 s (the read limit) for the rest of an answer from http://a"
    assert str(caught.value) == said
    await finish(connection)


@jumping
async def test_a_server_that_never_answers_is_given_up() -> None:
    connection = new_connection(Server())
    with pytest.raises(NetworkTimeout, match="for an answer from http://a"):
        await connection.send("GET", "/", HOST, read_limit=3)
    await finish(connection)


@jumping
async def test_the_limit_on_reading_begins_when_all_is_sent() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(100)
        yield b"x"

    loop = asyncio.get_running_loop()
    connection = new_connection(Server())
    began = loop.time()
    with pytest.raises(NetworkTimeout):
        await connection.send("POST", "/", CHUNKS, pieces(), read_limit=3)
    assert loop.time() - began == pytest.approx(103)
    await finish(connection)


# Ending.


@jumping
async def test_a_quiet_connection_is_closed_and_any_other_is_cut_off() -> None:
    peer = Server(FIVE)
    connection = new_connection(peer)
    await send_and_read(connection)
    connection.close()
    connection.abort()
    await connection.wait_closed()
    for answer in (b"", OK + b"Content-Length: 5\r\n\r\n"):
        peer = Server(answer)
        connection = new_connection(peer)
        task = asyncio.create_task(send_and_read(connection))
        await settle()
        connection.close()
        with pytest.raises(NetworkError):
            await task
        await peer.until(lambda peer=peer: peer.lost)


def after_turns(turns: int, do: Callable[[], None]) -> None:
    """Do something after so many turns of the loop, which is when no time passes."""
    loop = asyncio.get_running_loop()
    loop.call_soon(*((after_turns, turns - 1, do) if turns else (do,)))


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_cancelled_anywhere_it_leaves_nothing_once_it_is_closed(way: Way) -> None:
    @jumping
    async def run() -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 70_000
                await asyncio.sleep(0)

        async def scenario(connection: Connection) -> bytes:
            try:
                await connection.send("POST", "/", CHUNKS, pieces(), read_limit=5)
                return await read_all(connection)
            finally:
                connection.close()
                await connection.wait_closed()

        number, reached = 0, True
        while reached:
            number += 1
            async with nothing_left():
                peer = Server(FIVE, end=b"0\r\n\r\n")
                outcome = await way(scenario(new_connection(peer)), number)
                reached = outcome.reached
                assert outcome.result == b"hello" or outcome.cancelled
                peer.transport.abort()
        assert number > 2

    run()


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_cancelled_read_has_taken_nothing(way: Way) -> None:
    @jumping
    async def run() -> None:
        chunks = b"1\r\na\r\n" * 200
        number, reached = 0, True
        while reached:
            number += 1
            peer = Server(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks[:600])
            connection = new_connection(peer)
            await connection.send("GET", "/", HOST)
            after_turns(20, lambda peer=peer: peer.send(chunks[600:] + b"0\r\n\r\n"))
            body = bytearray()

            async def read(connection: Connection, body: bytearray) -> None:
                while piece := await connection.read():
                    body += piece

            reached = (await way(read(connection, body), number)).reached
            await read(connection, body)
            assert body == b"a" * 200
            assert connection.reusable
            await finish(connection)
        assert number > 2

    run()


def test_it_says_where_it_leads() -> None:
    @jumping
    async def run() -> None:
        connection = new_connection(Server())
        assert str(connection) == "a connection to http://a"
        await finish(connection)

    run()
