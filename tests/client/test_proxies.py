"""Which proxy leads where: what a person may write, in settings and in the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.request import proxy_bypass_environment

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.client.proxies import Proxy, ProxyRules
from nbdriver.client.settings import ClientSettings
from nbdriver.client.urls import URL
from nbdriver.errors import ConfigError, InvalidURL

Variables = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Variables:
    """Sets variables, in an environment that says nothing else of proxies."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


def proxy_for(url: str, rules: ProxyRules | None = None) -> str | None:
    """The proxy to `url`, by default as the environment has it."""
    proxy = (rules or ProxyRules.from_environment()).proxy_for(URL.parse(url))
    return None if proxy is None else str(proxy)


# What a proxy may be called.


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("http://proxy.example:3128/", "http://proxy.example:3128"),
        ("http://proxy.example", "http://proxy.example:80"),
        ("http://proxy.example:", "http://proxy.example:80"),
        ("https://proxy.example", "https://proxy.example:443"),
        ("https://proxy.example:80", "https://proxy.example:80"),
        ("socks5://proxy.example", "socks5://proxy.example:1080"),
        ("socks5://proxy.example:80/", "socks5://proxy.example:80"),
        ("socks5h://proxy.example:7891", "socks5h://proxy.example:7891"),
        ("SOCKS5://Proxy.Example", "socks5://proxy.example:1080"),
        ("socks5://[::1]", "socks5://[::1]:1080"),
        ("http://[0:0::1]:3128", "http://[::1]:3128"),
        ("127.0.0.1:7890", "http://127.0.0.1:7890"),
        ("localhost", "http://localhost:80"),
        ("me:secret@localhost:8", "http://localhost:8"),
        ("http://代理.example", "http://xn--mnq481g.example:80"),
    ],
)
def test_a_proxy_is_a_scheme_a_host_and_a_port(text: str, shown: str) -> None:
    proxy = Proxy.parse(text)
    assert str(proxy) == shown
    assert Proxy.parse(str(proxy)) == Proxy(proxy.scheme, proxy.host, proxy.port)


@pytest.mark.parametrize(
    ("text", "credentials"),
    [
        ("http://proxy", None),
        ("http://@proxy", None),
        ("http://me@proxy", ("me", "")),
        ("http://me:secret@proxy", ("me", "secret")),
        ("socks5://m%40e:s%3A%2F%E7%A7%98@proxy", ("m@e", "s:/秘")),
        (f"socks5://{'a' * 255}:{'b' * 255}@proxy", ("a" * 255, "b" * 255)),
        (f"http://{'a' * 256}@proxy", ("a" * 256, "")),
    ],
)
def test_credentials_stand_before_the_host(text: str, credentials: tuple[str, str] | None) -> None:
    assert Proxy.parse(text).credentials == credentials


def test_the_name_and_password_for_an_http_proxy_are_sent_as_basic_authentication() -> None:
    assert Proxy.parse("http://me:secret@proxy").authorization == "Basic bWU6c2VjcmV0"
    assert Proxy.parse("http://proxy").authorization is None


def test_a_password_is_never_shown() -> None:
    proxy = Proxy.parse("http://me:secret@proxy")
    assert "secret" not in f"{proxy} {proxy!r} {ProxyRules.always('http://me:secret@proxy')!r}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("socks4://proxy:1080", "expected http, https, socks5 or socks5h .*, got 'socks4'"),
        ("socks://me:secret@proxy:1080", "expected http, https, socks5 or .*, got 'socks'"),
        ("://proxy", "got ''"),
        ("", "expected a host"),
        ("http://", "expected a host"),
        ("socks5://proxy:99999", "expected a port from 1 to 65535, got '//proxy:99999'"),
        ("http://me:sec/ret@proxy", "got '//\\*\\*\\*@proxy'"),
        ("http://me:sec@ret@proxy", "got '//\\*\\*\\*@proxy'"),
        ("http://me:sec ret@proxy", "got '//\\*\\*\\*@proxy'"),
        ("http://proxy/path", "expected a proxy such as \"http://host:port\", got more behind it"),
        ("socks5://proxy?query", 'expected a proxy such as "socks5://host:port"'),
        ("http://proxy#fragment", "got more behind it"),
        ("http://pro xy", "expected"),
        (" http://proxy", "expected"),
        (f"socks5://{'a' * 256}@proxy", "at most 255 bytes"),
        (f"socks5h://me:{'秘' * 86}@proxy", "at most 255 bytes"),
        (None, "as text, got NoneType"),
    ],
)  # fmt: skip
def test_what_names_no_proxy_that_we_can_use_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidURL, match=words) as caught:
        Proxy.parse(text)
    assert not {"secret", "sec", "ret"} & set(str(caught.value).replace("@", ":").split(":"))


# What a client is told.


@pytest.mark.parametrize("url", ["http://a/", "https://a/", "ws://a/", "wss://a/"])
def test_a_proxy_that_is_given_leads_everywhere(url: str, environment: Variables) -> None:
    environment(NO_PROXY="*", HTTP_PROXY="http://other", HTTPS_PROXY="http://other")
    rules = ProxyRules.of(ClientSettings(proxy="socks5://proxy"))
    assert proxy_for(url, rules) == "socks5://proxy:1080"


def test_a_proxy_that_is_given_and_none_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"^proxy: expected http, https, socks5 .* got 'socks4'"):
        ProxyRules.of(ClientSettings(proxy="socks4://proxy"))


def test_a_proxy_beside_a_unix_socket_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="got both"):
        ProxyRules.of(ClientSettings(proxy="http://proxy", unix="/run/a"))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (ClientSettings(), "http://proxy:80"),
        (ClientSettings(trust_env=False), None),
        (ClientSettings(unix="/run/a"), None),
    ],
)
def test_the_environment_is_asked_where_it_may_say_something(
    settings: ClientSettings, found: str | None, environment: Variables
) -> None:
    environment(HTTP_PROXY="http://proxy")
    assert proxy_for("http://a/", ProxyRules.of(settings)) == found


# What the environment says.

HTTP, HTTPS, ALL = "http://h:1", "http://s:2", "socks5://a:3"


@pytest.mark.parametrize(
    ("variables", "http", "https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": HTTP}, HTTP, None),
        ({"HTTPS_PROXY": HTTPS}, None, HTTPS),
        ({"ALL_PROXY": ALL}, ALL, ALL),
        ({"HTTP_PROXY": HTTP, "HTTPS_PROXY": HTTPS, "ALL_PROXY": ALL}, HTTP, HTTPS),
        ({"HTTP_PROXY": HTTP, "ALL_PROXY": ALL}, HTTP, ALL),
        ({"http_proxy": HTTP, "https_proxy": HTTPS}, HTTP, HTTPS),
        ({"all_proxy": ALL}, ALL, ALL),
        ({"http_proxy": HTTP, "HTTP_PROXY": "http://other"}, HTTP, None),
        ({"http_proxy": "", "HTTP_PROXY": HTTP}, None, None),
        ({"HTTP_PROXY": ""}, None, None),
        ({"HTTP_PROXY": "", "ALL_PROXY": ALL}, ALL, ALL),
        ({"HTTP_PROXY": "h:1"}, HTTP, None),
        ({"HTTP_PROXY": HTTP, "REQUEST_METHOD": "GET"}, None, None),
        ({"http_proxy": HTTP, "REQUEST_METHOD": "GET"}, HTTP, None),
        ({"HTTPS_PROXY": HTTPS, "REQUEST_METHOD": "GET"}, None, HTTPS),
        ({"HTTP_PROXY": HTTP, "NO_PROXY": "x"}, HTTP, None),
        ({"HTTP_PROXY": HTTP, "NO_PROXY": "a"}, None, None),
        ({"HTTP_PROXY": HTTP, "no_proxy": "a", "NO_PROXY": "x"}, None, None),
        ({"HTTP_PROXY": HTTP, "no_proxy": "", "NO_PROXY": "a"}, HTTP, None),
    ],
)
def test_each_scheme_has_a_variable_and_lower_case_counts_more(
    variables: dict[str, str], http: str | None, https: str | None, environment: Variables
) -> None:
    environment(**variables)
    assert [proxy_for(f"{scheme}://a/") for scheme in ("http", "ws")] == [http, http]
    assert [proxy_for(f"{scheme}://a/") for scheme in ("https", "wss")] == [https, https]


def test_the_environment_is_read_once(environment: Variables) -> None:
    rules = ProxyRules.from_environment()
    environment(HTTP_PROXY=HTTP)
    assert proxy_for("http://a/", rules) is None


def test_what_cannot_be_used_is_an_error_for_whoever_would_need_it(environment: Variables) -> None:
    environment(HTTP_PROXY=HTTP, ALL_PROXY="socks://me:secret@a:1", NO_PROXY="b")
    rules = ProxyRules.from_environment()
    assert proxy_for("http://a/", rules) == HTTP
    assert proxy_for("https://b/", rules) is None
    errors = []
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^ALL_PROXY: expected .*, got 'socks'") as caught:
            proxy_for("https://a/", rules)
        assert "secret" not in str(caught.value)
        errors.append(caught.value)
    assert errors[0] is not errors[1]


@pytest.mark.parametrize(
    ("no_proxy", "past", "by"),
    [
        ("*", "a x.example 127.0.0.1 [::1]", ""),
        ("b, *", "a", ""),
        ("", "", "a 127.0.0.1"),
        (" , ,,", "", "a 127.0.0.1"),
        ("a.example", "a.example A.EXAMPLE x.a.example y.x.a.example a.example. a.example:8",
         "ba.example example a.example.org xn--a.exampl"),
        (".a.example", "a.example x.a.example", "ba.example"),
        ("*.a.example", "a.example x.a.example", "ba.example"),
        ("A.Example.", "a.example x.a.example.", "example"),
        ("a.example:8080", "a.example:8080 x.a.example:8080", "a.example a.example:80"),
        ("a.example:80", "a.example a.example:80", "a.example:81"),
        (".a.example:81", "x.a.example:81", "x.a.example"),
        ("a,b", "a b", "c"),
        ("a b\tc", "a b c", "d"),
        ("a , b", "a b", "c"),
        ("例子.cn", "xn--fsqu00a.cn 例子.cn x.例子.cn", "cn"),
        ("localhost", "localhost x.localhost", "127.0.0.1 [::1]"),
        ("127.0.0.1", "127.0.0.1 127.0.0.1:8080", "127.0.0.2 localhost x.127.0.0.1.example"),
        ("127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1 10.255.255.255", "11.0.0.0 10.example [::1]"),
        ("10.1.2.3/8", "10.0.0.1", "11.0.0.0"),
        ("192.168.0.0/255.255.0.0", "192.168.7.7", "192.169.0.1"),
        ("::1", "[::1] [::1]:81 [0:0:0::1]", "[::2] 127.0.0.1"),
        ("[::1]", "[::1] [::1]:81", "[::2]"),
        ("[::1]:81", "[::1]:81", "[::1]"),
        ("fd00::/8", "[fd00::1] [fdff::]", "[fe00::] 127.0.0.1"),
        ("0.0.0.0/0", "127.0.0.1", "a [::1]"),
        # What means nothing here covers nothing.
        ("10.0.0.0/33,a..b,[a],[::1,a:b,a:1:2,http://c,-,.,*a,a:,127.1,:80", "", "a c 127.0.0.1 b"),
    ],
)  # fmt: skip
def test_no_proxy_lists_names_addresses_and_networks(
    no_proxy: str, past: str, by: str, environment: Variables
) -> None:
    environment(http_proxy=HTTP, NO_PROXY=no_proxy)
    assert [host for host in past.split() if proxy_for(f"http://{host}/")] == []
    assert [host for host in by.split() if not proxy_for(f"http://{host}/")] == []


LABELS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3).map(".".join)
PORTS = st.sampled_from([80, 8080])


@given(
    entries=st.lists(
        st.tuples(st.sampled_from(["", "."]), LABELS, st.none() | PORTS)
        | st.tuples(st.just(""), st.sampled_from(["10.0.0.1", "127.0.0.1"]), st.none() | PORTS),
        max_size=4,
    ),
    host=LABELS | st.sampled_from(["10.0.0.1", "127.0.0.1"]),
    port=PORTS,
)
def test_names_and_ports_in_no_proxy_mean_what_the_standard_library_takes_them_for(
    entries: list[tuple[str, str, int | None]], host: str, port: int
) -> None:
    text = ",".join(f"{dot}{name}" + (f":{at}" if at else "") for dot, name, at in entries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", HTTP)
        patch.setenv("no_proxy", text)
        ours = proxy_for(f"http://{host}:{port}/") is None
    assert ours == bool(proxy_bypass_environment(f"{host}:{port}", {"no": text}))


def test_a_port_in_no_proxy_is_that_of_the_scheme_if_a_url_names_none(
    environment: Variables,
) -> None:
    environment(ALL_PROXY=ALL, NO_PROXY="a:443")
    assert proxy_for("https://a/") is None
    assert proxy_for("wss://a/") is None
    assert proxy_for("http://a/") == ALL
