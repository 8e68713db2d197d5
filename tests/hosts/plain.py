"""A plugin of the bot that calls APIs with plain values, and uses what they give.

The `bot.send` of NoneBot 2.0.0a10, on which its echo plugin stands, is of no use where a bot has no
WebSocket: it gives httpx a message that httpx cannot write as JSON. `/repeat` is an echo that works
over HTTP as well.
"""

from nonebot import on_command
from nonebot.adapters.cqhttp import Bot, MessageEvent
from nonebot.rule import to_me

repeat = on_command("repeat", to_me())
whoami = on_command("whoami", to_me())


@repeat.handle()
async def say_it_again(bot: Bot, event: MessageEvent) -> None:
    await bot.send_private_msg(user_id=event.user_id, message=event.get_plaintext())


@whoami.handle()
async def tell(bot: Bot, event: MessageEvent) -> None:
    info = await bot.get_login_info()
    await bot.send_private_msg(user_id=event.user_id, message=f"我是{info['nickname']}")
