"""Headers, requests and responses, and how an error becomes an answer."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from http import HTTPStatus
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.errors import HTTPError, RequestDenied
from nbdriver.model import Headers, Request, RequestHeaders, Response, refusal

TEXT = ("content-type", "text/plain; charset=utf-8")
#: What has no type, so that a type checker lets pass what it should not.
NONE: Any = None
TEXT_403: Any = "403"


# Headers.


def test_names_are_case_insensitive_and_values_are_kept_in_their_order() -> None:
    headers = Headers([("X-A", "1"), ("B", "2"), ("x-a", "3")])
    assert list(headers.items()) == [("x-a", "1"), ("b", "2"), ("x-a", "3")]
    assert headers.get_all("X-a") == ["1", "3"]
    assert "x-A" in headers
    assert "c" not in headers
    assert len(headers) == 3


def test_values_of_a_repeated_field_are_joined_by_a_comma_rfc_9110_5_3() -> None:
    headers = Headers([("A", "1"), ("a", "2")])
    assert headers.get("A") == "1, 2"
    assert headers.get("B") is None
    assert headers.get("B", "none") == "none"
    assert headers.get_all("B") == []


def test_each_byte_of_a_value_is_one_character() -> None:
    assert list(Headers.from_bytes([(b"A", b"\xe4\xff")]).items()) == [("a", "\xe4\xff")]


def test_headers_of_names_that_do_not_repeat_are_what_a_dict_says() -> None:
    headers = Headers.from_unique({"x-a": "1", "b": "2"})
    assert headers == Headers([("X-A", "1"), ("B", "2")])
    assert list(headers.items()) == [("x-a", "1"), ("b", "2")]
    assert (headers.get("X-A"), headers.get_all("B"), headers.get_all("c")) == ("1", ["2"], [])
    assert "x-A" in headers
    assert len(headers) == 2
    assert not headers.repeats("x-a")
    assert repr(headers) == "Headers([('x-a', '1'), ('b', '2')])"


def test_a_field_repeats_if_it_has_more_than_one_line() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "1")])
    assert [headers.repeats(name) for name in ("a", "A", "b", "c")] == [True, True, False, False]
    assert len(headers) == 3
    assert not Headers([("A", "1")]).repeats("a")


@pytest.mark.parametrize(
    ("lines", "joined"),
    [
        ([], {}),
        ([("A", "1"), ("B", "")], {"a": "1", "b": ""}),
        ([("A", "1"), ("B", "2"), ("a", "3")], {"a": "1, 3", "b": "2"}),
        ([("Cookie", "a=1"), ("cookie", "b=2"), ("A", "")], {"cookie": "a=1; b=2", "a": ""}),
        ([("A", ""), ("A", "")], {"a": ", "}),
    ],
)
def test_all_fields_are_joined_into_a_new_dict(
    lines: list[tuple[str, str]], joined: dict[str, str]
) -> None:
    headers = Headers(lines)
    assert headers.joined() == joined
    assert list(headers.joined()) == list(joined)
    headers.joined()["a"] = "changed"
    assert headers.joined() == joined


HEADER_LINES = st.lists(st.tuples(st.sampled_from(["A", "a", "B", "Cookie"]), st.text(max_size=2)))


@given(HEADER_LINES)
def test_headers_say_of_any_lines_what_a_list_of_them_says(lines: list[tuple[str, str]]) -> None:
    headers = Headers(lines)
    lowered = [(name.lower(), value) for name, value in lines]
    assert list(headers.items()) == lowered
    assert len(headers) == len(lines)
    for name in ("A", "b", "cookie", "c"):
        values = [value for key, value in lowered if key == name.lower()]
        assert headers.get_all(name) == values
        assert headers.get(name) == (", ".join(values) if values else None)
        assert headers.repeats(name) is (len(values) > 1)
        assert (name in headers) is bool(values)
    assert (headers == Headers(dict(lowered).items())) is (len(dict(lowered)) == len(lines))


def test_headers_are_equal_by_their_lines() -> None:
    assert Headers([("A", "1")]) == Headers([("a", "1")])
    assert Headers([("A", "1")]) != Headers([("A", "2")])
    assert Headers() != []
    assert repr(Headers([("A", "1")])) == "Headers([('a', '1')])"


# Request.


def test_a_target_falls_into_path_and_query() -> None:
    request = Request("GET", "/a%20b?c=d?e")
    assert (request.path, request.query_string) == ("/a%20b", "c=d?e")
    assert (Request("GET", "/").path, Request("GET", "/").query_string) == ("/", "")


def test_a_parameter_of_the_query_is_decoded_and_the_first_of_its_name() -> None:
    request = Request("GET", "/?a=%E4%BD%A0+b&a=2&c=&d")
    assert request.query("a") == "你 b"
    assert request.query("c") == ""
    assert request.query("d") == ""
    assert request.query("e") is None


def test_a_request_is_named_without_its_query_and_in_printable_ascii() -> None:
    assert str(Request("GET", "/a?access_token=secret")) == "GET /a"
    assert str(Request("GET", "/\x1b[31m\n你")) == "GET /\\x1b[31m\\n\\u4f60"


def test_what_an_adapter_gets_is_a_dict_with_lower_case_keys_and_the_request_behind_it() -> None:
    request = Request("GET", "/", Headers([("X-Self-ID", "1"), ("A", "2"), ("a", "3")]))
    headers = RequestHeaders(request)
    assert headers == {"x-self-id": "1", "a": "2, 3"}
    assert headers.request is request


def test_cookies_are_joined_by_a_semicolon_rfc_9113_8_2_3() -> None:
    headers = Headers([("Cookie", "a=1"), ("cookie", "b=2")])
    assert RequestHeaders(Request("GET", "/", headers))["cookie"] == "a=1; b=2"


# Response.


def test_text_is_sent_as_utf_8_and_bytes_as_they_are() -> None:
    assert Response(200, "你").body == "你".encode()
    assert Response(200, b"\xff").body == b"\xff"
    assert Response().body == b""


@pytest.mark.parametrize("body", [None, 5, bytearray(b"a"), {"a": 1}])
def test_a_body_of_another_type_is_a_type_error(body: Any) -> None:
    with pytest.raises(TypeError, match="expected bytes or str"):
        Response(200, body)


def test_text_that_utf_8_cannot_carry_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        Response(200, "\ud800")


@pytest.mark.parametrize("status_code", [0, 100, 101, 199, 1000, -200])
def test_a_status_that_is_not_final_is_a_value_error(status_code: int) -> None:
    with pytest.raises(ValueError, match="final response"):
        Response(status_code)


@pytest.mark.parametrize("status_code", [200.0, "200", None, b"200"])
def test_a_status_that_is_no_whole_number_is_a_value_error(status_code: Any) -> None:
    with pytest.raises(ValueError, match="final response"):
        Response(status_code)


def test_a_status_may_be_one_of_the_standard_library() -> None:
    assert Response(HTTPStatus.ACCEPTED).reason == "Accepted"


@pytest.mark.parametrize(
    ("status_code", "reason"), [(200, "OK"), (404, "Not Found"), (418, "I'm a Teapot"), (599, "")]
)
def test_the_reason_is_the_standard_one_if_none_is_given(status_code: int, reason: str) -> None:
    assert Response(status_code).reason == reason
    assert Response(status_code, reason="").reason == reason
    assert repr(Response(status_code)) == f"<Response {status_code} {reason}>"


@pytest.mark.parametrize("reason", ["a\r\nX: y", "令牌错误", "\x1b[31m", "a\tb", "\x7f", "x" * 201])
def test_a_reason_that_cannot_stand_on_a_status_line_is_left_out_of_it(reason: str) -> None:
    assert Response(403, reason=reason).reason == "Forbidden"


def test_a_printable_reason_stands_on_the_status_line() -> None:
    assert Response(403, reason="wrong token ~").reason == "wrong token ~"


@pytest.mark.parametrize(
    "value",
    ["a\r\nX: y", "a\nb", "a\rb", "a\0", "\x1b", "\x7f", " a", "a ", "\ta", "你", "\ud800", "a\n"],
)
def test_a_header_value_that_cannot_stand_on_the_wire_is_a_value_error_cve_2020_7695(
    value: str,
) -> None:
    with pytest.raises(ValueError, match="value for X-A"):
        Response(200, headers=[("X-A", value)])


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä", "a\n", "\0"])
def test_a_header_name_that_is_no_token_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="header name"):
        Response(200, headers=[(name, "b")])


def test_headers_are_kept_in_their_order_and_may_repeat() -> None:
    items = [("Set-Cookie", "a=1"), ("X", ""), ("Set-Cookie", "b \t \xff")]
    assert Response(200, headers=iter(items)).headers == tuple(items)


@pytest.mark.parametrize("name", ["status_code", "body", "headers", "reason"])
def test_a_response_does_not_change_once_it_is_made(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(Response(), name, "a\r\nX: y")


NASTY = st.text("ab:- \t\r\n\0\x1b\x7f\x85\xff你", max_size=5)


@given(NASTY, NASTY, st.none() | NASTY)
def test_a_response_that_can_be_made_can_be_sent(name: str, value: str, reason: str | None) -> None:
    """For any header and reason: a ValueError, or something that h11 takes and reads the same."""
    try:
        response = Response(200, b"", [(name, value)], reason)
    except ValueError:
        return
    server, client = h11.Connection(h11.SERVER), h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    headers = [(name.encode(), value.encode("latin-1")) for name, value in response.headers]
    event = h11.Response(
        status_code=200,
        headers=[*headers, (b"Content-Length", b"0")],
        reason=response.reason.encode(),
    )
    data = server.send(event)
    assert data.count(b"\r") == data.count(b"\n") == 4  # a line each for the status and two headers
    client.receive_data(data)
    read = client.next_event()
    assert isinstance(read, h11.Response)
    assert read.reason.strip() == event.reason.strip()
    assert read.headers[0] == (name.lower().encode(), value.encode("latin-1"))


# The answer to an error.


def test_an_http_error_tells_status_reason_and_headers() -> None:
    answer = refusal(HTTPError(405, "expected POST, got GET", [("Allow", "POST")]))
    assert (answer.status_code, answer.reason) == (405, "expected POST, got GET")
    assert answer.body == b"expected POST, got GET\n"
    assert answer.headers == (TEXT, ("Allow", "POST"))


def test_a_reason_beyond_ascii_stands_in_the_body_alone() -> None:
    answer = refusal(RequestDenied(403, "令牌错误"))
    assert (answer.status_code, answer.reason) == (403, "Forbidden")
    assert answer.body.decode() == "令牌错误\n"


def test_a_reason_with_cr_lf_becomes_one_clean_line_cve_2025_67724() -> None:
    answer = refusal(RequestDenied(403, "a\r\nX: y\x1b[31m\x85\u2028b"))
    assert (answer.reason, answer.body) == ("a X: y [31m b", b"a X: y [31m b\n")


@pytest.mark.parametrize("reason", ["", " ", "\r\n"])
def test_an_empty_reason_is_told_as_the_standard_one(reason: str) -> None:
    answer = refusal(RequestDenied(404, reason))
    assert (answer.reason, answer.body) == ("Not Found", b"Not Found\n")


def test_a_reason_that_is_no_text_is_told_as_text() -> None:
    assert refusal(RequestDenied(403, NONE)).body == b"None\n"


def test_a_reason_that_utf_8_cannot_carry_is_told_as_far_as_it_can() -> None:
    assert refusal(RequestDenied(403, "a\ud800b")).body == b"a?b\n"


@pytest.mark.parametrize("status_code", [400, 599])
def test_every_status_from_400_to_599_refuses(status_code: int) -> None:
    assert refusal(RequestDenied(status_code, "no")).status_code == status_code


def test_a_status_of_the_standard_library_is_a_status() -> None:
    assert refusal(RequestDenied(HTTPStatus.FORBIDDEN, "no")).status_code == 403


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        KeyboardInterrupt("secret"),
        RequestDenied(200, "secret"),
        RequestDenied(399, "secret"),
        RequestDenied(600, "secret"),
        RequestDenied(TEXT_403, "secret"),
        RequestDenied(NONE, "secret"),
        HTTPError(403, "secret", [("A", "b\r\nX: y")]),
        HTTPError(403, "secret", [("A", NONE)]),
        HTTPError(403, "secret", [TEXT_403]),
    ],
)
def test_any_other_error_is_a_500_that_tells_nothing_of_what_is_inside(error: Exception) -> None:
    answer = refusal(error)
    assert (answer.status_code, answer.reason) == (500, "Internal Server Error")
    assert answer.body == b"Internal Server Error\n"
    assert answer.headers == (TEXT,)
