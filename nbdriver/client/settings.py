"""What a client may be told: limits in time and size, and what goes along with each request.

One frozen object, checked before anything is sent, so that a mistake is a `ConfigError` which names
the setting and not a request that hangs or fails somewhere on the way.
"""

from __future__ import annotations

import enum
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from http.cookiejar import CookieJar
from typing import Any, Final, TypedDict, cast

from .. import units
from ..errors import ConfigError
from ..model import check_field
from ..units import Kind, Setting
from ..wire.deflate import DeflateSettings
from .urls import Params, pairs_of

__all__ = [
    "UNSET",
    "USER_AGENT",
    "ClientOptions",
    "ClientSettings",
    "Timeouts",
    "Unset",
    "check_names",
]


class Unset(enum.Enum):
    """What a request does not say, and then the client's settings do; None says something else."""

    UNSET = enum.auto()


UNSET: Final = Unset.UNSET

USER_AGENT: Final = "nbdriver/0.1.0"
"""What requests call their sender, unless told otherwise; held to the version by a test."""

_MIB: Final = 2**20
_SOURCE: Final = "as a keyword argument"
#: Settings that may hold secrets, whatever their names.
_SECRET: Final = frozenset({"auth", "cookies", "headers", "params", "proxy"})
# RFC 7617, 2: no control characters, and no colon in the name.
_USERNAME: Final = re.compile(r"[^\x00-\x1f\x7f:]*")
_PASSWORD: Final = re.compile(r"[^\x00-\x1f\x7f]*")


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    """The pairs of a mapping or of an iterable; raises ValueError where they are none of text."""
    items: Iterable[Any] = value.items() if isinstance(value, Mapping) else _iterable(value)
    pairs = []
    for item in items:
        if not isinstance(item, (tuple, list)) or [type(part) for part in item] != [str, str]:
            raise ValueError
        pairs.append((item[0], item[1]))
    return tuple(pairs)


def _iterable(value: object) -> Iterable[Any]:
    if value is None or isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError
    return value


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    return tuple(check_field(*pair) for pair in _pairs(value))


def _params(value: object) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(pairs_of(cast("Params", value)))
    except TypeError as error:
        raise ValueError(str(error)) from None


def _auth(value: object) -> tuple[str, str] | None:
    if value is None:
        return None
    (pair,) = _pairs([value])
    if not _USERNAME.fullmatch(pair[0]) or not _PASSWORD.fullmatch(pair[1]):
        raise ValueError
    return pair


def _timeouts(value: object) -> Timeouts:
    if isinstance(value, Timeouts):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    try:
        return Timeouts.of(value)
    except ConfigError:
        raise ValueError from None


def _deflate(value: object) -> object:
    return value if isinstance(value, DeflateSettings) else units.FLAG.parse(value)


def _optional(kind: Kind) -> Kind:
    """As `units.optional`, in the words of Python."""
    return replace(units.optional(kind), expected=f"{kind.expected}, or None")


def _instance_of(kind: type, expected: str) -> Kind:
    def parse(value: object) -> object:
        if not isinstance(value, kind) and value is not None:
            raise ValueError
        return value

    return Kind(kind.__name__, expected, parse)


def check_names(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """See that all of these keyword arguments are known. Raises TypeError."""
    known = list(known)
    for name in given:
        if name not in known:
            import difflib  # here, since it is imported for a mistake alone

            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise TypeError(f"expected {what}, got {name}: {hint}")


def _setting(default: object, kind: Kind) -> Any:
    return field(default=default, metadata={"kind": kind})


def _check(settings: Any) -> None:
    """Read each field of a frozen object by its kind. Raises ConfigError."""
    for item in fields(settings):
        setting = Setting(item.name, getattr(settings, item.name), _SOURCE)
        read = _read_secret if item.name in _SECRET else Setting.read
        object.__setattr__(settings, item.name, read(setting, item.metadata["kind"]))


def _read_secret(setting: Setting, kind: Kind) -> object:
    try:
        return kind.parse(setting.value)
    except ValueError:
        came = type(setting.value).__name__
        raise ConfigError(
            f"{setting.key} {setting.source}: expected {kind.expected};"
            f" came another {came}, not shown since it may be secret"
        ) from None


_LIMIT: Final = _optional(units.SECONDS_OR_ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long things may take, in seconds; None is no limit, 0 is over at once.

    - `total`: from asking for a request to the last byte of its answer, redirects included.
    - `connect`: until a connection is ready; waiting for a place in the pool counts.
    - `read`: each wait for bytes of an answer, once the request is sent. (A server that takes
      nothing of a body that is being sent is cut off after 30 s, whatever the limits.)
    - `close`: the closing of a WebSocket.

    Of a WebSocket `total` and `read` limit the opening. No limit is on `receive`, since a server
    may have nothing to say for long: pings see whether it is there; for less time there is
    `async with asyncio.timeout(60.0)`.

    Raises ConfigError for what is none of these.
    """

    total: float | None = _setting(None, _LIMIT)
    connect: float | None = _setting(5.0, _LIMIT)
    read: float | None = _setting(30.0, _LIMIT)
    close: float | None = _setting(10.0, _LIMIT)

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def of(cls, value: Timeouts | float | None) -> Timeouts:
        """What stands for time limits where one number may: it is `connect`, `read` and `close`.

        So several of them can add up to more; `total` stays without limit. None means no limit at
        all. Raises ConfigError.
        """
        if isinstance(value, Timeouts):
            return value
        seconds = Setting("timeout", value, _SOURCE).read(_LIMIT)
        return cls(total=None, connect=seconds, read=seconds, close=seconds)

    def replace(self, **changes: float | None) -> Timeouts:
        """The same with other values for some, as in `replace(total=60.0)`. Raises ConfigError."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How a client behaves, for all its requests. Sizes are in bytes, times in seconds.

    - `timeouts`: see `Timeouts`; a number is what `Timeouts.of` makes of it; a request may have
      its own.
    - `follow_redirects`, `max_redirects`: whether an answer that leads elsewhere is followed, and
      how often for one request.
    - `max_connections`, `max_connections_per_host`: at a time; who wants another one waits.
    - `idle_timeout`: how long a connection is kept for another request; 0 keeps none.
    - `max_head`: an answer's status line and headers.
    - `max_body`: an answer's body once it is decoded; None is no limit.
    - `headers`, `params`: go along with each request that has not its own of that name, to
      whatever host it is for; a mapping or pairs. To another host that a request is redirected to
      go no headers that are secret by their name (see `client/redirects`).
    - `cookies`: the jar that answers fill and requests are filled from; None makes an empty one.
    - `auth`: name and password for whatever host a request is for (RFC 7617), None for none.
    - `proxy`: the URL of one, `http://...` or `socks5://...`, for all requests; None for none.
    - `trust_env`: whether the environment may name one (`HTTP_PROXY`, ...) where `proxy` is None.
    - `unix`: the path of a Unix socket that all requests go to; None for none.
    - `tls`: how servers are verified; None takes the system's trust store. To trust another CA:
      `ssl.create_default_context(cafile="ca.pem")`.
    - `user_agent`: what requests call their sender, None for nothing.
    - `deflate`: whether WebSockets offer permessage-deflate (RFC 7692), or with which settings.
    - `max_message`, `max_fragments`: a WebSocket message once inflated, and its frames.
    - `max_parked`: messages of one WebSocket that wait to be received; then reading pauses.
    - `ping_interval`, `ping_timeout`: between a WebSocket's pings, and for the pong; None sends
      none, or waits for ever.
    - `fast_lane`: whether plain WebSocket frames are read without wsproto; changes the speed alone.

    What is given as text is read as in a `.env` file. Raises ConfigError.
    """

    timeouts: Timeouts = _setting(
        Timeouts(),
        Kind("timeouts", "Timeouts, such as Timeouts(total=60.0), or seconds for each", _timeouts),
    )
    follow_redirects: bool = _setting(True, units.FLAG)
    max_redirects: int = _setting(20, units.COUNT_OR_ZERO)

    max_connections: int = _setting(100, units.COUNT)
    max_connections_per_host: int = _setting(20, units.COUNT)
    idle_timeout: float = _setting(30.0, units.SECONDS_OR_ZERO)

    max_head: int = _setting(65_536, units.SIZE)
    max_body: int | None = _setting(64 * _MIB, _optional(units.SIZE))

    headers: tuple[tuple[str, str], ...] = _setting(
        (), Kind("headers", "a mapping or pairs of headers as they may stand on the wire", _headers)
    )
    params: tuple[tuple[str, str], ...] = _setting(
        (), Kind("params", "a mapping or pairs of text, numbers, bools or None", _params)
    )
    cookies: CookieJar | None = _setting(
        None, _instance_of(CookieJar, "an http.cookiejar.CookieJar, or None")
    )
    auth: tuple[str, str] | None = _setting(
        None,
        Kind(
            "auth",
            "(name, password) without control characters, the name without a colon, or None",
            _auth,
        ),
    )

    proxy: str | None = _setting(None, _optional(units.TEXT))
    trust_env: bool = _setting(True, units.FLAG)
    unix: str | None = _setting(None, _optional(units.PATH))
    tls: ssl.SSLContext | None = _setting(
        None, _instance_of(ssl.SSLContext, "an ssl.SSLContext, or None")
    )
    user_agent: str | None = _setting(USER_AGENT, _optional(units.HEADER_VALUE))

    deflate: bool | DeflateSettings = _setting(
        False, Kind("deflate", "True, False or DeflateSettings", _deflate)
    )
    max_message: int = _setting(16 * _MIB, units.SIZE)
    max_fragments: int = _setting(4096, units.COUNT)
    max_parked: int = _setting(4 * _MIB, units.SIZE)
    ping_interval: float | None = _setting(20.0, _optional(units.SECONDS))
    ping_timeout: float | None = _setting(20.0, _optional(units.SECONDS))
    fast_lane: bool = _setting(True, units.FLAG)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def deflate_settings(self) -> DeflateSettings | None:
        """What WebSockets offer, with `max_message` for its limit; None for nothing."""
        if self.deflate is False:
            return None
        given = DeflateSettings() if self.deflate is True else self.deflate
        return replace(given, max_message=self.max_message)

    def __repr__(self) -> str:
        """All settings; what may be secret as `***`."""
        shown = ", ".join(f"{item.name}={self._shown(item.name)}" for item in fields(self))
        return f"{type(self).__name__}({shown})"

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        return "***" if name in _SECRET and value not in (None, ()) else repr(value)


class ClientOptions(TypedDict, total=False):
    """The fields of `ClientSettings`, as they may be given: each in all the ways that are read."""

    timeouts: Timeouts | float
    follow_redirects: bool
    max_redirects: int
    max_connections: int
    max_connections_per_host: int
    idle_timeout: float
    max_head: int | str
    max_body: int | str | None
    headers: Mapping[str, str] | Iterable[tuple[str, str]]
    params: Params
    cookies: CookieJar | None
    auth: tuple[str, str] | None
    proxy: str | None
    trust_env: bool
    unix: str | None
    tls: ssl.SSLContext | None
    user_agent: str | None
    deflate: bool | DeflateSettings
    max_message: int | str
    max_fragments: int
    max_parked: int | str
    ping_interval: float | None
    ping_timeout: float | None
    fast_lane: bool
