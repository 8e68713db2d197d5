"""A WebSocket over a stream: its states, its queue, its pings, and its one end.

Both roles in one class. What a frame means is `wire.session`'s business; here is what it means for
whoever waits. Nothing runs in a task of its own: what arrives is handled where it arrives, and all
waiting for time is one deadline, whose meaning is the state's.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from .. import abc
from ..errors import ConnectionLost, HTTPError, ProtocolViolation, WebSocketClosed
from ..model import Request
from ..wire.frames import FrameLimits, check_close_code
from ..wire.session import Close, Event, Ping, Pong, Session
from .clock import Clock
from .stream import Stream

__all__ = ["Upgrade", "WebSocketConnection", "WebSocketLimits"]

logger = logging.getLogger(__name__)

NO_STATUS = 1005
ABNORMAL_CLOSURE = 1006

#: Bytes that may wait to be sent before a Ping goes without its Pong (RFC 6455, 5.5.3 asks for the
#: latest only): a peer that pings and does not read must not fill our memory.
_MAX_UNSENT_PONGS = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketLimits:
    """Limits and times of a connection (bytes, seconds; None turns it off)."""

    frames: FrameLimits = FrameLimits()
    max_parked: int = 4 * 2**20
    """Bytes of messages that may wait to be received before reading pauses."""
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float = 10.0


class Upgrade(Protocol):
    """The opening handshake that a server's WebSocket waits in; HTTP answers it."""

    def accept(
        self, websocket: WebSocketConnection, subprotocol: str | None
    ) -> tuple[Session, bytes]:
        """Answer 101, push to `websocket` from now on, and give what was read beyond the request.

        Raises ValueError for a subprotocol that was not offered, ConnectionLost.
        """

    def refuse(self, error: HTTPError) -> None:
        """Answer with a refusal."""


class _State(enum.Enum):
    CONNECTING = enum.auto()
    """Neither accepted nor refused; HTTP still owns the stream."""
    OPEN = enum.auto()
    FAILING = enum.auto()
    """The peer broke a rule; what was complete before is still handed over and answered."""
    CLOSING = enum.auto()
    """Our Close is sent, the peer's has not come."""
    CLOSED = enum.auto()


_SENDING = frozenset([_State.OPEN, _State.FAILING])
_READING = frozenset([_State.OPEN, _State.CLOSING])


class WebSocketConnection(abc.WebSocketConnection):
    """The message level over a stream; see `abc.WebSocketConnection` for what its methods promise.

    A server's waits in CONNECTING with its `upgrade`; a client's is made with its `session`, open.
    """

    __slots__ = (
        "_advancing",
        "_buffer",
        "_code",
        "_deadline",
        "_ended",
        "_heard",
        "_limits",
        "_listener",
        "_parked",
        "_paused",
        "_pinged",
        "_pongs",
        "_queue",
        "_reason",
        "_received",
        "_session",
        "_state",
        "_stream",
        "_upgrade",
        "request",
    )

    def __init__(
        self,
        stream: Stream,
        request: Request,
        clock: Clock,
        limits: WebSocketLimits,
        *,
        upgrade: Upgrade | None = None,
        session: Session | None = None,
    ) -> None:
        self.request = request
        self._stream = stream
        self._limits = limits
        self._upgrade = upgrade
        self._deadline = clock.deadline(self._expire)
        self._buffer = bytearray()
        self._queue: deque[str | bytes] = deque()
        self._parked = 0
        self._paused = False
        self._advancing = False
        self._listener: abc.WebSocketListener | None = None
        self._received: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._pongs: dict[bytes, asyncio.Future[None]] | None = None
        self._code, self._reason = ABNORMAL_CLOSURE, ""
        self._heard = True
        self._pinged = False
        self._state = _State.CONNECTING
        self._session = session
        if session is not None:
            self._open()

    def __str__(self) -> str:
        return f"WebSocket {self.request.path}"

    # Opening.

    @property
    def accepted(self) -> bool:
        """Whether the opening handshake is over: accepted, refused, or left by the peer."""
        return self._state is not _State.CONNECTING

    async def accept(self, subprotocol: str | None = None) -> None:
        """See `abc.WebSocketConnection.accept`."""
        if self._state is _State.CLOSED:
            raise self._error()
        if self._state is not _State.CONNECTING or self._upgrade is None:
            raise RuntimeError("expected to accept a connection once, it was accepted before")
        try:
            self._session, ahead = self._upgrade.accept(self, subprotocol)
        except ConnectionLost:
            self._finish(ABNORMAL_CLOSURE, "the connection was lost")
            raise self._error() from None
        self._upgrade = None
        self._open()
        self.data_received(ahead)

    @property
    def delivers(self) -> bool:
        """Whether a listener was given, so that the connection needs no handler."""
        return self._listener is not None

    def _open(self) -> None:
        self._state = _State.OPEN
        self._deadline.set(self._limits.ping_interval)

    # What the stream calls.

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._heard = True
        if self._state in _READING:
            self._buffer += data
            self._advance()

    def eof_received(self) -> None:
        """The peer will send no more, and so cannot close properly (RFC 6455, 7.1.1)."""
        self._finish(ABNORMAL_CLOSURE, "the peer ended the connection without a Close")

    def connection_lost(self) -> None:
        """The connection is gone."""
        self._finish(ABNORMAL_CLOSURE, "the connection was lost")

    # Reading.

    def _advance(self) -> None:
        """Handle what is there, as far as the state lets it."""
        if self._advancing or self._session is None:
            return
        self._advancing = True
        try:
            while self._state in _READING and not self._paused:
                event = self._session.next_event(self._buffer)
                if event is None:
                    break
                self._handle(event)
        except ProtocolViolation as violation:
            self._fail(violation)
        finally:
            self._advancing = False

    def _handle(self, event: Event) -> None:
        match event:
            case str() | bytes():
                if self._state is _State.OPEN:
                    self._deliver(event)
            case Ping(payload):
                # After our Close nothing may be sent (RFC 6455, 5.5.1).
                if self._state is _State.OPEN and self._stream.unsent < _MAX_UNSENT_PONGS:
                    self._write(self._session_now.pong(payload))
            case Pong(payload):
                if self._pongs and (waiter := self._pongs.pop(payload, None)) is not None:
                    _wake(waiter)
            case Close(code, reason):
                if self._state is _State.OPEN:
                    self._write(self._session_now.close(code))
                self._finish(code, reason)

    def _deliver(self, message: str | bytes) -> None:
        if self._listener is not None and not self._queue:
            self._listener.message_received(message)
            return
        self._queue.append(message)
        self._parked += len(message)
        if self._parked > self._limits.max_parked:
            self.pause_reading()
        if self._received is not None:
            _wake(self._received)

    def deliver_to(self, listener: abc.WebSocketListener) -> None:
        """See `abc.WebSocketConnection.deliver_to`."""
        self._listener = listener
        self._paused = False
        self._flush()
        if self._state is _State.FAILING:
            self._tell_failure()
        elif self._state is _State.CLOSED:
            listener.connection_closed(self._error())
        else:
            self.resume_reading()

    def _flush(self) -> None:
        """Deliver what waits in the queue to the listener."""
        while self._queue and self._listener is not None and not self._paused:
            message = self._queue.popleft()
            self._parked -= len(message)
            self._listener.message_received(message)

    def pause_reading(self) -> None:
        """See `abc.WebSocketConnection.pause_reading`."""
        self._paused = True
        self._stream.pause_reading()

    def resume_reading(self) -> None:
        """See `abc.WebSocketConnection.resume_reading`."""
        self._paused = False
        self._flush()
        if not self._paused:
            self._stream.resume_reading()
            self._advance()

    async def receive(self) -> str | bytes:
        """See `abc.WebSocketConnection.receive`. Raises RuntimeError if another task receives."""
        if self._received is not None or self._listener is not None:
            raise RuntimeError("expected one receiver, but messages are already being received")
        while not self._queue:
            if self._state is _State.FAILING:
                self._tell_failure()
            if self._state is _State.CLOSED:
                raise self._error()
            if self._state is _State.CONNECTING:
                raise RuntimeError("expected a connection that was accepted")
            self._received = asyncio.get_running_loop().create_future()
            try:
                await self._received
            finally:
                self._received = None
        message = self._queue.popleft()
        self._parked -= len(message)
        if self._paused and self._parked <= self._limits.max_parked // 2:
            self.resume_reading()
        return message

    # Writing.

    async def send(self, message: str | bytes) -> None:
        """See `abc.WebSocketConnection.send`."""
        if not isinstance(message, str | bytes):
            raise TypeError(f"expected str or bytes to send, got {type(message).__name__}")
        if self._state not in _SENDING:
            raise self._error()
        self._write(self._session_now.message(message))
        try:
            await self._stream.drain()
        except ConnectionLost:
            self._finish(ABNORMAL_CLOSURE, "the connection was lost")
        if self._state is _State.CLOSED:
            raise self._error()

    async def ping(self) -> None:
        """See `abc.WebSocketConnection.ping`."""
        if self._state not in _SENDING:
            raise self._error()
        payload = os.urandom(4)
        if self._pongs is None:
            self._pongs = {}
        waiter = self._pongs[payload] = asyncio.get_running_loop().create_future()
        self._write(self._session_now.ping(payload))
        try:
            await waiter
        finally:
            self._pongs.pop(payload, None)
        if self._state is _State.CLOSED:
            raise self._error()

    @property
    def _session_now(self) -> Session:
        """The session of a connection that is open."""
        if self._session is None:
            raise RuntimeError("expected a connection that was accepted")
        return self._session

    def _write(self, data: bytes) -> None:
        """The one place where frames are sent; a connection that is gone is ended here."""
        try:
            self._stream.write(data)
        except ConnectionLost:
            self._finish(ABNORMAL_CLOSURE, "the connection was lost")

    # Keeping alive.

    def _expire(self) -> None:
        """The deadline is over."""
        match self._state:
            case _State.OPEN:
                self._keep_alive()
            case _State.FAILING:
                self._tell_failure()
            case _:
                logger.debug("%s: cut off, no Close came in time", self)
                self.abort()

    def _keep_alive(self) -> None:
        """Ping, or look whether the peer has been heard since; any byte is a sign of life."""
        interval, timeout = self._limits.ping_interval, self._limits.ping_timeout
        if interval is None:
            return
        if self._pinged and timeout is not None:
            # Nothing can be heard from a peer that we do not listen to.
            if not self._heard and not self._paused:
                logger.info("%s: cut off, no pong within %s s", self, timeout)
                self._finish(ABNORMAL_CLOSURE, f"no pong came within {timeout} s", abort=True)
                return
            self._pinged = False
            if interval > timeout:
                self._deadline.set(interval - timeout)
                return
        self._pinged, self._heard = True, False
        self._write(self._session_now.ping(b""))
        self._deadline.set(interval if timeout is None else timeout)

    # Ending.

    @property
    def closed(self) -> bool:
        """See `abc.WebSocketConnection.closed`."""
        return self._state is _State.CLOSED and not self._queue

    def shut_down(self) -> None:
        """The server is stopping: begin to close, without waiting for the end."""
        if self._state is _State.OPEN:
            self._begin_close(1001, "the server is shutting down")
        elif self._state is _State.FAILING:
            self._tell_failure()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `abc.WebSocketConnection.close`."""
        check_close_code(code)
        if self._state is _State.CONNECTING:
            upgrade, self._upgrade = self._upgrade, None
            self._end(code, reason)
            if upgrade is not None:
                upgrade.refuse(HTTPError(403, reason or "the connection was not accepted"))
        elif self._state is _State.OPEN:
            self._begin_close(code, reason)
        elif self._state is _State.FAILING:
            self._tell_failure()
        while self._state is not _State.CLOSED:
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)

    def _begin_close(self, code: int, reason: str) -> None:
        """Send our Close, and read on for the peer's; nothing else that comes is wanted."""
        self._code, self._reason = code, reason
        self._state = _State.CLOSING
        self._deadline.set(self._limits.close_timeout)
        self._write(self._session_now.close(code, reason))
        self._paused = False
        self._stream.resume_reading()
        self._advance()

    def abort(self) -> None:
        """See `abc.WebSocketConnection.abort`."""
        self._finish(ABNORMAL_CLOSURE, "aborted", abort=True)

    def _fail(self, violation: ProtocolViolation) -> None:
        """The peer broke a rule (RFC 6455, 7.1.7).

        Whoever receives gets what was complete before, and may answer; asking for more than that is
        what makes the failure known. A listener has had everything.
        """
        logger.info("%s: closed, %s", self, violation)
        if self._state is _State.CLOSING:
            self._finish(violation.code, violation.reason)
            return
        self._code, self._reason = violation.code, violation.reason
        self._state = _State.FAILING
        self._deadline.set(self._limits.close_timeout)
        if self._listener is not None or (self._received is not None and not self._queue):
            self._tell_failure()

    def _tell_failure(self) -> None:
        self._write(self._session_now.close(self._code, self._reason))
        self._finish(self._code, self._reason)

    def _finish(self, code: int, reason: str, *, abort: bool = False) -> None:
        """End the connection: the one place where a WebSocket's stream is closed."""
        if self._state is _State.CLOSED:
            return
        self._end(code, reason)
        if abort:
            self._stream.abort()
        else:
            self._stream.close(linger=True)

    def _end(self, code: int, reason: str) -> None:
        """Let everybody know; no await, so that no cancellation can tear it."""
        self._state = _State.CLOSED
        self._code, self._reason = code, reason
        self._deadline.cancel()
        self._buffer.clear()
        for waiter in (self._received, self._ended, *(self._pongs or {}).values()):
            if waiter is not None:
                _wake(waiter)
        if self._listener is not None:
            self._listener.connection_closed(self._error())

    def _error(self) -> WebSocketClosed:
        return WebSocketClosed(self._code, self._reason)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
