"""The bot behind the proxies: `echo` says again what it is told, `teller` tells who asks."""

from __future__ import annotations

import json
from typing import Any

from nbdriver import Driver, load
from nbdriver.errors import RequestDenied
from nbdriver.model import RequestHeaders
from nbdriver.onebot import Bot, Event


class EchoBot(Bot):
    """Answers a WebSocket, and the shorter the message, the shorter the answer."""

    async def on_message(self, event: Event) -> None:
        await self.send(event, event.message)


class Teller(Bot):
    """Refuses every request, with what it sees of it as the reason."""

    @classmethod
    async def check_permission(cls, *arguments: Any) -> str:
        headers = next(each for each in arguments if isinstance(each, RequestHeaders))
        request = headers.request
        client = None if request.client is None else request.client[0]
        raise RequestDenied(418, json.dumps([client, request.scheme, headers["host"]]))


if __name__ == "__main__":
    driver = Driver(*load())
    driver.register_adapter("onebot", EchoBot)
    driver.register_adapter("teller", Teller)
    driver.run()
