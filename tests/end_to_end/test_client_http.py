"""The client against servers that we did not write, and against our own."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import BasicAuth, web
from support.certificates import authority, stranger
from support.echo import serving
from support.loops import on_each_loop
from support.outside import server_context
from support.web import aiohttp_server, uvicorn_server

from nbdriver.client import Client, ClientResponse, ConnectError, InvalidResponse, NetworkError

LARGE = bytes(range(256)) * 10_000
CJK = "测试 文件\u3000🐱.txt"


async def in_pieces(body: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


# What the servers do.


class Site:
    """An application that tells what it was asked, and knows its connections."""

    def __init__(self) -> None:
        self.connections = set[Any]()
        self.app = web.Application(client_max_size=10**8)
        self.app.router.add_route("*", "/echo", self.echo)
        self.app.router.add_post("/form", self.form)
        self.app.router.add_get("/large", self.large)
        self.app.router.add_get("/none", self.none)
        self.app.router.add_route("*", "/to/{status}", self.to)
        self.app.router.add_get("/cookie", self.cookie)
        self.app.router.add_post("/refuse", self.refuse)
        self.app.router.add_get("/leaving", self.leaving)

    async def echo(self, request: web.Request) -> web.Response:
        self.connections.add(request.transport)
        body = await request.read()
        answer = web.json_response(
            {
                "method": request.method,
                "target": request.raw_path,
                "headers": dict(request.headers),
                "size": len(body),
                "body": body.decode("latin-1") if len(body) < 1_000 else "",
            }
        )
        coding = request.query.get("coding")
        if coding is not None:
            answer.enable_compression(web.ContentCoding(coding))
        return answer

    async def form(self, request: web.Request) -> web.Response:
        form = await request.post()
        fields = [
            [name, [value.filename, value.content_type, len(value.file.read())]]
            if isinstance(value, web.FileField)
            else [name, value]
            for name, value in form.items()
        ]
        return web.json_response(fields)

    async def large(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        if "coding" in request.query:
            answer.enable_compression(web.ContentCoding(request.query["coding"]))
        await answer.prepare(request)
        async for piece in in_pieces(LARGE, 10_000):
            await answer.write(piece)
        await answer.write_eof()
        return answer

    async def none(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def to(self, request: web.Request) -> web.Response:
        headers = {"Location": "/echo", "Set-Cookie": "led=1; Path=/"}
        return web.Response(status=int(request.match_info["status"]), headers=headers)

    async def cookie(self, request: web.Request) -> web.Response:
        answer = web.json_response(dict(request.cookies))
        answer.set_cookie("a", "1")
        answer.set_cookie("b", "2", path="/nowhere")
        return answer

    async def refuse(self, request: web.Request) -> web.Response:
        """Without a look at the body."""
        return web.Response(status=413, text="too large")

    async def leaving(self, request: web.Request) -> web.Response:
        answer = web.Response(text="bye")
        answer.force_close()
        return answer


async def echoed(client: Client, method: str, url: str, **options: Any) -> dict[str, Any]:
    response = await client.request(method, url, **options)
    assert response.status_code == 200, response
    told: dict[str, Any] = response.json()
    return told


# aiohttp.


@on_each_loop
async def test_aiohttp_is_asked_for_everything_over_one_connection() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url, Client() as client:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            told = await echoed(client, method, f"{url}/echo", params={"q": "你 好&"})
            assert told["method"] == method
            assert told["target"] == "/echo?q=%E4%BD%A0%20%E5%A5%BD%26"
        response = await client.request("HEAD", f"{url}/echo")
        assert (response.status_code, response.content) == (200, b"")
        assert int(response.headers.get("content-length") or 0) > 0
        assert (await client.request("GET", f"{url}/none")).status_code == 204
        assert (await client.request("GET", f"{url}/nowhere")).status_code == 404
        told = await echoed(client, "POST", f"{url}/echo", json={"text": "世界"})
        assert json.loads(told["body"].encode("latin-1")) == {"text": "世界"}
        assert told["headers"]["Content-Type"] == "application/json"
        assert len(site.connections) == 1


@on_each_loop
async def test_aiohttp_reads_bodies_of_every_kind() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url, Client() as client:
        for body in (LARGE, in_pieces(LARGE), io.BytesIO(LARGE), [LARGE[:7], LARGE[7:]]):
            told = await echoed(client, "POST", f"{url}/echo", content=body)
            assert told["size"] == len(LARGE)
        told = await echoed(client, "POST", f"{url}/echo", content="文字")
        assert told["body"].encode("latin-1").decode() == "文字"
        assert len(site.connections) == 1


@on_each_loop
async def test_aiohttp_reads_forms_and_files_with_cjk_names(tmp_path: Path) -> None:
    path = tmp_path / CJK
    path.write_bytes(LARGE)
    site = Site()
    async with aiohttp_server(site.app) as url, Client() as client:
        with path.open("rb") as file:
            response = await client.request(
                "POST",
                f"{url}/form",
                data={"名": "值", "list": ["1", "2"]},
                files=[("文件", file), ("b", ("两.bin", b"12", "image/png")), ("c", b"3")],
            )
        fields = response.json()
        assert fields[:3] == [["名", "值"], ["list", "1"], ["list", "2"]]
        assert fields[3][0] == "文件"
        assert fields[3][1][0] == CJK
        assert fields[3][1][2] == len(LARGE)
        assert fields[4] == ["b", ["两.bin", "image/png", 2]]
        form = await client.request("POST", f"{url}/form", data={"名": "值 &", "n": 1})
        assert form.json() == [["名", "值 &"], ["n", "1"]]


@on_each_loop
async def test_aiohttp_answers_in_every_coding() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url, Client() as client:
        for coding in ("gzip", "deflate", "identity"):
            response = await client.request("GET", f"{url}/large", params={"coding": coding})
            assert response.content == LARGE
            async with client.stream("GET", f"{url}/large?coding={coding}") as response:
                chunks = [chunk async for chunk in response.chunks(100_000)]
            assert b"".join(chunks) == LARGE
            assert {len(chunk) for chunk in chunks[:-1]} == {100_000}
            told = await echoed(client, "GET", f"{url}/echo", params={"coding": coding})
            assert told["headers"]["Accept-Encoding"] == "gzip, deflate"
        async with Client(max_body=len(LARGE) - 1) as small:
            for coding in ("gzip", "identity"):
                with pytest.raises(InvalidResponse, match="at most"):
                    await small.request("GET", f"{url}/large?coding={coding}")


@on_each_loop
async def test_aiohttp_redirects_by_every_status() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url, Client() as client:
        for status, method in (
            (301, "GET"),
            (302, "GET"),
            (303, "GET"),
            (307, "POST"),
            (308, "POST"),
        ):
            told = await echoed(client, "POST", f"{url}/to/{status}", content=LARGE)
            assert told["method"] == method
            assert told["size"] == (len(LARGE) if method == "POST" else 0)
            assert told["headers"]["Cookie"] == "led=1"
        head = await client.request("HEAD", f"{url}/to/303")
        assert (head.status_code, head.method, str(head.url)) == (200, "HEAD", f"{url}/echo")


@on_each_loop
async def test_aiohttp_sets_cookies_and_gets_them_back() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url, Client() as client:
        assert (await client.request("GET", f"{url}/cookie")).json() == {}
        assert (await client.request("GET", f"{url}/cookie")).json() == {"a": "1"}
        response = await client.request("GET", f"{url}/cookie", cookies={"own": "3"})
        assert response.json() == {"a": "1", "own": "3"}


@on_each_loop
async def test_credentials_of_a_url_are_read_by_aiohttp() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url, Client() as client:
        there = url.replace("//", "//%E5%90%8D:p%40ss@") + "/echo"
        told = await echoed(client, "GET", there)
        assert BasicAuth.decode(told["headers"]["Authorization"], "utf-8")[:2] == ("名", "p@ss")
        assert told["headers"]["Host"] == url.removeprefix("http://")


@on_each_loop
async def test_a_server_that_refuses_a_long_body_is_heard() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url, Client() as client:
        for body in (bytes(50_000_000), in_pieces(bytes(50_000_000))):
            response = await client.request("POST", f"{url}/refuse", content=body)
            assert (response.status_code, response.text) == (413, "too large")
        assert (await client.request("GET", f"{url}/none")).status_code == 204


@on_each_loop
async def test_a_server_that_says_close_gets_a_new_connection() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url, Client() as client:
        for _ in range(3):
            assert (await client.request("GET", f"{url}/leaving")).text == "bye"
        await echoed(client, "GET", f"{url}/echo")
        await echoed(client, "GET", f"{url}/echo")
        assert len(site.connections) == 1


@on_each_loop
async def test_over_tls_it_is_the_same_and_strangers_are_not_believed() -> None:
    site = Site()
    tls = server_context("localhost")
    trusting = authority_context()
    async with aiohttp_server(site.app, tls=tls) as url:
        async with Client(tls=trusting) as client:
            for _ in range(2):
                told = await echoed(client, "POST", f"{url}/echo", content=LARGE)
                assert told["size"] == len(LARGE)
            assert (await client.request("GET", f"{url}/large")).content == LARGE
            async with client.stream("GET", f"{url}/large") as response:
                await anext(aiter(response.pieces()))
            assert len(site.connections) == 1
        async with Client() as client:
            with pytest.raises(ConnectError, match="certificate"):
                await client.request("GET", f"{url}/echo")
        async with Client(tls=authority_context(stranger())) as client:
            with pytest.raises(ConnectError, match="certificate"):
                await client.request("GET", f"{url}/echo")


def authority_context(ca: Any = None) -> Any:
    """Who trusts nobody but one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    (ca or authority()).configure_trust(context)
    return context


@on_each_loop
async def test_over_a_unix_socket_it_is_the_same(tmp_path: Path) -> None:
    site = Site()
    path = tmp_path / "sock"
    async with aiohttp_server(site.app, path=path) as url, Client(unix=str(path)) as client:
        for _ in range(2):
            told = await echoed(client, "GET", f"{url}/echo")
            assert told["headers"]["Host"] == "localhost"
        assert len(site.connections) == 1


@on_each_loop
async def test_many_at_once_share_the_connections_that_there_may_be() -> None:
    site = Site()
    async with (
        aiohttp_server(site.app) as url,
        Client(max_connections=4, max_connections_per_host=3) as client,
    ):
        told = await asyncio.gather(
            *(echoed(client, "POST", f"{url}/echo", content=b"x" * n) for n in range(200))
        )
        assert [each["size"] for each in told] == list(range(200))
        assert len(site.connections) == 3


@on_each_loop
async def test_half_of_many_are_cancelled_and_the_others_do_not_notice() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url, Client(max_connections_per_host=3) as client:
        tasks = [
            asyncio.create_task(echoed(client, "POST", f"{url}/echo", content=LARGE[: n * 3_000]))
            for n in range(100)
        ]
        for number, task in enumerate(tasks):
            if number % 2:
                task.cancel()
            await asyncio.sleep(0)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for number, each in enumerate(ended):
            if number % 2:
                assert isinstance(each, asyncio.CancelledError | dict)
            else:
                assert isinstance(each, dict), each
                assert each["size"] == number * 3_000
        await echoed(client, "GET", f"{url}/echo")


@on_each_loop
async def test_leaving_the_client_ends_what_is_under_way() -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(1_000)
        raise AssertionError

    app = web.Application()
    app.router.add_get("/", never)
    async with aiohttp_server(app, handler_cancellation=True) as url:
        async with Client(max_connections_per_host=2) as client:
            tasks = [asyncio.create_task(client.request("GET", url)) for _ in range(4)]
            while len(client._pool._busy) < 2:
                await asyncio.sleep(0)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in ended] == [NetworkError] * 4


@on_each_loop
async def test_where_nobody_listens_there_is_no_connection() -> None:
    site = Site()
    async with aiohttp_server(site.app) as url:
        pass
    async with Client() as client:
        with pytest.raises(ConnectError):
            await client.request("GET", url)


# uvicorn.


async def asgi_echo(scope: Any, receive: Any, send: Any) -> None:
    """Gives the body back as it comes, in chunks."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message["body"], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("http", ["h11", "httptools"])
@on_each_loop
async def test_uvicorn_gives_back_what_it_gets_while_it_gets_it(http: str) -> None:
    async with uvicorn_server(asgi_echo, http) as url, Client() as client:
        for body in (b"", b"hello", LARGE, in_pieces(LARGE)):
            async with client.stream("POST", url, content=body) as response:
                assert response.status_code == 200
                assert response.headers.get("a") == "b"
                got = await response.read()
            assert got == (LARGE if not isinstance(body, bytes) else body)
        head = await client.request("HEAD", url)
        assert (head.status_code, head.content) == (200, b"")


# Our own server.


@on_each_loop
async def test_our_own_server_takes_events_from_it() -> None:
    async with serving() as echo, Client(headers={"X-Self-ID": "1"}) as client:
        for number in range(3):
            response = await client.request("POST", f"{echo.http}/", json={"n": number})
            assert (response.status_code, response.content) == (204, b"")
        refused = await client.request("GET", f"{echo.http}/")
        assert refused.status_code == 405
        assert refused.text == "expected POST, got GET\n"
        large: ClientResponse = await client.request(
            "POST", f"{echo.http}/", json={"t": "大" * 99_999}
        )
        assert large.status_code == 204
    assert [message.get("n") for message in echo.messages] == [0, 1, 2, None]
