"""How a client gets a connection that is ready for a request: the way there, and TLS over it.

A way is direct, by a Unix socket, or through a proxy. Whatever it is, what comes out is a `Channel`
at whose other end the server of the URL is, or an HTTP proxy that forwards requests to it.
"""

from __future__ import annotations

from ..errors import ConnectError
from ..net import outgoing
from ..net.channel import Channel
from ..net.clock import Clock
from .proxies import Proxy
from .routes import Route
from .settings import ClientSettings
from .tunnels import connect_through

__all__ = ["Connector"]


class Connector:
    """Makes connections. How long that may take is for whoever asks to say."""

    def __init__(self, settings: ClientSettings, clock: Clock) -> None:
        """`clock` files the deadlines of each connection's closing."""
        self._tls = settings.tls
        self._clock = clock

    async def connect(self, route: Route) -> Channel:
        """A connection by `route`. Raises ConnectError; if it is cancelled, nothing is left."""
        channel = Channel(self._clock)
        try:
            await self._open(channel, route)
        except BaseException:
            channel.abort()
            raise
        return channel

    async def _open(self, channel: Channel, route: Route) -> None:
        origin = route.origin
        if route.unix is not None:
            await outgoing.open_unix(channel, route.unix)
        elif route.proxy is not None:
            await self._open_proxy(channel, route.proxy)
            if route.forwards:
                return
            await connect_through(channel, route.proxy, origin)
        else:
            await outgoing.open_tcp(channel, origin.host, origin.port)
        if origin.scheme == "https":
            await self._secure(channel, origin.host)

    async def _open_proxy(self, channel: Channel, proxy: Proxy) -> None:
        try:
            await outgoing.open_tcp(channel, proxy.host, proxy.port)
            if proxy.scheme == "https":
                await self._secure(channel, proxy.host)
        except ConnectError as error:
            raise ConnectError(f"no way to the proxy {proxy}: {error}") from error

    async def _secure(self, channel: Channel, host: str) -> None:
        await outgoing.secure(channel, self._tls or await outgoing.default_tls(), host)
