"""nonebot-adapter-qq: reached by a signed webhook, reaching out by WebSocket and by HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from adapters.bots import Host, has_echoed, running_bot
from adapters.gateways import Gateway
from adapters.standins import client, served
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NAME = "QQ"
ME = {"id": "10001", "username": "小明", "bot": True}
SECRET = "s3cret"
TOKEN = "t0ken"
TEXTS = ("你好", "长" * 50_000)


class QQ:
    """QQ's HTTP API and its gateway; `sent` is what bots have sent."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.address = ""
        ready = {"version": 1, "session_id": "1", "user": ME, "shard": [0, 1]}
        self.gateway = Gateway(ready)

    async def give_token(self, request: web.Request) -> web.Response:
        assert await request.json() == {"appId": "7", "clientSecret": SECRET}
        return web.json_response({"access_token": TOKEN, "expires_in": "7200"})

    async def find_gateway(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"QQBot {TOKEN}"
        limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
        url = f"ws://{self.address}/gateway"
        return web.json_response({"url": url, "shards": 1, "session_start_limit": limit})

    async def get_me(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"QQBot {TOKEN}"
        return web.json_response(ME)

    async def create_message(self, request: web.Request) -> web.Response:
        self.sent.put_nowait(await request.json())
        return web.json_response({"id": "2", "timestamp": "2026-01-01T00:00:00+08:00"})


def message(text: str) -> dict[str, Any]:
    """What a person writes."""
    author = {"id": "小红", "user_openid": "小红"}
    timestamp = "2026-01-01T00:00:00+08:00"
    return {"id": "1", "content": text, "timestamp": timestamp, "author": author}


@asynccontextmanager
async def qq(use_websocket: bool) -> AsyncIterator[tuple[QQ, dict[str, object]]]:
    """Serve QQ; gives the settings as well by which a bot finds it."""
    standin = QQ()
    async with served(
        web.post("/token", standin.give_token),
        web.get("/gateway/bot", standin.find_gateway),
        web.get("/users/@me", standin.get_me),
        web.post("/v2/users/小红/messages", standin.create_message),
        web.get("/gateway", standin.gateway.connected),
    ) as standin.address:
        bot = {
            "id": "7",
            "secret": SECRET,
            "use_websocket": use_websocket,
            "intent": {"c2c_group_at_messages": True},
        }
        yield (
            standin,
            {
                "QQ_API_BASE": f"http://{standin.address}/",
                "QQ_AUTH_BASE": f"http://{standin.address}/token",
                "QQ_BOTS": [bot],
            },
        )


def signed(payload: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """A body and its headers, as QQ posts them."""
    body = json.dumps(payload).encode()
    seed = (SECRET * 32)[:32].encode()
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(b"1700000000" + body)
    return body, {
        "X-Bot-Appid": "7",
        "X-Signature-Ed25519": signature.hex(),
        "X-Signature-Timestamp": "1700000000",
    }


async def test_it_connects_to_the_gateway_and_answers_by_http(host: Host, tmp_path: Path) -> None:
    async with (
        qq(use_websocket=True) as (standin, settings),
        running_bot(host, tmp_path, "qq", **settings) as bot,
    ):
        assert (await standin.gateway.identities.get())["token"] == f"QQBot {TOKEN}"
        assert await bot.marks("connect") == [NAME, "7"]
        for times, text in enumerate(TEXTS, start=1):
            await standin.gateway.dispatch("C2C_MESSAGE_CREATE", message(f"/echo {text}"))
            assert (await standin.sent.get())["content"] == text
            await has_echoed(bot, times)


async def test_it_connects_again_when_the_gateway_has_closed(host: Host, tmp_path: Path) -> None:
    async with (
        qq(use_websocket=True) as (standin, settings),
        running_bot(host, tmp_path, "qq", errors=1, **settings) as bot,
    ):
        await standin.gateway.identities.get()
        await bot.marks("connect")
        await standin.gateway.close(4009, "会话超时".encode())
        await bot.says("code=4009, reason='会话超时'")
        assert await bot.marks("disconnect") == [NAME, "7"]
        assert await bot.marks("connect", times=2) == [NAME, "7"]


async def test_it_is_reached_by_a_signed_webhook(host: Host, tmp_path: Path) -> None:
    async with (
        qq(use_websocket=False) as (standin, settings),
        running_bot(host, tmp_path, "qq", **settings) as bot,
        client(bot) as session,
    ):
        for times, text in enumerate(TEXTS, start=1):
            data = message(f"/echo {text}")
            body, headers = signed(
                {"op": 0, "s": times, "t": "C2C_MESSAGE_CREATE", "id": "1", "d": data}
            )
            answer = await session.post("/qq/webhook", content=body, headers=headers)
            assert (answer.status_code, answer.content) == (200, b"")
            assert (await standin.sent.get())["content"] == text
            await has_echoed(bot, times)
        assert await bot.marks("connect") == [NAME, "7"]
        answer = await session.post("/qq/", content=body + b" ", headers=headers)
        assert (answer.status_code, answer.text) == (403, "Invalid signature")
