"""A program with a bot that can be put under load, and tells what its server holds.

`python -m support.loaded_bot asyncio|uvloop [FILES]` serves on a free port, with at most FILES file
descriptors. A process of its own, since what it holds and its limits are nobody else's.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from typing import Any

from nbdriver import Bot, Driver, Request, Response
from nbdriver.config import Config, Env
from nbdriver.net.server import Server

from .leaks import open_files

LARGE = 128 * 1024
"""Bytes of what a peer gets that asks for much."""


class LoadedBot(Bot):
    """Answers an event by WebSocket: with what it asks for, or with itself.

    `census` asks for what the server holds, `peak` for the most memory that it ever took (in KiB),
    and `flood` for messages without an end, for as long as the peer is there.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)

    @property
    def type(self) -> str:
        return "loaded"

    @classmethod
    async def check_permission(
        cls, driver: Any, connection_type: str, headers: dict[str, str], body: Any
    ) -> str:
        return headers["x-self-id"]

    async def handle_message(self, message: dict[str, Any]) -> None:
        if self.websocket is None:
            return
        while "flood" in message:
            await self.websocket.send({"flood": "x" * LARGE})
        if "census" in message:
            message = {"census": census()}
        elif "peak" in message:
            message = {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
        await self.websocket.send(message)

    async def call_api(self, api: str, **data: Any) -> Any:
        raise NotImplementedError

    async def send(self, event: Any, message: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class LoadedDriver(Driver):
    """Answers a GET with a large body: what a peer that does not read is given by HTTP."""

    async def _handle_http(self, request: Request) -> Response:
        if request.method == "GET":
            return Response(200, "x" * LARGE)
        return await super()._handle_http(request)


driver = LoadedDriver(Env(_env_file=None), Config())
driver.register_adapter("loaded", LoadedBot)
servers: list[Server] = []


def census() -> dict[str, Any]:
    """All that may be left over, counted."""
    gc.collect()
    (server,), application = servers, driver.server_app
    dispatcher = application.dispatcher  # type: ignore[attr-defined]  # the driver's own
    # uvloop does not tell of its timers; ours are those of the clocks.
    timers = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return {
        "connections": len(server._connections),
        "bots": sorted(driver.bots),
        "known to the dispatcher": sorted(dispatcher._connections),
        "entering": sorted(dispatcher._entering),
        "probes": len(dispatcher._probes),
        "parking": len(dispatcher._parking.connections),
        "events": dispatcher.pending._running,
        "in line": len(dispatcher.pending._line),
        "tasks": len(asyncio.all_tasks()),
        "deadlines": [server._clock.pending, dispatcher._clock.pending],
        "timers": sum(not timer.cancelled() for timer in timers),
        "files": open_files(),
    }


def main() -> None:
    loop, *files = sys.argv[1:]
    if files:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(files[0]), hard))
    driver.run("127.0.0.1", 0, loop=loop, access_log=False, ready=servers.append)


if __name__ == "__main__":
    main()
