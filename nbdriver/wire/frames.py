"""The verdict on a WebSocket frame: what RFC 6455 and the limits say of a header, before its payload.

wsproto reads what passes here. Frames are cut from the connection's one buffer: a header that breaks
a rule, or announces more than may come, is refused without waiting for what it announces.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import ProtocolViolation

__all__ = ["FrameCutter", "FrameHeader", "FrameLimits", "Opcode", "check_close_code", "read_header"]

PROTOCOL_ERROR = 1002
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009


class Opcode(enum.IntEnum):
    """RFC 6455, 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_OPCODES = frozenset(Opcode)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLimits:
    """What a peer may send: bytes of a message, and frames of one."""

    max_message: int = 16 * 2**20
    max_fragments: int = 4_096


class FrameHeader(NamedTuple):
    """A frame header as it stands on the wire; `size` is its own length in bytes."""

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    length: int
    size: int


def read_header(buffer: bytes | bytearray) -> FrameHeader | None:
    """The header at the beginning of `buffer`; None if its length is not all there.

    The masking key, which ends a header, may still be missing. Raises ProtocolViolation for a length that is not in its shortest form (RFC 6455, 5.2).
    """
    if len(buffer) < 2:
        return None
    first, second = buffer[0], buffer[1]
    length = second & 0x7F
    size = 2
    if length >= 126:
        size = 4 if length == 126 else 10
        if len(buffer) < size:
            return None
        shortest = 126 if length == 126 else 2**16
        length = int.from_bytes(buffer[2:size], "big")
        if length < shortest:
            raise ProtocolViolation(PROTOCOL_ERROR, f"length {length} is not in its shortest form")
        if length >= 2**63:
            raise ProtocolViolation(PROTOCOL_ERROR, "the highest bit of a length must be 0")
    masked = bool(second & 0x80)
    return FrameHeader(
        bool(first & 0x80), first & 0x70, first & 0x0F, masked, length, size + 4 * masked
    )


class FrameCutter:
    """Cuts frame after frame from a connection's buffer, and keeps account of the message.

    `masked` is whether the peer masks its frames, as a client must and a server must not (5.1);
    `compressed` whether permessage-deflate was negotiated.
    """

    __slots__ = (
        "_allowed_rsv",
        "_fragments",
        "_header",
        "_limits",
        "_masked",
        "_message",
        "_remaining",
    )

    def __init__(self, limits: FrameLimits, *, masked: bool, compressed: bool = False) -> None:
        self._limits = limits
        self._masked = masked
        self._allowed_rsv = 0x40 if compressed else 0
        self._header: FrameHeader | None = None
        self._remaining = 0
        self._message = 0
        self._fragments = 0

    def cut(self, buffer: bytearray) -> bytes | None:
        """Take the next piece of a frame: a header with what is there of its payload, or more of it.

        None if nothing can be taken yet. Raises ProtocolViolation.
        """
        if self._remaining:
            size = min(self._remaining, len(buffer))
            if not size:
                return None
            self._remaining -= size
        else:
            header = self._header = self._header or self._checked_header(buffer)
            if header is None or len(buffer) < header.size:
                return None
            self._header = None
            size = min(header.size + header.length, len(buffer))
            self._remaining = header.size + header.length - size
        piece = bytes(buffer[:size])
        del buffer[:size]
        return piece

    def _checked_header(self, buffer: bytearray) -> FrameHeader | None:
        header = read_header(buffer)
        if header is not None:
            self._check(header)
        return header

    def _check(self, header: FrameHeader) -> None:
        if header.opcode not in _OPCODES:
            raise ProtocolViolation(PROTOCOL_ERROR, f"opcode 0x{header.opcode:x} is reserved")
        if header.masked is not self._masked:
            must = "must" if self._masked else "must not"
            raise ProtocolViolation(PROTOCOL_ERROR, f"frames from this side {must} be masked")
        if header.opcode & 0x8:
            self._check_control(header)
        else:
            self._check_data(header)

    def _check_control(self, header: FrameHeader) -> None:
        """RFC 6455, 5.5."""
        if header.rsv:
            raise ProtocolViolation(PROTOCOL_ERROR, "a control frame has a reserved bit set")
        if not header.fin:
            raise ProtocolViolation(PROTOCOL_ERROR, "a control frame must not be fragmented")
        if header.length > 125:
            raise ProtocolViolation(PROTOCOL_ERROR, "a control frame must not be over 125 bytes")

    def _check_data(self, header: FrameHeader) -> None:
        """RFC 6455, 5.4, and RFC 7692, 6.1: the bit that marks compression is on the first frame."""
        begins = header.opcode != Opcode.CONTINUATION
        if begins == bool(self._fragments):
            expected = "a new message" if begins else "a continuation"
            raise ProtocolViolation(PROTOCOL_ERROR, f"{expected} came out of turn")
        if header.rsv & ~(self._allowed_rsv if begins else 0):
            raise ProtocolViolation(PROTOCOL_ERROR, "a reserved bit is set")
        size = self._message + header.length
        if size > self._limits.max_message:
            raise ProtocolViolation(
                MESSAGE_TOO_BIG,
                f"a message of {size} bytes, at most {self._limits.max_message} are taken",
            )
        self._message, self._fragments = (0, 0) if header.fin else (size, self._fragments + 1)
        if self._fragments > self._limits.max_fragments:
            raise ProtocolViolation(
                POLICY_VIOLATION, f"a message of over {self._limits.max_fragments} frames"
            )


def check_close_code(code: int) -> None:
    """See whether a close code may be sent (RFC 6455, 7.4). Raises ValueError."""
    if not (1000 <= code <= 1003 or 1007 <= code <= 1013 or 3000 <= code <= 4999):
        raise ValueError(f"expected a close code of 1000-1003, 1007-1013 or 3000-4999, got {code}")
