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


def fast_exchange(**limits: int) -> Exchange:
    """One of the fast lane, whichever lane the suite runs in."""
    return Exchange(HeadLimits(**limits), 8, fast_lane=True)


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
        assert exchange.start_next()


def test_an_answer_has_its_date_server_length_and_body() -> None:
    exchange = new_exchange()
    read(exchange, GET)
    response = Response(200, "hello", [("X-A", "\xe9"), ("Content-Length", "7"), ("Date", "now")])
    assert answer(exchange, response, server="test", close=True) == (
        b"HTTP/1.1 200 OK\r\nDate: %s\r\nServer: test\r\nX-A: \xe9\r\n"
        b"Content-Length: 5\r\nConnection: close\r\n\r\nhello" % DATE.encode()
    )
    assert not exchange.start_next()


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


# A plain request in one piece.


@pytest.mark.parametrize(
    ("data", "method", "body"),
    [
        (GET, "GET", b""),
        (POST + b"body", "POST", b"body"),
        (POST.replace(b"4", b"0"), "POST", b""),
        (POST.replace(b"4", b"8") + b"12345678", "POST", b"12345678"),
        (POST + b"\r\n\r\n", "POST", b"\r\n\r\n"),
        (GET[:-2] + b"Connection: keep-alive\r\n\r\n", "GET", b""),
    ],
)
def test_a_plain_request_in_one_piece_is_read_in_one_step(
    data: bytes, method: str, body: bytes
) -> None:
    exchange = fast_exchange()
    for _ in range(3):
        whole = exchange.read_whole(data)
        assert whole is not None
        head, read_body = whole
        assert (head.method, read_body) == (method, body)
        assert answer(exchange, Response(204)).startswith(b"HTTP/1.1 204 No Content\r\n")
        assert exchange.start_next()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GET[:-1],
        POST + b"bod",
        POST + b"body5",
        GET + GET,
        POST + b"body" + GET,
        b"\r\n" + GET,
        CHUNKED + b"4\r\nbody\r\n0\r\n\r\n",
        POST.replace(b"4", b"9") + b"123456789",
        GET.replace(b"1.1", b"1.0"),
        GET[:-2] + b"Connection: close\r\n\r\n",
        GET[:-2] + b"Upgrade: websocket\r\n\r\n",
        POST[:-2] + b"Expect: 100-continue\r\n\r\nbody",
        GET[:-2] + b"A: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"\x16\x03\x01",
    ],
)
def test_of_anything_else_nothing_is_read_and_the_buffer_is_the_way(data: bytes) -> None:
    """Nor does it make a difference to what comes after it, or by the buffer."""
    other, usual = fast_exchange(), fast_exchange()
    for exchange in (other, usual):
        assert exchange.read_whole(POST + b"body") is not None
        answer(exchange, Response(204))
        exchange.start_next()
    assert other.read_whole(data) is None
    assert read_by_buffer(other, data) == read_by_buffer(usual, data)
    assert fast_exchange().read_whole(data) is None


def read_by_buffer(exchange: Exchange, data: bytes) -> object:
    """What is made of bytes that came to the buffer, and what is left there."""
    buffer = bytearray(data)
    try:
        return exchange.read_head(buffer), bytes(buffer)
    except HTTPError as error:
        return str(error)


def test_a_head_of_exactly_the_limit_is_read_in_one_step_and_one_byte_more_is_refused() -> None:
    exchange = fast_exchange(max_head=len(POST))
    longer = POST.replace(b" / ", b" /a ")
    assert exchange.read_whole(POST + b"body") is not None
    answer(exchange, Response(204))
    exchange.start_next()
    assert exchange.read_whole(longer + b"body") is None
    with pytest.raises(HTTPError, match=r"^431: "):
        exchange.read_head(bytearray(longer + b"body"))


def test_a_familiar_head_that_has_grown_by_a_digit_over_the_limit_is_refused() -> None:
    exchange = Exchange(HeadLimits(max_head=len(POST)), 100, fast_lane=True)
    longer = POST.replace(b"4", b"10") + b"0123456789"
    for _ in range(2):
        assert exchange.read_whole(POST + b"body") is not None
        answer(exchange, Response(204))
        exchange.start_next()
    assert exchange.read_whole(longer) is None
    with pytest.raises(HTTPError, match=r"^431: "):
        exchange.read_head(bytearray(longer))


def test_of_a_request_that_has_begun_nothing_is_read_in_one_step() -> None:
    """What looks like a request is the rest of one."""
    for begun in (GET[:-2], b"G", b"\r\n"):
        exchange = fast_exchange()
        assert exchange.read_head(bytearray(begun)) is None
        assert exchange.read_whole(GET) is None


def test_without_the_fast_lane_nothing_is_read_in_one_step() -> None:
    exchange = Exchange(HeadLimits(), 8, fast_lane=False)
    assert exchange.read_whole(GET) is None
    assert read(exchange, GET) == b""
    assert exchange._h11 is not None


def test_a_head_is_told_to_be_that_of_the_request_before_but_for_its_length() -> None:
    """Who has checked what it says need not do so again."""
    exchange = fast_exchange()
    longer = POST.replace(b"4", b"5") + b"body5"
    other = POST.replace(b"Host: a", b"Host: b") + b"body"
    told = []
    for data in (POST + b"body", POST + b"body", longer, GET, other, other, POST + b"body"):
        assert exchange.read_whole(data) is not None
        told.append(exchange.repeated)
        answer(exchange, Response(204))
        exchange.start_next()
    assert told == [False, True, True, False, False, True, False]
    assert exchange.read_whole(POST + b"bod") is None
    assert exchange.read_whole(b"anything else") is None
    assert not exchange.repeated


LARGE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
KINDS = {
    "plain": POST + b"body",
    "without a body": GET,
    "chunked": CHUNKED + b"4\r\nbody\r\n0\r\n\r\n",
    "with an expectation": POST[:-2] + b"Expect: 100-continue\r\n\r\nbody",
    "with a field that repeats": POST[:-2] + b"A: b\r\nA: c\r\n\r\nbody",
}


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_the_two_ways_follow_one_another_on_one_connection(first: str, second: str) -> None:
    ours, law = fast_exchange(), Exchange(HeadLimits(), 8, fast_lane=False)
    for kind in (first, second, second, first, first):
        said = []
        for exchange in (ours, law):
            whole = exchange.read_whole(KINDS[kind])
            body = read(exchange, KINDS[kind]) if whole is None else whole[1]
            sent = answer(exchange, Response(200, body, [("Upgrade", "x")]), server="test")
            said.append((body, sent, exchange.start_next()))
        assert said[0] == said[1]
    # The last request is refused.
    for exchange in (ours, law):
        assert exchange.read_whole(LARGE + b"123456789") is None
        assert exchange.read_head(bytearray(LARGE)) is not None
        with pytest.raises(HTTPError, match=r"^413: "):
            exchange.begin_body(9)
    refused = [answer(exchange, Response(413, "no"), close=True) for exchange in (ours, law)]
    assert refused[0] == refused[1]
    assert not ours.start_next()
    assert not law.start_next()


def test_a_plain_request_whose_body_comes_later_is_not_h11s_either() -> None:
    exchange = fast_exchange()
    assert read(exchange, POST + b"body") == b"body"
    assert not exchange.continue_is_awaited
    assert answer(exchange, Response(200, "a")).endswith(b"\r\n\r\na")
    assert exchange._h11 is None
    exchange.start_next()
    assert read(exchange, CHUNKED + b"4\r\nbody\r\n0\r\n\r\n") == b"body"
    assert exchange._h11 is not None
