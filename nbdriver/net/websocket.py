"""A WebSocket over a stream: its states, its pings, and its one end.

Both roles in one class. What a frame means is `wire.session`'s business; here is what it means for
whoever waits. Nothing runs in a task of its own: what arrives is handled where it arrives, and all
waiting for time is one deadline, whose meaning is the state's.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import sys
from dataclasses import dataclass
from typing import Protocol

from .. import abc
from ..errors import ConnectionLost, HTTPError, ProtocolViolation, WebSocketClosed
from ..inbox import Inbox
from ..logs import escape
from ..model import Request
from ..wire.closing import ABNORMAL_CLOSURE, GOING_AWAY, check_code
from ..wire.frames import FrameLimits
from ..wire.session import Event, Ping, Pong, Session
from .clock import Clock
from .keepalive import KeepAlive
from .stream import Stream

__all__ = ["Upgrade", "WebSocketConnection", "WebSocketLimits"]

logger = logging.getLogger(__name__)

#: Bytes that may wait to be sent before a Ping goes without its Pong (RFC 6455, 5.5.3 asks for the
#: latest only): a peer that pings and does not read must not fill our memory.
_MAX_UNSENT_PONGS = 262_144
#: Bytes of messages that a connection reads before others have their turn, and what reading any of
#: them costs beside its length: so it is 64 small ones, or one that is large once inflated.
_SHARE = 65_536
_COST = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketLimits:
    """Limits and times of a connection (bytes, seconds; None turns it off)."""

    frames: FrameLimits = FrameLimits()
    max_parked: int = 4 * 2**20
    """Bytes of messages that may wait to be received before reading pauses."""
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float | None = 10.0
    fast_lane: bool = True
    """Whether plain frames are read without wsproto; it changes the speed and nothing else."""


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
    ANSWERING = enum.auto()
    """The peer has sent its Close, or broken a rule; what was complete before it is still handed
    over and answered, then our Close is sent."""
    CLOSING = enum.auto()
    """Our Close is sent, the peer's has not come."""
    CLOSED = enum.auto()


# A tuple, in which a member is found by its identity: in a set it would be hashed, in Python.
_READING = (_State.OPEN, _State.CLOSING)


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
        "_inbox",
        "_keep_alive",
        "_limits",
        "_reason",
        "_session",
        "_state",
        "_stream",
        "_turn",
        "_upgrade",
        "request",
    )

    _session: Session

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
        self._inbox = Inbox()
        self._advancing = False
        self._turn: asyncio.Handle | None = None
        self._keep_alive = KeepAlive(clock, limits.ping_interval, limits.ping_timeout)
        self._ended: asyncio.Future[None] | None = None
        self._code, self._reason = ABNORMAL_CLOSURE, ""
        self._state = _State.CONNECTING
        if session is not None:
            self._open(session)

    def __str__(self) -> str:
        return f"WebSocket {escape(self.request.path)}"

    # Opening.

    @property
    def accepted(self) -> bool:
        """Whether the opening handshake is over: accepted, refused, or left by the peer."""
        return self._state is not _State.CONNECTING

    @property
    def delivers(self) -> bool:
        """Whether it is open for a listener, so that it lives on without its handler."""
        return self.accepted and self._inbox.listening

    async def accept(self, subprotocol: str | None = None) -> None:
        """See `abc.WebSocketConnection.accept`."""
        if self._upgrade is None:
            raise RuntimeError("expected a connection that was neither accepted nor closed before")
        if self._state is _State.CLOSED:
            raise self._error()
        try:
            session, ahead = self._upgrade.accept(self, subprotocol)
        except ConnectionLost:
            self._lose()
            raise self._error() from None
        self._upgrade = None
        self._open(session)
        self.data_received(ahead)

    def _open(self, session: Session) -> None:
        self._session = session
        self._state = _State.OPEN
        if self._inbox.paused:
            self._stream.pause_reading()
        self._keep_alive.start()
        self._deadline.set(self._keep_alive.rest)

    # What the stream calls.

    def data_received(self, data: bytes) -> None:
        """Bytes came: most often one plain frame, which need not go through the buffer."""
        self._keep_alive.heard()
        if self._state not in _READING:
            return
        first = None
        if not self._buffer and not self._advancing and self._reads:
            first = self._session.read_whole(data)
        if first is None:
            self._buffer += data
        elif self._inbox.starving and self._state is _State.OPEN:
            # Whoever waits for it runs later, so there is nothing else to be seen to.
            self._inbox.put(first)
            return
        self._advance(first=first)

    def eof_received(self) -> None:
        """The peer will send no more, and so cannot close properly (RFC 6455, 7.1.1).

        If it has had its say before, it may still be reading our answers.
        """
        self._advance(sys.maxsize)
        if self._state is not _State.ANSWERING:
            self._finish(ABNORMAL_CLOSURE, "the peer ended the connection without a Close")

    def connection_lost(self) -> None:
        """The connection is gone; what was read of it is still handed over."""
        self._advance(sys.maxsize)
        self._lose()

    # Reading.

    def _advance(self, share: int = _SHARE, first: str | bytes | None = None) -> None:
        """Handle what is there, as far as the state and whoever takes the messages let it.

        `first` is a message that was read already, as nothing waited in the buffer. Who is called
        from here may call everything, but this loop goes on only when it returns.
        """
        if self._advancing:
            return
        self._advancing = True
        try:
            self._inbox.flush()
            if first is not None:
                self._handle(first)
            while share > 0 and self._buffer and self._reads:
                if (event := self._session.next_event(self._buffer)) is None:
                    break
                share -= _COST + len(event)
                self._handle(event)
        except ProtocolViolation as violation:
            self._fail(violation)
        finally:
            self._advancing = False
        if self._reads:
            if share > 0:
                self._stream.resume_reading()
            else:
                self._read_on_later()
        elif self._state is _State.ANSWERING and self._inbox.listening:
            # The tasks that a listener has started have their turn first.
            asyncio.get_running_loop().call_soon(self._answered)

    def _read_on_later(self) -> None:
        if self._turn is None:
            self._stream.pause_reading()
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        self._advance()

    @property
    def _reads(self) -> bool:
        """Whether what comes is looked at; after our Close only the peer's is waited for."""
        if self._state is not _State.OPEN:
            return self._state is _State.CLOSING
        # What was read of a connection that is gone is still handed over, within bounds.
        return not self._inbox.paused or (
            not self._stream.open and self._inbox.size <= self._limits.max_parked
        )

    def _handle(self, event: Event) -> None:
        match event:
            case str() | bytes():
                # After our Close nothing but the peer's is wanted.
                if self._state is _State.OPEN:
                    self._receive(event)
            case Ping(payload):
                # After our Close nothing may be sent (RFC 6455, 5.5.1).
                if self._state is _State.OPEN and self._takes_pongs:
                    self._write(self._session.pong(payload))
            case Pong(payload):
                self._keep_alive.answered(payload)
            case _:
                self._close_received(*event)

    @property
    def _takes_pongs(self) -> bool:
        return self._stream.open and self._stream.unsent < _MAX_UNSENT_PONGS

    def _receive(self, message: str | bytes) -> None:
        self._inbox.put(message)
        if self._inbox.size > self._limits.max_parked and not self._inbox.listening:
            self.pause_reading()

    async def receive(self) -> str | bytes:
        """See `abc.WebSocketConnection.receive`. Raises RuntimeError if another task receives."""
        inbox = self._inbox
        if self._state is not _State.OPEN or inbox.paused:
            self._ask_for_more()
        message = await inbox.take()
        if inbox.paused and inbox.size <= self._limits.max_parked // 2:
            # In a turn of its own: a Close that is read must not come before this one's answer.
            self._unpause()
            self._read_on_later()
        return message

    def _ask_for_more(self) -> None:
        """A task receives, so that it has answered what it had."""
        if self._state is _State.CONNECTING:
            raise RuntimeError("expected a connection that was accepted")
        if not self._inbox:
            self.resume_reading()
            self._answered()

    def deliver_to(self, listener: abc.WebSocketListener) -> None:
        """See `abc.WebSocketConnection.deliver_to`. Raises RuntimeError if a task receives."""
        self._inbox.deliver_to(listener)
        self.resume_reading()
        self._advance()

    def pause_reading(self) -> None:
        """See `abc.WebSocketConnection.pause_reading`; where a task receives, that resumes it."""
        self._inbox.paused = True
        if self._state is _State.OPEN:
            self._stream.pause_reading()

    def resume_reading(self) -> None:
        """See `abc.WebSocketConnection.resume_reading`."""
        if self._inbox.paused:
            self._unpause()
            self._advance()

    def _unpause(self) -> None:
        self._inbox.paused = False
        self._keep_alive.excuse()

    # Writing.

    async def send(self, message: str | bytes) -> None:
        """See `abc.WebSocketConnection.send`."""
        if not isinstance(message, (str, bytes)):
            raise TypeError(f"expected str or bytes to send, got {type(message).__name__}")
        if self._state is not _State.OPEN:
            self._check_open()
        if self._stream.full:
            # Before the write as well: else each of many senders would put its message into the
            # buffer of a peer that does not read.
            await self._drain()
            self._check_open()
        self._write(self._session.message(message))
        if self._stream.full:
            await self._drain()
        if self._state is _State.CLOSED:
            raise self._error()

    async def _drain(self) -> None:
        """Wait while the peer is slow to read."""
        try:
            await self._stream.drain()
        except ConnectionLost:
            self._lose()

    async def ping(self) -> None:
        """See `abc.WebSocketConnection.ping`."""
        self._check_open()
        if self._state is _State.ANSWERING:
            # After its Close the peer sends nothing more (RFC 6455, 5.5.1).
            raise self._error()
        payload, waiter = self._keep_alive.ask()
        self._write(self._session.ping(payload))
        await waiter
        if self._state is _State.CLOSED:
            raise self._error()

    def _check_open(self) -> None:
        """See whether something may be sent."""
        if self._state is _State.CONNECTING:
            raise RuntimeError("expected a connection that was accepted")
        if self._state is _State.CLOSING or self._state is _State.CLOSED:
            raise self._error()

    def _write(self, data: bytes) -> None:
        """The one place where frames are sent; a connection that is gone is ended here."""
        try:
            self._stream.write(data)
        except ConnectionLost:
            self._lose()

    # Time.

    def _expire(self) -> None:
        """The deadline is over."""
        if self._state is _State.OPEN:
            self._look_after_peer()
        elif self._state is _State.ANSWERING:
            self._say_goodbye()
        else:
            logger.debug("%s: cut off, no Close came in time", self)
            self._finish(ABNORMAL_CLOSURE, "no Close came in time", abort=True)

    def _look_after_peer(self) -> None:
        """Ping when it is time, and give up a peer that has not been heard of since."""
        if self._inbox.paused or self._turn is not None:
            # Nothing can be heard from a peer that we do not listen to.
            self._keep_alive.excuse()
        if self._keep_alive.overdue:
            reason = f"no pong came within {self._limits.ping_timeout} s"
            logger.info("%s: cut off, %s", self, reason)
            self._finish(ABNORMAL_CLOSURE, reason, abort=True)
            return
        payload = self._keep_alive.beat()
        self._deadline.set(self._keep_alive.rest)
        if payload is not None:
            self._write(self._session.ping(payload))

    # Ending.

    @property
    def closed(self) -> bool:
        """See `abc.WebSocketConnection.closed`."""
        return self._inbox.exhausted

    def shut_down(self) -> None:
        """The server is stopping: begin to close, without waiting for the end."""
        self._begin_close(GOING_AWAY, "the server is shutting down")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `abc.WebSocketConnection.close`."""
        check_code(code)
        if self._state is _State.CONNECTING:
            self._refuse(code, reason)
        else:
            self._begin_close(code, reason)
        while self._state is not _State.CLOSED:
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)

    def _refuse(self, code: int, reason: str) -> None:
        upgrade, self._upgrade = self._upgrade, None
        assert upgrade is not None
        self._end(code, reason)
        upgrade.refuse(HTTPError(403, reason or "the connection was not accepted"))

    def _begin_close(self, code: int, reason: str) -> None:
        """Send our Close, and read on for the peer's; nothing else that comes is wanted."""
        if self._state is _State.ANSWERING:
            self._say_goodbye()
        elif self._state is _State.OPEN:
            # A reason that cannot be sent is found before anything has changed.
            frame = self._session.close(code, reason)
            self._code, self._reason = code, reason
            self._state = _State.CLOSING
            self._deadline.set(self._limits.close_timeout)
            self._write(frame)
            self._advance()

    def abort(self) -> None:
        """See `abc.WebSocketConnection.abort`."""
        self._finish(ABNORMAL_CLOSURE, "aborted", abort=True)

    def _close_received(self, code: int, reason: str) -> None:
        if self._state is _State.CLOSING:
            self._finish(code, reason)
        else:
            # RFC 6455, 5.5.1: our Close may wait until what we are sending is sent.
            self._answer(code, reason, done=not self._inbox)

    def _fail(self, violation: ProtocolViolation) -> None:
        """The peer broke a rule (RFC 6455, 7.1.7)."""
        logger.info("%s: closed, %s", self, violation)
        if self._state is _State.CLOSING:
            self._finish(violation.code, violation.reason)
        else:
            self._answer(violation.code, violation.reason, done=self._inbox.starving)

    def _answer(self, code: int, reason: str, *, done: bool) -> None:
        """Say goodbye once all that came is answered: a receiver says so when it asks for more.

        What comes from now on is thrown away (RFC 6455, 7.1.7).
        """
        self._code, self._reason = code, reason
        self._state = _State.ANSWERING
        self._buffer.clear()
        self._deadline.set(self._limits.close_timeout)
        if done and not self._inbox.listening:
            self._say_goodbye()

    def _answered(self) -> None:
        if self._state is _State.ANSWERING and not self._inbox:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._write(self._session.close(self._code, self._reason))
        self._finish(self._code, self._reason)

    def _lose(self) -> None:
        """The connection is lost; who had sent its Close before has closed it none the less."""
        if self._state is _State.ANSWERING:
            self._finish(self._code, self._reason)
        else:
            self._finish(ABNORMAL_CLOSURE, "the connection was lost")

    def _finish(self, code: int, reason: str, *, abort: bool = False) -> None:
        """End the connection: the one place where a WebSocket's stream is closed."""
        if self._state is _State.CLOSED:
            return
        if abort:
            self._stream.abort()
        else:
            self._stream.close(linger=True)
        self._end(code, reason)

    def _end(self, code: int, reason: str) -> None:
        """Let everybody know; no await, so that no cancellation can tear it."""
        self._state = _State.CLOSED
        self._code, self._reason = code, reason
        self._deadline.cancel()
        self._buffer.clear()
        if self._ended is not None:
            self._ended.set_result(None)
        self._keep_alive.end()
        self._inbox.end(code, reason)

    def _error(self) -> WebSocketClosed:
        return WebSocketClosed(self._code, self._reason)
