"""How a WebSocket ends: the close codes that have a meaning here, and what a Close may say.

RFC 6455, 7.4. Some codes are never sent: they tell our own side what it did not get.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ABNORMAL_CLOSURE",
    "GOING_AWAY",
    "INTERNAL_ERROR",
    "MESSAGE_TOO_BIG",
    "NORMAL_CLOSURE",
    "NO_STATUS",
    "POLICY_VIOLATION",
    "PROTOCOL_ERROR",
    "check_code",
    "clip_reason",
]

NORMAL_CLOSURE: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
"""The peer's Close had no code; never sent."""
ABNORMAL_CLOSURE: Final = 1006
"""No Close came at all; never sent."""
POLICY_VIOLATION: Final = 1008
MESSAGE_TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

# RFC 6455, 5.5: 125 bytes in a control frame, two of which are the code.
_MAX_REASON = 123


def check_code(code: int) -> None:
    """See whether a close code may be sent (RFC 6455, 7.4). Raises ValueError."""
    if not (1000 <= code <= 1003 or 1007 <= code <= 1013 or 3000 <= code <= 4999):
        raise ValueError(f"expected a close code of 1000-1003, 1007-1013 or 3000-4999, got {code}")


def clip_reason(reason: str) -> str:
    """As much of a reason as a Close can carry: 123 bytes of UTF-8, no character cut in two.

    Raises ValueError for text that UTF-8 cannot carry.
    """
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")
