"""The application under an ASGI server: its lifespan, and HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
from support.asgi import Conversation, http_scope
from support.bots import recording_bot
from support.echo import make_driver
from support.peer import settle

from nbdriver import HTTPError, Request, Response, StartupError, WebSocketClosed, abc
from nbdriver.asgi import ASGIApplication
from nbdriver.config import ServerConfig

LOG = "nbdriver.asgi"


class App(abc.Application):
    """Keeps what it was asked, and what was done with it; a test gives what answers."""

    def __init__(
        self,
        http: Callable[[Request], Awaitable[Any]] | None = None,
        *,
        startup: Exception | None = None,
        shutdown: Exception | None = None,
    ) -> None:
        self._http = http
        self._startup = startup
        self._shutdown = shutdown
        self.requests: list[Request] = []
        self.history: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.history.append("start")
        if self._startup is not None:
            raise self._startup
        try:
            yield
        finally:
            self.history.append("stop")
        if self._shutdown is not None:
            raise self._shutdown

    async def handle_http(self, request: Request) -> Response:
        self.requests.append(request)
        if self._http is not None:
            return cast(Response, await self._http(request))
        return Response(200, request.body, [("X-Reply", "é")])

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        raise NotImplementedError

    async def drain(self) -> None:
        self.history.append("drain")
        await self.gate.wait()
        self.history.append("drained")


def asgi(app: abc.Application, **settings: Any) -> ASGIApplication:
    return ASGIApplication(app, ServerConfig(**settings))


def ask(app: App, scope: dict[str, Any] | None = None, **settings: Any) -> Conversation:
    return Conversation(asgi(app, **settings), scope or http_scope())


async def test_a_scope_of_another_type_is_a_value_error() -> None:
    conversation = Conversation(asgi(App()), {"type": "ftp"})
    with pytest.raises(ValueError, match="expected a scope http, websocket or lifespan, got 'ftp'"):
        await conversation.task


# The lifespan.


def lifespan(app: App, **settings: Any) -> Conversation:
    conversation = ask(app, {"type": "lifespan", "asgi": {"version": "3.0"}}, **settings)
    conversation.give("lifespan.startup")
    return conversation


async def test_starting_and_stopping_run_around_everything_and_what_was_accepted_is_drained() -> (
    None
):
    app = App()
    app.gate.clear()
    conversation = lifespan(app)
    assert await conversation.take() == {"type": "lifespan.startup.complete"}
    assert app.history == ["start"]
    conversation.give("lifespan.shutdown")
    await settle()
    assert app.history == ["start", "drain"]
    app.gate.set()
    assert await conversation.take() == {"type": "lifespan.shutdown.complete"}
    await conversation.end()
    assert app.history == ["start", "drain", "drained", "stop"]


async def test_a_start_up_that_fails_is_told_in_its_words() -> None:
    conversation = lifespan(App(startup=StartupError("the hook connect failed")))
    assert await conversation.take() == {
        "type": "lifespan.startup.failed",
        "message": "the hook connect failed",
    }
    await conversation.end()


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
async def test_any_other_failure_of_the_lifespan_is_told_too_and_logged(
    phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Raised, it would mean to the server that there is no lifespan, and it would go on."""
    error = RuntimeError("a bug")
    app = App(startup=error) if phase == "startup" else App(shutdown=error)
    conversation = lifespan(app)
    if phase == "shutdown":
        await conversation.take()
        conversation.give("lifespan.shutdown")
    assert await conversation.take() == {"type": f"lifespan.{phase}.failed", "message": "a bug"}
    await conversation.end()
    (record,) = caplog.records
    assert record.message == f"the {phase} failed"
    assert record.exc_info


async def test_draining_is_bounded_by_the_time_for_the_shut_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()
    app.gate.clear()
    conversation = lifespan(app, shutdown_timeout=0)
    await conversation.take()
    conversation.give("lifespan.shutdown")
    assert await conversation.take() == {"type": "lifespan.shutdown.complete"}
    await conversation.end()
    assert app.history == ["start", "drain", "stop"]
    assert "not everything had ended within 0 s" in caplog.text


async def test_a_lifespan_that_is_cancelled_is_left() -> None:
    app = App()
    conversation = lifespan(app)
    await conversation.take()
    await conversation.cancel()
    assert app.history == ["start", "stop"]


# HTTP.


async def test_a_request_is_given_as_it_came_and_its_answer_sent() -> None:
    app = App()
    scope = http_scope(
        "PUT",
        "/echo/x",
        raw_path=b"/echo/%78",
        query_string=b"a=1&b=%32",
        headers=[(b"host", b"a"), (b"x-a", b"1"), (b"x-a", b"\xe9")],
        scheme="https",
        http_version="2",
    )
    conversation = ask(app, scope)
    conversation.give("http.request", body=b"bo", more_body=True)
    conversation.give("http.request", more_body=True)
    conversation.give("http.request", body=b"dy")
    assert await conversation.take() == {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"x-reply", b"\xe9"), (b"content-length", b"4")],
    }
    assert await conversation.take() == {"type": "http.response.body", "body": b"body"}
    await conversation.end()
    (request,) = app.requests
    assert (request.method, request.target) == ("PUT", "/echo/%78?a=1&b=%32")
    assert request.headers.get_all("X-A") == ["1", "é"]
    assert request.body == b"body"
    assert request.http_version == "2"
    assert request.scheme == "https"
    assert request.client == ("127.0.0.1", 50_000)


async def test_what_a_server_may_leave_out_of_a_scope_may_be_missing() -> None:
    app = App()
    scope = http_scope(path="/机器人/a?b")
    for name in ("raw_path", "query_string", "root_path", "client", "scheme", "http_version"):
        del scope[name]
    conversation = ask(app, scope)
    conversation.give("http.request")
    await conversation.take()
    await conversation.take()
    await conversation.end()
    (request,) = app.requests
    assert request.target == "/%E6%9C%BA%E5%99%A8%E4%BA%BA/a%3Fb"
    assert request.client is None
    assert request.body == b""


@pytest.mark.parametrize(
    ("path", "root", "seen"),
    [
        ("/bots/echo/", "/bots", "/echo/"),
        ("/bots/echo/", "/bots/", "/echo/"),
        ("/bots", "/bots", "/"),
        ("/a b/echo/", "/a b", "/echo/"),
        # Not below it, as an older server has it that leaves the root out.
        ("/echo/", "/bots", "/echo/"),
        ("/botsy/", "/bots", "/botsy/"),
    ],
)
async def test_mounted_in_another_application_the_path_is_what_is_below(
    path: str, root: str, seen: str
) -> None:
    app = App()
    raw = path.replace(" ", "%20").encode()
    conversation = ask(app, http_scope(path=path, raw_path=raw, root_path=root))
    conversation.give("http.request")
    await conversation.take()
    await conversation.take()
    assert app.requests[0].path == seen


async def test_bytes_that_no_target_has_are_escaped_for_whoever_logs_it() -> None:
    app = App()
    conversation = ask(app, http_scope(raw_path=b"/a\x1b\r\n?#\xff", query_string=b"b\n#"))
    conversation.give("http.request")
    await conversation.take()
    await conversation.take()
    assert app.requests[0].target == "/a%1B%0D%0A%3F%23%FF?b%0A%23"


async def test_what_the_server_decides_is_left_to_it() -> None:
    async def answer(request: Request) -> Response:
        names = ("Connection", "Content-Length", "Date", "Server", "Transfer-Encoding", "X-Mine")
        return Response(200, "a", [(name, "1") for name in names])

    conversation = ask(App(answer))
    conversation.give("http.request")
    start = await conversation.take()
    assert start["headers"] == [(b"x-mine", b"1"), (b"content-length", b"1")]


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_no_length(status: int) -> None:
    async def answer(request: Request) -> Response:
        return Response(status)

    conversation = ask(App(answer))
    conversation.give("http.request")
    assert (await conversation.take())["headers"] == []


async def test_a_refusal_is_an_answer_with_its_reason_in_the_body() -> None:
    async def refuse(request: Request) -> Response:
        raise HTTPError(405, "expected POST", [("Allow", "POST")])

    conversation = ask(App(refuse))
    conversation.give("http.request")
    start = await conversation.take()
    assert start["status"] == 405
    assert (b"allow", b"POST") in start["headers"]
    assert (await conversation.take())["body"] == b"expected POST\n"
    await conversation.end()


@pytest.mark.parametrize("outcome", [RuntimeError("secret"), WebSocketClosed(1006), "no response"])
async def test_a_handler_that_fails_is_a_500_that_tells_nothing_and_a_log_entry(
    outcome: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Request) -> object:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    conversation = ask(App(fail))
    conversation.give("http.request")
    assert (await conversation.take())["status"] == 500
    assert (await conversation.take())["body"] == b"Internal Server Error\n"
    await conversation.end()
    (record,) = caplog.records
    assert record.message == "POST /echo/: the handler failed"
    assert record.exc_info


async def test_a_body_that_is_announced_too_large_is_a_413_before_any_of_it_is_read() -> None:
    app = App()
    headers = [(b"host", b"a"), (b"content-length", b"1001")]
    conversation = ask(app, http_scope(headers=headers), max_body=1000)
    assert (await conversation.take())["status"] == 413
    assert (await conversation.take())["body"] == b"expected a body of at most 1000 bytes\n"
    await conversation.end()
    assert conversation.asked == 0
    assert app.requests == []


@pytest.mark.parametrize("length", [None, b"1000", b"nonsense", b"9" * 5_000, b"\xb2"])
async def test_a_body_that_turns_out_too_large_is_a_413(length: bytes | None) -> None:
    headers = [(b"host", b"a")] + ([(b"content-length", length)] if length else [])
    conversation = ask(App(), http_scope(headers=headers), max_body=1000)
    for _ in range(3):
        conversation.give("http.request", body=bytes(500), more_body=True)
    assert (await conversation.take())["status"] == 413
    await conversation.take()
    await conversation.end()
    assert conversation.asked == 3


async def test_a_body_of_just_the_limit_is_taken() -> None:
    headers = [(b"host", b"a"), (b"content-length", b"1000")]
    conversation = ask(App(), http_scope(headers=headers), max_body=1000)
    conversation.give("http.request", body=bytes(1000))
    assert (await conversation.take())["status"] == 200


async def test_a_client_that_leaves_before_its_request_ended_is_nobodys_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, LOG)
    app = App()
    conversation = ask(app)
    conversation.give("http.request", body=b"{", more_body=True)
    conversation.give("http.disconnect")
    await conversation.end()
    assert app.requests == []
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


async def test_a_client_that_leaves_before_its_answer_is_nobodys_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, LOG)
    app = App()
    conversation = ask(app)
    conversation.error = OSError("gone")
    conversation.give("http.request")
    await conversation.end()
    assert len(app.requests) == 1
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


async def test_a_request_that_is_cancelled_ends() -> None:
    async def wait(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    conversation = ask(App(wait))
    conversation.give("http.request")
    await settle()
    await conversation.cancel()


async def test_a_driver_answers_as_under_its_own_server() -> None:
    bot = recording_bot()
    driver = make_driver(adapter=bot)
    transport = httpx.ASGITransport(driver.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        one = {"X-Self-ID": "1"}
        answers = [
            await client.post("/echo/", json={"message": "你好"}, headers=one),
            await client.post("/echo/http", content=b"[]", headers=one),
            await client.post("/echo/", json={}),
            await client.post("/echo/", json={}, headers={**one, "Authorization": "wrong"}),
            await client.get("/echo/"),
            await client.get("/echo/ws"),
            await client.post("/nobody/"),
        ]
    assert [answer.status_code for answer in answers] == [204, 400, 400, 403, 405, 426, 404]
    assert answers[3].text == "令牌错误\n"
    await settle()
    assert bot.messages == [{"message": "你好"}]
