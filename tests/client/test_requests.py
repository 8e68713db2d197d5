"""What a server is asked, and what of it the next server is not told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nbdriver.client.content import content_of
from nbdriver.client.cookies import new_jar, take
from nbdriver.client.requests import Prepared, prepare
from nbdriver.client.settings import ClientSettings
from nbdriver.client.urls import URL
from nbdriver.errors import InvalidResponse, InvalidURL, NetworkError
from nbdriver.model import Headers

HERE = "http://a.example/path?x=1"


def prepared(
    url: str = HERE, method: str = "GET", settings: dict[str, Any] | None = None, **given: Any
) -> Prepared:
    settings = {"user_agent": None, **(settings or {})}
    return prepare(ClientSettings(**settings), method, url, **given)


def fields(**given: Any) -> list[tuple[str, str]]:
    return prepared(**given).fields(None)


def framing(**given: Any) -> list[tuple[str, str]]:
    """What a request says of its body."""
    usual = ("accept", "accept-encoding", "host")
    sent = prepared(**given).fields_with_body(None)
    return [(name.lower(), value) for name, value in sent if name.lower() not in usual]


# Headers.


def test_a_request_says_where_it_goes_who_sends_it_and_what_it_takes() -> None:
    assert prepare(ClientSettings(), "GET", HERE).fields_with_body(None) == [
        ("Host", "a.example"),
        ("User-Agent", "nbdriver/0.1.0"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, deflate"),
    ]


@pytest.mark.parametrize("given", [dict, list, Headers, iter])
def test_headers_may_be_a_mapping_or_pairs(given: Any) -> None:
    pairs = [("a", "1"), ("b", "2")]
    assert fields(headers=given(pairs))[1:] == pairs


def test_a_name_may_have_several_lines() -> None:
    assert fields(headers=[("A", "1"), ("a", "2")])[1:] == [("A", "1"), ("a", "2")]


@pytest.mark.parametrize(
    "name", ["User-Agent", "Accept", "Accept-Encoding", "Content-Type", "Cookie", "Authorization"]
)
@pytest.mark.parametrize("source", ["request", "settings"])
def test_what_the_caller_says_counts_more_than_what_is_usual(name: str, source: str) -> None:
    headers = {name.lower(): "mine"}
    request = prepared(
        method="POST",
        settings={
            "user_agent": "usual",
            "auth": ("a", "b"),
            **({"headers": headers} if source == "settings" else {}),
        },
        headers=headers if source == "request" else None,
        cookies={"a": "b"},
        content=content_of(json={}),
    )
    sent = request.fields_with_body(None)
    assert [value for each, value in sent if each.lower() == name.lower()] == ["mine"]


def test_headers_of_the_settings_give_way_to_those_of_the_request() -> None:
    settings = {"headers": {"A": "default", "B": "default"}}
    sent = fields(settings=settings, headers={"a": "mine"})
    assert sent[1:] == [("B", "default"), ("a", "mine")]


@pytest.mark.parametrize("source", ["request", "settings"])
def test_a_host_that_is_given_stands_first_and_alone(source: str) -> None:
    headers = {"A": "b", "host": "other.example"}
    given: dict[str, Any] = {"headers": headers}
    sent = fields(**(given if source == "request" else {"settings": given}))
    assert sent == [("host", "other.example"), ("A", "b")]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([("Host", "a"), ("host", "b")], "one Host header"),
        ([("Proxy-Authorization", "Basic eDp5")], "credentials for a proxy in its URL"),
        ([("Transfer-Encoding", "gzip, chunked")], "no Transfer-Encoding but chunked"),
        ([("A", "b\r\nC: d")], "a value for A"),
        ([("A\r\n", "b")], "a header name"),
        ([("A", "世")], "a value for A"),
    ],
)
def test_what_must_not_be_sent_is_refused(headers: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(ValueError, match=f"^expected {said}"):
        fields(headers=headers)


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ("Bearer hunter2\n", r"'\n' at position 14"),
        (" Bearer hunter2", "' ' at position 0"),
        ("Bearer hunter2\t", r"'\t' at position 14"),
        ("Bearer 世hunter2", "'世' at position 7"),
    ],
)
def test_what_is_wrong_with_a_header_is_told_without_its_secret(value: str, came: str) -> None:
    with pytest.raises(ValueError, match=f", got {re.escape(came)}$"):
        fields(headers={"Authorization": value})


def test_a_proxys_credentials_are_no_default_either() -> None:
    with pytest.raises(ValueError, match="in its URL"):
        fields(settings={"headers": {"Proxy-Authorization": "Basic eDp5"}})


# Method and URL.


def test_methods_are_written_in_capitals_and_connect_is_none() -> None:
    assert prepared(method="get").method == "GET"
    with pytest.raises(ValueError, match="CONNECT is one for proxies"):
        prepared(method="connect")


def test_params_are_those_of_the_url_of_the_request_and_of_the_settings() -> None:
    request = prepared(params={"y": 2}, settings={"params": {"x": "9", "z": "3"}})
    assert request.url.target == "/path?x=1&y=2&z=3"


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(InvalidURL):
        prepared("nowhere")


# Who it is from.


@pytest.mark.parametrize(
    ("url", "auth", "default", "sent"),
    [
        ("http://a/", None, None, None),
        ("http://u:p@a/", None, None, "Basic dTpw"),
        ("http://u:p@a/", ("n", "w"), None, "Basic bjp3"),
        ("http://u:p@a/", None, ("d", "e"), "Basic dTpw"),
        ("http://a/", None, ("d", "e"), "Basic ZDpl"),
        ("http://a/", ("n", "w"), ("d", "e"), "Basic bjp3"),
    ],
)
def test_credentials_are_those_of_the_request_of_the_url_or_of_the_settings(
    url: str, auth: Any, default: Any, sent: str | None
) -> None:
    request = prepared(url, auth=auth, settings={"auth": default})
    assert Headers(request.fields(None)).get("authorization") == sent


def test_cookies_are_those_of_the_jar_and_of_the_request() -> None:
    jar = new_jar()
    take(jar, URL.parse(HERE), Headers([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    request = prepared(cookies={"b": "3"})
    assert Headers(request.fields(jar)).get("cookie") == "a=1; b=3"


# How the body is framed.


async def pieces() -> AsyncIterator[bytes]:
    yield b"body"


@pytest.mark.parametrize(
    ("method", "content", "headers", "sent"),
    [
        ("GET", None, {}, []),
        ("DELETE", None, {}, []),
        ("POST", None, {}, [("content-length", "0")]),
        ("PUT", None, {}, [("content-length", "0")]),
        ("GET", b"", {}, [("content-length", "0")]),
        ("GET", b"body", {}, [("content-length", "4")]),
        ("POST", b"body", {"Content-Length": "4"}, [("content-length", "4")]),
        ("POST", b"body", {"Content-Length": "004"}, [("content-length", "4")]),
        ("POST", b"body", {"Transfer-Encoding": "chunked"}, [("content-length", "4")]),
        ("POST", None, {"Content-Length": "0"}, [("content-length", "0")]),
        ("POST", pieces, {}, [("transfer-encoding", "chunked")]),
        ("POST", pieces, {"content-length": "4"}, [("content-length", "4")]),
    ],
)
def test_a_body_has_a_length_where_it_is_known(
    method: str, content: Any, headers: dict[str, str], sent: list[tuple[str, str]]
) -> None:
    body = content_of(content=content() if callable(content) else content)
    assert framing(method=method, content=body, headers=headers) == sent


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"body", [("Content-Length", "5")]),
        (b"body", [("Content-Length", "+4")]),
        (b"body", [("Content-Length", "4"), ("Content-Length", "4")]),
        (None, [("Content-Length", "4")]),
        (pieces, [("Content-Length", "four")]),
        (pieces, [("Content-Length", "²")]),
        (pieces, [("Content-Length", "1" * 20)]),
    ],
)
def test_a_length_that_is_not_that_of_the_body_is_refused(
    content: Any, headers: list[tuple[str, str]]
) -> None:
    body = content_of(content=content() if callable(content) else content)
    with pytest.raises(ValueError, match=r"^expected .* as Content-Length, got .*; leave it out$"):
        framing(method="POST", content=body, headers=headers)


# Sending it again.


@pytest.mark.parametrize(
    ("method", "content", "repeatable"),
    [
        ("GET", None, True),
        ("PUT", b"body", True),
        ("DELETE", None, True),
        ("PUT", pieces, False),
        ("POST", None, False),
        ("PATCH", b"body", False),
        ("X", None, False),
    ],
)
def test_what_may_be_asked_twice_is_repeatable(method: str, content: Any, repeatable: bool) -> None:
    body = content_of(content=content() if callable(content) else content)
    assert prepared(method=method, content=body).repeatable is repeatable


def led(request: Prepared, location: str, status_code: int = 302) -> Prepared:
    following = request.redirected(status_code, Headers([("Location", location)]))
    assert following is not None
    return following


SECRETS: dict[str, Any] = {
    "headers": [("Authorization", "secret"), ("Cookie", "secret=1"), ("X-Plain", "kept")],
    "settings": {"headers": {"X-Token": "secret", "X-Default": "kept"}, "auth": ("name", "secret")},
    "cookies": {"own": "secret"},
}


@pytest.mark.parametrize(
    ("url", "location", "kept"),
    [
        (HERE, "/other", True),
        (HERE, "https://a.example/", True),
        (HERE, "http://b.example/", False),
        (HERE, "http://a.example:8080/", False),
        (HERE, "http://sub.a.example/", False),
        ("https://a.example/", "http://a.example/", False),
    ],
)
def test_a_redirect_to_another_host_or_out_of_tls_takes_nothing_secret_along(
    url: str, location: str, kept: bool
) -> None:
    # CVE-2026-34518
    following = led(prepared(url, **SECRETS), location)
    sent = following.fields(None)
    assert ("secret" in str(sent)) is kept
    assert ("X-Plain", "kept") in sent
    assert ("X-Default", "kept") in sent
    for secret in ({"auth": ("name", "secret")}, {"cookies": {"own": "secret"}}):
        sent = led(prepared(url, **secret), location).fields(None)
        assert len(sent) == (2 if kept else 1)


def test_credentials_in_a_location_are_for_that_place() -> None:
    sent = led(prepared("http://u:p@a/"), "http://n:w@b/").fields(None)
    assert Headers(sent).get("authorization") == "Basic bjp3"
    assert "authorization" not in Headers(led(prepared("http://u:p@a/"), "http://b/").fields(None))
    assert "authorization" in Headers(led(prepared("http://u:p@a/"), "/b").fields(None))


def test_a_redirect_keeps_the_body_or_drops_it_with_what_is_said_of_it() -> None:
    request = prepared(
        method="POST",
        content=content_of(json={"a": 1}),
        headers={"Content-Type": "application/json", "Content-Length": "7"},
    )
    same = led(request, "/b", 307)
    assert (same.method, same.content) == ("POST", request.content)
    other = led(request, "/b", 303)
    assert (other.method, other.content) == ("GET", None)
    assert other.fields_with_body(None) == [
        ("Host", "a.example"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, deflate"),
    ]


def test_with_a_body_goes_what_the_settings_say_of_it() -> None:
    request = prepared(
        method="POST",
        content=content_of(content=b"{}"),
        settings={"headers": {"Content-Type": "application/json", "User-Agent": "me"}},
    )
    for location in ("/b", "http://b/"):
        assert led(request, location, 307).given == request.given
        assert led(request, location, 303).given == (("User-Agent", "me"),)


def test_a_body_that_is_gone_cannot_be_sent_again() -> None:
    request = prepared(method="POST", content=content_of(content=pieces()))
    assert led(request, "/b", 303).content is None
    with pytest.raises(NetworkError, match="expected a body that can be sent again"):
        led(request, "/b", 307)


def test_an_answer_may_lead_nowhere() -> None:
    request = prepared()
    assert request.redirected(200, Headers([("Location", "/b")])) is None
    assert request.redirected(302, Headers()) is None
    with pytest.raises(InvalidResponse):
        led(request, "gopher://a/")


def test_an_answer_that_leads_to_two_places_is_told_with_its_host() -> None:
    two = Headers([("Location", "/b"), ("Location", "/c")])
    with pytest.raises(InvalidResponse, match=f"^{prepared().url.host_header}: expected one Loc"):
        prepared().redirected(302, two)
