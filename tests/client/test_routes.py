"""A way is what connections have in common, and says how a request is to be written."""

from __future__ import annotations

import pytest

from nbdriver.client.proxies import Proxy, ProxyRules
from nbdriver.client.routes import Route, route
from nbdriver.client.urls import URL, Origin
from nbdriver.errors import ConfigError

NONE = ProxyRules.always(None)
HTTP = ProxyRules.always("http://me:secret@proxy.example:3128")
AUTHORIZATION = "Basic bWU6c2VjcmV0"


def to(url: str, rules: ProxyRules = NONE, unix: str | None = None) -> Route:
    return route(URL.parse(url), rules, unix)


@pytest.mark.parametrize("proxy", ["http://me:secret@proxy", "https://me:secret@proxy"])
@pytest.mark.parametrize(
    ("url", "forwards", "tunnel"),
    [
        ("http://a.example/", True, False),
        ("https://a.example/", False, False),
        ("ws://a.example/", False, True),
        ("wss://a.example/", False, True),
    ],
)
def test_plain_http_is_forwarded_and_all_else_goes_through_a_tunnel(
    proxy: str, url: str, forwards: bool, tunnel: bool
) -> None:
    way = to(url, ProxyRules.always(proxy))
    assert (way.forwards, way.tunnel) == (forwards, tunnel)
    assert way.proxy_authorization == (AUTHORIZATION if forwards else None)


@pytest.mark.parametrize("url", ["http://a/", "https://a/", "ws://a/", "wss://a/"])
@pytest.mark.parametrize("proxy", [None, "socks5://me:secret@proxy", "socks5h://proxy"])
def test_nothing_is_forwarded_without_a_proxy_of_http(url: str, proxy: str | None) -> None:
    way = to(url, ProxyRules.always(proxy))
    assert (way.forwards, way.tunnel, way.proxy_authorization) == (False, False, None)
    assert way.proxy == (None if proxy is None else Proxy.parse(proxy))


def test_a_proxy_without_credentials_is_told_none() -> None:
    way = to("http://a/", ProxyRules.always("http://proxy"))
    assert way.forwards
    assert way.proxy_authorization is None


def test_ways_are_the_same_whatever_is_asked_for_there() -> None:
    proxy = Proxy("http", "proxy.example", 3128, ("me", "secret"))
    assert {to("http://A.example/b?c", HTTP), to("http://a.example:80", HTTP)} == {
        Route(Origin("http", "a.example", 80), proxy)
    }
    assert to("ws://a/") == to("http://a/")
    assert to("ws://a/", HTTP) != to("http://a/", HTTP)
    assert to("http://a/", HTTP) != to("http://a/", ProxyRules.always("http://proxy.example:3128"))


def test_a_unix_socket_stands_in_the_place_of_the_host() -> None:
    assert to("http://a/", unix="/run/a") == Route(Origin("http", "a", 80), None, "/run/a")


def test_a_unix_socket_behind_a_proxy_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"got both: http://proxy\.example:3128 and /run/a"):
        to("http://a/", HTTP, "/run/a")


def test_a_password_is_never_shown() -> None:
    way = to("http://a/", HTTP)
    assert "secret" not in f"{way} {way!r} {HTTP!r} {way.proxy} {way.proxy!r}"
