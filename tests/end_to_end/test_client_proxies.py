"""A client that goes through a proxy: what each of both is told, and proxies that do not behave."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.certificates import client_context
from support.loops import on_each_loop
from support.raw_proxy import ESTABLISHED, HOST, NAME, RawProxy, raw_proxy, saying
from support.say_again import Server, server

from nbdriver.client import Client, Timeouts
from nbdriver.errors import ConfigError, ConnectError, InvalidResponse, NetworkTimeout

KINDS = ("http", "https", "socks5", "socks5h")
BASIC = "Basic bWU6c2VjcmV0"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outside of a test says anything of proxies."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)


def client(proxy: str | None = None, **settings: Any) -> Client:
    return Client(proxy=proxy, tls=client_context(), **settings)


@asynccontextmanager
async def behind(kind: str, *, password: bool = False) -> AsyncIterator[tuple[Server, RawProxy]]:
    """A server whose name only a proxy knows, and the proxy, which leads to its HTTP port."""
    async with (
        server(NAME) as there,
        raw_proxy(there.ports["http"], tls=kind == "https", by_password=password) as proxy,
    ):
        yield there, proxy


async def hears_it_all(through: Client, scheme: str) -> None:
    """See that a server is reached: what it is told comes back."""
    if scheme in ("http", "https"):
        for body in (b"hello", bytes(range(256)) * 4_000):
            response = await through.request("POST", f"{scheme}://{NAME}/a?b", content=body)
            assert (response.status_code, response.content) == (200, body)
        return
    async with through.websocket(f"{scheme}://{NAME}/a?b") as websocket:
        for message in ("hello", "大" * 100_000):
            await websocket.send(message)
            assert await websocket.receive_text() == message


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss"])
@pytest.mark.parametrize("kind", KINDS)
@on_each_loop
async def test_a_server_is_reached_that_only_the_proxy_knows(kind: str, scheme: str) -> None:
    socks = kind.startswith("socks")
    async with behind(kind, password=socks) as (there, proxy):
        if scheme in ("https", "wss"):
            proxy.upstream = there.ports["https"]
        async with client(proxy.url(kind, "me:secret@")) as through:
            await hears_it_all(through, scheme)
        # The password was for the proxy alone.
        assert set(there.asked) == {("/a?b", NAME, None if scheme != "http" or socks else BASIC)}
        sent = b"".join(proxy.asked)
        assert (b"secret" if socks else BASIC.encode()) in sent


@on_each_loop
async def test_a_request_that_is_forwarded_names_the_whole_url() -> None:
    async with behind("http") as (_, proxy), client(proxy.url(None, "me:secret@")) as through:
        await through.request("GET", f"http://{NAME}:8080/a?b#c", headers={"User-Agent": "x"})
        lines = proxy.asked[0].decode().split("\r\n")
        assert lines[0] == f"GET http://{NAME}:8080/a?b HTTP/1.1"
        assert f"Host: {NAME}:8080" in lines
        assert f"Proxy-Authorization: {BASIC}" in lines


@pytest.mark.parametrize("scheme", ["https", "wss"])
@on_each_loop
async def test_a_proxy_that_opens_a_tunnel_is_told_nothing_but_where_to(scheme: str) -> None:
    async with behind("http") as (there, proxy), client(proxy.url()) as through:
        proxy.upstream = there.ports["https"]
        await hears_it_all(through, scheme)
        place = f"{NAME}:443"
        assert proxy.asked == [f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode()]


@on_each_loop
async def test_a_redirect_into_a_tunnel_leaves_the_proxys_password_with_the_proxy() -> None:
    async with behind("http") as (there, proxy), client(proxy.url(None, "me:secret@")) as through:
        proxy.tunnels_to = there.ports["https"]
        there.leads_to = f"https://{NAME}/there"
        response = await through.request("GET", f"http://{NAME}/")
        assert response.status_code == 200
        assert there.asked == [("/", NAME, BASIC), ("/there", NAME, None)]
        first, second = proxy.asked
        assert first.startswith(b"GET http://")
        assert second.startswith(b"CONNECT ")


@on_each_loop
async def test_a_request_may_have_a_proxy_of_its_own_or_none() -> None:
    async with (
        behind("http") as (there, proxy),
        raw_proxy(there.ports["http"]) as other,
        client(proxy.url()) as through,
    ):
        url = there.url("http", host=HOST)
        await through.request("GET", url, proxy=None)
        assert (proxy.asked, other.asked, len(there.asked)) == ([], [], 1)
        await through.request("GET", url, proxy=other.url("socks5"))
        assert (proxy.asked, len(other.asked), len(there.asked)) == ([], 2, 2)
        async with through.websocket(url.replace("http", "ws"), proxy=other.url()) as websocket:
            await websocket.send("hello")
            assert await websocket.receive_text() == "hello"
        assert (proxy.asked, len(other.asked), len(there.asked)) == ([], 3, 3)
        with pytest.raises(ConfigError, match="got 'socks4'"):
            await through.request("GET", url, proxy="socks4://me:secret@proxy")
        await through.request("GET", url)
        assert len(proxy.asked) == 1


@on_each_loop
async def test_the_environment_is_read_when_the_client_is_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with behind("http") as (there, proxy):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        named = client()
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        monkeypatch.setenv("NO_PROXY", f"{HOST}:{there.ports['http']}")
        async with named as through, client(trust_env=False) as past:
            monkeypatch.delenv("HTTP_PROXY")
            await hears_it_all(through, "http")
            assert len(proxy.asked) == 2
            for one in (through, past):
                response = await one.request("GET", there.url("http", host=HOST))
                assert response.status_code == 200
            assert len(proxy.asked) == 2


# Proxies that do not behave, or not as one would like.


@pytest.mark.parametrize("then", ["stay", "end", "reset"])
@pytest.mark.parametrize(
    ("kind", "answer", "words"),
    [
        ("http", b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n", "wants a name and"),
        ("http", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", "got 403 'Forbidden'"),
        ("http", b"HTTP/1.1 503 Full\r\nTransfer-Encoding: chunked\r\n\r\n", "got 503 'Full'"),
        ("http", b"SSH-2.0-OpenSSH_9.2\r\n", "got 'SSH-2.0"),
        ("http", b"\x15\x03\x01\x00\x02\x02\x46", "got TLS: is it https?"),
        ("http", ESTABLISHED + b"\x15\x03\x01", "got 3 bytes with the proxy's answer"),
        ("socks5", b"\x05\xff", "wants a name and a password"),
        ("socks5", b"\x05\x00\x05\x02\x00\x01" + bytes(6), "its rules do not allow it"),
        ("socks5", b"\x05\x00\x05\x00\x00\x01" + bytes(6) + b"x", "got 1 bytes"),
        ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "is it an HTTP proxy"),
    ],
)
@on_each_loop
async def test_a_proxy_that_refuses_or_talks_nonsense_is_an_error_that_tells_what_it_said(
    kind: str, answer: bytes, words: str, then: str
) -> None:
    async with (
        saying(answer, then) as port,
        server() as there,
        client(f"{kind}://{HOST}:{port}") as through,
    ):
        with pytest.raises(ConnectError) as caught:
            await through.request("GET", f"https://{NAME}/")
        message = str(caught.value)
        assert message.startswith(f"no way to {NAME}:443 through the proxy {kind}://{HOST}:{port}:")
        if then != "reset":
            # A reset may overtake what was said before.
            assert words in message
        with pytest.raises(ConnectError, match=f"no way to {NAME}:80 through the proxy"):
            async with through.websocket(f"ws://{NAME}/"):
                pass
        assert (await through.request("GET", there.url("http"), proxy=None)).status_code == 200


@pytest.mark.parametrize("answer", [b"", ESTABLISHED[:-1], b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("limit", ["connect", "total"])
@on_each_loop
async def test_a_proxy_that_does_not_answer_in_time_is_left(limit: str, answer: bytes) -> None:
    timeouts = Timeouts(connect=60.0).replace(**{limit: 0.05})
    async with (
        saying(answer) as port,
        client(f"http://{HOST}:{port}", timeouts=timeouts) as through,
    ):
        with pytest.raises(NetworkTimeout, match=f"the {limit} limit"):
            await through.request("GET", f"https://{NAME}/")


@pytest.mark.parametrize("answer", [b"", b"\x05", b"\x05\x00\x05\x00\x00"])
@on_each_loop
async def test_a_socks_proxy_that_does_not_answer_in_time_is_left(answer: bytes) -> None:
    async with (
        saying(answer) as port,
        client(f"socks5://{HOST}:{port}", timeouts=Timeouts(connect=0.05)) as through,
    ):
        with pytest.raises(NetworkTimeout, match="the connect limit"):
            await through.request("GET", f"https://{NAME}/")
        with pytest.raises(NetworkTimeout, match="the connect limit"):
            async with through.websocket(f"ws://{NAME}/"):
                pass


@on_each_loop
async def test_what_a_proxy_answers_to_a_request_that_it_forwards_is_the_answer() -> None:
    refused = b"HTTP/1.1 407 Who\r\nContent-Length: 2\r\n\r\nno"
    async with saying(refused) as port, client(f"http://{HOST}:{port}") as through:
        response = await through.request("GET", f"http://{NAME}/")
        assert (response.status_code, response.content) == (407, b"no")
    async with saying(b"junk\r\n") as port, client(f"http://{HOST}:{port}") as through:
        with pytest.raises(InvalidResponse):
            await through.request("GET", f"http://{NAME}/")


@on_each_loop
async def test_a_proxy_that_ends_without_a_word_loses_no_request_that_may_not_be_repeated() -> None:
    """As tinyproxy does, behind each answer."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with saying(answer, "end") as port, client(f"http://{HOST}:{port}") as through:
        for _ in range(20):
            response = await through.request("POST", f"http://{NAME}/", content=b"once")
            assert response.content == b"ok"
