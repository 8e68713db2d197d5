"""granian as its command line runs it: a process that keeps a worker, in which Rust serves.

What it takes is spread over both, so both are told. The worker counts the events; it tells its id
when it has started and its count when it ends, over a pipe that it inherits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .application import BareApp, Message, Receive, Send, Tally
from .serving import HOST, Started

__all__ = ["app", "granian"]

_PIPE = "BENCHMARKS_PIPE"


@asynccontextmanager
async def granian(tally: Tally, port: int) -> AsyncIterator[Started]:
    """The bare ASGI app under granian with one worker, on the loop that runs this."""
    loop = asyncio.get_running_loop()
    with socket.create_server((HOST, port)) as chosen:
        port = chosen.getsockname()[1]
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
    )
    kind = "uvloop" if type(loop).__module__.startswith("uvloop") else "asyncio"
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--http", "1"]
    command += ["--host", HOST, "--port", str(port), "--loop", kind, "--backlog", "2048"]
    command += ["--log-level", "warning", f"{__name__}:app"]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | {_PIPE: str(writing)},
        pass_fds=[writing],
    )
    os.close(writing)
    try:
        worker = int(await reader.readline())
        await _listening(port)
        yield Started(port, (process.pid, worker))
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    tally.events = int(await reader.readline())


async def _listening(port: int) -> None:
    """Wait until it can be connected to: the app starts before that."""
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


class _TellingApp(BareApp):
    """The bare app, which tells its process's id when it starts, and its events when it ends."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one scope (ASGI 3)."""
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)
            return
        with os.fdopen(int(os.environ[_PIPE]), "w") as told:
            await receive()
            print(os.getpid(), file=told, flush=True)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            print(self._tally.events, file=told)
        await send({"type": "lifespan.shutdown.complete"})


app = _TellingApp(Tally())
