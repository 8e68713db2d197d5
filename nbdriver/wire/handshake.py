"""The opening handshake of a WebSocket (RFC 6455, section 4), both roles.

wsproto has one, but it lets through what must not open a connection (any key, two keys, HTTP/1.0, a
request with a body), and answers non-ASCII bytes with a UnicodeDecodeError. Here a request or a
response goes in, and headers or a refusal come out; bytes, sockets and time are elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import HTTPError, ProtocolViolation
from ..model import Headers, Request
from .closing import PROTOCOL_ERROR
from .grammar import is_token, quote

__all__ = [
    "Accepted",
    "Opening",
    "accept_headers",
    "accept_token",
    "check",
    "check_response",
    "new_opening",
    "request_headers",
    "wants_websocket",
]

VERSION = "13"

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# 16 bytes in base64: 21 digits, one whose four lowest bits are zero, the padding (RFC 4648, 3.5).
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
_ASCII_FIELDS = (
    "host",
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a client asks for: checked by a server, or made by a client.

    `subprotocols` are in the client's order of preference; `extensions` are the values of its
    Sec-WebSocket-Extensions lines, as they stand.
    """

    key: str
    subprotocols: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a server granted: one of the subprotocols, and extensions as its header names them."""

    subprotocol: str | None = None
    extensions: str | None = None


def wants_websocket(headers: Headers) -> bool:
    """Whether a request asks to become a WebSocket at all (RFC 9110, 7.8): both fields say so."""
    return "websocket" in _tokens(headers, "upgrade") and "upgrade" in _tokens(
        headers, "connection"
    )


def _tokens(headers: Headers, name: str) -> list[str]:
    """Every line of a field read as one list (RFC 9110, 5.6.1), in lower case."""
    elements = ",".join(headers.get_all(name)).lower().split(",")
    return [token for element in elements if (token := element.strip(" \t"))]


def check(request: Request) -> Opening:
    """See whether a request may open a WebSocket (RFC 6455, 4.2.1). Raises HTTPError if not.

    405 for a method other than GET, 426 where the upgrade or the version is not what we speak, 400
    for anything else that is wrong.
    """
    headers = request.headers
    if request.method != "GET":
        raise HTTPError(
            405, f"expected GET for a WebSocket, got {quote(request.method)}", [("Allow", "GET")]
        )
    if request.http_version != "1.1":
        # RFC 9110, 7.8: an Upgrade in HTTP/1.0 means nothing.
        raise HTTPError(400, f"expected HTTP/1.1 for a WebSocket, got {request.http_version}")
    _check_ascii(headers)
    if not wants_websocket(headers):
        raise HTTPError(
            426,
            'expected "Upgrade: websocket" and "Connection: Upgrade", this is a WebSocket address',
            [("Upgrade", "websocket")],
        )
    _check_no_body(headers)
    _check_version(headers.get_all("sec-websocket-version"))
    key = _read_key(headers.get_all("sec-websocket-key"))
    subprotocols = _read_subprotocols(headers.get_all("sec-websocket-protocol"))
    return Opening(key, subprotocols, tuple(headers.get_all("sec-websocket-extensions")))


def _check_ascii(headers: Headers) -> None:
    for name in _ASCII_FIELDS:
        for value in headers.get_all(name):
            if not value.isascii():
                raise HTTPError(400, f"expected ASCII characters as {name}, got {quote(value)}")


def _check_no_body(headers: Headers) -> None:
    """What follows an opening request are frames, so a body would be two things at once."""
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise HTTPError(400, "expected no body in a request that opens a WebSocket")


def _check_version(versions: list[str]) -> None:
    """RFC 6455, 4.2.2 and 4.4: another version is told ours; none at all opens nothing."""
    if not versions:
        raise HTTPError(400, f"expected Sec-WebSocket-Version: {VERSION}, got none")
    if versions != [VERSION]:
        raise HTTPError(
            426,
            f"expected Sec-WebSocket-Version: {VERSION} once, got {quote(', '.join(versions))}",
            [("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION)],
        )


def _read_key(keys: list[str]) -> str:
    """RFC 6455, 11.3.1: one key; 4.1: 16 bytes in base64."""
    if len(keys) != 1:
        raise HTTPError(400, f"expected one Sec-WebSocket-Key, got {len(keys)}")
    if not _KEY.fullmatch(keys[0]):
        raise HTTPError(
            400, f"expected 16 bytes in base64 as Sec-WebSocket-Key, got {quote(keys[0])}"
        )
    return keys[0]


def _read_subprotocols(values: list[str]) -> tuple[str, ...]:
    """RFC 6455, 4.1 and 11.3.4: every line as one list, of tokens that are all different."""
    if not values:
        return ()
    elements = [element.strip(" \t") for element in ",".join(values).split(",")]
    try:
        # RFC 9110, 5.6.1.2: empty elements of a list are passed over.
        return _checked_subprotocols(filter(None, elements), at_least=1)
    except ValueError as error:
        raise HTTPError(400, str(error)) from None


def _checked_subprotocols(names: Iterable[str], *, at_least: int = 0) -> tuple[str, ...]:
    """The names, seen to be tokens, each once. Raises ValueError."""
    subprotocols = tuple(names)
    for name in subprotocols:
        if not is_token(name):
            raise ValueError(f"expected a token as subprotocol, got {quote(name)}")
    if len(set(subprotocols)) < len(subprotocols):
        raise ValueError(f"expected each subprotocol once, got {quote(', '.join(subprotocols))}")
    if len(subprotocols) < at_least:
        raise ValueError("expected a subprotocol in Sec-WebSocket-Protocol, got none")
    return subprotocols


def accept_token(key: str) -> str:
    """Sec-WebSocket-Accept: that the server read this very key (RFC 6455, 4.2.2, 5.4)."""
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def accept_headers(
    opening: Opening, subprotocol: str | None = None, deflate_response: str | None = None
) -> list[tuple[str, str]]:
    """The headers of the 101 that opens the WebSocket (RFC 6455, 4.2.2).

    `deflate_response` is what `extensions.negotiate` gave. Raises ValueError for a subprotocol that
    the client did not offer, which would make it fail the connection (4.1).
    """
    if subprotocol is not None and subprotocol not in opening.subprotocols:
        offered = ", ".join(opening.subprotocols) or "none"
        raise ValueError(
            f"expected a subprotocol that the client offers ({offered}), got {subprotocol!r}"
        )
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_token(opening.key)),
    ]
    if subprotocol is not None:
        headers.append(("Sec-WebSocket-Protocol", subprotocol))
    if deflate_response is not None:
        headers.append(("Sec-WebSocket-Extensions", deflate_response))
    return headers


def new_opening(subprotocols: Iterable[str] = (), deflate_offer: str | None = None) -> Opening:
    """A client's opening, with a key chosen at random for this one connection (RFC 6455, 4.1).

    `deflate_offer` is what `extensions.offer` gave. Raises ValueError for subprotocols that are no
    tokens, or not all different.
    """
    key = base64.b64encode(os.urandom(16)).decode("ascii")
    extensions = () if deflate_offer is None else (deflate_offer,)
    return Opening(key, _checked_subprotocols(subprotocols), extensions)


def request_headers(opening: Opening, host: str) -> list[tuple[str, str]]:
    """The headers of a client's request; `host` has its port with it, if not the usual one."""
    headers = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", opening.key),
        ("Sec-WebSocket-Version", VERSION),
    ]
    if opening.subprotocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(opening.subprotocols)))
    headers += [("Sec-WebSocket-Extensions", value) for value in opening.extensions]
    return headers


def check_response(status_code: int, headers: Headers, opening: Opening) -> Accepted:
    """See whether a server's answer opens the WebSocket (RFC 6455, 4.1, the list of six).

    What it says of extensions is for `extensions.accept` to judge. Raises ProtocolViolation for
    anything that was not asked for, or is missing; a status that is an answer of its own (a
    redirect, a 401) is for the caller to look at before.
    """
    if status_code != 101:
        raise _violation("the status 101", str(status_code))
    if _tokens(headers, "upgrade") != ["websocket"]:
        raise _violation("Upgrade: websocket", headers.get("upgrade"))
    if "upgrade" not in _tokens(headers, "connection"):
        raise _violation("Connection: Upgrade", headers.get("connection"))
    if headers.get_all("sec-websocket-accept") != [accept_token(opening.key)]:
        raise _violation("the Sec-WebSocket-Accept of our key", headers.get("sec-websocket-accept"))
    subprotocol = headers.get("sec-websocket-protocol")
    if subprotocol is not None and subprotocol not in opening.subprotocols:
        offered = ", ".join(opening.subprotocols) or "none"
        raise _violation(f"one of the subprotocols offered ({offered})", subprotocol)
    extensions = headers.get("sec-websocket-extensions")
    if extensions is not None and not opening.extensions:
        raise _violation("no extension, as none was offered", extensions)
    return Accepted(subprotocol, extensions)


def _violation(expected: str, got: str | None) -> ProtocolViolation:
    shown = "none" if got is None else quote(got)
    return ProtocolViolation(PROTOCOL_ERROR, f"expected {expected}, got {shown}")
