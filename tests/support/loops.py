"""A test on each event loop that people run us on."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from .leaks import nothing_left
from .peer import settle

Loops = dict[str, Callable[[], asyncio.AbstractEventLoop]]

LOOPS: Loops = {"asyncio": asyncio.SelectorEventLoop}
try:
    LOOPS["uvloop"] = importlib.import_module("uvloop").new_event_loop
except ImportError:
    pass

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


Test = Callable[..., Coroutine[Any, Any, None]]


def on_each_loop(test: Test, loops: Loops = LOOPS) -> Callable[..., None]:
    """Run `test` on asyncio's loop and, where it is installed, on uvloop; it has to leave nothing.

    It gets whatever it asks pytest for, but for fixtures that are coroutines.
    """

    async def guarded(**asked: Any) -> None:
        await warm_up()
        async with asyncio.timeout(LIMIT), nothing_left():
            await test(**asked)

    def run(loop: str, **asked: Any) -> None:
        with asyncio.Runner(loop_factory=loops[loop]) as runner:
            runner.run(guarded(**asked))

    own = inspect.signature(run).parameters["loop"]
    run.__signature__ = inspect.Signature([own, *inspect.signature(test).parameters.values()])
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.pytestmark = getattr(test, "pytestmark", [])
    return pytest.mark.parametrize("loop", loops)(run)
