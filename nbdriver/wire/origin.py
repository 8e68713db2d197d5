"""Whether a web page may have sent a request, and may have; pure.

Any page that somebody visits can make their browser send requests, and open WebSockets, to a bot
that listens on their machine. The browser tells where the page is from (Origin, RFC 6454), so what
is from elsewhere is refused. A page can also give its own name the address of this machine (DNS
rebinding), and is then from this very host; so on a loopback address, where a bot expects nobody
from outside, the Host must be a name that nobody else can own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import HTTPError
from ..model import Headers
from .grammar import quote
from .proxy import parse_address

__all__ = ["OriginRules", "check", "is_loopback"]

# RFC 6454, 7.1: scheme, host and port; `null` and lists of origins do not match.
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::(?P<port>\d*))?",
    re.ASCII | re.IGNORECASE,
)
# A Host that has been seen to be well-formed.
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d*))?", re.ASCII)
# What a browser's resolver has no say in: 127.0.0.0/8, localhost and all below it (RFC 6761, 6.3).
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LOOPBACK = re.compile(rf"127\.{_BYTE}\.{_BYTE}\.{_BYTE}|\[::1\]|(?:.*\.)?localhost")
#: Clients that are no browsers may write the scheme of the WebSocket's URL.
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRules:
    """What is let in beside the host's own; "*" is any. `of` makes it from settings.

    Without `hosts` only loopback addresses are particular about the Host, else every address is.
    """

    origins: frozenset[str] = field(default_factory=frozenset)
    hosts: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, origins: Iterable[str], hosts: Iterable[str]) -> OriginRules:
        """The rules for origins and names of hosts as a person writes them.

        An origin that is none can be nobody's, so it is left out.
        """
        normal = [item if item == "*" else _normal_origin(item) for item in origins]
        return cls(
            origins=frozenset(filter(None, normal)), hosts=frozenset(map(_normal_host, hosts))
        )


def check(
    headers: Headers, hosts: Iterable[str], rules: OriginRules, *, loopback: bool = False
) -> None:
    """See whether a request comes from where it may. Raises HTTPError if not: 403, 400 for two.

    `headers` are those that the application sees, `hosts` all values that the Host had on the way
    here: what the peer sent, and what a trusted proxy says that the client sent. `loopback` is
    whether the connection came in at a loopback address.
    """
    if loopback or rules.hosts:
        _check_hosts(hosts, rules)
    origins = headers.get_all("origin")
    if len(origins) > 1:
        raise HTTPError(400, f"expected one Origin header at most, got {len(origins)}")
    if origins:
        _check_origin(origins[0], headers.get("host"), rules)


def _check_hosts(hosts: Iterable[str], rules: OriginRules) -> None:
    if "*" in rules.hosts:
        return
    for host in hosts:
        name, _ = _split(host)
        if name not in rules.hosts and not _LOOPBACK.fullmatch(name):
            raise HTTPError(
                403,
                "expected localhost as Host, or a name that stands in NBDRIVER_ALLOWED_HOSTS,"
                f" got {quote(host)}",
            )


def _check_origin(origin: str, host: str | None, rules: OriginRules) -> None:
    if "*" in rules.origins:
        return
    normal = _normal_origin(origin)
    if normal is None or not (normal in rules.origins or _is_own(normal, host)):
        raise HTTPError(
            403,
            "expected this host as Origin, or one that stands in NBDRIVER_ALLOWED_ORIGINS,"
            f" got {quote(origin)}",
        )


def _is_own(origin: str, host: str | None) -> bool:
    """Whether an origin is this very host's: the authority of the one is that of the other.

    The scheme is not compared, since a server behind a proxy does not know its own; a Host without
    a port has the default one of the origin's scheme.
    """
    if host is None:
        return False
    scheme, _, authority = origin.partition("://")
    name, port = _split(host)
    return authority == _joined(name, port, scheme)


def _split(host: str) -> tuple[str, str]:
    """Name and port of a Host, in their normal form; the port may be empty."""
    match = _HOST.fullmatch(host)
    return (_normal_host(match["host"]), match["port"] or "") if match else (host, "")


def _joined(name: str, port: str, scheme: str) -> str:
    """An authority without its default port, and without leading zeros."""
    port = port.lstrip("0") or port[:1]
    return name if port in ("", _DEFAULT_PORTS.get(scheme)) else f"{name}:{port}"


def _normal_host(name: str) -> str:
    """A host's name as it is compared: in lower case, without a last dot (RFC 3986, 3.2.2).

    IPv6 addresses have brackets and their shortest form.
    """
    name = name.lower()
    if ":" in name:
        address = parse_address(name.strip("[]"))
        return name if address is None else f"[{address}]" if address.version == 6 else str(address)
    return name.removesuffix(".") or name


def _normal_origin(origin: str) -> str | None:
    """An origin as it is compared: in lower case, without a default port; None if it is none."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme = match["scheme"].lower()
    return f"{scheme}://{_joined(_normal_host(match['host']), match['port'] or '', scheme)}"


def is_loopback(address: str) -> bool:
    """Whether that is an address of the machine itself alone: 127.0.0.0/8, ::1, ::ffff:127.x."""
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback
