"""NoneBot's Request: filled as the FastAPI driver fills it, and no sooner than it is looked at."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nonebot.config import Config, Env
from nonebot.drivers import URL, HTTPServerSetup, Response, fastapi
from nonebot.drivers import Request as NoneBotRequest
from starlette.datastructures import UploadFile
from starlette.requests import Request as StarletteRequest

from nbdriver.model import Headers
from nbdriver.model import Request as ReceivedRequest
from nbdriver.nonebot.v2.requests import Request, Site

HTTP = Site("served:8080", websocket=False)
WEBSOCKET = Site("served:8080", websocket=True)
ATTRIBUTES = "method version timeout proxy url headers cookies content data json files".split()
FORM = "application/x-www-form-urlencoded"

BOUNDARY = ("content-type", "multipart/form-data; boundary=b")

theirs = fastapi.Driver(Env(_env_file=None), Config(_env_file=None))


@pytest.fixture(scope="module", autouse=True)
def _files_are_files() -> Iterator[None]:
    """NoneBot 2.5 takes files for fields: it asks whether Starlette's UploadFile is FastAPI's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastapi, "UploadFile", UploadFile)
        yield


def received(
    target: str = "/a",
    body: bytes = b"",
    *lines: tuple[str, str],
    method: str = "POST",
    host: str | None = "example.org",
    **more: Any,
) -> ReceivedRequest:
    hosts = [] if host is None else [("host", host)]
    return ReceivedRequest(method, target, Headers([*hosts, *lines]), body, **more)


def as_fastapi(request: ReceivedRequest) -> NoneBotRequest:
    """What the FastAPI driver hands over for the same request, under uvicorn."""
    scope = {
        "type": "http",
        "method": request.method,
        "path": unquote(request.path),
        "query_string": request.query_string.encode(),
        "headers": [
            (name.encode(), value.encode("latin-1")) for name, value in request.headers.items()
        ],
        "scheme": request.scheme,
        "http_version": request.http_version,
        "server": ("served", 8080),
    }
    taken: list[NoneBotRequest] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.body}

    async def handle(request: NoneBotRequest) -> Response:
        taken.append(request)
        return Response(204)

    setup = HTTPServerSetup(URL("/a"), "POST", "it", handle)
    asyncio.run(theirs._handle_http(StarletteRequest(scope, receive), setup))
    return taken[0]


def facts(request: NoneBotRequest) -> dict[str, Any]:
    """What can be compared of a request; its files are read and closed."""
    return {
        "method": request.method,
        "version": request.version,
        "timeout": request.timeout,
        "proxy": request.proxy,
        "url": request.url,
        "headers": list(request.headers.items()),
        "cookies": sorted((each.name, each.value) for each in request.cookies),
        "content": request.content,
        "json": request.json,
        # Without python-multipart FastAPI has None, with it, where there is no form, nothing.
        "data": request.data or {},
        "files": [
            (name, filename, contents(file), content_type)
            for name, (filename, file, content_type) in request.files or ()
        ],
        "repr": repr(request),
    }


def contents(file: Any) -> bytes:
    with file:
        read: bytes = file.read()
    return read


def assert_same(request: ReceivedRequest) -> None:
    assert facts(Request(request, HTTP)) == facts(as_fastapi(request))


# As FastAPI.


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/a/b?x=1&y=%20&z",
        "/a?",
        "//a//b",
        "/%E4%BD%A0%20?q=%E4%BD%A0",
        "/a%2Fb%3Fc%23d%25e%5Cf",
        "/%ff%zz%",
        "/a;b=c,d:e@f!$&'()*+~|^`{}[]",
        "/a?b=%zz&%3D=%26&c=+d",
    ],
)
def test_the_url_is_put_together_as_there(target: str) -> None:
    assert_same(received(target))


@pytest.mark.parametrize("host", ["a:1", "A.B", "a:80", "[::1]:8080", "1.2.3.4", "a_b", "xn--a"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_host_of_the_url_is_that_of_the_header(host: str, scheme: str) -> None:
    assert_same(received(host=host, scheme=scheme))


def test_without_a_host_of_use_the_url_has_that_of_the_server() -> None:
    assert_same(received(host=None, http_version="1.0"))
    assert_same(received(host="a:99999"))


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20))
def test_the_url_of_any_target_is_that_of_fastapi(target: str) -> None:
    assert_same(received(f"/{target}"))


def test_headers_keep_their_lines_and_are_found_by_any_case() -> None:
    request = received("/a", b"", ("x-a", "1"), ("x-b", "é"), ("x-a", "2"))
    assert_same(request)
    assert Request(request, HTTP).headers.getall("X-A") == ["1", "2"]


@pytest.mark.parametrize(
    "lines",
    [
        ["a=1; b=2"],
        ["a=1", "b=2; a=3"],
        ['a="x\\"y\\073"; b=" c "; =d; e; f='],
        [" a = 1 ;;  ; b=c=d"],
    ],
)
def test_cookies_are_read_as_there(lines: list[str]) -> None:
    assert_same(received("/a", b"", *(("cookie", line) for line in lines)))


@given(st.text(st.sampled_from('ab=;," \\0'), max_size=30))
def test_any_cookies_are_read_as_there(line: str) -> None:
    assert_same(received("/a", b"", ("cookie", line)))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, 2.5, null, "\xe4\xbd\xa0"]}',
        b"null",
        b"1",
        b"NaN",
        b"",
        b"{",
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        '{"a": "你"}'.encode("utf-16"),
        b"[" * 100_000,
        b"[" * 600 + b"]" * 600,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_json_is_what_there_is_json(body: bytes) -> None:
    ours, fastapi = (
        facts(Request(received("/a", body), HTTP)),
        facts(as_fastapi(received("/a", body))),
    )
    assert repr(ours.pop("json")) == repr(fastapi.pop("json"))
    assert ours == fastapi


@pytest.mark.parametrize("body", [b"", b"a=1&b=%E4%BD%A0&a=2", b"a&=b&&c=+", b"{}"])
def test_a_form_is_read_as_there(body: bytes) -> None:
    assert_same(received("/a", body, ("content-type", FORM)))


PARTS = st.lists(
    st.tuples(
        st.sampled_from(['name="a"', 'name="a"; filename="你.txt"', "name=b", 'name="\\"\\\\;"']),
        st.sampled_from([b"", b"Content-Type: text/plain\r\n", b"X: y\r\n"]),
        st.binary(max_size=20) | st.sampled_from([b"--b", b"\r\n--bc", b"\r\n"]),
    ),
    max_size=4,
)


@given(PARTS)
def test_any_form_with_files_is_read_as_there(parts: list[tuple[str, bytes, bytes]]) -> None:
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; %b\r\n%b\r\n%b\r\n"
        % (disposition.encode(), header, content.replace(b"\r\n--b", b"\r\n--c"))
        for disposition, header, content in parts
    )
    assert_same(
        received("/a", body + b"--b--\r\n", ("content-type", "multipart/form-data; boundary=b"))
    )


@pytest.mark.parametrize("method", ["POST", "get", "PURGE"])
@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
def test_method_and_version_are_as_there(method: str, version: str) -> None:
    assert_same(received(method=method, http_version=version))


# What FastAPI does not do.


def test_a_body_that_is_no_form_has_no_data_and_no_files() -> None:
    request = Request(received("/a", b"{}"), HTTP)
    assert (request.data, request.files) == (None, None)


def test_files_are_those_of_the_form() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="g"\r\n\r\nx\r\n--b--'
    request = Request(
        received("/a", body, ("content-type", "multipart/form-data; boundary=b")), HTTP
    )
    [(name, (filename, file, content_type))] = request.files or []
    assert isinstance(file, BytesIO)
    assert (name, filename, file.read(), content_type) == ("f", "g", b"x", None)
    assert request.data == {}


def test_a_form_that_is_cut_off_is_none() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n--b\r\n'
    request = Request(
        received("/a", body, ("content-type", "multipart/form-data; boundary=b")), HTTP
    )
    assert (request.data, request.files, request.content) == (None, None, body)


@pytest.mark.parametrize(("scheme", "theirs"), [("http", "ws"), ("https", "wss")])
def test_an_opening_handshake_has_a_url_of_its_kind_and_no_body(scheme: str, theirs: str) -> None:
    handshake = received("/ws?a=1", b"", ("content-type", FORM), method="GET", scheme=scheme)
    request = Request(handshake, WEBSOCKET)
    assert request.url == URL(f"{theirs}://example.org/ws?a=1")
    assert (request.method, request.headers["HOST"]) == ("GET", "example.org")
    assert [request.content, request.data, request.json, request.files] == [None] * 4


# As any Request of NoneBot's.


def test_nothing_is_made_before_it_is_asked_for() -> None:
    request = Request(received(), HTTP)
    before = set(vars(request))
    assert before.isdisjoint(ATTRIBUTES)
    assert request.headers is request.headers
    assert request.cookies is request.cookies
    assert set(vars(request)) - before == {"headers", "cookies"}


def test_it_is_a_request_of_nonebots_and_says_so() -> None:
    request = Request(received(), HTTP)
    assert isinstance(request, NoneBotRequest)
    assert repr(request) == "Request(method='POST', url='http://example.org/a')"


def test_what_is_set_stays_and_what_is_changed_too() -> None:
    request = Request(received("/a", b"{}"), HTTP)
    request.json = {"set": True}
    request.url = URL("http://other/")
    request.headers["x-a"] = "1"
    request.extra = "a plugin's own"  # type: ignore[attr-defined]
    assert (request.json, request.url.host, request.headers["X-A"]) == ({"set": True}, "other", "1")


def test_an_attribute_that_a_request_does_not_have_is_missing() -> None:
    request = Request(received(), HTTP)
    assert not hasattr(request, "nonsense")
    with pytest.raises(AttributeError, match="'Request' object has no attribute 'nonsense'"):
        request.nonsense  # noqa: B018


def test_a_copy_is_a_plain_request_with_all_there_is() -> None:
    request = Request(received("/a?b", b"{}"), HTTP)
    request.headers["x-a"] = "1"
    request.extra = "a plugin's own"  # type: ignore[attr-defined]
    made = copy.copy(request)
    assert type(made) is NoneBotRequest
    assert set(vars(made)) == {*ATTRIBUTES, "extra"}
    assert made.headers is request.headers
    assert facts(made) == facts(request)


@pytest.mark.parametrize("take", [copy.deepcopy, pickle.dumps])
def test_what_nonebots_cannot_be_made_into_ours_cannot_either(take: Any) -> None:
    for request in (as_fastapi(received()), Request(received(), HTTP)):
        with pytest.raises(TypeError, match="RLock"):
            take(request)
