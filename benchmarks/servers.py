"""The servers under measure, each a process: `python -m benchmarks.servers NAME LOOP`.

It prints `{"port": N, "processes": [...]}` when it can be connected to, serves until its standard
input ends (so that it cannot outlive whoever started it), and prints `{"handled": N}`, the number
of events that its bot was called with.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TextIO

from . import peers, peers_nonebot
from .application import Tally, json_library
from .environments import OWN
from .floor import FloorProtocol
from .peers_granian import granian
from .serving import HOST, LOOPS, Serving, Started

__all__ = ["HOST", "LOOPS", "SERVERS", "Entry", "hide_orjson"]


@asynccontextmanager
async def _floor(tally: Tally, port: int) -> AsyncIterator[Started]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FloorProtocol(tally), HOST, port, backlog=2048)
    async with server:
        yield Started(server.sockets[0].getsockname()[1])


def _nbdriver(*, fast_lane: bool = True) -> Serving:
    """The driver with its own server; without the fast lane h11 and wsproto read everything."""

    @asynccontextmanager
    async def serve(tally: Tally, port: int) -> AsyncIterator[Started]:
        from .bot import make_driver

        # Several may be given the same port, which then share what comes to it.
        settings = {"access_log": False, "reuse_port": port != 0, "fast_lane": fast_lane}
        async with make_driver(tally).serve(HOST, port, **settings) as server:
            _, listening = server.addresses[0]
            assert listening is not None
            yield Started(listening)

    return serve


_HTTP = frozenset({"http"})
_WEBSOCKET = frozenset({"websocket"})
_BOTH = _HTTP | _WEBSOCKET


@dataclass(frozen=True, slots=True)
class Entry:
    """A server: how it is run, in which environment, and what it is entered for."""

    serve: Serving
    environment: str = OWN
    kinds: frozenset[str] = _BOTH
    """`http` and `websocket`, or one of them."""


SERVERS: dict[str, Entry] = {
    "floor": Entry(_floor),
    "nbdriver": Entry(_nbdriver()),
    "nbdriver-plain": Entry(_nbdriver(fast_lane=False)),
    "uvicorn": Entry(
        peers.uvicorn(peers.our_driver, http="h11", ws="wsproto", lifespan="on"), "uvicorn"
    ),
    "uvicorn-h11": Entry(peers.uvicorn(http="h11"), "uvicorn", _HTTP),
    "uvicorn-httptools": Entry(peers.uvicorn(http="httptools"), "uvicorn", _HTTP),
    "uvicorn-zttp": Entry(peers.uvicorn(http="zttp"), "uvicorn", _HTTP),
    "uvicorn-wsproto": Entry(peers.uvicorn(ws="wsproto"), "uvicorn", _WEBSOCKET),
    "uvicorn-sansio": Entry(peers.uvicorn(ws="websockets-sansio"), "uvicorn", _WEBSOCKET),
    "hypercorn": Entry(peers.hypercorn, "hypercorn"),
    "aiohttp": Entry(peers.aiohttp, "aiohttp"),
    "granian": Entry(granian, "granian"),
    "picows": Entry(peers.picows(), "picows", _WEBSOCKET),
    "picows-loop": Entry(peers.picows(use_aiofastnet=False), "picows", _WEBSOCKET),
    "nonebot-nbdriver": Entry(peers_nonebot.our_driver, "nonebot"),
    "nonebot-fastapi": Entry(peers_nonebot.nonebot("fastapi"), "nonebot"),
    "nonebot-quart": Entry(peers_nonebot.nonebot("quart"), "nonebot"),
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


async def _serve(serving: Serving, port: int, told: TextIO) -> None:
    tally = Tally()
    async with serving(tally, port) as started:
        print(json.dumps(asdict(started)), file=told, flush=True)
        await _stdin_ends()
    print(json.dumps({"handled": tally.events}), file=told, flush=True)


def _own_output() -> TextIO:
    """Standard output for us alone: what a server logs there goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def hide_orjson() -> None:
    """See that nobody takes another JSON library than the others, because it happens to be here."""
    if json_library != "orjson":
        # What makes its import an ImportError.
        sys.modules["orjson"] = None  # type: ignore[assignment]


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers")
    parser.add_argument("name", choices=SERVERS)
    parser.add_argument("loop", choices=LOOPS)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    hide_orjson()
    _settle_memory()
    factory = None
    if arguments.loop == "uvloop":
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(SERVERS[arguments.name].serve, arguments.port, _own_output()))


if __name__ == "__main__":
    main()
