"""The servers under measure, each a process: `python -m benchmarks.servers NAME LOOP`.

It prints `{"port": N}` when it can be connected to, serves until its standard input ends (so that
it cannot outlive whoever started it), and prints `{"handled": N}`, the number of events that its
bot was called with.

All listen on 127.0.0.1, write no access log, and log from warnings upwards.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal

from .application import BareApp, Tally, make_driver
from .floor import FloorProtocol

__all__ = ["HOST", "LOOPS", "SERVERS"]

HOST = "127.0.0.1"
LOOPS = ("asyncio", "uvloop")

Serving = Callable[[Tally], AbstractAsyncContextManager[int]]
"""Serves while an `async with` block runs; gives the port."""


@asynccontextmanager
async def _floor(tally: Tally) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FloorProtocol(tally), HOST, 0, backlog=2048)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _nbdriver(tally: Tally) -> AsyncIterator[int]:
    async with make_driver(tally).serve(HOST, 0, access_log=False) as server:
        _, port = server.addresses[0]
        assert port is not None
        yield port


def _uvicorn(make_app: Callable[[Tally], Any], lifespan: Literal["on", "off"]) -> Serving:
    @asynccontextmanager
    async def serve(tally: Tally) -> AsyncIterator[int]:
        import uvicorn  # here, since the other servers do without it

        config = uvicorn.Config(
            make_app(tally),
            http="h11",
            ws="wsproto",
            lifespan=lifespan,
            # It would look for proxies' headers in each request, which nobody else here does.
            proxy_headers=False,
            # Ours; by default it would hang up on connections that wait for their turn.
            timeout_keep_alive=75,
            access_log=False,
            log_level="warning",
        )
        server = uvicorn.Server(config)
        with socket.create_server((HOST, 0), backlog=2048) as listening:
            # Whoever connects before it is ready waits in the backlog.
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            yield listening.getsockname()[1]
            server.should_exit = True
            await serving

    return serve


SERVERS: dict[str, Serving] = {
    "floor": _floor,
    "nbdriver": _nbdriver,
    "uvicorn": _uvicorn(lambda tally: make_driver(tally).asgi, "on"),
    "uvicorn-bare": _uvicorn(BareApp, "off"),
}


def _settle_memory() -> None:
    """Bring the C library's allocator to where it gets in any process that runs for a while.

    asyncio's own loop asks for 256 KiB for each read. glibc takes that from the system and gives
    it back each time (some 20 us), until a block of that size or more was freed once; from then on
    it keeps such blocks (mallopt(3), M_MMAP_THRESHOLD). Whether a server frees one while it starts
    is an accident (of whether Python had to compile a module, for instance) and nobody's merit.
    """
    block = bytes(4 * 2**20)
    del block


async def _stdin_ends() -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()
    transport.close()


async def _serve(serving: Serving) -> None:
    tally = Tally()
    async with serving(tally) as port:
        print(json.dumps({"port": port}), flush=True)
        await _stdin_ends()
    print(json.dumps({"handled": tally.events}), flush=True)


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers")
    parser.add_argument("name", choices=SERVERS)
    parser.add_argument("loop", choices=LOOPS)
    arguments = parser.parse_args()
    _settle_memory()
    factory = None
    if arguments.loop == "uvloop":
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(SERVERS[arguments.name]))


if __name__ == "__main__":
    main()
