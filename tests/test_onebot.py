"""The OneBot v11 bot: who may connect, API calls and their answers, messages and events."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable
from typing import Any

import pytest
from support.peer import PATIENCE, settle

from nbdriver import (
    ActionFailed,
    ApiNotAvailable,
    Config,
    ConfigError,
    Driver,
    Env,
    Headers,
    NetworkError,
    Request,
    RequestDenied,
    WebSocket,
    WebSocketClosed,
    abc,
    codec,
    onebot,
)
from nbdriver.asgi import ASGIWebSocketConnection
from nbdriver.model import RequestHeaders, refusal

Json = dict[str, Any]

PRIVATE = {"post_type": "message", "message_type": "private", "user_id": 1, "message": "hi"}
GROUP = {**PRIVATE, "message_type": "group", "group_id": 7}


def driver(**settings: Any) -> Driver:
    """A driver that knows these settings and no others."""
    settings = {"environment": "test", **settings}
    return Driver(Env(_env_file=None, _environ={}), Config(_environ={}, **settings))


# The platform's end of a WebSocket, in memory. What is promised of it is held below, for the fake
# and for the real class alike.


class FakeWebSocket(abc.WebSocket):
    """The contract's WebSocket with nothing under it; `sent` is what the bot has sent."""

    def __init__(self, websocket: Any = None) -> None:
        super().__init__(websocket)
        self.sent: list[Json] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._messages: asyncio.Queue[Json | None] = asyncio.Queue()
        self._error: WebSocketClosed | None = None

    @property
    def closed(self) -> bool:
        return self._error is not None and self._messages.empty()

    async def accept(self) -> None:
        """There is nobody to be told."""

    async def close(self, code: int = 1000) -> None:
        if code in (1005, 1006):
            raise ValueError(f"{code} must not be sent")
        self.lose(code)

    async def receive(self) -> Json | None:
        return None if self.closed else await self._messages.get()

    async def send(self, data: Json) -> None:
        text = codec.dumps(data)
        self._check()
        self.sent.append(json.loads(text))
        await self.reads.wait()
        self._check()

    def deliver(self, message: Json) -> None:
        self._messages.put_nowait(message)

    def lose(self, code: int = 1006) -> None:
        self._error = self._error or WebSocketClosed(code, "gone")
        self.reads.set()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


class RealWebSocket(WebSocket):
    """The driver's own class, over ASGI's events in place of a network."""

    def __init__(self) -> None:
        self.sent: list[Json] = []
        self._events: asyncio.Queue[Json] = asyncio.Queue()
        self._lost = False
        super().__init__(ASGIWebSocketConnection(SCOPE, self._events.get, self._take))

    async def _take(self, event: Any) -> None:
        if self._lost:
            raise ConnectionResetError("the client has gone")
        if event["type"] == "websocket.send":
            self.sent.append(json.loads(event["text"]))

    def deliver(self, message: Json) -> None:
        self._events.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def lose(self) -> None:
        self._lost = True
        self._events.put_nowait({"type": "websocket.disconnect", "code": 1006})


SCOPE = {
    "type": "websocket",
    "path": "/onebot/ws",
    "headers": [(b"x-self-id", b"10000")],
    "extensions": {},
}

Ends = FakeWebSocket | RealWebSocket


@pytest.fixture(params=[FakeWebSocket, RealWebSocket])
async def websocket(request: pytest.FixtureRequest) -> Ends:
    made: Ends = request.param()
    await made.accept()
    return made


async def test_the_fake_and_the_real_websocket_carry_objects_both_ways(websocket: Ends) -> None:
    websocket.deliver({"a": "你好"})
    assert await websocket.receive() == {"a": "你好"}
    await websocket.send({"b": [1, None]})
    assert websocket.sent == [{"b": [1, None]}]
    assert not websocket.closed


async def test_both_refuse_what_json_cannot_hold_and_stay_open(websocket: Ends) -> None:
    with pytest.raises(TypeError):
        await websocket.send({"a": object()})
    assert websocket.sent == []
    await websocket.send({"a": 1})


async def test_both_raise_websocket_closed_when_sending_to_a_peer_that_has_gone(
    websocket: Ends,
) -> None:
    websocket.lose()
    for _ in range(2):
        with pytest.raises(WebSocketClosed, match="1006"):
            await websocket.send({})
    assert websocket.closed


async def test_both_hand_over_what_came_before_the_end_and_then_none(websocket: Ends) -> None:
    websocket.deliver({"a": 1})
    websocket.lose()
    assert not websocket.closed
    assert await websocket.receive() == {"a": 1}
    assert await websocket.receive() is None
    assert websocket.closed


async def test_both_close_once_and_refuse_a_code_that_must_not_be_sent(websocket: Ends) -> None:
    with pytest.raises(ValueError, match="1006"):
        await websocket.close(1006)
    assert not websocket.closed
    await websocket.close()
    await websocket.close()
    with pytest.raises(WebSocketClosed, match="1000"):
        await websocket.send({})


# Who may connect.


def headers(target: str = "/onebot/", body: bytes = b"", **fields: Any) -> RequestHeaders:
    """The headers of a request, its underscores standing for dashes."""
    items = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return RequestHeaders(Request("POST", target, Headers(items), body))


async def ask(kind: str = "websocket", given: dict[str, str] | None = None, **settings: Any) -> str:
    """Ask for permission; with an id, unless `given` are the headers."""
    given = headers(x_self_id="10000") if given is None else given
    return await onebot.Bot.check_permission(driver(**settings), kind, given, None)


async def refused(
    kind: str = "websocket", given: dict[str, str] | None = None, **settings: Any
) -> RequestDenied:
    with pytest.raises(RequestDenied) as caught:
        await ask(kind, given, **settings)
    return caught.value


@pytest.mark.parametrize("self_id", ["1", "10000", "wxid_x-9", "a.b:c@d+e", "x" * 64])
async def test_the_id_is_what_x_self_id_says(self_id: str) -> None:
    assert await ask(given=headers(x_self_id=self_id)) == self_id


@pytest.mark.parametrize("fields", [{}, {"x_self_id": ""}])
async def test_without_x_self_id_it_is_a_400(fields: dict[str, str]) -> None:
    denied = await refused(given=headers(**fields))
    assert (denied.status_code, "X-Self-ID" in denied.reason) == (400, True)


@pytest.mark.parametrize(
    "self_id", ["a b", "1, 2", "1\n", "ä", "x" * 65, "-1", "/etc", "\x1b[31m", "你"]
)
async def test_an_id_that_is_not_plain_is_a_400(self_id: str) -> None:
    denied = await refused(given=headers(x_self_id=self_id))
    assert (denied.status_code, self_id in denied.reason) == (400, False)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "authorization", ["Bearer secret", "bearer secret", "TOKEN secret", "Bearer   secret "]
)
async def test_the_access_token_may_stand_in_the_authorization_header(
    kind: str, authorization: str
) -> None:
    given = headers(x_self_id="1", authorization=authorization)
    assert await ask(kind, given, access_token="secret") == "1"


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_the_access_token_may_stand_in_the_query(kind: str) -> None:
    given = headers("/onebot/ws?a=b&access_token=s%20%E4%BD%A0", x_self_id="1")
    assert await ask(kind, given, access_token="s 你") == "1"


async def test_the_query_counts_where_the_header_shows_no_token_of_ours() -> None:
    given = headers("/?access_token=secret", x_self_id="1", authorization="Basic YTpi")
    assert await ask(given=given, access_token="secret") == "1"
    given = headers("/?access_token=secret", x_self_id="1", authorization="Bearer other")
    assert (await refused(given=given, access_token="secret")).status_code == 403


async def test_a_token_beyond_ascii_is_compared_by_its_bytes() -> None:
    sent = "Bearer " + "密码".encode().decode("latin-1")
    assert await ask(given=headers(x_self_id="1", authorization=sent), access_token="密码") == "1"
    # From a driver that decodes headers in another way.
    # The last byte of this one, E5 8A A0, is a blank to Unicode, and to HTTP it is none.
    sent = "Bearer  " + "密码加".encode().decode("latin-1")
    assert await ask(given=headers(x_self_id="1", authorization=sent), access_token="密码加") == "1"
    given = {"x-self-id": "1", "authorization": "Bearer 密码"}
    assert (await refused(given=given, access_token="密码")).status_code == 403


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic c2VjcmV0", "secret"]
)
@pytest.mark.parametrize("target", ["/onebot/ws", "/onebot/ws?access_token="])
async def test_a_missing_token_is_a_401_that_says_what_is_expected(
    authorization: str | None, target: str
) -> None:
    fields = {} if authorization is None else {"authorization": authorization}
    denied = await refused(given=headers(target, x_self_id="1", **fields), access_token="secret")
    assert denied.status_code == 401
    assert "Authorization: Bearer" in denied.reason
    assert ("WWW-Authenticate", "Bearer") in refusal(denied).headers


@pytest.mark.parametrize("token", ["Secret", "secre", "secret1", "s€cret", "\xff", "None"])
async def test_a_wrong_token_is_a_403_that_does_not_repeat_it(
    token: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = headers(x_self_id="1", authorization=f"Bearer {token}")
    denied = await refused(given=given, access_token="secret")
    assert (denied.status_code, denied.reason) == (403, "the access token is wrong")
    assert "the access token is wrong" in caplog.text


async def test_without_a_configured_token_any_token_will_do() -> None:
    assert await ask(given=headers(x_self_id="1", authorization="Bearer x")) == "1"
    assert await ask(access_token="") == "10000"


async def test_a_plain_dict_of_headers_will_do_where_no_query_and_no_body_are_needed() -> None:
    given = {"x-self-id": "1", "authorization": "Bearer secret"}
    assert await ask("http", given, access_token="secret") == "1"
    assert (await refused(given={"x-self-id": "1"}, access_token="secret")).status_code == 401
    given = {"x-self-id": "1", "x-signature": sign(b"{}")}
    assert (await refused("http", given, secret="key")).status_code == 403


def sign(body: bytes, secret: str = "key") -> str:
    return "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


# The standard's own example (communication/http-post).
BODY = '{ "post_type":"message",  "message": "\\u4f60好" }\n'.encode()


async def test_a_signature_is_that_of_the_bytes_as_received() -> None:
    for signature in (sign(BODY), sign(BODY).upper()):
        given = headers(body=BODY, x_self_id="1", x_signature=signature)
        assert await ask("http", given, secret="key") == "1"
    written_anew = json.dumps(json.loads(BODY)).encode()
    given = headers(body=BODY, x_self_id="1", x_signature=sign(written_anew))
    assert (await refused("http", given, secret="key")).status_code == 403


async def test_a_missing_signature_is_a_401_that_says_what_is_expected() -> None:
    denied = await refused("http", headers(body=BODY, x_self_id="1"), secret="key")
    assert denied.status_code == 401
    assert "X-Signature" in denied.reason
    assert ("WWW-Authenticate", "X-Signature") in refusal(denied).headers


@pytest.mark.parametrize(
    "signature", [sign(BODY, "other"), sign(BODY)[5:], "sha1=", "x", "ÿ", "你"]
)
async def test_a_wrong_signature_is_a_403(signature: str) -> None:
    given = headers(body=BODY, x_self_id="1", x_signature=signature)
    denied = await refused("http", given, secret="key")
    assert (denied.status_code, "signature is wrong" in denied.reason) == (403, True)


async def test_a_websocket_is_not_asked_for_a_signature() -> None:
    assert await ask("websocket", secret="key") == "10000"


async def test_where_both_are_configured_both_are_asked_for() -> None:
    both = {"access_token": "token", "secret": "key"}
    fields = {"x_self_id": "1", "x_signature": sign(BODY)}
    assert (await refused("http", headers(body=BODY, **fields), **both)).status_code == 401
    fields["authorization"] = "Bearer token"
    assert await ask("http", headers(body=BODY, **fields), **both) == "1"


@pytest.mark.parametrize("name", ["access_token", "secret"])
async def test_the_keys_of_onebot_itself_go_before_the_general_ones(name: str) -> None:
    own = {
        "access_token": {"authorization": "Bearer own"},
        "secret": {"x_signature": sign(b"", "own")},
    }
    given = headers(x_self_id="1", **own[name])
    assert await ask("http", given, **{name: "general", f"onebot_{name}": "own"}) == "1"
    denied = await refused("http", given, **{name: "general", f"onebot_{name}": ""})
    assert denied.status_code == 403


async def test_a_number_as_a_token_is_its_digits() -> None:
    given = headers(x_self_id="1", authorization="Bearer 12345678901234567890")
    assert await ask(given=given, onebot_access_token=12345678901234567890) == "1"


@pytest.mark.parametrize("value", [1.5, True, ["a"], {"a": "b"}])
@pytest.mark.parametrize("name", ["ONEBOT_ACCESS_TOKEN", "ONEBOT_SECRET"])
def test_a_credential_that_is_no_text_is_an_error_when_the_adapter_is_registered(
    name: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"{name} .*set {name.removeprefix('ONEBOT_')} instead"):
        driver(**{name: value}).register_adapter("onebot", onebot.Bot)


def test_the_adapter_is_called_onebot() -> None:
    assert onebot.Bot("http", "1").type == "onebot"


# API calls and their answers.


class Recorder(onebot.Bot):
    """Keeps what comes."""

    def __init__(
        self, connection_type: str, self_id: str, *, websocket: abc.WebSocket | None = None
    ) -> None:
        super().__init__(connection_type, self_id, websocket=websocket)
        self.events: list[onebot.Event] = []
        self.messages: list[onebot.Event] = []

    async def on_event(self, event: onebot.Event) -> None:
        self.events.append(event)
        await super().on_event(event)

    async def on_message(self, event: onebot.Event) -> None:
        self.messages.append(event)
        await super().on_message(event)


async def result(call: Awaitable[Any]) -> Any:
    """What `call` gives, for which nobody waits for ever."""
    async with asyncio.timeout(PATIENCE):
        return await call


def connected(**settings: Any) -> tuple[Recorder, FakeWebSocket]:
    """A bot on a WebSocket, registered with a driver that has these settings."""

    class Registered(Recorder):
        pass

    driver(**settings).register_adapter("onebot", Registered)
    websocket = FakeWebSocket()
    return Registered("websocket", "10000", websocket=websocket), websocket


async def test_an_attribute_is_an_api_call_and_gives_the_data_of_its_answer() -> None:
    bot, websocket = connected()
    call = asyncio.ensure_future(bot.get_status(verbose=True))
    await settle()
    (sent,) = websocket.sent
    assert (sent["action"], sent["params"]) == ("get_status", {"verbose": True})
    await bot.handle_message(
        {"status": "ok", "retcode": 0, "data": {"good": True}, "echo": sent["echo"]}
    )
    assert await result(call) == {"good": True}


async def test_answers_are_matched_by_their_echo_in_whichever_order_they_come() -> None:
    bot, websocket = connected()
    calls = [asyncio.create_task(bot.call_api("get", n=n)) for n in range(5)]
    await settle()
    assert len({sent["echo"] for sent in websocket.sent}) == 5
    for sent in reversed(websocket.sent):
        await bot.handle_message({"data": sent["params"]["n"], "echo": sent["echo"]})
    assert await result(asyncio.gather(*calls)) == [0, 1, 2, 3, 4]


async def test_an_echo_that_comes_back_as_a_number_is_the_same_echo() -> None:
    bot, websocket = connected()
    call = asyncio.create_task(bot.call_api("get"))
    await settle()
    await bot.handle_message({"data": 1, "echo": int(websocket.sent[0]["echo"])})
    assert await result(call) == 1


async def test_two_bots_do_not_take_each_others_answers() -> None:
    (one, websocket), (other, _) = connected(), connected()
    calls = [asyncio.create_task(bot.call_api("get")) for bot in (one, other)]
    await settle()
    await one.handle_message({"data": "mine", "echo": websocket.sent[0]["echo"]})
    await settle()
    assert [call.done() for call in calls] == [True, False]
    other.connection_closed(WebSocketClosed(1006))
    with pytest.raises(NetworkError):
        await result(calls[1])


@pytest.mark.parametrize("status", ["ok", "async", None])
async def test_an_answer_without_data_gives_none(status: str | None) -> None:
    bot, websocket = connected()
    call = asyncio.create_task(bot.call_api("send_like"))
    await settle()
    await bot.handle_message({"status": status, "echo": websocket.sent[0]["echo"]})
    assert await result(call) is None


async def test_a_failed_action_raises_with_the_whole_answer() -> None:
    bot, websocket = connected()
    call = asyncio.create_task(bot.call_api("send_msg"))
    await settle()
    answer = {"status": "failed", "retcode": 100, "data": None, "echo": websocket.sent[0]["echo"]}
    await bot.handle_message(answer)
    with pytest.raises(ActionFailed) as caught:
        await result(call)
    assert (caught.value.info, caught.value.retcode) == (answer, 100)


@pytest.mark.parametrize("echo", ["99", 99, None, True, {"seq": 1}, [1], "x" * 1000])
async def test_an_answer_that_no_call_waits_for_is_a_debug_line(
    echo: object, caplog: pytest.LogCaptureFixture
) -> None:
    bot, websocket = connected()
    caplog.set_level(logging.DEBUG)
    call = asyncio.create_task(bot.call_api("get"))
    await settle()
    caplog.clear()
    await bot.handle_message({"retcode": 0, "echo": echo})
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "no call waits for" in record.message
    assert len(record.message) < 300
    await bot.handle_message({"data": 1, "echo": websocket.sent[0]["echo"]})
    assert await result(call) == 1


async def test_a_second_answer_to_a_call_changes_nothing() -> None:
    bot, websocket = connected()
    call = asyncio.create_task(bot.call_api("get"))
    await settle()
    for data in ("first", "second"):
        await bot.handle_message({"data": data, "echo": websocket.sent[0]["echo"]})
    assert await result(call) == "first"


async def test_an_answer_to_a_call_that_was_just_cancelled_is_dropped() -> None:
    bot, websocket = connected()
    call = asyncio.create_task(bot.call_api("get"))
    await settle()
    call.cancel()
    await bot.handle_message({"data": 1, "echo": websocket.sent[0]["echo"]})
    with pytest.raises(asyncio.CancelledError):
        await result(call)
    bot.connection_closed(WebSocketClosed(1006))


async def test_a_connection_lost_while_a_call_is_being_cancelled_does_not_hold_it_up() -> None:
    bot, _ = connected()
    call = asyncio.create_task(bot.call_api("get"))
    await settle()
    bot.connection_closed(WebSocketClosed(1006))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await result(call)


async def test_a_call_without_an_answer_in_time_is_a_network_error() -> None:
    bot, _ = connected(api_timeout=0.001)
    with pytest.raises(NetworkError, match=r"get_status: no answer came within 0.001 s"):
        await bot.get_status()


async def test_the_time_is_counted_while_a_slow_platform_does_not_read() -> None:
    bot, websocket = connected(api_timeout=0.001)
    websocket.reads.clear()
    with pytest.raises(NetworkError, match="no answer came"):
        await bot.get_status()


async def test_an_answer_that_comes_too_late_is_dropped() -> None:
    bot, websocket = connected(api_timeout=0.001)
    with pytest.raises(NetworkError):
        await bot.get_status()
    await bot.handle_message({"data": 1, "echo": websocket.sent[0]["echo"]})


async def test_without_a_time_out_a_call_waits_until_the_connection_goes() -> None:
    bot, _ = connected(api_timeout="null")
    call = asyncio.ensure_future(bot.get_status())
    await settle()
    assert not call.done()
    bot.connection_closed(WebSocketClosed(1001, "bye"))
    with pytest.raises(NetworkError, match="1001: bye"):
        await result(call)


async def test_every_call_that_waits_fails_at_once_when_the_connection_goes() -> None:
    bot, websocket = connected(api_timeout=None)
    calls = [asyncio.create_task(bot.call_api("get", n=n)) for n in range(100)]
    await settle()
    websocket.lose()
    bot.connection_closed(WebSocketClosed(1006, "the connection was lost"))
    results = await result(asyncio.gather(*calls, return_exceptions=True))
    assert {type(result) for result in results} == {NetworkError}
    assert len({id(result) for result in results}) == 100
    with pytest.raises(NetworkError, match="1006"):
        await bot.call_api("get")


async def test_an_answer_that_came_just_before_the_end_is_taken() -> None:
    bot, websocket = connected()
    call = asyncio.create_task(bot.call_api("get"))
    await settle()
    answer = {"data": 1, "echo": websocket.sent[0]["echo"]}
    handling = asyncio.create_task(bot.handle_message(answer))
    bot.connection_closed(WebSocketClosed(1000))
    await handling
    assert await result(call) == 1


async def test_a_call_that_is_still_being_sent_fails_when_the_connection_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bot, websocket = connected()
    websocket.reads.clear()
    call = asyncio.create_task(bot.call_api("get"))
    await settle()
    bot.connection_closed(WebSocketClosed(1006))
    websocket.lose()
    with pytest.raises(NetworkError, match=r"^get: the WebSocket is closed: 1006: gone$"):
        await result(call)
    assert caplog.records == []


async def test_parameters_that_json_cannot_hold_are_the_callers_error() -> None:
    bot, websocket = connected()
    with pytest.raises(TypeError):
        await bot.call_api("get", what=object())
    assert websocket.sent == []


async def test_a_posted_event_has_no_way_to_call_an_api() -> None:
    with pytest.raises(ApiNotAvailable, match=r"send_msg: expected a WebSocket.*reverse"):
        await onebot.Bot("http", "1").send(PRIVATE, "hi")


# What a bot is told by the driver.


class Platform:
    """A platform that is connected to a driver by WebSocket, over ASGI's events in memory."""

    def __init__(self, served: Driver) -> None:
        self._to_bot: asyncio.Queue[Json] = asyncio.Queue()
        self._from_bot: asyncio.Queue[Any] = asyncio.Queue()
        self._to_bot.put_nowait({"type": "websocket.connect"})
        self.served = asyncio.ensure_future(
            served.asgi(SCOPE, self._to_bot.get, self._from_bot.put)
        )

    def send(self, message: Json) -> None:
        self._to_bot.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def leave(self) -> None:
        self._to_bot.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def read(self) -> Json:
        async with asyncio.timeout(PATIENCE):
            event = await self._from_bot.get()
        assert event["type"] == "websocket.send"
        message: Json = json.loads(event["text"])
        return message

    async def accepted(self) -> None:
        async with asyncio.timeout(PATIENCE):
            assert (await self._from_bot.get())["type"] == "websocket.accept"


async def test_under_the_driver_a_bot_answers_and_reads_the_result_over_the_same_socket() -> None:
    results: list[Any] = []

    class Echo(onebot.Bot):
        async def on_message(self, event: onebot.Event) -> None:
            results.append(await self.send(event, event.text))

    served = driver()
    served.register_adapter("onebot", Echo)
    platform = Platform(served)
    await platform.accepted()
    platform.send({**GROUP, "message": "a [CQ:face,id=1]&#91;b"})
    sent = await platform.read()
    assert sent["params"]["message"] == [onebot.text("a [b")]
    platform.send({"status": "ok", "data": {"message_id": 3}, "echo": sent["echo"]})
    platform.leave()
    await result(platform.served)
    await settle()
    assert results == [{"message_id": 3}]


async def test_under_the_driver_a_call_fails_as_soon_as_the_connection_is_lost() -> None:
    log: list[str] = []

    class Caller(onebot.Bot):
        async def on_message(self, event: onebot.Event) -> None:
            try:
                await self.call_api("get_status")
            except NetworkError as error:
                log.append(f"event: {error}")

    served = driver(api_timeout=None)
    served.register_adapter("onebot", Caller)

    @served.on_bot_disconnect
    async def disconnected(bot: onebot.Bot) -> None:
        with pytest.raises(NetworkError):
            await bot.get_status()
        log.append("hook")

    platform = Platform(served)
    await platform.accepted()
    platform.send(PRIVATE)
    assert (await platform.read())["action"] == "get_status"
    platform.leave()
    await result(platform.served)
    await settle()
    assert sorted(log) == [
        "event: get_status: the connection went before an answer (the WebSocket is closed: 1006)",
        "hook",
    ]


async def test_a_connect_hook_may_call_an_api() -> None:
    names: list[str] = []
    served = driver()
    served.register_adapter("onebot", onebot.Bot)

    @served.on_bot_connect
    async def connect(bot: onebot.Bot) -> None:
        names.append((await bot.get_login_info())["nickname"])

    platform = Platform(served)
    await platform.accepted()
    platform.send({"data": {"nickname": "小明"}, "echo": (await platform.read())["echo"]})
    platform.leave()
    await result(platform.served)
    await settle()
    assert names == ["小明"]


# Sending.


async def sent_by(event: Any, message: Any, **kwargs: Any) -> Json:
    """The parameters of the `send_msg` that `send` makes of its own."""
    bot, websocket = connected(api_timeout=None)
    call = asyncio.create_task(bot.send(event, message, **kwargs))
    await settle()
    if call.done():
        await result(call)
    (sent,) = websocket.sent
    await bot.handle_message({"data": None, "echo": sent["echo"]})
    await result(call)
    assert sent["action"] == "send_msg"
    params: Json = sent["params"]
    return params


@pytest.mark.parametrize(
    ("event", "destination"),
    [
        (PRIVATE, {"message_type": "private", "user_id": 1}),
        (GROUP, {"message_type": "group", "user_id": 1, "group_id": 7}),
        (onebot.Event(dict(GROUP)), {"message_type": "group", "user_id": 1, "group_id": 7}),
        # A private message by way of a group is answered in private.
        (
            {**GROUP, "message_type": "private"},
            {"message_type": "private", "user_id": 1, "group_id": 7},
        ),
        ({**PRIVATE, "group_id": 0}, {"message_type": "private", "user_id": 1}),
        # What is no message.
        ({"post_type": "notice", "user_id": 1}, {"message_type": "private", "user_id": 1}),
        (
            {"post_type": "notice", "user_id": 1, "group_id": 7},
            {"message_type": "group", "user_id": 1, "group_id": 7},
        ),
        ({"message_type": "guild", "user_id": 1}, {"message_type": "private", "user_id": 1}),
    ],
)
async def test_an_answer_goes_to_where_its_event_came_from(event: Any, destination: Json) -> None:
    assert await sent_by(event, "hi") == {**destination, "message": [onebot.text("hi")]}


@pytest.mark.parametrize(
    ("kwargs", "destination"),
    [
        ({"user_id": 5}, {"message_type": "private", "user_id": 5}),
        ({"group_id": 5}, {"message_type": "group", "group_id": 5}),
        (
            {"user_id": 5, "group_id": 6, "message_type": "private"},
            {"message_type": "private", "user_id": 5, "group_id": 6},
        ),
        (
            {"message_type": "private", "auto_escape": True},
            {"message_type": "private", "user_id": 1, "group_id": 7, "auto_escape": True},
        ),
    ],
)
async def test_what_is_said_beside_the_event_wins(kwargs: Json, destination: Json) -> None:
    assert await sent_by(GROUP, "hi", **kwargs) == {**destination, "message": [onebot.text("hi")]}


async def test_an_event_from_nowhere_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="user_id or a group_id"):
        await sent_by({"post_type": "meta_event"}, "hi")


@pytest.mark.parametrize(
    ("message", "segments"),
    [
        ("a [CQ:face,id=1]&amp;", [onebot.text("a [CQ:face,id=1]&amp;")]),
        (onebot.image("a.png"), [onebot.image("a.png")]),
        (
            (onebot.reply(3), "hi", onebot.at("all")),
            [onebot.reply("3"), onebot.text("hi"), onebot.at("all")],
        ),
        ([], []),
    ],
)
async def test_a_message_is_sent_as_segments_and_text_is_never_read_as_codes(
    message: Any, segments: list[onebot.Segment]
) -> None:
    assert (await sent_by(PRIVATE, message))["message"] == segments


async def test_the_sender_is_mentioned_in_a_group_if_asked_for() -> None:
    sent = await sent_by(GROUP, "hi", at_sender=True)
    assert sent["message"] == [onebot.at(1), onebot.text(" "), onebot.text("hi")]
    for event in (PRIVATE, {"group_id": 7}):
        assert (await sent_by(event, "hi", at_sender=True))["message"] == [onebot.text("hi")]


# Events.


async def test_every_event_comes_to_on_event_and_messages_go_on_to_on_message() -> None:
    bot, _ = connected()
    kinds = ["message", "notice", "request", "meta_event", "message_sent"]
    for kind in kinds:
        await bot.handle_message({"post_type": kind, "echo": "1"})
    assert [event.post_type for event in bot.events] == kinds
    assert [event.post_type for event in bot.messages] == ["message"]


async def test_a_network_error_that_an_author_lets_pass_is_a_line_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Echo(onebot.Bot):
        async def on_message(self, event: onebot.Event) -> None:
            await self.send(event, event.text)

    await Echo("http", "10000").handle_message(PRIVATE)
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert "bot 10000: an event is not handled further, send_msg: expected a Web" in record.message


async def test_any_other_error_is_the_drivers_to_log() -> None:
    class Failing(onebot.Bot):
        async def on_message(self, event: onebot.Event) -> None:
            raise ActionFailed({"retcode": 1})

    with pytest.raises(ActionFailed):
        await Failing("http", "10000").handle_message(PRIVATE)


async def test_the_reason_of_a_platform_that_leaves_reaches_no_log_with_its_controls() -> None:
    bot, websocket = connected()
    call = asyncio.create_task(bot.call_api("get"))
    await settle()
    bot.connection_closed(WebSocketClosed(1000, "a\r\n\x1b[31m"))
    with pytest.raises(NetworkError) as caught:
        await result(call)
    assert str(caught.value).isprintable()
    assert websocket.sent


async def test_what_is_neither_event_nor_answer_is_logged_and_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bot, _ = connected()
    await bot.handle_message({"b\x1b": 1, "a": {}})
    assert "expected an event" in caplog.text
    assert "'a'" in caplog.text
    assert "\x1b" not in caplog.text
    assert bot.events == []


@pytest.mark.parametrize(
    ("message", "answers"),
    [
        ({"echo": None}, True),
        ({"status": "failed", "retcode": 1400}, True),
        ({"post_type": "message", "echo": "1"}, False),
        ({}, False),
    ],
)
def test_an_answer_is_told_from_an_event(message: Json, answers: bool) -> None:
    assert onebot.Bot.is_answer(message) is answers


def test_an_event_reads_what_is_there_and_gives_none_for_the_rest() -> None:
    raw = {**GROUP, "self_id": 10000, "sub_type": "normal", "message_id": -5}
    event = onebot.Event(raw)
    assert (event.post_type, event.message_type, event.sub_type) == ("message", "group", "normal")
    assert (event.self_id, event.user_id, event.group_id) == (10000, 1, 7)
    assert (event.message_id, event.text, event.raw) == (-5, "hi", raw)
    empty = onebot.Event({})
    assert (empty.post_type, empty.text, empty.message) == ("", "", [])
    absent = (empty.message_type, empty.sub_type, empty.self_id, empty.user_id)
    assert (*absent, empty.group_id, empty.message_id) == (None,) * 6
    assert not empty.to_me


def test_an_event_reads_as_the_dict_does_and_cannot_be_written() -> None:
    event = onebot.Event({"post_type": "request", "comment": "please"})
    assert (event["comment"], event.get("flag"), "comment" in event) == ("please", None, True)
    assert (dict(event), len(event)) == (event.raw, 2)
    assert repr(event) == "Event({'post_type': 'request', 'comment': 'please'})"
    with pytest.raises(TypeError):
        event["comment"] = ""  # type: ignore[index]
    with pytest.raises(AttributeError):
        event.comment = ""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("plain", "plain"),
        ("&#91;a&#93; &amp;amp; b&#44;", "[a] &amp; b,"),
        ("[CQ:at,qq=1] hi [CQ:face,id=2]there", " hi there"),
        ([onebot.at(1), onebot.text("a"), onebot.image("x"), onebot.text("&amp;b")], "a&amp;b"),
        ([{"type": "text"}, {"type": "text", "data": None}, {"data": {"text": "x"}}, 5, "x"], ""),
        ([{"type": "text", "data": {"text": 5}}], "5"),
        (5, ""),
        ({"type": "text", "data": {"text": "x"}}, ""),
    ],
)
def test_the_text_of_a_message_is_read_from_codes_and_from_segments(
    message: object, text: str
) -> None:
    assert onebot.Event({"post_type": "message", "message": message}).text == text


@pytest.mark.parametrize(
    ("message", "to_me"),
    [
        ("[CQ:at,qq=10000] hi", True),
        ([onebot.text("hi "), onebot.at(10000)], True),
        ([{"type": "at", "data": {"qq": 10000}}], True),
        ("[CQ:at,qq=1000] hi", False),
        ([onebot.at("all")], False),
        ([{"type": "at"}], False),
    ],
)
def test_a_group_message_is_to_the_bot_if_it_mentions_it(message: object, to_me: bool) -> None:
    event = onebot.Event({**GROUP, "self_id": 10000, "message": message})
    assert event.to_me is to_me
    assert onebot.Event({**event.raw, "message_type": "private"}).to_me
