"""Discord is where `DISCORD_BASE` says: its adapter has no setting for that."""

from __future__ import annotations

from nonebot import get_driver
from nonebot.adapters.discord import Adapter
from nonebot.drivers import URL

driver = get_driver()
driver._adapters[Adapter.get_name()].base_url = URL(driver.config.discord_base)
