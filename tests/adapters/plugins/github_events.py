"""Marks every event that comes, by the id of its delivery."""

from __future__ import annotations

import sys

from nonebot.adapters.github import Event
from nonebot.message import event_preprocessor


@event_preprocessor
async def came(event: Event) -> None:
    sys.stdout.write(f'MARK delivery "{event.id}"\n')
    sys.stdout.flush()
