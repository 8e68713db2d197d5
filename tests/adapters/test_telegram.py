"""nonebot-adapter-telegram: reached by a webhook, reaching out by HTTP, polled and with files.

What others have made of the Bot API cannot stand in for it: telegram-test-api knows no files, no
secret and no bots, telemelya wants a Redis and a MinIO.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from adapters.bots import Host, has_echoed, running_bot
from adapters.standins import client, served
from aiohttp import web
from aiohttp.web_request import FileField

NAME = "Telegram"
TOKEN = "123:s3cret"
ME = {"id": 123, "is_bot": True, "first_name": "小明", "username": "xiaoming"}
CONTENT = bytes(range(256)) * 1024


class BotAPI:
    """The Bot API: keeps the calls of what sends, and delivers updates to what polls."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self.webhook: dict[str, str] = {}
        self.address = ""
        self._updates: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def update(self, text: str) -> dict[str, Any]:
        """An update, for those that poll as well."""
        chat = {"id": 42, "type": "private", "first_name": "小红"}
        sender = {"id": 42, "is_bot": False, "first_name": "小红"}
        number = len(self._updates) + 1
        message = {"message_id": number, "date": 0, "chat": chat, "from": sender, "text": text}
        self._updates.append({"update_id": number, "message": message})
        self._news.set()
        return self._updates[-1]

    async def called(self, request: web.Request) -> web.Response:
        """Answer a call of any method."""
        assert request.match_info["token"] == TOKEN
        method = request.match_info["method"]
        parameters: dict[str, Any] = {}
        if request.content_type == "application/json":
            parameters = await request.json()
        else:
            for name, value in (await request.post()).items():
                is_file = isinstance(value, FileField)
                parameters[name] = (value.filename, value.file.read()) if is_file else value
        return web.json_response({"ok": True, "result": await self._result(method, parameters)})

    async def _result(self, method: str, parameters: dict[str, Any]) -> object:
        match method:
            case "getMe":
                return ME
            case "setWebhook":
                self.webhook = parameters
                return True
            case "getUpdates":
                return await self._get_updates(**parameters)
            case "sendMessage" | "sendDocument":
                self.calls.put_nowait((method, parameters))
                chat = {"id": int(parameters["chat_id"]), "type": "private"}
                return {"message_id": 1, "date": 0, "chat": chat, "text": ""}
        return True

    async def _get_updates(self, timeout: str, offset: str = "0") -> list[dict[str, Any]]:
        # The adapter writes numbers as text.
        try:
            async with asyncio.timeout(int(timeout)):
                while not (found := [u for u in self._updates if u["update_id"] >= int(offset)]):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return []
        return found


@asynccontextmanager
async def bot_api() -> AsyncIterator[BotAPI]:
    """Serve the Bot API."""
    api = BotAPI()
    async with served(web.post("/bot{token}/{method}", api.called)) as api.address:
        yield api


def settings_for(api: BotAPI, **bot: object) -> dict[str, object]:
    """A bot's settings."""
    return {"TELEGRAM_BOTS": [{"token": TOKEN, "api_server": f"http://{api.address}/", **bot}]}


async def test_it_is_reached_by_a_webhook_with_its_secret(host: Host, tmp_path: Path) -> None:
    async with bot_api() as api:
        settings = settings_for(api, is_webhook=True)
        settings["TELEGRAM_WEBHOOK_URL"] = "https://bot.example.org"
        async with running_bot(host, tmp_path, "telegram", **settings) as bot:
            assert await bot.marks("connect") == [NAME, "123"]
            assert api.webhook["url"] == "https://bot.example.org/telegram"
            secret = {"X-Telegram-Bot-Api-Secret-Token": api.webhook["secret_token"]}
            async with client(bot) as session:
                update = api.update("/echo 你好")
                answer = await session.post("/telegram", json=update, headers=secret)
                assert (answer.status_code, answer.content) == (204, b"")
                method, parameters = await api.calls.get()
                assert (method, parameters["text"]) == ("sendMessage", "你好")
                await has_echoed(bot)
                answer = await session.post("/telegram", json=update)
                assert answer.status_code == 401


@pytest.mark.parametrize("name", ["plain.bin", "文 件.bin"])
async def test_it_polls_and_sends_files(host: Host, tmp_path: Path, name: str) -> None:
    async with bot_api() as api:
        adapters = ("telegram", "telegram_document")
        async with running_bot(host, tmp_path, *adapters, **settings_for(api)) as bot:
            assert await bot.marks("connect") == [NAME, "123"]
            for times, text in enumerate(("你好", "长" * 50_000), start=1):
                api.update(f"/echo {text}")
                method, parameters = await api.calls.get()
                assert (method, parameters["text"]) == ("sendMessage", text)
                await has_echoed(bot, times)
            api.update(f"/document {name}")
            method, parameters = await api.calls.get()
            assert (method, parameters["chat_id"]) == ("sendDocument", "42")
            place = parameters["document"].removeprefix("attach://")
            assert parameters[place] == (name, CONTENT)
            await bot.says("telegram_document.* running complete")
