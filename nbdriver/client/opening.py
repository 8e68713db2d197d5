"""A WebSocket's opening handshake as a client has it: what is asked, and what an answer means.

The handshake itself is `wire/handshake`'s and `wire/extensions`'; here is what stands around it in
a client: the headers that a caller adds, and the one kind of error that a wrong answer becomes. No
bytes, no connection, no time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import InvalidResponse, ProtocolViolation
from ..model import Headers, check_field
from ..wire import extensions
from ..wire.deflate import DeflateSettings, PerMessageDeflate
from ..wire.handshake import Opening, check_response, new_opening, request_headers

__all__ = ["Agreed", "Asked", "agree", "ask", "check_headers"]

#: Fields that make the handshake, or would give its request a body.
_OURS = frozenset(["connection", "content-length", "transfer-encoding", "upgrade"])


@dataclass(frozen=True, slots=True)
class Asked:
    """What a server is asked: `headers` are those of the whole request."""

    opening: Opening
    headers: tuple[tuple[str, str], ...]
    deflate: DeflateSettings | None


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a server's 101 has granted."""

    subprotocol: str | None
    extension: PerMessageDeflate | None


def check_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that a caller adds, seen to be such as may be added. Raises ValueError."""
    checked = [check_field(name, value) for name, value in headers]
    for name in (name.lower() for name, _ in checked):
        if name == "sec-websocket-protocol":
            raise ValueError(f"expected subprotocols=[...] in the place of the header {name}")
        if name in _OURS or name.startswith("sec-websocket-"):
            raise ValueError(f"expected no header {name}, the opening handshake sets it")
    if (hosts := sum(name.lower() == "host" for name, _ in checked)) > 1:
        raise ValueError(f"expected one Host header at most, got {hosts}")
    return checked


def ask(
    host: str,
    headers: Iterable[tuple[str, str]] = (),
    *,
    subprotocols: Iterable[str] = (),
    deflate: DeflateSettings | None = None,
) -> Asked:
    """A new opening, whose key is its own (RFC 6455, 4.1).

    `host` has its port with it, if not the usual one; a Host among the `headers` has its place.
    Raises ValueError for subprotocols that are no tokens, or not all different, and for headers
    that may not be added; TypeError for a text in the place of subprotocols.
    """
    if isinstance(subprotocols, str):
        raise TypeError(f"expected a list of subprotocols, got the text {subprotocols!r}")
    added = check_headers(headers)
    opening = new_opening(subprotocols, None if deflate is None else extensions.offer(deflate))
    host = next((value for name, value in added if name.lower() == "host"), host)
    others = [(name, value) for name, value in added if name.lower() != "host"]
    return Asked(opening, (*request_headers(opening, host), *others), deflate)


def agree(asked: Asked, http_version: str, headers: Headers) -> Agreed:
    """What a 101 means that answers what was asked.

    Raises InvalidResponse for one that does not, or grants what nobody asked for; neither is there
    a WebSocket then.
    """
    if http_version != "1.1":
        # RFC 9110, 7.8: an Upgrade in HTTP/1.0 means nothing.
        raise InvalidResponse(f"expected 101 in HTTP/1.1, got it in HTTP/{http_version}")
    try:
        accepted = check_response(101, headers, asked.opening)
        if accepted.extensions is None:
            return Agreed(accepted.subprotocol, None)
        # One that was not offered is refused by `check_response`.
        assert asked.deflate is not None
        extension = extensions.accept(accepted.extensions, asked.deflate)
    except ProtocolViolation as violation:
        raise InvalidResponse(violation.reason) from None
    return Agreed(accepted.subprotocol, extension)
