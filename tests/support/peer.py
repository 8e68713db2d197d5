"""The other end of a connection under test: sends bytes, and looks at what comes back."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

PATIENCE = 10.0
"""Seconds after which a test that waits in vain fails."""


class Peer(asyncio.Protocol):
    """Speaks bytes. `received` is all that came; `eof` and `lost` are how the other side ended."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.eof = False
        self.lost = False
        self._changed = asyncio.Event()
        self._reads_once = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by their methods, not by their class.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self._reads_once:
            self._reads_once = False
            self.transport.pause_reading()
        self._changed.set()

    def eof_received(self) -> bool:
        self.eof = True
        self._changed.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._changed.set()

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def reset(self) -> None:
        """End the connection at once, as a crashed program would (TCP's RST)."""
        if (connected := self.transport.get_extra_info("socket")) is not None:
            # Closed with this option, a socket sends no FIN and forgets what waits.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def read_some(self) -> None:
        """Read whatever comes next, at least a byte of it, and then nothing more for now."""
        before = len(self.received)
        self._reads_once = True
        self.transport.resume_reading()
        await self.until(lambda: len(self.received) > before)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that came has made `condition` true."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def read(self, until: bytes) -> bytes:
        """Take all that has come up to and with `until`."""
        await self.until(lambda: until in self.received)
        end = self.received.index(until) + len(until)
        taken = bytes(self.received[:end])
        del self.received[:end]
        return taken

    async def read_to_end(self) -> bytes:
        """Take all that comes until the other side has ended."""
        await self.until(lambda: self.eof or self.lost)
        taken = bytes(self.received)
        self.received.clear()
        return taken


async def answers(address: tuple[str, int | None]) -> bool:
    """Whether somebody listens at a TCP address or, without a port, at the path of a Unix socket.

    A path that is not there is like one where nobody listens.
    """
    place, port = address
    family = socket.AF_UNIX if port is None else socket.AF_INET6 if ":" in place else socket.AF_INET
    with socket.socket(family) as client:
        client.setblocking(False)
        where = place.replace("@", "\0", 1) if port is None else address
        try:
            await asyncio.get_running_loop().sock_connect(client, where)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


async def settle() -> None:
    """Let everything run that can run without waiting for the outside."""
    for _ in range(50):
        await asyncio.sleep(0)
