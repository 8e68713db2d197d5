"""A form with files as a body: `multipart/form-data` (RFC 7578), streamed from where the files are.

Names are written as browsers write them (the HTML standard, 4.10.21.8): UTF-8 as it is, a quotation
mark, CR and LF percent-encoded; and so is every other control character, which they leave. So no
name can end its header, or be one (CVE-2026-34514). A backslash is doubled, which they do not do
either: to most parsers a single one is gone. At the end of a name, where parsers disagree about
what it does to the quotation mark behind it, it is percent-encoded too.
"""

from __future__ import annotations

import mimetypes
import re
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import IO, Any, Final

from .sources import Bytes, Source, source_of
from .urls import items_of, text_of

__all__ = ["Field", "FileContent", "FileSpec", "Multipart", "fields_of", "files_of"]

FileContent = bytes | str | IO[bytes]
FileSpec = FileContent | tuple[str | None, FileContent] | tuple[str | None, FileContent, str | None]
"""A file: its content, or (file name, content), or (file name, content, content type)."""

_ESCAPES: Final = {code: f"%{code:02X}" for code in (*range(0x20), ord('"'), 0x7F)}
_ESCAPES[ord("\\")] = "\\\\"
# RFC 9110, 8.3.1, and RFC 5.5: what may stand in the header of a part, and is like a media type.
_CONTENT_TYPE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[\t\x20-\x7e\x80-\xff]+")
_ANY: Final = "application/octet-stream"


class Field:
    """One part: a field, or a file if it has a content type."""

    def __init__(
        self,
        name: str,
        source: Source,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> None:
        """Raises ValueError for a content type that could not stand in a header."""
        self.source = source
        lines = f'Content-Disposition: form-data; name="{_escaped(name)}"'
        if filename is not None:
            lines += f'; filename="{_escaped(filename)}"'
        if content_type is not None:
            if not _CONTENT_TYPE.fullmatch(content_type):
                raise ValueError(
                    "expected a content type such as text/plain, without control characters,"
                    f" got {content_type!r}"
                )
            lines += f"\r\nContent-Type: {content_type}"
        self.head = f"{lines}\r\n\r\n".encode()


def _escaped(name: str) -> str:
    """A name as it stands between quotation marks; ValueError for half of a pair."""
    inside = name.rstrip("\\")
    escaped = inside.translate(_ESCAPES) + "%5C" * (len(name) - len(inside))
    try:
        escaped.encode()
    except UnicodeEncodeError:
        raise ValueError(f"expected text as a name in a form, got {name!r}") from None
    return escaped


class Multipart:
    """All parts of a form, as a source of bytes."""

    def __init__(self, fields: Iterable[Field], boundary: str | None = None) -> None:
        """`boundary` is a random one if None: nobody can know it, and so write it into a part."""
        self.boundary = boundary or secrets.token_hex(16)
        self._sources = list(self._written(fields))

    def _written(self, fields: Iterable[Field]) -> Iterator[Source]:
        before = f"--{self.boundary}\r\n".encode()
        for field in fields:
            yield Bytes(before + field.head)
            yield field.source
            before = f"\r\n--{self.boundary}\r\n".encode()
        yield Bytes(before[:-2] + b"--\r\n")

    @property
    def content_type(self) -> str:
        """What the request says of it."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def length(self) -> int | None:
        """See `Source.length`: known if that of every part is."""
        total = 0
        for source in self._sources:
            if source.length is None:
                return None
            total += source.length
        return total

    @property
    def replayable(self) -> bool:
        """See `Source.replayable`: if every part is."""
        return all(source.replayable for source in self._sources)

    async def pieces(self) -> AsyncIterator[bytes]:
        """See `Source.pieces`."""
        for source in self._sources:
            async for piece in source.pieces():
                yield piece


def fields_of(data: Any) -> Iterator[Field]:
    """The fields of a form: pairs or a mapping, whose lists repeat a name; None is left out.

    Values are bytes, or what may stand in a query. Raises TypeError or ValueError.
    """
    for name, value in items_of(data):
        yield Field(name, source_of(value if isinstance(value, bytes) else text_of(value)))


def files_of(files: Any) -> Iterator[Field]:
    """The files of a form: pairs or a mapping of `FileSpec`s.

    Where no file name is given it is that of the file object, or that of the field; with None for
    one the part has none, and is a field to most servers. A content type that is not given is
    guessed by the file name. Raises TypeError or ValueError.
    """
    for name, spec in _pairs(files):
        match spec:
            case (None | str() as filename, content):
                content_type = None
            case (None | str() as filename, content, None | str() as content_type):
                pass
            case tuple():
                raise TypeError(
                    "expected (file name, content) or (file name, content, content type),"
                    f" got {len(spec)} elements ({', '.join(type(it).__name__ for it in spec)})"
                )
            case content:
                filename, content_type = _name_of(content) or name, None
        if filename is not None and content_type is None:
            content_type = mimetypes.guess_type(f"/{filename}")[0] or _ANY
        yield Field(name, source_of(content), filename, content_type)


def _pairs(items: Any) -> Iterator[tuple[str, Any]]:
    for item in items.items() if isinstance(items, Mapping) else items:
        match item:
            case (str(name), spec):
                yield name, spec
            case _:
                raise TypeError(
                    "expected files as a mapping or pairs, names as text,"
                    f" got {type(item).__name__}"
                )


def _name_of(content: object) -> str | None:
    """The name of a file object without its folder; one from a descriptor has a number, no name."""
    name = getattr(content, "name", None)
    return PurePath(name).name if isinstance(name, str) else None
