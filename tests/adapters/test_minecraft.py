"""nonebot-adapter-minecraft: reached by WebSocket and reaching out by WebSocket."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote_plus

from adapters.bots import Host, running_bot
from adapters.processes import Process
from adapters.standins import accepted
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection

NAME = "Minecraft"
SERVER = "我的 世界"
TOKEN = "s3cret"
TEXTS = ("你好", "长" * 50_000)
HEADERS = {"Authorization": f"Bearer {TOKEN}", "x-self-name": quote_plus(SERVER)}


def event(text: str) -> str:
    """What a player writes."""
    return json.dumps(
        {
            "timestamp": 1_700_000_000,
            "post_type": "message",
            "event_name": "PlayerChatEvent",
            "server_name": SERVER,
            "server_version": "1.21",
            "server_type": "fabric",
            "sub_type": "player_chat",
            "message_id": "1",
            "raw_message": text,
            "message": text,
            "player": {"nickname": "小红"},
        }
    )


async def answers(bot: Process, websocket: Connection) -> None:
    """See that it answers messages."""
    for times, text in enumerate(TEXTS, start=1):
        await websocket.send(event(f"/say {text}"))
        call = json.loads(await websocket.recv())
        assert call["api"] == "send_msg"
        assert text in json.dumps(call["data"], ensure_ascii=False)
        result = {"post_type": "response", "status": "SUCCESS", "data": None}
        await websocket.send(json.dumps({**result, "echo": call["echo"]}))
        await bot.marks("said", times)


async def test_it_is_reached_by_websocket(host: Host, tmp_path: Path) -> None:
    settings = {"MINECRAFT_ACCESS_TOKEN": TOKEN}
    async with running_bot(host, tmp_path, "minecraft", **settings) as bot:
        url = f"ws://{bot.base}/minecraft/ws"
        async with connect(url, additional_headers=HEADERS, proxy=None) as websocket:
            assert await bot.marks("connect") == [NAME, SERVER]
            await answers(bot, websocket)
        assert await bot.marks("disconnect") == [NAME, SERVER]


async def test_it_reaches_out_by_websocket(host: Host, tmp_path: Path) -> None:
    async with accepted() as (address, connections):
        settings = {
            "MINECRAFT_ACCESS_TOKEN": TOKEN,
            "MINECRAFT_WS_URLS": {SERVER: [f"ws://{address}/"]},
        }
        async with running_bot(host, tmp_path, "minecraft", **settings) as bot:
            websocket = await connections.get()
            assert websocket.request is not None
            headers = websocket.request.headers
            assert {name: headers[name] for name in HEADERS} == HEADERS
            assert await bot.marks("connect") == [NAME, SERVER]
            await answers(bot, websocket)
