"""A connection's bytes: the only module that touches a transport.

A `Stream` gives what arrives to its receiver (`push`, no task and no future per read), writes, waits
for a slow peer, and ends the connection in one function. Everything above sees bytes, and one of
three things that can happen to them: more came, no more will come, the connection is gone.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from ..errors import ConnectionLost
from .clock import Clock

__all__ = ["Receiver", "Stream", "StreamLimits"]

logger = logging.getLogger(__name__)


class Receiver(Protocol):
    """Whoever a stream pushes to. None of these may block or raise."""

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""

    def eof_received(self) -> None:
        """The peer will send no more, but may still be reading."""

    def connection_lost(self) -> None:
        """The connection is gone; called exactly once, and nothing is called after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """How much a stream may hold, and how long it waits (bytes, seconds)."""

    write_buffer: int = 65_536
    """Bytes that may wait to be sent before `drain` waits."""
    write_timeout: float = 30.0
    """How long a peer may read nothing of what waits for it."""
    linger_timeout: float = 2.0
    """How long unread input is thrown away after the last answer, before the connection ends."""


class _State(enum.Enum):
    OPEN = enum.auto()
    LINGERING = enum.auto()
    """The last byte is written and the peer told so; what it still sends is thrown away."""
    FLUSHING = enum.auto()
    """Closed by us; what waits to be sent is still sent."""
    LOST = enum.auto()


class Stream(asyncio.Protocol):
    """One end of a connection.

    `connected` is called once with the stream and gives its first receiver; `push` changes it, as
    when HTTP gives way to WebSocket. `lost` is called once, after everything else.
    """

    __slots__ = (
        "_clock",
        "_connected",
        "_deadline",
        "_drained",
        "_limits",
        "_lost",
        "_paused",
        "_receiver",
        "_state",
        "_transport",
        "_unsent",
        "_writable",
    )

    def __init__(
        self,
        connected: Callable[[Stream], Receiver],
        lost: Callable[[Stream], object],
        clock: Clock,
        limits: StreamLimits,
    ) -> None:
        self._connected = connected
        self._lost = lost
        self._clock = clock
        self._limits = limits
        self._state = _State.LOST
        self._writable = True
        self._paused = False
        self._unsent = 0
        self._drained: asyncio.Future[None] | None = None
        self._deadline = clock.deadline(self._stalled)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there (asyncio.BaseProtocol)."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._limits.write_buffer)
        self._state = _State.OPEN
        self._receiver = self._connected(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came (asyncio.Protocol)."""
        if self._state is _State.OPEN:
            self._receiver.data_received(data)

    def eof_received(self) -> bool:
        """The peer has closed its side (asyncio.Protocol); gives whether ours stays open."""
        if self._state is _State.OPEN:
            self._receiver.eof_received()
        else:
            self._end()
        # TLS knows no half-closed connection.
        return self.info("ssl_object") is None

    def pause_writing(self) -> None:
        """The write buffer is full (asyncio.BaseProtocol): from now on the peer has to read."""
        self._writable = False
        self._watch()

    def resume_writing(self) -> None:
        """The write buffer has room again (asyncio.BaseProtocol)."""
        self._writable = True
        if self._state is _State.OPEN:
            self._deadline.set(None)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone (asyncio.BaseProtocol)."""
        self._state = _State.LOST
        self._deadline.cancel()
        self._wake()
        self._receiver.connection_lost()
        self._lost(self)

    # What the layers above call.

    def push(self, receiver: Receiver) -> None:
        """Give everything from now on to `receiver`."""
        self._receiver = receiver

    def info(self, name: str) -> Any:
        """A fact about the transport, as `asyncio.BaseTransport.get_extra_info` tells it, or None."""
        return self._transport.get_extra_info(name)

    @property
    def open(self) -> bool:
        """Whether something can still be written."""
        return self._state is _State.OPEN

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Stop reading, so that TCP slows the peer down; safe to repeat."""
        if not self._paused and self.open:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again; safe to repeat."""
        if self._paused and self.open:
            self._paused = False
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send `data`, now or as soon as the peer reads; raises ConnectionLost if it cannot be."""
        if self._state is not _State.OPEN:
            raise ConnectionLost("expected an open connection to write to, but it is closed")
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the write buffer is full; raises ConnectionLost if the connection goes away.

        Safe to cancel.
        """
        while not self._writable and self._state is not _State.LOST:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
        if self._state is _State.LOST:
            raise ConnectionLost("the peer went away while it was being written to")

    def close(self, *, linger: bool = False) -> None:
        """End the connection after what waits is sent; a peer that does not read is cut off.

        With `linger`, first tell the peer that no more will come, and throw away what it is still
        sending for a bounded moment: input left unread would make the kernel answer with a reset,
        which takes the last answer with it (RFC 9112, 9.6).
        """
        if self._state is not _State.OPEN:
            return
        if linger and self._transport.can_write_eof():
            self.resume_reading()
            self._state = _State.LINGERING
            self._transport.write_eof()
            self._deadline.set(self._limits.linger_timeout)
        else:
            self._end()

    def abort(self) -> None:
        """End the connection at once; what waits to be sent is lost."""
        self._end(now=True)

    def _end(self, now: bool = False) -> None:
        """The one place where a connection ends."""
        if self._state is _State.LOST:
            return
        self._state = _State.FLUSHING
        if now:
            self._transport.abort()
        else:
            self._transport.close()
            self._watch()

    def _watch(self) -> None:
        """Give the peer time to read something of what waits for it."""
        self._unsent = self.unsent
        self._deadline.set(self._limits.write_timeout)

    def _stalled(self) -> None:
        """The deadline is over: for reading what waits, or for the end of a lingering close."""
        if self._state is _State.LINGERING:
            self._end()
        elif self.unsent < self._unsent:
            self._watch()
        else:
            logger.debug("cut off: the peer read nothing for %s s", self._limits.write_timeout)
            self.abort()

    def _wake(self) -> None:
        """Let whoever waits in `drain` look again."""
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
