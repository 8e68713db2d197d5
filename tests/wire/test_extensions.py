"""Agreeing on permessage-deflate: RFC 6455, 9, and RFC 7692, 5 and 7, in both roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbdriver.errors import HTTPError, ProtocolViolation
from nbdriver.wire.deflate import DeflateSettings, PerMessageDeflate, Window
from nbdriver.wire.extensions import accept, negotiate, offer

# The server's half.

TWELVE = DeflateSettings()
FIFTEEN = DeflateSettings(server_max_window_bits=15, client_max_window_bits=15)


@pytest.mark.parametrize(
    ("options", "offered", "response"),
    [
        (FIFTEEN, "", ""),
        (FIFTEEN, "client_max_window_bits", ""),
        (FIFTEEN, "client_max_window_bits=10", "client_max_window_bits=10"),
        (FIFTEEN, "server_max_window_bits=15", "server_max_window_bits=15"),
        (FIFTEEN, "server_max_window_bits=8", "server_max_window_bits=8"),
        (FIFTEEN, "server_no_context_takeover", "server_no_context_takeover"),
        (FIFTEEN, "client_no_context_takeover", "client_no_context_takeover"),
        (FIFTEEN, 'client_max_window_bits="10"', "client_max_window_bits=10"),
        (FIFTEEN, r'server_max_window_bits="1\0"', "server_max_window_bits=10"),
        (FIFTEEN, "\tclient_max_window_bits = 9 ", "client_max_window_bits=9"),
        (TWELVE, "", "server_max_window_bits=12"),
        (
            TWELVE,
            "client_max_window_bits",
            "server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            TWELVE,
            "client_max_window_bits=9; server_max_window_bits=15",
            "server_max_window_bits=12; client_max_window_bits=9",
        ),
        (
            TWELVE,
            "server_no_context_takeover; client_no_context_takeover",
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
        ),
        (
            DeflateSettings(
                server_max_window_bits=15,
                server_no_context_takeover=True,
                client_no_context_takeover=True,
            ),
            "",
            "server_no_context_takeover; client_no_context_takeover",
        ),
    ],
)
def test_what_is_offered_is_granted_and_our_own_wish_added(
    options: DeflateSettings, offered: str, response: str
) -> None:
    header = "permessage-deflate" + (f";{offered}" if offered else "")
    agreed = negotiate([header], options)
    assert agreed is not None
    assert agreed[1] == "permessage-deflate" + (f"; {response}" if response else "")


@pytest.mark.parametrize(
    "offered",
    [
        "client_max_window_bits=abc",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=010",
        'client_max_window_bits="abc"',
        "server_max_window_bits",
        "server_max_window_bits=99",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "unheard_of",
        "Server_no_context_takeover",
    ],
)
def test_an_offer_that_cannot_be_accepted_is_declined_and_the_next_one_taken(offered: str) -> None:
    """RFC 7692, 7: each of these a server must decline."""
    header = f"permessage-deflate; {offered}"
    assert negotiate([header], FIFTEEN) is None
    agreed = negotiate([f"{header}, permessage-deflate"], FIFTEEN)
    assert agreed is not None
    assert agreed[1] == "permessage-deflate"


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [", ,"],
        ["permessage-bzip2"],
        ["x-webkit-deflate-frame", 'foo; bar="baz"; permessage-deflate'],
    ],
)
def test_where_nothing_is_offered_nothing_is_agreed(values: list[str]) -> None:
    assert negotiate(values, FIFTEEN) is None


@pytest.mark.parametrize(
    "values",
    [
        ["foo; a=b", ", ,permessage-deflate; server_max_window_bits=10,, bar"],
        ["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
        ["permessage-deflate; server_max_window_bits=10", "permessage-deflate"],
    ],
)
def test_all_lines_are_one_list_and_the_first_offer_wins(values: list[str]) -> None:
    agreed = negotiate(values, FIFTEEN)
    assert agreed is not None
    assert agreed[1] == "permessage-deflate; server_max_window_bits=10"


@pytest.mark.parametrize(
    "value",
    [
        "permessage-deflate;",
        "permessage-deflate; =10",
        "permessage-deflate; client_max_window_bits=",
        'permessage-deflate; client_max_window_bits="10',
        'permessage-deflate; client_max_window_bits=""',
        'permessage-deflate; client_max_window_bits="1,0"',
        "permessage-deflate client_max_window_bits",
        "foo/1, permessage-deflate",
        "; client_max_window_bits",
        '"permessage-deflate"',
        "permessage-d\xe9flate",
        "permessage-deflate\n",
    ],
)
def test_a_header_outside_the_grammar_is_400(value: str) -> None:
    """RFC 6455, 9.1: whoever receives one fails the connection."""
    with pytest.raises(HTTPError, match="as Sec-WebSocket-Extensions") as caught:
        negotiate([value], FIFTEEN)
    assert caught.value.status_code == 400
    assert caught.value.reason.isascii()
    assert caught.value.reason.isprintable()


def test_a_long_header_is_quoted_in_part() -> None:
    with pytest.raises(HTTPError) as caught:
        negotiate(["/" * 10_000], FIFTEEN)
    assert len(caught.value.reason) < 250


HEADER_PIECES = [
    *("permessage-deflate", "server_max_window_bits", "client_max_window_bits", "8", "15", "99"),
    *("server_no_context_takeover", "client_no_context_takeover", "foo"),
    *(";", "; ", ",", ", ", "=", '"', "\\", " ", "\t", "\xe9", "\r\n"),
]
any_header = st.text(st.characters(max_codepoint=255)) | st.lists(
    st.sampled_from(HEADER_PIECES), max_size=12
).map("".join)


T = TypeVar("T")


def outcome(call: Callable[[], T]) -> T | HTTPError | ProtocolViolation:
    try:
        return call()
    except (HTTPError, ProtocolViolation) as error:
        return error


@given(st.lists(any_header, max_size=3))
@settings(deadline=None)
def test_no_header_raises_anything_but_a_refusal(values: list[str]) -> None:
    """Whatever stands in the header: an agreement, none, or a refusal of ours, in either role."""
    agreed = outcome(lambda: negotiate(values, TWELVE))
    if isinstance(agreed, HTTPError):
        assert agreed.status_code == 400
    else:
        assert agreed is None or agreed[1].startswith("permessage-deflate")
    accepted = outcome(lambda: accept(", ".join(values), TWELVE))
    assert isinstance(accepted, PerMessageDeflate) or accepted.code == 1002


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [None, 8, 9, 15])
def test_the_parameters_of_the_autobahn_cases_13_are_accepted(
    bits: int | None, takeover: bool
) -> None:
    """Its client asks the server for a window and for no context, and lets the server ask too."""
    wishes = "" if takeover else "; server_no_context_takeover"
    wishes += "" if bits is None else f"; server_max_window_bits={bits}"
    agreed = negotiate(
        [f"permessage-deflate; client_no_context_takeover; client_max_window_bits{wishes}"],
        FIFTEEN,
    )
    assert agreed is not None
    assert agreed[0].sends == Window(bits or 15, takeover)
    assert agreed[0].receives == Window(15, False)


# The client's half.


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (FIFTEEN, "client_max_window_bits"),
        (TWELVE, "client_max_window_bits=12; server_max_window_bits=12"),
        (
            DeflateSettings(
                server_max_window_bits=15,
                client_max_window_bits=8,
                server_no_context_takeover=True,
                client_no_context_takeover=True,
            ),
            "client_max_window_bits=8; client_no_context_takeover; server_no_context_takeover",
        ),
    ],
)
def test_a_client_offers_what_it_is_set_to(options: DeflateSettings, value: str) -> None:
    assert offer(options) == f"permessage-deflate; {value}"


@pytest.mark.parametrize(
    ("options", "response", "sends", "receives"),
    [
        (FIFTEEN, "", Window(15, True), Window(15, True)),
        (FIFTEEN, "; client_max_window_bits=8", Window(8, True), Window(15, True)),
        (FIFTEEN, '; server_max_window_bits="9"', Window(15, True), Window(9, True)),
        (FIFTEEN, "; server_no_context_takeover", Window(15, True), Window(15, False)),
        (FIFTEEN, "; client_no_context_takeover", Window(15, False), Window(15, True)),
        # A server that overlooks what we wished for.
        (TWELVE, "", Window(12, True), Window(15, True)),
        (TWELVE, "; client_max_window_bits=15", Window(12, True), Window(15, True)),
        (
            DeflateSettings(client_no_context_takeover=True, server_no_context_takeover=True),
            "; server_max_window_bits=12",
            Window(12, False),
            Window(12, True),
        ),
    ],
)
def test_a_client_takes_the_answer_for_both_directions(
    options: DeflateSettings, response: str, sends: Window, receives: Window
) -> None:
    ours = accept(f"permessage-deflate{response}", options)
    assert (ours.sends, ours.receives) == (sends, receives)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ("", "permessage-deflate as the one extension"),
        ("permessage-bzip2", "permessage-deflate as the one extension"),
        ("permessage-deflate, permessage-deflate", "permessage-deflate as the one extension"),
        ("permessage-deflate; server_max_window_bits=99", "from 8 to 15"),
        ("permessage-deflate; server_max_window_bits=13", "at most 12, as offered, got 13"),
        ("permessage-deflate; client_max_window_bits", "from 8 to 15"),
        ("permessage-deflate; client_max_window_bits=abc", "from 8 to 15"),
        ("permessage-deflate; unheard_of", "a parameter of permessage-deflate"),
        ("permessage-deflate; server_no_context_takeover=1", "without a value"),
        (
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "client_no_context_takeover once",
        ),
        ("permessage-deflate;", "RFC 6455, 9.1"),
    ],
)
def test_a_client_fails_on_an_answer_that_it_cannot_have_offered(response: str, words: str) -> None:
    with pytest.raises(ProtocolViolation, match=words) as caught:
        accept(response, TWELVE)
    assert caught.value.code == 1002
