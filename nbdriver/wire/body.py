"""Where a body ends: cut from the buffer in checked elements, which h11 then reads.

h11 lets a bare CR stand in a chunk extension and takes what trailers say as headers; here each
chunk line is held to RFC 9112, 7.1, and the limit on the body is kept before anything is buffered.
"""

from __future__ import annotations

import enum
import re
from typing import Protocol

from ..errors import HTTPError
from .head import FIELD

__all__ = ["BodyCutter", "ChunkedCutter", "LengthCutter"]

# RFC 9112, 7.1 and 7.1.1: the size, and extensions of visible characters and blanks.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")
# Servers put blanks behind the size, and clients have always passed over them; to nobody they mean
# another size.
_CHUNK_LINE_OF_ANSWER = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_MAX_CHUNK_LINE = 256
_MAX_TRAILERS = 8_192


class BodyCutter(Protocol):
    """Cuts one body."""

    @property
    def complete(self) -> bool:
        """Whether all of it was cut."""

    def cut(self, buffer: bytearray) -> bytes | None:
        """Take the next element from `buffer`; None if nothing can be taken yet.

        Raises HTTPError for what is malformed or too large.
        """


def _too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"expected a body of at most {limit} bytes")


def _take(buffer: bytearray, size: int) -> bytes:
    piece = bytes(buffer[:size])
    del buffer[:size]
    return piece


class LengthCutter:
    """A body of a known length (RFC 9112, 6.2). Raises HTTPError if that is over `limit`."""

    __slots__ = ("_remaining",)

    def __init__(self, length: int, limit: int) -> None:
        if length > limit:
            raise _too_large(limit)
        self._remaining = length

    @property
    def complete(self) -> bool:
        """See `BodyCutter`."""
        return not self._remaining

    def cut(self, buffer: bytearray) -> bytes | None:
        """The next piece of the body."""
        if not buffer or not self._remaining:
            return None
        piece = _take(buffer, self._remaining)
        self._remaining -= len(piece)
        return piece


class _Expect(enum.Enum):
    LINE = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILER = enum.auto()
    NOTHING = enum.auto()


class ChunkedCutter:
    """A chunked body (RFC 9112, 7.1). Trailers are checked and then dropped (RFC 9110, 6.5.1)."""

    __slots__ = ("_budget", "_expect", "_limit", "_of_answer", "_remaining", "_trailers")

    def __init__(self, limit: int, *, of_answer: bool = False) -> None:
        self._of_answer = of_answer
        self._limit = limit
        self._budget = limit
        self._remaining = 0
        self._trailers = _MAX_TRAILERS
        self._expect = _Expect.LINE

    @property
    def complete(self) -> bool:
        """See `BodyCutter`."""
        return self._expect is _Expect.NOTHING

    def cut(self, buffer: bytearray) -> bytes | None:
        """The next element: a chunk line, a piece of data, the line end after it, or the last."""
        match self._expect:
            case _Expect.LINE:
                return self._cut_line(buffer)
            case _Expect.DATA:
                return self._cut_data(buffer)
            case _Expect.DATA_END:
                return self._cut_data_end(buffer)
            case _Expect.TRAILER:
                return self._cut_trailers(buffer)
        return None

    def _cut_line(self, buffer: bytearray) -> bytes | None:
        end = buffer.find(b"\n", 0, _MAX_CHUNK_LINE)
        if end < 0:
            if len(buffer) >= _MAX_CHUNK_LINE:
                raise HTTPError(400, f"expected a chunk line of at most {_MAX_CHUNK_LINE} bytes")
            return None
        line = _take(buffer, end + 1)
        match = (_CHUNK_LINE_OF_ANSWER if self._of_answer else _CHUNK_LINE).fullmatch(line)
        if match is None:
            raise HTTPError(400, f"expected a chunk size in hex, got {line[:60]!a}")
        size = int(match[1], 16)
        if size > self._budget:
            raise _too_large(self._limit)
        self._budget -= size
        self._remaining = size
        self._expect = _Expect.DATA if size else _Expect.TRAILER
        # h11 takes no blank before an extension, which RFC 9112, 7.1.1 allows; in a request that is
        # as well, in an answer it would be a server that cannot be talked to.
        return match[1] + b"\r\n" if self._of_answer else line

    def _cut_data(self, buffer: bytearray) -> bytes | None:
        if not buffer:
            return None
        piece = _take(buffer, self._remaining)
        self._remaining -= len(piece)
        if not self._remaining:
            self._expect = _Expect.DATA_END
        return piece

    def _cut_data_end(self, buffer: bytearray) -> bytes | None:
        if not b"\r\n".startswith(buffer[:2]):
            raise HTTPError(400, "expected CR LF after the data of a chunk")
        if len(buffer) < 2:
            return None
        self._expect = _Expect.LINE
        return _take(buffer, 2)

    def _cut_trailers(self, buffer: bytearray) -> bytes | None:
        """Check and drop the trailer section; its empty line is all that h11 gets of it."""
        while (end := buffer.find(b"\n", 0, self._trailers)) >= 0:
            line = _take(buffer, end + 1)
            if line == b"\r\n":
                self._expect = _Expect.NOTHING
                return line
            if not FIELD.fullmatch(line):
                raise HTTPError(400, f'expected a trailer "Name: value", got {line[:60]!a}')
            self._trailers -= len(line)
        if len(buffer) >= self._trailers:
            raise HTTPError(431, f"expected trailers of at most {_MAX_TRAILERS} bytes")
        return None
