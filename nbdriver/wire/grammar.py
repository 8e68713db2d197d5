"""What the opening handshake and its extensions share: tokens, and how text is quoted.

One spelling of each, so that no two modules can disagree about what a token is.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["TOKEN", "TOKEN_CHARACTER", "is_token", "quote"]

TOKEN_CHARACTER: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
"""The pattern of tchar (RFC 9110, 5.6.2)."""
TOKEN: Final = rf"{TOKEN_CHARACTER}++"
"""The pattern of a token."""

_TOKEN = re.compile(TOKEN)
_QUOTED = 60


def is_token(text: str) -> bool:
    """Whether `text` is a token and nothing else."""
    return _TOKEN.fullmatch(text) is not None


def quote(text: str) -> str:
    """`text` from outside as it may stand in a message: ASCII alone, and not too much of it."""
    return ascii(text[:_QUOTED]) + ("..." if len(text) > _QUOTED else "")
