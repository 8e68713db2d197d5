"""An answer as a caller has it: pieces, the whole, text, and what is too much."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cancelling import WAYS, Way
from support.jumping import jumping

from nbdriver.client.response import ClientResponse
from nbdriver.client.urls import URL
from nbdriver.errors import InvalidResponse
from nbdriver.wire.response_head import check_response_head

HERE = URL.parse("http://name:secret@a/path?x=1")


def source(pieces: list[bytes]) -> Callable[[], Awaitable[bytes]]:
    """What gives these pieces, and then says again and again that there are no more."""
    left = list(pieces)

    async def next_piece() -> bytes:
        await asyncio.sleep(0)
        return left.pop(0) if left else b""

    return next_piece


def response(
    *pieces: bytes, max_body: int | None = None, fields: dict[str, str] | None = None
) -> ClientResponse:
    lines = [f"{name}: {value}" for name, value in (fields or {}).items()]
    head = "\r\n".join(["HTTP/1.1 200 Fine", *lines, "", ""]).encode("latin-1")
    return ClientResponse(
        "GET", HERE, check_response_head(head, "GET"), source(list(pieces)), max_body=max_body
    )


async def pieces_of(answer: ClientResponse) -> list[bytes]:
    return [piece async for piece in answer.pieces()]


async def chunks_of(answer: ClientResponse, size: int) -> list[bytes]:
    return [chunk async for chunk in answer.chunks(size)]


# What it says of itself.


def test_it_tells_its_status_and_where_it_is_from_but_no_secret() -> None:
    answer = response(fields={"A": "b"})
    assert (answer.status_code, answer.reason, answer.http_version) == (200, "Fine", "1.1")
    assert (answer.method, answer.url, answer.history) == ("GET", HERE, ())
    assert answer.headers.get("a") == "b"
    assert repr(answer) == "<ClientResponse 200 Fine from a>"


# Piece by piece.


@jumping
async def test_a_body_is_given_as_it_comes() -> None:
    assert await pieces_of(response(b"one", b"two")) == [b"one", b"two"]
    assert await pieces_of(response()) == []


@jumping
async def test_what_was_read_can_still_be_had_in_pieces() -> None:
    answer = response(b"one", b"two")
    await answer.read()
    assert await pieces_of(answer) == [b"onetwo"]
    assert await chunks_of(answer, 4) == [b"onet", b"wo"]
    empty = response()
    await empty.read()
    assert await pieces_of(empty) == []


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=6), st.integers(1, 40), st.booleans())
def test_chunks_are_of_one_size_but_the_last_and_none_is_empty(
    pieces: list[bytes], size: int, encoded: bool
) -> None:
    @jumping
    async def scenario() -> None:
        body = b"".join(pieces)
        fields = {"Content-Encoding": "gzip"} if encoded else {}
        sent = [gzip.compress(body)] if encoded else pieces
        chunks = await chunks_of(response(*sent, fields=fields), size)
        assert b"".join(chunks) == body
        assert all(len(chunk) == size for chunk in chunks[:-1])
        assert all(0 < len(chunk) <= size for chunk in chunks[-1:])

    scenario()


@jumping
async def test_a_chunk_has_at_least_a_byte() -> None:
    with pytest.raises(ValueError, match="at least 1 byte, got 0"):
        await chunks_of(response(b"one"), 0)


# As a whole.


@jumping
async def test_a_body_is_read_once_and_kept() -> None:
    answer = response(b"one", b"two")
    with pytest.raises(RuntimeError, match="before its content"):
        answer.content  # noqa: B018  # asked for, that is all
    assert await answer.read() == await answer.read() == answer.content == b"onetwo"


@jumping
async def test_reading_gives_what_was_not_taken_before() -> None:
    answer = response(b"one", b"two", b"three")
    async for piece in answer.pieces():
        assert piece == b"one"
        break
    assert await answer.read() == b"twothree"


@jumping
async def test_a_body_has_a_limit_which_is_looked_at_before_it_is_kept() -> None:
    assert await response(b"12345", max_body=5).read() == b"12345"
    for pieces in ([b"123456"], [b"12345", b"6"]):
        with pytest.raises(InvalidResponse, match=r"^a: expected a body of at most 5 bytes"):
            await response(*pieces, max_body=5).read()


@jumping
async def test_a_body_that_is_announced_as_too_large_is_not_waited_for() -> None:
    async def never() -> bytes:
        raise AssertionError("nobody was to ask")

    head = check_response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", "GET")
    answer = ClientResponse("GET", HERE, head, never, max_body=5)
    with pytest.raises(InvalidResponse, match="at most 5 bytes"):
        await answer.read()
    # It is a limit on what is kept.
    assert await pieces_of(response(b"123456", max_body=5)) == [b"123456"]


@jumping
async def test_the_rest_of_a_body_has_that_limit_too() -> None:
    answer = response(b"one", b"123456", max_body=5)
    async for _ in answer.pieces():
        break
    with pytest.raises(InvalidResponse, match="at most 5 bytes"):
        await answer.read()


@jumping
async def test_what_was_too_large_is_so_when_it_is_asked_for_again() -> None:
    answer = response(b"12345", b"6", max_body=5)
    for _ in range(2):
        with pytest.raises(InvalidResponse, match="at most 5 bytes"):
            await answer.read()


@jumping
@pytest.mark.parametrize(
    ("pieces", "coding"),
    [
        ([b"no gzip at all"], "gzip"),
        ([gzip.compress(b"hello")[:-1]], "gzip"),
        ([b"hello"], ", ".join(["gzip"] * 20)),
        ([gzip.compress(b"much" * 100)], "gzip"),
    ],
)
async def test_what_is_wrong_with_a_body_is_told_with_its_host_and_no_path(
    pieces: list[bytes], coding: str
) -> None:
    answer = response(*pieces, fields={"Content-Encoding": coding}, max_body=100)
    with pytest.raises(InvalidResponse, match=r"^a: expected ") as caught:
        await answer.read()
    assert "path" not in str(caught.value)


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_cancelled_reading_loses_nothing(way: Way) -> None:
    @jumping
    async def scenario() -> None:
        number, reached = 0, True
        while reached:
            answer = response(b"one", b"two", b"three")
            outcome = await way(answer.read(), number := number + 1)
            assert await answer.read() == b"onetwothree"
            reached = outcome.reached
        assert number > 3

    scenario()


@jumping
async def test_what_a_chunk_has_left_is_there_for_whoever_asks_next() -> None:
    answer = response(b"one", b"two", b"three")
    async for chunk in answer.chunks(2):
        assert chunk == b"on"
        break
    async for chunk in answer.chunks(3):
        assert chunk == b"etw"
        break
    async for piece in answer.pieces():
        assert piece == b"o"
        break
    async for chunk in answer.chunks(2):
        assert chunk == b"th"
        break
    assert await answer.read() == b"ree"
    for _ in range(2):
        # What was read is kept, however often it is asked for.
        async for chunk in answer.chunks(2):
            assert chunk == b"re"
            break
        assert await chunks_of(answer, 2) == [b"re", b"e"]


# Codings.


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("gzip", gzip.compress(b"hello" * 10)),
        ("x-gzip", gzip.compress(b"hello" * 10)),
        ("deflate", zlib.compress(b"hello" * 10)),
        ("deflate, gzip", gzip.compress(zlib.compress(b"hello" * 10))),
        ("br", b"hello" * 10),
        ("identity", b"hello" * 10),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1_000])
def test_a_body_is_decoded_however_it_is_cut(coding: str, encoded: bytes, step: int) -> None:
    @jumping
    async def scenario() -> None:
        pieces = [encoded[at : at + step] for at in range(0, len(encoded), step)]
        answer = response(*pieces, fields={"Content-Encoding": coding})
        assert await answer.read() == b"hello" * 10
        answer = response(*pieces, fields={"Content-Encoding": coding})
        got = await pieces_of(answer)
        assert b"".join(got) == b"hello" * 10
        assert all(got)

    scenario()


@jumping
async def test_a_bomb_is_stopped_at_the_limit() -> None:
    # CVE-2025-69223
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 60_000
    answer = response(bomb, max_body=1_000_000, fields={"Content-Encoding": "gzip"})
    with pytest.raises(InvalidResponse, match="at most 1000000 bytes"):
        await answer.read()


@jumping
async def test_a_bomb_comes_in_small_pieces_and_others_have_their_turn() -> None:
    bomb = gzip.compress(bytes(5_000_000))
    answer = response(bomb, fields={"Content-Encoding": "gzip"})
    turns = list[int]()

    async def count() -> None:
        while True:
            turns.append(len(turns))
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    sizes = [len(piece) async for piece in answer.pieces()]
    counting.cancel()
    assert sum(sizes) == 5_000_000
    assert max(sizes) <= 65_536
    assert len(turns) > 4


@jumping
async def test_a_body_that_is_endless_and_holds_nothing_is_given_up() -> None:
    # A block of no bytes, again and again (RFC 1951, 3.2.4).
    asked = list[int]()

    async def empty_blocks() -> bytes:
        asked.append(1)
        return (b"\x78\x01" if len(asked) == 1 else b"") + b"\x00\x00\x00\xff\xff" * 10_000

    head = check_response_head(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n", "GET")
    answer = ClientResponse("GET", HERE, head, empty_blocks, max_body=1_000)
    with pytest.raises(InvalidResponse, match="at most 1000 bytes"):
        await answer.read()
    assert len(asked) == 2


@pytest.mark.parametrize("data", [gzip.compress(b"hello")[:-1], b"hello"])
def test_a_body_that_is_not_in_its_coding_is_refused(data: bytes) -> None:
    @jumping
    async def scenario() -> None:
        with pytest.raises(InvalidResponse, match="gzip"):
            await response(data, fields={"Content-Encoding": "gzip"}).read()

    scenario()


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_cancelled_piece_is_not_lost(way: Way) -> None:
    @jumping
    async def scenario() -> None:
        number, reached = 0, True
        while reached:
            number += 1
            answer = response(*[b"x"] * 40)
            got = list[bytes]()

            async def collect(answer: ClientResponse, got: list[bytes]) -> None:
                async for piece in answer.pieces():
                    got += [piece]

            reached = (await way(collect(answer, got), number)).reached
            assert len(got) + len(await answer.read()) == 40
        assert number > 40

    scenario()


# Text and JSON.


@pytest.mark.parametrize(
    ("content_type", "encoding", "body", "text"),
    [
        (None, "utf-8", "世界".encode(), "世界"),
        ("text/plain", "utf-8", b"\xef\xbb\xbfa", "a"),
        ("text/plain", "utf-8", b"a\xff", "a\ufffd"),
        ("text/plain; charset=UTF-8", "utf-8", "世".encode(), "世"),
        ('text/plain;a=b; Charset = "latin-1"', "iso8859-1", b"\xe9", "\xe9"),
        ("text/plain; charset='utf-16'", "utf-8", b"a", "a"),
        ("text/plain;charset=utf-16-le", "utf-16-le", "世".encode("utf-16-le"), "世"),
        ("text/html; charset=gb2312", "gb18030", "镕".encode("gbk"), "镕"),
        ("text/html; charset=GBK", "gb18030", "镕".encode("gbk"), "镕"),
        ("text/html; charset=KOI8-U", "koi8-u", "є".encode("koi8-u"), "є"),
        ("text/html; charset=Shift_JIS", "shift_jis", "世".encode("shift_jis"), "世"),
        ("text/html; charset=windows-1251", "cp1251", "д".encode("cp1251"), "д"),
        ("text/plain; charset=encodings.idna", "utf-8", b"a", "a"),
        ("text/html; charset=big5", "big5", "世".encode("big5"), "世"),
        ("text/plain; charset=nonsense", "utf-8", b"a", "a"),
        ("text/plain; charset=", "utf-8", b"a", "a"),
        ("text/plain; charset=hex", "utf-8", b"61", "61"),
        ("text/plain; charset=zlib", "utf-8", b"a", "a"),
        ("text/plain; charset=punycode", "utf-8", b"a-", "a-"),
        ("text/plain; charset=unicode_escape", "utf-8", b"\\n", "\\n"),
        ("text/plain; charset=undefined", "utf-8", b"a", "a"),
        ("text/plain; charset=" + "a" * 41, "utf-8", b"a", "a"),
    ],
)
def test_text_is_what_the_charset_says_or_utf_8(
    content_type: str | None, encoding: str, body: bytes, text: str
) -> None:
    @jumping
    async def scenario() -> None:
        answer = response(body, fields={"Content-Type": content_type} if content_type else {})
        await answer.read()
        assert (answer.encoding, answer.text) == (encoding, text)

    scenario()


@jumping
async def test_json_is_read_strictly_and_a_mark_before_it_passed_over() -> None:
    answer = response(b'\xef\xbb\xbf{"a": [1]}')
    await answer.read()
    assert answer.json() == {"a": [1]}
    answer = response(b"{'a': 1}")
    await answer.read()
    with pytest.raises(ValueError, match="invalid JSON"):
        answer.json()
