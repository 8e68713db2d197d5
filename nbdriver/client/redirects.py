"""What follows an answer that leads elsewhere, and what must not go along; pure.

RFC 9110, 15.4, says what may be done; the Fetch standard (4.4) says what everybody does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from ..errors import InvalidResponse, InvalidURL
from ..model import Headers
from .urls import URL

__all__ = ["Step", "follow", "location_of"]

_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
#: Headers that are about a body. The Fetch standard names four of Content-*; all are.
_OF_BODY: Final = re.compile(r"content-.*|transfer-encoding|trailer|expect|digest", re.IGNORECASE)
#: Headers that are for one host, and those whose very names say that what they hold is secret.
_OF_HOST: Final = re.compile(
    r"host|.*[-_]key|.*(?:auth|cookie|token|secret|passw|credential|session|api-?key|signature).*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Step:
    """The request that follows a redirect.

    `keeps_credentials` is whether it goes to where the one before went: if not, `headers` are
    without any, and so must be what else is added (credentials and cookies given with the request).
    """

    url: URL
    method: str
    headers: tuple[tuple[str, str], ...]
    keeps_body: bool
    keeps_credentials: bool


def location_of(status_code: int, headers: Headers) -> str | None:
    """Where an answer leads; None if it is an answer, and not the way to one.

    Raises InvalidResponse where it leads to several places.
    """
    if status_code not in _STATUSES or "location" not in headers:
        return None
    locations = set(headers.get_all("location"))
    if len(locations) > 1:
        raise InvalidResponse(f"expected one Location, got {len(locations)} that differ")
    return locations.pop()


def follow(
    status_code: int, location: str, url: URL, method: str, headers: Iterable[tuple[str, str]]
) -> Step:
    """The request that follows one for `url`, which was answered with `location`.

    `headers` are those of the request. Raises InvalidResponse where the location is no URL of ours.
    """
    try:
        target = url.join(_as_text(location)).with_fragment_of(url)
    except InvalidURL as error:
        raise InvalidResponse(f"cannot follow a redirect from {url.host_header}: {error}") from None
    following = _method_after(status_code, method)
    keeps_credentials = _is_same_place(url, target)
    if keeps_credentials and target.userinfo is None:
        # Servers name themselves in full, and nobody else's credentials by that.
        target = replace(target, userinfo=url.userinfo)
    kept = tuple(
        (name, value)
        for name, value in headers
        if (following == method or not _OF_BODY.fullmatch(name))
        and (keeps_credentials or not _OF_HOST.fullmatch(name))
    )
    return Step(target, following, kept, following == method, keeps_credentials)


def _as_text(location: str) -> str:
    """A Location, one character per byte, as text: bytes beyond ASCII should not stand there, do,
    and are UTF-8 nearly always.
    """
    raw = location.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return quote(raw, bytes(range(0x20, 0x7F)).decode())


def _method_after(status_code: int, method: str) -> str:
    """RFC 9110, 15.4.2 to 15.4.4: a POST becomes a GET; after 303 whatever is no HEAD does."""
    if status_code in (301, 302) and method == "POST":
        return "GET"
    if status_code == 303 and method not in ("GET", "HEAD"):
        return "GET"
    return method


def _is_same_place(one: URL, other: URL) -> bool:
    """Whether what one URL may be told, the other may: they have an origin, or the other has TLS.

    That is, `http://a/` may lead to `https://a/`: who reads along there has read it before.
    """
    upgraded = one.origin._replace(scheme="https", port=443)
    is_plain = one.origin == ("http", one.host, 80)
    return other.origin == one.origin or (is_plain and other.origin == upgraded)
