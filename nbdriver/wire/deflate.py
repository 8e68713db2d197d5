"""permessage-deflate (RFC 7692) with its limit, behind wsproto's extension interface.

wsproto brings the extension too, but its own inflates without limit, takes a Ping between the
fragments of a compressed message for an error, and loses the message after a block with BFINAL
set. So it is written anew here, one class for both roles; `extensions` makes one of what was
agreed upon.
"""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass
from typing import Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import (
    CloseReason,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    ParseFailed,
    RsvBits,
)

__all__ = ["MAX_WINDOW_BITS", "NAME", "DeflateSettings", "PerMessageDeflate", "Window"]

_Protocol = FrameDecoder | FrameProtocol

NAME: Final = "permessage-deflate"
MAX_WINDOW_BITS: Final = 15

# RFC 7692, 7.2.1: what a sync flush ends with, which does not travel.
_TAIL: Final = b"\x00\x00\xff\xff"
# A stream that ends hands back a copy of what it did not use, so input goes in by pieces: else a
# frame of many streams would be copied once for each.
_PIECE: Final = 65_536
# Every block with BFINAL set ends a zlib stream and makes us begin another: two bytes of input for
# some kilobytes of setting up. Who flushes by BFINAL needs one for each fragment, at the most.
_MAX_FINALS: Final = 1_024

_RANGES = (
    ("max_message", 0, sys.maxsize - 1),
    ("server_max_window_bits", 8, MAX_WINDOW_BITS),
    ("client_max_window_bits", 8, MAX_WINDOW_BITS),
    ("level", -1, 9),
    ("memory_level", 1, 9),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflateSettings:
    """How much we compress, and how much memory a connection may have for it.

    - `max_message`: bytes of a message, counted after decompression.
    - `threshold`: a message shorter than this, in bytes, is sent as it is (RFC 7692, 6, leaves the
      choice to the sender): it saves less than the headers of the packet that carries it.
    - `server_max_window_bits`, `client_max_window_bits`: LZ77 windows of at most 2**bits bytes,
      8 to 15. A server can limit a client's only if the client offers that it may (7.1.2.2).
    - `server_no_context_takeover`, `client_no_context_takeover`: each message begins with an empty
      window: worse compression, but no memory held between messages.
    - `level` (-1 to 9) and `memory_level` (1 to 9): zlib's own. A compressor takes
      2**(bits + 2) + 2**(memory_level + 9) bytes, 32 KiB by default, from its first message on.

    Raises ValueError for a number out of range.
    """

    max_message: int = 16 * 2**20
    threshold: int = 64
    server_max_window_bits: int = 12
    client_max_window_bits: int = 12
    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    level: int = zlib.Z_DEFAULT_COMPRESSION
    memory_level: int = 5

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            if not low <= (value := getattr(self, name)) <= high:
                raise ValueError(f"expected {name} from {low} to {high}, got {value}")


@dataclass(frozen=True, slots=True)
class Window:
    """One direction's LZ77 window: 2**`bits` bytes, carried over to the next message or not."""

    bits: int
    takeover: bool


class _Inflater:
    """Inflates the peer's messages, one after the other, each up to a limit.

    Raises ParseFailed, as wsproto does wherever it stops reading.
    """

    __slots__ = ("_finals", "_history", "_limit", "_size", "_stream", "_unfinished", "_window")

    def __init__(self, window: Window, limit: int) -> None:
        self._window = window
        self._limit = limit
        self._stream: zlib._Decompress | None = None
        self._history = b""
        self.begin_message()

    def begin_message(self) -> None:
        self._size = 0
        self._finals = 0
        self._unfinished = False

    def inflate(self, data: bytes) -> bytes:
        pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
        return b"".join(map(self._inflate_piece, pieces))

    def end_message(self) -> bytes:
        """The rest of a message, once its last byte is in (RFC 7692, 7.2.2).

        A stream that its last block ended needs no tail, and would be put out of step by one.
        """
        rest = self._inflate_piece(_TAIL) if self._unfinished else b""
        if not self._window.takeover:
            self._stream = None
            self._history = b""
        return rest

    def _inflate_piece(self, data: bytes) -> bytes:
        output = []
        while data:
            stream = self._stream = self._stream or self._open()
            try:
                # One byte more than may come, so that too much shows. Less than what was asked for
                # means that zlib holds nothing back.
                piece = stream.decompress(data, self._limit - self._size + 1)
            except zlib.error as error:
                raise ParseFailed(
                    f"expected compressed data (RFC 1951), got {error}",
                    CloseReason.INVALID_FRAME_PAYLOAD_DATA,
                ) from None
            self._account(piece)
            output.append(piece)
            data = stream.unused_data
            self._unfinished = not stream.eof
            if stream.eof:
                self._end_stream()
        return b"".join(output)

    def _account(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise ParseFailed(
                f"a message of over {self._limit} bytes once inflated", CloseReason.MESSAGE_TOO_BIG
            )
        if piece:
            size = 1 << self._window.bits
            self._history = (self._history + piece[-size:])[-size:]

    def _open(self) -> zlib._Decompress:
        return zlib.decompressobj(-self._window.bits, self._history)

    def _end_stream(self) -> None:
        """Go on after a block with BFINAL set.

        It ends a message for a peer that cannot flush otherwise (RFC 7692, 7.2.3.4), or stands in
        the midst of one (7.2.1), but it ends neither the connection's data nor its window. To zlib
        it does, and a window cannot be asked back from it: that is what the history is for.
        """
        self._stream = None
        self._finals += 1
        if self._finals > _MAX_FINALS:
            raise ParseFailed(
                f"a message of over {_MAX_FINALS} final blocks", CloseReason.POLICY_VIOLATION
            )


class _Deflater:
    """Compresses our messages, one after the other."""

    __slots__ = ("_settings", "_stream", "_window")

    def __init__(self, window: Window, settings: DeflateSettings) -> None:
        self._window = window
        self._settings = settings
        self._stream: zlib._Compress | None = None

    def deflate(self, data: bytes, fin: bool) -> bytes:
        stream = self._stream = self._stream or self._open()
        output = stream.compress(data)
        if not fin:
            return output
        if not self._window.takeover:
            self._stream = None
        return (output + stream.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]

    def _open(self) -> zlib._Compress:
        bits, strategy = self._window.bits, zlib.Z_DEFAULT_STRATEGY
        if bits == 8:
            # zlib compresses with no window under 9 bits. Its run-length strategy never looks back
            # further than one byte, which is inside of any window.
            bits, strategy = 9, zlib.Z_RLE
        level, memory_level = self._settings.level, self._settings.memory_level
        return zlib.compressobj(level, zlib.DEFLATED, -bits, memory_level, strategy)


class PerMessageDeflate(Extension):
    """The extension as agreed upon, for one connection; of either role.

    `sends` is the window of what we compress, `receives` of what the peer does. It plugs into
    `wsproto.connection.Connection(..., extensions=[it])`. Instead of returning a close code, of
    which wsproto makes "error in extension", it raises what wsproto would, ParseFailed, with words:
    1002 for RSV1 on a frame that must not have it, 1007 for data that is not DEFLATE, 1008 for a
    message of far too many final blocks, 1009 for one over `max_message` once inflated (RFC 6455,
    7.4.1). wsproto gives each as a CloseConnection event with that code and reason.

    The objects of zlib are made when a first compressed message needs them.
    """

    name = NAME

    def __init__(self, sends: Window, receives: Window, settings: DeflateSettings) -> None:
        self.sends = sends
        self.receives = receives
        self._threshold = settings.threshold
        self._inflater = _Inflater(receives, settings.max_message)
        self._deflater = _Deflater(sends, settings)
        self._opcode = Opcode.TEXT
        self._inflating = False
        self._deflating = False

    def enabled(self) -> bool:
        """Always: it exists only once it was agreed upon."""
        return True

    def offer(self) -> bool:
        """Nothing: the agreement is made, wsproto's own opening handshake has no part in it."""
        return False

    def frame_inbound_header(
        self, proto: _Protocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> RsvBits:
        """Look at a header; RSV1 is for the first frame of a message alone (RFC 7692, 6).

        wsproto calls again for the same frame if its masking key came late, so a second call with
        the same values changes nothing.
        """
        begins = opcode in (Opcode.TEXT, Opcode.BINARY)
        if rsv.rsv1 and not begins:
            raise ParseFailed(f"RSV1 is set on a frame with opcode 0x{opcode:x}")
        self._opcode = opcode
        if begins:
            self._inflating = rsv.rsv1
            self._inflater.begin_message()
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: _Protocol, data: bytes) -> bytes:
        """Inflate a part of a frame; a control frame passes by, also amidst a message."""
        if not self._inflating or self._opcode.iscontrol():
            return data
        return self._inflater.inflate(data)

    def frame_inbound_complete(self, proto: _Protocol, fin: bool) -> bytes | None:
        """Give what is left of a message at the end of its last frame."""
        if not fin or not self._inflating or self._opcode.iscontrol():
            return None
        self._inflating = False
        return self._inflater.end_message()

    def frame_outbound(
        self, proto: _Protocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        """Compress a frame of a message, unless the message is whole and under the threshold."""
        if opcode.iscontrol():
            return rsv, data
        if opcode is not Opcode.CONTINUATION:
            self._deflating = not fin or len(data) >= self._threshold
            rsv = RsvBits(self._deflating, rsv.rsv2, rsv.rsv3)
        return rsv, self._deflater.deflate(data, fin) if self._deflating else data
