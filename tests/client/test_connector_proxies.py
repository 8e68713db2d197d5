"""The way through a proxy, over real sockets: plain, by a tunnel, over TLS, TLS inside of TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.cancelling import WAYS, Way
from support.certificates import client_context
from support.loops import on_each_loop
from support.raw_proxy import NAME, RawProxy, listening, raw_proxy, saying, server_context

from nbdriver.client.connector import Connector
from nbdriver.client.proxies import ProxyRules
from nbdriver.client.routes import route
from nbdriver.client.settings import ClientSettings
from nbdriver.client.urls import URL
from nbdriver.errors import ConnectError
from nbdriver.net.channel import Channel
from nbdriver.net.clock import LoopClock

PROXIES = ("http", "https", "socks5")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def echo_behind(
    kind: str, tls: bool, *names: str, by_password: bool = False
) -> AsyncIterator[RawProxy]:
    """A server that says again what it is told, and a proxy before it."""
    context = server_context(*names or (NAME,)) if tls else None
    async with (
        listening(echo, context) as port,
        raw_proxy(port, tls=kind == "https", by_password=by_password) as proxy,
    ):
        yield proxy


async def connect(
    url: str, proxy: str, context: ssl.SSLContext | None = None
) -> tuple[Channel, LoopClock]:
    clock = LoopClock(asyncio.get_running_loop())
    settings = ClientSettings(tls=context or client_context())
    way = route(URL.parse(url), ProxyRules.always(proxy))
    return await Connector(settings, clock).connect(way), clock


async def says_again(channel: Channel, data: bytes) -> None:
    """See that `data` goes there and comes back, and end the connection."""
    try:
        channel.write(data)
        while len(channel.buffer) < len(data):
            assert await channel.more()
        assert channel.buffer == data
    finally:
        channel.abort()
        await channel.wait_closed()


@pytest.mark.parametrize("kind", PROXIES)
@pytest.mark.parametrize("url", [f"ws://{NAME}/", f"https://{NAME}:8443/", f"wss://{NAME}/"])
@on_each_loop
async def test_a_tunnel_leads_to_a_server_that_only_the_proxy_knows(kind: str, url: str) -> None:
    tls = not url.startswith("ws:")
    async with echo_behind(kind, tls) as proxy:
        scheme = "socks5" if kind == "socks5" else None
        channel, _ = await connect(url, proxy.url(scheme))
        layers = tls + (kind == "https")
        assert (channel.info("ssl_object") is not None) == (layers > 0)
        await says_again(channel, bytes(range(256)) * 4_000)
        place = f"{NAME}:{URL.parse(url).port}".encode()
        assert proxy.asked[-1].startswith(
            b"\x05\x01\x00\x03\x0e" + NAME.encode() if scheme else b"CONNECT " + place
        )


@pytest.mark.parametrize("kind", ["http", "https"])
@on_each_loop
async def test_a_request_to_be_forwarded_is_the_proxys_own(kind: str) -> None:
    async with echo_behind(kind, False) as proxy:
        channel, _ = await connect(f"http://{NAME}/", proxy.url())
        await says_again(channel, f"GET http://{NAME}/ HTTP/1.1\r\n\r\n".encode())


@on_each_loop
async def test_plain_http_goes_through_a_socks_proxy_as_to_the_server_itself() -> None:
    async with echo_behind("socks5", False, by_password=True) as proxy:
        channel, _ = await connect(f"http://{NAME}/", proxy.url("socks5h", "me:secret@"))
        await says_again(channel, b"GET / HTTP/1.1\r\n\r\n")
        assert proxy.asked[1] == b"\x01\x02me\x06secret"


@pytest.mark.parametrize("kind", PROXIES)
@on_each_loop
async def test_a_server_behind_a_proxy_has_to_prove_who_it_is(kind: str) -> None:
    async with echo_behind(kind, True, "other.example") as proxy:
        scheme = "socks5" if kind == "socks5" else None
        with pytest.raises(ConnectError, match=r"certificate that proves to be server\.example"):
            await connect(f"https://{NAME}/", proxy.url(scheme))


@on_each_loop
async def test_a_proxy_has_to_prove_who_it_is_before_it_is_told_a_password() -> None:
    async with echo_behind("https", False) as proxy:
        with pytest.raises(ConnectError, match=r"no way to the proxy https://.* certificate"):
            await connect(f"http://{NAME}/", proxy.url(), ssl.create_default_context())
        assert proxy.asked == []


@on_each_loop
async def test_a_proxy_that_is_not_there_is_named() -> None:
    async with listening(echo) as port:
        pass
    with pytest.raises(ConnectError, match=f"no way to the proxy socks5://127.0.0.1:{port}: ") as e:
        await connect(f"http://{NAME}/", f"socks5://me:secret@127.0.0.1:{port}")
    assert "secret" not in str(e.value)


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (answer, then)
        for answer in (b"", b"HTTP/1.1 403 No\r\n\r\n", b"\x05\x00\x05\x02", b"junk")
        for then in ("stay", "end", "reset")
        # How long it is waited for what does not come is for the caller to say.
        if answer or then != "stay"
    ],
)
@pytest.mark.parametrize("scheme", ["http", "socks5"])
@on_each_loop
async def test_a_proxy_that_does_not_let_us_through_is_left(
    answer: bytes, scheme: str, then: str
) -> None:
    async with saying(answer, then) as port:
        with pytest.raises(ConnectError, match=f"no way to {NAME}:443 through the proxy {scheme}:"):
            await connect(f"https://{NAME}/", f"{scheme}://127.0.0.1:{port}")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("kind", PROXIES)
@on_each_loop
async def test_whoever_is_cancelled_leaves_nothing(kind: str, way: Way) -> None:
    async with echo_behind(kind, True) as proxy:
        url = proxy.url("socks5" if kind == "socks5" else None)
        number, reached = 1, True
        while reached:
            outcome = await way(connect(f"https://{NAME}/", url), number)
            reached = outcome.reached
            assert outcome.cancelled or outcome.error is None
            if outcome.result is not None:
                await says_again(outcome.result[0], b"still there")
            number += 1
        assert number > 3
