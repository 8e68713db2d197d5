"""HTTP/1.1 as requests and answers: what is read from bytes, and what is written as bytes."""

from __future__ import annotations

import pytest

from nbdriver.errors import HTTPError
from nbdriver.model import Response
from nbdriver.wire.exchange import Exchange
from nbdriver.wire.head import HeadLimits

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def new_exchange() -> Exchange:
    return Exchange(HeadLimits(), 8)


def read(exchange: Exchange, data: bytes) -> bytes:
    """Read one whole request; gives its body."""
    buffer = bytearray(data)
    head = exchange.read_head(buffer)
    assert head is not None
    if head.content_length == 0:
        return b""
    exchange.begin_body(head.content_length)
    while (body := exchange.take_body()) is None:
        assert exchange.read_body(buffer)
    assert not buffer
    return body


def answer(
    exchange: Exchange,
    response: Response,
    *,
    server: str | None = None,
    close: bool = False,
    to_head: bool = False,
) -> bytes:
    return exchange.answer(response, date=DATE, server=server, close=close, to_head=to_head)


def test_a_head_that_is_not_all_there_stays_in_the_buffer() -> None:
    exchange, buffer = new_exchange(), bytearray(GET[:-1])
    assert exchange.read_head(buffer) is None
    assert buffer == GET[:-1]
    buffer += GET[-1:]
    head = exchange.read_head(buffer)
    assert head is not None
    assert (head.method, head.target, buffer) == ("GET", "/a", b"")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (POST, b"body"),
        (CHUNKED, b"4\r\nbody\r\n0\r\n\r\n"),
        (CHUNKED, b"1\r\nb\r\n3\r\nody\r\n0\r\n\r\n"),
    ],
)
def test_a_body_is_given_once_its_last_byte_has_come(head: bytes, body: bytes) -> None:
    exchange, buffer = new_exchange(), bytearray(head)
    verdict = exchange.read_head(buffer)
    assert verdict is not None
    exchange.begin_body(verdict.content_length)
    for byte in body:
        assert exchange.take_body() is None
        buffer.append(byte)
        while exchange.read_body(buffer):
            pass
    assert exchange.take_body() == b"body"


def test_nothing_is_read_of_a_body_that_has_not_come() -> None:
    exchange = new_exchange()
    assert exchange.read_head(bytearray(POST)) is not None
    exchange.begin_body(4)
    assert exchange.read_body(bytearray()) == 0


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(HTTPError, match=r"^413: expected a body of at most 8 bytes$"):
        new_exchange().begin_body(9)


def test_what_h11_alone_does_not_like_is_a_refusal_of_ours() -> None:
    exchange = new_exchange()
    # RFC 9112, 9.3: nothing follows a request that asked for the connection to be closed.
    read(exchange, GET[:-2] + b"Connection: close\r\n\r\n")
    with pytest.raises(HTTPError, match=r"^400: expected HTTP/1\.1, "):
        exchange.read_head(bytearray(CHUNKED))


def test_requests_and_answers_take_turns() -> None:
    exchange = new_exchange()
    for data, body in ((GET, b""), (POST + b"body", b"body"), (GET, b"")):
        assert read(exchange, data) == body
        assert answer(exchange, Response(204)) == (
            b"HTTP/1.1 204 No Content\r\nDate: %s\r\n\r\n" % DATE.encode()
        )
        assert not exchange.over
        exchange.start_next()


def test_an_answer_has_its_date_server_length_and_body() -> None:
    exchange = new_exchange()
    read(exchange, GET)
    response = Response(200, "hello", [("X-A", "\xe9"), ("Content-Length", "7"), ("Date", "now")])
    assert answer(exchange, response, server="test", close=True) == (
        b"HTTP/1.1 200 OK\r\nDate: %s\r\nServer: test\r\nX-A: \xe9\r\n"
        b"Content-Length: 5\r\nConnection: close\r\n\r\nhello" % DATE.encode()
    )
    assert exchange.over


def test_an_answer_to_head_tells_the_length_and_sends_no_body() -> None:
    exchange = new_exchange()
    read(exchange, GET.replace(b"GET", b"HEAD"))
    sent = answer(exchange, Response(200, "hello"), to_head=True)
    assert b"Content-Length: 5\r\n" in sent
    assert sent.endswith(b"\r\n\r\n")


def test_an_upgrade_that_is_offered_is_named_as_an_option_of_the_connection() -> None:
    exchange = new_exchange()
    read(exchange, GET)
    response = Response(426, headers=[("Upgrade", "websocket")])
    assert b"Connection: close, Upgrade\r\n" in answer(exchange, response, close=True)


def test_an_answer_that_cannot_be_sent_leaves_room_for_another() -> None:
    exchange = new_exchange()
    read(exchange, GET)
    response = Response(200)
    object.__setattr__(response, "reason", "\ud800")
    with pytest.raises(UnicodeEncodeError):
        answer(exchange, response)
    assert answer(exchange, Response(500)).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


def test_a_client_that_waits_is_told_to_go_on_and_then_waits_no_more() -> None:
    exchange = new_exchange()
    assert exchange.read_head(bytearray(POST[:-2] + b"Expect: 100-continue\r\n\r\n")) is not None
    assert exchange.continue_is_awaited
    assert exchange.inform(100, "Continue", []) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not exchange.continue_is_awaited


def test_what_is_forgotten_is_no_part_of_a_body() -> None:
    exchange, buffer = new_exchange(), bytearray(POST + b"bo")
    assert exchange.read_head(buffer) is not None
    exchange.begin_body(4)
    assert exchange.read_body(buffer) == 2
    exchange.forget()
    assert exchange.read_body(bytearray(b"dy")) == 2
    assert exchange.take_body() == b"dy"
