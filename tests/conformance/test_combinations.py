"""Drivers that are put together: which part serves, and which ones reach out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conformance.serving import REACHING_BOT, host_of
from hosts.hosting import BotProcess

#: What a client calls itself, up to the slash of its version.
AGENTS = {"httpx": "python-httpx", "aiohttp": "Python", "websockets": "Python", "ours": "nbdriver"}

COMBINATIONS = [
    ("nbdriver.nonebot", "nbdriver", "ours", "ours"),
    ("nbdriver.nonebot+~httpx", "nbdriver+httpx", "httpx", "ours"),
    ("nbdriver.nonebot+~websockets", "nbdriver+websockets", "ours", "websockets"),
    ("nbdriver.nonebot+~httpx+~websockets", "nbdriver+httpx+websockets", "httpx", "websockets"),
    ("~fastapi+nbdriver.nonebot", "fastapi+nbdriver", "ours", "ours"),
    ("~quart+nbdriver.nonebot", "quart+nbdriver", "ours", "ours"),
    ("~fastapi+~httpx+nbdriver.nonebot", "fastapi+httpx+nbdriver", "httpx", "ours"),
    ("~none+nbdriver.nonebot", "none+nbdriver", None, None),
]


@pytest.mark.parametrize(
    ("driver", "name", "http", "websocket"), COMBINATIONS, ids=[each[0] for each in COMBINATIONS]
)
def test_the_parts_do_what_they_are_for(
    tmp_path: Path, driver: str, name: str, http: str | None, websocket: str | None
) -> None:
    with BotProcess(host_of(driver), tmp_path, program=REACHING_BOT) as bot:
        found: dict[str, Any] = json.loads(bot.says("MARK ").removeprefix("MARK "))
        bot.wait()
    expected = {
        "type": name,
        "HTTP": AGENTS[http] if http else "a client",
        "WebSocket": AGENTS[websocket] if websocket else "a client",
        "said": "你好",
    }
    assert found == {key: expected[key] for key in expected if http or key != "said"}
    assert "Traceback" not in bot.output
