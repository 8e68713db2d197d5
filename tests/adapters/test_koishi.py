"""Koishi, a framework that speaks OneBot 11, at the other end of a driver that speaks it too.

What connects to Koishi, and what Koishi connects to, is the driver of a bot, used as an adapter
would use it (plugins/onebot11.py), so that at each end of the wire is somebody else's program.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from adapters.bots import Host, running_bot
from adapters.environments import NODE
from adapters.processes import Process, free_port, process

PEER = Path(__file__).with_name("peers") / "koishi.js"
PLUGIN = "onebot11"
SECRET = "s3cret"
TEXTS = ["你好", "长" * 50_000, "&amp; [CQ:at]"]

pytestmark = pytest.mark.skipif(not NODE.exists(), reason="Koishi needs npm, found none")


@asynccontextmanager
async def koishi(folder: Path, port: int | None = None, **config: object) -> AsyncIterator[Process]:
    """Run Koishi; it listens at its port when it has started."""
    port = port or free_port()
    environ = {"NODE_PATH": str(NODE / "node_modules")}
    config = {"selfId": "10001", "responseTimeout": 10_000, **config}
    command = ("node", PEER, str(port), json.dumps(config))
    async with process(*command, cwd=folder, port=port, environ=environ) as peer:
        await peer.marks("started")
        yield peer


async def answered(bot: Process) -> None:
    """See that Koishi has asked who it is, and answered each message."""
    sent = []
    times = 0
    while len(sent) < len(TEXTS):
        times += 1
        action, params = await bot.marks("call", times)
        if action == "send_private_msg":
            (segment,) = params["message"]
            sent.append((str(params["user_id"]), segment["data"]["text"]))
    assert sent == [("42", f"Koishi: {text}") for text in TEXTS]


async def test_koishi_connects_by_websocket(host: Host, tmp_path: Path) -> None:
    settings = {"ONEBOT11_MODE": "websocket", "ONEBOT11_TEXTS": TEXTS}
    async with running_bot(host, tmp_path, PLUGIN, **settings) as bot:
        endpoint = f"ws://{bot.base}/onebot11"
        async with koishi(tmp_path, protocol="ws", endpoint=endpoint, token=SECRET) as peer:
            await answered(bot)
            assert await bot.marks("authorization") == f"Bearer {SECRET}"
            assert await peer.stop() == 0
        assert (await bot.marks("closed"))[0] == 1000


async def test_koishi_is_connected_to_by_websocket(host: Host, tmp_path: Path) -> None:
    async with koishi(tmp_path, protocol="ws-reverse") as peer:
        url = f"ws://{peer.base}/onebot"
        settings = {
            "ONEBOT11_MODE": "websocket-reverse",
            "ONEBOT11_URL": url,
            "ONEBOT11_TEXTS": TEXTS,
        }
        async with running_bot(host, tmp_path, PLUGIN, **settings) as bot:
            await answered(bot)
            assert await peer.stop() == 0
            assert (await bot.marks("closed"))[0] == 1005


async def test_koishi_calls_by_http_and_is_called_by_signed_http(
    host: Host, tmp_path: Path
) -> None:
    port = free_port()
    settings = {
        "ONEBOT11_MODE": "http",
        "ONEBOT11_URL": f"http://127.0.0.1:{port}/onebot",
        "ONEBOT11_SECRET": SECRET,
        "ONEBOT11_TEXTS": TEXTS,
    }
    async with running_bot(host, tmp_path, PLUGIN, **settings) as bot:
        config = {
            "protocol": "http",
            "endpoint": f"http://{bot.base}/onebot11",
            "token": SECRET,
            "secret": SECRET,
        }
        async with koishi(tmp_path, port, **config):
            await answered(bot)
            assert await bot.marks("authorization") == f"Token {SECRET}"
            for times in range(1, len(TEXTS) + 1):
                assert await bot.marks("posted", times) == 204
