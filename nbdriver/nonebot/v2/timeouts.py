"""What NoneBot's time limits mean to our client, over its releases.

A limit may be a number, None, or from 2.4 on a `Timeout` of several. From 2.5 on it may be unset,
as may each field of a `Timeout`; before that, None is what nobody has set, and no limit.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from nonebot import drivers, utils
from nonebot.drivers import Request

from ...client.settings import UNSET, Timeouts, Unset

__all__ = [
    "DEFAULT",
    "NOT_SET",
    "Pings",
    "opening_timeouts",
    "receive_limit",
    "request_timeouts",
]

NOT_SET: Final[Any] = getattr(utils, "UNSET", object())
"""What a limit is that nobody has set; before 2.5 nothing that anybody can give."""

_TIMEOUT: Final[Any] = getattr(drivers, "Timeout", ())
_FIELDS: Final = ("total", "connect", "read", "close")


def _given(timeout: object) -> dict[str, float | None]:
    """The fields of a `Timeout` that are set."""
    fields = {name: getattr(timeout, name, NOT_SET) for name in _FIELDS}
    return {name: value for name, value in fields.items() if value is not NOT_SET}


DEFAULT: Final = Timeouts().replace(**_given(getattr(drivers, "DEFAULT_TIMEOUT", None)))
"""The limits where nothing is said: NoneBot's own."""


def request_timeouts(timeout: object, default: Timeouts = DEFAULT) -> Timeouts:
    """The limits of a request; what is not said is that of `default`, a session's perhaps.

    A number is for the connection and for each wait for bytes, as in NoneBot's aiohttp driver, and
    None is no limit at all. Raises ConfigError.
    """
    if timeout is NOT_SET:
        return default
    if isinstance(timeout, _TIMEOUT):
        return default.replace(**_given(timeout))
    if timeout is None and not hasattr(utils, "UNSET"):
        # Nobody has set it, so that a WebSocket's closing has its limit all the same.
        return Timeouts.of(None).replace(close=default.close)
    limits: Any = timeout
    # What is no number is refused there.
    return Timeouts.of(limits)


def opening_timeouts(timeout: object) -> Timeouts:
    """The limits of a WebSocket: `connect` is for all of its opening, as websockets takes it.

    Raises ConfigError.
    """
    timeouts = request_timeouts(timeout)
    limits = [limit for limit in (timeouts.total, timeouts.connect) if limit is not None]
    return timeouts.replace(total=min(limits, default=None))


def receive_limit(timeout: object) -> float | None:
    """How long a receive may wait: as long as a `Timeout` says by `read`, else for ever.

    A number is no such limit: adapters give one for the opening, and a platform where nobody talks
    is silent; whether it is still there, pings tell.
    """
    return _given(timeout).get("read") if isinstance(timeout, _TIMEOUT) else None


class Pings(NamedTuple):
    """What holds for the pings of a WebSocket; UNSET is our client's."""

    interval: float | Unset | None
    timeout: float | Unset | None

    @classmethod
    def of(cls, setup: Request) -> Pings:
        """What a NoneBot Request asks for, which releases after 2.5.0 let it do."""
        interval = getattr(setup, "ping_interval", NOT_SET)
        timeout = getattr(setup.timeout, "ping", NOT_SET)
        return cls(*(UNSET if value is NOT_SET else value for value in (interval, timeout)))
