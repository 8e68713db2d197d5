"""The way to a URL: straight, through a proxy, or over a Unix socket. Pure.

Connections that go the same way are as good as one another, so a way is what a pool knows them by.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import ConfigError
from .proxies import Proxy, ProxyRules
from .urls import URL, Origin

__all__ = ["Route", "route"]


class Route(NamedTuple):
    """Where a connection leads, and by which way; two that are equal may stand for each other.

    `proxy` is on the way to `origin`, `unix` the path of a socket that stands in its place, at most
    one of them. `tunnel` is whether an HTTP proxy has to open one although `origin` speaks plain
    HTTP.
    """

    origin: Origin
    proxy: Proxy | None = None
    unix: str | None = None
    tunnel: bool = False

    @property
    def forwards(self) -> bool:
        """Whether each request is the proxy's, which passes it on: one without a tunnel.

        Such a request has the URL's `absolute_target` (RFC 9112, 3.2.2), and Proxy-Authorization.
        """
        return (
            self.proxy is not None
            and self.proxy.speaks_http
            and self.origin.scheme == "http"
            and not self.tunnel
        )

    @property
    def proxy_authorization(self) -> str | None:
        """The value of Proxy-Authorization for each request; None for one that is to have none.

        Through a tunnel a request goes to the server, whom the proxy's password does not concern.
        """
        return self.proxy.authorization if self.proxy is not None and self.forwards else None


def route(url: URL, rules: ProxyRules, unix: str | None = None) -> Route:
    """The way to `url`; `unix` is the path of a socket that everything goes to.

    A WebSocket goes by a tunnel (RFC 6455, 4.1), as its Upgrade is not passed on. Raises
    ConfigError if its proxy cannot be used, or a socket and a proxy are both asked for.
    """
    proxy = rules.proxy_for(url)
    if unix is not None and proxy is not None:
        raise ConfigError(f"expected a proxy or a Unix socket, got both: {proxy} and {unix}")
    tunnel = proxy is not None and proxy.speaks_http and url.scheme in ("ws", "wss")
    return Route(url.origin, proxy, unix, tunnel)
