"""Our lines in NoneBot 2.5's log: its format, its filter, and none of our secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hosts.hosting import TODAYS, run_inside
from hosts.later.clients import bot_process, post

STOPPING = """
import nonebot
nonebot.init()
nonebot.run(port=0, ready=lambda server: server.ask_to_stop())
"""
TIME = re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d")


def head_of(line: str) -> str:
    """What stands before the message, without the time."""
    return TIME.sub("TIME", line.partition(" | ")[0])


def test_our_lines_have_the_format_of_nonebots_own(tmp_path: Path) -> None:
    with bot_process(tmp_path) as bot:
        bot.listens()
        assert bot.stop() == 0
    (own,) = (line for line in bot.lines if "Current Env" in line)
    (ours,) = (line for line in bot.lines if "Listening on" in line)
    assert head_of(ours) == head_of(own).replace("nonebot", "nbdriver")


@pytest.mark.parametrize(
    ("level", "shown"), [("TRACE", {"INFO", "DEBUG"}), ("INFO", {"INFO"}), (25, set())]
)
def test_what_is_shown_follows_nonebots_log_level(
    tmp_path: Path, level: object, shown: set[str]
) -> None:
    bot = run_inside(tmp_path, STOPPING, host=TODAYS, LOG_LEVEL=level)
    lines = [line for line in bot.lines if "] nbdriver | " in line]
    assert {line.partition("[")[2].partition("]")[0] for line in lines} == shown


def test_no_token_stands_in_our_log(tmp_path: Path) -> None:
    with bot_process(tmp_path, {"LOG_LEVEL": "DEBUG"}) as bot:
        post(bot.listens(), "/event?access_token=s3cret")
        post(bot, "/nobody?access_token=s3cret")
        assert bot.stop() == 0
    assert "POST /event?access_token=*** HTTP/1.1" in bot.output
    assert "s3cret" not in bot.output


ONCE = """
import logging, os, signal
import nonebot
from nonebot.log import LoguruHandler

logging.basicConfig(handlers=[LoguruHandler()], level=0)
nonebot.init()
driver = nonebot.get_driver()
again = type(driver)(nonebot.config.Env(), driver.config)
driver.logger.warning("<red>{braces}</>")
driver.logger.log(25, "between two levels")

@driver.on_startup
async def stop():
    driver.logger.warning("said while it runs")
    os.kill(os.getpid(), signal.SIGTERM)

nonebot.run()
"""


def test_a_line_stands_there_once_as_it_is_whatever_else_leads_to_the_log(tmp_path: Path) -> None:
    lines = [line.partition("] ")[2] for line in run_inside(tmp_path, ONCE, host=TODAYS).lines]
    for said in ("<red>{braces}</>", "between two levels", "said while it runs"):
        assert [line for line in lines if line.endswith(f" | {said}")] == [f"__main__ | {said}"]
