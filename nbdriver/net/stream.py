"""A connection's bytes: the only module that touches a transport.

A `Stream` gives what arrives to its receiver (`push`, no task and no future per read), writes,
waits for a slow peer, and ends the connection in one function. Everything above sees bytes, and one
of three things that can happen to them: more came, no more will come, the connection is gone.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from ..errors import ConnectionLost
from .clock import Clock

__all__ = ["Receiver", "Stream", "StreamLimits", "settle_allocator"]

logger = logging.getLogger(__name__)

#: Bytes that a peer must take within `write_timeout` not to count as one that reads nothing.
_PROGRESS = 1_024
#: The value of SO_LINGER (on, for no time) with which a socket that is closed forgets what waits.
_NO_LINGERING = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
#: Bytes of input that are thrown away in one go.
_PIECE = 65_536
_LARGER_THAN_ANY_READ = 524_288


def settle_allocator() -> None:
    """Bring the C library's allocator to where it gets in any process that runs for a while.

    asyncio's own loop asks for 256 KiB for each read. glibc takes a block of that size from the
    system, and gives it back, each time (20 us and more), until one as large was freed once: from
    then on it keeps them (mallopt(3), M_MMAP_THRESHOLD). Elsewhere this does nothing.
    """
    bytes(_LARGER_THAN_ANY_READ)


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
    """How long a peer may read next to nothing (less than 1 KiB) of what waits for it."""
    linger_timeout: float = 2.0
    """How long unread input is thrown away after the last answer, before the connection ends."""


class _State(enum.Enum):
    OPEN = enum.auto()
    HALF_CLOSED = enum.auto()
    """The peer will send no more, but may still be reading."""
    LINGERING = enum.auto()
    """The last byte is written and the peer told so; what it still sends is thrown away."""
    FLUSHING = enum.auto()
    """Closed by us; what waits to be sent is still sent."""
    LOST = enum.auto()


# A tuple, in which a member is found by its identity: in a set it would be hashed, in Python.
_WRITABLE = (_State.OPEN, _State.HALF_CLOSED)


class Stream(asyncio.Protocol):
    """One end of a connection.

    `connected` is called once with the stream and gives its first receiver; `push` changes it, as
    when HTTP gives way to WebSocket. `lost` is called once, after everything else.
    """

    __slots__ = (
        "_clock",
        "_connected",
        "_deadline",
        "_limits",
        "_lost",
        "_paused",
        "_peername",
        "_read",
        "_receiver",
        "_state",
        "_tls",
        "_transport",
        "_written",
        "full",
    )

    def __init__(
        self,
        connected: Callable[[Stream], Receiver],
        lost: Callable[[Stream], object],
        clock: Clock,
        limits: StreamLimits,
        peername: object = None,
    ) -> None:
        """`peername`, if it is not None, is the peer's address, whatever the transport says.

        A proxy may stand between; and of a connection that was reset, the system knows no address
        any more, as of a Unix socket's, though its bytes can still be read.
        """
        self._connected = connected
        self._lost = lost
        self._clock = clock
        self._limits = limits
        self._peername = peername
        self._state = _State.LOST
        self._paused = False
        self._tls = False
        """Whether `start_tls` was called: what the transport tells is then TLS's word."""
        self.full: asyncio.Event | None = None
        """While the write buffer is full, and `drain` waits: what is set when it no longer is."""
        self._written = 0
        self._read = 0
        """How much of what was written the peer had taken when its time began."""
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
            # On Windows, Python 3.11 brings a bytearray, which no cache can look up (gh-99941).
            self._receiver.data_received(data if type(data) is bytes else bytes(data))

    def eof_received(self) -> bool:
        """The peer has closed its side (asyncio.Protocol); gives whether ours stays open."""
        if self._state is _State.OPEN:
            self._state = _State.HALF_CLOSED
            self._receiver.eof_received()
        elif self._state is _State.LINGERING:
            self._end()
        # asyncio has no half-closed connection over TLS: it ends one at the peer's goodbye, and an
        # answer that is not written by then is lost.
        return not self._tls and self.info("ssl_object") is None

    def pause_writing(self) -> None:
        """The write buffer is full (asyncio.BaseProtocol): from now on the peer has to read."""
        self.full = asyncio.Event()
        self._watch()

    def resume_writing(self) -> None:
        """The write buffer has room again (asyncio.BaseProtocol)."""
        if self._state is _State.LINGERING:
            self._deadline.set(self._limits.linger_timeout)
        elif self._state in _WRITABLE:
            self._deadline.set(None)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone (asyncio.BaseProtocol); only the first time counts."""
        if self._state is _State.LOST:
            return
        self._state = _State.LOST
        self._deadline.cancel()
        self._wake()
        try:
            self._receiver.connection_lost()
        finally:
            self._lost(self)

    # What the layers above call.

    def push(self, receiver: Receiver) -> None:
        """Give everything from now on to `receiver`."""
        self._receiver = receiver

    def info(self, name: str) -> Any:
        """A fact about the transport (`asyncio.BaseTransport.get_extra_info`), or None."""
        if name == "peername" and self._peername is not None:
            return self._peername
        return self._transport.get_extra_info(name)

    @property
    def open(self) -> bool:
        """Whether something can still be written.

        Not to a transport that has begun to end by itself, after a reset or a goodbye over TLS: it
        would throw away what is written, and complain of it, until `connection_lost` comes.
        """
        return self._state in _WRITABLE and not self._transport.is_closing()

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Stop reading, so that TCP slows the peer down; safe to repeat."""
        if self._state is _State.OPEN and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again; safe to repeat."""
        if self._state is _State.OPEN and self._paused:
            self._paused = False
            self._transport.resume_reading()

    @property
    def paused(self) -> bool:
        """Whether reading is paused, so that nobody knows what has come since."""
        return self._paused

    async def start_tls(
        self, context: ssl.SSLContext, server_hostname: str, handshake_timeout: float
    ) -> None:
        """Go on over TLS, as a client (`asyncio.loop.start_tls`).

        To be called while nothing waits to be read or sent; on a connection over TLS, it is TLS
        inside of TLS. Raises OSError, of which ssl.SSLError is one. Then, and if it is cancelled,
        the connection is lost, and `lost` was called.
        """
        if self._state is not _State.OPEN or self._transport.is_closing():
            raise ConnectionResetError("the connection had ended before the handshake")
        self._tls = True
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                context,
                server_hostname=server_hostname,
                ssl_handshake_timeout=handshake_timeout,
            )
            # asyncio gives None for a connection that was ended by us meanwhile.
            if transport is None or self._state not in _WRITABLE:
                raise ConnectionResetError("the connection was lost in the handshake")
        except BaseException as error:
            # Of one that ends in a handshake asyncio does not always tell, and uvloop's stays open.
            self._end(now=True)
            self.connection_lost(None)
            # Before CPython 3.11.8 and 3.12.2, asyncio's TLS inside of TLS stumbles while it fails
            # (gh-113214), so that what had come before has to be found behind a TypeError.
            raise (error.__context__ if isinstance(error, TypeError) else None) or error from None
        self._transport = transport
        transport.set_write_buffer_limits(high=self._limits.write_buffer)

    def write(self, data: bytes) -> None:
        """Send `data`, now or as soon as the peer reads; raises ConnectionLost if it cannot be."""
        if self._state not in _WRITABLE or self._transport.is_closing():
            raise ConnectionLost("expected an open connection to write to, but it is closed")
        self._written += len(data)
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the write buffer is full; raises ConnectionLost if the connection is gone.

        Safe to cancel.
        """
        while self.full is not None:
            await self.full.wait()
        if self._state is _State.LOST:
            raise ConnectionLost("expected an open connection to write to, but it is gone")

    def close(self, *, linger: bool = False) -> None:
        """End the connection after what waits is sent; a peer that does not read is cut off.

        With `linger`, first tell the peer that no more will come, and throw away what it is still
        sending for a bounded moment: input left unread would make the kernel answer with a reset,
        which takes the last answer with it (RFC 9112, 9.6). A peer that will send no more needs
        none of that.
        """
        if linger and self._state is _State.OPEN:
            self._linger()
        elif self._state in _WRITABLE:
            self._end()

    def abort(self) -> None:
        """End the connection at once; what waits to be sent is lost."""
        self._end(now=True)

    def _linger(self) -> None:
        self.resume_reading()
        self._state = _State.LINGERING
        # From now on `resume_writing` means that all is sent, and the moment begins only then.
        # (Not 0: asyncio's TLS takes a buffer of 0 bytes for full then.)
        self._transport.set_write_buffer_limits(high=1)
        if self.full is None:
            self._deadline.set(self._limits.linger_timeout)
        try:
            self._say_end()
        except OSError:
            # asyncio lets through that the peer has reset a connection of which nothing waits.
            self._end(now=True)

    def _say_end(self) -> None:
        """Tell the peer that no more will come: by a FIN, over TLS by a close_notify.

        Either closes one direction only (RFC 8446, 6.1), though asyncio's transports know it of
        TCP alone: closed, theirs of TLS takes data that still comes for an error, and resets. So
        the close_notify is put by hand behind what was written, and then sent by asking for more.
        """
        tls = self.info("ssl_object")
        if tls is None:
            self._transport.write_eof()
            return
        try:
            # What is there unread would be an error as well.
            while tls.read(_PIECE):
                pass
        except ssl.SSLError:
            pass
        else:
            # The peer's own goodbye was among it.
            self._end()
            return
        try:
            tls.unwrap()
        except ssl.SSLError:
            # It is written; of the peer's, which this waits for too, `eof_received` tells.
            pass
        self._transport.pause_reading()
        self._transport.resume_reading()

    def _end(self, *, now: bool = False) -> None:
        """The one place where a connection ends."""
        if self._state is _State.LOST:
            return
        self._state = _State.FLUSHING
        if now:
            self._transport.abort()
        else:
            # Closed a second time, asyncio's transport for TLS is of no use any more.
            if not self._transport.is_closing():
                self._transport.close()
            self._watch()

    def _watch(self) -> None:
        """Give the peer time to read something of what waits for it.

        Where nothing waits, only the peer's goodbye can be missing, for which TLS asks; a peer that
        keeps an idle connection in a pool gives none (RFC 8446, 6.1 does not want us to wait).
        """
        self._read = self._written - self.unsent
        flushed = self._state is _State.FLUSHING and not self.unsent
        limits = self._limits
        self._deadline.set(limits.linger_timeout if flushed else limits.write_timeout)

    def _stalled(self) -> None:
        """The deadline is over: for reading what waits, or for the end of a lingering close."""
        if self._state is _State.LINGERING and self.full is None:
            self._end(now=True)
        elif self._state is _State.FLUSHING and self._read == self._written:
            self.abort()
        elif (taken := self._written - self.unsent - self._read) >= _PROGRESS or not self.unsent:
            self._watch()
        else:
            seconds = self._limits.write_timeout
            logger.debug("cut off: the peer took %d bytes in %g s", taken, seconds)
            self._forget_unsent()
            self.abort()

    def _forget_unsent(self) -> None:
        """Let the kernel too give up what waits, and reset the connection (RFC 9293, 3.10.5).

        Else it would go on offering it, megabytes for each connection, for minutes.
        """
        if (connected := self.info("socket")) is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)

    def _wake(self) -> None:
        """Let whoever waits in `drain` look again."""
        if self.full is not None:
            self.full.set()
            self.full = None
