"""The examples run as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.program import ROOT, platform, program

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_every_example_has_a_test_here() -> None:
    assert [path.name for path in EXAMPLES] == ["echo.py"]


@pytest.mark.parametrize("how", [("{path}",), ("-m", "nbdriver", "run", "{path}")])
async def test_the_echo_bot_says_again_the_text_that_it_is_told(
    how: tuple[str, ...], tmp_path: Path
) -> None:
    arguments = [each.format(path=ROOT / "examples" / "echo.py") for each in how]
    async with program(*arguments, cwd=tmp_path, PORT="0", ACCESS_TOKEN="secret") as bot:
        address = f"ws://127.0.0.1:{await bot.port()}/onebot/ws?access_token=secret"
        async with platform(address, x_self_id="10000", x_client_role="Universal") as client:
            event = {"post_type": "message", "message_type": "group", "group_id": 7, "user_id": 1}
            await client.send(json.dumps({**event, "message": "你好[CQ:face,id=1] &amp;"}))
            call = json.loads(await client.recv())
            assert call["action"] == "send_msg"
            assert call["params"]["group_id"] == 7
            assert call["params"]["message"] == [{"type": "text", "data": {"text": "你好 &"}}]
            await client.send(json.dumps({"status": "ok", "data": None, "echo": call["echo"]}))
        bot.interrupt()
        assert await bot.ended() == 0
    assert "Traceback" not in bot.err
