"""The bot that the host tests run inside NoneBot, in its environment: Python 3.9 as well as 3.11.

It is written for NoneBot alone and knows nothing of the driver, which the settings in the working
directory name. What a hook sees, it tells in a line that begins with `MARK`.
"""

import sys

import nonebot
from nonebot.adapters.cqhttp import Bot


def mark(text: str) -> None:
    """Tell the test what happened."""
    sys.stdout.write(f"MARK {text}\n")
    sys.stdout.flush()


nonebot.init()
driver = nonebot.get_driver()
driver.register_adapter("cqhttp", Bot)
nonebot.load_builtin_plugins()
nonebot.load_plugin("plain")


@driver.on_startup
async def started() -> None:
    mark("startup")


@driver.on_shutdown
async def stopped() -> None:
    mark("shutdown")


@driver.on_bot_connect
async def connected(bot: Bot) -> None:
    mark(f"connect {bot.self_id} {bot.type} {bot.self_id in nonebot.get_bots()}")


@driver.on_bot_disconnect
async def disconnected(bot: Bot) -> None:
    mark(f"disconnect {bot.self_id} {bot.self_id in nonebot.get_bots()}")


nonebot.run()
