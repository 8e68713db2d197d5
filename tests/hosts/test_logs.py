"""Our lines in NoneBot's log: its format and colours, its filter, and none of our secrets."""

from __future__ import annotations

import re
from pathlib import Path

from hosts.clients import connected, post
from hosts.hosting import OURS, TOKEN, BotProcess, run_inside

TIME = re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d")


def head_of(line: str) -> str:
    """What stands before the message, without the time."""
    return TIME.sub("TIME", line.partition(" | ")[0])


def test_our_lines_have_the_format_and_the_colours_of_nonebots_own(our_bot: BotProcess) -> None:
    (own,) = (line for line in our_bot.raw_lines if line.endswith("Running NoneBot..."))
    (ours,) = (line for line in our_bot.raw_lines if "Listening on" in line)
    assert "\x1b[" in head_of(own)
    assert head_of(ours) == head_of(own).replace("nonebot", "nbdriver")
    assert ours.endswith(f" | Listening on http://{our_bot.base}")


def test_braces_and_colour_tags_in_a_message_stand_in_the_log_as_they_came(
    our_bot: BotProcess,
) -> None:
    self_id = "<red>{0}{x}</y><b>%s"
    with connected(our_bot, self_id):
        our_bot.says(f"Bot {self_id} connected")
    our_bot.says(f"Bot {self_id} disconnected")


#: Whether a driver's access log tells the token that a client sends in the query.
TELLS_THE_TOKEN = {"nbdriver": False, "fastapi": True}


def test_no_token_stands_in_our_log_wherever_a_client_puts_it(
    bot: BotProcess, self_id: str
) -> None:
    query = f"?access_token={TOKEN}"
    assert post(bot, f"/cqhttp/{query}", {}, {"X-Self-ID": self_id}).status_code == 204
    post(bot, f"/nobody/{query}", {}, {"X-Self-ID": self_id})
    post(bot, f"/cqhttp/{query}", {}, {"X-Self-ID": self_id, "Authorization": TOKEN})
    with connected(bot, self_id, f"/cqhttp/ws{query}"):
        bot.says(f"MARK connect {self_id} ")
    bot.says(f"MARK disconnect {self_id} ")
    assert "/cqhttp/?access_token=" in bot.output
    assert (TOKEN in bot.output) is TELLS_THE_TOKEN[bot.host.name]


def test_what_is_shown_follows_nonebots_debug(our_bot: BotProcess, tmp_path: Path) -> None:
    assert "[DEBUG]" not in our_bot.output
    with BotProcess(OURS, tmp_path, {"DEBUG": True}) as bot:
        bot.says('[DEBUG] nbdriver | Loaded adapter "cqhttp"')
        bot.listens()
        bot.says("[DEBUG] nbdriver | Adapters: cqhttp")
        assert bot.stop() == 0


def test_a_log_level_of_its_own_silences_us_below_it(tmp_path: Path) -> None:
    with BotProcess(OURS, tmp_path, {"LOG_LEVEL": "WARNING"}) as bot:
        bot.says("MARK startup")
        assert bot.stop() == 0
    assert "] nbdriver | " not in bot.output


LEVELS = """
import logging
import nonebot
from nonebot.log import default_filter

nonebot.init()
logger = nonebot.get_driver().logger
logger.debug("not yet shown")
default_filter.level = "DEBUG"
logger.debug("now shown")
logger.critical("at its worst")
logger.log(25, "between two levels")
logger.getChild("net.part").info("from a part")
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("with a traceback")
"""


def test_every_level_is_handed_over_and_nonebots_filter_chooses(tmp_path: Path) -> None:
    output = run_inside(tmp_path, LEVELS).output
    assert "not yet shown" not in output
    assert "[DEBUG] __main__ | now shown" in output
    assert "[CRITICAL] __main__ | at its worst" in output
    assert "[Level 25] __main__ | between two levels" in output
    assert "[INFO] __main__ | from a part" in output
    assert "[ERROR] __main__ | with a traceback\nTraceback (most recent call last):" in output
    assert output.endswith("ZeroDivisionError: division by zero")


ONCE = """
import logging, os, signal
import nonebot
from nonebot.log import LoguruHandler

logging.basicConfig(handlers=[LoguruHandler()], level=0)
logging.getLogger("nbdriver").setLevel(logging.WARNING)
nonebot.init()
driver = nonebot.get_driver()
again = type(driver)(nonebot.config.Env(), driver.config)
driver.logger.warning("said once")

@driver.on_startup
async def stop():
    driver.logger.info("below the level of the program's choice")
    driver.logger.warning("said while it runs")
    os.kill(os.getpid(), signal.SIGTERM)

nonebot.run()
"""


def test_a_line_stands_there_once_whatever_else_leads_to_the_log(tmp_path: Path) -> None:
    lines = [line for line in run_inside(tmp_path, ONCE).lines if "] nonebot | " not in line]
    assert [line.partition(" | ")[2] for line in lines] == ["said once", "said while it runs"]
