"""Which proxy is between a client and a URL: the one it was told, or the environment's.

There is no standard for what the environment says. What curl and the standard library read in the
same way is read so; in the variables it is lower case that counts, as in both. Of what a proxy may
be called, nothing is passed over: a client that ignores what it cannot do goes past the proxy, and
shows what was to be hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, NamedTuple
from urllib.request import getproxies_environment

from ..errors import ConfigError, InvalidURL
from ..wire.grammar import quote
from .authorization import Credentials, basic
from .settings import ClientSettings
from .urls import URL

__all__ = ["Proxy", "ProxyRules"]

#: The schemes of proxies, and the ports where they are if none is named.
_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_HTTP: Final = frozenset({"http", "https"})
_PORT: Final = re.compile(r":[0-9]+\Z")
# RFC 1929, 2: the length is one byte.
_LONGEST_IN_SOCKS: Final = 255

_ENTRY: Final = re.compile(r"(?P<host>\[[^\[\]/]*\]|[^:\[\]/]*)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; `parse` makes it of text.

    `scheme` is http or https (RFC 9110, 9.3.6), socks5 or socks5h (RFC 1928): both leave it to the
    proxy to resolve names, so that they mean the same. As text it has no password.
    """

    scheme: str
    host: str
    port: int
    credentials: Credentials | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Read the URL of a proxy; without a scheme it is one of HTTP. Raises InvalidURL."""
        if not isinstance(text, str):
            raise InvalidURL(f"expected the URL of a proxy as text, got {type(text).__name__}")
        scheme, slashes, rest = text.partition("://")
        if not slashes:
            scheme, rest = "http", text
        if scheme.lower() not in _PORTS:
            raise InvalidURL(
                "expected http, https, socks5 or socks5h as the scheme of a proxy,"
                f" got {quote(scheme)}"
            )
        scheme = scheme.lower()
        # Read as that of a page, and without its scheme, so that no message names another.
        url = _SOME_PAGE.join("//" + rest)
        if (url.path, url.query, url.fragment) != ("/", None, None):
            raise InvalidURL(f'expected a proxy such as "{scheme}://host:port", got more behind it')
        port = url.port if _PORT.search(rest.removesuffix("/")) else _PORTS[scheme]
        return cls(scheme, url.host, port, _credentials(url, scheme))

    @property
    def speaks_http(self) -> bool:
        """Whether it is a proxy of HTTP, not of SOCKS."""
        return self.scheme in _HTTP

    @property
    def authorization(self) -> str | None:
        """The value of Proxy-Authorization (RFC 9110, 11.7.2); None without credentials."""
        return None if self.credentials is None else basic(*self.credentials)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


_SOME_PAGE: Final = URL.parse("http://proxy.invalid/")


def _credentials(url: URL, scheme: str) -> Credentials | None:
    if url.userinfo is None:
        return None
    credentials = (url.username or "", url.password or "")
    if scheme not in _HTTP and any(len(part.encode()) > _LONGEST_IN_SOCKS for part in credentials):
        raise InvalidURL(
            f"expected a name and a password of at most {_LONGEST_IN_SOCKS} bytes for SOCKS5"
        )
    return credentials


class _Exception(NamedTuple):
    """Where no proxy is wanted: a name with all those under it, or addresses; on one port or all.

    `name` is None for every host.
    """

    name: str | None = None
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    def covers(self, url: URL) -> bool:
        if self.port is not None and self.port != url.port:
            return False
        if self.network is not None:
            address = _address(url.host)
            return address is not None and address in self.network
        return self.name is None or f".{url.host.rstrip('.')}".endswith(f".{self.name}")


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """Which proxy leads to a URL; made by `of`, `always` or `from_environment`.

    `proxies` has one for each scheme, http and https, or why there is none to be had; the hosts
    that `exceptions` cover are reached without any.
    """

    proxies: Mapping[str, Proxy | ConfigError]
    exceptions: tuple[_Exception, ...] = ()

    @classmethod
    def of(cls, settings: ClientSettings) -> ProxyRules:
        """What a client's settings say, and the environment now, where it is to be asked.

        It is not asked where everything goes to a Unix socket. Raises ConfigError, for a proxy
        beside such a socket too.
        """
        if settings.proxy is not None and settings.unix is not None:
            raise ConfigError("expected a proxy or a Unix socket for all requests, got both")
        if settings.proxy is not None or settings.unix is not None or not settings.trust_env:
            return cls.always(settings.proxy)
        return cls.from_environment()

    @classmethod
    def always(cls, proxy: str | None) -> ProxyRules:
        """One proxy for each URL, or for None none at all.

        Raises ConfigError for text that names none.
        """
        if proxy is None:
            return cls({})
        found = _read("proxy", proxy)
        if isinstance(found, ConfigError):
            raise found
        return cls({"http": found, "https": found})

    @classmethod
    def from_environment(cls) -> ProxyRules:
        """What the variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say now.

        In lower case they count more. HTTP_PROXY in upper case says nothing to a CGI program, for
        which whoever calls it can set that. What cannot be used is an error only for the URLs that
        would need it: in ALL_PROXY there often stands what is meant for other programs.
        """
        named = getproxies_environment()
        proxies = {}
        for scheme in ("http", "https"):
            variable = scheme if scheme in named else "all"
            if variable in named:
                proxies[scheme] = _read(f"{variable.upper()}_PROXY", named[variable])
        return cls(proxies, tuple(_exceptions(named.get("no", ""))))

    def proxy_for(self, url: URL) -> Proxy | None:
        """The proxy on the way to `url`, None if there is none.

        Raises ConfigError if the one that should be is none that can be used.
        """
        proxy = self.proxies.get(url.origin.scheme)
        if proxy is None or any(each.covers(url) for each in self.exceptions):
            return None
        if isinstance(proxy, ConfigError):
            raise ConfigError(*proxy.args)
        return proxy


def _read(source: str, text: str) -> Proxy | ConfigError:
    try:
        return Proxy.parse(text)
    except InvalidURL as error:
        return ConfigError(f"{source}: {error}")


def _exceptions(text: str) -> Iterator[_Exception]:
    """What NO_PROXY says: names, addresses, networks, with or without a port, or a star for all.

    An entry that is none of these covers nothing: what it would have meant goes by the proxy.
    """
    for entry in text.replace(",", " ").split():
        if entry == "*":
            yield _Exception()
            continue
        match = _ENTRY.fullmatch(entry)
        if match is None:
            # An IPv6 address without brackets, a network, or nothing of use.
            yield from _networks(entry)
            continue
        port = None if match["port"] is None else int(match["port"])
        # A name stands for those under it too, whether or not it is written so.
        name = match["host"].removeprefix("*.").removeprefix(".")
        with suppress(InvalidURL):
            host = URL.parse(f"http://{name}").host
            yield (
                _Exception(host.rstrip("."), port=port)
                if _address(host) is None
                else _Exception(network=ip_network(host), port=port)
            )


def _networks(text: str) -> Iterator[_Exception]:
    with suppress(ValueError):
        yield _Exception(network=ip_network(text, strict=False))


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
