"""What travels between the wire and the bots: Headers, Request, Response.

The parsers make a `Request`, an application answers with a `Response`; neither knows of sockets, so
the same objects serve the HTTP/1.1 server, the ASGI front and the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from .errors import HTTPError
from .logs import escape

__all__ = [
    "Address",
    "Headers",
    "Identity",
    "Request",
    "RequestHeaders",
    "Response",
    "check_field",
    "read_address",
    "refusal",
]

Address = tuple[str, int]
"""An IP address and a port."""


def read_address(name: object) -> Address | None:
    """The host and port in what a socket calls itself or its peer; a Unix socket has none."""
    return (name[0], name[1]) if isinstance(name, tuple) else None


# RFC 9110, 5.6.2 (token) and 5.5 (field-content; obs-text is what latin-1 leaves above 0x7f).
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff]+(?:[ \t]+[\x21-\x7e\x80-\xff]+)*)?")
#: What makes a text none: a character that may not stand there, or a blank at an end.
_NO_FIELD_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]|\A[ \t]|[ \t]\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
#: Characters of a name that is shared: no client has longer ones with every request.
_SHARED = 40
# What stands on a status line. RFC 9112, 4 allows HTAB and obs-text too, but no client needs them.
_PHRASE = re.compile(r"[\x20-\x7e]{1,200}")


@lru_cache(256)
def _shared(name: str) -> str:
    return name.lower()


def _lower(name: str) -> str:
    """A name in lower case, the same object for all who keep it, as each WebSocket does.

    Not interned: from Python 3.12 on such text may stay for ever, and this comes from outside.
    """
    return _shared(name) if len(name) <= _SHARED else name.lower()


class Headers:
    """Header fields in the order in which they stand; names are case-insensitive and may repeat.

    Names are kept in lower case; values are text, one character per byte (ISO 8859-1).
    """

    # Where no name repeats, as in nearly every request, a dict is all; else the lines stand in a
    # list as well.
    __slots__ = ("_last", "_lines")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        lines = [(_lower(name), value) for name, value in items]
        self._last = dict(lines)
        self._lines = None if len(self._last) == len(lines) else lines

    @classmethod
    def from_bytes(cls, items: Iterable[tuple[bytes, bytes]]) -> Headers:
        """The headers that a parser read, as bytes."""
        return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in items)

    @classmethod
    def from_unique(cls, values: dict[str, str]) -> Headers:
        """Headers of names in lower case, none of which repeats; `values` is kept, not copied."""
        headers = cls.__new__(cls)
        headers._last = values
        headers._lines = None
        return headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of a field; values of a repeated field are joined by ", " (RFC 9110, 5.3)."""
        if self._lines is None:
            return self._last.get(name.lower(), default)
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def get_all(self, name: str) -> list[str]:
        """Every value of a field, one for each line that had it."""
        name = name.lower()
        if name not in self._last:
            return []
        if self._lines is None:
            return [self._last[name]]
        return [value for key, value in self._lines if key == name]

    def repeats(self, name: str) -> bool:
        """Whether a field has more than one line."""
        return self._lines is not None and len(self.get_all(name)) > 1

    def items(self) -> Iterator[tuple[str, str]]:
        """Each field line as (name, value)."""
        return iter(self._last.items() if self._lines is None else self._lines)

    def joined(self) -> dict[str, str]:
        """A new dict of all fields, the values of a repeated one joined."""
        values = dict(self._last)
        if self._lines is not None:
            for name in values:
                # Cookie is the one field whose lines are not joined by a comma (RFC 9113, 8.2.3).
                separator = "; " if name == "cookie" else ", "
                values[name] = separator.join(self.get_all(name))
        return values

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._last

    def __len__(self) -> int:
        return len(self._last if self._lines is None else self._lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and list(self.items()) == list(other.items())

    def __repr__(self) -> str:
        return f"Headers({list(self.items())!r})"


class Identity:
    """Tells a connection from others; `shares` is what those whom it asks keep of it, each its own.

    Whoever keeps a request must not keep all of a connection, so this is all that a request has.
    """

    __slots__ = ("__weakref__", "shares")

    def __init__(self) -> None:
        self.shares: dict[object, Any] = {}


@dataclass(slots=True, eq=False)
class Request:
    """A request as it was received, its body complete.

    `target` is the request target as sent. `client` is the peer's address, None where there is none
    (a Unix socket); behind a trusted proxy it is what that says of the client, with port 0 where it
    says none, and so are `scheme` and the Host among the headers. `connection` is the same object
    for all requests of one connection, None if nobody can tell.
    """

    method: str
    target: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    http_version: str = "1.1"
    scheme: str = "http"
    client: Address | None = None
    connection: Identity | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The target up to its query, percent-encoded as it was sent."""
        return self.target.partition("?")[0]

    @property
    def query_string(self) -> str:
        """The target behind its first question mark, percent-encoded as it was sent."""
        return self.target.partition("?")[2]

    def query(self, name: str) -> str | None:
        """The first value of a query parameter, percent-decoded; None if it is not there."""
        for key, value in parse_qsl(self.query_string, keep_blank_values=True):
            if key == name:
                return value
        return None

    def __str__(self) -> str:
        return f"{self.method} {escape(self.path)}"


class RequestHeaders(dict[str, str]):
    """What `Bot.check_permission` gets as `headers`: a plain dict, keys in lower case.

    `request` is the request behind it, for an adapter that needs the query or the body as received.
    """

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        headers = request.headers
        super().__init__(headers._last if headers._lines is None else headers.joined())
        self.request = request


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Response:
    """An answer: status, headers, and a body of bytes (text is encoded as UTF-8).

    `reason` is the phrase on the status line, the standard one if not given. Raises ValueError for
    a header that cannot stand on the wire (RFC 9110, 5.5), so that nothing can be injected by one;
    and because an answer does not change once it is made, nothing can be injected later either.
    """

    status_code: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    reason: str

    def __init__(
        self,
        status_code: int = 200,
        body: bytes | str = b"",
        headers: Iterable[tuple[str, str]] = (),
        reason: str | None = None,
    ) -> None:
        if not isinstance(status_code, int) or not 200 <= status_code <= 999:
            raise ValueError(f"expected the status of a final response, got {status_code!r}")
        if not isinstance(body, bytes | str):
            raise TypeError(f"expected bytes or str as the body, got {type(body).__name__}")
        fix = object.__setattr__
        fix(self, "status_code", status_code)
        fix(self, "body", body.encode() if isinstance(body, str) else body)
        fix(self, "headers", tuple(check_field(name, value) for name, value in headers))
        fix(self, "reason", _phrase(status_code, reason))

    def __repr__(self) -> str:
        return f"<Response {self.status_code} {self.reason}>"


def check_field(name: str, value: str) -> tuple[str, str]:
    """The same header, if it can stand on the wire (RFC 9110, 5.1 and 5.5); raises ValueError."""
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"expected a header name (RFC 9110, 5.1), got {name!r}")
    if not _FIELD_VALUE.fullmatch(value):
        # Which may be a token that was read with the end of its line.
        wrong = _NO_FIELD_VALUE.search(value)
        assert wrong is not None
        raise ValueError(
            f"expected a value for {name} without control characters, outer blanks or characters"
            f" beyond ISO 8859-1 (RFC 9110, 5.5), got {wrong[0]!r} at position {wrong.start()}"
        )
    return name, value


def _phrase(status_code: int, reason: str | None) -> str:
    """The reason phrase: `reason` where it can stand on a status line, else the standard one."""
    if reason and _PHRASE.fullmatch(reason):
        return reason
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return ""


def refusal(error: BaseException) -> Response:
    """The answer to a request that ended in `error`: the one place where errors become statuses.

    An HTTPError tells its status, reason and headers; one with a status that refuses nothing, or
    with headers that cannot be sent, and any other exception is a 500 that tells nothing of what is
    inside.
    """
    try:
        if isinstance(error, HTTPError) and 400 <= error.status_code <= 599:
            reason = _one_line(error.reason) or _phrase(error.status_code, None)
            headers = [*_TEXT, *error.headers]
            return Response(error.status_code, f"{reason}\n", headers, reason)
    except (TypeError, ValueError):
        pass
    return Response(500, "Internal Server Error\n", _TEXT)


_TEXT = (("content-type", "text/plain; charset=utf-8"),)


def _one_line(text: Any) -> str:
    """`text` without line ends, escape characters or what UTF-8 cannot carry."""
    return _CONTROL.sub(" ", str(text).encode(errors="replace").decode()).strip()
