"""A WebSocket as messages: wsproto behind our checks, both roles, pure.

Bytes in, messages and control frames out; messages in, bytes out. wsproto reads and writes each
frame that `frames` has let through. Its frame protocol is used, below its `Connection`: that one
refuses to send what still has to be answered once the peer's Close has come. On the fast lane it
does not come to know of plain frames between two messages, nor of the plain ones that are sent.
"""

from __future__ import annotations

from typing import NamedTuple

from wsproto.extensions import Extension
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed

from ..errors import ProtocolViolation
from .closing import NO_STATUS
from .frames import FrameCutter, FrameLimits, build_plain, read_plain

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
    """One WebSocket after its opening handshake; `client` is our role in it.

    Which frame may be sent when is for whoever uses it to know.
    """

    __slots__ = (
        "_client",
        "_cutter",
        "_extension",
        "_fast_lane",
        "_max_message",
        "_parts",
        "_protocol",
    )

    def __init__(
        self,
        limits: FrameLimits,
        *,
        client: bool = False,
        extension: Extension | None = None,
        fast_lane: bool = True,
    ) -> None:
        """Without the `fast_lane` wsproto reads and writes everything."""
        self._client = client
        self._extension = extension
        self._fast_lane = fast_lane and extension is None
        self._max_message = limits.max_message
        self._protocol: FrameProtocol | None = None
        self._cutter = FrameCutter(limits, masked=not client, compressed=extension is not None)
        self._parts = bytearray()

    @property
    def _law(self) -> FrameProtocol:
        """wsproto, while there is something for it to do."""
        if self._protocol is None:
            extensions = [] if self._extension is None else [self._extension]
            self._protocol = FrameProtocol(self._client, extensions)
        return self._protocol

    def read_whole(self, data: bytes) -> str | bytes | None:
        """The message of a plain frame, if `data` is just that.

        None if it is not, and nothing was read of it then. To be called where no byte waits to be
        read.
        """
        plain = self._read_plain(data)
        return plain[0] if plain is not None and plain[1] == len(data) else None

    def _read_plain(self, data: bytes | bytearray) -> tuple[str | bytes, int] | None:
        if self._fast_lane and self._cutter.idle:
            return read_plain(data, self._max_message, masked=not self._client)
        return None

    def next_event(self, buffer: bytearray) -> Event | None:
        """Take the next event from `buffer`; None if it is not all there.

        Raises ProtocolViolation, after which nothing more can be read. What was complete before it
        has been given by then. After a Close nothing may be read either.
        """
        if (plain := self._read_plain(buffer)) is not None:
            message, size = plain
            del buffer[:size]
            return message
        while (piece := self._cutter.cut(buffer)) is not None:
            self._law.receive_bytes(piece)
            try:
                # A piece is of one frame, and so makes one event at most.
                frame = next(self._law.received_frames(), None)
            except ParseFailed as error:
                raise ProtocolViolation(int(error.code), str(error)) from error
            if frame is not None and (event := self._translate(frame)) is not None:
                if self._fast_lane and self._cutter.idle:
                    # It knows of nothing, and most connections are at rest: 700 bytes of each.
                    self._protocol = None
                return event
        return None

    def _translate(self, frame: Frame) -> Event | None:
        payload = frame.payload
        if isinstance(payload, tuple):
            code, reason = payload
            return Close(int(code), reason)
        if isinstance(payload, str):
            return self._assemble(payload, frame.message_finished)
        payload = bytes(payload)  # wsproto 1.2 has bytearrays here
        if frame.opcode is Opcode.PING:
            return Ping(payload)
        if frame.opcode is Opcode.PONG:
            return Pong(payload)
        return self._assemble(payload, frame.message_finished)

    def _assemble(self, payload: str | bytes, finished: bool) -> str | bytes | None:
        """The whole message, once its last piece is there.

        What is there is kept as bytes: a message of 16 MiB may come byte by byte, and an object for
        each would be thirty times as much.
        """
        if finished and not self._parts:
            return payload
        self._parts += payload.encode() if isinstance(payload, str) else payload
        if not finished:
            return None
        whole, self._parts = self._parts, bytearray()
        return whole.decode() if isinstance(payload, str) else bytes(whole)

    def message(self, message: str | bytes) -> bytes:
        """The frame of a message. Raises ValueError for text that UTF-8 cannot carry."""
        if self._fast_lane and not self._client:
            return build_plain(message)
        return bytes(self._law.send_data(message))

    def ping(self, payload: bytes = b"") -> bytes:
        """The frame of a Ping; `payload` is of at most 125 bytes."""
        return bytes(self._law.ping(payload))

    def pong(self, payload: bytes) -> bytes:
        """The frame of a Pong."""
        return bytes(self._law.pong(payload))

    def close(self, code: int, reason: str = "") -> bytes:
        """The frame of a Close, 1005 for one without a code; a long reason is cut to 123 bytes.

        Raises ValueError for a reason that UTF-8 cannot carry.
        """
        if code == NO_STATUS:
            return bytes(self._law.close())
        return bytes(self._law.close(code, reason))
