"""The verdict on a WebSocket frame: what RFC 6455 and the limits say of its header.

wsproto reads what passes here. Frames are cut from the connection's one buffer: a header that
breaks a rule, or announces more than may come, is refused without waiting for what it announces.

`FrameCutter` is the law. `read_plain` is the short cut to its verdict and wsproto's, for what
nearly every frame is: a whole message, all there, with no bit set that asks for more; `build_plain`
makes such a one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from wsproto.frame_protocol import Opcode, XorMaskerSimple

from ..errors import ProtocolViolation
from .closing import MESSAGE_TOO_BIG, POLICY_VIOLATION, PROTOCOL_ERROR

__all__ = [
    "FrameCutter",
    "FrameHeader",
    "FrameLimits",
    "build_plain",
    "read_header",
    "read_plain",
]

#: RFC 6455, 5.2: those that have a meaning.
_OPCODES = frozenset(Opcode)
#: RFC 7692, 6: "Per-Message Compressed".
_RSV1 = 0x40
#: Bytes for which a frame beyond `max_fragments` is worth its while: who sends a long message in
#: many frames may, who sends frames with nothing to speak of in them may not.
_WORTHWHILE = 32

#: The first byte of a plain frame: final, no reserved bit, text or binary.
_PLAIN_TEXT = 0x80 | Opcode.TEXT.value
_PLAIN_BINARY = 0x80 | Opcode.BINARY.value
_PLAIN = (_PLAIN_TEXT, _PLAIN_BINARY)
_MASKED = 0x80
#: Bytes up to which it is cheapest to unmask a payload as one number.
_SMALL = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLimits:
    """What a peer may send: bytes of a message (once inflated), and frames of one.

    A message may have `max_fragments` of any size, empty ones too, and one more for every 32 bytes
    of it.
    """

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

    The masking key, which ends a header, may still be missing. Raises ProtocolViolation for a
    length that is not in its shortest form, or beyond 63 bits (RFC 6455, 5.2).
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
    `compressed` whether permessage-deflate was agreed upon.
    """

    __slots__ = (
        "_allowed_rsv",
        "_compressed",
        "_frames",
        "_header",
        "_limits",
        "_masked",
        "_remaining",
        "_size",
        "idle",
    )

    def __init__(self, limits: FrameLimits, *, masked: bool, compressed: bool = False) -> None:
        self._limits = limits
        self._masked = masked
        self._allowed_rsv = _RSV1 if compressed else 0
        self._header: FrameHeader | None = None
        self._remaining = 0
        self._compressed = False
        self._size = 0
        self._frames = 0
        self.idle = True
        """Whether the next frame begins a message, and nothing of it was looked at."""

    def cut(self, buffer: bytearray) -> bytes | None:
        """Take the next piece: a header with what is there of its payload, or more of that.

        None if nothing can be taken yet. Raises ProtocolViolation, after which nothing more can be
        read.
        """
        if not self._remaining:
            header = self._header = self._header or self._checked_header(buffer)
            if header is None:
                return None
            self.idle = False
            if len(buffer) < header.size:
                return None
            self._header = None
            self._remaining = header.size + header.length
        piece = bytes(buffer[: self._remaining])
        del buffer[: len(piece)]
        self._remaining -= len(piece)
        self.idle = not self._remaining and not self._frames
        return piece or None

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
        """RFC 6455, 5.4, and RFC 7692, 6.1: what marks compression is on the first frame."""
        begins = header.opcode != Opcode.CONTINUATION
        if begins == bool(self._frames):
            came = "a new message" if begins else "a continuation"
            raise ProtocolViolation(PROTOCOL_ERROR, f"{came} came out of turn")
        if header.rsv & ~(self._allowed_rsv if begins else 0):
            raise ProtocolViolation(PROTOCOL_ERROR, "a reserved bit is set")
        if begins:
            self._compressed = bool(header.rsv)
        self._count(header)

    def _count(self, header: FrameHeader) -> None:
        size, frames = self._size + header.length, self._frames + 1
        if size > self._limit(frames):
            raise ProtocolViolation(
                MESSAGE_TOO_BIG,
                f"a message of {size} bytes, at most {self._limits.max_message} are taken",
            )
        if frames > self._limits.max_fragments + size // _WORTHWHILE:
            raise ProtocolViolation(
                POLICY_VIOLATION, f"a message of {frames} frames that hold {size} bytes"
            )
        self._size, self._frames = (0, 0) if header.fin else (size, frames)

    def _limit(self, frames: int) -> int:
        """Bytes that a message of so many frames may have on the wire.

        What cannot be compressed grows: a byte takes 9 bits at the worst (RFC 1951, 3.2.6), blocks
        have headers and ends, and each frame may be flushed. The inflater counts exactly.
        """
        limit = self._limits.max_message
        return limit + limit // 7 + 16 * frames if self._compressed else limit


def read_plain(
    data: bytes | bytearray, max_message: int, *, masked: bool
) -> tuple[str | bytes, int] | None:
    """The message of a plain frame at the beginning of `data`, and the size of that frame.

    None if there is none, or not all of it: what it is, or what is wrong with it, is for the law to
    say.
    """
    if len(data) < 2 or (first := data[0]) not in _PLAIN:
        return None
    # The bit that says whether it is masked has to be as it must be, and so is 0 from here on.
    length = data[1] ^ _MASKED if masked else data[1]
    start = 2
    if length >= 126:
        if length == 126 and len(data) >= 4:
            length, shortest, start = data[2] << 8 | data[3], 126, 4
        elif length == 127:
            length, shortest, start = int.from_bytes(data[2:10], "big"), 2**16, 10
        else:
            return None
        if length < shortest:
            return None
    if masked:
        start += 4
    end = start + length
    if length > max_message or len(data) < end:
        return None
    payload = data[start:end]
    if masked:
        payload = _unmask(payload, data[start - 4 : start])
    try:
        return payload.decode() if first == _PLAIN_TEXT else bytes(payload), end
    except UnicodeDecodeError:
        return None


def _unmask(payload: bytes | bytearray, key: bytes | bytearray) -> bytes | bytearray:
    """RFC 6455, 5.3; as a number, a payload is unmasked by one exclusive or."""
    size = len(payload)
    if size > _SMALL:
        return XorMaskerSimple(key).process(payload)  # type: ignore[arg-type]  # it copies bytes too
    words = (size + 3) // 4
    mask = int.from_bytes(key, "little") * _ones(words)
    unmasked = int.from_bytes(payload, "little") ^ mask
    return unmasked.to_bytes(4 * words, "little")[:size]


@lru_cache(_SMALL // 4 + 1)
def _ones(words: int) -> int:
    """What a key, as a number, is multiplied by to stand side by side with itself so many times."""
    return int.from_bytes(b"\1\0\0\0" * words, "little")


def build_plain(message: str | bytes) -> bytes:
    """The frame of a message, as a server sends it (RFC 6455, 5.2).

    Raises ValueError for text that UTF-8 cannot carry.
    """
    if isinstance(message, str):
        first, payload = _PLAIN_TEXT, message.encode()
    else:
        first, payload = _PLAIN_BINARY, message
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 2**16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload
