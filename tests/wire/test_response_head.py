"""Response heads: what two readers could read in two ways is refused, and h11 reads the rest so."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbdriver.errors import InvalidResponse
from nbdriver.wire.head import HeadLimits
from nbdriver.wire.response_head import (
    Framing,
    ResponseHead,
    ResponseHeadCutter,
    check_response_head,
)

SMALL = HeadLimits(max_head=100)
LF = "expected lines that end in CR LF, got a bare LF"


def head_of(*lines: str, line: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1")


def verdict(*lines: str, line: str = "HTTP/1.1 200 OK", method: str = "GET") -> ResponseHead:
    return check_response_head(head_of(*lines, line=line), method)


def refusal_of(*lines: str, line: str = "HTTP/1.1 200 OK", method: str = "GET") -> str:
    with pytest.raises(InvalidResponse) as caught:
        verdict(*lines, line=line, method=method)
    return readable(caught.value)


def readable(error: InvalidResponse) -> str:
    """The words of an error: what was expected, in one line that leads no terminal astray."""
    text = str(error)
    assert text.startswith("expected ")
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 1_000
    return text


def framing_of(*lines: str, line: str = "HTTP/1.1 200 OK", method: str = "GET") -> tuple[Any, ...]:
    head = verdict(*lines, line=line, method=method)
    return head.framing, head.content_length, head.keeps_alive


def cut_all(pieces: list[bytes], limits: HeadLimits = SMALL) -> list[bytes | str]:
    """What a cutter makes of bytes that come in pieces: heads, and what it refuses them with."""
    cutter, buffer, found = ResponseHeadCutter(limits), bytearray(), list[bytes | str]()
    try:
        for piece in pieces:
            buffer += piece
            while (head := cutter.cut(buffer)) is not None:
                found.append(head)
    except InvalidResponse as error:
        found.append(readable(error))
    return found


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# Cutting a head from what comes.


def test_a_head_is_cut_with_its_empty_line_and_what_follows_it_stays() -> None:
    buffer = bytearray(head_of() + b"the body")
    assert ResponseHeadCutter(SMALL).cut(buffer) == head_of()
    assert buffer == b"the body"


@pytest.mark.parametrize(
    ("data", "heads"),
    [
        (head_of("A: b"), [head_of("A: b")]),
        (head_of() * 3, [head_of()] * 3),
        (head_of() + b"HTTP/1.1", [head_of()]),
        (head_of() + b"HTTP/1.1 200 OK\n\n", [head_of(), LF]),
    ],
)
def test_cutting_what_comes_anywhere_changes_nothing(data: bytes, heads: list[bytes | str]) -> None:
    assert cut_all([data]) == cut_all(one_by_one(data)) == heads
    for cut in range(len(data)):
        assert cut_all([data[:cut], data[cut:]]) == heads


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "'SSH-2.0-OpenSSH_9\\r\\n'"),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "'\\r\\nHTTP/1.1 200 OK\\r\\n\\r\\n'"),
        (b"http/1.1 200 OK\r\n\r\n", "'http/1.1 200 OK\\r\\n\\r\\n'"),
        (b"HTTP 200\xff", "'HTTP 200\\xff'"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "TLS: is it https?"),
        (b"\x16\x03\x01", "TLS: is it https?"),
    ],
)
def test_what_cannot_become_a_head_is_refused_at_its_first_bytes(data: bytes, got: str) -> None:
    assert cut_all([data]) == [f'expected "HTTP/1.1" and a status, got {got}']
    for cut in range(len(data)):
        assert isinstance(cut_all([data[:cut], data[cut:]])[-1], str)


def test_a_head_over_the_limit_is_refused_before_its_end_has_come() -> None:
    said = "expected a response head of at most 100 bytes"
    fits = head_of("A: " + "b" * 76)
    assert len(fits) == 100
    assert cut_all([fits]) == cut_all(one_by_one(fits)) == [fits]
    longer = head_of("A: " + "b" * 77)
    assert cut_all([longer]) == cut_all(one_by_one(longer)) == [said]
    assert cut_all([longer[:-4] + b"bbbb"]) == [said]


def test_lines_that_end_in_a_bare_lf_are_refused_before_the_end_of_the_head() -> None:
    # RFC 9112, 2.2
    for pieces in ([b"HTTP/1.1 200 OK\nA: b\n\n"], one_by_one(b"HTTP/1.1 200 OK\n")):
        assert cut_all(pieces) == [LF]


# The status line.


def test_a_head_is_its_status_its_reason_and_its_fields() -> None:
    head = verdict("Set-Cookie: a=1", "SET-COOKIE: \tb=2 \t", "X: \xe9", line="HTTP/1.1 404 Not\tF")
    assert (head.status_code, head.reason, head.http_version) == (404, "Not\tF", "1.1")
    assert list(head.headers.items()) == [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x", "\xe9"),
    ]


@pytest.mark.parametrize("line", ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 200  \t"])
def test_a_reason_may_be_missing(line: str) -> None:
    # RFC 9112, 4: though not the blank before it, which depends on nobody.
    assert verdict(line=line).reason == ""


def test_a_minor_version_that_is_newer_is_read_as_1_1() -> None:
    # RFC 9110, 2.5
    assert verdict(line="HTTP/1.7 200 OK").http_version == "1.1"
    assert verdict(line="HTTP/1.0 200 OK").http_version == "1.0"


@pytest.mark.parametrize(
    "line",
    [
        "HTTP/1.1",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/11 200 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200 O\x00K",
        "HTTP/1.1 200 O\x1bK",
        "HTTP/1.1 200 O\rK",
    ],
)
def test_a_malformed_status_line_is_refused(line: str) -> None:
    assert 'expected "HTTP/1.1", a status and a reason, got' in refusal_of(line=line)


@pytest.mark.parametrize("version", ["0.9", "2.0", "3.0"])
def test_another_major_version_is_refused(version: str) -> None:
    assert refusal_of(line=f"HTTP/{version} 200 OK") == f"expected HTTP/1.1, got HTTP/{version}"


# Fields.


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Content-Length: 1\r\n 2", "no folded header lines"),
        ("content-length:\r\n\t12", "no folded header lines"),
        ("Transfer-Encoding:\r\n chunked", "no folded header lines"),
        ("TRANSFER-ENCODING: chunked\r\n ", "no folded header lines"),
        ("Connection: keep-alive,\r\n close", "no folded header lines"),
        ("Upgrade:\r\n \r\n websocket", "no folded header lines"),
        ("A: b\r\n c\r\nContent-Length: 1\r\n 2", "no folded header lines"),
        ("A: b\r\n c\x00d", "no control characters in the header 'A'"),
        ("A : b", "the name 'A '"),
        ("no colon", "the name 'no colon'"),
        (": no name", "the name ''"),
        ("A: b\x00c", "no control characters in the header 'A'"),
        ("A: b\rc", "no control characters in the header 'A'"),
        ("A: secret\x1b[2J", "no control characters in the header 'A'"),
        ("\xc3\xa9: b", "the name"),
    ],
)
def test_a_malformed_field_is_refused_and_its_value_is_not_told(line: str, said: str) -> None:
    text = refusal_of("X: y", line)
    assert said in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (["X: a", " b"], "a b"),
        (["X: a \t", "\t \tb", " ", "  c;"], "a \t b  c;"),
        (["X:", " a"], "a"),
        (["X: a", " "], "a"),
        (["X: a", " Content-Length: 5"], "a Content-Length: 5"),
    ],
)
def test_a_folded_field_that_decides_nothing_is_one_line(lines: list[str], value: str) -> None:
    # RFC 9112, 5.2: a user agent has to.
    head = verdict("Content-Length: 3", *lines, "Y: z")
    assert head.headers.joined() == {"content-length": "3", "x": value, "y": "z"}
    assert (head.framing, head.content_length) == (Framing.LENGTH, 3)


def test_before_the_first_field_nothing_is_folded() -> None:
    # RFC 9112, 2.2
    assert "no folded header lines" in refusal_of(" A: b")
    assert "no folded header lines" in refusal_of("\tA: b", "C: d", " e")


def test_there_are_not_too_many_fields() -> None:
    assert len(verdict(*["A: b"] * 100).headers) == 100
    assert refusal_of(*["A: b"] * 101) == "expected at most 100 headers, got 101"


# Where the body ends (RFC 9112, 6.3).


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], (Framing.UNTIL_CLOSE, 0, False)),
        (["Content-Length: 0"], (Framing.LENGTH, 0, True)),
        (["Content-Length: 007"], (Framing.LENGTH, 7, True)),
        (["Content-Length: 9999999999999999999"], (Framing.LENGTH, 10**19 - 1, True)),
        (["Transfer-Encoding: chunked"], (Framing.CHUNKED, 0, True)),
        (["transfer-encoding: CHUNKED"], (Framing.CHUNKED, 0, True)),
    ],
)
def test_a_body_ends_by_its_length_its_chunks_or_the_connection(
    lines: list[str], expected: tuple[Any, ...]
) -> None:
    assert framing_of(*lines) == expected


@pytest.mark.parametrize("lines", [[], ["Content-Length: 5"], ["Transfer-Encoding: chunked"]])
@pytest.mark.parametrize(("status", "method"), [(200, "HEAD"), (404, "HEAD"), (304, "GET")])
def test_what_the_fields_say_of_a_body_that_was_not_asked_for_is_no_body(
    status: int, method: str, lines: list[str]
) -> None:
    assert framing_of(*lines, line=f"HTTP/1.1 {status} X", method=method) == (
        Framing.NONE,
        0,
        True,
    )


@pytest.mark.parametrize(
    ("lines", "keeps_alive"),
    [
        ([], True),
        (["Content-Length: 0"], True),
        (["Content-Length: 00"], True),
        (["Content-Length: 5"], False),
        (["Transfer-Encoding: chunked"], False),
    ],
)
def test_after_a_204_that_announces_a_body_the_connection_is_in_doubt(
    lines: list[str], keeps_alive: bool
) -> None:
    assert framing_of(*lines, line="HTTP/1.1 204 No Content") == (Framing.NONE, 0, keeps_alive)


@pytest.mark.parametrize("status", [100, 101, 103, 199])
def test_an_interim_response_has_no_body_and_may_not_announce_one(status: int) -> None:
    # RFC 9110, 8.6 and RFC 9112, 6.1
    line = f"HTTP/1.1 {status} X"
    assert framing_of(line=line)[0] is Framing.NONE
    assert framing_of("Content-Length: 0", line=line)[0] is Framing.NONE
    for field in ("Content-Length: 1", "Transfer-Encoding: chunked"):
        assert refusal_of(field, line=line) == f"expected no body with the status {status}"


@pytest.mark.parametrize(
    "lines", [["Content-Length: 5"], ["Transfer-Encoding: gzip"], ["Content-Length: 5, 6"]]
)
def test_what_a_tunnel_says_of_a_body_is_passed_over(lines: list[str]) -> None:
    # RFC 9110, 9.3.6
    assert framing_of(*lines, method="CONNECT")[0] is Framing.NONE


def test_a_tunnel_that_is_refused_is_an_answer_like_any_other() -> None:
    assert framing_of("Content-Length: 5", line="HTTP/1.1 407 X", method="CONNECT") == (
        Framing.LENGTH,
        5,
        True,
    )


BOTH = ["Content-Length: 5", "Transfer-Encoding: chunked"]


@pytest.mark.parametrize("lines", [BOTH, BOTH[::-1]])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_both_lengths_are_refused(lines: list[str], method: str) -> None:
    # RFC 9112, 6.3: an attempt to smuggle a response, and to be handled as an error.
    assert refusal_of(*lines, method=method) == (
        "expected Content-Length or Transfer-Encoding, got both"
    )


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: 5, 5"],
        ["Content-Length: 5,6"],
        ["Content-Length:"],
        ["Content-Length: +5"],
        ["Content-Length: -5"],
        ["Content-Length: 5 5"],
        ["Content-Length: 0x5"],
        ["Content-Length: 1_0"],
        ["Content-Length: 5;"],
        ["Content-Length: \xb2"],
        ["Content-Length: 12345678901234567890"],
    ],
)
def test_two_lengths_and_what_is_no_length_are_refused(lines: list[str]) -> None:
    assert refusal_of(*lines).startswith("expected one whole number as Content-Length, got '")


@pytest.mark.parametrize(
    "lines",
    [
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: chunked, chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: identity", "Content-Length: 5"],
        ["Transfer-Encoding:"],
        ["Transfer-Encoding: \x0bchunked".replace("\x0b", "\xa0")],
        ['Transfer-Encoding: "chunked"'],
        ["Transfer-Encoding: chunked;q=1"],
    ],
)
def test_another_coding_than_chunked_is_refused(lines: list[str]) -> None:
    assert refusal_of(*lines).startswith("expected Transfer-Encoding: chunked, got '")


def test_http_1_0_knows_no_chunks() -> None:
    # RFC 9112, 6.1
    said = "expected no Transfer-Encoding in HTTP/1.0"
    assert refusal_of("Transfer-Encoding: chunked", line="HTTP/1.0 200 OK") == said


@pytest.mark.parametrize(
    ("value", "keeps_alive"),
    [
        ("keep-alive", True),
        ("Upgrade", True),
        ("", True),
        (", ,keep-alive,", True),
        ("close", False),
        ("Close", False),
        ("keep-alive, close", False),
        ("keep-alive,\tCLOSE ,", False),
        ("keep alive", False),
        ("timeout=5", False),
        ("\xe9", False),
    ],
)
def test_a_connection_is_kept_unless_the_server_says_otherwise_or_is_not_understood(
    value: str, keeps_alive: bool
) -> None:
    # RFC 9112, 9.3
    head = verdict("Content-Length: 0", f"Connection: {value}")
    assert head.keeps_alive is keeps_alive


def test_one_close_among_several_lines_ends_the_connection() -> None:
    assert not verdict("Content-Length: 0", "Connection: a", "Connection: close").keeps_alive


def test_http_1_0_does_not_keep_connections() -> None:
    lines = ["Content-Length: 0", "Connection: keep-alive"]
    assert not verdict(*lines, line="HTTP/1.0 200 OK").keeps_alive


# What h11 makes of what was not refused.

LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "Content-Length: 0",
                "Content-Length: 5",
                "Content-Length: 5, 5",
                "Transfer-Encoding: chunked",
                "Transfer-Encoding: gzip",
                "Connection: close",
                "Connection: keep-alive, x",
                "A: b",
                "A: b\r\n c",
                "Transfer-Encoding:\r\n chunked",
                " d",
            ]
        ),
        st.text(st.characters(max_codepoint=255), max_size=12),
    ),
    max_size=4,
)
STATUS_LINES = st.builds(
    "HTTP/{} {}{}".format,
    st.sampled_from(["1.1", "1.0", "2.0", "1.7"]),
    st.sampled_from([101, 200, 204, 205, 304, 404, 999]),
    st.sampled_from(["", " OK", " \xe9", "OK"]),
)


#: What follows a head, which each framing reads in its own way.
FOLLOWS = b"5\r\nabcde\r\n0\r\n\r\n"


def read_by_h11(raw: bytes, method: str) -> tuple[int, list[tuple[str, str]], bytes, bool]:
    """Status, fields, body, and whether another request may follow."""
    connection = h11.Connection(h11.CLIENT)
    fields = [("Host", "a"), ("Upgrade", "x"), ("Connection", "Upgrade")]
    connection.send(h11.Request(method=method, target="/", headers=fields))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw + FOLLOWS)
    head, body = connection.next_event(), bytearray()
    assert isinstance(head, h11.Response | h11.InformationalResponse)
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    if event is h11.NEED_DATA:
        connection.receive_data(b"")
        assert isinstance(connection.next_event(), h11.EndOfMessage)
    goes_on = connection.their_state is h11.DONE
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
    return head.status_code, headers, bytes(body), goes_on


@given(STATUS_LINES, LINES, st.sampled_from(["GET", "HEAD", "POST"]))
@example("HTTP/1.1 200 OK", ["Content-Length: 5"], "GET")
@example("HTTP/1.1 200 OK", ["Transfer-Encoding: chunked"], "GET")
@example("HTTP/1.1 200 OK", [], "GET")
@example("HTTP/1.1 304 OK", ["Content-Length: 5"], "GET")
def test_what_is_not_refused_h11_reads_in_the_same_way(
    line: str, lines: list[str], method: str
) -> None:
    raw = head_of(*lines, line=line)
    try:
        ours = check_response_head(raw, method)
    except InvalidResponse as error:
        readable(error)
        return
    status_code, fields, body, goes_on = read_by_h11(raw, method)
    assert (status_code, fields) == (ours.status_code, list(ours.headers.items()))
    assert (
        body
        == {
            Framing.NONE: b"",
            Framing.LENGTH: FOLLOWS[: ours.content_length],
            Framing.CHUNKED: b"abcde",
            Framing.UNTIL_CLOSE: FOLLOWS,
        }[ours.framing]
    )
    # We are the stricter ones.
    assert goes_on or not ours.keeps_alive or status_code == 101
