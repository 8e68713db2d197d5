"""A bot without anybody else's server or client: NoneBot with no extras, two adapters, and us."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from adapters.bots import OURS, has_echoed, running_bot
from adapters.environments import LEAN, MORE
from adapters.onebot11 import (
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
from adapters.satori_peer import SELF_ID, satori_server
from adapters.standins import accepted, client
from hosts.environments import Environment

#: What NoneBot's own drivers would need, and what these bring.
OTHERS = {
    *("aiohttp", "fastapi", "httpcore", "httptools", "httpx", "hypercorn", "quart", "starlette"),
    *("uvicorn", "uvloop", "websockets"),
}
INSTALLED = """
import importlib.metadata
for distribution in importlib.metadata.distributions():
    print(distribution.name.lower())
"""


@pytest.mark.parametrize("environment", [LEAN, MORE], ids=lambda each: each.name)
def test_no_other_server_or_client_is_installed(environment: Environment) -> None:
    command = [environment.interpreter, "-c", INSTALLED]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    installed = set(said.split())
    assert installed >= {"nonebot2", "nbdriver", "h11", "wsproto"}
    assert not installed & OTHERS


async def test_one_bot_is_reached_and_reaches_out_by_websocket_and_http(tmp_path: Path) -> None:
    adapters = ("onebot.v11", "satori")
    async with (
        http_api() as (root, calls),
        accepted() as (address, connections),
        satori_server(tmp_path) as (satori, settings),
    ):
        settings |= {
            "ONEBOT_ACCESS_TOKEN": TOKEN,
            "ONEBOT_SECRET": SECRET,
            "ONEBOT_V11_API_ROOTS": {"10001": root},
            "ONEBOT_V11_WS_URLS": [f"ws://{address}/"],
        }
        assert OURS.environment(*adapters) is LEAN
        async with running_bot(OURS, tmp_path, *adapters, **settings) as bot:
            # Out by WebSocket and by HTTP, with one adapter.
            assert await bot.marks("connect") == ["Satori", SELF_ID]
            satori.tell(text="/echo 一")
            assert await satori.marks("message.create") == ["渠道", "一"]
            # In by HTTP, out by HTTP.
            body = json.dumps(message_event(10001, "/echo 二")).encode()
            headers = {"X-Self-ID": "10001", "X-Signature": signature(body)}
            async with client(bot) as session:
                answer = await session.post("/onebot/v11/", content=body, headers=headers)
                assert answer.status_code == 204
            assert text_of(await calls.get()) == "二"
            # Out by WebSocket.
            websocket = await connections.get()
            await websocket.send(json.dumps(connected_event(10002)))
            await websocket.send(json.dumps(message_event(10002, "/echo 三")))
            assert text_of(await answer_call(websocket)) == "三"
            # In by WebSocket.
            async with connection(f"ws://{bot.base}/onebot/v11/ws", 10003) as websocket:
                await websocket.send(json.dumps(message_event(10003, "/echo 四")))
                assert text_of(await answer_call(websocket)) == "四"
                await has_echoed(bot, times=4)
            connected = [await bot.marks("connect", times) for times in (2, 3, 4)]
            assert connected == [["OneBot V11", self_id] for self_id in ("10001", "10002", "10003")]
