"""Through a proxy: what it is asked, and what it may answer; in memory, byte by byte."""

from __future__ import annotations

import asyncio

import pytest
from support import memory
from support.cancelling import WAYS, Way
from support.jumping import jumping
from support.peer import Peer, settle

from nbdriver.client.proxies import Proxy
from nbdriver.client.tunnels import connect_through
from nbdriver.client.urls import URL
from nbdriver.errors import ConnectError
from nbdriver.net.channel import Channel
from nbdriver.net.clock import VirtualClock

HTTP = Proxy.parse("http://proxy.example:3128")
HTTP_ME = Proxy.parse("http://me:secret@proxy.example:3128")
SOCKS = Proxy.parse("socks5://proxy.example")
SOCKS_ME = Proxy.parse("socks5://me:secret@proxy.example")

CONNECT = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
GREETING, PASSWORD = b"\x05\x01\x00", b"\x01\x02me\x06secret"
ASKED = b"\x05\x01\x00\x03\x09a.example\x01\xbb"
CONNECTED = b"\x05\x00\x00\x01" + bytes(6)


class Tunnel:
    """A channel, the proxy at its other end, and what is being done between them."""

    def __init__(self, proxy: Proxy, url: str = "https://a.example/") -> None:
        self.channel, self.peer = Channel(VirtualClock()), Peer()
        memory.connect(self.channel.stream, self.peer)
        self.coroutine = connect_through(self.channel, proxy, URL.parse(url).origin)

    async def finish(self) -> bytes:
        """End the connection; gives all that the proxy was sent."""
        asked = bytes(self.peer.received)
        self.channel.abort()
        self.peer.transport.abort()
        await self.channel.wait_closed()
        await settle()
        return asked


async def play(
    proxy: Proxy, *answers: bytes, url: str = "https://a.example/", eof: bool = False
) -> bytes:
    """Let the proxy answer piece by piece, then end perhaps; gives all that it was sent."""
    tunnel = Tunnel(proxy, url)
    task = asyncio.create_task(tunnel.coroutine)
    try:
        for answer in answers:
            await settle()
            tunnel.peer.send(answer)
        if eof:
            tunnel.peer.transport.close()
        await task
        assert not tunnel.channel.buffer
        assert tunnel.channel.open
    finally:
        asked = await tunnel.finish()
    return asked


def bytewise(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


@jumping
async def test_an_http_proxy_is_asked_for_a_tunnel_by_connect() -> None:
    assert await play(HTTP, ESTABLISHED) == CONNECT
    authorized = CONNECT[:-2] + b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
    assert await play(HTTP_ME, ESTABLISHED) == authorized


@jumping
async def test_an_ipv6_address_is_written_in_brackets_for_an_http_proxy_and_whole_for_socks() -> (
    None
):
    asked = await play(HTTP, ESTABLISHED, url="wss://[::1]:8443/")
    assert asked == CONNECT.replace(b"a.example:443", b"[::1]:8443")
    asked = await play(SOCKS, b"\x05\x00" + CONNECTED, url="http://[::1]/")
    assert asked == GREETING + b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x00\x50"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 \r\n\r\n",
        b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 299 Y\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + ESTABLISHED,
    ],
)
@jumping
async def test_every_2xx_opens_the_tunnel_whatever_it_says_of_a_body(answer: bytes) -> None:
    assert await play(HTTP, answer) == CONNECT
    assert await play(HTTP, *bytewise(answer)) == CONNECT


@jumping
async def test_a_socks_proxy_is_asked_step_by_step() -> None:
    assert await play(SOCKS, b"\x05\x00", CONNECTED) == GREETING + ASKED
    assert await play(SOCKS, *bytewise(b"\x05\x00" + CONNECTED)) == GREETING + ASKED
    answers = b"\x05\x02\x01\x00" + CONNECTED
    asked = b"\x05\x02\x00\x02" + PASSWORD + ASKED
    assert await play(SOCKS_ME, *bytewise(answers)) == asked


@pytest.mark.parametrize(
    ("proxy", "answer", "words"),
    [
        (HTTP, b"HTTP/1.1 403 Forbidden\r\n\r\n", "expected a tunnel, got 403 'Forbidden'"),
        (HTTP, b"HTTP/1.1 302 \r\nLocation: /\r\n\r\n", "expected a tunnel, got 302 ''"),
        (HTTP, b"HTTP/1.1 502 \xe4\r\nContent-Length: 9\r\n\r\nsome", r"got 502 '\xe4'"),
        (HTTP, b"HTTP/1.1 407 Who\r\n\r\n",
            "wants a name and a password, got 407 'Who': write its URL as http://name:password@"),
        (HTTP, b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", "wants a name"),
        (HTTP, b"HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM, basic\r\n\r\n", "wants a name"),
        (HTTP, b"HTTP/1.1 407 W\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Basics\r\n\r\n",
            "to ask for Basic authentication, got 407 'W', which asks for 'NTLM, Basics'"),
        (HTTP_ME, b"HTTP/1.1 407 Who\r\n\r\n", "to accept the name and password in its URL, got"),
        (HTTP_ME, b"HTTP/1.1 401 \r\nWWW-Authenticate: Basic x\r\n\r\n", "to accept the name and"),
        (HTTP_ME, b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest x\r\n\r\n", "'Digest x'"),
        (HTTP, b"HTTP/1.1 101 Switching\r\n\r\n", "expected"),
        (HTTP, b"SSH-2.0-OpenSSH\r\n", "expected \"HTTP/1.1\" and a status, got 'SSH-2.0"),
        (HTTP, b"\x05\x00", "expected \"HTTP/1.1\" and a status"),
        (HTTP, b"HTTP/1.1 200 OK\r\n bad\r\n\r\n", "expected"),
        (HTTP, ESTABLISHED + b"x", "expected nothing before the server is spoken to, got 1 bytes"),
        (HTTP, ESTABLISHED + ESTABLISHED, "got 39 bytes with the proxy's answer"),
        (HTTP, b"HTTP/1.1 100 Continue\r\n\r\n" * 40, "at most 32 interim responses"),
        (HTTP, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "at most 65536 bytes"),
        (SOCKS, b"HTTP/1.1 400 Bad\r\n", "is it an HTTP proxy"),
        (SOCKS, b"\x05\xff", "wants a name and a password"),
        (SOCKS, b"\x05\x00\x05\x05\x00\x01", "has not connected: the connection was refused"),
        (SOCKS, b"\x05\x00" + CONNECTED + b"x", "got 1 bytes with the proxy's answer"),
        (SOCKS_ME, b"\x05\x02\x01\x01", "does not accept the name and password"),
    ],
)  # fmt: skip
@jumping
async def test_every_other_answer_is_an_error_that_says_what_came(
    proxy: Proxy, answer: bytes, words: str
) -> None:
    for eof in (False, True):
        with pytest.raises(ConnectError) as caught:
            await play(proxy, answer, eof=eof)
        message = str(caught.value)
        assert words in message
        assert message.startswith(f"no way to a.example:443 through the proxy {proxy}: ")
        assert "secret" not in message


@pytest.mark.parametrize(
    ("proxy", "answers"), [(HTTP, ESTABLISHED), (SOCKS_ME, b"\x05\x02\x01\x00" + CONNECTED)]
)
@jumping
async def test_a_proxy_that_ends_or_is_gone_at_any_byte_is_an_error(
    proxy: Proxy, answers: bytes
) -> None:
    for end in range(len(answers)):
        with pytest.raises(ConnectError, match=r"no way to .* the connection's end"):
            await play(proxy, answers[:end], eof=True)
        tunnel = Tunnel(proxy)
        task = asyncio.create_task(tunnel.coroutine)
        tunnel.peer.send(answers[:end])
        await settle()
        tunnel.peer.transport.abort()
        with pytest.raises(ConnectError, match=r"no way to .* the connection is gone"):
            await task
        await tunnel.finish()


@pytest.mark.parametrize("proxy", [HTTP, SOCKS])
@jumping
async def test_a_connection_that_is_closed_already_is_an_error(proxy: Proxy) -> None:
    tunnel = Tunnel(proxy)
    tunnel.peer.transport.abort()
    await settle()
    with pytest.raises(ConnectError, match=r"no way to .* but it is closed"):
        await tunnel.coroutine
    await tunnel.finish()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("proxy", "answers"), [(HTTP, ESTABLISHED), (SOCKS_ME, b"\x05\x02\x01\x00" + CONNECTED)]
)
@jumping
async def test_it_may_be_cancelled_at_any_time(proxy: Proxy, answers: bytes, way: Way) -> None:
    number, reached = 1, True
    while reached:
        tunnel = Tunnel(proxy)
        for byte in answers:
            asyncio.get_running_loop().call_soon(tunnel.peer.send, bytes([byte]))
        outcome = await way(tunnel.coroutine, number)
        reached = outcome.reached
        assert outcome.cancelled or outcome.error is None
        await tunnel.finish()
        number += 1
    assert number > 2
