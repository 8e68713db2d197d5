"""A test on each event loop that people run us on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from .leaks import nothing_left
from .peer import settle

LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}

#: Seconds after which a test that is stuck fails; many connections on a busy machine take a while.
LIMIT = 60.0


async def warm_up() -> None:
    """Let the loop open what it opens with its first connection and keeps (uvloop: /dev/null)."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.close()
    theirs.close()
    await settle()


def on_each_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[str], None]:
    """Run `test` on asyncio's loop and on uvloop, and see that it leaves nothing behind."""

    async def guarded() -> None:
        await warm_up()
        async with asyncio.timeout(LIMIT), nothing_left():
            await test()

    @pytest.mark.parametrize("loop", LOOPS)
    def run(loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(guarded())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
