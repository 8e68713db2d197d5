"""A URL means one host, one target and nothing else: RFC 3986, and what programs disagree about."""

from __future__ import annotations

import enum
from typing import Any
from urllib.parse import parse_qsl, urljoin

import httpx
import idna
import pytest
import yarl
from fuzz.strategies import BOUNDED
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.client.urls import URL, Origin, text_of
from nbdriver.errors import InvalidURL

# Parts.


@pytest.mark.parametrize(
    ("text", "origin", "target", "host"),
    [
        ("http://a.example", ("http", "a.example", 80), "/", "a.example"),
        ("HTTP://A.Example:80?x", ("http", "a.example", 80), "/?x", "a.example"),
        ("https://a.example:8443/b?#f", ("https", "a.example", 8443), "/b?", "a.example:8443"),
        ("https://a.example:443/", ("https", "a.example", 443), "/", "a.example"),
        ("ws://a.example/s", ("http", "a.example", 80), "/s", "a.example"),
        ("wss://a.example/s", ("https", "a.example", 443), "/s", "a.example"),
        ("wss://a.example:80/s", ("https", "a.example", 80), "/s", "a.example:80"),
        ("http://a.example:/", ("http", "a.example", 80), "/", "a.example"),
        ("http://a.example:08/", ("http", "a.example", 8), "/", "a.example:8"),
        ("http://[::1]/", ("http", "::1", 80), "/", "[::1]"),
        ("http://[0:0::1]:81/", ("http", "::1", 81), "/", "[::1]:81"),
        ("http://127.0.0.1/", ("http", "127.0.0.1", 80), "/", "127.0.0.1"),
        ("http://a_b.example./", ("http", "a_b.example.", 80), "/", "a_b.example."),
        ("http://a//b@c:d", ("http", "a", 80), "//b@c:d", "a"),
    ],
)
def test_a_url_says_where_to_connect_and_what_to_ask_for(
    text: str, origin: tuple[str, str, int], target: str, host: str
) -> None:
    url = URL.parse(text)
    assert url.origin == Origin(*origin)
    assert (url.target, url.host_header) == (target, host)
    assert url.absolute_target == f"{origin[0]}://{host}{target}"


def test_a_url_means_the_same_whether_or_not_it_is_remembered() -> None:
    short, long = "http://a/b?" + "c" * 400, "http://a/b?" + "c" * 4_000
    assert URL.parse(short) is URL.parse(short)
    assert URL.parse(long) == URL.parse(long)
    assert URL.parse(long).target == "/b?" + "c" * 4_000


def test_a_url_that_is_read_already_stands_for_itself() -> None:
    url = URL.parse("http://a/")
    assert URL.parse(url) is url


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("http://a/路径?查询=值", "/%E8%B7%AF%E5%BE%84?%E6%9F%A5%E8%AF%A2=%E5%80%BC"),
        ("http://a/a b?c d", "/a%20b?c%20d"),
        ("http://a/%7e%E8?%2f", "/%7e%E8?%2f"),
        ("http://a/%?100%&%zz%4", "/%25?100%25&%25zz%254"),
        ("http://a/b\\c", "/b%5Cc"),
        ("http://a/x[1]|^`{}<>\"", "/x%5B1%5D%7C%5E%60%7B%7D%3C%3E%22"),
        ("http://a/?y[]=\\|^`{}<>\"", "/?y%5B%5D=%5C%7C%5E%60%7B%7D%3C%3E%22"),
        ("http://a/;p,!$&'()*+:@?a=b+c;d&e=/?", "/;p,!$&'()*+:@?a=b+c;d&e=/?"),
        ("http://a/b/./c/../../d/.?/../x", "/d/?/../x"),
        ("http://a/../..", "/"),
        ("http://a/b/..", "/"),
        ("http://a/.b/..c", "/.b/..c"),
        ("http://a/%2e%2e/b", "/%2e%2e/b"),
    ],
)  # fmt: skip
def test_what_may_not_stand_in_a_target_is_percent_encoded_and_nothing_twice(
    text: str, target: str
) -> None:
    url = URL.parse(text)
    assert url.target == target
    assert URL.parse(str(url)) == url


def test_a_fragment_is_no_part_of_the_target() -> None:
    url = URL.parse("http://a/b?c#d?e/片")
    assert (url.target, url.fragment) == ("/b?c", "d?e/片")
    assert str(url) == "http://a/b?c#d?e/片"


# Hosts.


@pytest.mark.parametrize(
    ("host", "ascii_host"),
    [
        ("例え.jp", "xn--r8jz45g.jp"),
        ("例。JP", "xn--fsq.jp"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("😀.example", "xn--e28h.example"),
    ],
)
def test_a_host_beyond_ascii_is_encoded_by_idna(host: str, ascii_host: str) -> None:
    assert URL.parse(f"http://{host}/").host == ascii_host


@pytest.mark.parametrize(
    "host",
    [
        "straße.de", "ΒΌΛΟς.gr", "STRAẞE.de", "a\u200db.in", "127.0.0.1\u115f", "evil\u3164.com",
        "\uffa0.example", "a\u17b4b", "a\u1806b", "a\u180fb", "a\u2064b", "a\U000e0100b", "Ꭰ.com",
        "a\U0001bca0b", "a\u0378b",
    ],
)  # fmt: skip
def test_a_host_that_is_another_one_to_other_versions_of_idna_is_refused(host: str) -> None:
    with pytest.raises(InvalidURL, match='begins with "xn--"; write that instead of'):
        URL.parse(f"http://{host}/")


# Letters, and what is not seen: combining, enclosing, format, blanks; surrogates have no encoding.
SIGNS = st.characters(min_codepoint=0x80, exclude_categories=["Cs", "Co", "Zs"])


@BOUNDED
@given(st.text(SIGNS | st.sampled_from("a1.-"), min_size=1, max_size=6))
def test_a_host_is_the_one_that_it_is_to_later_versions_of_idna(host: str) -> None:
    try:
        ours, theirs = URL.parse(f"http://{host}").host, idna.encode(host, uts46=True).decode()
    except (InvalidURL, idna.IDNAError):
        return
    assert ours == theirs


@pytest.mark.parametrize(
    "host",
    [
        "a..b", ".a", "..", "a%2eb", "a%00", "a!b", "a;b", "a,b", "a&b", "a*", "exa mple", "a<b>",
        "x" * 64, ".".join(["abcdefg"] * 32), "例" * 64, "例." * 127, "例..jp", "℀.example",
        "a\u3000b", "a\u00a0b", "\u200e", "例え\u202e.jp",
    ],
)  # fmt: skip
def test_what_is_no_name_of_a_host_is_refused(host: str) -> None:
    with pytest.raises(InvalidURL, match="expected"):
        URL.parse(f"http://{host}/")


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "1.2.3.4.5", "a.1"]
)
def test_an_address_in_a_spelling_that_only_resolvers_know_is_refused(host: str) -> None:
    with pytest.raises(InvalidURL, match="an IPv4 address of four decimal numbers"):
        URL.parse(f"http://{host}/")


@pytest.mark.parametrize("host", ["[fe80::1%25eth0]", "[fe80::1%eth0]"])
def test_an_address_with_a_zone_is_refused(host: str) -> None:
    with pytest.raises(InvalidURL, match="without a zone"):
        URL.parse(f"http://{host}/")


@pytest.mark.parametrize("host", ["[]", "[::g]", "[1.2.3.4]", "[v1.a]", "[a.example]"])
def test_what_is_no_address_in_brackets_is_refused(host: str) -> None:
    with pytest.raises(InvalidURL, match="an IPv6 address in brackets"):
        URL.parse(f"http://{host}/")


@pytest.mark.parametrize("port", ["0", "65536", "99999", "1" * 5000])
def test_a_port_out_of_range_is_refused(port: str) -> None:
    with pytest.raises(InvalidURL, match="a port from 1 to 65535"):
        URL.parse(f"http://a:{port}/")


# What is no URL, or means two hosts.


@pytest.mark.parametrize(
    "text",
    [
        "http://a@b@c/", "http://good\\@evil/", "http://good/@evil\n/", "http://a:b:c/",
        "http://[::1/", "http://::1/", "http://[::1]a/", "http://[::1]:x/", "http://a:+80/",
        "http://a:８０/", "http://a\\b/", "http://u:p w@a/", "http://a /", "http:// a/",
        "http://[::1]@a/", "http://a[::1]/",
    ],
)  # fmt: skip
def test_an_authority_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(InvalidURL, match="expected"):
        URL.parse(text)


@pytest.mark.parametrize("character", ["\r", "\n", "\t", "\x00", "\x1b", "\x7f"])
@pytest.mark.parametrize("text", ["{}http://a/", "http://{}a/", "http://a/{}b", "http://a/?#{}"])
def test_control_characters_are_refused_anywhere(character: str, text: str) -> None:
    text = text.format(character)
    for read in (URL.parse, URL.parse("http://b/").join):
        with pytest.raises(InvalidURL, match=r"without control characters, got '.*' at position"):
            read(text)


@pytest.mark.parametrize("text", [" http://a/", "http://a/ ", "http://a/\u3000"])
def test_blanks_around_a_url_are_refused(text: str) -> None:
    with pytest.raises(InvalidURL, match="without blanks around it"):
        URL.parse(text)


@pytest.mark.parametrize(
    "text", ["", "a.example", "a.example:80", "//a/", "/a", "http:a", "http:/a", "1://a", "é://a"]
)
def test_what_is_no_absolute_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidURL, match="expected"):
        URL.parse(text)


@pytest.mark.parametrize("text", ["http://", "http:///a", "http://:80/", "http://u:p@/", "ws://?a"])
def test_a_url_without_a_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidURL, match="expected a host, got"):
        URL.parse(text)


@pytest.mark.parametrize("text", ["ftp://a/", "file:///a", "javascript://a/", "httpx://a/"])
def test_another_scheme_is_refused(text: str) -> None:
    with pytest.raises(InvalidURL, match="expected http, https, ws or wss as the scheme"):
        URL.parse(text)


def test_what_is_no_text_is_refused() -> None:
    given: Any = b"http://a/"
    with pytest.raises(InvalidURL, match="a URL as text, got bytes"):
        URL.parse(given)


@pytest.mark.parametrize("text", ["http://a/\ud800", "http://a/?\ud800", "http://\ud800@a/"])
def test_half_of_a_pair_is_no_character(text: str) -> None:
    with pytest.raises(InvalidURL, match="expected a URL of characters"):
        URL.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://u:hunter2@a:x/?hunter2",
        "http://u:hunter2?@a",
        "http://u:hunter2/@a:x/",
        "u:hunter2@a",
        "?hunter2",
        "htp://a/bot1:hunter2/getMe",
        "http://a:x/bot1:hunter2/getMe",
        "https:/a/bot1:hunter2/getMe",
        "a/bot1:hunter2//getMe",
        "a\\hunter2",
    ],
)
def test_a_message_tells_no_credentials_no_path_and_no_query(text: str) -> None:
    with pytest.raises(InvalidURL) as error:
        URL.parse(text)
    assert "hunter2" not in str(error.value)


def test_a_message_tells_the_host_as_it_was_written() -> None:
    with pytest.raises(InvalidURL, match=r"got 'http://\*\*\*@a:x/\.\.\.'"):
        URL.parse("http://u:p@a:x/?q")
    with pytest.raises(InvalidURL, match=r"got 'http://a:x/'"):
        URL.parse("http://a:x/")


# Credentials.


@pytest.mark.parametrize(
    ("userinfo", "username", "password"),
    [
        ("me:p%40%3as", "me", "p@:s"),
        ("me:p:s", "me", "p:s"),
        ("me", "me", None),
        ("me:", "me", ""),
        (":s", "", "s"),
        ("我:密%E7%A0%81", "我", "密码"),
        ("a%:b", "a%", "b"),
    ],
)
def test_credentials_are_decoded(userinfo: str, username: str, password: str | None) -> None:
    url = URL.parse(f"http://{userinfo}@a:81/b?c#d")
    assert (url.username, url.password) == (username, password)
    assert URL.parse(url.full) == url


def test_empty_credentials_are_none() -> None:
    url = URL.parse("http://@a/")
    assert (url.username, url.password, url.full) == (None, None, "http://a/")


def test_a_url_as_text_has_no_credentials() -> None:
    url = URL.parse("http://me:hunter2@a:81/b?c#d")
    assert str(url) == "http://a:81/b?c#d"
    assert repr(url) == "URL('http://a:81/b?c#d')"
    assert url.full == "http://me:hunter2@a:81/b?c#d"


@pytest.mark.parametrize("userinfo", ["a%3Ab:c", "a%0A:c", "a:%0d", "a:%7f"])
def test_credentials_that_no_header_can_carry_are_refused(userinfo: str) -> None:
    with pytest.raises(InvalidURL, match="without control characters, and no colon in the name"):
        URL.parse(f"http://{userinfo}@a/")


def test_credentials_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(InvalidURL, match="expected UTF-8 in the credentials"):
        URL.parse("http://%E8:a@b/")


# References.

BASE = "http://a/b/c/d;p?q"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        # RFC 3986, 5.4.1
        ("g", "http://a/b/c/g"), ("./g", "http://a/b/c/g"), ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"), ("?y", "http://a/b/c/d;p?y"), ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"), ("g#s", "http://a/b/c/g#s"), ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"), ("g;x", "http://a/b/c/g;x"), ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"), (".", "http://a/b/c/"), ("./", "http://a/b/c/"),
        ("..", "http://a/b/"), ("../", "http://a/b/"), ("../g", "http://a/b/g"),
        ("../..", "http://a/"), ("../../", "http://a/"), ("../../g", "http://a/g"),
        # 5.4.2
        ("../../../g", "http://a/g"), ("../../../../g", "http://a/g"), ("/./g", "http://a/g"),
        ("/../g", "http://a/g"), ("g.", "http://a/b/c/g."), (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."), ("..g", "http://a/b/c/..g"), ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"), ("g/./h", "http://a/b/c/g/h"), ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"), ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"), ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"), ("g#s/../x", "http://a/b/c/g#s/../x"),
        # and what servers send
        ("?", "http://a/b/c/d;p?"), ("//x", "http://x/"), ("//x:81/y?z", "http://x:81/y?z"),
        ("https://x/y", "https://x/y"), ("/登录?页", "http://a/%E7%99%BB%E5%BD%95?%E9%A1%B5"),
        ("/\\evil", "http://a/%5Cevil"), ("\\\\evil", "http://a/b/c/%5C%5Cevil"),
        ("a b", "http://a/b/c/a%20b"), ("./x:y", "http://a/b/c/x:y"),
    ],
)  # fmt: skip
def test_a_reference_is_resolved_as_rfc_3986_has_it(reference: str, expected: str) -> None:
    assert str(URL.parse(BASE).join(reference)) == expected


SEGMENTS = st.lists(st.sampled_from(["", ".", "..", "g", "h;x=1", ".g"]), max_size=6)


@BOUNDED
@given(base=SEGMENTS, reference=SEGMENTS, query=st.sampled_from(["", "?y", "#s", "?y#s"]))
def test_a_path_is_resolved_as_yarl_does_where_no_segment_is_empty(
    base: list[str], reference: list[str], query: str
) -> None:
    before = "http://a/" + "/".join(filter(None, base))
    after = "/".join(filter(None, reference)) + query
    ours = str(URL.parse(before).join(after))
    assert ours == str(yarl.URL(before).join(yarl.URL(after)))
    assert ours == urljoin(str(URL.parse(before)), after) or after == ""


@pytest.mark.parametrize("reference", ["http:g", "https:///x", "mailto:a@b", "javascript:alert(1)"])
def test_a_reference_with_a_scheme_is_an_absolute_url_or_refused(reference: str) -> None:
    with pytest.raises(InvalidURL):
        URL.parse(BASE).join(reference)


def test_credentials_stay_with_their_authority() -> None:
    url = URL.parse("http://me:secret@a/b")
    assert url.join("/c?d#e").full == "http://me:secret@a/c?d#e"
    assert url.join("").full == "http://me:secret@a/b"
    assert url.join("//b/c").full == "http://b/c"
    assert url.join("http://a/c").full == "http://a/c"
    assert url.join("http://you:x@b/").full == "http://you:x@b/"


def test_a_reference_without_a_fragment_inherits_it() -> None:
    url = URL.parse("http://a/b#c")
    assert str(url.join("/d").with_fragment_of(url)) == "http://a/d#c"
    assert str(url.join("/d#").with_fragment_of(url)) == "http://a/d#"
    assert str(url.join("/d#e").with_fragment_of(url)) == "http://a/d#e"


# Parameters.


class Word(enum.StrEnum):
    A = "a word"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": "b c", "d": "é&=+#?/"}, "a=b%20c&d=%C3%A9%26%3D%2B%23%3F%2F"),
        ({"a": ["x", 1, None], "b": (), "c": (2.5, True)}, "a=x&a=1&c=2.5&c=true"),
        ([("a", 1), ("a", False), ("b", None), ("c", "")], "a=1&a=false&c="),
        ([["a", 10**30]], f"a=1{'0' * 30}"),
        ({"键": "值\r\n"}, "%E9%94%AE=%E5%80%BC%0D%0A"),
        ({"a": Word.A, "b": Number.ONE, "c": -0.0}, "a=a%20word&b=1&c=-0.0"),
        ((pair for pair in [("a", "b")]), "a=b"),
        ("a=b c&d=%2F%&é#\n", "a=b%20c&d=%2F%25&%C3%A9%23%0A"),
        ({"a": None}, None),
        ({}, None),
        ("", None),
        (None, None),
    ],
)
def test_parameters_are_written_into_the_query(params: Any, query: str | None) -> None:
    assert URL.parse("http://a/").with_params(params).query == query


def test_parameters_stand_behind_what_stands_in_the_query() -> None:
    url = URL.parse("http://a/b?x=%7e&y#f")
    assert str(url.with_params({"x": "1"})) == "http://a/b?x=%7e&y&x=1#f"
    assert str(url.with_params("z")) == "http://a/b?x=%7e&y&z#f"
    assert str(URL.parse("http://a/?").with_params({"x": 1})) == "http://a/?x=1"
    assert url.with_params(None) == url.with_params({}) == url


def test_default_parameters_give_way_to_those_of_the_same_name() -> None:
    defaults = [("a", "1"), ("b c", "2"), ("", "3"), ("d", "4"), ("d", "5")]
    url = URL.parse("http://h/?%61=x&b+c")
    assert url.with_default_params(defaults).query == "%61=x&b+c&=3&d=4&d=5"
    assert URL.parse("http://h/").with_default_params([("", "3")]).query == "=3"
    assert URL.parse("http://h/").with_default_params([]).query is None


@pytest.mark.parametrize(
    "params",
    [1, b"a=b", {"a": b"b"}, {"a": {}}, {1: "a"}, [("a",)], ["ab"], [("a", "b", "c")], {"a": [[]]}],
)
def test_what_is_no_parameter_is_refused(params: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        URL.parse("http://a/").with_params(params)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_a_value_that_cannot_be_written_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        URL.parse("http://a/").with_params({"a": value})


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@BOUNDED
@given(st.lists(st.tuples(TEXT, TEXT)))
def test_parameters_come_out_at_the_other_end_as_they_went_in(pairs: list[tuple[str, str]]) -> None:
    query = URL.parse("http://a/").with_params(pairs).query or ""
    assert parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)) == pairs
    assert list(yarl.URL(f"http://a/?{query}").query.items()) == pairs


def test_a_number_is_no_subclass_s_idea_of_text() -> None:
    class Loud(int):
        def __repr__(self) -> str:
            return "LOUD"

    assert text_of(Loud(3)) == "3"


# Beside other libraries.


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com", "https://Example.COM:8443/a/../b/./c?x=1&y=%20#z", "http://a:/b",
        "http://例え.jp/路径?查询=值", "http://[::1]:8000/a b", "http://a.b./c;d=e,f?g=h+i&j=/?:@",
        "https://u:p%40@h:444/x//y/", "http://a/%E4%BE%8B%2F?%26", "http://127.0.0.1:81/~x/!$&'()*",
    ],
)  # fmt: skip
def test_yarl_and_httpx_agree_with_us(text: str) -> None:
    ours, theirs, others = URL.parse(text), yarl.URL(text), httpx.URL(text)
    assert ours.host == theirs.raw_host == others.raw_host.decode()
    assert ours.target == theirs.raw_path_qs == others.raw_path.decode()
    assert ours.port == theirs.port == (others.port or ours.port)
    assert (ours.username, ours.password) == (theirs.user, theirs.password)
    assert (ours.username or "", ours.password or "") == (others.username, others.password)


@BOUNDED
@given(st.text())
def test_any_text_is_a_url_for_one_host_or_refused(text: str) -> None:
    for candidate in (text, f"http://{text}", f"http://a/{text}", f"http://a{text}"):
        try:
            url = URL.parse(candidate)
        except InvalidURL:
            continue
        assert all("!" <= character <= "~" for character in url.absolute_target)
        assert URL.parse(url.full) == url
        assert httpx.URL(url.absolute_target).raw_host.decode() == url.host
        assert yarl.URL(url.absolute_target).raw_host == url.host


@pytest.mark.parametrize("piece", ["/", "/.", "/..", "@", ":", "%", "//@", "?&", "a.", "[", "例"])
def test_a_long_text_makes_a_short_message_and_no_quadratic_search(piece: str) -> None:
    """The square of a million would be noticed by everybody who waits for this test."""
    for prefix in ("", "http://", "http://:", "http://[", "http://a/", "http://a/?"):
        text = prefix + piece * (1_000_000 // len(piece))
        try:
            said = str(URL.parse(text).origin)
        except InvalidURL as error:
            said = str(error)
        assert len(said) < 500
