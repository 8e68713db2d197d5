"""The platform's side: what it posts to a bot, and its end of a reverse WebSocket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from hosts.hosting import PATIENCE, RESULTS, TOKEN, BotProcess
from websockets.sync.client import ClientConnection, connect


def post(
    bot: BotProcess, path: str, content: Any, headers: dict[str, str], method: str = "POST"
) -> httpx.Response:
    """A request with the token; an empty value in `headers` takes a header away."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"} | headers
    return httpx.request(
        method,
        f"http://{bot.base}{path}",
        content=content if isinstance(content, str) else json.dumps(content),
        headers={name: value for name, value in headers.items() if value},
        trust_env=False,
        timeout=PATIENCE,
    )


class Platform:
    """The platform's end of a bot's connection."""

    def __init__(self, connection: ClientConnection, self_id: str) -> None:
        self.connection = connection
        self.self_id = self_id

    def report(self, text: str) -> None:
        """Report a private message."""
        self.connection.send(json.dumps(message_event(self.self_id, text)))

    def next_call(self) -> tuple[str, Any]:
        """Take the bot's next API call, and answer it."""
        call = json.loads(self.connection.recv(PATIENCE))
        result = {"status": "ok", "retcode": 0, "data": RESULTS[call["action"]]}
        self.connection.send(json.dumps({**result, "echo": call["echo"]}))
        return call["action"], call["params"]


@contextmanager
def connected(
    bot: BotProcess, self_id: str, path: str = "/cqhttp/ws", headers: dict[str, str] | None = None
) -> Iterator[Platform]:
    """A platform that has connected, with the token; an empty value takes a header away."""
    fields = {"Authorization": f"Bearer {TOKEN}", "X-Self-ID": self_id} | (headers or {})
    with connect(
        f"ws://{bot.base}{path}",
        additional_headers={name: value for name, value in fields.items() if value},
        open_timeout=PATIENCE,
        close_timeout=PATIENCE,
        max_size=None,
        proxy=None,
    ) as connection:
        yield Platform(connection, self_id)


def message_event(self_id: str, text: str) -> dict[str, Any]:
    """A private message, as OneBot v11 reports it."""
    return {
        "time": 1_600_000_000,
        "self_id": int(self_id),
        "post_type": "message",
        "message_type": "private",
        "sub_type": "friend",
        "message_id": 1,
        "user_id": int(self_id) + 1,
        "message": text,
        "raw_message": text,
        "font": 0,
        "sender": {"user_id": int(self_id) + 1, "nickname": "小红"},
    }


def text_of(call: tuple[str, Any]) -> str:
    """The text that a call of an API sends, given as text or as one segment of it."""
    action, params = call
    assert action in ("send_msg", "send_private_msg")
    message = params["message"]
    if isinstance(message, list):
        (segment,) = message
        assert segment["type"] == "text"
        message = segment["data"]["text"]
    assert isinstance(message, str)
    return message
