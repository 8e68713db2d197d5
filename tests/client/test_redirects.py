"""Redirects: which method follows, where to, and what must not go along."""

from __future__ import annotations

import httpx
import pytest
from fuzz.strategies import BOUNDED
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.client.authorization import authorization
from nbdriver.client.redirects import Step, follow, location_of
from nbdriver.client.urls import URL
from nbdriver.errors import InvalidResponse
from nbdriver.model import Headers

SECRETS = (
    ("Authorization", "a"),
    ("Cookie", "b"),
    ("Proxy-Authorization", "c"),
    ("Host", "d"),
    ("X-Api-Key", "e"),
    ("x-auth-token", "f"),
    ("X-Signature", "g"),
    ("x_api_key", "h"),
    ("X-Access-Key", "i"),
    ("X-Session-Id", "j"),
)
OTHERS = (("accept", "*/*"), ("user-agent", "me"), ("x-request-id", "1"), ("x-forwarded-host", "h"))


def step(
    location: str,
    *,
    status: int = 302,
    url: str = "http://a/b/c?d",
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
) -> Step:
    return follow(status, location, URL.parse(url), method, headers)


# Whether it is one.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_answer_with_such_a_status_and_a_location_leads_elsewhere(status: int) -> None:
    assert location_of(status, Headers([("Location", "/a")])) == "/a"
    assert location_of(status, Headers([("location", "/a"), ("Location", "/a")])) == "/a"
    assert location_of(status, Headers()) is None


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 401])
def test_an_answer_with_another_status_does_not(status: int) -> None:
    assert location_of(status, Headers([("location", "/a")])) is None


def test_an_answer_that_leads_to_two_places_is_refused() -> None:
    with pytest.raises(InvalidResponse, match="expected one Location, got 2 that differ"):
        location_of(302, Headers([("location", "/a"), ("location", "/b")]))


# RFC 9110, 15.4.2 to 15.4.9.


@pytest.mark.parametrize(
    ("status", "method", "following"),
    [
        *((status, method, method) for status in (307, 308) for method in ("GET", "POST", "PUT")),
        *((status, method, method) for status in (301, 302) for method in ("GET", "HEAD", "PUT")),
        (301, "POST", "GET"), (302, "POST", "GET"),
        (303, "POST", "GET"), (303, "PUT", "GET"), (303, "DELETE", "GET"),
        (303, "GET", "GET"), (303, "HEAD", "HEAD"),
    ],
)  # fmt: skip
def test_the_method_that_follows(status: int, method: str, following: str) -> None:
    after = step("/", status=status, method=method)
    assert after.method == following
    assert after.keeps_body is (following == method)


BODY = (
    ("Content-Type", "text/plain"),
    ("content-length", "3"),
    ("Content-Encoding", "gzip"),
    ("content-language", "zh"),
    ("Content-MD5", "x"),
    ("transfer-encoding", "chunked"),
    ("Trailer", "x"),
    ("expect", "100-continue"),
    ("digest", "x"),
)


def test_headers_about_a_body_go_with_it() -> None:
    assert step("/", method="POST", headers=BODY + OTHERS).headers == OTHERS
    assert step("/", status=307, method="POST", headers=BODY + OTHERS).headers == BODY + OTHERS


# Where to.


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x", "http://a/x"),
        ("x?y", "http://a/b/x?y"),
        ("//h/x", "http://h/x"),
        ("https://h:8443/x", "https://h:8443/x"),
        ("", "http://a/b/c?d"),
        ("/a b", "http://a/a%20b"),
        (
            "/路径?键=值".encode().decode("latin-1"),
            "http://a/%E8%B7%AF%E5%BE%84?%E9%94%AE=%E5%80%BC",
        ),
        ("/\u00e9\u0020|%41", "http://a/%E9%20%7C%41"),
        ("http://例え.jp/".encode().decode("latin-1"), "http://xn--r8jz45g.jp/"),
    ],
)
def test_a_location_is_a_reference_of_bytes(location: str, url: str) -> None:
    assert str(step(location).url) == url


def test_a_fragment_is_inherited() -> None:
    assert str(step("/x", url="http://a/#f").url) == "http://a/x#f"
    assert str(step("/x#g", url="http://a/#f").url) == "http://a/x#g"


@pytest.mark.parametrize(
    "location",
    ["ftp://a/", "javascript:1", "http://", "http://a b/", "/\t", "http://a@b@c/", "h:x"],
)
def test_a_location_that_is_no_url_of_ours_is_an_invalid_response(location: str) -> None:
    with pytest.raises(InvalidResponse, match=r"^cannot follow a redirect from a: exp") as error:
        step(location, url="http://u:secret@a/secret?secret")
    assert "secret" not in str(error.value)


@BOUNDED
@given(st.text(st.characters(max_codepoint=255)))
def test_any_location_leads_somewhere_or_is_refused(location: str) -> None:
    try:
        after = step(location)
    except InvalidResponse:
        return
    assert after.url.target.isascii()
    assert after.keeps_credentials is (after.url.origin in (("http", "a", 80), ("https", "a", 443)))


# What goes along (CVE-2026-34518).


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://a/", "https://b/"),
        ("https://a/", "https://a.b/"),
        ("https://a.b/", "https://b/"),
        ("https://a/", "//b/"),
        ("https://a/", "https://a:8443/"),
        ("https://a:8443/", "https://a/"),
        ("https://a/", "http://a/"),
        ("http://a:8080/", "https://a/"),
        ("http://a/", "https://a:8443/"),
        ("http://a/", "https://b/"),
        ("http://127.0.0.1/", "http://localhost/"),
        ("http://a/", "http://a./"),
    ],
)
@pytest.mark.parametrize("status", [301, 307])
def test_no_credentials_go_to_another_place(url: str, location: str, status: int) -> None:
    after = step(location, status=status, url=url, headers=SECRETS + OTHERS)
    assert after.headers == OTHERS
    assert not after.keeps_credentials


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://a/", "/b"),
        ("https://a/", "HTTPS://A:443/"),
        ("http://a:8080/", "//a:8080"),
        ("http://[::1]/", "http://[0::1]:80/"),
        ("http://a/", "https://a/"),
        ("ws://a/", "wss://a/"),
        ("wss://a/", "https://a/"),
    ],
)
def test_credentials_go_to_the_same_place_and_to_its_tls(url: str, location: str) -> None:
    after = step(location, url=url, headers=SECRETS + OTHERS)
    assert after.headers == SECRETS + OTHERS
    assert after.keeps_credentials


def test_credentials_in_a_url_stay_with_its_authority() -> None:
    url = "http://me:secret@a/"
    assert step("/x", url=url).url.password == "secret"
    assert step("//b/x", url=url).url.password is None
    assert step("http://you:other@b/x", url=url).url.password == "other"
    assert step("http://you:other@a/x", url=url).url.password == "other"


@pytest.mark.parametrize("location", ["http://a/x", "HTTP://A:80", "//a/x", "https://a/x", "?y"])
def test_credentials_in_a_url_go_to_the_same_place_named_in_full(location: str) -> None:
    assert step(location, url="http://me:secret@a/").url.userinfo == "me:secret"


@pytest.mark.parametrize("location", ["http://a:81/", "https://a:81/", "//a./", "http://b/"])
def test_credentials_in_a_url_go_to_no_other_place_and_do_not_come_back(location: str) -> None:
    there = step(location, url="http://me:secret@a/").url
    assert there.userinfo is None
    assert step("http://a/", url=str(there)).url.userinfo is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("location", ["/x", "http://a:81/x", "https://a/x", "http://b/x", "?y"])
async def test_httpx_follows_alike(status: int, method: str, location: str) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status if len(seen) == 1 else 200, headers={"location": location})

    headers = {"authorization": "x", "content-type": "text/plain", "content-length": "2"}
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(answer), follow_redirects=True
    ) as client:
        await client.request(method, "http://a/b?c", content=b"ab", headers=headers)
    theirs = seen[1]
    ours = step(
        location, status=status, url="http://a/b?c", method=method, headers=tuple(headers.items())
    )
    assert (ours.method, str(ours.url)) == (theirs.method, str(theirs.url))
    assert ours.keeps_body is (theirs.content == b"ab")
    assert [name for name, _ in ours.headers if name == "authorization"] == [
        name for name in theirs.headers if name == "authorization"
    ]


@pytest.mark.parametrize(
    "location", ["/x", "http://a/x", "https://a/x", "http://a:81/x", "http://b/x", "//u:p@b/"]
)
async def test_httpx_is_as_generous_with_credentials_in_a_url(location: str) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302 if len(seen) == 1 else 200, headers={"location": location})

    url = "http://me:secret@a/"
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
        await client.get(url)
    # It takes none from a Location; we do, as browsers.
    given = seen[1].headers.get("authorization")
    assert authorization(step(location, url=url).url) == (given or theirs_in(location))


def theirs_in(location: str) -> str | None:
    return "Basic dTpw" if "@" in location else None
