"""What a request carries, in all the ways in which a person may say it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import IO, Any
from urllib.parse import urlencode

from .. import codec
from .multipart import FileSpec, Multipart, fields_of, files_of
from .sources import Bytes, Source, source_of
from .urls import Params, items_of, text_of

__all__ = ["Content", "Data", "Files", "RawContent", "content_of"]

RawContent = bytes | str | IO[bytes] | Iterable[bytes] | AsyncIterable[bytes]
"""A body as it is."""

Data = Params | RawContent
"""A form; or a body as it is, as `content`, for those who are used to that."""

Files = Mapping[str, FileSpec] | Iterable[tuple[str, FileSpec]]
"""The files of a form, by the names of their fields."""

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"


class Content:
    """A body to send: `headers` that describe it, `length` (None if unknown), and its `pieces`."""

    __slots__ = ("_source", "headers", "length")

    def __init__(self, source: Source, content_type: str | None) -> None:
        self._source = source
        self.headers = () if content_type is None else (("content-type", content_type),)
        self.length = source.length

    @property
    def replayable(self) -> bool:
        """Whether `pieces` may be asked for again, for a redirect or over another connection."""
        return self._source.replayable

    def pieces(self) -> AsyncIterator[bytes]:
        """The body from its beginning, in pieces, none of them empty.

        Raises what its source does, as OSError for a file; RuntimeError for a second time unless
        it is `replayable`.
        """
        return self._source.pieces()


def content_of(
    *,
    content: RawContent | None = None,
    json: Any = None,
    data: Data | None = None,
    files: Files | None = None,
) -> Content | None:
    """What a request carries; None if it is nothing.

    - `content`: bytes, text as UTF-8, a file object (from where it stands), or an iterable of
      bytes, asynchronous or not.
    - `json`: whatever JSON can hold; None is none, so write `content="null"`.
    - `data`: a form: pairs or a mapping, whose lists repeat a name; None is left out, a bool is
      "true" or "false". Bytes alone and the like are taken as `content`.
    - `files`: the form is `multipart/form-data`, with the fields of `data` before the files.

    Raises TypeError or ValueError for what cannot be sent, or for two things at once.
    """
    given = {"content": content, "json": json, "data": data, "files": files or None}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1 and names != ["data", "files"]:
        raise TypeError(f"expected one of content, json, data and files, got {' and '.join(names)}")
    if files:
        return _multipart(data, files)
    if json is not None:
        return Content(Bytes(codec.dumps(json).encode()), _JSON)
    if data is not None:
        return _form(data)
    return None if content is None else _raw(content)


def _raw(content: Any) -> Content:
    return Content(source_of(content), _TEXT if isinstance(content, str) else None)


def _is_form(data: Any) -> bool:
    """Whether it is a mapping or pairs: an iterator is a body, not to be looked into."""
    if isinstance(data, Mapping):
        return True
    return isinstance(data, (list, tuple)) and all(isinstance(it, (tuple, list)) for it in data)


def _form(data: Any) -> Content:
    if not _is_form(data):
        return _raw(data)
    pairs = [(k, v if isinstance(v, bytes) else text_of(v)) for k, v in items_of(data)]
    return Content(Bytes(urlencode(pairs).encode()), _FORM)


def _multipart(data: Any, files: Files) -> Content:
    if data is not None and not _is_form(data):
        raise TypeError(
            f"expected the form beside files as a mapping or pairs, got {type(data).__name__}"
        )
    multipart = Multipart([*fields_of(data or ()), *files_of(files)])
    return Content(multipart, multipart.content_type)
