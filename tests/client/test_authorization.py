"""Basic authentication: RFC 7617, and whose credentials count."""

from __future__ import annotations

import httpx
import pytest

from nbdriver.client.authorization import authorization, basic
from nbdriver.client.urls import URL


@pytest.mark.parametrize(
    ("username", "password", "header"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617, 2
        ("test", "123£", "Basic dGVzdDoxMjPCow=="),  # 2.1
        ("", "", "Basic Og=="),
        ("a", "b:c", "Basic YTpiOmM="),
    ],
)
def test_credentials_are_encoded_as_the_rfc_shows(
    username: str, password: str, header: str
) -> None:
    assert basic(username, password) == header


def test_httpx_encodes_credentials_alike() -> None:
    request = httpx.Request("GET", "http://a/")
    next(httpx.BasicAuth("我", "密码").auth_flow(request))
    assert basic("我", "密码") == request.headers["authorization"]


@pytest.mark.parametrize(("username", "password"), [("a:b", "c"), ("a\n", "b"), ("a", "\x00")])
def test_what_no_server_could_read_is_refused_and_not_shown(username: str, password: str) -> None:
    with pytest.raises(ValueError, match="expected a name and a password without control") as error:
        basic(username, password)
    assert repr(username) not in str(error.value)


def test_what_is_given_counts_more_than_the_url_and_that_more_than_a_default() -> None:
    url, plain = URL.parse("http://me:p%40@a/"), URL.parse("http://a/")
    given, default = ("given", "1"), ("default", "2")
    assert authorization(url, given, default) == basic("given", "1")
    assert authorization(url, None, default) == basic("me", "p@")
    assert authorization(plain, None, default) == basic("default", "2")
    assert authorization(plain) is None


def test_a_url_may_have_a_name_alone_or_a_password_alone() -> None:
    assert authorization(URL.parse("http://token@a/")) == basic("token", "")
    assert authorization(URL.parse("http://:token@a/")) == basic("", "token")
