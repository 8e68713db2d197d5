"""Whether a web page may have sent a request: its Origin, and the Host that it came for."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbdriver.errors import HTTPError
from nbdriver.model import Headers
from nbdriver.wire.origin import OriginRules, check, is_loopback


def status(
    host: str | None = None,
    *origins: str,
    rules: OriginRules = OriginRules(),  # noqa: B008  # it is frozen
    loopback: bool = False,
    peers_host: str | None = None,
) -> int:
    """The status by which a request is refused, or 200."""
    hosts = [] if host is None else [("host", host)]
    headers = Headers([*hosts, *(("Origin", origin) for origin in origins)])
    every = [value for value in (peers_host, host) if value is not None]
    try:
        check(headers, every, rules, loopback=loopback)
    except HTTPError as error:
        refusal = error
    else:
        return 200
    assert refusal.reason.startswith("expected ")
    assert refusal.reason.isascii()
    assert refusal.reason.isprintable()
    # It is told on the status line too, which holds no more.
    assert len(refusal.reason) <= 200
    return refusal.status_code


# Origin.


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("a.example", "http://a.example"),
        ("a.example", "https://a.example"),
        ("a.example", "https://a.example:443"),
        ("a.example:80", "http://a.example"),
        ("a.example:443", "https://a.example"),
        ("a.example:", "https://a.example"),
        ("a.example:8080", "http://a.example:8080"),
        ("a.example:08080", "http://a.example:8080"),
        ("A.Example", "http://a.example"),
        ("a.example.", "http://a.example"),
        ("a.example", "HTTP://A.EXAMPLE."),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("[0:0::1]:8080", "http://[::1]:8080"),
        ("[::ffff:127.0.0.1]", "http://127.0.0.1"),
        # What clients send that are no browsers.
        ("a.example:8080", "ws://a.example:8080"),
        ("a.example", "wss://a.example"),
        ("a.example:80", "ws://a.example"),
    ],
)
def test_the_hosts_own_origin_is_let_in(host: str, origin: str) -> None:
    assert status(host, origin) == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("a.example", "http://b.example"),
        ("a.example", "http://a.example.evil"),
        ("a.example", "http://evil.a.example"),
        ("a.example:8080", "http://a.example"),
        ("a.example", "http://a.example:8080"),
        ("a.example:443", "http://a.example"),
        ("a.example:80", "https://a.example"),
        ("a.example:0", "http://a.example"),
        ("a.example:" + "9" * 5_000, "http://a.example"),
        ("127.0.0.1:8080", "http://localhost:8080"),
        ("a.example", "null"),
        ("a.example", ""),
        ("a.example", "a.example"),
        ("a.example", "http://a.example/"),
        ("a.example", "http://a.example/path"),
        ("a.example", "http://a.example http://b.example"),
        ("a.example", "http://user@a.example"),
        ("a.example", "file://"),
        ("a.example", "http://a.example:port"),
        ("a.example", "http://[::1"),
        ("[::gg]", "http://[::gg0]"),
        ("a.example", "http://ä.example"),
        (None, "http://a.example"),
        (None, "null"),
        ("not/a/host", "http://a.example"),
    ],
)
def test_a_foreign_origin_is_403(host: str | None, origin: str) -> None:
    assert status(host, origin) == 403


def test_no_origin_is_no_web_page() -> None:
    assert status("a.example") == 200
    assert status() == 200


def test_two_origins_are_400() -> None:
    assert status("a.example", "http://a.example", "http://a.example") == 400
    rules = OriginRules.of(["*"], [])
    assert status("a.example", "http://a.example", "http://b.example", rules=rules) == 400


@pytest.mark.parametrize(
    ("allowed", "origin", "expected"),
    [
        ("https://b.example", "https://b.example", 200),
        ("https://b.example", "https://b.example:443", 200),
        ("https://b.example:443", "https://B.example", 200),
        ("HTTPS://B.Example.", "https://b.example", 200),
        ("https://b.example", "http://b.example", 403),
        ("https://b.example", "https://b.example:8443", 403),
        ("https://b.example", "https://c.b.example", 403),
        ("https://b.example", "null", 403),
        ("chrome-extension://abc", "chrome-extension://abc", 200),
        ("tauri://localhost", "tauri://localhost", 200),
        ("*", "https://b.example", 200),
        ("*", "null", 200),
        ("*", "not an origin", 200),
    ],
)
def test_an_allowed_origin_is_let_in_and_no_other(allowed: str, origin: str, expected: int) -> None:
    assert status("a.example", origin, rules=OriginRules.of([allowed], [])) == expected


def test_an_allowed_origin_needs_no_host() -> None:
    assert status(None, "https://b.example", rules=OriginRules.of(["https://b.example"], [])) == 200


def test_an_allowed_origin_that_is_none_lets_nobody_in() -> None:
    rules = OriginRules.of(["b.example"], [])
    assert rules == OriginRules()
    assert status("a.example", "b.example", rules=rules) == 403


def test_the_refusal_says_what_to_set() -> None:
    with pytest.raises(HTTPError, match=r"NBDRIVER_ALLOWED_ORIGINS, got 'http://b'$"):
        check(Headers([("Origin", "http://b")]), [], OriginRules())
    with pytest.raises(HTTPError, match=r"NBDRIVER_ALLOWED_HOSTS, got 'b'$"):
        check(Headers(), ["b"], OriginRules(), loopback=True)


# Host.


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LOCALHOST.",
        "bot.localhost",
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.255.0.9",
        "[::1]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]:1",
    ],
)
def test_a_loopback_address_is_called_by_a_name_that_only_this_machine_has(host: str) -> None:
    assert status(host, loopback=True) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "notlocalhost",
        "127.0.0.1.evil.example",
        "127.0.0.256",
        "127.0.0",
        "0.0.0.0",
        "192.168.0.1",
        "[::2]",
        "[fe80::1]",
        "",
        ".",
    ],
)
def test_another_name_on_a_loopback_address_is_403(host: str) -> None:
    assert status(host, loopback=True) == 403
    assert status(host) == 200


def test_a_page_whose_name_was_given_a_loopback_address_is_403() -> None:
    assert status("evil.example", "http://evil.example", loopback=True) == 403


def test_http_1_0_without_a_host_is_let_in_since_no_browser_speaks_it() -> None:
    assert status(None, loopback=True) == 200
    assert status(None, "http://localhost", loopback=True) == 403


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize(
    ("allowed", "host", "expected"),
    [
        ("bot.example", "bot.example", 200),
        ("bot.example", "BOT.example.:8080", 200),
        ("Bot.Example.", "bot.example", 200),
        ("bot.example", "evil.example", 403),
        ("bot.example", "a.bot.example", 403),
        ("bot.example", "localhost", 200),
        ("bot.example", "127.0.0.1:8080", 200),
        ("192.168.0.1", "192.168.0.1:8080", 200),
        ("fd00::1", "[fd00:0::1]:8080", 200),
        ("[fd00::1]", "[fd00::1]", 200),
        ("*", "evil.example", 200),
    ],
)
def test_allowed_hosts_hold_on_every_address(
    allowed: str, host: str, expected: int, loopback: bool
) -> None:
    assert status(host, rules=OriginRules.of([], [allowed]), loopback=loopback) == expected


def test_neither_the_peers_host_nor_the_proxys_may_be_foreign() -> None:
    """A page with a rebound name may send X-Forwarded-Host, and a proxy may send its own Host."""
    assert status("localhost", peers_host="evil.example", loopback=True) == 403
    assert status("evil.example", peers_host="localhost", loopback=True) == 403
    assert status("localhost:1", peers_host="127.0.0.1", loopback=True) == 200


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("localhost", False),
    ],
)
def test_a_loopback_address_is_one_of_this_machine_alone(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


texts = st.text(st.characters(max_codepoint=0xFF), max_size=40) | st.from_regex(
    re.compile(
        r"(https?://|a|\.example|localhost|127\.0\.0\.1|\[::1\]|\[|\]|:|\.|[0-9]|/|@|null)*"
    ),
    fullmatch=True,
)
names = st.from_regex(re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?(\.[a-z]+)?"), fullmatch=True)


def hostname(url: str) -> str:
    return (urlsplit(url).hostname or "").removesuffix(".")


@given(texts, texts, st.booleans())
@example("[", "http://[::1]", True)
def test_whatever_stands_there_is_let_in_or_refused(host: str, origin: str, loopback: bool) -> None:
    """Invariant: it is let in or refused, and if let in, the host's own for urllib too."""
    verdict = status(host, origin, loopback=loopback)
    assert verdict in (200, 403)
    if verdict == 200:
        assert hostname(origin) == hostname(f"//{host}")


@given(names, names, st.sampled_from(["", ":80", ":443", ":8080"]))
def test_an_origin_is_the_hosts_own_exactly_if_the_names_are_the_same(
    host: str, other: str, port: str
) -> None:
    """Invariant: with the same port, the names alone decide."""
    assert status(f"{host}{port}", f"http://{host}{port}") == 200
    assert status(f"{host}{port}", f"http://{other}{port}") == (200 if host == other else 403)
