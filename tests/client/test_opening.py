"""What a client asks to open a WebSocket, and what of an answer to it may stand."""

from __future__ import annotations

import pytest

from nbdriver.client.opening import Agreed, Asked, agree, ask, check_headers
from nbdriver.errors import InvalidResponse
from nbdriver.model import Headers, Request
from nbdriver.wire.deflate import DeflateSettings, PerMessageDeflate, Window
from nbdriver.wire.extensions import negotiate
from nbdriver.wire.handshake import accept_headers, accept_token, check

DEFLATE = DeflateSettings()


def answer(asked: Asked, *more: tuple[str, str], without: str = "") -> Headers:
    """A good answer, with headers added and one left out."""
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_token(asked.opening.key)),
    ]
    return Headers([*(pair for pair in headers if pair[0] != without), *more])


# What is asked.


def test_a_server_finds_in_what_is_asked_an_opening_and_what_the_caller_added() -> None:
    asked = ask(
        "bot.example:81",
        [("Authorization", "Bearer x"), ("X-Self-ID", "1"), ("x-self-id", "2")],
        subprotocols=["12.bot", "11.bot"],
        deflate=DEFLATE,
    )
    headers = Headers(asked.headers)
    opening = check(Request("GET", "/", headers))
    assert opening == asked.opening
    assert opening.subprotocols == ("12.bot", "11.bot")
    assert headers.get("host") == "bot.example:81"
    assert headers.get("authorization") == "Bearer x"
    assert headers.get_all("x-self-id") == ["1", "2"]
    assert negotiate(opening.extensions, DEFLATE) is not None


def test_nothing_is_offered_that_was_not_asked_for() -> None:
    names = [name for name, _ in ask("a").headers]
    assert "Sec-WebSocket-Protocol" not in names
    assert "Sec-WebSocket-Extensions" not in names


def test_each_opening_has_a_key_of_its_own() -> None:
    assert len({ask("a").opening.key for _ in range(100)}) == 100


def test_a_callers_host_has_the_place_of_the_urls() -> None:
    headers = Headers(ask("127.0.0.1:8080", [("host", "bot.example")]).headers)
    assert headers.get_all("host") == ["bot.example"]


@pytest.mark.parametrize(
    "name",
    [
        "Upgrade",
        "connection",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Key",
        "sec-websocket-version",
        "SEC-WEBSOCKET-EXTENSIONS",
        "Sec-WebSocket-Accept",
    ],
)
def test_what_makes_the_handshake_is_not_the_callers(name: str) -> None:
    with pytest.raises(ValueError, match=f"expected no header {name.lower()}"):
        ask("a", [(name, "x")])


def test_subprotocols_have_a_place_of_their_own() -> None:
    with pytest.raises(ValueError, match=r"expected subprotocols=\[...\]"):
        ask("a", [("Sec-WebSocket-Protocol", "x")])


@pytest.mark.parametrize(
    "headers",
    [
        [("X-A", "b\r\nX-B: c")],
        [("X A", "b")],
        [("X-A", "汉")],
        [("Host", "a"), ("host", "b")],
    ],
)
def test_headers_that_cannot_stand_in_a_request_are_a_value_error(
    headers: list[tuple[str, str]],
) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_headers(headers)


@pytest.mark.parametrize("subprotocols", [["a b"], ["a", "a"], ["汉"], [""]])
def test_subprotocols_that_are_none_are_a_value_error(subprotocols: list[str]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ask("a", subprotocols=subprotocols)


def test_a_text_is_no_list_of_subprotocols() -> None:
    with pytest.raises(TypeError, match="expected a list of subprotocols, got the text"):
        ask("a", subprotocols="12.bot")


# What an answer means.


def test_a_plain_answer_opens() -> None:
    asked = ask("a", subprotocols=["b"], deflate=DEFLATE)
    assert agree(asked, "1.1", answer(asked)) == Agreed(None, None)


def test_what_was_granted_is_told() -> None:
    asked = ask("a", subprotocols=["b", "c"], deflate=DEFLATE)
    granted = negotiate(asked.opening.extensions, DEFLATE)
    assert granted is not None
    headers = accept_headers(asked.opening, "c", granted[1])
    agreed = agree(asked, "1.1", Headers(headers))
    assert agreed.subprotocol == "c"
    assert isinstance(agreed.extension, PerMessageDeflate)
    assert agreed.extension.sends == granted[0].receives == Window(12, True)
    assert agreed.extension.receives == granted[0].sends


@pytest.mark.parametrize(
    ("more", "without", "words"),
    [
        ([], "Upgrade", "expected Upgrade: websocket, got none"),
        ([("Upgrade", "h2c")], "Upgrade", "expected Upgrade: websocket, got 'h2c'"),
        ([], "Connection", "expected Connection: Upgrade, got none"),
        ([("Connection", "notupgrade")], "Connection", "expected Connection: Upgrade"),
        ([], "Sec-WebSocket-Accept", "Sec-WebSocket-Accept of our key, got none"),
        ([("Sec-WebSocket-Accept", "x")], "Sec-WebSocket-Accept", "of our key, got 'x'"),
        ([("Sec-WebSocket-Accept", "x")], "", "Sec-WebSocket-Accept of our key"),
        ([("Sec-WebSocket-Protocol", "z")], "", r"offered \(b, c\), got 'z'"),
        ([("Sec-WebSocket-Protocol", "b, c")], "", r"offered \(b, c\), got 'b, c'"),
        ([("Sec-WebSocket-Protocol", "\xe9")], "", "offered"),
        ([("Sec-WebSocket-Extensions", "x-foo")], "", "expected permessage-deflate"),
        ([("Sec-WebSocket-Extensions", "\xff;;=")], "", "expected "),
        (
            [("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=99")],
            "",
            "expected a number from 8 to 15 as server_max_window_bits, got '99'",
        ),
        (
            [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits=abc")],
            "",
            "got 'abc'",
        ),
        ([("Sec-WebSocket-Extensions", "permessage-deflate")] * 2, "", "the one extension"),
    ],
)
def test_an_answer_that_grants_something_else_is_invalid_cve_2026_2229(
    more: list[tuple[str, str]], without: str, words: str
) -> None:
    asked = ask("a", subprotocols=["b", "c"], deflate=DEFLATE)
    with pytest.raises(InvalidResponse, match=words) as caught:
        agree(asked, "1.1", answer(asked, *more, without=without))
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_nothing_is_granted_that_was_not_offered() -> None:
    asked = ask("a")
    for header in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
        with pytest.raises(InvalidResponse, match="expected"):
            agree(asked, "1.1", answer(asked, (header, "permessage-deflate")))


def test_http_1_0_switches_no_protocol() -> None:
    asked = ask("a")
    with pytest.raises(InvalidResponse, match=r"got it in HTTP/1\.0"):
        agree(asked, "1.0", answer(asked))
