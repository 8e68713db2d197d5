"""The platform's side of OneBot 11: what it reports, and what it answers to a bot's calls.

The libraries at its end of the wire are websockets and aiohttp.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from adapters.standins import served
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection

TOKEN = "s3cret-t0ken"
SECRET = "密钥"
RESULTS: dict[str, object] = {
    "send_msg": {"message_id": 7},
    "get_login_info": {"user_id": 10001, "nickname": "小明"},
}


def message_event(self_id: int, text: str) -> dict[str, Any]:
    """A private message."""
    return {
        "time": 1_700_000_000,
        "self_id": self_id,
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


def connected_event(self_id: int) -> dict[str, Any]:
    """What is reported first on a WebSocket."""
    return {
        "time": 1_700_000_000,
        "self_id": self_id,
        "post_type": "meta_event",
        "meta_event_type": "lifecycle",
        "sub_type": "connect",
    }


def signature(body: bytes) -> str:
    """The value of `X-Signature` for a report by HTTP."""
    return "sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()


def connection(address: str, self_id: int, token: str | None = TOKEN) -> connect:
    """A platform's connection to a bot."""
    headers = {"X-Self-ID": str(self_id), "X-Client-Role": "Universal"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return connect(address, additional_headers=headers, proxy=None, max_size=None)


async def answer_call(websocket: ClientConnection | Connection) -> tuple[str, Any]:
    """Take the bot's next call of the API, and answer it."""
    call = json.loads(await websocket.recv())
    result = {"status": "ok", "retcode": 0, "data": RESULTS[call["action"]]}
    await websocket.send(json.dumps({**result, "echo": call["echo"]}))
    return call["action"], call["params"]


def text_of(call: tuple[str, Any]) -> str:
    """The text that a call sends to the one who had written."""
    action, params = call
    assert (action, params["user_id"]) == ("send_msg", 42)
    (segment,) = params["message"]
    assert segment["type"] == "text"
    text: str = segment["data"]["text"]
    return text


@asynccontextmanager
async def http_api() -> AsyncIterator[tuple[str, asyncio.Queue[tuple[str, Any]]]]:
    """Serve the API by HTTP; gives where that is, and the calls."""
    calls: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def called(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        action = request.match_info["action"]
        calls.put_nowait((action, await request.json()))
        return web.json_response({"status": "ok", "retcode": 0, "data": RESULTS[action]})

    async with served(web.post("/api/{action}", called)) as address:
        yield f"http://{address}/api/", calls
