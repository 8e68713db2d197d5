"""What is written in one step is what h11 would have written."""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbdriver.model import Response
from nbdriver.wire import answer
from nbdriver.wire.exchange import Exchange
from nbdriver.wire.head import HeadLimits

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


class Text(str, Enum):  # noqa: UP042 - the format of a StrEnum is its value
    """Text whose own format is another."""

    NAME = "X-Text"
    VALUE = "value"


def by_h11(
    response: Response, *, server: str | None = None, close: bool = False, to_head: bool = False
) -> bytes:
    """The answer to a request that h11 has read."""
    exchange = Exchange(HeadLimits(), 0, fast_lane=False)
    method = b"HEAD" if to_head else b"GET"
    assert exchange.read_head(bytearray(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n"))
    return exchange.answer(response, date=DATE, server=server, close=close, to_head=to_head)


def by_us(
    response: Response, *, server: str | None = None, close: bool = False, to_head: bool = False
) -> bytes:
    return answer.write(response, date=DATE, server=server, close=close, to_head=to_head)


NAMES = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}", fullmatch=True) | st.sampled_from(
    "Host host Upgrade upgrade Connection content-length Content-Type DATE Server"
    " Transfer-Encoding Set-Cookie Trailer Keep-Alive".split()
)
VALUES = st.sampled_from(
    ["", "a", "close", "chunked", "keep-alive", "100-continue", "5", "\xe4 \t b"]
) | st.from_regex(r"[!-~\x80-\xff]{1,9}", fullmatch=True)
RESPONSES = st.builds(
    Response,
    st.sampled_from([200, 204, 304, 205, 400, 500, 999]) | st.integers(200, 999),
    st.binary(max_size=20) | st.text(max_size=5),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.none() | st.text(max_size=10),
)


@given(RESPONSES, st.sampled_from([None, "", "nbdriver"]), st.booleans(), st.booleans())
@example(Response(200, "a", [("A", "b"), ("HOST", "c")]), None, False, False)
@example(Response(426, "", [("Upgrade", "a"), ("upgrade", "b")]), None, True, False)
@example(Response(204, "a body that is not sent"), None, False, False)
@example(Response(HTTPStatus.NOT_FOUND, "a", [(Text.NAME, Text.VALUE)], Text.VALUE), "", True, True)
def test_every_answer_is_written_as_h11_writes_it(
    response: Response, server: str | None, close: bool, to_head: bool
) -> None:
    expected = by_h11(response, server=server, close=close, to_head=to_head)
    for _ in ("written", "kept"):
        assert by_us(response, server=server, close=close, to_head=to_head) == expected


@pytest.mark.parametrize(
    "other",
    [
        {"response": Response(201, "body", [("A", "b")])},
        {"response": Response(200, "Body", [("A", "b")])},
        {"response": Response(200, "body+", [("A", "b")])},
        {"response": Response(200, "body", [("A", "c")])},
        {"response": Response(200, "body", [("A", "b")], "Fine")},
        {"server": "test"},
        {"close": True},
        {"to_head": True},
    ],
    ids=["status", "body", "length", "header", "reason", "server", "close", "HEAD"],
)
def test_answers_that_differ_in_one_thing_are_kept_apart(other: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"response": Response(200, "body", [("A", "b")])}
    first = by_us(**usual)
    assert by_us(**usual | other) == by_h11(**usual | other) != first
    assert by_us(**usual) == first


def test_an_answer_has_the_date_that_it_is_given() -> None:
    for date in (DATE, "Mon, 07 Nov 1994 08:49:37 GMT"):
        sent = answer.write(Response(204), date=date, server=None, close=False, to_head=False)
        assert sent == f"HTTP/1.1 204 No Content\r\nDate: {date}\r\n\r\n".encode()


def test_few_heads_are_kept_and_of_bodies_nothing() -> None:
    """Whatever an application answers: the next second has other heads."""
    for number in range(200):
        by_us(Response(200, bytes(number), [("X-Number", str(number))]))
    information = answer._head.cache_info()
    assert information.currsize == information.maxsize == 32
    misses = information.misses
    assert by_us(Response(200, b"a", [("A", "b")])).endswith(b"a")
    assert by_us(Response(200, b"b", [("A", "b")])).endswith(b"b")
    assert answer._head.cache_info().misses == misses + 1
