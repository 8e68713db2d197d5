"""A program with a bot that writes down the number of each event that it has handled.

`python -m support.counting_bot FILE uvloop|asyncio` prints its port once it listens.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from nbdriver import Bot, Driver
from nbdriver.config import Config, Env
from nbdriver.net.server import Server


class CountingBot(Bot):
    file: Any

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)

    @property
    def type(self) -> str:
        return "counting"

    @classmethod
    async def check_permission(cls, *arguments: Any) -> str:
        return "1"

    async def handle_message(self, message: dict[str, Any]) -> None:
        # Slowly, so that many events are under way at any time.
        for _ in range(20):
            await asyncio.sleep(0)
        self.file.write(f"{message['number']}\n")

    async def call_api(self, api: str, **data: Any) -> Any:
        raise NotImplementedError

    async def send(self, event: Any, message: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def main() -> None:
    path, loop = sys.argv[1:]
    with Path(path).open("w", encoding="utf-8") as CountingBot.file:
        driver = Driver(Env(_env_file=None), Config())
        driver.register_adapter("count", CountingBot)
        driver.on_shutdown(lambda: CountingBot.file.write("shut down\n"))
        driver.run(
            "127.0.0.1",
            0,
            loop=loop,
            access_log=False,
            ready=tell_port,
        )


def tell_port(server: Server) -> None:
    sys.stdout.write(f"{server.addresses[0][1]}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
