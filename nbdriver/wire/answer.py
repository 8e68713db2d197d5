"""An answer's head, written: which fields it has, and the bytes of it in one step.

h11 writes the answers to requests that it has read. To a plain request, which it has not, what it
would write is known, and is the same from event to event but for the Date, so it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from ..model import Response

__all__ = ["fields_of", "has_body", "write"]

#: What the server alone decides, whatever an application says.
_OURS = frozenset(["connection", "content-length", "date", "server", "transfer-encoding"])
#: Statuses of answers without a body (RFC 9110, 6.4.1), and so without a length (8.6).
_NO_BODY = frozenset([204, 304])
#: Heads that are kept; with the next second come others.
_KEPT = 32

_Fields = tuple[tuple[str, str], ...]


def has_body(response: Response) -> bool:
    """Whether there is a body to an answer, if only an empty one."""
    return response.status_code not in _NO_BODY


def fields_of(
    response: Response, *, date: str, server: str | None, close: bool
) -> list[tuple[str, str]]:
    """All fields of an answer in their order; for the arguments see `Exchange.answer`."""
    length = len(response.body) if has_body(response) else None
    return list(_fields(response.headers, length, date, server, close))


def write(
    response: Response, *, date: str, server: str | None, close: bool, to_head: bool
) -> bytes:
    """The answer to a plain request; for the arguments see `Exchange.answer`."""
    body = None if response.status_code in _NO_BODY else response.body
    head = _head(
        response.status_code,
        response.reason,
        response.headers,
        None if body is None else len(body),
        date,
        server,
        close,
    )
    return head + body if body and not to_head else head


@lru_cache(_KEPT)
def _head(
    status_code: int,
    reason: str,
    headers: _Fields,
    length: int | None,
    date: str,
    server: str | None,
    close: bool,
) -> bytes:
    fields = sorted(_fields(headers, length, date, server, close), key=_is_not_host)
    # Put together, not formatted: text that is an Enum too has a format of its own.
    lines = [f"HTTP/1.1 {status_code:d} " + reason]
    lines += [name + ": " + value for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _is_not_host(field: tuple[str, str]) -> bool:
    """What sorts Host first, where h11 writes it (RFC 9110, 7.2, though of requests)."""
    return field[0].lower() != "host"


def _fields(
    headers: _Fields, length: int | None, date: str, server: str | None, close: bool
) -> Iterator[tuple[str, str]]:
    yield "Date", date
    if server is not None:
        yield "Server", server
    options = ["close"] if close else []
    for name, value in headers:
        if name.lower() not in _OURS:
            yield name, value
        if name.lower() == "upgrade":
            options.append("Upgrade")  # RFC 9110, 7.8
    if length is not None:
        yield "Content-Length", str(length)
    if options:
        yield "Connection", ", ".join(options)
