"""A connection in memory: two asyncio transports, each the other's end, with no socket between.

They obey asyncio's contract for transports (the conformance tests in `net/test_stream.py` run on
them and on real sockets alike), so that the code under test is the code that runs in production.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any

#: How many bytes are read at most in one go, as in asyncio.
_READ = 262_144


class MemoryTransport(asyncio.Transport):
    """One end. What is written waits here until the other end reads."""

    def __init__(self, protocol: asyncio.Protocol, extra: dict[str, Any] | None = None) -> None:
        super().__init__(extra)
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._buffer = bytearray()
        self._high, self._low = 65_536, 16_384
        self._reading = True
        self._writing_paused = False
        self._eof = False
        self._eof_told = False
        self._closing = False
        self._lost = False
        self.share = _READ
        """How many bytes the other end takes at most in one go."""
        self.other: MemoryTransport

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        self._buffer += data
        self._loop.call_soon(self._flush)
        self._pause_protocol()

    def write_eof(self) -> None:
        if self.other._lost:
            raise OSError(errno.ENOTCONN, "the other end is closed")
        self._eof = True
        self._loop.call_soon(self._flush)

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 65_536 if high is None else high
        self._low = self._high // 4 if low is None else low
        self._pause_protocol()

    def _pause_protocol(self) -> None:
        if len(self._buffer) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def _flush(self) -> None:
        """Hand over what waits, as far as the other end takes it; then the end, if it is ended."""
        if self._buffer:
            self._hand_over()
        if self._buffer or not (self._eof or self._closing):
            return
        if self.other.is_reading() and not self._eof_told:
            self._eof_told = True
            if not self.other._protocol.eof_received():
                self.other.close()
        if self._closing:
            self._lose(None)

    def _hand_over(self) -> None:
        if self.other._lost:
            self._lose(ConnectionResetError("the other end is closed"))
        while self._buffer and self.other.is_reading():
            data = bytes(self._buffer[: self.share])
            del self._buffer[: self.share]
            self.other._protocol.data_received(data)
        if self._writing_paused and len(self._buffer) <= self._low and not self._lost:
            self._writing_paused = False
            self._protocol.resume_writing()

    # Reading.

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._loop.call_soon(self.other._flush)

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    # Ending.

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._flush)

    def abort(self) -> None:
        self._closing = True
        self._buffer.clear()
        self._loop.call_soon(self._lose, None)
        self._loop.call_soon(self.other._lose, ConnectionResetError("the other end was aborted"))

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._buffer.clear()
        self._protocol.connection_lost(error)
        # What was not read when an end is closed makes the kernel reset the connection.
        self._loop.call_soon(self.other._flush)


def connect(
    ours: asyncio.Protocol,
    theirs: asyncio.Protocol,
    *,
    peername: object = ("127.0.0.1", 50_000),
    sockname: object = None,
    read: int = _READ,
) -> None:
    """Connect two protocols; `peername` and `sockname` are what `ours` is told of both ends.

    `read` is how many bytes `ours` reads at most in one go.
    """
    here = MemoryTransport(ours, {"peername": peername, "sockname": sockname})
    there = MemoryTransport(theirs)
    there.share = read
    here.other, there.other = there, here
    ours.connection_made(here)
    theirs.connection_made(there)
