"""Our client through real proxies: tinyproxy, microsocks, and tinyproxy behind HAProxy's TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from proxies.forwarding import Forwarding, running
from support.certificates import client_context
from support.leaks import nothing_left
from support.say_again import Server, server

from nbdriver.client import Client, Timeouts
from nbdriver.errors import ConnectError

#: A busy machine is slow; what takes too long here is a failure in any case.
PATIENT = Timeouts(connect=60.0, read=60.0)


@asynccontextmanager
async def through(
    proxy: Forwarding, folder: Path, url: str | None = None
) -> AsyncIterator[tuple[Client, Server]]:
    """A client that goes through a proxy, and a server; the proxy may be called by another URL."""
    settings = {"proxy": url or proxy.url(), "tls": client_context(), "timeouts": PATIENT}
    async with (
        server() as there,
        running(proxy, folder),
        nothing_left(),
        Client(**settings) as client,
    ):
        yield client, there


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_requests_go_there_and_their_answers_come_back(
    forwarding: Forwarding, tmp_path: Path, scheme: str
) -> None:
    async with through(forwarding, tmp_path) as (client, there):
        url = there.url(scheme, "/path?query=%E4%BD%A0")
        for body in (b"", b"hello", bytes(range(256)) * 8_000):
            response = await client.request("POST", url, content=body)
            assert (response.status_code, response.content) == (200, body)
        response = await client.request("GET", url)
        assert (response.status_code, response.content) == (200, b"")
        host = there.url(scheme).split("/")[2]
        # The server is not told the password for the proxy.
        assert there.asked == [("/path?query=%E4%BD%A0", host, None)] * 4


async def test_a_tunnel_is_used_again(forwarding: Forwarding, tmp_path: Path) -> None:
    async with through(forwarding, tmp_path) as (client, there):
        for number in range(10):
            url = there.url("https", f"/{number}")
            assert (await client.request("GET", url)).status_code == 200
        assert len(there.connections) == 1


async def test_many_requests_at_once_get_each_its_own_answer(
    forwarding: Forwarding, tmp_path: Path
) -> None:
    async with through(forwarding, tmp_path) as (client, there):

        async def ask(number: int) -> None:
            url = there.url("https" if number % 2 else "http", f"/{number}")
            response = await client.request("POST", url, content=str(number).encode())
            assert response.content == str(number).encode()

        await asyncio.gather(*(ask(number) for number in range(40)))


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_messages_go_both_ways_by_websocket(
    forwarding: Forwarding, tmp_path: Path, scheme: str
) -> None:
    async with (
        through(forwarding, tmp_path) as (client, there),
        client.websocket(there.url(scheme)) as websocket,
    ):
        for message in ("hello", "大" * 100_000, "bye"):
            await websocket.send(message)
            assert await websocket.receive_text() == message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_is_not_there_is_told_apart_from_a_proxy_that_is_not(
    forwarding: Forwarding, tmp_path: Path, scheme: str
) -> None:
    async with through(forwarding, tmp_path) as (client, _):
        url = f"{scheme}://127.0.0.1:1/"
        if scheme == "http" and forwarding.speaks_http:
            # A proxy that forwards is who answers.
            assert (await client.request("GET", url)).status_code >= 500
        else:
            with pytest.raises(ConnectError, match=r"no way to 127\.0\.0\.1:1 through the proxy"):
                await client.request("GET", url)


async def test_who_does_not_know_the_password_is_told_so(
    closed_forwarding: Forwarding, tmp_path: Path
) -> None:
    for credentials in ("", "me:wrong", "other:secret", "me"):
        url = closed_forwarding.url(credentials)
        async with through(closed_forwarding, tmp_path, url) as (client, there):
            with pytest.raises(ConnectError, match=r"name and (a )?password") as caught:
                await client.request("GET", there.url("https"))
            assert "wrong" not in str(caught.value)
            assert there.asked == []


async def test_the_environment_may_name_the_proxy_and_what_goes_past_it(
    forwarding: Forwarding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", forwarding.url())
    for past, names_it in (("", False), ("localhost", True)):
        monkeypatch.setenv("no_proxy", past)
        async with server() as there, Client(tls=client_context(), timeouts=PATIENT) as client:
            # It does not run, so that whoever goes to it gets nowhere.
            if names_it:
                assert (await client.request("GET", there.url("https"))).status_code == 200
            else:
                with pytest.raises(ConnectError, match="no way to the proxy"):
                    await client.request("GET", there.url("https"))
