"""nonebot-adapter-onebot, OneBot 11: reached and reaching out by WebSocket and by HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from adapters.bots import Host, has_echoed, running_bot
from adapters.onebot11 import (
    RESULTS,
    SECRET,
    TOKEN,
    answer_call,
    connected_event,
    connection,
    http_api,
    message_event,
    signature,
    text_of,
)
from adapters.standins import accepted, client
from websockets.exceptions import InvalidStatus

NAME = "OneBot V11"


async def test_it_is_reached_by_reverse_websocket(host: Host, tmp_path: Path) -> None:
    settings = {"ONEBOT_ACCESS_TOKEN": TOKEN}
    async with running_bot(host, tmp_path, "onebot.v11", **settings) as bot:
        async with connection(f"ws://{bot.base}/onebot/v11/ws", 10001) as websocket:
            await websocket.send(json.dumps(connected_event(10001)))
            assert await bot.marks("connect") == [NAME, "10001"]
            for text in ("你好", "长" * 50_000):
                await websocket.send(json.dumps(message_event(10001, f"/echo {text}")))
                assert text_of(await answer_call(websocket)) == text
            call = '/call {"api": "get_login_info"}'
            await websocket.send(json.dumps(message_event(10001, call)))
            assert await answer_call(websocket) == ("get_login_info", {})
            assert await bot.marks("result") == RESULTS["get_login_info"]
        assert await bot.marks("disconnect") == [NAME, "10001"]


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_a_reverse_websocket_without_its_token_is_refused(
    host: Host, tmp_path: Path, token: str | None
) -> None:
    settings = {"ONEBOT_ACCESS_TOKEN": TOKEN}
    async with running_bot(host, tmp_path, "onebot.v11", **settings) as bot:
        with pytest.raises(InvalidStatus) as caught:
            async with connection(f"ws://{bot.base}/onebot/v11/", 10001, token):
                pass
        assert caught.value.response.status_code == 403


async def test_it_is_reached_by_signed_http_and_reaches_out_by_http(
    host: Host, tmp_path: Path
) -> None:
    async with http_api() as (root, calls):
        settings = {
            "ONEBOT_ACCESS_TOKEN": TOKEN,
            "ONEBOT_SECRET": SECRET,
            "ONEBOT_V11_API_ROOTS": {"10001": root},
        }
        async with (
            running_bot(host, tmp_path, "onebot.v11", **settings) as bot,
            client(bot) as session,
        ):
            for times, text in enumerate(("你好", "长" * 50_000), start=1):
                body = json.dumps(message_event(10001, f"/echo {text}")).encode()
                headers = {"X-Self-ID": "10001", "X-Signature": signature(body)}
                answer = await session.post("/onebot/v11/", content=body, headers=headers)
                assert (answer.status_code, answer.content) == (204, b"")
                assert text_of(await calls.get()) == text
                await has_echoed(bot, times)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (400, "Missing X-Self-ID Header")),
        ({"X-Self-ID": "10001"}, (401, "Missing Signature")),
        ({"X-Self-ID": "10001", "X-Signature": "sha1=0"}, (403, "Signature is invalid")),
    ],
)
async def test_a_report_without_its_signature_is_refused(
    host: Host, tmp_path: Path, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    async with (
        running_bot(host, tmp_path, "onebot.v11", ONEBOT_SECRET=SECRET) as bot,
        client(bot) as session,
    ):
        answer = await session.post("/onebot/v11/http", json={}, headers=headers)
        assert (answer.status_code, answer.text) == expected


async def test_it_reaches_out_by_websocket_and_again_when_that_has_ended(
    host: Host, tmp_path: Path
) -> None:
    async with accepted() as (address, connections):
        settings = {
            "ONEBOT_ACCESS_TOKEN": TOKEN,
            "ONEBOT_V11_WS_URLS": [f"ws://{address}/all?who=我"],
        }
        async with running_bot(host, tmp_path, "onebot.v11", errors=2, **settings) as bot:
            for times in (1, 2):
                websocket = await connections.get()
                assert websocket.request is not None
                assert websocket.request.path == "/all?who=%E6%88%91"
                assert websocket.request.headers["Authorization"] == f"Bearer {TOKEN}"
                await websocket.send(json.dumps(connected_event(10001)))
                assert await bot.marks("connect", times) == [NAME, "10001"]
                for text in ("你好", "长" * 50_000):
                    await websocket.send(json.dumps(message_event(10001, f"/echo {text}")))
                    assert text_of(await answer_call(websocket)) == text
                await websocket.close(4000, "换一个")
                assert await bot.marks("disconnect", times) == [NAME, "10001"]
                await bot.says("code=4000, reason='换一个'", times)
