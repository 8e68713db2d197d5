"""A Satori server by others, satori-python-server, in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.environments import SATORI
from adapters.processes import Process, free_port, process

PEER = Path(__file__).with_name("peers") / "satori_server.py"
SELF_ID = "test:10001"
"""The one bot that the server has, as the adapter names it."""
TOKEN = "s3cret"


@asynccontextmanager
async def satori_server(folder: Path) -> AsyncIterator[tuple[Process, dict[str, object]]]:
    """Run the server; gives the settings as well by which a bot finds it."""
    port = free_port()
    command = (SATORI.interpreter, PEER, str(port), TOKEN)
    client = {"host": "127.0.0.1", "port": port, "token": TOKEN}
    async with process(*command, cwd=folder, port=port) as peer:
        await peer.says("Uvicorn running")
        yield peer, {"SATORI_CLIENTS": [client]}
