"""The client's end of a connection: what comes is pulled, by the one task that waits for it.

A server is pushed to, since it never knows what comes next. A client has asked, and waits for the
answer; so its code is a straight line when it can say `await channel.more()`. What came and is not
yet taken lies in one buffer, which parsers cut from, and reading pauses when that is full.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import ConnectionLost
from .clock import Clock
from .stream import Receiver, Stream, StreamLimits

__all__ = ["Channel"]

#: Bytes that may lie in the buffer before reading pauses: what asyncio reads at most in one go.
_MAX_BUFFERED = 262_144


class Channel:
    """A `Receiver` that keeps what it is given until somebody asks for it.

    A transport is given to its `stream`. One task at a time reads (`more`), another may write
    meanwhile.
    """

    __slots__ = ("_closed", "_lost", "_max_buffered", "_waiting", "buffer", "eof", "stream")

    def __init__(
        self,
        clock: Clock,
        limits: StreamLimits | None = None,
        *,
        peername: object = None,
        max_buffered: int = _MAX_BUFFERED,
    ) -> None:
        """`peername`: see `Stream`. `max_buffered`: bytes in the buffer before reading pauses."""
        self.stream = Stream(
            self._connected, self._disconnected, clock, limits or StreamLimits(), peername
        )
        """What the transport talks to."""
        self.buffer = bytearray()
        """What came and is not yet taken."""
        self.eof = False
        """Whether the peer has said that it will send no more (over TLS: by a close_notify)."""
        self._max_buffered = max_buffered
        self._waiting: asyncio.Future[None] | None = None
        self._lost = False
        self._closed = asyncio.Event()

    # Reading.

    async def more(self) -> bool:
        """Wait until more has come than lies in the buffer now.

        Gives False once the peer has said that it will send no more. Raises ConnectionLost if the
        connection went away without that, or was closed by us. Safe to cancel: what comes is kept.
        """
        if self.eof:
            return False
        before = len(self.buffer)
        self.stream.resume_reading()
        while len(self.buffer) == before and not self.eof:
            if self._lost:
                raise ConnectionLost("expected more from the peer, but the connection is gone")
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return len(self.buffer) > before

    def rest(self) -> None:
        """Nothing is waited for now: read all the same, so that `open` knows of what comes."""
        if len(self.buffer) <= self._max_buffered:
            self.stream.resume_reading()

    @property
    def open(self) -> bool:
        """Whether another request can be sent: nothing came unasked, nobody has ended it.

        Of what comes while reading is paused nobody knows, so it is not open then; see `rest`.
        """
        return not self.eof and not self.buffer and self.stream.open and not self.stream.paused

    def hand_over(self, receiver: Receiver) -> bytes:
        """Push to `receiver` from now on; gives what has come and is not yet taken, for it as well.

        If the peer has ended meanwhile, `receiver` is told on the next turn of the event loop.
        """
        ahead = bytes(self.buffer)
        self.buffer.clear()
        if self.eof or self._lost:
            asyncio.get_running_loop().call_soon(self._tell_end, receiver, self._lost)
        self.stream.push(receiver)
        self.stream.resume_reading()
        return ahead

    def _tell_end(self, receiver: Receiver, was_lost: bool) -> None:
        if was_lost:
            receiver.connection_lost()
        elif not self._closed.is_set():
            receiver.eof_received()

    # Writing.

    def write(self, data: bytes) -> None:
        """Send `data`, now or as soon as the peer reads; raises ConnectionLost if it cannot be."""
        self.stream.write(data)

    async def drain(self) -> None:
        """Wait while the write buffer is full; raises ConnectionLost if the connection is gone.

        Safe to cancel.
        """
        await self.stream.drain()

    # Ending.

    def close(self) -> None:
        """End the connection after what waits is sent."""
        self.stream.close()

    def abort(self) -> None:
        """End the connection at once; what waits to be sent is lost."""
        self.stream.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone, its socket given back. Safe to cancel."""
        await self._closed.wait()

    def info(self, name: str) -> Any:
        """A fact about the transport (`asyncio.BaseTransport.get_extra_info`), or None."""
        return self.stream.info(name)

    # What the stream calls.

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        self.buffer += data
        if len(self.buffer) > self._max_buffered:
            self.stream.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The peer will send no more."""
        self.eof = True
        self._wake()

    def connection_lost(self) -> None:
        """The connection is gone."""
        self._lost = True
        self._wake()

    def _connected(self, stream: Stream) -> Channel:
        return self

    def _disconnected(self, stream: Stream) -> None:
        self._closed.set()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
