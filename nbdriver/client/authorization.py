"""Who a request is from, as its headers say it: Basic authentication (RFC 7617); pure."""

from __future__ import annotations

import base64
import re
from typing import Final

from .urls import URL

__all__ = ["Credentials", "authorization", "basic"]

Credentials = tuple[str, str]
"""A name and a password."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def basic(username: str, password: str) -> str:
    """The value of Authorization, or Proxy-Authorization, for a name and a password, as UTF-8.

    Raises ValueError for control characters, and for a colon in the name (RFC 7617, 2).
    """
    if ":" in username or _CONTROL.search(username + password):
        raise ValueError(
            "expected a name and a password without control characters, and no colon in the name"
        )
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def authorization(
    url: URL, given: Credentials | None = None, default: Credentials | None = None
) -> str | None:
    """The value of Authorization for `url`; None for a request that is from nobody.

    What was given with the request counts more than what stands in its URL, and that more than a
    `default`. Raises ValueError as `basic` does.
    """
    if given is None and url.userinfo is not None:
        given = (url.username or "", url.password or "")
    credentials = default if given is None else given
    return None if credentials is None else basic(*credentials)
