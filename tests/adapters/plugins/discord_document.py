"""`/document` sends a file, with what was written behind it as its name."""

from __future__ import annotations

from nonebot import on_command
from nonebot.adapters.discord import Bot, Event, Message, MessageSegment
from nonebot.params import CommandArg

CONTENT = bytes(range(256)) * 1024

document = on_command("document")


@document.handle()
async def sent(bot: Bot, event: Event, name: Message = CommandArg()) -> None:
    await bot.send(event, MessageSegment.attachment(name.extract_plain_text(), content=CONTENT))
