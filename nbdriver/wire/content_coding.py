"""Content-Encoding taken off an answer's body (RFC 9110, 8.4.1), piece by piece; pure.

A few kilobytes may stand for gigabytes, so nothing is inflated before somebody takes it, no piece
is large, and the limit is looked at after each of them.
"""

from __future__ import annotations

import zlib
from typing import Final

from ..errors import InvalidResponse
from .grammar import quote

__all__ = ["ACCEPT_ENCODING", "PIECE", "ContentDecoder"]

ACCEPT_ENCODING: Final = "gzip, deflate"
"""What a request may say that it takes."""

PIECE: Final = 65_536
"""Bytes of a decoded piece, at most."""

# zlib hands back a copy of what it has not used, so input goes in by pieces: else all of it would
# be copied once for each piece of output.
_SLICE: Final = 16_384
# Nobody encodes twice; 'any number of times' is how to make much of little (CVE-2023-23916).
_MAX_CODINGS: Final = 4
# Every member costs a stream of zlib's, however little is in it. Formats that are made of many, as
# BGZF is, have some kilobytes in each.
_FREE_MEMBERS: Final = 1_024
_BYTES_OF_MEMBER: Final = 1_024

# What a stage may be given for nothing, as a name in gzip's header or blocks without content. Else
# another coding around it could make any number of such bytes, all inflated in one go.
_FREE_INPUT: Final = 2**20
_INPUT_PER_BYTE: Final = 16

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class _Stage:
    """Takes off one coding, "gzip" or "deflate"; its output may have `limit` bytes."""

    def __init__(self, coding: str, limit: int | None) -> None:
        self._coding = coding
        self._limit = limit
        self._size = 0
        self._consumed = 0
        self._members = 0
        self._stream: zlib._Decompress | None = None
        self._held = b""
        """A first byte that is not enough to tell zlib's format from a raw one."""
        self._tail = b""
        """What the stream has not looked at of the last slice."""
        self._input = memoryview(b"")
        """What comes behind it."""
        self._more = False
        """Whether the stream may hold more output, though it was given no more input."""

    def feed(self, data: bytes) -> None:
        """Have `data` inflated; all that was fed before has to be taken."""
        data, self._held = self._held + data, b""
        if self._coding == "deflate" and not self._members and len(data) < 2:
            self._held = data
        else:
            self._input = memoryview(data)

    def take(self) -> bytes:
        """The next piece; an empty one when there is none until more is fed."""
        while self._tail or self._input or self._more:
            if piece := self._inflate():
                return piece
        return b""

    def end(self) -> None:
        """There is no more input. Raises InvalidResponse in the midst of something."""
        if self._stream is not None or self._held:
            raise InvalidResponse(f"expected the rest of a body in {self._coding}, got its end")

    def _inflate(self) -> bytes:
        data: bytes | memoryview = self._tail
        if not data:
            data, self._input = self._input[:_SLICE], self._input[_SLICE:]
            self._consumed += len(data)
            if self._consumed > _FREE_INPUT + _INPUT_PER_BYTE * self._size:
                raise InvalidResponse(
                    f"expected a body in {self._coding}, got {self._consumed} bytes of it"
                    f" which hold {self._size}"
                )
        stream = self._stream = self._stream or self._open(data)
        try:
            piece = stream.decompress(data, PIECE)
        except zlib.error as error:
            raise InvalidResponse(f"expected a body in {self._coding}, got {error}") from None
        self._size += len(piece)
        if self._limit is not None and self._size > self._limit:
            raise _too_large(self._limit)
        self._tail = stream.unused_data if stream.eof else stream.unconsumed_tail
        self._more = len(piece) == PIECE and not stream.eof
        if stream.eof:
            self._stream = None
        return piece

    def _open(self, data: bytes | memoryview) -> zlib._Decompress:
        """A stream for the next member (RFC 1952, 2.2); data in deflate has no more than one."""
        self._members += 1
        if self._coding == "deflate":
            if self._members > 1:
                raise InvalidResponse("expected nothing after the end of a body in deflate")
            # RFC 9110, 8.4.1.2: it should be zlib's format, and is not always. A raw stream that
            # looks like it would have to begin with a stored block that nobody writes so.
            return zlib.decompressobj(_ZLIB if _is_zlib(data) else _RAW)
        if self._members > _FREE_MEMBERS + self._size // _BYTES_OF_MEMBER:
            raise InvalidResponse(f"expected fewer than {self._members} members in gzip")
        return zlib.decompressobj(_GZIP)


def _is_zlib(data: bytes | memoryview) -> bool:
    """Whether that may be a header of RFC 1950, 2.2: method, window, and check bits."""
    return data[0] & 0x0F == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0


def _too_large(limit: int) -> InvalidResponse:
    return InvalidResponse(f"expected a body of at most {limit} bytes once it is decoded")


class ContentDecoder:
    """Decodes one body: `feed` what came, `take` until it is empty, and at the end call `end`."""

    def __init__(self, codings: list[str], limit: int | None) -> None:
        """`codings` in the order in which they were applied, each gzip or deflate."""
        self._limit = limit
        self._size = 0
        self._plain = b""
        # What is between two codings may be larger than what is inside, but not by much; and if
        # it had no limit, it could be without end and have nothing inside.
        between = None if limit is None else 2 * limit + PIECE
        self._stages = [_Stage(coding, between) for coding in reversed(codings[1:])]
        self._stages += [_Stage(coding, limit) for coding in codings[:1]]

    @classmethod
    def of(cls, content_encoding: str | None, limit: int | None) -> ContentDecoder:
        """What decodes a body with this header, to at most `limit` bytes (None: any number).

        A body with a coding that we do not know, and so did not ask for, stays as it is. Raises
        InvalidResponse for more codings than anybody has a use for.
        """
        named = [name.strip(" \t").lower() for name in (content_encoding or "").split(",")]
        codings = [name.removeprefix("x-") for name in named if name not in ("", "identity")]
        if len(codings) > _MAX_CODINGS:
            raise InvalidResponse(
                f"expected at most {_MAX_CODINGS} content codings, got {quote(', '.join(codings))}"
            )
        return cls(codings if {"gzip", "deflate"}.issuperset(codings) else [], limit)

    @property
    def decodes(self) -> bool:
        """Whether what it gives is anything but what it is fed."""
        return bool(self._stages)

    def feed(self, data: bytes) -> None:
        """Have `data` decoded; all that was fed before has to be taken."""
        if self._stages:
            self._stages[0].feed(data)
        else:
            self._plain += data

    def take(self) -> bytes:
        """The next piece of at most `PIECE` bytes, if it is decoded; empty when more is needed.

        Raises InvalidResponse for what is not in the coding, or more than the limit.
        """
        if self._stages:
            return self._take(len(self._stages) - 1)
        data, self._plain = self._plain, b""
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            raise _too_large(self._limit)
        return data

    def _take(self, index: int) -> bytes:
        """The next piece of a stage, which is fed by the one before it."""
        while not (piece := self._stages[index].take()):
            fed = self._take(index - 1) if index else b""
            if not fed:
                return b""
            self._stages[index].feed(fed)
        return piece

    def end(self) -> None:
        """There is no more, and all is taken. Raises InvalidResponse if the body is cut short.

        A body of no bytes is whole, since that is how servers encode nothing.
        """
        for stage in self._stages:
            stage.end()
