"""A WebSocket under an ASGI server that is accepted, or refused."""

from __future__ import annotations

import pytest
from support.asgi import DENIAL, App, Conversation, Open, talk, websocket_scope
from support.bots import recording_bot
from support.echo import make_driver

from nbdriver import HTTPError, RequestDenied, WebSocketClosed
from nbdriver.asgi import ASGIApplication, ASGIWebSocketConnection
from nbdriver.config import ServerConfig

# Opening.


async def test_the_request_is_given_as_it_came() -> None:
    async with Open(query_string=b"access_token=1", headers=[(b"x-self-id", b"2")]) as ours:
        request = ours.websocket.request
        assert (request.method, request.target) == ("GET", "/echo/ws?access_token=1")
        assert request.headers.get("X-Self-ID") == "2"
        assert request.scheme == "http"
        assert str(ours.websocket) == "WebSocket /echo/ws"


async def test_accepting_tells_the_subprotocol() -> None:
    async def accept(websocket: ASGIWebSocketConnection) -> None:
        with pytest.raises(ValueError, match=r"\(v1, v2\), got 'v3'"):
            await websocket.accept("v3")
        await websocket.accept("v2")
        with pytest.raises(RuntimeError, match="neither accepted nor closed before"):
            await websocket.accept()

    conversation = talk(accept, subprotocols=["v1", "v2"])
    assert await conversation.take() == {"type": "websocket.accept", "subprotocol": "v2"}
    assert (await conversation.take())["type"] == "websocket.close"
    await conversation.end()


async def test_a_subprotocol_that_nobody_offered_is_a_value_error() -> None:
    async def accept(websocket: ASGIWebSocketConnection) -> None:
        with pytest.raises(ValueError, match=r"\(none\), got 'v1'"):
            await websocket.accept("v1")

    conversation = talk(accept)
    assert await conversation.take() == {"type": "websocket.close"}
    await conversation.end()


async def test_a_connection_that_is_not_accepted_carries_nothing() -> None:
    async def look(websocket: ASGIWebSocketConnection) -> None:
        for call in (websocket.receive(), websocket.send("a")):
            with pytest.raises(RuntimeError, match="expected a connection that was accepted"):
                await call

    conversation = talk(look)
    await conversation.take()
    await conversation.end()


async def test_a_client_that_left_before_it_was_accepted_is_closed() -> None:
    async def accept(websocket: ASGIWebSocketConnection) -> None:
        conversation.error = OSError("gone")
        with pytest.raises(WebSocketClosed, match="1006: the connection was lost"):
            await websocket.accept()
        assert websocket.closed
        with pytest.raises(RuntimeError, match="neither accepted nor closed before"):
            await websocket.accept()

    conversation = talk(accept)
    await conversation.end()


async def test_a_scope_that_does_not_begin_with_connect_is_left() -> None:
    async def never(websocket: ASGIWebSocketConnection) -> None:
        raise AssertionError

    conversation = Conversation(ASGIApplication(App(never), ServerConfig()), websocket_scope())
    conversation.give("websocket.disconnect", code=1006)
    await conversation.end()


# Refusing.


async def test_a_refusal_has_its_status_and_reason_where_the_server_can_tell_them() -> None:
    async def refuse(websocket: ASGIWebSocketConnection) -> None:
        raise RequestDenied(401, "who are you?")

    conversation = talk(refuse, extensions=DENIAL)
    start = await conversation.take()
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 401
    assert (b"content-type", b"text/plain; charset=utf-8") in start["headers"]
    assert (await conversation.take())["body"] == b"who are you?\n"
    await conversation.end()


async def test_elsewhere_a_refusal_is_the_servers_403() -> None:
    async def refuse(websocket: ASGIWebSocketConnection) -> None:
        raise RequestDenied(401, "who are you?")

    conversation = talk(refuse)
    assert await conversation.take() == {"type": "websocket.close"}
    await conversation.end()


async def test_closing_before_accepting_refuses_with_403_and_the_reason() -> None:
    async def close(websocket: ASGIWebSocketConnection) -> None:
        await websocket.close(1000, "not you")
        assert websocket.closed
        await websocket.close()

    conversation = talk(close, extensions=DENIAL)
    assert (await conversation.take())["status"] == 403
    assert (await conversation.take())["body"] == b"not you\n"
    await conversation.end()


async def test_a_handler_that_neither_accepts_nor_refuses_has_refused() -> None:
    async def nothing(websocket: ASGIWebSocketConnection) -> None:
        """Returns."""

    conversation = talk(nothing, extensions=DENIAL)
    assert (await conversation.take())["status"] == 403
    assert (await conversation.take())["body"] == b"the connection was not accepted\n"
    await conversation.end()


async def test_a_refusal_that_nobody_waits_for_any_more_is_nobodys_failure() -> None:
    async def refuse(websocket: ASGIWebSocketConnection) -> None:
        conversation.error = OSError("gone")
        raise HTTPError(404, "nothing here")

    conversation = talk(refuse, extensions=DENIAL)
    await conversation.end()


async def test_a_handler_that_fails_before_accepting_is_a_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(websocket: ASGIWebSocketConnection) -> None:
        raise RuntimeError("secret")

    conversation = talk(fail, extensions=DENIAL)
    assert (await conversation.take())["status"] == 500
    assert (await conversation.take())["body"] == b"Internal Server Error\n"
    await conversation.end()
    assert [record.message for record in caplog.records] == ["GET /echo/ws: the handler failed"]


async def test_a_handler_that_fails_after_accepting_closes_with_1011(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(websocket: ASGIWebSocketConnection) -> None:
        await websocket.accept()
        raise HTTPError(403, "too late for that")

    conversation = talk(fail)
    await conversation.take()
    assert await conversation.take() == {"type": "websocket.close", "code": 1011, "reason": ""}
    await conversation.end()
    assert [record.message for record in caplog.records] == [
        "WebSocket /echo/ws: the handler failed"
    ]


async def test_to_refuse_a_client_that_has_left_is_nobodys_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse_late(websocket: ASGIWebSocketConnection) -> None:
        conversation.error = OSError("gone")
        try:
            await websocket.accept()
        except WebSocketClosed:
            raise HTTPError(409, "too late") from None

    conversation = talk(refuse_late)
    await conversation.end()
    assert caplog.records == []


# A driver.


async def test_a_bot_lives_behind_an_asgi_server() -> None:
    bot = recording_bot()
    driver = make_driver(adapter=bot)
    headers = [(b"host", b"a"), (b"x-self-id", b"1")]
    conversation = Conversation(driver.asgi, websocket_scope(headers=headers))
    conversation.give("websocket.connect")
    assert (await conversation.take())["type"] == "websocket.accept"
    assert set(driver.bots) == {"1"}
    conversation.text('{"a": "你好"}')
    assert await conversation.take() == {
        "type": "websocket.send",
        "text": '{"got":{"a":"你好"}}',
    }
    second = Conversation(driver.asgi, websocket_scope(headers=headers, extensions=DENIAL))
    second.give("websocket.connect")
    assert (await second.take())["status"] == 409
    await second.take()
    await second.end()
    conversation.give("websocket.disconnect", code=1001)
    await conversation.end()
    assert driver.bots == {}
