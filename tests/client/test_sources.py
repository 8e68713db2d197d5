"""Sources of a body: their length, and whether and from where they begin anew."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tempfile
import threading
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbdriver.client.sources import PIECE, Source, source_of


async def read(source: Source) -> bytes:
    pieces = [piece async for piece in source.pieces()]
    assert all(pieces)
    assert all(type(piece) is bytes for piece in pieces)
    return b"".join(pieces)


async def generated(*pieces: Any) -> AsyncIterator[Any]:
    for piece in pieces:
        yield piece


LARGE = os.urandom(2 * PIECE + 5)


@pytest.mark.parametrize(
    ("content", "data"),
    [
        (b"ab", b"ab"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        ("中文", "中文".encode()),
        (b"", b""),
        ("", b""),
        (LARGE, LARGE),
        ([b"a", b"", bytearray(b"b")], b"ab"),
        ((b"a", memoryview(b"b")), b"ab"),
        ([], b""),
        (io.BytesIO(b"ab"), b"ab"),
        (io.BytesIO(LARGE), LARGE),
        (io.BytesIO(), b""),
    ],
)
async def test_what_is_in_memory_has_a_length_and_can_be_sent_again(
    content: Any, data: bytes
) -> None:
    source = source_of(content)
    assert source.length == len(data)
    assert source.replayable
    assert await read(source) == await read(source) == data


@pytest.mark.parametrize(
    "content", [iter([b"a", b"", b"b"]), (it for it in (b"a", b"b")), generated(b"a", b"", b"b")]
)
async def test_an_iterator_has_no_length_and_is_sent_once(content: Any) -> None:
    source = source_of(content)
    assert source.length is None
    assert not source.replayable
    assert await read(source) == b"ab"
    with pytest.raises(
        RuntimeError, match=r"a body that can be sent again, got an .*, which was se"
    ):
        await read(source)


@pytest.mark.parametrize("content", [1, None, {"a": 1}, object()])
def test_what_is_no_source_is_refused(content: Any) -> None:
    with pytest.raises(TypeError, match="expected bytes, text, a file or an iterable of bytes"):
        source_of(content)


@pytest.mark.parametrize("content", [iter(["a"]), generated("a"), iter([1]), generated(None)])
async def test_a_piece_that_is_no_bytes_is_refused_when_it_comes(content: Any) -> None:
    with pytest.raises(TypeError, match="expected bytes as a piece of a body, got"):
        await read(source_of(content))


@pytest.mark.parametrize("content", [["a"], [b"a", 1], [("a", "b")]])
def test_a_list_that_holds_no_bytes_is_refused_at_once(content: Any) -> None:
    with pytest.raises(TypeError, match="expected bytes as a piece of a body, got"):
        source_of(content)


async def test_what_an_iterator_raises_is_raised() -> None:
    def failing() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await read(source_of(failing()))


# Files.


async def test_a_generator_is_closed_when_nobody_wants_more_of_it() -> None:
    closed = list[bool]()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    pieces = source_of(endless()).pieces()
    assert await anext(pieces) == b"x"
    assert isinstance(pieces, AsyncGenerator)
    await pieces.aclose()
    assert closed == [True]


class NoGenerator:
    """An asynchronous iterator that cannot be closed."""

    def __init__(self) -> None:
        self._left = [b"a", b"b"]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)


async def test_what_is_iterated_over_may_be_no_generator() -> None:
    assert await read(source_of(NoGenerator())) == b"ab"


async def test_a_file_is_sent_from_where_it_stands_and_so_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1234" + LARGE)
    with path.open("rb") as file:
        file.seek(4)
        source = source_of(file)
        assert (source.length, source.replayable, file.tell()) == (len(LARGE), True, 4)
        assert await read(source) == await read(source) == LARGE
        pieces = source.pieces()
        assert await anext(pieces) == LARGE[:PIECE]  # and no further: a redirect came
        assert await read(source) == LARGE


async def test_a_file_beyond_its_end_is_empty() -> None:
    file = io.BytesIO(b"ab")
    file.seek(5)
    source = source_of(file)
    assert source.length == 0
    assert await read(source) == b""


async def test_one_file_can_be_two_sources() -> None:
    file = io.BytesIO(b"ab")
    one, two = source_of(file), source_of(file)
    assert await read(one) + await read(two) == b"abab"


@pytest.mark.parametrize("make", [tempfile.SpooledTemporaryFile, tempfile.TemporaryFile])
async def test_a_temporary_file_has_a_length(make: Any) -> None:
    with make() as file:
        file.write(b"ab")
        file.seek(0)
        source = source_of(file)
        assert (source.length, source.replayable) == (2, True)
        assert await read(source) == await read(source) == b"ab"


async def test_a_file_whose_seek_says_nothing_is_asked_where_it_stands() -> None:
    class Quiet(io.BytesIO):
        def seek(self, *arguments: int) -> None:  # type: ignore[override]  # as some wrappers do
            super().seek(*arguments)

    source = source_of(Quiet(b"ab"))
    assert source.length == 2
    assert await read(source) == b"ab"


async def test_a_pipe_has_no_length_and_is_sent_once() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"ab")
    os.close(writing)
    with open(reading, "rb") as file:  # noqa: PTH123 # a descriptor has no path
        source = source_of(file)
        assert (source.length, source.replayable) == (None, False)
        assert await read(source) == b"ab"
        with pytest.raises(RuntimeError, match="got a file that cannot be sought, which was sent"):
            await read(source)


async def test_what_can_only_be_read_is_a_file() -> None:
    class Readable:
        def __init__(self) -> None:
            self._pieces = [b"a", bytearray(b"b"), b""]

        def read(self, size: int) -> Any:
            return self._pieces.pop(0)

    source = source_of(Readable())
    assert (source.length, source.replayable) == (None, False)
    assert await read(source) == b"ab"


async def test_a_compressed_file_is_sent_as_what_is_in_it() -> None:
    with gzip.open(io.BytesIO(gzip.compress(b"ab"))) as file:
        assert await read(source_of(file)) == b"ab"


def test_a_file_of_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with (
        (tmp_path / "a").open(encoding="utf-8") as file,
        pytest.raises(TypeError, match='expected a file of bytes, opened by "rb", got one of text'),
    ):
        source_of(file)
    with pytest.raises(TypeError, match="got one of text"):
        source_of(io.StringIO("a"))


async def test_a_file_that_reads_something_else_is_refused() -> None:
    class Text:
        def read(self, size: int) -> str:
            return "a"

    with pytest.raises(TypeError, match="expected bytes from a file, got str"):
        await read(source_of(Text()))


async def test_a_closed_file_is_the_sender_s_mistake(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"ab")
    with (tmp_path / "a").open("rb") as file:
        source = source_of(file)
    with pytest.raises(ValueError, match="closed file"):
        await read(source)


async def test_a_file_that_has_grown_is_sent_as_it_was() -> None:
    file = io.BytesIO(b"ab")
    source = source_of(file)
    file.seek(0, os.SEEK_END)
    file.write(b"c")
    assert await read(source) == b"ab"


async def test_a_file_that_has_shrunk_is_an_error() -> None:
    file = io.BytesIO(b"abc")
    source = source_of(file)
    file.truncate(1)
    with pytest.raises(EOFError, match="expected 3 bytes of a file, it ended 2 bytes before"):
        await read(source)


async def test_a_file_is_read_beside_the_event_loop() -> None:
    """While a read waits, the loop goes on: it is the loop that lets the read end."""
    may_end = threading.Event()

    class Slow(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            if may_end.is_set():
                return b""
            assert may_end.wait(30)
            return b"a"

    reading = asyncio.ensure_future(read(source_of(Slow())))
    asyncio.get_running_loop().call_soon(may_end.set)
    assert await reading == b"a"


async def test_a_large_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    path, size = tmp_path / "a", 32 * 2**20
    with path.open("wb") as file:
        file.truncate(size)
    with path.open("rb") as file:
        source = source_of(file)
        tracemalloc.start()
        try:
            sent = 0
            async for piece in source.pieces():
                sent += len(piece)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sent == size
    assert peak < 8 * PIECE


def test_a_path_is_no_file_and_the_error_says_how_to_make_it_one() -> None:
    with pytest.raises(TypeError, match=r'^expected a file, got its path: open\(\.\.\., "rb"\)'):
        source_of(Path("secret.txt"))
