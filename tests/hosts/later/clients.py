"""What calls the bot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from hosts.hosting import PATIENCE, TODAYS, BotProcess, Host
from websockets.sync.client import ClientConnection, connect

BOT = Path(__file__).with_name("bot.py")


def bot_process(
    directory: Path, settings: dict[str, object] | None = None, *, host: Host = TODAYS, **more: Any
) -> BotProcess:
    """The bot of this folder inside NoneBot 2.x."""
    return BotProcess(host, directory, settings or {}, program=more.pop("program", BOT), **more)


def post(bot: BotProcess, path: str = "/event", content: bytes = b"{}") -> httpx.Response:
    """Post an event."""
    url = f"http://{bot.base}{path}"
    return httpx.post(url, content=content, trust_env=False, timeout=PATIENCE)


@contextmanager
def connected(bot: BotProcess) -> Iterator[ClientConnection]:
    """A WebSocket to the bot's echo."""
    with connect(
        f"ws://{bot.base}/ws", open_timeout=PATIENCE, close_timeout=PATIENCE, proxy=None
    ) as connection:
        yield connection


def marks(bot: BotProcess) -> list[str]:
    """What the bot has seen."""
    return [line.removeprefix("MARK ") for line in bot.lines if line.startswith("MARK ")]
