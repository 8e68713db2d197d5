"""nonebot-adapter-onebot, OneBot 12, and an implementation of that by others: pylibob."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from adapters.bots import Host, has_echoed, running_bot
from adapters.environments import ONEBOT12
from adapters.processes import Process, free_port, process

NAME = "OneBot V12"
PEER = Path(__file__).with_name("peers") / "onebot12.py"
SELF_ID = "小明"
TOKEN = "s3cret"
TEXTS = ("你好", "长" * 50_000)


@asynccontextmanager
async def onebot12(folder: Path, *connections: str, port: int = 0) -> AsyncIterator[Process]:
    """Run the implementation of OneBot 12."""
    command = (ONEBOT12.interpreter, PEER, TOKEN, *connections)
    async with process(*command, cwd=folder, port=port) as peer:
        yield peer


async def echoed(bot: Process, peer: Process) -> None:
    """Have messages echoed, of which the bot gets each with its text and sends it back."""
    for times, text in enumerate(TEXTS, start=1):
        peer.tell(text=f"/echo {text}")
        sent: Any = await peer.marks("send_message", times)
        assert sent == ["private", "小红", [{"type": "text", "data": {"text": text}}]]
        await has_echoed(bot, times)


async def test_it_is_reached_by_reverse_websocket(host: Host, tmp_path: Path) -> None:
    settings = {"ONEBOT_ACCESS_TOKEN": TOKEN}
    async with running_bot(host, tmp_path, "onebot.v12", **settings) as bot:
        url = f"ws://{bot.base}/onebot/v12/ws"
        async with onebot12(tmp_path, "websocket-reverse", url) as peer:
            await peer.says("成功$")
            await echoed(bot, peer)
            assert await bot.marks("connect") == [NAME, SELF_ID]
        assert await bot.marks("disconnect") == [NAME, SELF_ID]


async def test_it_is_reached_by_http_webhook_and_reaches_out_by_http(
    host: Host, tmp_path: Path
) -> None:
    port = free_port()
    settings = {
        "ONEBOT_ACCESS_TOKEN": TOKEN,
        "ONEBOT_V12_API_ROOTS": {SELF_ID: f"http://127.0.0.1:{port}/"},
    }
    async with running_bot(host, tmp_path, "onebot.v12", **settings) as bot:
        url = f"http://{bot.base}/onebot/v12/"
        modes = ("http", str(port), "http-webhook", url)
        async with onebot12(tmp_path, *modes, port=port) as peer:
            await peer.says("Uvicorn running")
            await echoed(bot, peer)
            assert await bot.marks("connect") == [NAME, SELF_ID]


@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
async def test_it_reaches_out_by_websocket_with_text_and_with_bytes(
    host: Host, tmp_path: Path, packed: bool
) -> None:
    port = free_port()
    settings = {
        "ONEBOT_ACCESS_TOKEN": TOKEN,
        "ONEBOT_V12_WS_URLS": [f"ws://127.0.0.1:{port}/"],
        "ONEBOT_V12_USE_MSGPACK": packed,
    }
    async with onebot12(tmp_path, "websocket", str(port), port=port) as peer:
        await peer.says("Uvicorn running")
        async with running_bot(host, tmp_path, "onebot.v12", **settings) as bot:
            await peer.says("接受连接")
            await echoed(bot, peer)
            assert await bot.marks("connect") == [NAME, SELF_ID]
