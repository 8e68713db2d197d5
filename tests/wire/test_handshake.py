"""The opening handshake: RFC 6455, section 4, clause by clause, in both roles."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.datastructures import Headers as WebsocketsHeaders
from websockets.http11 import Request as WebsocketsRequest
from websockets.http11 import Response as WebsocketsResponse
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri
from wsproto.utilities import generate_accept_token

from nbdriver.errors import HTTPError, ProtocolViolation
from nbdriver.model import Headers, Request
from nbdriver.wire.handshake import (
    Accepted,
    Opening,
    accept_headers,
    accept_token,
    check,
    check_response,
    new_opening,
    request_headers,
    wants_websocket,
)

# RFC 6455, 1.3
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TOKEN = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
PLAIN = {
    "Host": "bot.example",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(
    *more: tuple[str, str], method: str = "GET", http_version: str = "1.1", **changes: str | None
) -> Request:
    """A good opening request, with headers changed, left out (None) or added."""
    headers = {name: changes.pop(name.lower().replace("-", "_"), PLAIN[name]) for name in PLAIN}
    assert not changes
    items = [(name, value) for name, value in headers.items() if value is not None]
    return Request(method, "/onebot/ws", Headers([*items, *more]), http_version=http_version)


def refusal_of(request: Request) -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        check(request)
    assert caught.value.reason.isascii()
    assert caught.value.reason.isprintable()
    assert len(caught.value.reason) < 400
    return caught.value


# The server: whether a WebSocket is asked for.


@pytest.mark.parametrize(
    ("upgrade", "connection"),
    [
        ("websocket", "Upgrade"),
        ("WebSocket", "upgrade"),
        ("h2c, websocket", "keep-alive,Upgrade"),
        ("websocket", "keep-alive ,\tUPGRADE, "),
    ],
)
def test_the_tokens_of_an_upgrade_are_found_in_any_case_and_list(
    upgrade: str, connection: str
) -> None:
    asked = request(upgrade=upgrade, connection=connection)
    assert wants_websocket(asked.headers)
    assert check(asked) == Opening(KEY)


def test_several_lines_are_read_as_one_list() -> None:
    asked = request(("Connection", "Upgrade"), ("Upgrade", "h2c"), connection="keep-alive")
    assert wants_websocket(asked.headers)
    assert check(asked) == Opening(KEY)


@pytest.mark.parametrize(
    ("upgrade", "connection"),
    [
        (None, "Upgrade"),
        ("websocket", None),
        ("h2c", "Upgrade"),
        ("notwebsocket", "Upgrade"),
        ("websocket/13", "Upgrade"),
        ("websocket", "notupgrade"),
        ("websocket", "keep-alive"),
        ("websocket", "up grade"),
        ("websocket", "upgrade\x0b"),
    ],
)
def test_what_is_no_upgrade_to_websocket_is_told_to_be_one(
    upgrade: str | None, connection: str | None
) -> None:
    asked = request(upgrade=upgrade, connection=connection)
    assert not wants_websocket(asked.headers)
    refused = refusal_of(asked)
    assert refused.status_code == 426
    assert refused.headers == (("Upgrade", "websocket"),)


# The server: RFC 6455, 4.2.1.


def test_a_good_request_opens() -> None:
    asked = request(
        ("Sec-WebSocket-Extensions", "permessage-deflate, foo"),
        ("Sec-WebSocket-Protocol", "onebot.v11, chat"),
        ("sec-websocket-extensions", "bar; a=b"),
        ("sec-websocket-protocol", "superchat"),
    )
    assert check(asked) == Opening(
        KEY,
        ("onebot.v11", "chat", "superchat"),
        ("permessage-deflate, foo", "bar; a=b"),
    )


@pytest.mark.parametrize("method", ["POST", "HEAD", "get", "\xe9" * 1000])
def test_another_method_than_get_is_405_with_allow(method: str) -> None:
    refused = refusal_of(request(method=method))
    assert refused.status_code == 405
    assert refused.headers == (("Allow", "GET"),)


def test_http_1_0_cannot_upgrade() -> None:
    assert refusal_of(request(http_version="1.0")).status_code == 400


@pytest.mark.parametrize(
    "body",
    [("Content-Length", "5"), ("Content-Length", "00"), ("Transfer-Encoding", "chunked")],
)
def test_a_request_with_a_body_is_400(body: tuple[str, str]) -> None:
    """CVE-2026-69243: the body of the request would be the first frames of the connection."""
    assert refusal_of(request(body)).status_code == 400


def test_a_content_length_of_nothing_is_no_body() -> None:
    assert check(request(("Content-Length", "0"))) == Opening(KEY)


@pytest.mark.parametrize(
    "key",
    [
        "x",
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZQ==\n",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZSAtLSA=",
        "dGhlIHNhbXBsZSBub25-ZQ==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        f"{KEY}, {KEY}",
    ],
)
def test_a_key_that_is_not_16_bytes_of_base64_is_400(key: str) -> None:
    refused = refusal_of(request(sec_websocket_key=key))
    assert refused.status_code == 400
    assert "16 bytes in base64" in refused.reason


@given(st.binary(min_size=16, max_size=16))
@settings(deadline=None)
def test_every_key_of_16_bytes_is_taken_and_answered_as_wsproto_does(nonce: bytes) -> None:
    """No 16 bytes are refused, and the token of each is the one that wsproto computes."""
    key = b64encode(nonce).decode()
    assert check(request(sec_websocket_key=key)).key == key
    assert accept_token(key) == generate_accept_token(key.encode()).decode()


@pytest.mark.parametrize(
    "asked",
    [request(sec_websocket_key=None), request(("sec-websocket-key", KEY))],
    ids=["none", "two"],
)
def test_there_is_one_key(asked: Request) -> None:
    refused = refusal_of(asked)
    assert refused.status_code == 400
    assert refused.reason.startswith("expected one Sec-WebSocket-Key, got ")


@pytest.mark.parametrize(
    "asked",
    [
        request(sec_websocket_version="8"),
        request(sec_websocket_version="13, 8"),
        request(sec_websocket_version="013"),
        request(("Sec-WebSocket-Version", "13")),
    ],
)
def test_another_version_is_told_which_one_we_speak(asked: Request) -> None:
    """RFC 6455, 4.4."""
    refused = refusal_of(asked)
    assert refused.status_code == 426
    assert refused.headers == (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))


def test_no_version_at_all_is_400() -> None:
    assert refusal_of(request(sec_websocket_version=None)).status_code == 400


def test_the_empty_elements_of_a_list_are_passed_over() -> None:
    asked = request(("Sec-WebSocket-Protocol", ", chat,,"), ("Sec-WebSocket-Protocol", ""))
    assert check(asked).subprotocols == ("chat",)


@pytest.mark.parametrize(
    "protocol",
    ["", ", ,", "chat, chat", "two words", "a/b", 'quoted"', "\xe9", "a\x00b", "a; b=c"],
)
def test_subprotocols_are_tokens_all_different(protocol: str) -> None:
    assert refusal_of(request(("Sec-WebSocket-Protocol", protocol))).status_code == 400


def test_a_subprotocol_that_stands_on_two_lines_is_doubled() -> None:
    asked = request(("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Protocol", "chat"))
    assert refusal_of(asked).status_code == 400


@pytest.mark.parametrize(
    "asked",
    [
        request(host="b\xf6t.example"),
        request(connection="Upgrade, \xe9"),
        request(connection="\xe9"),
        request(upgrade="websocket, \xe9"),
        request(sec_websocket_key="\xe9" * 24),
        request(sec_websocket_version="\xb9\xb3"),
        request(("Sec-WebSocket-Protocol", "\xff")),
    ],
)
def test_bytes_beyond_ascii_are_400(asked: Request) -> None:
    assert refusal_of(asked).status_code == 400


pieces = st.sampled_from(
    [*PLAIN.values(), "8", "chat", "x", ",", ", ", " ", ";", "=", "\xe9", "\r\n", "\x1b", '"']
)
values = st.lists(pieces, max_size=4).map("".join) | st.text(st.characters(max_codepoint=255))
names = st.sampled_from(
    [*PLAIN, "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Content-Length"]
)


@given(st.lists(st.tuples(names, values), max_size=4), st.sets(names))
@settings(deadline=None)
def test_a_request_opens_or_is_refused_by_status_whatever_it_holds(
    more: list[tuple[str, str]], left_out: set[str]
) -> None:
    """An Opening that can be answered, or an HTTPError of three digits in ASCII; nothing else."""
    items = [(name, value) for name, value in PLAIN.items() if name not in left_out]
    try:
        opening = check(Request("GET", "/", Headers([*items, *more])))
    except HTTPError as error:
        refused = error
    else:
        assert accept_headers(opening)[2][1] == accept_token(opening.key)
        return
    assert refused.status_code in (400, 426)
    assert refused.reason.isascii()
    assert refused.reason.isprintable()


# The server: RFC 6455, 4.2.2.


def test_the_answer_is_that_of_the_rfc() -> None:
    assert accept_headers(Opening(KEY)) == [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", TOKEN),
    ]


def test_the_answer_names_what_was_granted() -> None:
    headers = accept_headers(Opening(KEY, ("chat", "superchat")), "superchat", "permessage-deflate")
    assert headers[3:] == [
        ("Sec-WebSocket-Protocol", "superchat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ]


@pytest.mark.parametrize(
    ("offered", "words"), [((), "offers (none), got 'chat'"), (("a", "b"), "offers (a, b), got")]
)
def test_a_subprotocol_that_was_not_offered_cannot_be_granted(
    offered: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ValueError, match="expected a subprotocol that the client") as caught:
        accept_headers(Opening(KEY, offered), "chat")
    assert words in str(caught.value)


# The client: RFC 6455, 4.1.


def test_a_client_asks_with_a_key_of_its_own_each_time() -> None:
    first, second = new_opening(), new_opening()
    assert first.key != second.key
    assert request_headers(first, "bot.example:8080") == [
        ("Host", "bot.example:8080"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", first.key),
        ("Sec-WebSocket-Version", "13"),
    ]


@pytest.mark.parametrize("subprotocols", [["a", "a"], [""], ["two words"], ["a\r\nX: y"], ["é"]])
def test_a_client_offers_no_subprotocol_that_is_none(subprotocols: list[str]) -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        new_opening(subprotocols)


@pytest.mark.parametrize("deflate_offer", [None, "permessage-deflate; client_max_window_bits"])
@pytest.mark.parametrize("subprotocols", [[], ["chat", "superchat"]])
def test_our_client_and_our_server_open_to_each_other(
    subprotocols: list[str], deflate_offer: str | None
) -> None:
    opening = new_opening(subprotocols, deflate_offer)
    asked = Request("GET", "/", Headers(request_headers(opening, "bot.example")))
    assert check(asked) == opening
    chosen = subprotocols[-1] if subprotocols else None
    granted = "permessage-deflate" if deflate_offer else None
    answer = Headers(accept_headers(opening, chosen, granted))
    assert check_response(101, answer, opening) == Accepted(chosen, granted)


OPENING = Opening(KEY, ("chat",))


def answer(*more: tuple[str, str], without: str = "") -> Headers:
    headers = [header for header in accept_headers(OPENING) if header[0] != without]
    return Headers([*headers, *more])


@pytest.mark.parametrize("status_code", [200, 302, 401, 426])
def test_a_client_expects_101(status_code: int) -> None:
    with pytest.raises(ProtocolViolation, match=f"the status 101, got '{status_code}'"):
        check_response(status_code, answer(), OPENING)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (answer(without="Upgrade"), "Upgrade: websocket, got none"),
        (answer(("Upgrade", "h2c")), "Upgrade: websocket, got 'websocket, h2c'"),
        (answer(without="Connection"), "Connection: Upgrade, got none"),
        (
            answer(("Connection", "notupgrade"), without="Connection"),
            "Connection: Upgrade, got 'notupgrade'",
        ),
        (answer(without="Sec-WebSocket-Accept"), "of our key, got none"),
        (answer(("Sec-WebSocket-Accept", TOKEN)), "of our key, got '"),
        (
            answer(("Sec-WebSocket-Accept", TOKEN.lower()), without="Sec-WebSocket-Accept"),
            "of our key, got '",
        ),
        (answer(("Sec-WebSocket-Protocol", "superchat")), r"offered \(chat\), got 'superchat'"),
        (answer(("Sec-WebSocket-Protocol", "chat, chat")), r"offered \(chat\), got 'chat, chat'"),
        (answer(("Sec-WebSocket-Protocol", "\xe9" * 100)), r"got '(\\xe9){60}'\.\.\."),
        (answer(("Sec-WebSocket-Extensions", "permessage-deflate")), "no extension, as none"),
    ],
)
def test_a_client_fails_on_an_answer_to_something_else(headers: Headers, words: str) -> None:
    with pytest.raises(ProtocolViolation, match=words) as caught:
        check_response(101, headers, OPENING)
    assert caught.value.code == 1002


def test_a_client_that_offered_no_subprotocol_is_granted_none() -> None:
    headers = Headers([*accept_headers(Opening(KEY)), ("Sec-WebSocket-Protocol", "chat")])
    with pytest.raises(ProtocolViolation, match=r"offered \(none\), got 'chat'"):
        check_response(101, headers, Opening(KEY))


def test_a_granted_subprotocol_and_extension_are_handed_on() -> None:
    opening = Opening(KEY, ("chat",), ("permessage-deflate",))
    headers = answer(
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; foo"),
        ("sec-websocket-extensions", "bar"),
    )
    assert check_response(101, headers, opening) == Accepted("chat", "permessage-deflate; foo, bar")


# Peers that we did not write.


def test_the_server_of_websockets_opens_to_our_client() -> None:
    opening = new_opening(["chat"], "permessage-deflate")
    asked = WebsocketsRequest("/", WebsocketsHeaders(request_headers(opening, "bot.example")))
    theirs = ServerProtocol(subprotocols=[Subprotocol("chat")]).accept(asked)
    headers = Headers(theirs.headers.raw_items())
    assert check_response(theirs.status_code, headers, opening) == Accepted("chat")


def test_the_client_of_websockets_takes_our_answer() -> None:
    theirs = ClientProtocol(parse_uri("ws://bot.example/"), subprotocols=[Subprotocol("chat")])
    asked = theirs.connect()
    opening = check(Request("GET", asked.path, Headers(asked.headers.raw_items())))
    headers = WebsocketsHeaders(accept_headers(opening, "chat"))
    theirs.process_response(WebsocketsResponse(101, "Switching Protocols", headers))
    assert theirs.subprotocol == "chat"
