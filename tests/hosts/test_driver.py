"""What NoneBot 2.0.0a10 finds in `nbdriver.nonebot`: a driver of its kind, ours in everything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hosts.clients import post
from hosts.environments import ROOT
from hosts.hosting import OURS, BotProcess, run_inside

FACTS = """
import json
import nonebot, nonebot.adapters.cqhttp, nonebot.drivers
from nonebot.config import Env

nonebot.init()
driver = nonebot.get_driver()
other = type(driver)(Env(), driver.config)
theirs = nonebot.drivers.Driver

@driver.on_bot_connect
@driver.on_bot_disconnect
async def hook(bot): ...

driver.register_adapter("cqhttp", nonebot.adapters.cqhttp.Bot)
ours = type(driver).__mro__[: type(driver).__mro__.index(theirs)]
print(json.dumps({
    "is a driver of NoneBot's": isinstance(driver, theirs),
    "type": driver.type,
    "env": driver.env,
    "configuration": isinstance(driver.config, nonebot.config.Config),
    "logger": driver.logger.name,
    "app": nonebot.get_app() is driver.server_app,
    "asgi": callable(nonebot.get_asgi()),
    "bots": nonebot.get_bots(),
    "adapters": [list(driver._adapters), list(other._adapters), list(theirs._adapters)],
    "hooks": [[len(each._ws_connection_hook), len(each._ws_disconnection_hook)]
              for each in (driver, other, theirs)],
    "left to NoneBot": [name for name in vars(theirs) if not name.startswith("__")
                        and not name.startswith("_abc_")
                        and not any(name in vars(each) for each in ours)
                        and name not in vars(driver)],
}))
"""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    bot = run_inside(tmp_path_factory.mktemp("facts"), FACTS)
    found: dict[str, Any] = json.loads(bot.lines[-1])
    return found


def test_it_is_a_driver_of_nonebots_with_our_name(facts: dict[str, Any]) -> None:
    assert facts["is a driver of NoneBot's"]
    assert (facts["type"], facts["env"], facts["logger"]) == ("nbdriver", "prod", "nbdriver")


def test_nonebots_own_questions_are_answered(facts: dict[str, Any]) -> None:
    assert (facts["configuration"], facts["app"], facts["asgi"]) == (True, True, True)
    assert facts["bots"] == {}


def test_nothing_of_nonebots_driver_is_left_in_use(facts: dict[str, Any]) -> None:
    assert facts["left to NoneBot"] == []


def test_adapters_and_hooks_are_shared_with_no_driver_and_no_class(facts: dict[str, Any]) -> None:
    assert facts["adapters"] == [["cqhttp"], [], []]
    assert facts["hooks"] == [[1, 1], [0, 0], [0, 0]]


# Settings.


def test_settings_come_from_nonebots_files_and_the_environment_which_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NBDRIVER_MAX_BODY=1KiB\nNBDRIVER_SERVER_HEADER=a\n", "utf-8")
    settings = {"NBDRIVER_ACCESS_LOG": False, "NBDRIVER_SERVER_HEADER": "file"}
    environ = {"NBDRIVER_SERVER_HEADER": "environment"}
    with BotProcess(OURS, tmp_path, settings, environ=environ) as bot:
        answer = post(bot.listens(), "/cqhttp/", {"text": "1" * 1024}, {"X-Self-ID": "1"})
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
    with BotProcess(OURS, tmp_path, {name: value}) as bot:
        assert bot.wait() == 1
    assert "ConfigError" in bot.lines[-1]
    assert expected in bot.lines[-1]


# What `nonebot.run` passes.

RUN = """
import nonebot
nonebot.init(host="127.0.0.2")
nonebot.run("127.0.0.1", 0, app="bot:app", log_level="info")
"""


@pytest.mark.parametrize("debug", [False, True])
def test_run_takes_what_nonebots_own_driver_takes_and_warns_of_a_missing_reload(
    tmp_path: Path, debug: bool
) -> None:
    program = tmp_path / "program.py"
    program.write_text(RUN, encoding="utf-8")
    with BotProcess(OURS, tmp_path, {"DEBUG": debug}, program=program) as bot:
        listens = bot.says("Listening on http://127.0.0.1:")
        assert bot.base not in listens
        assert bot.stop() == 0
    warned = "have no meaning here: app" in bot.output
    assert warned is debug
    assert "[DEBUG] nbdriver | Adapters" not in bot.output


# Other names.


def test_a_copy_under_another_name_works_inside_nonebot(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "nbdriver", tmp_path / "courier")
    settings = {"DRIVER": "courier.nonebot"}
    with BotProcess(OURS, tmp_path, settings, environ={"PYTHONPATH": str(tmp_path)}) as bot:
        assert "] courier | " in bot.says("Listening on http://")
        assert post(bot, "/cqhttp/", {}, {"X-Self-ID": "1"}).status_code == 204
        assert bot.stop() == 0
    assert "nbdriver" not in bot.output
