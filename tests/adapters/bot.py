"""The bot that all adapters are tried with: `bot.py onebot.v11 satori` has these two.

It is written for NoneBot alone and knows nothing of the driver, which the settings in the working
directory name. A message `/echo ...` it answers with the same (NoneBot's own plugin; `/say ...` is
for adapters that do not tell what is said to the bot), and `/call {"api": ..., ...}` makes it call
the platform's API and mark what that gives.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import nonebot
from nonebot import on_command, on_message
from nonebot.adapters import Bot, Event, Message
from nonebot.params import CommandArg


def mark(name: str, value: object) -> None:
    """Tell the test what happened."""
    sys.stdout.write(f"MARK {name} {json.dumps(value, default=str)}\n")
    sys.stdout.flush()


nonebot.init()
driver = nonebot.get_driver()
for name in sys.argv[1:]:
    if Path(__file__).with_name("plugins").joinpath(f"{name}.py").exists():
        nonebot.load_plugin(f"plugins.{name}")
    else:
        driver.register_adapter(importlib.import_module(f"nonebot.adapters.{name}").Adapter)
nonebot.load_builtin_plugin("echo")

call = on_command("call")
say = on_command("say")
everything = on_message(priority=99)


@call.handle()
async def called(bot: Bot, arguments: Message = CommandArg()) -> None:
    parameters = json.loads(arguments.extract_plain_text())
    mark("result", await bot.call_api(parameters.pop("api"), **parameters))


@say.handle()
async def said(bot: Bot, event: Event, message: Message = CommandArg()) -> None:
    await bot.send(event, message)
    mark("said", None)


@everything.handle()
async def happened(bot: Bot, event: Event) -> None:
    mark("message", event.get_plaintext()[:80])


@driver.on_startup
async def started() -> None:
    mark("startup", None)


@driver.on_shutdown
async def stopped() -> None:
    mark("shutdown", None)


@driver.on_bot_connect
async def connected(bot: Bot) -> None:
    mark("connect", [bot.adapter.get_name(), bot.self_id])


@driver.on_bot_disconnect
async def disconnected(bot: Bot) -> None:
    mark("disconnect", [bot.adapter.get_name(), bot.self_id])


nonebot.run()
