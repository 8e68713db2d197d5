"""nonebot-adapter-feishu: reached by HTTP, reaching out by HTTP and by WebSocket, in bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from adapters.bots import Host, has_echoed, running_bot
from adapters.standins import client, served
from aiohttp import WSMsgType, web

NAME = "Feishu"
APP = "cli_1"
TOKEN = "t0ken"
VERIFICATION = "v3rify"
TEXTS = ("你好", "长" * 50_000)


class Feishu:
    """Feishu's API and its long connection; `sent` is what bots have sent."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.connections: asyncio.Queue[web.WebSocketResponse] = asyncio.Queue()
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.address = ""

    async def give_token(self, request: web.Request) -> web.Response:
        assert await request.json() == {"app_id": APP, "app_secret": "s3cret"}
        result = {"code": 0, "msg": "ok", "tenant_access_token": TOKEN, "expire": 7200}
        return web.json_response(result)

    async def get_info(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        bot = {
            "activate_status": 2,
            "app_name": "小明",
            "avatar_url": "https://example.org/",
            "ip_white_list": [],
            "open_id": "ou_1",
        }
        return web.json_response({"code": 0, "msg": "ok", "bot": bot})

    async def find_connection(self, request: web.Request) -> web.Response:
        assert (await request.json())["AppID"] == APP
        url = f"ws://{self.address}/connection?device_id=1&service_id=2"
        return web.json_response({"code": 0, "data": {"URL": url, "ClientConfig": {}}})

    async def connected(self, request: web.Request) -> web.WebSocketResponse:
        assert dict(request.query) == {"device_id": "1", "service_id": "2"}
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        self.connections.put_nowait(websocket)
        async for frame in websocket:
            assert frame.type is WSMsgType.BINARY
            self.frames.put_nowait(frame.data)
        return websocket

    async def create_message(self, request: web.Request) -> web.Response:
        assert request.query["receive_id_type"] == "open_id"
        self.sent.put_nowait(await request.json())
        return web.json_response({"code": 0, "msg": "ok", "data": {}})


def event(text: str) -> dict[str, Any]:
    """What a person writes."""
    user = {"union_id": "on_42", "user_id": "42", "open_id": "ou_42"}
    return {
        "schema": "2.0",
        "header": {
            "event_id": "1",
            "event_type": "im.message.receive_v1",
            "create_time": "0",
            "token": VERIFICATION,
            "app_id": APP,
            "tenant_key": "1",
        },
        "event": {
            "sender": {"sender_id": user, "sender_type": "user", "tenant_key": "1"},
            "message": {
                "message_id": "om_1",
                "create_time": "0",
                "chat_id": "oc_1",
                "chat_type": "p2p",
                "message_type": "text",
                "content": json.dumps({"text": text}),
            },
        },
    }


def frame(payload: bytes) -> bytes:
    """An event on the long connection, in protocol buffers (the adapter's ws/frame.proto).

    The fields are 1 to 4, numbers; 5, the headers; 8, the payload.
    """

    def varint(number: int) -> bytes:
        return (
            bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)
        )

    def field(number: int, value: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(value)) + value

    numbers = b"".join(varint(field << 3) + varint(1) for field in (1, 2, 3, 4))
    header = field(5, field(1, b"type") + field(2, b"event"))
    return numbers + header + field(8, payload)


@asynccontextmanager
async def feishu(protocol: str) -> AsyncIterator[tuple[Feishu, dict[str, object]]]:
    """Serve Feishu; gives the settings as well by which a bot finds it."""
    standin = Feishu()
    async with served(
        web.post("/open-apis/auth/v3/tenant_access_token/internal", standin.give_token),
        web.get("/open-apis/bot/v3/info", standin.get_info),
        web.post("/open-apis/im/v1/messages", standin.create_message),
        web.post("/callback/ws/endpoint", standin.find_connection),
        web.get("/connection", standin.connected),
    ) as standin.address:
        bot = {
            "app_id": APP,
            "app_secret": "s3cret",
            "verification_token": VERIFICATION,
            "protocol": protocol,
        }
        yield standin, {"FEISHU_API_BASE": f"http://{standin.address}", "FEISHU_BOTS": [bot]}


async def test_it_is_reached_by_http_and_answers_by_http(host: Host, tmp_path: Path) -> None:
    async with (
        feishu("http") as (standin, settings),
        running_bot(host, tmp_path, "feishu", **settings) as bot,
        client(bot) as session,
    ):
        assert await bot.marks("connect") == [NAME, APP]
        answer = await session.post(f"/feishu/{APP}", json={"challenge": "x"})
        assert (answer.status_code, answer.json()) == (200, {"challenge": "x"})
        for times, text in enumerate(TEXTS, start=1):
            answer = await session.post(f"/feishu/{APP}", json=event(f"/echo {text}"))
            assert (answer.status_code, answer.content) == (200, b"")
            sent = await standin.sent.get()
            assert (sent["receive_id"], json.loads(sent["content"])) == ("ou_42", {"text": text})
            await has_echoed(bot, times)


async def test_it_is_told_by_websocket_in_bytes(host: Host, tmp_path: Path) -> None:
    async with (
        feishu("ws") as (standin, settings),
        running_bot(host, tmp_path, "feishu", **settings) as bot,
    ):
        websocket = await standin.connections.get()
        assert b"ping" in await standin.frames.get()
        for times, text in enumerate(TEXTS, start=1):
            await websocket.send_bytes(frame(json.dumps(event(f"/echo {text}")).encode()))
            assert b'{"code": 200}' in await standin.frames.get()
            assert json.loads((await standin.sent.get())["content"]) == {"text": text}
            await has_echoed(bot, times)
