"""What a form says: `application/x-www-form-urlencoded` and `multipart/form-data`, read.

RFC 7578 for the latter, in the reading of browsers and of what bots' frameworks accept. Strict: a
form that is cut off or malformed is refused as a whole, since what it would have said is a guess.
Pure: a body in, fields and files out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_plus

from .charsets import charset_of
from .grammar import TOKEN, quote

__all__ = ["MAX_FIELD", "MAX_PARTS", "File", "parse"]

MAX_PARTS = 1_000
"""Fields that a form may have, and files that it may have."""
MAX_FIELD = 2**20
"""Bytes of a field's value; those of a file are bounded with the body alone."""
#: Bytes of a line in the head of a part, lines of a head, bytes of a boundary (RFC 2046 allows 70).
_MAX_LINE = 4_224
_MAX_LINES = 8
_MAX_BOUNDARY = 256

_MEDIA_TYPE = re.compile(rf"[ \t]*({TOKEN}/{TOKEN})[ \t]*+(?:;|$)")
# RFC 9110, 5.6.6. Clients leave blanks in a value without quotation marks, so they may stand there,
# but no such mark at its beginning.
_VALUE = r"\"(?:[^\"\\]|\\.)*+\"|(?!\")[^;]*+"
_PARAMETER = re.compile(
    rf";[ \t]*+(?:({TOKEN})[ \t]*+=[ \t]*+({_VALUE})[ \t]*+)?(?=;|\Z)", re.DOTALL
)
_URLENCODED = re.compile(rb"[^&]+")
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_PADDING = re.compile(rb"[ \t]*\r\n")


class File(NamedTuple):
    """A file of a form; `content_type` as it stood there, None if none did."""

    filename: str
    content: bytes
    content_type: str | None


Item = tuple[str, str | File]


def parse(content_type: str, body: bytes) -> list[Item] | None:
    """The fields and files of a form, in their order; None if `content_type` is not that of a form.

    Raises ValueError for a form that is malformed, cut off, or has more than it may have.
    """
    media_type = _MEDIA_TYPE.match(content_type)
    match media_type and media_type[1].lower():
        case "application/x-www-form-urlencoded":
            return list(_urlencoded(body))
        case "multipart/form-data":
            return _multipart(_parameters(content_type), body)
    return None


def _parameters(text: str) -> dict[str, str]:
    """The parameters behind a header's value (RFC 9110, 5.6.6).

    Raises ValueError for what is none, and for one that comes twice: parsers disagree about what
    that means.
    """
    # RFC 7578, 4.2: `name*=` is not for forms.
    parameters: dict[str, str] = {}
    position = text.find(";")
    while 0 <= position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise ValueError(f"expected a parameter of a form, got {quote(text[position:])}")
        position = match.end()
        if match[1] is not None:
            if (name := match[1].lower()) in parameters:
                raise ValueError(f"expected one parameter {name} of a form, got two")
            parameters[name] = _unquoted(match[2])
    return parameters


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text.rstrip(" \t")
    # Only these two: browsers write a backslash as it is, as in the path of a file.
    return re.sub(r'\\([\\"])', r"\1", text[1:-1])


def _urlencoded(body: bytes) -> Iterator[Item]:
    """Names and values, of which a name may stand without an equals sign."""
    for number, match in enumerate(_URLENCODED.finditer(body)):
        if number == MAX_PARTS:
            raise ValueError(f"expected at most {MAX_PARTS} fields in a form")
        if len(match[0]) > MAX_FIELD:
            raise ValueError(f"expected at most {MAX_FIELD} bytes in a field of a form")
        name, _, value = match[0].decode("latin-1").partition("=")
        yield unquote_plus(name), unquote_plus(value)


def _multipart(parameters: dict[str, str], body: bytes) -> list[Item]:
    boundary = parameters.get("boundary", "").encode("latin-1")
    if not 0 < len(boundary) <= _MAX_BOUNDARY:
        raise ValueError(f"expected a boundary of 1 to {_MAX_BOUNDARY} bytes, got {len(boundary)}")
    charset = charset_of(parameters.get("charset", "utf-8")) or "latin-1"
    items: list[Item] = []
    files = 0
    for head, content in _parts(body, b"\r\n--" + boundary):
        item = _item(_fields(head), content, charset)
        items.append(item)
        files += isinstance(item[1], File)
        if max(files, len(items) - files) > MAX_PARTS:
            raise ValueError(f"expected at most {MAX_PARTS} fields and {MAX_PARTS} files in a form")
    return items


def _parts(body: bytes, delimiter: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The head and the content of each part (RFC 2046, 5.1.1)."""
    # The first delimiter has no line end before it where nothing stands there.
    body = b"\r\n" + body.lstrip(b"\r\n")
    if not body.startswith(delimiter):
        raise ValueError("expected a form to begin with its boundary")
    position = len(delimiter)
    while not body.startswith(b"--", position):
        padding = _PADDING.match(body, position)
        if padding is None:
            raise ValueError("expected a line end after a boundary")
        start = body.find(b"\r\n\r\n", padding.end(), padding.end() + _MAX_LINES * _MAX_LINE)
        end = _find_delimiter(body, delimiter, start + 4)
        if start < 0 or end < 0:
            raise ValueError("expected a form that is complete, with a head to each part")
        yield body[padding.end() : start], body[start + 4 : end]
        position = end + len(delimiter)


def _find_delimiter(body: bytes, delimiter: bytes, position: int) -> int:
    """Where the next delimiter stands: what it begins with may be part of the content."""
    while (position := body.find(delimiter, position)) >= 0:
        after = position + len(delimiter)
        if body.startswith((b"--", b"\r\n", b" ", b"\t"), after):
            return position
        position = after
    return -1


def _fields(head: bytes) -> dict[bytes, bytes]:
    lines = head.split(b"\r\n")
    if len(lines) > _MAX_LINES:
        raise ValueError(f"expected at most {_MAX_LINES} headers of a part, got {len(lines)}")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        match = _LINE.fullmatch(line) if len(line) <= _MAX_LINE else None
        if match is None:
            raise ValueError(f'expected a header "Name: value" of a part, got {line[:60]!r}')
        if (name := match[1].lower()) in fields:
            raise ValueError(f"expected one header {name.decode()} of a part, got two")
        fields[name] = match[2].rstrip(b" \t")
    return fields


def _item(fields: dict[bytes, bytes], content: bytes, charset: str) -> Item:
    disposition = _parameters(fields.get(b"content-disposition", b"").decode("latin-1"))
    if "name" not in disposition:
        raise ValueError("expected a name in the Content-Disposition of a part (RFC 7578, 4.2)")
    name = _decode(disposition["name"].encode("latin-1"), charset)
    if "filename" in disposition:
        filename = _decode(disposition["filename"].encode("latin-1"), charset)
        kind = fields.get(b"content-type")
        return name, File(filename, content, None if kind is None else kind.decode("latin-1"))
    if len(content) > MAX_FIELD:
        raise ValueError(f"expected at most {MAX_FIELD} bytes in a field of a form")
    return name, _decode(content, charset)


def _decode(data: bytes, charset: str) -> str:
    """`data` as text; what is not of the charset is read as ISO 8859-1, which anything is."""
    try:
        return data.decode(charset)
    except UnicodeDecodeError:
        return data.decode("latin-1")
