"""`/upload` uploads a file, downloads it again, and marks whether it is still the same."""

from __future__ import annotations

import sys

from nonebot import on_command
from nonebot.adapters.satori import Bot
from nonebot.adapters.satori.models import Upload

CONTENT = bytes(range(256)) * 1024

upload = on_command("upload")


@upload.handle()
async def uploaded(bot: Bot) -> None:
    urls = await bot.upload_create(file=Upload(CONTENT, "application/octet-stream", "文 件.bin"))
    same = await bot.download(urls["file"]) == CONTENT
    sys.stdout.write(f"MARK uploaded {str(same).lower()}\n")
    sys.stdout.flush()
