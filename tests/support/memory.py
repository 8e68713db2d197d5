"""A connection in memory: two asyncio transports, each the other's end, with no socket between.

They obey asyncio's contract for transports (the conformance tests in `net/test_stream.py` run on them
and on real sockets alike), so that the code under test is the code that runs in production.
"""

from __future__ import annotations

import asyncio
from typing import Any


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
        self.other: MemoryTransport

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._lost or not data:
            return
        self._buffer += data
        self._loop.call_soon(self._flush)
        if len(self._buffer) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
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

    def _flush(self) -> None:
        """Hand over what is written, if the other end reads."""
        if self._lost or not self.other._reading:
            return
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            if not self.other._lost:
                self.other._protocol.data_received(data)
        if self._writing_paused and len(self._buffer) <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()
        if self._buffer:
            return
        if (self._eof or self._closing) and not self._eof_told:
            self._eof_told = True
            self.other._receive_eof()
        if self._closing:
            self._lose(None)

    # Reading.

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._loop.call_soon(self.other._flush)

    def is_reading(self) -> bool:
        return self._reading

    def _receive_eof(self) -> None:
        if not self._lost and not self._protocol.eof_received():
            self.close()

    # Ending.

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._reading = True  # what still comes is thrown away, as a closed socket would
            self._loop.call_soon(self._flush)

    def abort(self) -> None:
        self._closing = True
        self._buffer.clear()
        self._loop.call_soon(self._lose, None)
        self._loop.call_soon(self.other._lose, ConnectionResetError("the other end was aborted"))

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self._buffer.clear()
            self._protocol.connection_lost(error)


def connect(
    ours: asyncio.Protocol,
    theirs: asyncio.Protocol,
    *,
    peername: object = ("127.0.0.1", 50_000),
) -> None:
    """Connect two protocols; `peername` is what `ours` is told of the other."""
    here = MemoryTransport(ours, {"peername": peername})
    there = MemoryTransport(theirs)
    here.other, there.other = there, here
    ours.connection_made(here)
    theirs.connection_made(there)
