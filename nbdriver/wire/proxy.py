"""What a proxy says of the client behind it: who it is, and what it asked for; pure.

Anybody can write these headers, so they are believed only from peers that the owner has listed, and
only as far back as the listed ones reach: the walk goes from the right, where the nearest proxy
wrote, and ends at the first address that is not listed. Of the two families of headers one is
believed. A proxy that writes the one passes a client's own lines of the other through, so whoever
believes both believes everybody (as has happened to most servers that tried).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import zip_longest
from typing import NamedTuple

from ..errors import HTTPError
from ..model import Address, Headers, Request
from .grammar import TOKEN, quote
from .head import is_host

__all__ = ["Family", "TrustedProxies", "believe", "parse_address"]

_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# RFC 7239, 4. Blanks around a semicolon are not in its grammar; proxies write them all the same.
_PAIR = re.compile(rf"({TOKEN})=({TOKEN}|{_QUOTED})")
_PAIRS = rf"(?:{_PAIR.pattern})?+(?:[ \t]*+;[ \t]*+(?:{_PAIR.pattern})?+)*+"
_ELEMENTS = re.compile(rf"[ \t]*+({_PAIRS})[ \t]*+(?:,|\Z)")
_ESCAPED = re.compile(r"\\(.)")
# RFC 7239, 6: an address, and perhaps a port, which may be an obfuscated one.
_NODE = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<ipv4>[0-9.]+))(?::(?:(?P<port>[0-9]{1,5})|_[\w.-]+))?",
    re.ASCII,
)
#: Bits before an address of IPv4 that is mapped into IPv6 (RFC 4291, 2.5.5.2).
_MAPPED = 96
#: Proxies that stand one before the other, at most; a longer list is somebody's who wants us busy.
_MAX_HOPS = 64
_MAX_PORT = 65_535
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class Family(enum.Enum):
    """The headers that a proxy writes; the value is what a setting calls them."""

    X_FORWARDED = "x-forwarded"
    """X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host."""
    FORWARDED = "forwarded"
    """Forwarded (RFC 7239)."""


class TrustedProxies:
    """Peers that are believed: addresses, networks, "unix" for Unix sockets, "*" for everybody.

    Raises ValueError for a name that is none of these.
    """

    __slots__ = ("_everybody", "_networks", "_unix", "family")

    def __init__(self, names: Iterable[str] = (), family: Family = Family.X_FORWARDED) -> None:
        names = set(names)
        self._everybody = "*" in names
        self._unix = "unix" in names
        self._networks = [_read_network(name) for name in names - {"*", "unix"}]
        self.family = family

    def is_trusted(self, peer: Address | None) -> bool:
        """Whether that peer is believed; None is one on a Unix socket."""
        if self._everybody:
            return True
        if peer is None:
            return self._unix
        # Of a peer on this very link the system tells the zone, which is no part of its address.
        address = parse_address(peer[0].partition("%")[0])
        return address is not None and any(address in network for network in self._networks)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address that `text` is, or None. One of IPv4 mapped into IPv6 is the former.

    One with a zone is none: a zone means nothing on another machine, and may hold any text.
    """
    try:
        address = ip_address("" if "%" in text else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _read_network(text: str) -> IPv4Network | IPv6Network:
    """A network as `parse_address` reads addresses. Raises ValueError."""
    network = ip_network(text)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED))


class _Hop(NamedTuple):
    """What one proxy says of the request that came to it."""

    client: str | None
    scheme: str | None
    host: str | None


@dataclass(slots=True)
class _Believed:
    """What is known of the request so far."""

    client: Address | None
    scheme: str | None = None
    host: str | None = None


def believe(request: Request, proxies: TrustedProxies) -> None:
    """Put into `request` what trusted proxies say of it: its client, its scheme and its Host.

    `request.client` has to be the peer, who must be trusted. It becomes None where a proxy does not
    know the client, or names it in a way that is no address. The headers of the proxies stay.
    Raises HTTPError for a Forwarded that cannot be read, and for a host that is none.
    """
    believed = _Believed(request.client)
    hops = (_x_forwarded if proxies.family is Family.X_FORWARDED else _forwarded)(request.headers)
    for number, hop in enumerate(hops):
        if number == _MAX_HOPS:
            raise HTTPError(400, f"expected at most {_MAX_HOPS} proxies, one before the other")
        believed.scheme = hop.scheme or believed.scheme
        believed.host = hop.host or believed.host
        if hop.client is None:
            break  # whoever wrote what stands further left is not known
        believed.client = _read_node(hop.client)
        if believed.client is None or not proxies.is_trusted(believed.client):
            break
    request.client = believed.client
    if believed.scheme is not None:
        request.scheme = _SCHEMES.get(believed.scheme.lower(), request.scheme)
    if believed.host is not None:
        request.headers = _with_host(request.headers, believed.host)


def _with_host(headers: Headers, host: str) -> Headers:
    """The headers with another Host, held to what is held against the client's own."""
    if not is_host(host):
        raise HTTPError(400, f"expected a host and a port from the proxy, got {quote(host)}")
    return Headers([("host", host), *(item for item in headers.items() if item[0] != "host")])


def _x_forwarded(headers: Headers) -> Iterator[_Hop]:
    """Hops from the nearest on. Proxies may set one field and add to another."""
    columns = (_backwards(headers, f"x-forwarded-{name}") for name in ("for", "proto", "host"))
    yield from (_Hop(*values) for values in zip_longest(*columns))


def _backwards(headers: Headers, name: str) -> Iterator[str]:
    """The elements of a list, the last one first; empty ones are passed over (RFC 9110, 5.6.1)."""
    for element in reversed(",".join(headers.get_all(name)).split(",")):
        if value := element.strip(" \t"):
            yield value


def _forwarded(headers: Headers) -> Iterator[_Hop]:
    """Hops from the nearest on (RFC 7239, 4). Raises HTTPError.

    The field is read from its beginning and has to be right to its end: a quotation mark that a
    client left open would else take in what the proxies have added.
    """
    text = ",".join(headers.get_all("forwarded"))
    hops = []
    position = 0
    while position < len(text):
        match = _ELEMENTS.match(text, position)
        if match is None:
            raise HTTPError(400, f"expected Forwarded as in RFC 7239, got {quote(text[position:])}")
        position = match.end()
        if pairs := _PAIR.findall(match[1]):
            hops.append(_read_hop(pairs))
    yield from reversed(hops)


def _read_hop(pairs: Iterable[tuple[str, str]]) -> _Hop:
    values: dict[str, str] = {}
    for name, value in pairs:
        if (name := name.lower()) in values:
            # RFC 7239, 4: each parameter at most once in an element.
            raise HTTPError(400, f"expected one {quote(name)} for each proxy in Forwarded")
        values[name] = _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
    return _Hop(values.get("for"), values.get("proto"), values.get("host"))


def _read_node(text: str) -> Address | None:
    """The address and port of a hop; None for "unknown", "_hidden" and what is no address at all.

    The port is 0 where it is not said. An IPv6 address without brackets has none.
    """
    match = _NODE.fullmatch(text)
    address = parse_address(text if match is None else match["ipv6"] or match["ipv4"])
    port = int((match and match["port"]) or 0)
    return None if address is None or port > _MAX_PORT else (str(address), port)
