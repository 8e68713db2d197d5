"""A WebSocket as messages: wsproto behind our checks, both roles, pure.

Bytes in, messages and control frames out; messages in, bytes out. wsproto reads and writes each
frame that `frames` has let through; limits, and the end after an error, are kept here.
"""

from __future__ import annotations

from typing import NamedTuple

from wsproto import events
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.extensions import Extension

from ..errors import ProtocolViolation
from .frames import FrameCutter, FrameLimits

__all__ = ["Close", "Event", "Ping", "Pong", "Session"]


class Ping(NamedTuple):
    """RFC 6455, 5.5.2."""

    payload: bytes


class Pong(NamedTuple):
    """RFC 6455, 5.5.3."""

    payload: bytes


class Close(NamedTuple):
    """RFC 6455, 5.5.1; `code` is 1005 if the frame held none."""

    code: int
    reason: str


Event = str | bytes | Ping | Pong | Close
"""Text is a text message, bytes are a binary one."""


class Session:
    """One WebSocket after its opening handshake; `client` is our role in it."""

    __slots__ = ("_cutter", "_parts", "_protocol")

    def __init__(
        self, limits: FrameLimits, *, client: bool = False, extension: Extension | None = None
    ) -> None:
        role = ConnectionType.CLIENT if client else ConnectionType.SERVER
        self._protocol = Connection(role, [] if extension is None else [extension])
        self._cutter = FrameCutter(limits, masked=not client, compressed=extension is not None)
        self._parts: list[str | bytes] = []

    def next_event(self, buffer: bytearray) -> Event | None:
        """Take the next event from `buffer`; None if it is not all there.

        Raises ProtocolViolation, after which nothing more can be read. What was complete before it
        has been given by then.
        """
        while (piece := self._cutter.cut(buffer)) is not None:
            self._protocol.receive_data(piece)
            for event in self._protocol.events():
                if (complete := self._translate(event)) is not None:
                    return complete
        return None

    def _translate(self, event: events.Event) -> Event | None:
        match event:
            case events.TextMessage() | events.BytesMessage():
                return self._assemble(event)
            case events.Ping():
                return Ping(bytes(event.payload))
            case events.Pong():
                return Pong(bytes(event.payload))
            case events.CloseConnection():
                # What wsproto gives for an error of the peer's, too; but then it stays open.
                if self._protocol.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
                    raise ProtocolViolation(int(event.code), event.reason or "")
                return Close(int(event.code), event.reason or "")
        raise AssertionError(f"wsproto gave an event that no open connection has: {event!r}")

    def _assemble(self, event: events.TextMessage | events.BytesMessage) -> str | bytes | None:
        """The whole message, once its last piece is there."""
        if not event.message_finished:
            if event.data:
                self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
            return None
        if not self._parts:
            return event.data if isinstance(event.data, str) else bytes(event.data)
        parts, self._parts = [*self._parts, event.data], []
        if isinstance(event.data, str):
            return "".join(parts)  # type: ignore[arg-type]  # one message is all text or all bytes
        return b"".join(parts)  # type: ignore[arg-type]  # as above

    def message(self, message: str | bytes) -> bytes:
        """The frame of a message. Raises ValueError for text that UTF-8 cannot carry."""
        if isinstance(message, str):
            return bytes(self._protocol.send(events.TextMessage(message)))
        return bytes(self._protocol.send(events.BytesMessage(message)))

    def ping(self, payload: bytes) -> bytes:
        """The frame of a Ping; `payload` is of at most 125 bytes."""
        return bytes(self._protocol.send(events.Ping(payload)))

    def pong(self, payload: bytes) -> bytes:
        """The frame of a Pong."""
        return bytes(self._protocol.send(events.Pong(payload)))

    def close(self, code: int, reason: str = "") -> bytes:
        """The frame of a Close, 1005 for one without a code; a long reason is cut to 123 bytes."""
        return bytes(self._protocol.send(events.CloseConnection(code, reason or None)))
