"""What NoneBot 2.5 finds in `nbdriver.nonebot`, and what of its settings counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hosts.environments import ROOT
from hosts.hosting import TODAYS, run_inside
from hosts.later.clients import bot_process, post

FACTS = """
import json
import sys
import nonebot
from nonebot.drivers import ASGIMixin, Driver

nonebot.init()
driver = nonebot.get_driver()
print(json.dumps({
    "is a driver of NoneBot's": isinstance(driver, Driver) and isinstance(driver, ASGIMixin),
    "type": driver.type,
    "env": driver.env,
    "repr": repr(driver),
    "logger": driver.logger.name,
    "app": nonebot.get_app() is driver.server_app,
    "asgi": nonebot.get_asgi() is driver.asgi,
    "bots": nonebot.get_bots(),
    "others": sorted({"fastapi", "uvicorn", "starlette", "httpx", "aiohttp", "websockets", "quart"}
                     & set(sys.modules)),
}))
"""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    bot = run_inside(tmp_path_factory.mktemp("facts"), FACTS, host=TODAYS)
    found: dict[str, Any] = json.loads(bot.lines[-1])
    return found


def test_it_is_a_driver_of_nonebots_with_our_name(facts: dict[str, Any]) -> None:
    assert facts["is a driver of NoneBot's"]
    assert (facts["type"], facts["env"], facts["logger"]) == ("nbdriver", "prod", "nbdriver")
    assert facts["repr"] == "Driver(type='nbdriver', adapters=0, bots=0)"


def test_nonebots_own_questions_are_answered(facts: dict[str, Any]) -> None:
    assert (facts["app"], facts["asgi"], facts["bots"]) == (True, True, {})


def test_no_web_framework_is_used_or_there(facts: dict[str, Any]) -> None:
    assert facts["others"] == []


COMBINED = """
import sys, types
import nonebot
from nonebot.drivers import ForwardMixin

extra = sys.modules["extra"] = types.ModuleType("extra")

class Mixin(ForwardMixin):
    type = property(lambda self: "extra")

extra.Mixin = Mixin
nonebot.init()
driver = nonebot.get_driver()
print(type(driver).__name__, driver.type, isinstance(driver, Mixin))
"""


def test_it_can_be_combined_with_other_mixins(tmp_path: Path) -> None:
    bot = run_inside(tmp_path, COMBINED, host=TODAYS, DRIVER="nbdriver.nonebot+extra")
    assert bot.lines[-1] == "CombinedDriver nbdriver+extra True"


# Settings.


def test_settings_come_from_nonebots_files_and_the_environment_which_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NBDRIVER_MAX_BODY=1KiB\nNBDRIVER_SERVER_HEADER=a\n", "utf-8")
    settings: dict[str, object] = {"NBDRIVER_ACCESS_LOG": False, "NBDRIVER_SERVER_HEADER": "file"}
    environ = {"NBDRIVER_SERVER_HEADER": "environment"}
    with bot_process(tmp_path, settings, environ=environ) as bot:
        answer = post(bot.listens(), content=b"1" * 1025)
        assert answer.status_code == 413
        assert answer.headers["server"] == "environment"
        assert bot.stop() == 0
    assert "POST" not in bot.output


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("NBDRIVER_MAX_BODY", "viel", "NBDRIVER_MAX_BODY in the configuration: expected "),
        ("NBDRIVER_MAX_BODI", "1", "no such setting; did you mean NBDRIVER_MAX_BODY?"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_init_with_one_clear_line(
    tmp_path: Path, name: str, value: str, expected: str
) -> None:
    with bot_process(tmp_path, {name: value}) as bot:
        assert bot.wait() == 1
    assert "ConfigError" in bot.lines[-1]
    assert expected in bot.lines[-1]


RUN = """
import nonebot
nonebot.init(host="127.0.0.2")
nonebot.run("127.0.0.1", 0, app="bot:app", workers=4, timeout_keep_alive=5, log_level="warning",
            ready=lambda server: print("idle", nonebot.get_driver()._server_config.idle_timeout,
                                       server.addresses[0][0], flush=True))
"""


def test_run_takes_what_uvicorn_takes_and_warns_of_what_means_nothing(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(RUN, encoding="utf-8")
    with bot_process(tmp_path, program=program) as bot:
        bot.says("idle 5.0 127.0.0.1")
        assert bot.stop() == 0
    assert "[SUCCESS] nonebot | Loaded adapters: " in bot.output
    assert "Settings of uvicorn that have no meaning here: workers" in bot.output
    # Below its log level.
    assert "Listening" not in bot.output


NOT_RUN = """
import asyncio
import nonebot
nonebot.init()

async def main():
    async with nonebot.get_driver().serve("127.0.0.1", 0) as server:
        print(server.addresses[0][0], flush=True)

asyncio.run(main())
"""


def test_it_can_be_served_in_an_event_loop_that_is_there(tmp_path: Path) -> None:
    assert "127.0.0.1" in run_inside(tmp_path, NOT_RUN, host=TODAYS).lines


def test_a_copy_under_another_name_works_inside_nonebot(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "nbdriver", tmp_path / "courier")
    settings: dict[str, object] = {"DRIVER": "courier.nonebot"}
    with bot_process(tmp_path, settings, environ={"PYTHONPATH": str(tmp_path)}) as bot:
        assert "] courier | " in bot.says("Listening on http://")
        assert post(bot).status_code == 200
        assert bot.stop() == 0
    assert "nbdriver" not in bot.output
