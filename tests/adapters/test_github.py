"""nonebot-adapter-github: reached by signed webhooks, the examples of GitHub's own library.

Its REST client, githubkit, is httpx's and passes every driver by; here it is only seen to work
beside ours.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from adapters.bots import Host, has_echoed, running_bot
from adapters.environments import NODE
from adapters.standins import client, served
from aiohttp import web

NAME = "GitHub"
APP = "Iv1.1"
SECRET = "s3cret"
EXAMPLES = NODE / "node_modules/@octokit/webhooks-examples/api.github.com/index.json"

pytestmark = pytest.mark.skipif(not NODE.exists(), reason="GitHub's examples need npm, found none")


def settings(**more: object) -> dict[str, object]:
    """The bot's settings."""
    app = {"client_id": APP, "client_secret": "x", "webhook_secret": SECRET}
    return {"GITHUB_APPS": [app], "NICKNAME": ["机器人"], **more}


async def deliver(
    session: httpx.AsyncClient,
    number: int,
    name: str,
    payload: dict[str, Any],
    secret: str = SECRET,
) -> httpx.Response:
    """Post an event, as GitHub does it."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/1",
        "X-GitHub-Delivery": str(number),
        "X-GitHub-Event": name,
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    return await session.post(f"/github/webhooks/{APP}", content=body, headers=headers)


def examples() -> dict[str, list[dict[str, Any]]]:
    """The examples of every event, the newest last."""
    entries = json.loads(EXAMPLES.read_text("utf-8"))
    return {entry["name"]: entry["examples"] for entry in entries}


async def test_github_s_own_examples_come_as_events(host: Host, tmp_path: Path) -> None:
    adapters = ("github", "github_events")
    async with (
        # Some of the examples are older than the adapter's models, of which it warns at length.
        running_bot(host, tmp_path, *adapters, tracebacks=True, **settings()) as bot,
        client(bot) as session,
    ):
        assert await bot.marks("connect") == [NAME, APP]
        deliveries = list(enumerate(examples().items()))
        assert len(deliveries) > 50
        for number, (name, payloads) in deliveries:
            answer = await deliver(session, number, name, payloads[-1])
            assert (answer.status_code, answer.text) == (200, "OK")
        came = {await bot.marks("delivery", times + 1) for times, _ in deliveries}
        assert came == {str(number) for number, _ in deliveries}


async def test_a_webhook_with_another_s_signature_is_refused(host: Host, tmp_path: Path) -> None:
    async with (
        running_bot(host, tmp_path, "github", **settings()) as bot,
        client(bot) as session,
    ):
        answer = await deliver(session, 1, "star", examples()["star"][0], secret="another")
        assert (answer.status_code, answer.text) == (400, "Invalid Signature")


async def test_a_comment_is_answered_by_its_own_rest_client(host: Host, tmp_path: Path) -> None:
    comments: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    (*_, payload) = (each for each in examples()["issue_comment"] if each["action"] == "created")

    async def comment(request: web.Request) -> web.Response:
        comments.put_nowait((request.path, await request.json()))
        return web.json_response(payload["comment"], status=201)

    path = f"/repos/{payload['repository']['full_name']}/issues/{payload['issue']['number']}"
    async with (
        served(web.post(f"{path}/comments", comment)) as api,
        running_bot(host, tmp_path, "github", **settings(GITHUB_BASE_URL=f"http://{api}/")) as bot,
        client(bot) as session,
    ):
        payload["comment"]["body"] = "机器人 /echo 你好"
        await deliver(session, 1, "issue_comment", payload)
        assert await comments.get() == (f"{path}/comments", {"body": "你好"})
        await has_echoed(bot)
