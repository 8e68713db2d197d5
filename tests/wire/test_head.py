"""Request heads: what RFC 9112 lets a server refuse is refused, and h11 agrees with what is not."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbdriver.errors import HTTPError
from nbdriver.model import Headers
from nbdriver.wire.head import (
    Familiar,
    Head,
    HeadCutter,
    HeadLimits,
    _plain_field,
    _plain_request,
    check,
    recognise,
)

LIMITS = HeadLimits()
SMALL = HeadLimits(max_head=400, max_target=100, max_headers=5)


def head_of(*lines: str, line: str = "GET / HTTP/1.1", host: str | None = "Host: a") -> bytes:
    """A head of a request line, a Host and further lines."""
    every = [line, *([] if host is None else [host]), *lines, "", ""]
    return "\r\n".join(every).encode("latin-1")


def verdict(*lines: str, line: str = "GET / HTTP/1.1", host: str | None = "Host: a") -> Head:
    return check(head_of(*lines, line=line, host=host), LIMITS)


def refusal_of(raw: bytes, limits: HeadLimits = LIMITS) -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        check(raw, limits)
    assert_readable(caught.value)
    return caught.value


def assert_readable(error: HTTPError) -> None:
    """A refusal says what was expected, in one line that no terminal is led astray by."""
    assert error.reason.startswith("expected ")
    assert error.reason.isascii()
    assert error.reason.isprintable()
    assert len(error.reason) < 1_000


def cut_all(pieces: list[bytes], limits: HeadLimits = LIMITS) -> list[bytes | int]:
    """What a cutter makes of bytes that come in pieces: heads, and the status if it refuses."""
    cutter, buffer, found = HeadCutter(limits), bytearray(), list[bytes | int]()
    try:
        for piece in pieces:
            buffer += piece
            while (head := cutter.cut(buffer)) is not None:
                found.append(head)
    except HTTPError as error:
        assert_readable(error)
        found.append(error.status_code)
    return found


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# Cutting a head from the buffer.


def test_a_head_is_cut_with_its_empty_line_and_what_follows_it_stays() -> None:
    buffer = bytearray(head_of() + b"the body")
    assert HeadCutter(LIMITS).cut(buffer) == head_of()
    assert buffer == b"the body"


@pytest.mark.parametrize(
    "data",
    [
        head_of() * 3,
        b"\r\n" + head_of("A: b") + b"\r\n" + head_of(),
        head_of("A:" + "x" * 50, "B: \t"),
        head_of("Host: twice", line="nonsense"),
        b"GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"\r\n\r\n" + head_of(),
        b"\rGET / HTTP/1.1\r\n\r\n",
        head_of(line=f"GET /{'x' * 150} HTTP/1.1"),
        head_of(line=f"GET /{'x' * 170}"),
        head_of(*["A: " + "x" * 90] * 5),
        b"GET / HTTP/1.1\r\n" + b"x" * 500,
    ],
)
def test_heads_that_are_cut_anywhere_are_the_same_heads(data: bytes) -> None:
    def judged(found: list[bytes | int]) -> list[Head | int]:
        """A bare LF is seen in half a head, and in a whole one by `check`."""
        judged = list[Head | int]()
        for each in found:
            try:
                judged.append(check(each, SMALL) if isinstance(each, bytes) else each)
            except HTTPError as error:
                return [*judged, error.status_code]
        return judged

    whole = judged(cut_all([data], SMALL))
    assert whole
    assert judged(cut_all(one_by_one(data), SMALL)) == whole
    for i in range(len(data)):
        assert judged(cut_all([data[:i], data[i:]], SMALL)) == whole


def test_one_empty_line_before_the_request_line_is_skipped_rfc_9112_2_2() -> None:
    assert cut_all([b"\r\n" + head_of() + b"\r\n" + head_of()]) == [head_of(), head_of()]


def test_an_empty_line_alone_leaves_nothing_that_has_begun() -> None:
    buffer = bytearray(b"\r\n")
    assert HeadCutter(LIMITS).cut(buffer) is None
    assert buffer == b""


def test_a_second_empty_line_is_refused() -> None:
    assert cut_all([b"\r\n", b"\r\n"]) == [400]


@pytest.mark.parametrize("first", [b"\0", b" GET", b"\n", b"\x80", b"(", b"\rG", b"\r\n\r"])
def test_a_byte_that_begins_no_method_is_refused_at_once(first: bytes) -> None:
    assert cut_all([first]) == [400]


def test_a_tls_client_on_the_plain_port_is_told_so_by_its_first_byte() -> None:
    with pytest.raises(HTTPError, match="TLS") as caught:
        HeadCutter(LIMITS).cut(bytearray(b"\x16"))
    assert caught.value.status_code == 400


def test_a_bare_lf_as_a_line_end_is_refused_before_the_head_is_complete() -> None:
    assert cut_all([b"GET / HTTP/1.1\n"]) == [400]
    assert cut_all([b"GET / HTTP/1.1\r", b"\nHost: a", b"\n"]) == [400]


def test_a_head_of_exactly_the_limit_is_taken_and_one_byte_more_is_431() -> None:
    def of_size(size: int) -> bytes:
        return head_of("A: " + "x" * (size - len(head_of("A: "))))

    for pieces in (lambda data: [data], one_by_one):
        assert cut_all(pieces(of_size(400)), SMALL) == [of_size(400)]
        assert cut_all(pieces(of_size(401)), SMALL) == [431]


def test_a_head_that_is_over_the_limit_is_431_though_it_is_not_complete() -> None:
    assert cut_all([head_of()[:-2] + b"x" * 400], SMALL) == [431]


def test_a_target_that_is_far_over_the_limit_is_414_though_the_line_is_not_complete() -> None:
    assert cut_all([b"GET /" + b"x" * 159], SMALL) == []
    assert cut_all([b"GET /" + b"x" * 160], SMALL) == [414]
    assert cut_all([b"GET /" + b"x" * 8_192 + b"x" * 64], LIMITS) == [414]


def test_a_target_is_taken_up_to_the_limit_and_is_414_above_it() -> None:
    target = "/" + "x" * 99
    assert check(head_of(line=f"GET {target} HTTP/1.1"), SMALL).target == target
    assert refusal_of(head_of(line=f"GET {target}x HTTP/1.1"), SMALL).status_code == 414


# The request line.


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.10",
        "GET / HTTP/11.1",
        "GET / HTTP /1.1",
        "GET / b HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\xe4 HTTP/1.1",
        "GET /#fragment HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\xe4T / HTTP/1.1",
        "PROXY TCP4 127.0.0.1 127.0.0.1 5000 80",
    ],
)
def test_a_malformed_request_line_is_400(line: str) -> None:
    assert refusal_of(head_of(line=line)).status_code == 400


@pytest.mark.parametrize("version", ["2.0", "0.9", "3.1"])
def test_a_major_version_other_than_1_is_505(version: str) -> None:
    error = refusal_of(head_of(line=f"GET / HTTP/{version}"))
    assert error.status_code == 505
    assert version in error.reason


def test_the_preface_of_http_2_is_505() -> None:
    assert refusal_of(b"PRI * HTTP/2.0\r\n\r\n").status_code == 505


def test_a_minor_version_that_we_do_not_know_is_read_as_1_1() -> None:
    assert verdict(line="GET / HTTP/1.9").http_version == "1.1"


@pytest.mark.parametrize("method", ["GET", "POST", "get", "M-SEARCH", "!#$%&'*+-.^_`|~1"])
def test_any_token_is_a_method(method: str) -> None:
    assert verdict(line=f"{method} / HTTP/1.1").method == method


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("GET /a/b?c=%20&d HTTP/1.1", "/a/b?c=%20&d"),
        ("GET //a HTTP/1.1", "//a"),
        ("OPTIONS * HTTP/1.1", "*"),
        ("OPTIONS http://a/b HTTP/1.1", "/b"),
        ("GET http://a HTTP/1.1", "/"),
        ("GET HTTP://A/b?c HTTP/1.1", "/b?c"),
        ("GET https://a?b/c HTTP/1.1", "/?b/c"),
        ("GET http://a/b?c?d HTTP/1.1", "/b?c?d"),
    ],
)
def test_a_target_in_any_form_becomes_origin_form_rfc_9112_3_2(line: str, target: str) -> None:
    assert verdict(line=line).target == target


@pytest.mark.parametrize(
    "target", ["*", "a/b", "?a", "ftp://a/", "http:///b", "http://a:b/", "http://u:p@a/", "http:a"]
)
def test_a_target_that_has_none_of_the_forms_is_400(target: str) -> None:
    assert refusal_of(head_of(line=f"GET {target} HTTP/1.1")).status_code == 400
    # HTTP/1.0 has no Host that the target could be held against.
    raw = head_of(line=f"GET {target} HTTP/1.0", host=None)
    assert refusal_of(raw).status_code == 400


def test_an_absolute_target_whose_host_is_not_the_host_is_400() -> None:
    assert refusal_of(head_of(line="GET http://b/ HTTP/1.1")).status_code == 400
    assert refusal_of(head_of(line="GET http://a:80/ HTTP/1.1")).status_code == 400
    assert verdict(line="GET http://b/ HTTP/1.0", host=None).target == "/"


def test_connect_is_501_since_it_is_for_proxies() -> None:
    assert refusal_of(head_of(line="CONNECT a:443 HTTP/1.1")).status_code == 501


# Header lines.


@pytest.mark.parametrize(
    "line",
    [
        "nothing",
        ": a",
        "A : b",
        "A\t: b",
        "A b: c",
        "A(: b",
        "\xe4: b",
        "A\0: b",
        "A: b\x01",
        "A: b\0c",
        "A: \x7f",
        "A: \x0b",
        "X-Abc: \rxTransfer-Encoding: chunked",
        "A: b\r",
        "A: b\nC: d",
        "A: b\rC: d",
    ],
)
def test_a_malformed_header_line_is_400(line: str) -> None:
    assert refusal_of(head_of(line)).status_code == 400
    assert refusal_of(head_of("B: c", line, "D: e")).status_code == 400


@pytest.mark.parametrize("line", [" b", "\tb", " "])
def test_a_folded_header_line_is_400_rfc_9112_5_2(line: str) -> None:
    assert "folded" in refusal_of(head_of("A: b", line)).reason
    assert "folded" in refusal_of(head_of("Transfer-Encoding:", " chunked")).reason
    assert "folded" in refusal_of(head_of(line, host=None)).reason


def test_names_are_read_in_lower_case_and_values_without_outer_blanks() -> None:
    headers = verdict("X-A:b", "X-B: \t c \t d \t ", "X-C:", "X-C: \t").headers
    assert list(headers.items())[1:] == [("x-a", "b"), ("x-b", "c \t d"), ("x-c", ""), ("x-c", "")]


def test_bytes_beyond_ascii_may_stand_in_a_value_rfc_9110_5_5() -> None:
    assert verdict("A: \xff\x80").headers.get("a") == "\xff\x80"


def test_100_headers_are_taken_and_more_are_431() -> None:
    assert len(verdict(*["A: b"] * 99).headers) == 100
    assert refusal_of(head_of(*["A: b"] * 100)).status_code == 431


def test_3000_headers_in_16_kib_are_431() -> None:
    raw = head_of(*["a:"] * 3_000)
    assert len(raw) < 16_384
    assert refusal_of(raw).status_code == 431


def test_a_value_that_is_refused_is_not_repeated_since_it_may_be_secret() -> None:
    for line in ("Authorization: Bearer geheim\x01", "Authorization : geheim", " geheim"):
        assert "geheim" not in refusal_of(head_of("A: b", line)).reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Authorization: a\x01", "expected no control characters in the header 'Authorization'"),
        ("X Y: a\x01", """expected a header "Name: value", got the name 'X Y'"""),
        ("nothing", """expected a header "Name: value", got the name 'nothing'"""),
        ("(" * 60, f"""expected a header "Name: value", got the name '{"(" * 60}'"""),
        ("(" * 61, f"""expected a header "Name: value", got the name '{"(" * 60}'..."""),
    ],
)
def test_a_refusal_names_the_line_that_is_wrong(line: str, reason: str) -> None:
    assert refusal_of(head_of("A: b", line)).reason == reason
    assert "'GET nothing'" in refusal_of(head_of(line, line="GET nothing")).reason


def test_a_head_without_its_end_is_400_and_never_another_exception() -> None:
    assert refusal_of(b"GET / HTTP/1.1\r\nHost: a\r\n").status_code == 400
    assert refusal_of(b"GET / HTTP/1.1").status_code == 400


# Host.


def test_no_host_in_http_1_1_is_400() -> None:
    assert refusal_of(head_of(host=None)).status_code == 400


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_two_hosts_are_400(version: str) -> None:
    assert refusal_of(head_of("host: a", line=f"GET / HTTP/{version}")).status_code == 400


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a/b",
        "a?b",
        "a b",
        "u@a",
        "a#b",
        "a\\b",
        "a:b",
        "a:1:2",
        "[::1",
        "::1",
        "[g]",
        "%4",
        "ä",
    ],
)
def test_a_malformed_host_is_400(host: str) -> None:
    assert refusal_of(head_of(host=f"Host: {host}")).status_code == 400
    raw = head_of(host=f"Host: {host}", line="GET / HTTP/1.0")
    assert refusal_of(raw).status_code == 400


@pytest.mark.parametrize(
    "host", ["a", "A.example:8080", "127.0.0.1", "[::1]:80", "a:", "bot_1", "%41", "xn--4ca.a"]
)
def test_a_host_is_a_name_or_an_address_and_a_port(host: str) -> None:
    assert verdict(host=f"Host: {host}").headers == Headers([("host", host)])


def test_http_1_0_may_leave_the_host_out() -> None:
    assert verdict(line="GET / HTTP/1.0", host=None).http_version == "1.0"


# The body's length.


def test_a_request_without_length_and_coding_has_no_body_rfc_9112_6_3() -> None:
    assert verdict().content_length == 0


@pytest.mark.parametrize(
    ("value", "length"), [("0", 0), ("5", 5), ("0005", 5), ("9" * 19, 10**19 - 1)]
)
def test_a_length_is_one_whole_number(value: str, length: int) -> None:
    assert verdict(f"Content-Length: {value}").content_length == length


@pytest.mark.parametrize(
    "value",
    ["+5", "-1", "1_0", "0x5", "", "5,5", "5, 5", "5 5", "5.0", "a", "9" * 20, "5" * 5_000, "\xb2"],
)
def test_any_other_length_is_400(value: str) -> None:
    assert refusal_of(head_of(f"Content-Length: {value}")).status_code == 400


@pytest.mark.parametrize("second", ["5", "6"])
def test_two_lengths_are_400_whether_or_not_they_differ(second: str) -> None:
    raw = head_of("Content-Length: 5", f"content-length: {second}")
    assert refusal_of(raw).status_code == 400


def test_a_length_together_with_a_coding_is_400() -> None:
    lines = ["Content-Length: 4", "Transfer-Encoding: chunked"]
    assert refusal_of(head_of(*lines)).status_code == 400
    assert refusal_of(head_of(*reversed(lines))).status_code == 400


def test_a_coding_in_http_1_0_is_400() -> None:
    raw = head_of("Transfer-Encoding: chunked", line="POST / HTTP/1.0")
    assert refusal_of(raw).status_code == 400


@pytest.mark.parametrize("value", ["chunked", "Chunked", "CHUNKED  "])
def test_a_chunked_body_has_no_length(value: str) -> None:
    assert verdict(f"Transfer-Encoding: {value}").content_length is None


@pytest.mark.parametrize(
    "value",
    [
        "xchunked",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;a",
        "",
        "\x80",
    ],
)
def test_an_unknown_coding_or_chunked_not_last_or_twice_is_501(value: str) -> None:
    assert refusal_of(head_of(f"Transfer-Encoding: {value}")).status_code == 501


def test_two_lines_with_a_coding_are_501() -> None:
    assert refusal_of(head_of(*["Transfer-Encoding: chunked"] * 2)).status_code == 501


# Connection, Expect, and what is plain.


@pytest.mark.parametrize(
    "value", ["close", "keep-alive, Upgrade", "", " , a,\t,b , ", "notupgrade"]
)
def test_connection_is_a_list_of_tokens_with_empty_elements_passed_over(value: str) -> None:
    assert verdict(f"Connection: {value}", "Connection: x").content_length == 0


@pytest.mark.parametrize("value", ["close keep-alive", "a;b", "\xe4", "close,\xe4", '"close"'])
def test_a_connection_that_is_no_list_of_tokens_is_400(value: str) -> None:
    assert refusal_of(head_of("Connection: a", f"Connection: {value}")).status_code == 400


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_the_expectation_100_continue_can_be_met(value: str) -> None:
    assert verdict(f"Expect: {value}").content_length == 0


@pytest.mark.parametrize("value", ["", "200-ok", "100-continue, more", "100-continue;q=1"])
def test_any_other_expectation_is_417(value: str) -> None:
    raw = head_of("Expect: 100-continue", f"Expect: {value}")
    assert refusal_of(raw).status_code == 417


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("Content-Length: 5", True),
        ("X-Self-ID: 1", True),
        ("Content-Type: application/json", True),
        ("Transfer-Encoding: chunked", False),
        ("Connection: keep-alive", True),
        ("Connection: Keep-Alive", True),
        ("Connection: keep-alive, x", False),
        ("Connection: close", False),
        ("Connection: ", False),
        ("Expect: 100-continue", False),
        ("Upgrade: h2c", False),
    ],
)
def test_a_head_is_plain_if_no_field_asks_for_anything_special(line: str, plain: bool) -> None:
    assert verdict(line).plain is plain


def test_a_head_of_http_1_0_is_never_plain() -> None:
    assert not verdict(line="GET / HTTP/1.0").plain


# Short cuts to the verdict.


def recognised(*lines: str, line: str = "GET / HTTP/1.1", limits: HeadLimits = LIMITS) -> Any:
    return recognise(head_of(*lines, line=line)[:-4], limits)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Content-Length: 5",),
        ("content-length:007 \t", "Content-Type: application/json", "X-Self-ID: 1"),
        ("Content-Length: " + "9" * 19,),
        ("CONNECTION: Keep-Alive\t", "A:", "B: \t", "C:\xff \t d\t"),
        ("Cookie: a=b; c=d", "X-A:" + "a" * 3_000),
        ("Upgrade-Insecure-Requests: 1", "Connections: close", "TE: trailers", "Expected: 200"),
    ],
)
@pytest.mark.parametrize(
    "line",
    ["GET / HTTP/1.1", "POST /a?b=%20&c=/ HTTP/1.1", "M-SEARCH //a HTTP/1.1", "HEAD /? HTTP/1.1"],
)
def test_a_plain_head_is_recognised_as_what_it_is_found_to_be(
    line: str, lines: tuple[str, ...]
) -> None:
    head = recognised(*lines, line=line)
    assert head == verdict(*lines, line=line)
    assert type(head.content_length) is int
    assert head.plain


@pytest.mark.parametrize(
    "field",
    [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding:",
        "Expect: 100-continue",
        "Upgrade: websocket",
        "upgrade: h2c",
        "Connection: close",
        "Connection: Upgrade",
        "Connection: keep-alive, x",
        "Connection:",
        "Host: a",
        "host: b",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5,5",
        "Content-Length: 5 5",
        "Content-Length: 1_0",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: \xb2",
        "Content-Length:",
        "Content-Length: " + "9" * 20,
        "A : b",
        "A: b\x00",
        "A: b\x7f",
        "A: b\rC: d",
        "A: b\nC: d",
        " folded",
        ": nameless",
        "nothing",
        "",
        "\xe4: b",
        "X-A:" + "a" * 5_000,
    ],
)
def test_a_head_that_is_not_plain_or_long_or_wrong_is_left_to_be_checked(field: str) -> None:
    assert recognised("A: b") is not None
    assert recognised("A: b", field) is None
    assert recognised(field, "A: b") is None


@pytest.mark.parametrize("name", ["Content-Length", "X-A", "Cookie", "Connection"])
def test_a_head_in_which_a_name_repeats_is_left_to_be_checked(name: str) -> None:
    value = "keep-alive" if name == "Connection" else "5"
    assert recognised(f"{name}: {value}") is not None
    assert recognised(f"{name}: {value}", f"{name.lower()}: {value}") is None


@pytest.mark.parametrize("host", ["Host: a/b", "Host:", "Host: a@b", "Host: [::1", None])
def test_a_head_without_a_host_that_is_one_is_left_to_be_checked(host: str | None) -> None:
    assert recognise(head_of(host=host)[:-4], LIMITS) is None
    assert recognise(head_of("A: b", host=host)[:-4], LIMITS) is None


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT /a HTTP/1.1",
        "GET http://a/ HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET / HTTP/1.0",
        "GET / HTTP/1.2",
        "GET / HTTP/2.1",
        "GET /  HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "",
    ],
)
def test_a_request_line_with_anything_uncommon_is_left_to_be_checked(line: str) -> None:
    assert recognised(line=line) is None


def test_limits_are_kept_by_what_is_recognised() -> None:
    """Where `check` or the cutter would refuse, nothing is recognised, however well it is known."""
    of_5, of_6 = ["A: b", "B: c", "C: d", "D: e"], ["A: b", "B: c", "C: d", "D: e", "E: f"]
    at_limit, beyond = f"GET /{'x' * 99} HTTP/1.1", f"GET /{'x' * 100} HTTP/1.1"
    for _ in range(2):
        assert recognised(*of_5, limits=SMALL) is not None
        assert recognised(*of_6) is not None
        assert recognised(*of_6, limits=SMALL) is None
        assert recognised(line=at_limit, limits=SMALL) is not None
        assert recognised(line=beyond) is not None
        assert recognised(line=beyond, limits=SMALL) is None


def test_a_line_that_the_cutter_refuses_is_not_recognised() -> None:
    """A target within its limit, behind a method that is longer than any."""
    method = "M" * (64 - len(" ") - len(" HTTP/1.1\r\n"))
    taken = head_of(line=f"{method} /{'x' * 99} HTTP/1.1")
    refused = head_of(line=f"{method}M /{'x' * 99} HTTP/1.1")
    assert cut_all([taken, refused], SMALL) == [taken, 414]
    assert recognise(taken[:-4], SMALL) == check(taken, SMALL)
    assert recognise(refused[:-4], SMALL) is None


def test_few_lines_are_remembered_and_none_that_is_long() -> None:
    """Some megabytes at the most, for all connections, whatever they send."""
    for number in range(3_000):
        recognised(f"X-{number}: a", line=f"GET /{number} HTTP/1.1")
    for memory in (_plain_request, _plain_field):
        information = memory.cache_info()
        assert information.currsize == information.maxsize == 1_024
    before = [memory.cache_info() for memory in (_plain_request, _plain_field)]
    assert recognised("X-A: " + "a" * 4_096) is None
    assert recognised(line=f"GET /{'a' * 4_096} HTTP/1.1") is None
    assert [memory.cache_info() for memory in (_plain_request, _plain_field)] == before


def test_heads_that_are_recognised_have_headers_of_their_own() -> None:
    first, second = recognised("A: b"), recognised("A: b")
    assert first == second
    assert first.headers is not second.headers
    assert first.headers.joined() is not first.headers.joined()


# A head that is known from the one before.


def familiar_of(*lines: str) -> Familiar:
    raw = head_of(*lines)
    head = recognise(raw[:-4], LIMITS)
    assert head is not None
    familiar = Familiar.of(raw, head)
    assert familiar is not None
    return familiar


@pytest.mark.parametrize("digits", ["5", "6", "05", "0", "00", "9" * 19, "0" * 18 + "5"])
@pytest.mark.parametrize(("before", "after"), [((), ()), (("A: b",), ("C:",))])
def test_a_head_that_differs_in_its_length_alone_is_known_from_the_one_before(
    before: tuple[str, ...], after: tuple[str, ...], digits: str
) -> None:
    lines = (*before, f"content-LENGTH:\t{digits}", *after)
    raw = head_of(*lines)
    familiar = familiar_of(*before, "content-LENGTH:\t5", *after)
    for follows in (b"", b"what follows", b"\r\n", b"5"):
        assert familiar.match(raw + follows) == (verdict(*lines), len(raw))
        assert recognise(raw[:-4], LIMITS) == verdict(*lines)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "+5",
        "-5",
        "5 ",
        " 5",
        "5\t",
        "5,5",
        "0x5",
        "5a",
        "5\r",
        "5\n",
        "5\r\nA: b",
        "9" * 20,
    ],
)
def test_a_length_that_is_refused_or_otherwise_written_is_not_known(value: str) -> None:
    familiar = familiar_of("Content-Length: 5", "A: b")
    for before in ([], ["X: y"]):
        raw = head_of(*before, f"Content-Length: {value}", "A: b")
        assert familiar.match(raw) is None
        assert familiar.match(raw[:-1] + b"5" * 30) is None


def test_nothing_but_the_digits_may_differ_or_be_missing() -> None:
    raw = head_of("Content-Length: 5", "A: b")
    familiar = familiar_of("Content-Length: 5", "A: b")
    assert familiar.match(raw) is not None
    for place in range(len(raw)):
        assert familiar.match(raw[:place]) is None
        assert familiar.match(raw[:place] + raw[place + 1 :]) is None
        changed = raw[:place] + bytes([raw[place] ^ 0x20]) + raw[place + 1 :]
        assert familiar.match(changed) is None
        if place not in (raw.index(b"5"), len(raw) - 1):
            doubled = raw[: place + 1] + raw[place:]
            assert familiar.match(doubled) is None
    assert familiar.match(head_of("Content-Length: 5", "A: b", "C: d")) is None
    assert familiar.match(head_of("Content-Length: 5", "Content-Length: 5", "A: b")) is None
    assert familiar.match(head_of("Content-Length: 5", "A: b", "Content-Length: 5")) is None
    assert familiar.match(b"\r\n" + raw) is None


def test_a_head_without_a_length_makes_none_familiar() -> None:
    raw = head_of("X-Content-Length: 5", "A: Content-Length: 5")
    head = recognise(raw[:-4], LIMITS)
    assert head is not None
    assert Familiar.of(raw, head) is None


def test_the_headers_of_the_head_before_stay_what_they_were() -> None:
    familiar = familiar_of("Content-Length: 5")
    first = familiar.match(head_of("Content-Length: 5"))
    other = familiar.match(head_of("Content-Length: 66"))
    assert first is not None
    assert other is not None
    assert first[0].headers.get("content-length") == "5"
    assert other[0].headers.get("content-length") == "66"
    assert familiar.match(head_of("Content-Length: 5")) == first


# h11, the other judge.

WORDS = """
    GET POST HEAD OPTIONS CONNECT G(T / * /a?b=%41 //a /# /\\ http://a/b http://b/ https://a
    HTTP/1.1 HTTP/1.0 HTTP/1.9 HTTP/2.0 http/1.1 a a:80 a@b a/b [::1] Host X-A Content-Type
    Content-Length 0 5 05 +5 5,5 1_0 99999999999999999999 Transfer-Encoding chunked Chunked xchunked
    gzip,chunked Connection close keep-alive Expect 100-continue 100-Continue Upgrade websocket h2c
""".split()
PARTS = st.sampled_from([*WORDS, "", "\0", "\x01", "\x7f", "\x80\xff", "\x0b"])
BLANKS = st.sampled_from(["", " ", "  ", "\t", " \t "])
LINE_ENDS = st.sampled_from(["\r\n"] * 15 + ["\n", "\r", "\r\n ", "\r\n\t", "\r\r\n", ""])
COMMON = st.sampled_from(
    ["Host: a", "Content-Length: 5", "Transfer-Encoding: chunked", "Connection: close", "X-A: b"]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Heads of which many are right, and whose mistakes are those that have been made before."""
    method, target, version = (
        draw(st.sampled_from([usual] * 4) | PARTS) for usual in ("POST", "/a?b", "HTTP/1.1")
    )
    text = f"{method} {target} {version}{draw(LINE_ENDS)}"
    text += draw(st.sampled_from(["Host: a\r\n"] * 6 + ["", "Host: a\r\nHost: a\r\n"]))
    for _ in range(draw(st.integers(0, 4))):
        noise = draw(PARTS) + draw(BLANKS) * draw(st.booleans()) + ":" + draw(BLANKS) + draw(PARTS)
        text += draw(COMMON | st.just(noise)) + draw(BLANKS) + draw(LINE_ENDS)
    return f"{text}\r\n".encode("latin-1")


DIGITS = st.from_regex(rb"[0-9]{1,21}", fullmatch=True)


@st.composite
def plain_heads(draw: st.DrawFn) -> bytes:
    """Heads as clients send them, of which nearly all are plain."""
    method, target = (draw(st.sampled_from(each)) for each in (["GET", "POST"], ["/", "/a?b"]))
    lines = ["Host: a:80", "Content-Type: application/json", "Connection: keep-alive", "A:"]
    lines += [
        draw(st.sampled_from(["Content-Length", "content-length"])) + f": {draw(DIGITS).decode()}"
    ]
    lines += [
        draw(st.sampled_from(["X-A: b", "User-Agent: a/1 (b)", "A: b", "Expect: 100-continue"]))
    ]
    chosen = draw(st.permutations(lines))[: draw(st.integers(2, len(lines)))]
    return head_of(*chosen, line=f"{method} {target} HTTP/1.1", host=None)


PLAIN = plain_heads()


@given(heads() | PLAIN | st.binary(max_size=200).map(lambda raw: raw + b"\r\n\r\n"))
@example(head_of("Content-Length: 5"))
@example(head_of("Transfer-Encoding: chunked", line="POST /a HTTP/1.1"))
@example(head_of("A: b" * 4_000))
def test_a_head_that_is_accepted_is_accepted_by_h11_with_the_same_meaning(raw: bytes) -> None:
    """What `check` lets pass, h11 reads: same method, target, version, fields, and end of the body.

    So what h11 refuses, `check` has refused. The target is compared where it came in origin form.
    """
    try:
        ours = check(raw, LIMITS)
    except HTTPError as error:
        assert_readable(error)
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    theirs = connection.next_event()
    assert isinstance(theirs, h11.Request)
    assert theirs.method.decode() == ours.method
    assert not theirs.target.startswith((b"/", b"*")) or theirs.target.decode() == ours.target
    assert min(theirs.http_version, b"1.1").decode() == ours.http_version
    # h11 gives a coding in lower case.
    lowered = [(n, v.lower() if n == "transfer-encoding" else v) for n, v in ours.headers.items()]
    assert Headers.from_bytes(theirs.headers) == Headers(lowered)
    follows = connection.next_event()
    assert isinstance(follows, h11.EndOfMessage) == (ours.content_length == 0)
    if ours.plain:
        assert not connection.they_are_waiting_for_100_continue
        assert connection.their_state in (h11.SEND_BODY, h11.DONE)
    if ours.content_length is None:
        connection.receive_data(b"3\r\nabc\r\n0\r\n\r\n")
        data = connection.next_event()
        assert isinstance(data, h11.Data)
        assert data.data == b"abc"
        assert isinstance(connection.next_event(), h11.EndOfMessage)


@given(
    st.lists(heads(), max_size=3).map(b"\r\n".join) | st.binary(max_size=300),
    st.lists(st.integers(0, 300), max_size=4),
)
@example(head_of() * 2, [5])
def test_the_cutter_gives_the_same_heads_wherever_the_bytes_are_cut(
    data: bytes, cuts: list[int]
) -> None:
    """For any bytes: the same heads come out whole or in pieces, and nothing but an HTTPError.

    Where a bare LF stands in a head, the pieces may show it before the head is complete.
    """
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    whole, pieces = cut_all([data]), cut_all([data[a:b] for a, b in pairwise(edges)])
    if re.search(rb"(?<!\r)\n", data):
        assert pieces in (whole, [*whole[: len(pieces) - 1], 400])
    else:
        assert pieces == whole


@given(
    heads() | PLAIN,
    st.sampled_from([LIMITS, SMALL, HeadLimits(max_head=60, max_target=10, max_headers=2)]),
)
@example(head_of("Content-Length: 5"), LIMITS)
@example(head_of(line=f"{'M' * 60} /{'x' * 99} HTTP/1.1"), SMALL)
def test_what_is_recognised_is_what_the_cutter_and_the_check_say_of_it(
    raw: bytes, limits: HeadLimits
) -> None:
    """For any head and any limits: the very same verdict, which is that it is plain, or none.

    `max_head` is for who calls to keep, as in `read_whole`.
    """
    end = raw.find(b"\r\n\r\n")
    found = recognise(raw[:end], limits)
    if found is None:
        return
    raw = raw[: end + 4]
    assert cut_all([raw], replace(limits, max_head=LIMITS.max_head)) == [raw]
    assert found == check(raw, limits)
    assert found.plain


@given(heads() | PLAIN, st.binary(max_size=3) | DIGITS, st.binary(max_size=30))
@example(head_of("Content-Length: 5"), b"005", b"")
@example(head_of("Content-Length: 5 "), b"0", b"")
def test_a_familiar_head_is_what_the_check_says_of_it(
    raw: bytes, digits: bytes, follows: bytes
) -> None:
    """For any other digits, or what is none, in the place of its own."""
    end = raw.find(b"\r\n\r\n") + 4
    head = recognise(raw[: end - 4], LIMITS)
    familiar = head and Familiar.of(raw[:end], head)
    if not familiar:
        return
    assert head is not None
    own = head.headers.get("content-length", "").encode()
    before, line, after = re.split(rb"(?i)(\r\ncontent-length:[ \t]*)" + own, raw[:end], maxsplit=1)
    other = before + line + digits + after
    found = familiar.match(other + follows)
    if found is None:
        # Nothing is lost by asking `check`, as of a length with a blank behind it.
        assert not re.fullmatch(rb"[0-9]{1,19}", digits) or after[:1] in (b" ", b"\t")
        return
    assert found == (check(other, LIMITS), len(other))
