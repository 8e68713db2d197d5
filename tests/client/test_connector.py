"""The way to a server without a proxy: by its name, by a Unix socket, plain and over TLS."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.cancelling import WAYS, Way
from support.certificates import client_context
from support.leaks import nothing_left
from support.loops import on_each_loop
from support.outside import Outside, no_server, outside, server_context
from support.peer import PATIENCE

from nbdriver.client.connector import Connector
from nbdriver.client.proxies import ProxyRules
from nbdriver.client.routes import Route, route
from nbdriver.client.settings import ClientSettings
from nbdriver.client.urls import URL
from nbdriver.errors import ConnectError
from nbdriver.net.channel import Channel
from nbdriver.net.clock import LoopClock


def way(url: str, unix: str | None = None) -> Route:
    return route(URL.parse(url), ProxyRules.always(None), unix)


async def connect(way: Route) -> Channel:
    settings = ClientSettings(tls=client_context())
    return await Connector(settings, LoopClock(asyncio.get_running_loop())).connect(way)


async def leads_to(channel: Channel, there: Outside) -> None:
    """See that the channel is ready, and what is written on it comes to `there`; end it."""
    peer = await there.peer()
    assert channel.open
    channel.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await peer.read(b"\r\n\r\n") == b"GET / HTTP/1.1\r\n\r\n"
    channel.abort()
    async with asyncio.timeout(PATIENCE):
        await channel.wait_closed()


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss"])
@on_each_loop
async def test_the_way_to_a_server_is_to_its_host_and_port_and_encrypted_if_its_url_says_so(
    scheme: str,
) -> None:
    encrypted = scheme in ("https", "wss")
    async with outside(tls=server_context() if encrypted else None) as there:
        channel = await connect(way(f"{scheme}://localhost:{there.address[1]}/"))
        assert (channel.info("ssl_object") is not None) is encrypted
        await leads_to(channel, there)


@pytest.mark.parametrize("encrypted", [False, True])
@on_each_loop
async def test_a_unix_socket_stands_in_the_place_of_the_host_which_still_has_to_prove_itself(
    encrypted: bool, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    scheme = "https" if encrypted else "http"
    async with outside(unix=path, tls=server_context("bot.example") if encrypted else None) as bot:
        channel = await connect(way(f"{scheme}://bot.example/", path))
        await leads_to(channel, bot)
        if encrypted:
            with pytest.raises(ConnectError, match=r"not valid for 'other\.example'"):
                await connect(way("https://other.example/", path))


@on_each_loop
async def test_a_server_that_is_not_there_is_named() -> None:
    with no_server() as port, pytest.raises(ConnectError, match=rf"127\.0\.0\.1:{port}.*refused"):
        await connect(way(f"http://127.0.0.1:{port}/"))


@on_each_loop
async def test_of_a_connection_that_did_not_come_about_nothing_is_left() -> None:
    async with outside(tls=server_context("other.example")) as there, nothing_left():
        with pytest.raises(ConnectError, match="expected a certificate that proves to be 127"):
            await connect(way(f"https://127.0.0.1:{there.address[1]}/"))


@on_each_loop
async def test_without_a_context_of_its_own_a_client_trusts_whom_the_system_trusts() -> None:
    async with outside(tls=server_context()) as there:
        connector = Connector(ClientSettings(), LoopClock(asyncio.get_running_loop()))
        with pytest.raises(ConnectError, match="unable to get local issuer certificate"):
            await connector.connect(way(f"https://localhost:{there.address[1]}/"))
    await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.parametrize("way_to_cancel", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("kind", ["tcp", "unix"])
@on_each_loop
async def test_cancelled_anywhere_it_leaves_nothing(
    kind: str, way_to_cancel: Way, tmp_path: Path
) -> None:
    """And what it has told a caller who was not cancelled is a connection that is there."""
    for number in range(1, 200):
        path = str(tmp_path / f"socket-{number}") if kind == "unix" else None
        async with outside(unix=path, tls=server_context("127.0.0.1")) as there, nothing_left():
            port = 443 if path else there.address[1]
            connecting = connect(way(f"https://127.0.0.1:{port}/", path))
            outcome = await way_to_cancel(connecting, number)
            if outcome.error is None:
                await leads_to(outcome.result, there)
            else:
                assert outcome.cancelled
            for peer in there.peers:
                if hasattr(peer, "transport"):
                    peer.transport.abort()
        if not outcome.reached:
            break
    else:
        # On a busy machine hundreds of turns may pass before a byte has come; not so of awaits.
        assert way_to_cancel is not WAYS["at await"], "expected an end before so many awaits"
