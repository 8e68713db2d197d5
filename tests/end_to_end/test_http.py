"""Events by HTTP, from clients that we did not write: httpx, aiohttp, curl."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import httpx
from support.echo import serving
from support.loops import on_each_loop

ID = {"X-Self-ID": "1"}
TEXT = {"text": "你好，世界 🐱"}


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


@on_each_loop
async def test_httpx_posts_events_over_one_connection() -> None:
    async with serving() as echo, httpx.AsyncClient(headers=ID) as client:
        for path in ("", "/", "/http", "/http/"):
            response = await client.post(echo.http + path, json=TEXT)
            assert (response.status_code, response.content) == (204, b"")
            assert "content-length" not in response.headers
            assert response.headers["server"] == "nbdriver"
            assert response.headers["date"]
        large = {"text": "大" * 350_000}
        assert (await client.post(echo.http, json=large)).status_code == 204
        assert (await client.post(echo.http, content=chunks(json.dumps(large).encode()))).is_success
    assert echo.messages == [TEXT] * 4 + [large] * 2


@on_each_loop
async def test_httpx_reads_every_refusal() -> None:
    async with serving(max_body=100) as echo, httpx.AsyncClient() as client:
        root = echo.http.removesuffix("/echo")
        for method, path, headers, body, status, said in [
            ("POST", "/none/", ID, b"{}", 404, "expected the path of an adapter"),
            ("GET", "/echo/", ID, b"", 405, "expected POST, got GET"),
            ("HEAD", "/echo/", ID, b"", 405, ""),
            ("GET", "/echo/ws", ID, b"", 426, "expected a WebSocket, this is its path"),
            ("POST", "/echo/", ID, b"[1]", 400, "expected a JSON object, got a list"),
            ("POST", "/echo/", {}, b"{}", 400, "Missing X-Self-ID header"),
            ("POST", "/echo/", ID | {"Authorization": "no"}, b"{}", 403, "令牌错误"),
            ("POST", "/echo/", ID | {"Content-Encoding": "gzip"}, b"{}", 415, "expected a body"),
            ("POST", "/echo/", ID, b" " * 101 + b"{}", 413, "expected a body of at most 100"),
        ]:
            response = await client.request(method, root + path, headers=headers, content=body)
            assert response.status_code == status, (method, path, response.text)
            assert response.text.startswith(said)
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert echo.messages == []


@on_each_loop
async def test_aiohttp_posts_events_over_one_connection() -> None:
    async with serving() as echo, aiohttp.ClientSession(headers=ID) as client:
        for _ in range(3):
            async with client.post(echo.http, json=TEXT) as response:
                assert (response.status, await response.read()) == (204, b"")
        body = json.dumps({"text": "x" * 1_000_000}).encode()
        async with client.post(echo.http, data=chunks(body)) as response:
            assert response.status == 204
        async with client.post(echo.http, data=body, expect100=True) as response:
            assert response.status == 204
        async with client.head(echo.http) as response:
            assert (response.status, await response.read()) == (405, b"")
    assert len(echo.messages) == 5


async def curl(*arguments: str, given: bytes = b"") -> tuple[str, str]:
    """Run curl; what it printed, and what it told with --verbose."""
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--show-error", "--verbose", "--noproxy", "*", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, told = await process.communicate(given)
    assert process.returncode == 0, told.decode()
    return printed.decode(), told.decode()


STATUS = ("--write-out", "%{http_code} ", "--header", "X-Self-ID: 1")


@on_each_loop
async def test_curl_posts_an_event() -> None:
    async with serving() as echo:
        printed, _ = await curl(*STATUS, "--data", json.dumps(TEXT), echo.http)
        assert printed == "204 "
        assert echo.messages == [TEXT]
        printed, _ = await curl("--data", "{}", echo.http)
        assert printed == "Missing X-Self-ID header\n"


@on_each_loop
async def test_curl_uses_one_connection_for_two_events() -> None:
    async with serving() as echo:
        printed, told = await curl(*STATUS, "--data", "{}", echo.http, echo.http + "/http")
        assert printed == "204 204 "
        assert "Re-using existing connection" in told


@on_each_loop
async def test_curl_waits_for_100_continue_before_it_sends_a_body() -> None:
    async with serving() as echo:
        body = json.dumps({"text": "x" * 1_000_000})
        printed, told = await curl(
            *STATUS,
            *("--expect100-timeout", "60", "--header", "Expect: 100-continue"),
            *("--data-binary", "@-", echo.http),
            given=body.encode(),
        )
        assert printed == "204 "
        assert "< HTTP/1.1 100 Continue" in told
        assert [len(message["text"]) for message in echo.messages] == [1_000_000]


@on_each_loop
async def test_curl_sends_no_body_that_is_refused_by_its_head() -> None:
    async with serving(max_body=10) as echo:
        printed, told = await curl(
            *STATUS,
            *("--expect100-timeout", "60", "--header", "Expect: 100-continue"),
            *("--data-binary", "@-", echo.http),
            given=b"x" * 1_000_000,
        )
        assert printed.endswith("413 ")
        assert "100 Continue" not in told


@on_each_loop
async def test_curl_sends_a_body_in_chunks() -> None:
    async with serving() as echo:
        arguments = ("--request", "POST", "--upload-file", "-", echo.http + "/")
        printed, told = await curl(*STATUS, *arguments, given=json.dumps(TEXT).encode())
        assert printed == "204 "
        assert "> Transfer-Encoding: chunked" in told
        assert echo.messages == [TEXT]


@on_each_loop
async def test_curl_speaks_http_1_0_too() -> None:
    async with serving() as echo:
        printed, told = await curl(*STATUS, "--http1.0", "--data", "{}", echo.http)
        assert printed == "204 "
        assert "< Connection: close" in told


@on_each_loop
async def test_curl_sees_no_body_of_a_head() -> None:
    async with serving() as echo:
        printed, _ = await curl("--head", echo.http)
        head, _, body = printed.partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 405 ")
        assert "\r\nAllow: POST" in head
        assert body == ""


async def post_raw(echo_http: str, data: list[bytes]) -> bytes:
    """Send pieces of bytes, end the sending, and read all that comes."""
    host, _, port = echo_http.removeprefix("http://").removesuffix("/echo").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in data:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write_eof()
    answers = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answers


def event(number: int) -> bytes:
    body = json.dumps({"number": number}).encode()
    head = "POST /echo/ HTTP/1.1\r\nHost: localhost\r\nX-Self-ID: 1\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


@on_each_loop
async def test_a_thousand_pipelined_events_are_answered_and_handled_in_order() -> None:
    async with serving() as echo:
        data = b"".join(map(event, range(1000)))
        last = b"GET /echo/last HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answers = await post_raw(echo.http, [data, last])
        assert answers.count(b"HTTP/1.1 204 No Content\r\n") == 1000
        assert answers.rindex(b"HTTP/1.1 404 ") > answers.rindex(b"HTTP/1.1 204 ")
        assert [message["number"] for message in echo.messages] == list(range(1000))


@on_each_loop
async def test_an_event_may_come_byte_by_byte() -> None:
    async with serving() as echo:
        answers = await post_raw(echo.http, [bytes([byte]) for byte in event(1) + event(2)])
        assert answers.count(b"HTTP/1.1 204 ") == 2
        assert echo.messages == [{"number": 1}, {"number": 2}]
