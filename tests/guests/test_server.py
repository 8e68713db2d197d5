"""NoneBot's set-ups on our server: who is called for what, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from nonebot.drivers import URL, HTTPServerSetup, Response, WebSocketServerSetup
from nonebot.exception import WebSocketClosed
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from nbdriver.errors import HTTPError, StartupError

Lines = Callable[[str], list[str]]


def serve_http(driver: Any, path: str, answer: Any, method: str = "POST") -> None:
    """Set up a path: `answer` is what its handler gives, or a function that makes it."""

    async def handle(request: Any) -> Any:
        made = answer(request) if callable(answer) else answer
        return await made if isinstance(made, Awaitable) else made

    driver.setup_http_server(HTTPServerSetup(URL(path), method, "a test", handle))


def serve_websocket(driver: Any, path: str, handle: Any) -> None:
    driver.setup_websocket_server(WebSocketServerSetup(URL(path), "a test", handle))


@asynccontextmanager
async def client_of(driver: Any, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve, and give a client that has the server's address."""
    async with driver.serve("127.0.0.1", 0, **settings) as server:
        base = f"http://127.0.0.1:{server.addresses[0][1]}"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            yield client


@asynccontextmanager
async def websocket_of(driver: Any, path: str = "/ws") -> AsyncIterator[ClientConnection]:
    async with (
        driver.serve("127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{server.addresses[0][1]}{path}", proxy=None) as connection,
    ):
        yield connection


# Who is called.


async def test_a_handler_is_found_by_path_and_method(driver: Any) -> None:
    for path, method in (("/a", "POST"), ("/a", "GET"), ("/b", "post")):
        serve_http(driver, path, Response(200, content=f"{method} {path}"), method)
    serve_http(driver, "/c/{name}", lambda request: Response(200, content=request.url.path))
    async with client_of(driver) as client:
        for _ in range(2):
            assert (await client.post("/a")).text == "POST /a"
            assert (await client.get("/a")).text == "GET /a"
            assert (await client.post("/b?c=d")).text == "post /b"
            assert (await client.post("/%61")).text == "POST /a"
            assert (await client.post("/c/你")).text == "/c/你"


async def test_a_path_that_is_set_up_while_the_server_runs_is_served(driver: Any) -> None:
    serve_http(driver, "/{name}", Response(200))
    async with client_of(driver) as client:
        assert (await client.post("/a")).status_code == 200
        assert (await client.get("/a")).status_code == 405
        serve_http(driver, "/a", Response(201), "GET")
        assert (await client.get("/a")).status_code == 201


async def test_head_is_served_where_get_is(driver: Any) -> None:
    serve_http(driver, "/a", lambda request: Response(200, content=request.method), "GET")
    serve_http(driver, "/b", lambda request: Response(200, content="no"), "GET")
    serve_http(driver, "/b", Response(299), "HEAD")
    async with client_of(driver) as client:
        answer = await client.head("/a")
        assert (answer.status_code, answer.headers["content-length"]) == (200, "4")
        assert (await client.head("/b")).status_code == 299


@pytest.mark.parametrize(
    ("method", "path", "status", "header", "text"),
    [
        ("POST", "/x", 404, None, "expected the path of an adapter or a plugin"),
        ("POST", "/", 404, None, "expected the path of an adapter or a plugin"),
        ("PUT", "/a", 405, ("allow", "POST, GET, HEAD"), "expected POST, GET, HEAD, got PUT"),
        ("GET", "/both", 426, ("upgrade", "websocket"), "expected a WebSocket, this is its path"),
        ("HEAD", "/ws", 426, ("upgrade", "websocket"), ""),
        ("POST", "/ws", 405, ("allow", "GET"), "expected a WebSocket, got POST"),
        ("PUT", "/both", 405, ("allow", "POST"), "expected POST, got PUT"),
    ],
)
async def test_whoever_nobody_waits_for_is_told_what_there_is(
    driver: Any, lines: Lines, method: str, path: str, status: int, header: Any, text: str
) -> None:
    serve_http(driver, "/a", Response(200))
    serve_http(driver, "/a", Response(200), "GET")
    serve_http(driver, "/both", Response(200))
    serve_websocket(driver, "/both", None)
    serve_websocket(driver, "/ws", None)
    async with client_of(driver) as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.text.rstrip()) == (status, text)
    assert header is None or answer.headers[header[0]] == header[1]
    # A scanner does not fill the log.
    assert lines("WARNING") == []


@pytest.mark.parametrize(("path", "asked"), [("/a", "/a/"), ("/a/", "/a"), ("/a", "/a///")])
async def test_an_event_is_taken_with_a_slash_at_its_end_or_without(
    driver: Any, path: str, asked: str
) -> None:
    serve_http(driver, path, lambda request: Response(200, content=request.url.path))
    async with client_of(driver) as client:
        answer = await client.post(asked)
    assert (answer.status_code, answer.text) == (200, asked)


async def test_what_is_shown_is_shown_at_its_own_path(driver: Any) -> None:
    serve_http(driver, "/你/", Response(200), "GET")
    serve_http(driver, "/{rest:path}.txt", Response(200), "GET")
    async with client_of(driver) as client:
        answer = await client.get("/你?a=%20")
        assert answer.status_code == 307
        assert answer.headers["location"] == f"{client.base_url}/%E4%BD%A0/?a=%20"
        # Not another host's.
        answer = await client.get(f"{client.base_url}//evil.txt/", headers={"Host": "localhost"})
        assert answer.headers["location"] == "http://localhost//evil.txt"


async def test_a_redirect_for_whoever_names_no_host_is_of_this_server(driver: Any) -> None:
    serve_http(driver, "/{rest:path}.txt", Response(200), "GET")
    async with driver.serve("127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        writer.write(b"GET //evil.txt/ HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert b"Location: http://127.0.0.1//evil.txt\r\n" in answer


# What is answered.


@pytest.mark.parametrize(
    ("content", "body"), [(None, b""), ("你", "你".encode()), (b"\xff", b"\xff"), ("", b"")]
)
async def test_content_is_text_or_bytes_or_nothing(driver: Any, content: Any, body: bytes) -> None:
    serve_http(driver, "/a", Response(207, content=content, headers={"X-A": "1"}))
    async with client_of(driver) as client:
        answer = await client.post("/a")
    assert (answer.status_code, answer.content, answer.headers["x-a"]) == (207, body, "1")


async def test_a_header_may_have_several_lines(driver: Any) -> None:
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    serve_http(driver, "/a", Response(200, headers=cookies))
    async with client_of(driver) as client:
        answer = await client.post("/a")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        Response(200, content={"a": 1}),  # type: ignore[arg-type]
        Response(200, headers={"X-A": "a\r\nX-B: b"}),
        Response(200, headers={"X A": "a"}),
        Response(100),
        Response("200"),  # type: ignore[arg-type]
    ],
    ids=["None", "str", "dict", "injected", "no name", "interim", "no number"],
)
async def test_what_cannot_be_sent_is_a_500_and_stands_in_the_log_once(
    driver: Any, lines: Lines, answer: Any
) -> None:
    serve_http(driver, "/a", answer)
    async with client_of(driver) as client:
        got = await client.post("/a")
    assert (got.status_code, got.text) == (500, "Internal Server Error\n")
    assert len(lines("ERROR")) == 1


async def test_a_handler_that_fails_is_a_500_and_stands_in_the_log_once(
    driver: Any, lines: Lines
) -> None:
    serve_http(driver, "/a", lambda request: 1 / 0)
    async with client_of(driver) as client:
        assert (await client.post("/a")).status_code == 500
    [line] = lines("ERROR")
    assert line.startswith("POST /a from 127.0.0.1:")
    assert line.endswith(": the handler failed")


async def test_a_handler_may_refuse_with_our_error(driver: Any, lines: Lines) -> None:
    def refuse(request: Any) -> None:
        raise HTTPError(429, "too many", [("Retry-After", "5")])

    serve_http(driver, "/a", refuse)
    async with client_of(driver) as client:
        answer = await client.post("/a")
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (
        429,
        "too many\n",
        "5",
    )
    assert lines("ERROR") == []


# WebSockets.


async def echo(websocket: Any) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send(await websocket.receive())
    except WebSocketClosed:
        assert websocket.closed


@pytest.mark.parametrize("path", ["/ws", "/ws/", "/%77s?a=1"])
async def test_a_websocket_reaches_its_handler(driver: Any, path: str) -> None:
    serve_websocket(driver, "/ws", echo)
    async with websocket_of(driver, path) as connection:
        for message in ("你", b"\x00"):
            await connection.send(message)
            assert await connection.recv() == message


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/x", 404, b"expected the path of an adapter or a plugin\n"),
        ("/a", 405, b"expected POST, this is no WebSocket path\n"),
    ],
)
async def test_a_websocket_that_nobody_waits_for_is_told_what_there_is(
    driver: Any, lines: Lines, path: str, status: int, reason: bytes
) -> None:
    serve_http(driver, "/a", Response(200))
    with pytest.raises(InvalidStatus) as caught:
        async with websocket_of(driver, path):
            pass
    assert (caught.value.response.status_code, caught.value.response.body) == (status, reason)
    assert lines("WARNING") == []


async def test_a_handler_that_returns_has_closed_its_connection(driver: Any) -> None:
    async def accept(websocket: Any) -> None:
        await websocket.accept()

    serve_websocket(driver, "/ws", accept)
    async with websocket_of(driver) as connection:
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1000


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (None, b"the connection was not accepted\n"),
        ((), b"the connection was not accepted\n"),
        ((1008, "你 who?"), "你 who?\n".encode()),
        ((1006, "a code that is never sent"), b"a code that is never sent\n"),
    ],
)
async def test_a_connection_that_is_not_accepted_gets_a_403_with_the_reason(
    driver: Any, lines: Lines, arguments: Any, reason: bytes
) -> None:
    async def refuse(websocket: Any) -> None:
        if arguments is not None:
            await websocket.close(*arguments)
            assert websocket.closed

    serve_websocket(driver, "/ws", refuse)
    with pytest.raises(InvalidStatus) as caught:
        async with websocket_of(driver):
            pass
    assert (caught.value.response.status_code, caught.value.response.body) == (403, reason)
    assert lines("WARNING") == []


async def test_a_handler_that_fails_closes_with_1011_and_stands_in_the_log_once(
    driver: Any, lines: Lines
) -> None:
    async def fail(websocket: Any) -> None:
        await websocket.accept()
        raise ZeroDivisionError

    serve_websocket(driver, "/ws", fail)
    async with websocket_of(driver) as connection:
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1011
    assert lines("ERROR") == ["WebSocket /ws: the handler failed"]


async def test_a_handler_that_does_not_see_to_the_end_has_not_failed(
    driver: Any, lines: Lines
) -> None:
    ended = asyncio.Event()

    async def receive(websocket: Any) -> None:
        await websocket.accept()
        try:
            await websocket.receive()
        finally:
            ended.set()

    serve_websocket(driver, "/ws", receive)
    async with websocket_of(driver) as connection:
        await connection.close()
        await ended.wait()
    assert lines("ERROR") == []


async def test_the_end_of_another_connection_is_a_failure_of_the_handler(
    driver: Any, lines: Lines
) -> None:
    async def forward(websocket: Any) -> None:
        await websocket.accept()
        raise WebSocketClosed(1001, "of another")

    serve_websocket(driver, "/ws", forward)
    async with websocket_of(driver) as connection:
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1011
    assert lines("ERROR") == ["WebSocket /ws: the handler failed"]


async def test_handlers_end_before_the_hooks_of_the_shut_down(driver: Any) -> None:
    story: list[str] = []

    async def wait(websocket: Any) -> None:
        await websocket.accept()
        story.append("connected")
        with pytest.raises(WebSocketClosed) as caught:
            await websocket.receive()
        await asyncio.sleep(0)
        story.append(f"closed with {caught.value.code}")

    driver.on_startup(lambda: story.append("started"))
    driver.on_shutdown(lambda: story.append("stopped"))
    serve_websocket(driver, "/ws", wait)
    async with driver.serve("127.0.0.1", 0) as server:
        port = server.addresses[0][1]
        async with connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as connection:
            await connection.ping()
            await server.close()
    assert story == ["started", "connected", "closed with 1001", "stopped"]


async def test_a_driver_that_is_served_cannot_be_served_a_second_time(driver: Any) -> None:
    serve_http(driver, "/a", Response(200))
    async with client_of(driver) as client:
        with pytest.raises(StartupError, match="being served already"):
            async with driver.serve("127.0.0.1", 0):
                pass
        assert (await client.post("/a")).status_code == 200
