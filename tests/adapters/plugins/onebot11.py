"""The other end of OneBot 11: what implements it, for a framework that talks with the bot.

By the settings `ONEBOT11_MODE`, one of OneBot's, and `ONEBOT11_URL`, where the framework listens,
it uses the driver as an adapter would. Once the framework has asked who it is, it reports
`ONEBOT11_TEXTS`, each when the one before was answered, and marks the calls of its API.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
from collections.abc import Coroutine
from typing import Any

from nonebot import get_driver
from nonebot.drivers import (
    URL,
    HTTPServerSetup,
    Request,
    Response,
    WebSocket,
    WebSocketServerSetup,
)
from nonebot.exception import WebSocketClosed

driver = get_driver()
config = driver.config
SELF_ID = 10001
RESULTS: dict[str, object] = {
    "get_login_info": {"user_id": SELF_ID, "nickname": "小明"},
    "get_guild_service_profile": None,
    "send_private_msg": {"message_id": 7},
}
texts = iter(config.onebot11_texts)


def mark(name: str, value: object) -> None:
    """Tell the test what happened."""
    sys.stdout.write(f"MARK {name} {json.dumps(value, ensure_ascii=False)}\n")
    sys.stdout.flush()


def compact(value: object) -> str:
    """JSON as JavaScript writes it, since Koishi signs what it has read and not what was sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def result_of(action: str, params: Any) -> dict[str, Any]:
    """The result of a call."""
    mark("call", [action, params])
    return {"status": "ok", "retcode": 0, "data": RESULTS[action]}


def event_after(action: str) -> str | None:
    """What happens next, once the framework has its answer."""
    if action not in ("get_login_info", "send_private_msg"):
        return None
    text = next(texts, None)
    return text and compact(
        {
            "time": 1_700_000_000,
            "self_id": SELF_ID,
            "post_type": "message",
            "message_type": "private",
            "sub_type": "friend",
            "message_id": 1,
            "user_id": 42,
            "message": [{"type": "text", "data": {"text": text}}],
            "raw_message": text,
            "font": 0,
            "sender": {"user_id": 42, "nickname": "小红"},
        }
    )


async def talk(websocket: WebSocket) -> None:
    """Answer calls until the framework goes."""
    try:
        while True:
            call = json.loads(await websocket.receive())
            result = result_of(call["action"], call["params"])
            await websocket.send(compact({**result, "echo": call["echo"]}))
            if event := event_after(call["action"]):
                await websocket.send(event)
    except WebSocketClosed as closed:
        mark("closed", [closed.code, closed.reason])


async def accept(websocket: WebSocket) -> None:
    """Where a framework connects."""
    mark("authorization", websocket.request.headers.get("Authorization"))
    await websocket.accept()
    await talk(websocket)


async def connect() -> None:
    """Connect to a framework."""
    headers = {"X-Self-ID": str(SELF_ID), "X-Client-Role": "Universal"}
    request = Request("GET", config.onebot11_url, headers=headers, timeout=10)
    async with driver.websocket(request) as websocket:
        await talk(websocket)


async def handle(request: Request) -> Response:
    """Where a framework calls."""
    mark("authorization", request.headers.get("Authorization"))
    action = request.url.parts[-1]
    result = result_of(action, request.json)
    if event := event_after(action):
        keep(post(event))
    return Response(200, headers={"Content-Type": "application/json"}, content=compact(result))


async def post(event: str) -> None:
    """Report an event to a framework."""
    signature = hmac.new(config.onebot11_secret.encode(), event.encode(), hashlib.sha1)
    headers = {
        "Content-Type": "application/json",
        "X-Self-ID": str(SELF_ID),
        "X-Signature": f"sha1={signature.hexdigest()}",
    }
    response = await driver.request(
        Request("POST", config.onebot11_url, headers=headers, content=event)
    )
    mark("posted", response.status_code)


tasks: set[asyncio.Task[None]] = set()


def keep(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it in a task."""
    task = asyncio.create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


match config.onebot11_mode:
    case "websocket":
        path = URL("/onebot11")
        driver.setup_websocket_server(WebSocketServerSetup(path, "OneBot 11", accept))
    case "websocket-reverse":

        @driver.on_startup
        async def start() -> None:
            keep(connect())
    case "http":
        for name in RESULTS:
            path = URL("/onebot11") / name
            driver.setup_http_server(HTTPServerSetup(path, "POST", name, handle))
