"""What an adapter's request means: answers, refusals and their order, bounds, takeover."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable
from typing import Any, ClassVar

import pytest
from support.bots import RecordingBot
from support.hosts import Host, numbered
from support.peer import PATIENCE, settle
from support.websockets import MemoryWebSocket, UnpingableWebSocket

from nbdriver import (
    Headers,
    HTTPError,
    Request,
    RequestDenied,
    WebSocketClosed,
)
from nbdriver.model import Identity
from nbdriver.net.clock import RESOLUTION


def newcomer() -> MemoryWebSocket:
    return MemoryWebSocket(x_self_id="1")


async def refused(connecting: Awaitable[object]) -> HTTPError:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(HTTPError) as caught:
            await connecting
    return caught.value


# The contract's table: HTTP.


@pytest.mark.parametrize("path", ["/echo", "/echo/", "/echo/http", "/echo/http/"])
async def test_a_posted_event_is_answered_204_and_handed_to_a_bot(path: str) -> None:
    host = Host()
    response = await host.post({"text": "你好"}, path)
    assert (response.status_code, response.body) == (204, b"")
    await settle()
    assert host.adapter.messages == [{"text": "你好"}]


async def test_an_event_is_answered_before_it_has_been_handled() -> None:
    host = Host()
    assert (await host.post({"wait": "gate"})).status_code == 204
    host.adapter.release("gate")
    await host.dispatcher.drain()


async def test_an_empty_object_is_an_event() -> None:
    host = Host()
    assert (await host.post(b"{}")).status_code == 204
    await settle()
    assert host.adapter.messages == [{}]


@pytest.mark.parametrize("body", [b"", b"[1]", b'"text"', b"null", b"{", b'{"a": 1} 2', b'"\xff"'])
async def test_a_body_that_is_no_json_object_is_400_and_says_what_was_expected(body: bytes) -> None:
    response = await Host().post(body)
    assert response.status_code == 400
    assert response.body.startswith(b"expected a JSON object, got ")


@pytest.mark.parametrize("path", ["/", "/other/", "/echo/else", "/other/ws"])
async def test_an_unknown_adapter_is_404_and_the_log_names_those_there_are(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host()
    host.driver.register_adapter("second", host.adapter)
    assert (await host.post(path=path)).status_code == 404
    assert f"POST {path}: no adapter has that path; there are: /echo/, /second/" in caplog.text


async def test_without_an_adapter_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    host = Host()
    host.driver._adapters.clear()
    assert (await host.post(path="/%1b[31m\x1b[31m")).status_code == 404
    assert r"POST /%1b[31m\x1b[31m: no adapter has that path; there are: none" in caplog.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_than_post_is_405_with_allow(method: str) -> None:
    response = await Host().post(method=method)
    assert (response.status_code, response.headers[-1]) == (405, ("Allow", "POST"))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_plain_get_on_a_websocket_path_is_426_with_upgrade(method: str) -> None:
    response = await Host().post(path="/echo/ws", method=method)
    assert (response.status_code, response.headers[-1]) == (426, ("Upgrade", "websocket"))


async def test_another_method_on_a_websocket_path_is_405_with_allow() -> None:
    response = await Host().post(path="/echo/ws")
    assert (response.status_code, response.headers[-1]) == (405, ("Allow", "GET"))


async def test_a_compressed_body_is_415_and_says_what_is_understood() -> None:
    response = await Host().post(content_encoding="gzip")
    assert response.status_code == 415
    assert response.body == b"expected a body without Content-Encoding, got gzip\n"
    assert response.headers[-1] == ("Accept-Encoding", "identity")


async def test_a_doubled_x_self_id_is_400_since_its_values_would_be_joined() -> None:
    host = Host()
    request = Request("POST", "/echo/", Headers([("X-Self-ID", "1"), ("x-self-id", "2")]), b"{}")
    with pytest.raises(HTTPError, match="400: expected one X-Self-ID header, got several"):
        await host.dispatcher.handle_http(request)
    assert host.adapter.headers == []


async def test_refusals_come_in_the_order_path_method_body_permission() -> None:
    host, wrong = Host(), {"authorization": "wrong"}
    statuses = [
        (await host.post(b"?", "/other/", "PUT", **wrong)).status_code,
        (await host.post(b"?", "/echo/", "PUT", **wrong)).status_code,
        (await host.post(b"?", "/echo/ws", "GET", **wrong)).status_code,
        (await host.post(b"?", "/echo/", "POST", **wrong)).status_code,
    ]
    assert statuses == [404, 405, 426, 400]
    assert host.adapter.headers == []
    assert (await host.post({}, "/echo/", "POST", **wrong)).status_code == 403


async def test_check_permission_sees_the_headers_the_body_and_the_request() -> None:
    seen: list[Any] = []

    class Adapter(RecordingBot):
        @classmethod
        async def check_permission(cls, driver: Any, *arguments: Any) -> str:
            seen.extend([driver, *arguments])
            return "1"

    host = Host(Adapter)
    await host.post({"wait": "x"}, "/echo/?access_token=secret", x_more="yes")
    driver, kind, headers, body = seen
    assert (driver, kind, body) == (host.driver, "http", {"wait": "x"})
    assert headers == {"x-self-id": "1", "x-more": "yes"}
    assert headers.request.query("access_token") == "secret"
    await host.connect()
    assert seen[5:] == ["websocket", {"x-self-id": "1"}, None]
    await host.dispatcher.cancel()


async def test_a_denied_request_is_answered_with_the_adapters_status_and_reason() -> None:
    host = Host()
    response = await host.post(x_self_id="")
    assert (response.status_code, response.reason) == (400, "Missing X-Self-ID header")
    assert response.body == b"Missing X-Self-ID header\n"
    # A reason that cannot stand on a status line is in the body alone.
    response = await host.post(authorization="wrong")
    assert (response.status_code, response.reason) == (403, "Forbidden")
    assert response.body == "令牌错误\n".encode()


def denying(error: Exception) -> type[Any]:
    class Adapter(RecordingBot):
        @classmethod
        async def check_permission(cls, *arguments: Any) -> str:
            raise error

    return Adapter


async def test_line_ends_in_a_reason_are_cleaned() -> None:
    response = await Host(denying(RequestDenied(403, "a\r\nX: y"))).post()
    assert (response.reason, response.body) == ("a X: y", b"a X: y\n")


async def test_an_http_error_of_an_adapter_keeps_its_headers() -> None:
    response = await Host(denying(HTTPError(429, "slowly", [("Retry-After", "9")]))).post()
    assert (response.status_code, response.headers[-1]) == (429, ("Retry-After", "9"))


class FrameworkDenied(Exception):
    """As NoneBot's RequestDenied: it has the attributes of ours, and another base."""

    def __init__(self, status_code: Any, reason: str) -> None:
        super().__init__(status_code, reason)
        self.status_code = status_code
        self.reason = reason


async def test_a_frameworks_own_denial_is_honoured_as_ours() -> None:
    adapter = denying(FrameworkDenied(403, "not you"))
    response = await Host(adapter, denied=(FrameworkDenied,)).post()
    assert (response.status_code, response.body) == (403, b"not you\n")
    assert (await Host(adapter).post()).status_code == 500


@pytest.mark.parametrize("status", [200, 302, 399, 600, 1000, "403", None])
async def test_a_denial_with_a_status_that_denies_nothing_is_an_error_of_the_adapter(
    status: Any,
) -> None:
    error = RequestDenied(status, "secret")
    host = Host(denying(error))
    with pytest.raises(ValueError, match=f"status from 400 to 599, got {status!r}$") as caught:
        await host.dispatcher.handle_http(Request("POST", "/echo/", body=b"{}"))
    assert caught.value.__cause__ is error
    response = await host.post()
    assert (response.status_code, response.body) == (500, b"Internal Server Error\n")


async def test_anything_else_that_check_permission_raises_goes_on_to_the_server() -> None:
    with pytest.raises(ZeroDivisionError):
        await Host(denying(ZeroDivisionError())).dispatcher.handle_http(
            Request("POST", "/echo/", body=b"{}")
        )


@pytest.mark.parametrize("self_id", [None, 1, b"1"])
async def test_an_id_that_is_no_text_is_an_error_of_the_adapter(self_id: Any) -> None:
    class Adapter(RecordingBot):
        @classmethod
        async def check_permission(cls, *arguments: Any) -> Any:
            return self_id

    with pytest.raises(TypeError, match=r"Adapter.check_permission to return the bot's id as text"):
        await Host(Adapter).dispatcher.handle_http(Request("POST", "/echo/", body=b"{}"))


async def test_what_a_handler_raises_is_logged_with_the_event_that_caused_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host()
    assert (await host.post({"fail": "boom"})).status_code == 204
    await settle()
    assert "bot 1: {'fail': 'boom'}: failed" in caplog.text
    assert "RuntimeError: boom" in caplog.text


async def test_a_plain_function_as_handler_is_logged_and_hurts_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Adapter(RecordingBot):
        messages: ClassVar[list[Any]] = []
        headers: ClassVar[list[Any]] = []

        def handle_message(self, message: Any) -> None:  # type: ignore[override]  # what is tested
            raise RuntimeError("at once")

    host = Host(Adapter)
    websocket = await host.connect()
    websocket.peer_sends({"a": 1})
    assert (await host.post({"b": 1}, x_self_id="2")).status_code == 204
    await settle()
    assert websocket.ended is None
    assert "bot 1: {'a': 1}: failed" in caplog.text
    assert "bot 2: {'b': 1}: failed" in caplog.text


async def test_a_posted_event_of_a_bot_that_is_also_connected_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host()
    await host.connect(MemoryWebSocket(x_self_id="1"))
    assert (await host.post({})).status_code == 204
    assert "bot 1 is also connected by WebSocket, its events may be handled twice" in caplog.text


async def test_each_posted_event_gets_a_bot_of_its_own_without_a_websocket() -> None:
    bots: list[Any] = []

    class Adapter(RecordingBot):
        headers: ClassVar[list[Any]] = []

        async def handle_message(self, message: Any) -> None:
            bots.append(self)

    host = Host(Adapter)
    await host.post({})
    await host.post({})
    await settle()
    assert bots[0] is not bots[1]
    assert {(bot.connection_type, bot.self_id, bot.websocket) for bot in bots} == {
        ("http", "1", None)
    }
    assert host.driver.bots == {}


# The contract's table: WebSocket.


@pytest.mark.parametrize("path", ["/echo/ws", "/echo/ws/"])
async def test_permission_is_asked_before_the_connection_is_accepted(path: str) -> None:
    host = Host()
    error = await refused(host.connect(stranger := MemoryWebSocket(path)))
    assert (error.status_code, error.reason) == (400, "Missing X-Self-ID header")
    assert not stranger.accepted
    websocket = await host.connect(MemoryWebSocket(path, x_self_id="1"))
    assert websocket.accepted
    assert host.driver.bots["1"].websocket.websocket is websocket


@pytest.mark.parametrize(
    ("websocket", "status"),
    [
        (MemoryWebSocket("/other/ws", authorization="wrong"), 404),
        (MemoryWebSocket("/echo/", authorization="wrong"), 405),
        (MemoryWebSocket(x_self_id="1", authorization="wrong"), 403),
    ],
    ids=lambda value: str(value),
)
async def test_an_upgrade_is_refused_in_the_order_path_method_permission(
    websocket: MemoryWebSocket, status: int
) -> None:
    assert (await refused(Host().connect(websocket))).status_code == status
    assert not websocket.accepted


@pytest.mark.parametrize("role", ["API", "Event", "api", "EVENT"])
async def test_split_connections_of_onebot_are_refused_before_anything_is_asked(role: str) -> None:
    host = Host()
    error = await refused(host.connect(MemoryWebSocket(x_self_id="1", x_client_role=role)))
    assert error.status_code == 400
    assert error.reason == f"expected X-Client-Role: Universal (one connection), got {role}"
    assert host.adapter.headers == []


@pytest.mark.parametrize("role", ["Universal", "universal", "something"])
async def test_other_roles_connect(role: str) -> None:
    host = Host()
    await host.connect(MemoryWebSocket(x_self_id="1", x_client_role=role))
    assert set(host.driver.bots) == {"1"}


async def test_each_json_object_is_an_event_and_anything_else_is_logged_and_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host()
    websocket = await host.connect()
    websocket.peer_sends({"a": 1}, "[1]", "{", b'{"b": 2}', "{}", {"c": "三"})
    await settle()
    assert host.adapter.messages == [{"a": 1}, {}, {"c": "三"}]
    assert websocket.events_sent == [{"got": message} for message in host.adapter.messages]
    assert "bot 1: a message is ignored, expected a JSON object, got a list" in caplog.text
    assert "bot 1: a binary message is ignored, expected text" in caplog.text
    assert websocket.ended is None


async def test_messages_that_wait_from_before_the_accept_are_delivered() -> None:
    host = Host()
    websocket = MemoryWebSocket(x_self_id="1")
    websocket.peer_sends({"early": 1})
    await host.connect(websocket)
    await settle()
    assert host.adapter.messages == [{"early": 1}]


async def test_connecting_and_leaving_run_the_hooks_and_keep_the_bots() -> None:
    host, told = Host(), []
    host.driver.on_bot_connect(lambda bot: told.append(("connect", host.driver.bots.copy())))
    host.driver.on_bot_disconnect(lambda bot: told.append(("disconnect", host.driver.bots.copy())))
    websocket = await host.connect()
    await settle()
    bot = host.driver.bots["1"]
    assert (bot.connection_type, bot.self_id) == ("websocket", "1")
    websocket.peer_leaves(1000)
    assert host.driver.bots == {}
    await host.driver._bot_hooks.join()
    assert told == [("connect", {"1": bot}), ("disconnect", {})]


async def test_log_lines_carry_no_escape_characters_of_a_peer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    host = Host()
    websocket = await host.connect(self_id="1\x1b[31m")
    websocket.peer_leaves(4000, "bye\n2026 ERROR")
    lines = [record.getMessage() for record in caplog.records]
    assert r"Bot 1\x1b[31m connected by WebSocket (recording)" in lines
    assert r"Bot 1\x1b[31m disconnected (the WebSocket is closed: 4000: bye\n2026 ERROR)" in lines


async def test_a_peer_that_leaves_before_the_accept_leaves_nothing() -> None:
    host, hooks = Host(), []
    host.driver.on_bot_connect(hooks.append)
    websocket = MemoryWebSocket(x_self_id="1")
    websocket.peer_leaves()
    await host.connect(websocket)
    assert (websocket.accepted, host.driver.bots, hooks) == (False, {}, [])


class ClosingWebSocket(MemoryWebSocket):
    """Waits for the other end's Close, as a real one does."""

    closing = False

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closing = True
        await self._over.wait()

    async def ping(self) -> None:
        if self.closing:
            raise WebSocketClosed(1000)
        await super().ping()


class Leaving(MemoryWebSocket):
    """Its peer leaves at the very moment of the accept."""

    async def accept(self, subprotocol: str | None = None) -> None:
        self.peer_leaves()
        await super().accept(subprotocol)


async def test_a_peer_that_leaves_during_the_accept_leaves_nothing() -> None:
    host = Host()
    with pytest.raises(WebSocketClosed):
        await host.connect(Leaving(x_self_id="1"))
    assert host.driver.bots == {}
    await host.connect()
    assert set(host.driver.bots) == {"1"}


class NeverAccepted(MemoryWebSocket):
    async def accept(self, subprotocol: str | None = None) -> None:
        await asyncio.Event().wait()


async def test_a_connection_that_is_cancelled_during_the_accept_leaves_nothing() -> None:
    host = Host()
    connecting = host.start_connecting(NeverAccepted(x_self_id="1"))
    await settle()
    assert (await refused(host.connect())).status_code == 409
    connecting.cancel()
    await asyncio.wait([connecting])
    await host.connect()
    assert set(host.driver.bots) == {"1"}


async def test_a_bot_that_cannot_be_made_is_not_connected() -> None:
    class Broken(RecordingBot):
        headers: ClassVar[list[Any]] = []

        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            raise RuntimeError("broken")

    host, websocket = Host(Broken), MemoryWebSocket(x_self_id="1")
    with pytest.raises(RuntimeError, match="broken"):
        await host.connect(websocket)
    assert (websocket.accepted, host.driver.bots) == (False, {})
    assert (await host.post({})).status_code == 500


# Bounds.


async def test_an_event_posted_over_the_bound_waits_for_a_place() -> None:
    host = Host(max_pending=1)
    await host.post({"wait": "a"})
    waiting = [asyncio.create_task(host.post({"wait": name})) for name in "bcd"]
    await settle()
    assert not any(task.done() for task in waiting)
    assert host.adapter.messages == [{"wait": "a"}]
    for name, started in zip("abc", waiting, strict=True):
        host.adapter.release(name)
        await settle()
        assert started.result().status_code == 204
    assert [each["wait"] for each in host.adapter.messages] == list("abcd")
    host.adapter.release("d")
    await host.dispatcher.drain()


async def test_an_event_that_finds_no_place_in_time_gets_503_with_retry_after() -> None:
    host = Host(max_pending=1, pending_timeout=30)
    await host.post({"wait": "a"})
    waiting = asyncio.create_task(host.post({"late": 1}))
    await settle()
    host.clock.advance(30 - RESOLUTION)
    await settle()
    assert not waiting.done()
    host.clock.advance(2 * RESOLUTION)
    response = await waiting
    assert (response.status_code, response.headers[-1]) == (503, ("Retry-After", "30"))
    assert response.body == b"the bot is busy: no event before this one ended within 30.0 s\n"
    # It has left the line: a place that comes free now is nobody's but the next one's.
    host.adapter.release("a")
    await settle()
    assert host.adapter.messages == [{"wait": "a"}]
    assert host.dispatcher.pending.free
    assert host.clock.pending == 0


async def test_retry_after_is_a_second_at_least() -> None:
    host = Host(max_pending=1, pending_timeout=0)
    await host.post({"wait": "a"})
    waiting = asyncio.create_task(host.post({}))
    await settle()
    host.clock.advance(RESOLUTION)
    assert (await waiting).headers[-1] == ("Retry-After", "1")
    await host.dispatcher.cancel()


async def test_an_event_that_began_in_the_moment_its_time_was_over_is_answered_204() -> None:
    host = Host(max_pending=1)
    await host.post({"wait": "a"})
    # Whoever stands in line before it lets its time be over just when its turn comes.
    host.dispatcher.pending.when_free(lambda: host.clock.advance(60))
    waiting = asyncio.create_task(host.post({"b": 1}))
    await settle()
    host.adapter.release("a")
    await settle()
    assert waiting.result().status_code == 204
    assert host.clock.time() == 60
    assert host.adapter.messages == [{"wait": "a"}, {"b": 1}]


async def test_a_waiting_request_that_is_cancelled_gives_its_place_in_the_line_up() -> None:
    host = Host(max_pending=1)
    await host.post({"wait": "a"})
    waiting = asyncio.create_task(host.post({"cancelled": 1}))
    await settle()
    waiting.cancel()
    await asyncio.wait([waiting])
    host.adapter.release("a")
    await settle()
    assert host.adapter.messages == [{"wait": "a"}]
    assert host.clock.pending == 0


async def test_no_connection_takes_more_places_by_http_than_its_share() -> None:
    host, busy = Host(max_pending_per_connection=2), Identity()
    for _ in range(2):
        assert (await host.post({"wait": "a"}, connection=busy)).status_code == 204
    waiting = asyncio.create_task(host.post({"wait": "b"}, connection=busy))
    await settle()
    assert not waiting.done()
    assert (await host.post({"other": 1}, connection=Identity())).status_code == 204
    assert (await host.post({"other": 2})).status_code == 204  # by ASGI: nobody can tell
    host.adapter.release("a")
    async with asyncio.timeout(PATIENCE):
        assert (await waiting).status_code == 204
    host.adapter.release("b")
    await host.dispatcher.drain()


async def test_each_driver_that_a_connection_asks_has_places_and_bounds_of_its_own() -> None:
    """An application may give the requests of one server to several drivers."""
    busy, other, both = Host(max_pending=1), Host(), Identity()
    assert (await busy.post({"wait": "a"}, connection=both)).status_code == 204
    async with asyncio.timeout(PATIENCE):
        assert (await other.post({"wait": "b"}, connection=both)).status_code == 204
    draining = asyncio.create_task(other.dispatcher.drain())
    await settle()
    assert not draining.done()
    other.adapter.release("b")
    async with asyncio.timeout(PATIENCE):
        await draining
    busy.adapter.release("a")
    await busy.dispatcher.drain()


async def test_a_connection_that_is_gone_keeps_no_share() -> None:
    host, connection = Host(), Identity()
    await host.post({}, connection=connection)
    await host.dispatcher.drain()
    share = weakref.ref(connection.shares[host.dispatcher])
    del connection
    host.adapter.headers.clear()
    gc.collect()
    assert share() is None


async def test_more_permissions_than_events_are_not_asked_for_at_a_time() -> None:
    asked = asyncio.Event()

    class Adapter(RecordingBot):
        headers: ClassVar[list[Any]] = []
        messages: ClassVar[list[Any]] = []

        @classmethod
        async def check_permission(cls, *arguments: Any) -> str:
            await asked.wait()
            return "1"

    host = Host(Adapter, max_pending=2)
    asking = [asyncio.create_task(host.post({})) for _ in range(2)]
    await settle()
    refusal = await host.post({})
    assert (refusal.status_code, refusal.headers[-1]) == (503, ("Retry-After", "5"))
    asked.set()
    async with asyncio.timeout(PATIENCE):
        assert [(await each).status_code for each in asking] == [204, 204]
        assert (await host.post({})).status_code == 204
        await host.dispatcher.drain()


# A second connection with the same id.


async def test_a_second_connection_gets_409_while_the_first_is_alive() -> None:
    host = Host()
    old = await host.connect()
    bot = host.driver.bots["1"]
    error = await refused(host.connect(second := newcomer()))
    assert (error.status_code, old.pinged, second.accepted) == (409, 1, False)
    assert error.reason == "bot 1 is already connected, and that connection is alive"
    assert host.driver.bots == {"1": bot}
    assert host.clock.pending == 0


async def test_a_silent_connection_is_taken_over_after_its_disconnect_hooks() -> None:
    host, told = Host(takeover_timeout=2), []

    async def connected(bot: Any) -> None:
        told.append(("connect", bot))

    async def disconnected(bot: Any) -> None:
        await asyncio.sleep(0)
        told.append(("disconnect", bot))

    host.driver.on_bot_connect(connected)
    host.driver.on_bot_disconnect(disconnected)
    old = await host.connect()
    old.alive = False
    old_bot = host.driver.bots["1"]
    connecting = host.start_connecting(second := newcomer())
    await settle()
    host.clock.advance(2 - RESOLUTION)
    await settle()
    # The old one is not given up before its time is over.
    assert host.driver.bots == {"1": old_bot}
    assert not second.accepted
    host.clock.advance(2 * RESOLUTION)
    async with asyncio.timeout(PATIENCE):
        await connecting
    assert old.closed
    new_bot = host.driver.bots["1"]
    assert (len(host.driver.bots), new_bot.websocket.websocket) == (1, second)
    await settle()
    assert told == [("connect", old_bot), ("disconnect", old_bot), ("connect", new_bot)]
    assert host.clock.pending == 0


async def test_of_several_newcomers_the_first_wins_and_all_share_one_probe() -> None:
    host = Host()
    old = await host.connect()
    old.alive = False
    newcomers = [newcomer() for _ in range(50)]
    connecting = [host.start_connecting(each) for each in newcomers]
    await settle()
    assert old.pinged == 1
    host.clock.advance(3)
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait(connecting)
    first, *others = connecting
    assert first.exception() is None
    assert {(await refused(other)).status_code for other in others} == {409}
    assert [each.accepted for each in newcomers] == [True] + [False] * 49
    assert len(host.driver.bots) == 1


async def test_a_newcomer_that_hangs_up_meanwhile_leaves_its_place_to_the_next() -> None:
    host = Host()
    (await host.connect()).alive = False
    newcomers = [newcomer(), newcomer()]
    connecting = [host.start_connecting(each) for each in newcomers]
    await settle()
    newcomers[0].peer_leaves()
    host.clock.advance(3)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*connecting)
    assert [each.accepted for each in newcomers] == [False, True]
    assert host.driver.bots["1"].websocket.websocket is newcomers[1]  # type: ignore[union-attr]


async def test_a_newcomer_that_is_cancelled_meanwhile_does_not_stop_the_probe() -> None:
    host = Host()
    old = await host.connect()
    old.alive = False
    first, second = (host.start_connecting(newcomer()) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    host.clock.advance(3)
    async with asyncio.timeout(PATIENCE):
        await second
    assert old.pinged == 1
    assert set(host.driver.bots) == {"1"}


async def test_a_connection_that_ends_by_itself_while_it_is_asked_makes_room() -> None:
    host = Host()
    old = await host.connect()
    old.alive = False
    connecting = host.start_connecting(second := newcomer())
    await settle()
    old.peer_leaves(1001)
    async with asyncio.timeout(PATIENCE):
        await connecting
    assert second.accepted
    assert host.clock.pending == 0


async def test_a_connection_that_is_being_closed_is_waited_for_and_then_makes_room() -> None:
    host = Host()
    old = await host.connect(ClosingWebSocket(x_self_id="1"))
    closing = asyncio.create_task(old.close())
    await settle()
    connecting = host.start_connecting(newcomer())
    await settle()
    assert not connecting.done()
    old.peer_leaves(1000)
    async with asyncio.timeout(PATIENCE):
        assert (await connecting).accepted
        await closing
    assert host.clock.pending == 0


async def test_a_connection_that_is_being_closed_for_too_long_is_taken_over() -> None:
    host = Host()
    old = await host.connect(ClosingWebSocket(x_self_id="1"))
    closing = asyncio.create_task(old.close())
    await settle()
    connecting = host.start_connecting(newcomer())
    await settle()
    host.clock.advance(host.config.takeover_timeout + RESOLUTION)
    async with asyncio.timeout(PATIENCE):
        assert (await connecting).accepted
        await closing
    assert old.ended is not None
    assert old.ended.code == 1006


async def test_a_connection_that_cannot_be_pinged_counts_as_alive() -> None:
    host = Host()
    await host.connect(UnpingableWebSocket(x_self_id="1"))
    assert (await refused(host.connect(newcomer()))).status_code == 409


async def test_a_connection_that_we_do_not_read_counts_as_alive() -> None:
    host = Host(max_pending=1, max_parked=1, parked_reserve=1)
    old = await host.connect()
    old.alive = False
    old.peer_sends({"wait": "a"}, {"parked": 1})
    assert old.paused
    connecting = host.start_connecting(newcomer())
    await settle()
    host.clock.advance(3)
    assert (await refused(connecting)).status_code == 409
    assert not old.closed
    await host.dispatcher.cancel()


async def test_after_a_takeover_the_next_newcomer_asks_the_new_connection() -> None:
    host = Host()
    (await host.connect()).alive = False
    connecting = host.start_connecting(second := newcomer())
    await settle()
    host.clock.advance(3)
    async with asyncio.timeout(PATIENCE):
        await connecting
    assert (await refused(host.connect(newcomer()))).status_code == 409
    assert second.pinged == 1


async def test_a_bot_that_came_in_another_way_is_not_pushed_out() -> None:
    host = Host()
    bot = host.adapter("websocket", "1")
    host.driver._bot_connect(bot)
    assert (await refused(host.connect(newcomer()))).status_code == 409
    assert host.driver.bots == {"1": bot}


async def test_a_bot_that_was_taken_from_the_driver_takes_no_other_along_when_it_goes() -> None:
    host = Host()
    old = await host.connect()
    host.driver._bot_disconnect(host.driver.bots["1"])
    second = await host.connect(newcomer())
    old.peer_leaves()
    assert host.driver.bots["1"].websocket.websocket is second  # type: ignore[union-attr]
    await refused(host.connect(newcomer()))
    assert second.pinged == 1


async def test_a_reconnect_storm_leaves_one_connection_and_nothing_else() -> None:
    host, connects, disconnects = Host(), [], []
    host.driver.on_bot_connect(connects.append)
    host.driver.on_bot_disconnect(disconnects.append)
    storm = [host.start_connecting(newcomer()) for _ in range(500)]
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait(storm)
    assert [task.exception() is None for task in storm].count(True) == 1
    await host.driver._bot_hooks.join()
    assert (len(connects), len(disconnects), len(host.driver.bots)) == (1, 0, 1)
    assert (host.clock.pending, host.dispatcher._probes, host.dispatcher._entering) == (
        0,
        {},
        set(),
    )


# The end.


async def test_draining_waits_for_what_was_accepted_and_takes_nothing_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host(max_pending_per_connection=1)
    websocket = await host.connect()
    websocket.peer_sends(*numbered(2, wait="gate"))
    draining = asyncio.create_task(host.dispatcher.drain())
    await settle()
    assert not draining.done()
    websocket.peer_sends({"late": 1}, {"late": 2})
    response = await host.post({"late": 3})
    assert (response.status_code, response.headers[-1]) == (503, ("Retry-After", "5"))
    host.adapter.release("gate")
    async with asyncio.timeout(PATIENCE):
        await draining
    assert host.adapter.messages == numbered(2, wait="gate")
    websocket.peer_leaves(1001)
    assert "bot 1: 2 events came after the stop and were not handled" in caplog.text


async def test_cancelling_ends_what_is_left_and_starts_nothing_that_is_parked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host(max_pending=2, max_parked=1)
    websocket = await host.connect()
    websocket.peer_sends(*numbered(5, wait="never"))
    other = await host.connect(self_id="2")
    other.peer_sends({"wait": "never", "other": 1})
    await settle()
    async with asyncio.timeout(PATIENCE):
        await host.dispatcher.cancel()
    await settle()
    assert host.adapter.messages == numbered(2, wait="never")
    assert (
        "bot 1: {'number': 0, 'wait': 'never'}: cancelled, it had not ended in time" in caplog.text
    )
    assert "bot 1: 1 parked events were not handled" in caplog.text
    assert "bot 2: 1 parked events were not handled" in caplog.text
    # What reading had left to come is refused like all that comes after the stop.
    assert not websocket.paused
    websocket.peer_leaves()
    assert "bot 1: 2 events came after the stop and were not handled" in caplog.text


async def test_cancelling_ends_a_probe() -> None:
    host = Host()
    (await host.connect()).alive = False
    connecting = host.start_connecting(newcomer())
    await settle()
    async with asyncio.timeout(PATIENCE):
        await host.dispatcher.cancel()
    assert (await refused(connecting)).status_code == 409
    assert host.clock.pending == 0


@pytest.mark.parametrize("connection", [None, Identity()])
async def test_a_request_that_waits_for_a_place_while_all_is_cancelled_gets_503(
    connection: object,
) -> None:
    host = Host(max_pending=1, max_pending_per_connection=1)
    await host.post({"wait": "never"}, connection=connection)
    waiting = asyncio.create_task(host.post({}, connection=connection))
    await settle()
    await host.dispatcher.cancel()
    host.clock.advance(60)
    assert (await waiting).status_code == 503


# What bots make of it.


class NumberedBot(RecordingBot):
    """Keeps its id as a number, though `check_permission` gave text."""

    headers: ClassVar[list[dict[str, str]]] = []

    def __init__(self, connection_type: str, self_id: str, *, websocket: Any = None) -> None:
        super().__init__(connection_type, self_id, websocket=websocket)
        self.self_id = int(self_id)  # type: ignore[assignment]  # that is the point


async def test_a_bot_that_keeps_its_id_as_a_number_can_connect_again() -> None:
    host = Host(NumberedBot)
    first = await host.connect()
    assert (await refused(host.connect())).status_code == 409
    first.peer_leaves()
    await settle()
    await host.connect()


class AnsweringBot(RecordingBot):
    """Answers when the peer has left already."""

    headers: ClassVar[list[dict[str, str]]] = []

    async def handle_message(self, message: dict[str, Any]) -> None:
        raise WebSocketClosed(1006, "the connection was lost")


async def test_an_answer_to_a_peer_that_has_left_is_one_line_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host(AnsweringBot)
    await host.post({"a": 1})
    await settle()
    (record,) = [each for each in caplog.records if each.levelno > logging.INFO]
    assert record.getMessage() == (
        "bot 1: an event got no answer, the WebSocket is closed: 1006: the connection was lost"
    )
    assert record.exc_info is None
