"""HTTP/1.1 as a client sees it: what is written as bytes, and what is read from them."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbdriver.errors import InvalidResponse
from nbdriver.wire.client_exchange import ClientExchange
from nbdriver.wire.head import HeadLimits
from nbdriver.wire.response_head import ResponseHead

HOST = [("Host", "a")]
OK = b"HTTP/1.1 200 OK\r\n"
FIVE = OK + b"Content-Length: 5\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSE = OK + b"\r\n"
NONE = b"HTTP/1.1 204 No Content\r\n\r\n"


def asked(method: str = "GET", *headers: tuple[str, str]) -> ClientExchange:
    """An exchange whose request is sent, all of it."""
    exchange = ClientExchange(HeadLimits())
    exchange.ask(method, "/", [*HOST, *headers])
    exchange.end()
    return exchange


class Answer(NamedTuple):
    """What came of bytes that were read to their end."""

    status_code: int | None
    body: bytes
    complete: bool
    reusable: bool
    left: bytes
    error: str | None


def read(exchange: ClientExchange, *pieces: bytes, eof: bool = False) -> Answer:
    """Read bytes that come in pieces, and perhaps the connection's end."""
    buffer, head, body, error = bytearray(), None, bytearray(), None
    try:
        for piece in pieces:
            buffer += piece
            head = head or exchange.read_head(buffer)
            while head and not exchange.complete and (data := exchange.read_body(buffer)):
                body += data
        if eof:
            exchange.read_end(buffer)
    except InvalidResponse as caught:
        error = str(caught)
        assert error.startswith("expected ")
        assert error.isprintable()
        assert not exchange.reusable
    status_code = head and head.status_code
    return Answer(
        status_code, bytes(body), exchange.complete, exchange.reusable, bytes(buffer), error
    )


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# Asking.


def test_a_request_is_written_with_its_host_first() -> None:
    exchange = ClientExchange(HeadLimits())
    sent = exchange.ask("GET", "/a?b", [("X-A", "\xe9"), ("Host", "a:1")])
    assert sent == b"GET /a?b HTTP/1.1\r\nHost: a:1\r\nX-A: \xe9\r\n\r\n"
    assert exchange.end() == b""


def test_a_body_is_written_by_its_length_or_in_chunks() -> None:
    exchange = ClientExchange(HeadLimits())
    exchange.ask("POST", "/", [*HOST, ("Content-Length", "4")])
    assert exchange.data(b"bo") + exchange.data(b"dy") + exchange.end() == b"body"
    exchange = ClientExchange(HeadLimits())
    exchange.ask("POST", "/", [*HOST, ("Transfer-Encoding", "chunked")])
    sent = exchange.data(b"bo") + exchange.data(b"") + exchange.data(b"dy") + exchange.end()
    assert sent == b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [
        ("GET /", "/", ("A", "b")),
        ("GET\r\n", "/", ("A", "b")),
        ("G\xe9T", "/", ("A", "b")),
        ("GET", "/ HTTP/1.1\r\n", ("A", "b")),
        ("GET", "/\xe9", ("A", "b")),
        ("GET", "/", ("A\r\nB", "b")),
        ("GET", "/", ("A", "b\r\nB: c")),
        ("GET", "/", ("A", "b\0")),
        ("GET", "/", ("\xe9", "b")),
        ("GET", "/", ("A", "\u4e16")),
        ("GET", "/", ("Content-Length", "+5")),
        ("GET", "/", ("Host", "b")),
    ],
)
def test_what_http_cannot_carry_is_not_written_and_leaves_room_for_another(
    method: str, target: str, header: tuple[str, str]
) -> None:
    exchange = ClientExchange(HeadLimits())
    with pytest.raises(ValueError, match=r"^expected a request that HTTP/1\.1 can carry: "):
        exchange.ask(method, target, [*HOST, header])
    assert exchange.ask("GET", "/", HOST)


def test_a_body_has_the_length_that_was_announced() -> None:
    exchange = ClientExchange(HeadLimits())
    exchange.ask("POST", "/", [*HOST, ("Content-Length", "4")])
    with pytest.raises(ValueError, match="Too much data"):
        exchange.data(b"bodyy")
    exchange = ClientExchange(HeadLimits())
    exchange.ask("POST", "/", [*HOST, ("Content-Length", "4")])
    exchange.data(b"bod")
    with pytest.raises(ValueError, match="Too little data"):
        exchange.end()


# Reading.

#: What a server sends in answer to a GET, what of it is the body, and whether it may go on.
ANSWERS = {
    "a length": (FIVE + b"hello", b"hello", True),
    "chunks": (CHUNKED + b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n", b"hello", True),
    "blanks behind sizes": (CHUNKED + b"2 \t\r\nhe\r\n3 ; a\r\nllo\r\n0  \r\n\r\n", b"hello", True),
    "a folded field": (OK + b"A: b\r\n\tc\r\n d\r\n" + FIVE[len(OK) :] + b"hello", b"hello", True),
    "trailers": (CHUNKED + b"1\r\nh\r\n0\r\nA: b\r\n\r\n", b"h", True),
    "no chunks": (CHUNKED + b"0\r\n\r\n", b"", True),
    "no body": (NONE, b"", True),
    "not modified": (b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", b"", True),
    "no length": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "interim": (b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" * 32 + FIVE + b"hello", b"hello", True),
    "last": (OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
}


@pytest.mark.parametrize(("data", "body", "reusable"), ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize("eof", [False, True])
def test_an_answer_is_its_body_however_it_is_cut(
    data: bytes, body: bytes, reusable: bool, eof: bool
) -> None:
    cuts = [[data], one_by_one(data)]
    cuts += [[data[:cut], data[cut:]] for cut in range(1, len(data), 1 + len(data) // 200)]
    for pieces in cuts:
        answer = read(asked(), *pieces, eof=eof)
        assert answer[1:] == (body, True, reusable, b"", None)


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 2_000), max_size=5), st.booleans())
def test_cutting_the_bytes_anywhere_changes_nothing(name: str, cuts: list[int], eof: bool) -> None:
    data = ANSWERS[name][0] + b"HTTP/1.1 200 OK\r\n\r\n"
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert read(asked(), *pieces, eof=eof) == read(asked(), data, eof=eof)


@pytest.mark.parametrize(("data", "body", "_"), ANSWERS.values(), ids=list(ANSWERS))
def test_an_answer_that_ends_early_is_none(data: bytes, body: bytes, _: bool) -> None:
    # RFC 9112, 8
    for size in range(0, len(data), 1 + len(data) // 200):
        answer = read(asked(), data[:size], eof=True)
        assert not answer.complete
        assert not answer.reusable
        assert answer.error is not None
        assert body.startswith(answer.body)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected an answer, got nothing but the connection's end"),
        (b"HTTP", "expected an answer, got only a part of it, then the connection's end"),
        (
            b"HTTP/1.1 100 Continue\r\n\r\n",
            "expected an answer, got only a part of it, then the connection's end",
        ),
        (FIVE, "expected the rest of the body, got the connection's end"),
        (FIVE + b"hell", "expected the rest of the body, got the connection's end"),
        (CHUNKED + b"5\r\nhello\r\n", "expected the rest of the body, got the connection's end"),
        (CHUNKED + b"0\r\n", "expected the rest of the body, got the connection's end"),
    ],
)
def test_of_an_answer_that_ends_early_it_is_told_where(data: bytes, said: str) -> None:
    assert read(asked(), data, eof=True).error == said


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    for pieces in ([CLOSE + b"hello"], [CLOSE, b"he", b"llo"], one_by_one(CLOSE + b"hello")):
        exchange = asked()
        assert read(exchange, *pieces)[1:] == (b"hello", False, False, b"", None)
        exchange.read_end(bytearray())
        assert exchange.complete
        assert not exchange.reusable


def test_what_follows_an_answer_stays_where_it_is() -> None:
    for data, body, reusable in ANSWERS.values():
        answer = read(asked(), data + b"HTTP/1.1 200 OK\r\n\r\n")
        assert answer[1:] == (body, True, reusable, b"HTTP/1.1 200 OK\r\n\r\n", None)


def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    for data in (FIVE, CHUNKED, CLOSE):
        answer = read(asked("HEAD"), data)
        assert (answer.body, answer.complete) == (b"", True)
    assert read(asked("HEAD"), FIVE + b"hello").left == b"hello"


def test_requests_and_answers_take_turns() -> None:
    exchange = asked()
    for data in (FIVE + b"hello", NONE, CHUNKED + b"0\r\n\r\n", FIVE + b"hello"):
        assert not exchange.begun
        assert read(exchange, data).reusable
        assert exchange.begun
        exchange.start_next()
        assert not exchange.reusable
        exchange.ask("GET", "/", HOST)
        exchange.end()


def test_an_answer_that_was_refused_counts_as_begun() -> None:
    exchange = asked()
    with pytest.raises(InvalidResponse):
        exchange.read_head(bytearray(b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n"))
    assert exchange.begun


def test_what_was_taken_of_interim_responses_counts_as_begun() -> None:
    exchange = asked()
    assert read(exchange, b"HTTP/1.1 103 X\r\n\r\n").status_code is None
    assert exchange.begun


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 100 X\r\n\r\n" * 33, "an answer after at most 32 interim responses"),
        (b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n", "expected HTTP/1.1, "),
        (b"hello", 'expected "HTTP/1.1" and a status, got \'h'),
        (CHUNKED + b"x\r\n", "expected a chunk size in hex, got"),
        (CHUNKED + b"5\nhello\n", "expected a chunk size in hex, got"),
        (CHUNKED + b"5\r\nhellooo", "expected CR LF after the data of a chunk"),
        (CHUNKED + b"5;" + b"a" * 300, "expected a chunk line of at most 256 bytes"),
        (CHUNKED + b"0\r\nno trailer\r\n\r\n", 'expected a trailer "Name: value", got'),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * 2_000, "expected trailers of at most 8192 bytes"),
        (
            FIVE.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "expected Content-Length or Transfer-Encoding, got both",
        ),
        (
            FIVE.replace(b"\r\n\r\n", b"\r\nContent-Length: 6\r\n\r\n"),
            "expected one whole number as Content-Length",
        ),
    ],
)
def test_what_breaks_http_is_refused_however_it_is_cut(data: bytes, said: str) -> None:
    for pieces in ([data], one_by_one(data)):
        answer = read(asked(), *pieces)
        assert said in (answer.error or "")
        assert not answer.complete


def test_a_head_has_the_limits_that_were_given() -> None:
    exchange = ClientExchange(HeadLimits(max_head=50, max_headers=1))
    exchange.ask("GET", "/", HOST)
    assert read(exchange, OK + b"A: b\r\nC: d\r\n\r\n").error == (
        "expected at most 1 headers, got 2"
    )
    exchange = ClientExchange(HeadLimits(max_head=50))
    exchange.ask("GET", "/", HOST)
    assert "at most 50 bytes" in (read(exchange, OK + b"A: " + b"b" * 50).error or "")


# Answers that come while the request is being sent.


def test_an_answer_before_the_request_is_sent_is_read_and_ends_the_connection() -> None:
    # RFC 9110, 7.5 and RFC 9112, 9.3
    exchange = ClientExchange(HeadLimits())
    exchange.ask("POST", "/", [*HOST, ("Content-Length", "10")])
    exchange.data(b"hello")
    answer = read(exchange, b"HTTP/1.1 413 X\r\nContent-Length: 5\r\n\r\nlarge")
    assert answer[:4] == (413, b"large", True, False)


def test_an_answer_before_the_end_of_the_request_leaves_the_rest_to_be_sent() -> None:
    exchange = ClientExchange(HeadLimits())
    exchange.ask("POST", "/", [*HOST, ("Content-Length", "10")])
    exchange.data(b"hello")
    read(exchange, FIVE + b"hello")
    assert exchange.data(b"hello") + exchange.end() == b"hello"
    assert exchange.reusable


def test_a_request_that_asks_for_the_end_of_the_connection_is_its_last() -> None:
    assert not read(asked("GET", ("Connection", "close")), FIVE + b"hello").reusable


# Switching protocols.


def test_a_101_that_was_asked_for_is_the_end_of_http() -> None:
    exchange = asked("GET", ("Upgrade", "websocket"), ("Connection", "Upgrade"))
    buffer = bytearray(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n\x81\x00")
    head = exchange.read_head(buffer)
    assert isinstance(head, ResponseHead)
    assert head.status_code == 101
    assert buffer == b"\x81\x00"
    assert not exchange.reusable


def test_an_upgrade_may_be_refused() -> None:
    exchange = asked("GET", ("Upgrade", "websocket"), ("Connection", "Upgrade"))
    assert read(exchange, FIVE + b"hello")[:4] == (200, b"hello", True, True)
    exchange.start_next()


# Whatever comes.


@given(
    st.lists(
        st.one_of(
            st.sampled_from([OK, b"\r\n", b"Content-Length: 5\r\n", b"5\r\n", b"0\r\n", b"hello"]),
            st.sampled_from([FIVE, CHUNKED, NONE, b"Transfer-Encoding: chunked\r\n"]),
            st.binary(max_size=8),
        ),
        max_size=6,
    ),
    st.booleans(),
)
@example([FIVE, b"hello"], True)
@example([CHUNKED, b"5\r\n", b"hello", b"\r\n", b"0\r\n", b"\r\n"], False)
def test_whatever_comes_is_an_answer_or_an_invalid_response(pieces: list[bytes], eof: bool) -> None:
    data = b"".join(pieces)
    whole, cut = read(asked(), data, eof=eof), read(asked(), *one_by_one(data), eof=eof)
    assert whole[:4] == cut[:4]
    assert (whole.error is None) == (cut.error is None)
    assert whole.complete or not whole.reusable
