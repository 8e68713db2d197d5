"""A program that writes down, at once, whatever it does: what a judge compares with its clients.

`python -m stress.bot FILE uvloop|asyncio`. A line is `starting`, `connected ID`, `ended NUMBER`,
`disconnected ID` or `shut down`.
"""

from __future__ import annotations

import asyncio
import sys
from io import FileIO
from typing import Any

from nbdriver import Bot, Driver
from nbdriver.config import Config, Env

STEP = 0.002
"""Seconds that a pause has; the signal has something to fall into."""


class WritingBot(Bot):
    """Takes as many pauses for an event as that asks for; by WebSocket it then answers it."""

    file: FileIO

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)

    @property
    def type(self) -> str:
        return "stress"

    @classmethod
    async def check_permission(
        cls, driver: Any, connection_type: str, headers: dict[str, str], body: Any
    ) -> str:
        await asyncio.sleep(STEP if connection_type == "websocket" else 0)
        return headers["x-self-id"]

    async def handle_message(self, message: dict[str, Any]) -> None:
        for _ in range(message["pauses"]):
            await asyncio.sleep(STEP)
        write(f"ended {message['number']}")
        if self.websocket is not None:
            await self.websocket.send({"number": message["number"]})

    async def call_api(self, api: str, **data: Any) -> Any:
        raise NotImplementedError

    async def send(self, event: Any, message: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def write(line: str) -> None:
    """Write a line in one piece and past every buffer, so that no end of the process loses it."""
    WritingBot.file.write(f"{line}\n".encode())


async def starting() -> None:
    write("starting")
    # Whoever waits for it need not look into the file.
    sys.stdout.write("starting\n")
    sys.stdout.flush()
    for _ in range(10):
        await asyncio.sleep(STEP)


async def connected(bot: Bot) -> None:
    write(f"connected {bot.self_id}")
    await asyncio.sleep(STEP)


async def disconnected(bot: Bot) -> None:
    await asyncio.sleep(STEP)
    write(f"disconnected {bot.self_id}")


async def shut_down() -> None:
    for _ in range(5):
        await asyncio.sleep(STEP)
    write("shut down")


def main() -> None:
    path, loop = sys.argv[1:]
    with FileIO(path, "w") as WritingBot.file:
        driver = Driver(Env(_env_file=None), Config())
        driver.register_adapter("stress", WritingBot)
        driver.on_startup(starting)
        driver.on_bot_connect(connected)
        driver.on_bot_disconnect(disconnected)
        driver.on_shutdown(shut_down)
        driver.run("127.0.0.1", 0, loop=loop, access_log=False)


if __name__ == "__main__":
    main()
