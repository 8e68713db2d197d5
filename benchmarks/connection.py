"""One connection of the load on a socket of its own, without an event loop, for exact times.

Between the kernel's word that an answer is there and the clock that is then read, an event loop
does its own work, and its timers know milliseconds at best (libuv's, and so uvloop's). What a
server takes is not much longer than that. So latency is measured by bare system calls: what is sent
was built beforehand, the clock is read next to the call, and an answer is checked, by the same
clients as in `load`, after that.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import bodies
from .clients import Job
from .load import LoadError

__all__ = ["Connection", "undisturbed"]

_CHUNK = 65_536


class _SocketTransport(asyncio.Transport):
    """As much of a transport as a client asks for, on a blocking socket."""

    def __init__(self, stream: socket.socket) -> None:
        super().__init__()
        self._socket = stream

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand all of it to the kernel."""
        self._socket.sendall(data)


class Connection:
    """A connection to a server, with at most one event on its way; hears from its own client."""

    def __init__(
        self, job: Job, address: tuple[str, int], number: int = 0, *, patience: float = 10.0
    ) -> None:
        """Connect, with a WebSocket if that is the job; `number` tells the bots apart.

        Answers are waited for `patience` seconds each. Raises LoadError.
        """
        self.answered = 0
        """Events that have had their answer."""
        self.awaiting = True
        """Whether an answer is on its way (or that to the opening handshake)."""
        self.pausing = True
        """What a client asks: whether it leaves it to others to send the next event."""
        self.pinged = 0
        """Pings that were answered."""
        self._patience = patience
        self._client = job.client(self, bodies.first_self_id + number)
        try:
            self._socket = socket.create_connection(address, patience)
        except OSError as error:
            raise LoadError(f"could not connect to {address}: {error!r}") from error
        # Time limits that the kernel keeps: Python's own would cost a system call before each read.
        self._socket.settimeout(None)
        limit = struct.pack("@ll", int(patience), int(patience % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._client.connection_made(_SocketTransport(self._socket))
            while self.awaiting:
                self.receive()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The socket's descriptor, by which `select` knows it."""
        return self._socket.fileno()

    def send(self) -> None:
        """Send the next event. Raises LoadError."""
        self.awaiting = True
        try:
            self._client.send()
        except OSError as error:
            raise LoadError(f"could not send: {error!r}") from error

    def receive(self) -> int:
        """Wait for the next bytes, and check them; gives the time at which they were read.

        In nanoseconds, as `time.perf_counter_ns` counts. Raises LoadError if they are wrong, or if
        none come.
        """
        try:
            data = self._socket.recv(_CHUNK)
            now = time.perf_counter_ns()
        except BlockingIOError:
            raise LoadError(f"no answer came within {self._patience:g} s") from None
        except OSError as error:
            self.lost(f"the server ended a connection ({error})")
        if not data:
            self.lost("the server ended a connection (it was closed)")
        self._client.data_received(data)
        return now

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    # What the client calls.

    def idle(self) -> None:
        """It waits for nothing."""
        self.awaiting = False

    def fail(self, message: str) -> None:
        """An answer is wrong."""
        raise LoadError(message)

    def lost(self, message: str) -> None:
        """The connection is gone."""
        raise LoadError(message)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Python does not stop to look for garbage meanwhile: that would count as the server's."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
