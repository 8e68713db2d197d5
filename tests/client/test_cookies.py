"""Cookies: RFC 6265, and where it differs from the standard library's jar."""

from __future__ import annotations

import time
from http.cookiejar import Cookie, CookieJar
from typing import Any

import pytest
from fuzz.strategies import BOUNDED
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.client import cookies
from nbdriver.client.cookies import cookie_header, jar_of, new_jar, take
from nbdriver.client.urls import URL
from nbdriver.model import Headers


def filled(
    *lines: str, url: str = "http://a.example/b/c", jar: CookieJar | None = None
) -> CookieJar:
    jar = new_jar() if jar is None else jar
    take(jar, URL.parse(url), Headers(("set-cookie", line) for line in lines))
    return jar


def sent(jar: CookieJar | None, url: str = "http://a.example/b/d") -> str | None:
    return cookie_header(jar, URL.parse(url))


def test_an_answer_without_cookies_fills_nothing() -> None:
    assert len(filled()) == 0
    assert sent(new_jar()) is None
    assert sent(None) is None


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("a=b", "a=b"),
        (" a = b ; x; HttpOnly;SameSite=None;", "a=b"),
        ('a="b c"', 'a="b c"'),
        ("a=", "a="),
        ("a=b=c", "a=b=c"),
        ("a", "a"),
        ("=a", "a"),
        ("a=b,c=d", "a=b,c=d"),
        ("a=b; Version=1", "a=b"),
        ("a=b; Max-Age=never; Expires=soon", "a=b"),
        ("a=b; Expires=Wed, 01-Jan-99999 00:00:00 GMT", "a=b"),
        ("a=b; Expires=" + "1" * 60_000, "a=b"),
        ("a=b; Expires=Wed, 01 Jan " + "9" * 40 + " 00:00:00 GMT", "a=b"),
        ("a=b; Max-Age=" + "9" * 18, "a=b"),
        ("a=b; Domain", "a=b"),
        ("a=b; Domain=", "a=b"),
        ("a=\u00e9", "a=\u00e9"),
        ("a\t=\tb", "a=b"),
        ("", None),
        ("=", None),
        (";a=b", None),
        ("a=\x00b", None),
        ("a=b\x7f", None),
    ],
)
def test_a_cookie_is_read_as_rfc_6265_5_2_has_it(line: str, header: str | None) -> None:
    assert sent(filled(line)) == header


def test_a_cookie_of_the_same_name_takes_the_place_of_the_last() -> None:
    assert sent(filled("a=b", "c=d", "a=e")) == "a=e; c=d"


# Domains: 5.1.3, 5.3.


@pytest.mark.parametrize(
    "url",
    ["http://x.a.example/b/", "http://example/b/", "http://b.example/b/", "http://xa.example/b/"],
)
def test_a_cookie_without_a_domain_is_for_its_host_alone(url: str) -> None:
    jar = filled("a=b")
    assert sent(jar, "http://A.example:81/b/") == "a=b"
    assert sent(jar, url) is None


@pytest.mark.parametrize("domain", ["a.example", ".a.example", "A.EXAMPLE"])
def test_a_cookie_with_a_domain_is_for_all_hosts_in_it(domain: str) -> None:
    jar = filled(f"a=b; Domain={domain}")
    assert sent(jar) == sent(jar, "http://x.y.a.example/b/") == "a=b"
    assert sent(jar, "http://xa.example/b/") is None
    assert sent(filled(f"a=b; Domain={domain}", url="http://x.a.example/b/")) == "a=b"


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("http://a.example/", "example"),
        ("http://a.example/", "b.example"),
        ("http://a.example/", "x.a.example"),
        ("http://xa.example/", "a.example"),
        ("http://a.com.cn/", "com.cn"),
        ("http://a.co.uk/", ".co.uk"),
        ("http://a.local/", "local"),
        ("http://localhost/", "local"),
        ("http://localhost/", "localhost.local"),
        ("http://foo/", "bar"),
        ("http://1.2.3.4/", "3.4"),
        ("http://1.2.3.4/", "4"),
        ("http://[::1]/", "::2"),
        ("http://a.com./", "com."),
        ("http://a.co.uk./", "co.uk."),
        ("http://a.example/", "a.example."),
    ],
)
def test_a_cookie_for_more_than_its_own_domain_is_passed_over(url: str, domain: str) -> None:
    assert len(filled(f"a=b; Domain={domain}; Path=/", url=url)) == 0


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("http://localhost:8080/b", "localhost"),
        ("http://localhost/b", ".LOCALHOST"),
        ("http://127.0.0.1:8080/b", "127.0.0.1"),
        ("http://[::1]:8080/b", "::1"),
        ("http://[::1]/b", "[::1]"),
    ],
)
def test_a_host_without_a_domain_has_cookies_for_itself(url: str, domain: str) -> None:
    for line in ("a=b", f"a=b; Domain={domain}"):
        jar = filled(line, url=url)
        assert sent(jar, url) == "a=b"
        for other in (
            "http://foo/b",
            "http://27.0.0.1/b",
            "http://x.localhost/b",
        ):
            assert sent(jar, other) is None


def test_nobody_deletes_the_cookies_of_another() -> None:
    jar = filled("a=b; Domain=a.example; Path=/")
    gone = "a=; Domain=a.example; Path=/; Max-Age=0"
    filled(gone, url="http://evil.example/", jar=jar)
    assert sent(jar) == "a=b"
    filled(gone, jar=jar)
    assert sent(jar) is None


# Paths: 5.1.4.


@pytest.mark.parametrize(
    ("line", "path", "goes"),
    [
        ("a=b", "/b/d", True),
        ("a=b", "/b", True),
        ("a=b", "/bc", False),
        ("a=b", "/", False),
        ("a=b; Path=/", "/x", True),
        ("a=b; Path=/x", "/x", True),
        ("a=b; Path=/x", "/x/y?z", True),
        ("a=b; Path=/x", "/xy", False),
        ("a=b; Path=/x/", "/x/y", True),
        ("a=b; Path=x", "/b/", True),
        ("a=b; Path=", "/b/", True),
        ("a=b; Path=/%e8%b7%af", "/路/x", True),
        ("a=b; Path=/路".encode().decode("latin-1"), "/%E8%B7%AF", True),
    ],
)
def test_a_cookie_is_for_a_path_and_what_is_below_it(line: str, path: str, goes: bool) -> None:
    assert sent(filled(line), f"http://a.example{path}") == ("a=b" if goes else None)


def test_a_cookie_of_the_top_is_for_everything() -> None:
    assert sent(filled("a=b", url="http://a.example/x"), "http://a.example/y/z") == "a=b"


def test_the_longest_path_comes_first() -> None:
    jar = filled("a=1; Path=/", "b=2; Path=/b", "a=3; Path=/b")
    assert sent(jar) == "b=2; a=3; a=1"


# Secure.


def test_a_secure_cookie_goes_by_tls_alone() -> None:
    jar = filled("a=b; Secure", url="https://a.example/b/c")
    assert sent(jar, "https://a.example/b/d") == sent(jar, "wss://a.example/b/d") == "a=b"
    assert sent(jar, "http://a.example/b/d") is None


def test_a_secure_cookie_comes_by_tls_alone() -> None:
    assert len(filled("a=b; secure")) == 0


@pytest.mark.parametrize("gone", ["", "; Max-Age=0"])
@pytest.mark.parametrize(
    ("kept", "line", "url"),
    [
        ("a=b; Path=/", "a=evil; Path=/", "http://a.example/"),
        ("a=b; Path=/b", "a=evil", "http://a.example/b/c"),
        ("a=b; Path=/b/", "a=evil; Path=/b", "http://a.example/"),
        ("a=b; Path=/", "a=evil; Domain=a.example; Path=/", "http://x.a.example/"),
        ("a=b; Path=/; Domain=a.example", "a=evil; Path=/", "http://a.example/"),
        ("a=b; Path=/; Domain=a.example", "a=evil; Path=/", "ws://x.a.example:81/"),
    ],
)
def test_a_secure_cookie_is_replaced_and_deleted_by_tls_alone(
    kept: str, line: str, url: str, gone: str
) -> None:
    jar = filled(f"{kept}; Secure", url="https://a.example/b/c")
    filled(line + gone, url=url, jar=jar)
    assert [cookie.value for cookie in jar] == ["b"]
    filled(line, url=url.replace("http:", "https:").replace("ws:", "wss:"), jar=jar)
    assert "evil" in [cookie.value for cookie in jar]


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("c=d; Path=/", "http://a.example/"),
        ("a=d; Path=/", "http://b.example/"),
        ("a=d; Path=/", "http://a.example/"),
        ("a=d; Path=/bc", "http://a.example/"),
    ],
)
def test_a_cookie_that_cannot_be_taken_for_a_secure_one_comes_without_tls(
    line: str, url: str
) -> None:
    jar = filled("a=b; Path=/b; Secure", url="https://a.example/")
    filled(line, url=url, jar=jar)
    assert len(jar) == 2


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("__Secure-a=b; Secure", True),
        ("__Secure-a=b; Secure; Domain=a.example", True),
        ("__SECURE-a=b", False),
        ("__Host-a=b; Secure; Path=/", True),
        ("__host-a=b; Secure; Path=/; Domain=", True),
        ("__Host-a=b; Secure; Path=/; Domain=a.example", False),
        ("__Host-a=b; Secure; Path=/b", False),
        ("__Host-a=b; Secure", False),
        ("__HOST-a=b; Path=/", False),
        ("=__Host-a=b; Secure; Path=/", False),
        ("=__secure-a=b; Secure", False),
        ("__Host-a; Secure; Path=/", False),
        ("_Host-a=b", True),
    ],
)
def test_a_cookie_is_what_its_name_promises(line: str, kept: bool) -> None:
    assert len(filled(line, url="https://a.example/b/c")) == kept
    assert len(filled(line, url="http://a.example/b/c")) == (line == "_Host-a=b")


# Time: 5.3, 3.

PAST, FUTURE = "Thu, 01 Jan 1970 00:00:01 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"


@pytest.mark.parametrize(
    "attributes",
    [
        "Max-Age=0",
        "Max-Age=-1",
        f"Expires={PAST}",
        f'Expires="{PAST}"',
        "Expires=Wed, 01-Jan-20 00:00:00 GMT",
        "Expires=Wed, 01 Jan 2020 00:00:00 +0800",
        f"Max-Age=0; Expires={FUTURE}",
    ],
)
def test_a_cookie_that_has_expired_is_deleted(attributes: str) -> None:
    jar = filled("a=b", "c=d")
    filled(f"a=b; {attributes}", f"x=y; {attributes}", jar=jar)
    assert sent(jar) == "c=d"


@pytest.mark.parametrize(
    "attributes", ["Max-Age=60", f"Expires={FUTURE}", f"Max-Age=60; Expires={PAST}"]
)
def test_a_cookie_that_will_expire_is_kept_until_then(attributes: str) -> None:
    (cookie,) = filled(f"a=b; {attributes}")
    assert not cookie.discard
    assert cookie.expires is not None
    assert cookie.expires > time.time() + 50
    jar = new_jar()
    cookie.expires = int(time.time()) - 1
    jar.set_cookie(cookie)
    assert sent(jar) is None


# Bounds, and whatever comes.


def test_a_host_cannot_fill_the_jar() -> None:
    jar = filled(*(f"n{number}=1" for number in range(cookies.MAX_COOKIES_OF_DOMAIN + 20)))
    names = {cookie.name for cookie in jar}
    assert len(names) == cookies.MAX_COOKIES_OF_DOMAIN
    assert "n0" not in names
    assert f"n{cookies.MAX_COOKIES_OF_DOMAIN + 19}" in names


@pytest.mark.parametrize("name", ["", "abc"])
def test_a_cookie_has_a_size(name: str) -> None:
    most = cookies.MAX_COOKIE - len(name)
    assert sent(filled(f"{name}={'x' * most}")) == (f"{name}=" if name else "") + "x" * most
    assert len(filled(f"{name}={'x' * (most + 1)}")) == 0


def test_an_attribute_that_is_too_long_is_none() -> None:
    for size, path in (1_024, "/" + "x" * 1_023), (1_025, "/b"):
        (cookie,) = filled(f"a=b; Path=/{'x' * (size - 1)}")
        assert cookie.path == path


def test_many_hosts_cannot_fill_the_jar() -> None:
    jar, each = new_jar(), 150
    for host in range(cookies.MAX_COOKIES // each + 2):
        filled(*(f"n{number}=1" for number in range(each)), url=f"http://h{host}.example/", jar=jar)
    assert len(jar) == cookies.MAX_COOKIES
    assert sent(jar, "http://h0.example/") is None


LINE = st.text(st.characters(max_codepoint=255)) | st.builds(
    "a=b; {}={}".format,
    st.sampled_from(["Expires", "Max-Age", "Domain", "Path", "Secure", "Version", "Port"]),
    st.text(st.characters(max_codepoint=255)) | st.text("0123456789-: GMTJanFeb"),
)


@BOUNDED
@given(st.lists(LINE))
def test_any_lines_are_read_or_passed_over(lines: list[str]) -> None:
    jar = filled(*lines)
    for url in ("http://a.example/b/", "https://a.example/b/"):
        for text in (sent(jar, url) or "").split("; "):
            assert text == "" or text.encode("latin-1").strip()
    assert sent(jar, "http://evil.example/b/") is None


# The policy of a jar that was made elsewhere.


def test_a_jar_with_a_policy_of_its_own_is_asked() -> None:
    from http.cookiejar import DefaultCookiePolicy

    jar = CookieJar(DefaultCookiePolicy(blocked_domains=["a.example"]))
    assert len(filled("a=b", jar=jar)) == 0
    assert len(filled("a=b", url="http://b.example/", jar=jar)) == 1


# Cookies of one request.


def of_request(given: Any, url: str = "http://a.example/") -> CookieJar | None:
    return jar_of(given, URL.parse(url))


@pytest.mark.parametrize("given", [{"a": "b", "c": "d"}, [("a", "b"), ["c", "d"]]])
def test_cookies_of_a_request_are_a_mapping_or_pairs(given: Any) -> None:
    assert sent(of_request(given)) == "a=b; c=d"


def test_a_request_without_cookies_has_no_jar() -> None:
    assert of_request(None) is None


def test_cookies_of_a_request_count_more_than_those_of_the_jar() -> None:
    jar, own = filled("a=1", "b=2", "c"), of_request({"a": "3", "d": "4"})
    assert cookie_header(jar, URL.parse("http://a.example/b/"), own) == "b=2; c; a=3; d=4"


@pytest.mark.parametrize(
    "url", ["http://b.example/", "http://x.a.example/", "http://example/", "http://a.example.evil/"]
)
def test_cookies_of_a_request_are_for_its_host_alone(url: str) -> None:
    own = of_request({"a": "b"})
    assert sent(own, "http://a.example/any/path") == sent(own, "https://a.example/") == "a=b"
    assert sent(own, url) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:81", "[::1]", "[::1]:81"])
def test_cookies_of_a_request_go_to_hosts_without_dots(host: str) -> None:
    assert sent(of_request({"a": "b"}, f"http://{host}/"), f"http://{host}/x") == "a=b"


def test_cookies_of_a_request_by_tls_go_by_tls_alone() -> None:
    own = of_request({"a": "b"}, "wss://a.example/")
    assert sent(own, "https://a.example/") == "a=b"
    assert sent(own, "http://a.example/") is None


def test_text_beyond_ascii_is_sent_as_utf_8() -> None:
    assert sent(of_request({"键": "值", "a": "é"})) == "键=值; a=é".encode().decode("latin-1")


def cookie(domain: str, value: str = "b", *, secure: bool = False) -> Cookie:
    """A cookie as NoneBot's `Cookies.set` makes it."""
    return Cookie(
        version=0, name="a", value=value, port=None, port_specified=False, domain=domain,
        domain_specified=bool(domain), domain_initial_dot=domain.startswith("."), path="/",
        path_specified=True, secure=secure, expires=None, discard=True, comment=None,
        comment_url=None, rest={}, rfc2109=False,
    )  # fmt: skip


def test_a_jar_keeps_its_rules_and_cookies_for_nobody_are_for_the_host() -> None:
    given = CookieJar()
    given.set_cookie(cookie(""))
    given.set_cookie(cookie(".b.example", "c"))
    own = of_request(given, "https://a.example/")
    assert sent(own, "https://a.example/") == "a=b"
    assert sent(own, "http://a.example/") is None
    assert sent(own, "http://x.b.example/") == "a=c"
    assert [it.domain for it in given] == ["", ".b.example"]


def test_a_cookie_of_a_jar_is_sent_as_utf_8_where_no_byte_stands_for_it() -> None:
    given = CookieJar()
    given.set_cookie(cookie("", "值"))
    assert sent(of_request(given)) == "a=" + "值".encode().decode("latin-1")


@pytest.mark.parametrize("given", ["a=b", 1, [("a",)], [("a", 1)], {"a": None}, ["ab"]])
def test_what_is_no_cookie_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="expected cookies as a CookieJar, a mapping or pairs"):
        of_request(given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "b"),
        ("a=", "b"),
        ("a;", "b"),
        ("a", "b;c"),
        ("a", "b\r\nc: d"),
        ("a", " b"),
        ("a ", "b"),
    ],
)
def test_what_would_not_stay_one_cookie_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        of_request({name: value})
