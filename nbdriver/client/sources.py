"""Where the bytes of a request's body come from, and whether they can be had a second time.

A body is sent again after a redirect or over another connection, and a `Content-Length` is due
before the first byte of it; so each source knows its length, if that can be known, and begins anew
each time that it is asked, if it can. Files are read in a thread, since a disk may be slow.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from typing import Any, Final, Protocol

__all__ = ["PIECE", "AsyncPieces", "Bytes", "File", "Pieces", "Source", "source_of"]

PIECE: Final = 262_144
"""Bytes of a piece, at most, of what is cut into pieces here."""

_BYTES: Final = (bytes, bytearray, memoryview)


class Source(Protocol):
    """Bytes of a body, in pieces."""

    @property
    def length(self) -> int | None:
        """How many there are; None where nobody knows before the end."""

    @property
    def replayable(self) -> bool:
        """Whether `pieces` may be asked for again."""

    def pieces(self) -> AsyncIterator[bytes]:
        """All of them from the beginning, none of them empty.

        Raises what the source does; RuntimeError for a second time where there is none.
        """


class Bytes:
    """Bytes in memory."""

    replayable = True

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    async def pieces(self) -> AsyncIterator[bytes]:
        """See `Source.pieces`."""
        if self.length <= PIECE:  # which `bytes` does not copy
            if self.length:
                yield self._data
            return
        for start in range(0, self.length, PIECE):
            yield self._data[start : start + PIECE]


class File:
    """A file object opened in binary mode, from where it stands to its end, as it is now.

    One that cannot be sought, as a pipe, has no length and is not read twice.
    """

    def __init__(self, file: Any) -> None:
        """Raises TypeError for a file of text."""
        if isinstance(file, io.TextIOBase):
            raise TypeError('expected a file of bytes, opened by "rb", got one of text')
        self._file = file
        self._start, self.length = _extent(file)
        self._used = False

    @property
    def replayable(self) -> bool:
        """Whether it can be sought."""
        return self._start is not None

    async def pieces(self) -> AsyncIterator[bytes]:
        """See `Source.pieces`. Raises EOFError when the file has become shorter meanwhile."""
        if self._start is not None:
            await self._call(self._file.seek, self._start)
        elif self._used:
            raise _used_up("a file that cannot be sought")
        self._used = True
        left = self.length
        while left is None or left > 0:
            piece = await self._call(self._file.read, PIECE if left is None else min(PIECE, left))
            if not isinstance(piece, _BYTES):
                raise TypeError(f"expected bytes from a file, got {type(piece).__name__}")
            if not piece:
                break
            left = None if left is None else left - len(piece)
            yield bytes(piece)
        if left:
            raise EOFError(f"expected {self.length} bytes of a file, it ended {left} bytes before")

    async def _call(self, function: Any, argument: int) -> Any:
        if isinstance(self._file, io.BytesIO):
            return function(argument)
        return await asyncio.to_thread(function, argument)


def _extent(file: Any) -> tuple[int | None, int | None]:
    """Where a file stands and how much is left of it; None where it cannot say."""
    try:
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        end = file.tell() if end is None else end  # what wraps a file may say nothing
        file.seek(start)
    except (AttributeError, OSError, ValueError):  # the last two are io.UnsupportedOperation's
        return None, None
    return start, max(0, end - start)


class Pieces:
    """An iterable of bytes, which is asked on the event loop; a list or tuple can be sent again."""

    def __init__(self, pieces: Iterable[Any]) -> None:
        self._pieces = pieces
        self._used = False
        self.replayable = isinstance(pieces, (list, tuple))
        self.length: int | None = None
        if self.replayable:
            self.length = sum(len(_checked(piece)) for piece in pieces)

    async def pieces(self) -> AsyncIterator[bytes]:
        """See `Source.pieces`. Raises TypeError for what is no bytes."""
        if self._used and not self.replayable:
            raise _used_up("an iterator")
        self._used = True
        for piece in self._pieces:
            if data := _checked(piece):
                yield data


class AsyncPieces:
    """An asynchronous iterable of bytes; a generator is closed when nobody wants more of it."""

    length = None
    replayable = False

    def __init__(self, pieces: AsyncIterable[Any]) -> None:
        self._pieces = pieces
        self._used = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """See `Source.pieces`. Raises TypeError for what is no bytes."""
        if self._used:
            raise _used_up("an asynchronous iterator")
        self._used = True
        try:
            async for piece in self._pieces:
                if data := _checked(piece):
                    yield data
        finally:
            if isinstance(self._pieces, AsyncGenerator):
                await self._pieces.aclose()


def source_of(content: object) -> Source:
    """Bytes, text (as UTF-8), a file object, or an iterable of bytes, asynchronous or not.

    Raises TypeError for anything else.
    """
    if isinstance(content, str):
        return Bytes(content.encode())
    if isinstance(content, _BYTES):
        return Bytes(bytes(content))
    if isinstance(content, AsyncIterable):
        return AsyncPieces(content)
    if callable(getattr(content, "read", None)):
        return File(content)
    if isinstance(content, Iterable) and not isinstance(content, dict):
        return Pieces(content)
    if isinstance(content, os.PathLike):
        # Whoever opens a file closes it, so it is not opened here.
        raise TypeError('expected a file, got its path: open(..., "rb") it, or read_bytes() of it')
    raise TypeError(
        "expected bytes, text, a file or an iterable of bytes as the content of a request,"
        f" got {type(content).__name__}"
    )


def _checked(piece: object) -> bytes:
    if not isinstance(piece, _BYTES):
        raise TypeError(f"expected bytes as a piece of a body, got {type(piece).__name__}")
    return bytes(piece)


def _used_up(what: str) -> RuntimeError:
    return RuntimeError(f"expected a body that can be sent again, got {what}, which was sent once")
