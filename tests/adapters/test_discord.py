"""nonebot-adapter-discord, which reaches out by WebSocket and by HTTP, and a stand-in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from adapters.bots import Host, has_echoed, running_bot
from adapters.gateways import Gateway
from adapters.standins import served
from aiohttp import web
from aiohttp.web_request import FileField

NAME = "Discord"
ADAPTER = ("discord", "discord_base", "discord_document")
TOKEN = "s3cret"
ME = {"id": "10001", "username": "xiaoming", "discriminator": "0", "avatar": None, "bot": True}
AUTHOR = {"id": "42", "username": "xiaohong", "discriminator": "0", "avatar": None}
MESSAGE = {
    "channel_id": "7",
    "author": AUTHOR,
    "timestamp": "2026-01-01T00:00:00+00:00",
    "edited_timestamp": None,
    "tts": False,
    "mention_everyone": False,
    "mentions": [],
    "mention_roles": [],
    "attachments": [],
    "embeds": [],
    "pinned": False,
    "type": 0,
}
CONTENT = bytes(range(256)) * 1024


class Discord:
    """Discord's HTTP API and its gateway; `sent` is what bots have sent."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.address = ""
        self.gateway = Gateway(
            {
                "v": 10,
                "user": ME,
                "guilds": [],
                "session_id": "1",
                "resume_gateway_url": "ws://127.0.0.1:1",
                "application": {"id": "1", "flags": 0},
            }
        )

    async def find_gateway(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bot {TOKEN}"
        limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
        url = f"ws://{self.address}/gateway"
        return web.json_response({"url": url, "shards": 1, "session_start_limit": limit})

    async def get_me(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bot {TOKEN}"
        return web.json_response(ME)

    async def create_message(self, request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            message = await request.json()
        else:
            form = await request.post()
            payload, file = form["payload_json"], form["files[0]"]
            assert isinstance(payload, bytearray)
            assert isinstance(file, FileField)
            message = json.loads(payload)
            message["file"] = (file.filename, file.file.read())
        self.sent.put_nowait(message)
        return web.json_response({**MESSAGE, "id": "2", "content": "", "author": ME})

    async def write(self, text: str) -> None:
        """Have a person write to the bot."""
        message = {**MESSAGE, "id": "1", "content": text, "channel_type": 1}
        await self.gateway.dispatch("MESSAGE_CREATE", message)


@asynccontextmanager
async def discord() -> AsyncIterator[Discord]:
    """Serve Discord."""
    standin = Discord()
    async with served(
        web.get("/api/gateway/bot", standin.find_gateway),
        web.get("/api/users/@me", standin.get_me),
        web.post("/api/channels/7/messages", standin.create_message),
        web.get("/gateway", standin.gateway.connected),
    ) as standin.address:
        yield standin


async def test_it_connects_to_the_gateway_and_answers_by_http(host: Host, tmp_path: Path) -> None:
    async with discord() as standin:
        settings = {
            "DISCORD_BOTS": [{"token": TOKEN}],
            "DISCORD_BASE": f"http://{standin.address}/api",
        }
        async with running_bot(host, tmp_path, *ADAPTER, **settings) as bot:
            identity = await standin.gateway.identities.get()
            assert identity["token"] == f"Bot {TOKEN}"
            assert standin.gateway.query == {"v": "10", "encoding": "json"}
            assert standin.gateway.headers["Authorization"] == f"Bot {TOKEN}"
            assert await bot.marks("connect") == [NAME, "10001"]
            for times, text in enumerate(("你好", "长" * 50_000), start=1):
                await standin.write(f"/echo {text}")
                assert (await standin.sent.get())["content"] == text
                await has_echoed(bot, times)
            await standin.write("/document 文件.bin")
            assert (await standin.sent.get())["file"] == ("文件.bin", CONTENT)
            await bot.says("discord_document.* running complete")
