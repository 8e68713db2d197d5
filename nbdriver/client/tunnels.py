"""Through a proxy: a connection to it becomes one to a server behind it.

By CONNECT (RFC 9110, 9.3.6) or SOCKS5 (RFC 1928). Whoever stands between can say what it likes
here, so that nothing which could be taken for the server's is let through: what comes before we
have sent anything to the server is not from there.
"""

from __future__ import annotations

import re
from typing import Final

from ..errors import ConnectError, ConnectionLost, InvalidResponse
from ..net.channel import Channel
from ..wire import socks
from ..wire.client_exchange import ClientExchange
from ..wire.grammar import quote
from ..wire.head import HeadLimits
from ..wire.response_head import ResponseHead
from .proxies import Proxy
from .urls import Origin

__all__ = ["connect_through"]

# RFC 9110, 11.6.1: challenges, of which each begins with its scheme.
_BASIC: Final = re.compile(r"(?:\A|,)[ \t]*basic(?![^ ,])", re.IGNORECASE)


async def connect_through(channel: Channel, proxy: Proxy, origin: Origin) -> None:
    """Have `proxy`, to which `channel` is connected, connect it to `origin`.

    Nothing of the channel is the proxy's any more then. Raises ConnectError; after that, and after
    a cancellation, the channel is good for nothing, and is to be aborted.
    """
    place = f"[{origin.host}]" if ":" in origin.host else origin.host
    place = f"{place}:{origin.port}"
    try:
        if proxy.speaks_http:
            await _by_connect(channel, proxy, place)
        else:
            await _by_socks(channel, proxy, origin)
        _check_silence(channel)
    except (ConnectError, ConnectionLost, InvalidResponse) as error:
        raise ConnectError(f"no way to {place} through the proxy {proxy}: {error}") from None


def _check_silence(channel: Channel) -> None:
    if channel.buffer:
        raise ConnectError(
            "expected nothing before the server is spoken to,"
            f" got {len(channel.buffer)} bytes with the proxy's answer"
        )


async def _by_connect(channel: Channel, proxy: Proxy, place: str) -> None:
    headers = [("Host", place)]
    if proxy.authorization is not None:
        headers.append(("Proxy-Authorization", proxy.authorization))
    exchange = ClientExchange(HeadLimits())
    channel.write(exchange.ask("CONNECT", place, headers) + exchange.end())
    while (head := exchange.read_head(channel.buffer)) is None:
        if not await channel.more():
            exchange.read_end(channel.buffer)
    if not 200 <= head.status_code <= 299:
        raise ConnectError(_refused(head, proxy))


def _refused(head: ResponseHead, proxy: Proxy) -> str:
    got = f"got {head.status_code} {quote(head.reason)}"
    # 407 it should be; tinyproxy says 401 of a password that is wrong.
    if head.status_code not in (401, 407):
        return f"expected a tunnel, {got}"
    asked = ", ".join(head.headers.get_all("proxy-authenticate"))
    if asked and not _BASIC.search(asked):
        return f"expected it to ask for Basic authentication, {got}, which asks for {quote(asked)}"
    if proxy.credentials is not None:
        return f"expected it to accept the name and password in its URL, {got}"
    url = f"{proxy.scheme}://name:password@host:port"
    return f"it wants a name and a password, {got}: write its URL as {url}"


async def _by_socks(channel: Channel, proxy: Proxy, origin: Origin) -> None:
    steps = socks.handshake(origin.host, origin.port, proxy.credentials)
    send, count = next(steps)
    while True:
        if send:
            channel.write(send)
        answer = await _exactly(channel, count)
        try:
            send, count = steps.send(answer)
        except StopIteration:
            return


async def _exactly(channel: Channel, count: int) -> bytes:
    while len(channel.buffer) < count:
        if not await channel.more():
            raise ConnectError("expected the rest of its answer, got the connection's end")
    taken = bytes(channel.buffer[:count])
    del channel.buffer[:count]
    return taken
