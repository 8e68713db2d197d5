"""The events and the answers: what a OneBot v11 client sends, and what the bot says to it.

Kept apart from servers and load, which both build on it, so that neither can drift from the other.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

__all__ = [
    "ADAPTER",
    "AUTHORIZATION",
    "action",
    "dumps",
    "event",
    "first_self_id",
    "refusal",
    "reply",
    "sized_event",
]

Event = dict[str, Any]

ADAPTER = "onebot"
AUTHORIZATION = b"Bearer kSLuTF2GC2Q4q4ugm3"
first_self_id = 10_001_000
"""The id of the first connection's bot; those after it count on."""

dumps: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""JSON as OneBot implementations write it: compact, and not escaped."""


def event(self_id: int, number: int) -> Event:
    """A message in a group, as OneBot v11 has it; `number` makes it differ from the others."""
    text = "今天天气怎么样?"
    return {
        "time": 1_700_000_000 + number,
        "self_id": self_id,
        "post_type": "message",
        "message_type": "group",
        "sub_type": "normal",
        "message_id": 1_000_000 + number,
        "group_id": 2 * self_id,
        "user_id": 3 * self_id,
        "message": [{"type": "text", "data": {"text": text}}],
        "raw_message": text,
        "font": 0,
        "sender": {"user_id": 3 * self_id, "nickname": "小明", "role": "member"},
    }


def sized_event(self_id: int, number: int, size: int) -> Event:
    """A message that has `size` bytes as JSON, from 100 on; else like `event`.

    Its text is ASCII, as a picture is that OneBot sends inside a message (base64): so nothing but
    the reading of more bytes is added. Raises ValueError if it cannot be that small.
    """
    made = {
        "post_type": "message",
        "message_type": "group",
        "group_id": 2 * self_id,
        "message": "",
    }
    room = size - len(dumps(made))
    if room < 16:
        raise ValueError(f"expected a size from 100 bytes, got {size}")
    made["message"] = "0123456789abcdef" + f"{number:x}".rjust(room - 16, "=")
    return made


def reply(received: Event) -> dict[str, Any]:
    """The parameters of the `send_msg` that answers an event: back to where it came from.

    It is the same for every event of a connection, so that the floor can answer constant bytes, and
    differs between connections, so that an answer that strays to another is noticed. Of a long text
    it quotes the beginning, so that what a larger event costs is what it costs to receive it.
    """
    return {
        "message_type": received["message_type"],
        "group_id": received["group_id"],
        # Segments or characters, of which the first event has one and a sized one many.
        "message": received["message"][:16],
    }


def action(name: str, params: dict[str, Any], echo: str) -> dict[str, Any]:
    """An API call as OneBot v11 has it over a WebSocket."""
    return {"action": name, "params": params, "echo": echo}


def refusal(self_id: str | bytes | None, authorization: bytes) -> int | None:
    """The permission check: the status to refuse a caller with, None for one who may come in."""
    if not self_id:
        return 400
    if not hmac.compare_digest(authorization, AUTHORIZATION):
        return 403
    return None
