"""What an HTTP client sends of a NoneBot Request, on every driver with one."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conformance.standing_in import Web, found_in, serve_bytes, serve_web, values
from nonebot.drivers import URL, Cookies, HTTPClientMixin, Request
from nonebot.internal.driver import CookieTypes, HeaderTypes, QueryTypes


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A server that tells what it was sent."""
    async with serve_web() as served:
        yield served


async def inspect(
    client: HTTPClientMixin, web: Web, method: str = "GET", path: str = "/inspect", **options: Any
) -> dict[str, Any]:
    """What the server was sent for a request."""
    response = await client.request(Request(method, web.url(path), **options))
    assert response.status_code == 200
    return found_in(response.content)


# Method and URL.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
async def test_any_method_is_sent(client: HTTPClientMixin, web: Web, method: str) -> None:
    assert (await inspect(client, web, method))["method"] == method


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/", "/"),
        ("", "/"),
        ("/a/b?c=1&c=2", "/a/b?c=1&c=2"),
        ("/路径?q=你好", "/%E8%B7%AF%E5%BE%84?q=%E4%BD%A0%E5%A5%BD"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a b", "/a%20b"),
        ("/a?b=1#fragment", "/a?b=1"),
        ("/a?b=c%26d", "/a?b=c%26d"),
        ("/a?b=c%2Bd", "/a?b=c%2Bd"),
        ("/a//b", "/a//b"),
        ("/a:b@c;d=e", "/a:b@c;d=e"),
    ],
)
async def test_the_target_is_the_urls(
    client: HTTPClientMixin, web: Web, path: str, target: str
) -> None:
    assert (await inspect(client, web, path=path))["target"] == target


async def test_a_parameter_may_be_without_a_value(client: HTTPClientMixin, web: Web) -> None:
    assert (await inspect(client, web, path="/a?b"))["target"] == "/a?b"


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": "1", "b": 2, "c": 1.5}, [["a", "1"], ["b", "2"], ["c", "1.5"]]),
        ({"a": ["1", "2"]}, [["a", "1"], ["a", "2"]]),
        ([("a", "1"), ("a", "2")], [["a", "1"], ["a", "2"]]),
        ("a=1&b=2", [["a", "1"], ["b", "2"]]),
        ({"q": "你好 &=+%"}, [["q", "你好 &=+%"]]),
        ({"q": ""}, [["q", ""]]),
    ],
    ids=str,
)
async def test_parameters_are_sent(
    client: HTTPClientMixin, web: Web, params: QueryTypes, query: list[list[str]]
) -> None:
    assert (await inspect(client, web, params=params))["query"] == query


async def test_parameters_are_added_to_the_urls(client: HTTPClientMixin, web: Web) -> None:
    found = await inspect(client, web, path="/inspect?a=1", params={"b": "2"})
    assert found["query"] == [["a", "1"], ["b", "2"]]


async def test_a_sessions_parameters_go_along(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session(params={"a": "1", "b": "2"}) as session:
        response = await session.request(Request("GET", web.url("/inspect?c=3")))
    assert sorted(found_in(response.content)["query"]) == [["a", "1"], ["b", "2"], ["c", "3"]]


async def test_a_requests_parameters_beat_the_sessions(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session(params={"a": "1", "b": "2"}) as session:
        response = await session.request(Request("GET", web.url("/inspect?a=3")))
    assert sorted(found_in(response.content)["query"]) == [["a", "3"], ["b", "2"]]


async def test_a_sessions_parameters_may_repeat(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session(params=[("a", "1"), ("a", "2")]) as session:
        response = await session.request(Request("GET", web.url("/inspect")))
    assert found_in(response.content)["query"] == [["a", "1"], ["a", "2"]]


async def test_parameters_that_repeat_are_kept_beside_the_sessions(
    client: HTTPClientMixin, web: Web
) -> None:
    async with client.get_session(params={"b": "1"}) as session:
        response = await session.request(Request("GET", web.url("/inspect?a=1&a=2")))
    assert sorted(found_in(response.content)["query"]) == [["a", "1"], ["a", "2"], ["b", "1"]]


async def test_credentials_of_the_url_are_basic_authorization(
    client: HTTPClientMixin, web: Web
) -> None:
    url = web.url("/inspect").replace("//", "//user:p%40ss@")
    response = await client.request(Request("GET", url))
    assert values(found_in(response.content), "authorization") == ["Basic dXNlcjpwQHNz"]


# Headers.


@pytest.mark.parametrize(
    "headers", [{"X-A": "1"}, [("X-A", "1")], {"x-a": "1"}], ids=["dict", "list", "lower case"]
)
async def test_headers_are_sent(client: HTTPClientMixin, web: Web, headers: HeaderTypes) -> None:
    assert values(await inspect(client, web, headers=headers), "x-a") == ["1"]


async def test_a_header_may_repeat(client: HTTPClientMixin, web: Web) -> None:
    found = await inspect(client, web, headers=[("X-A", "1"), ("X-A", "2")])
    assert values(found, "x-a") == ["1", "2"]


async def test_a_sessions_headers_go_along(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session(headers={"X-A": "1", "X-B": "2"}) as session:
        response = await session.request(Request("GET", web.url("/inspect"), headers={"x-a": "3"}))
    found = found_in(response.content)
    assert (values(found, "x-a"), values(found, "x-b")) == (["3"], ["2"])


async def test_the_usual_headers_are_there(client: HTTPClientMixin, web: Web) -> None:
    found = await inspect(client, web)
    assert values(found, "host") == [f"127.0.0.1:{web.port}"]
    assert values(found, "accept") == ["*/*"]
    assert "gzip" in values(found, "accept-encoding")[0]
    assert len(values(found, "user-agent")) == 1


@pytest.mark.parametrize("name", ["Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"])
async def test_a_header_that_is_given_takes_the_place_of_the_usual_one(
    client: HTTPClientMixin, web: Web, name: str
) -> None:
    value = "close" if name == "Connection" else "given"
    assert values(await inspect(client, web, headers={name: value}), name) == [value]


@pytest.mark.parametrize("value", ["a\r\nX-B: 1", "a\nb", "a\0b"], ids=repr)
async def test_no_header_can_bring_in_another(
    client: HTTPClientMixin, web: Web, value: str
) -> None:
    with pytest.raises(Exception, match=r".+"):
        await client.request(Request("GET", web.url("/inspect"), headers={"X-A": value}))


async def test_blanks_around_a_headers_value_are_no_part_of_it(
    client: HTTPClientMixin, web: Web
) -> None:
    found = await inspect(client, web, headers={"Authorization": "Bearer "})
    assert values(found, "authorization") == ["Bearer"]


async def test_a_header_value_beyond_ascii_is_sent(client: HTTPClientMixin, web: Web) -> None:
    found = await inspect(client, web, headers={"X-A": "你好"})
    (value,) = values(found, "x-a")
    assert value.encode("utf-8", "surrogateescape").decode() == "你好"


# Cookies.


@pytest.mark.parametrize(
    "cookies", [{"a": "1", "b": "2"}, [("a", "1"), ("b", "2")], Cookies({"a": "1", "b": "2"})]
)
async def test_cookies_are_sent(client: HTTPClientMixin, web: Web, cookies: CookieTypes) -> None:
    assert (await inspect(client, web, cookies=cookies))["cookies"] == {"a": "1", "b": "2"}


async def test_a_sessions_cookies_go_along(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session(cookies={"a": "1", "b": "2"}) as session:
        request = Request("GET", web.named("/inspect"), cookies={"b": "3", "c": "4"})
        response = await session.request(request)
        assert found_in(response.content)["cookies"] == {"a": "1", "b": "3", "c": "4"}
        response = await session.request(Request("GET", web.named("/inspect")))
        assert found_in(response.content)["cookies"] == {"a": "1", "b": "2"}


async def test_a_session_keeps_the_cookies_that_it_is_given(
    client: HTTPClientMixin, web: Web
) -> None:
    async with client.get_session(cookies={"a": "1"}) as session:
        await session.request(Request("GET", web.named("/cookies?b=2&c=3")))
        response = await session.request(Request("GET", web.named("/inspect")))
    assert found_in(response.content)["cookies"] == {"a": "1", "b": "2", "c": "3"}


async def test_a_session_keeps_the_cookies_of_an_address(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session() as session:
        await session.request(Request("GET", web.url("/cookies?a=1")))
        response = await session.request(Request("GET", web.url("/inspect")))
    assert found_in(response.content)["cookies"] == {"a": "1"}


async def test_a_session_streams_cookies_too(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session() as session:
        async for _ in session.stream_request(Request("GET", web.named("/cookies?b=2"))):
            pass
        response = await session.request(Request("GET", web.named("/inspect")))
    assert found_in(response.content)["cookies"] == {"b": "2"}


async def test_plain_requests_share_no_cookies(client: HTTPClientMixin, web: Web) -> None:
    await client.request(Request("GET", web.named("/cookies?a=1")))
    assert (await inspect(client, web))["cookies"] == {}


async def test_two_sessions_share_no_cookies(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session() as one, client.get_session() as two:
        await one.request(Request("GET", web.named("/cookies?a=1")))
        response = await two.request(Request("GET", web.named("/inspect")))
    assert found_in(response.content)["cookies"] == {}


async def test_a_cookie_of_an_answer_goes_along_to_where_it_leads(
    client: HTTPClientMixin, web: Web
) -> None:
    url = web.named("/redirect/302?to=/inspect&cookie=a%3D1;Path=/")
    response = await client.request(Request("GET", url))
    assert found_in(response.content)["cookies"] == {"a": "1"}


async def test_a_cookie_of_another_host_is_not_sent(client: HTTPClientMixin, web: Web) -> None:
    cookies = Cookies()
    cookies.set("a", "1", domain="example.org")
    cookies.set("b", "2")
    assert (await inspect(client, web, cookies=cookies))["cookies"] == {"b": "2"}


async def test_the_requests_cookies_stay_as_they_were(client: HTTPClientMixin, web: Web) -> None:
    request = Request("GET", web.named("/cookies?b=2"), cookies={"a": "1"})
    await client.request(request)
    assert [(cookie.name, cookie.value) for cookie in request.cookies] == [("a", "1")]


# Content.


@pytest.mark.parametrize(
    ("content", "sent"), [(b"\x00bytes\xff", b"\x00bytes\xff"), ("你好", "你好".encode())]
)
async def test_content_is_sent(
    client: HTTPClientMixin, web: Web, content: str | bytes, sent: bytes
) -> None:
    found = await inspect(client, web, "POST", content=content)
    assert (found["content"], values(found, "content-length")) == (sent, [str(len(sent))])


async def test_content_can_have_a_type(client: HTTPClientMixin, web: Web) -> None:
    headers = {"Content-Type": "text/x-own"}
    found = await inspect(client, web, "POST", content="text", headers=headers)
    assert values(found, "content-type") == ["text/x-own"]


async def test_no_content_has_a_length_of_0(client: HTTPClientMixin, web: Web) -> None:
    assert values(await inspect(client, web, "POST"), "content-length") == ["0"]


async def test_a_get_without_content_has_no_length(client: HTTPClientMixin, web: Web) -> None:
    assert values(await inspect(client, web, "GET"), "content-length") == []


@pytest.mark.parametrize(
    "value", [{"a": "你好"}, [1, 2.5, None, True], "text", 0, {}, []], ids=repr
)
async def test_json_is_sent(client: HTTPClientMixin, web: Web, value: object) -> None:
    found = await inspect(client, web, "POST", json=value)
    assert values(found, "content-type") == ["application/json"]
    assert json.loads(found["content"]) == value


async def test_json_can_have_another_type(client: HTTPClientMixin, web: Web) -> None:
    headers = {"content-type": "application/vnd.api+json"}
    found = await inspect(client, web, "POST", json={}, headers=headers)
    assert values(found, "content-type") == ["application/vnd.api+json"]


async def test_a_get_may_have_content(client: HTTPClientMixin, web: Web) -> None:
    assert (await inspect(client, web, "GET", json={"a": 1}))["content"].replace(b" ", b"") == (
        b'{"a":1}'
    )


async def test_a_big_body_is_sent(client: HTTPClientMixin, web: Web) -> None:
    found = await inspect(client, web, "POST", content=b"x" * 3_000_000)
    assert found["content"] == b"x" * 3_000_000


# Forms.


async def form(client: HTTPClientMixin, web: Web, **options: Any) -> list[list[str]]:
    """The fields and files that the server has read."""
    response = await client.request(Request("POST", web.url("/form"), **options))
    assert isinstance(response.content, bytes)
    found: list[list[str]] = json.loads(response.content)
    return found


async def test_a_form_is_sent(client: HTTPClientMixin, web: Web) -> None:
    found = await inspect(client, web, "POST", data={"a": "1"})
    assert values(found, "content-type") == ["application/x-www-form-urlencoded"]
    assert found["content"] == b"a=1"


async def test_a_form_may_have_any_text(client: HTTPClientMixin, web: Web) -> None:
    data = {"名字": "小明", "sum": "1+1=2 & more", "empty": ""}
    assert sorted(await form(client, web, data=data)) == sorted(map(list, data.items()))


async def test_a_form_may_have_numbers(client: HTTPClientMixin, web: Web) -> None:
    assert await form(client, web, data={"a": 1, "b": 2.5}) == [["a", "1"], ["b", "2.5"]]


async def test_a_field_of_a_form_may_have_several_values(client: HTTPClientMixin, web: Web) -> None:
    assert await form(client, web, data={"a": ["1", "2"]}) == [["a", "1"], ["a", "2"]]


FILE = b"PNG"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"f": FILE}, ["f", "f", "PNG"]),
        ({"f": ("a.png", FILE)}, ["f", "a.png", "PNG"]),
        ([("f", ("a.png", FILE))], ["f", "a.png", "PNG"]),
        ({"f": ("a.png", FILE, "image/x-own")}, ["f", "a.png", "PNG", "image/x-own"]),
        ({"f": ("猫 图.png", FILE)}, ["f", "猫 图.png", "PNG"]),
        ({"文件": ("a.png", FILE)}, ["文件", "a.png", "PNG"]),
    ],
    ids=["bytes", "name", "list", "type", "CJK name", "CJK field"],
)
async def test_files_are_sent(
    client: HTTPClientMixin, web: Web, files: Any, found: list[str]
) -> None:
    (file,) = await form(client, web, files=files)
    assert file[: len(found)] == found


async def test_a_file_object_is_sent(client: HTTPClientMixin, web: Web) -> None:
    (file,) = await form(client, web, files={"f": ("a.png", io.BytesIO(FILE))})
    assert file[:3] == ["f", "a.png", "PNG"]


async def test_the_type_of_a_file_is_guessed_from_its_name(
    client: HTTPClientMixin, web: Web
) -> None:
    assert await form(client, web, files={"f": ("a.png", FILE)}) == [
        ["f", "a.png", "PNG", "image/png"]
    ]


async def test_fields_and_files_go_together(client: HTTPClientMixin, web: Web) -> None:
    files = [("f", ("a.txt", b"A", "text/plain")), ("f", ("b.txt", b"B", "text/plain"))]
    assert sorted(await form(client, web, data={"说明": "一只猫"}, files=files)) == [
        ["f", "a.txt", "A", "text/plain"],
        ["f", "b.txt", "B", "text/plain"],
        ["说明", "一只猫"],
    ]


@pytest.mark.parametrize(
    "name", ['a"b.txt', "a\r\nX-B: 1.txt", "a\\b.txt"], ids=["quote", "line end", "backslash"]
)
async def test_a_files_name_breaks_no_form(client: HTTPClientMixin, web: Web, name: str) -> None:
    found = await form(client, web, files={"f": (name, b"A", "text/plain"), "g": ("g", b"G")})
    assert [file[2] for file in found] == ["A", "G"]


@pytest.mark.parametrize(
    "content_type", ["text/plain\r\nX-B: 1", "text/plain\n\nX"], ids=["CR LF", "LF"]
)
async def test_a_files_type_breaks_no_form(
    client: HTTPClientMixin, web: Web, content_type: str
) -> None:
    try:
        (file,) = await form(client, web, files={"f": ("a.txt", b"A", content_type)})
    except Exception:
        # Not sent at all.
        return
    assert file[:3] == ["f", "a.txt", "A"]


async def test_a_big_file_is_sent(client: HTTPClientMixin, web: Web) -> None:
    (file,) = await form(client, web, files={"f": ("a.bin", io.BytesIO(b"x" * 3_000_000))})
    assert len(file[2]) == 3_000_000


# The version.


async def test_http_1_1_is_spoken(client: HTTPClientMixin, web: Web) -> None:
    assert (await inspect(client, web))["version"] == "1.1"


async def test_a_session_can_speak_http_1_0(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session(version="1.0") as session:
        response = await session.request(Request("GET", web.url("/inspect")))
    assert found_in(response.content)["version"] == "1.0"


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
async def test_a_request_of_any_version_is_answered(
    client: HTTPClientMixin, web: Web, version: str
) -> None:
    assert (await inspect(client, web, version=version))["method"] == "GET"


async def test_a_session_of_http_2_is_answered(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session(version="2") as session:
        response = await session.request(Request("GET", web.url("/inspect")))
    assert response.status_code == 200


# The bytes.


async def test_what_is_sent_is_well_formed(client: HTTPClientMixin) -> None:
    heads: list[bytes] = []

    async def keep(connection: Any) -> None:
        heads.append(await connection.head())
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serve_bytes(keep) as server:
        await client.request(Request("GET", URL(server.base) / "a" % {"b": "c"}))
    line, *fields = heads[0].decode().split("\r\n")
    assert line == "GET /a?b=c HTTP/1.1"
    assert f"host: 127.0.0.1:{server.port}" in [field.lower() for field in fields]
    assert fields[-2:] == ["", ""]
