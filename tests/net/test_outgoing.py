"""Connections outwards: by name, address and path, over TLS, and whatever does not come about."""

from __future__ import annotations

import asyncio
import datetime
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.cancelling import WAYS, Way
from support.certificates import authority, client_context, stranger, write_authority
from support.jumping import JumpingLoop
from support.leaks import nothing_left
from support.loops import on_each_loop
from support.outside import Outside, blackhole, named, no_server, outside, server_context
from support.peer import PATIENCE, Peer, settle

from nbdriver.errors import ConnectError, ConnectionLost
from nbdriver.net import outgoing
from nbdriver.net.channel import Channel
from nbdriver.net.clock import LoopClock
from nbdriver.net.outgoing import default_tls, open_tcp, open_unix, secure


def new_channel() -> Channel:
    return Channel(LoopClock(asyncio.get_running_loop()))


@asynccontextmanager
async def opened(there: Outside) -> AsyncIterator[tuple[Channel, Peer]]:
    """A connection to a server, and its other end."""
    channel = new_channel()
    await open_tcp(channel, *there.address[:2])
    yield channel, await there.peer()
    await gone(channel)


async def gone(channel: Channel) -> None:
    """End a channel, and see that it is over."""
    channel.abort()
    async with asyncio.timeout(PATIENCE):
        await channel.wait_closed()


async def exchange(channel: Channel, peer: Peer) -> None:
    """See that something gets through, both ways."""
    channel.write(b"question\n")
    assert await peer.read(b"\n") == b"question\n"
    peer.send(b"answer\n")
    while b"answer\n" not in channel.buffer:
        assert await channel.more()


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as tried:
        try:
            tried.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


# TCP.


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
@on_each_loop
async def test_a_connection_to_an_address_carries_bytes_both_ways(host: str) -> None:
    async with outside(host) as there, opened(there) as (channel, peer):
        await exchange(channel, peer)
        assert channel.info("peername")[:2] == (host, there.address[1])
        channel.close()
        assert await peer.read_to_end() == b""


@on_each_loop
async def test_a_name_is_looked_up() -> None:
    async with outside() as there:
        channel = new_channel()
        await open_tcp(channel, "localhost", there.address[1])
        await exchange(channel, await there.peer())
        await gone(channel)


@on_each_loop
async def test_the_zone_of_an_address_is_one_of_the_systems() -> None:
    with pytest.raises(ConnectError, match=r"expected a name with an address, got fe80::1%nosuch"):
        await open_tcp(new_channel(), "fe80::1%nosuch", 80)


@on_each_loop
async def test_whoever_is_refused_is_told_by_whom() -> None:
    with no_server() as port:
        with pytest.raises(ConnectError) as caught:
            await open_tcp(new_channel(), "127.0.0.1", port)
        assert str(caught.value) == (
            f"expected a connection to 127.0.0.1:{port}, got none (127.0.0.1: Connection refused)"
        )


@needs_ipv6
@on_each_loop
async def test_an_ipv6_address_stands_in_brackets_before_its_port() -> None:
    with no_server("::1") as port, pytest.raises(ConnectError, match=rf"to \[::1\]:{port}, got"):
        await open_tcp(new_channel(), "::1", port)


@on_each_loop
async def test_a_name_that_no_name_system_takes_has_no_address() -> None:
    with pytest.raises(ConnectError, match=r"expected a name with an address, got a{64}: .*long"):
        await open_tcp(new_channel(), "a" * 64, 80)


def test_a_connection_that_is_lost_before_it_has_a_transport_is_closed() -> None:
    """On macOS it cannot be told to have no delay then."""

    class OnMacOS(JumpingLoop):
        async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
            raise OSError(errno.EINVAL, "Invalid argument")

    async def scenario() -> None:
        async with outside() as there, nothing_left():
            with pytest.raises(ConnectError, match="but it was lost at once: Invalid argument"):
                await open_tcp(new_channel(), *there.address)

    with asyncio.Runner(loop_factory=OnMacOS) as runner:
        runner.run(scenario())


# Happy eyeballs (RFC 8305), in virtual time.

Scenario = Callable[[asyncio.AbstractEventLoop], Coroutine[Any, Any, None]]


def run_with_names(scenario: Scenario, **names: list[str]) -> None:
    async def guarded() -> None:
        async with nothing_left():
            await scenario(asyncio.get_running_loop())

    with asyncio.Runner(loop_factory=named(**names)) as runner:
        runner.run(guarded())


def listening_at(host: str, port: int) -> socket.socket:
    listening = socket.socket()
    listening.bind((host, port))
    return listening


def test_an_unknown_name_is_told_in_the_systems_words() -> None:
    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        with pytest.raises(ConnectError) as caught:
            await open_tcp(new_channel(), "nobody.example", 80)
        assert str(caught.value) == (
            "expected a name with an address, got nobody.example: Name or service not known"
        )

    run_with_names(scenario)


def test_an_address_that_does_not_answer_is_not_waited_for() -> None:
    """RFC 8305, 5: the next one is tried 250 ms later, beside it."""

    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        with blackhole() as port:
            async with outside(sock=listening_at("127.0.0.2", port)) as there:
                began, channel = loop.time(), new_channel()
                await open_tcp(channel, "bot.example", port)
                assert 0.25 <= loop.time() - began < 0.26
                await exchange(channel, await there.peer())
                await gone(channel)

    run_with_names(scenario, bot_example=["127.0.0.1", "127.0.0.2"])


def test_an_address_that_refuses_gives_way_to_the_next_at_once() -> None:
    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        with no_server() as port:
            async with outside(sock=listening_at("127.0.0.2", port)) as there:
                began, channel = loop.time(), new_channel()
                await open_tcp(channel, "bot.example", port)
                assert loop.time() == began
                await exchange(channel, await there.peer())
                await gone(channel)

    run_with_names(scenario, bot_example=["127.0.0.1", "127.0.0.2"])


def test_the_first_that_answers_is_the_only_one_that_is_asked() -> None:
    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        async with outside() as first:
            port = first.address[1]
            async with outside(sock=listening_at("127.0.0.2", port)) as second:
                channel = new_channel()
                await open_tcp(channel, "bot.example", port)
                await exchange(channel, await first.peer())
                await gone(channel)
                assert second.peers == []

    run_with_names(scenario, bot_example=["127.0.0.1", "127.0.0.2"])


def test_if_no_address_is_reached_the_error_tells_of_each() -> None:
    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        with no_server() as port, pytest.raises(ConnectError) as caught:
            await open_tcp(new_channel(), "bot.example", port)
        assert str(caught.value) == (
            f"expected a connection to bot.example:{port}, got none"
            " (127.0.0.1: Connection refused; 127.0.0.2: Connection refused)"
        )

    # A name may have the same address twice; it is tried once.
    run_with_names(scenario, bot_example=["127.0.0.1", "127.0.0.2", "127.0.0.1"])


@needs_ipv6
def test_the_families_take_turns_from_the_systems_first_choice_on() -> None:
    """RFC 8305, 4."""

    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        with no_server() as port, pytest.raises(ConnectError) as caught:
            await open_tcp(new_channel(), "bot.example", port)
        tried = [part.split(": ")[0] for part in str(caught.value).partition("(")[2].split("; ")]
        assert tried == ["127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"]

    run_with_names(scenario, bot_example=["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"])


# Unix sockets.


@on_each_loop
async def test_a_path_leads_to_a_unix_socket(tmp_path: Path) -> None:
    async with outside(unix=str(tmp_path / "socket")) as there:
        channel = new_channel()
        await open_unix(channel, str(tmp_path / "socket"))
        await exchange(channel, await there.peer())
        await gone(channel)


@on_each_loop
async def test_a_name_after_an_at_sign_is_in_the_abstract_namespace() -> None:
    name = f"nbdriver-test-{os.getpid()}"
    async with outside(unix=f"\0{name}") as there:
        channel = new_channel()
        await open_unix(channel, f"@{name}")
        await exchange(channel, await there.peer())
        await gone(channel)


@on_each_loop
async def test_a_path_where_nobody_listens_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with pytest.raises(ConnectError) as caught:
        await open_unix(new_channel(), path)
    assert str(caught.value) == (
        f"expected a connection to unix:{path}, got none: No such file or directory"
    )


@on_each_loop
async def test_a_path_that_is_too_long_is_told() -> None:
    with pytest.raises(ConnectError, match="AF_UNIX path too long"):
        await open_unix(new_channel(), "/" + "x" * 200)


@on_each_loop
async def test_a_unix_socket_whose_backlog_is_full_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(0)
        ahead = await fill(path)
        channel = new_channel()
        opening = asyncio.create_task(open_unix(channel, path))
        await settle()
        assert not opening.done()
        for each in ahead:
            each.close()
            listening.accept()[0].close()
        async with asyncio.timeout(PATIENCE):
            await opening
        accepted, _ = listening.accept()
        with accepted:
            channel.write(b"hello")
            assert accepted.recv(5) == b"hello"
        await gone(channel)


async def fill(path: str) -> list[socket.socket]:
    """Connect to a Unix socket until no more are taken."""
    clients = []
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(path)
        except BlockingIOError:
            client.close()
            return clients
        clients.append(client)


async def test_a_system_without_unix_sockets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = new_channel()
    with monkeypatch.context() as windows:
        windows.delattr(socket, "AF_UNIX")
        with pytest.raises(
            ConnectError, match="expected a system with Unix sockets for /tmp/a, this"
        ):
            await open_unix(channel, "/tmp/a")


# TLS.


@on_each_loop
async def test_over_tls_bytes_go_both_ways_and_http11_is_agreed_on() -> None:
    context = server_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    ours = client_context()
    ours.set_alpn_protocols(["http/1.1"])
    async with outside(tls=context) as there:
        channel = new_channel()
        await open_tcp(channel, *there.address)
        await secure(channel, ours, "localhost")
        await exchange(channel, await there.peer())
        assert channel.info("ssl_object").selected_alpn_protocol() == "http/1.1"
        peer = await there.peer()
        peer.transport.close()
        while await channel.more():
            pass
        assert channel.eof
        await gone(channel)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost.", "127.0.0.1%lo"])
@on_each_loop
async def test_the_certificate_is_for_the_host_without_a_last_dot_or_zone(host: str) -> None:
    async with outside(tls=server_context("localhost", "127.0.0.1")) as there:
        channel = new_channel()
        await open_tcp(channel, *there.address)
        await secure(channel, client_context(), host)
        await exchange(channel, await there.peer())
        await gone(channel)


@on_each_loop
async def test_tls_may_begin_after_plain_bytes_and_inside_of_tls() -> None:
    """As through a proxy that is reached over TLS."""
    async with outside() as there, opened(there) as (channel, peer):
        await exchange(channel, peer)
        for name in ("proxy.example", "bot.example"):
            channel.buffer.clear()
            context = server_context(name)
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(
                    secure(channel, client_context(), name),
                    peer.start_tls(context),  # type: ignore[attr-defined]  # outside's peer
                )
            await exchange(channel, peer)
            certificate = channel.info("peercert")
            assert certificate["subjectAltName"] == (("DNS", name),)
        assert channel.open is False  # the answer lies in the buffer
        channel.buffer.clear()
        assert channel.open
        much = b"0123456789abcdef" * 2**16
        channel.write(much)
        await peer.until(lambda: len(peer.received) == len(much))
        peer.transport.close()
        while await channel.more():
            pass
        assert not channel.open


def expired() -> ssl.SSLContext:
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return server_context("localhost", not_before=long_ago, not_after=long_ago)


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (
            lambda: server_context("other.example"),
            "Hostname mismatch, certificate is not valid for 'localhost'",
        ),
        (
            lambda: server_context(ca=stranger()),
            (
                "unable to get local issuer certificate"
                " (a CA of your own is trusted by SSL_CERT_FILE=ca.pem, or by a context in `tls`)"
            ),
        ),
        (expired, "certificate has expired"),
    ],
    ids=["other name", "unknown authority", "expired"],
)
@on_each_loop
async def test_a_certificate_that_proves_nothing_is_told_with_the_reason(
    theirs: Callable[[], ssl.SSLContext], reason: str
) -> None:
    async with outside(tls=theirs()) as there:
        channel = new_channel()
        await open_tcp(channel, *there.address)
        with pytest.raises(ConnectError) as caught:
            await secure(channel, client_context(), "localhost")
        assert str(caught.value) == (
            "expected a certificate that proves to be localhost, got one that does not: " + reason
        )
        await ended(channel)


async def ended(channel: Channel) -> None:
    """See that a channel is gone without anybody having ended it."""
    async with asyncio.timeout(PATIENCE):
        await channel.wait_closed()
    with pytest.raises(ConnectionLost):
        channel.write(b"too late")


@on_each_loop
async def test_a_certificate_is_looked_at_inside_of_tls_as_well() -> None:
    async with outside(tls=server_context("proxy.example")) as there:
        channel = new_channel()
        await open_tcp(channel, *there.address)
        await secure(channel, client_context(), "proxy.example")
        peer = await there.peer()
        serving = asyncio.create_task(RawTLS(server_context("other.example")).serve(peer, b""))
        with pytest.raises(ConnectError, match="Hostname mismatch, certificate is not valid for"):
            await secure(channel, client_context(), "bot.example")
        await ended(channel)
        serving.cancel()


@pytest.mark.parametrize("reset", [False, True])
@on_each_loop
async def test_tls_may_be_lost_while_it_is_begun_inside_of_tls(reset: bool) -> None:
    async with outside(tls=server_context()) as there:
        channel = new_channel()
        await open_tcp(channel, *there.address)
        await secure(channel, client_context(), "localhost")
        peer = await there.peer()
        securing = asyncio.create_task(secure(channel, client_context(), "localhost"))
        await peer.until(lambda: len(peer.received) > 0)
        (resets if reset else leaves)(peer)
        with pytest.raises(ConnectError, match="lost in the handshake"):
            await securing
        await ended(channel)


def answers_http(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def leaves(peer: Peer) -> None:
    peer.transport.close()


def resets(peer: Peer) -> None:
    peer.reset()


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (answers_http, "expected TLS from localhost, got none: what came is no TLS (is it http"),
        (leaves, "expected TLS from localhost, but the connection was lost in the handshake"),
        (resets, "expected TLS from localhost, but the connection was lost in the handshake"),
    ],
)
@on_each_loop
async def test_whoever_speaks_no_tls_is_told_of(does: Callable[[Peer], None], reason: str) -> None:
    async with outside() as there, opened(there) as (channel, peer):
        securing = asyncio.create_task(secure(channel, client_context(), "localhost"))
        await peer.until(lambda: len(peer.received) > 0)
        does(peer)
        with pytest.raises(ConnectError) as caught:
            await securing
        assert str(caught.value).startswith(reason)
        await ended(channel)


@on_each_loop
async def test_what_a_server_has_against_us_is_told() -> None:
    ours = client_context()
    ours.minimum_version = ssl.TLSVersion.TLSv1_3
    async with outside() as there, opened(there) as (channel, peer):
        securing = asyncio.create_task(secure(channel, ours, "localhost"))
        with pytest.raises(ssl.SSLError):
            await RawTLS(server_context()).serve(peer, b"")
        with pytest.raises(ConnectError) as caught:
            await securing
        assert str(caught.value) == (
            "expected TLS from localhost, got none: tlsv1 alert protocol version"
        )
        await ended(channel)


@pytest.mark.parametrize("does", [leaves, resets])
@on_each_loop
async def test_a_connection_that_has_ended_before_gets_no_tls(
    does: Callable[[Peer], None],
) -> None:
    async with outside() as there, opened(there) as (channel, peer):
        does(peer)
        try:
            assert not await channel.more()
        except ConnectionLost:
            pass
        with pytest.raises(ConnectError, match="lost in the handshake"):
            await secure(channel, client_context(), "localhost")


@on_each_loop
async def test_a_channel_that_is_aborted_in_the_handshake_gets_no_tls() -> None:
    async with outside() as there, opened(there) as (channel, peer):
        securing = asyncio.create_task(secure(channel, client_context(), "localhost"))
        await peer.until(lambda: len(peer.received) > 0)
        channel.abort()
        with pytest.raises(ConnectError, match="lost in the handshake"):
            await securing
        await ended(channel)


@on_each_loop
async def test_a_server_that_says_goodbye_in_its_first_words_has_said_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its hello, its answer and its goodbye may be read in one go."""
    async with outside() as there, opened(there) as (channel, peer):
        tls = RawTLS(server_context())
        securing = asyncio.create_task(secure(channel, client_context(), "localhost"))
        await tls.serve(peer, b"too many connections")
        await securing
        while await channel.more():
            pass
        assert channel.buffer == b"too many connections"
        await ended(channel)
    assert [record.getMessage() for record in caplog.records] == []


class RawTLS:
    """A server's side of TLS 1.2 without asyncio, whose last flight goes out in one piece."""

    def __init__(self, context: ssl.SSLContext) -> None:
        # In TLS 1.3 a server has had its last word of the handshake before the client has.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def serve(self, peer: Peer, words: bytes) -> None:
        while True:
            await peer.until(lambda: len(peer.received) > 0)
            self._incoming.write(bytes(peer.received))
            peer.received.clear()
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                peer.send(self._outgoing.read())
            except ssl.SSLError:
                peer.send(self._outgoing.read())
                raise
            else:
                break
        self._tls.write(words)
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        peer.send(self._outgoing.read())


@on_each_loop
async def test_a_server_that_would_speak_http2_is_left() -> None:
    theirs, ours = server_context(), client_context()
    theirs.set_alpn_protocols(["h2", "http/1.1"])
    ours.set_alpn_protocols(["h2", "http/1.1"])
    async with outside(tls=theirs) as there:
        channel = new_channel()
        await open_tcp(channel, *there.address)
        with pytest.raises(
            ConnectError, match=r"expected http/1.1 from localhost, got h2: the TLS"
        ):
            await secure(channel, ours, "localhost")
        await ended(channel)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", ".example", ""])
@on_each_loop
async def test_a_host_that_no_certificate_can_have_is_told(host: str) -> None:
    async with outside() as there, opened(there) as (channel, _):
        with pytest.raises(ConnectError, match="expected a host that TLS can ask for, got '"):
            await secure(channel, client_context(), host)


# The system's trust store.


@pytest.fixture
def trust_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Says which file holds what the system trusts, for the length of a test."""

    def trust(path: str) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", path)
        monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")

    outgoing._trust_store.cache_clear()
    yield trust
    outgoing._trust_store.cache_clear()


@on_each_loop
async def test_unless_it_is_told_otherwise_it_trusts_whom_the_system_trusts(
    trust_store: Callable[[str], None], tmp_path: Path
) -> None:
    trust_store(str(write_authority(tmp_path / "authority.pem", authority())))
    theirs = server_context()
    theirs.set_alpn_protocols(["h2", "http/1.1"])
    async with outside(tls=theirs) as there:
        channel = new_channel()
        await open_tcp(channel, *there.address)
        await secure(channel, await default_tls(), "localhost")
        assert channel.info("ssl_object").selected_alpn_protocol() == "http/1.1"
        await exchange(channel, await there.peer())
        await gone(channel)
    assert await default_tls() is await default_tls()
    await asyncio.get_running_loop().shutdown_default_executor()


@on_each_loop
async def test_a_system_that_trusts_nobody_is_told_so(trust_store: Callable[[str], None]) -> None:
    trust_store("/nonexistent")
    async with outside(tls=server_context()) as there:
        channel = new_channel()
        await open_tcp(channel, *there.address)
        with pytest.raises(ConnectError, match=r"no trusted certificates: install ca-certificates"):
            await secure(channel, await default_tls(), "localhost")
        await ended(channel)
    await asyncio.get_running_loop().shutdown_default_executor()


# Cancelled anywhere, it leaves nothing.


async def through_all(there: Outside) -> None:
    """TCP, and TLS inside of TLS."""
    channel = new_channel()
    try:
        await open_tcp(channel, *there.address)
        await secure(channel, client_context(), "localhost")
        peer = there.peers[-1]
        channel.write(b"?")
        await peer.until(lambda: len(peer.received) > 0)
        context = server_context()
        inner = asyncio.create_task(peer.start_tls(context))  # type: ignore[attr-defined]  # above
        try:
            await secure(channel, client_context(), "localhost")
        finally:
            inner.cancel()
            await asyncio.wait([inner])
            inner.cancelled() or inner.exception()
    finally:
        channel.abort()


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@on_each_loop
async def test_cancelled_at_any_await_it_leaves_nothing(way: Way) -> None:
    for number in range(1, 200):
        async with outside(tls=server_context()) as there, nothing_left():
            outcome = await way(through_all(there), number)
            assert outcome.error is None or outcome.cancelled, outcome.error
            for peer in there.peers:
                if hasattr(peer, "transport"):
                    peer.transport.abort()
        if not outcome.reached:
            break
    else:
        # On a busy machine hundreds of turns may pass before a byte has come; not so of awaits.
        assert way is not WAYS["at await"], "expected an end before so many awaits"


@on_each_loop
async def test_cancelled_while_a_name_is_looked_up_it_leaves_nothing() -> None:
    async with outside() as there, nothing_left():
        outcome = await WAYS["at await"](open_tcp(new_channel(), "localhost", there.address[1]), 1)
        assert outcome.cancelled
    await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@on_each_loop
async def test_cancelled_on_the_way_to_a_unix_socket_it_leaves_nothing(
    way: Way, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(0)
        clients = await fill(path)
        async with nothing_left():
            outcome = await way(open_unix(new_channel(), path), 1)
            assert outcome.cancelled
        for each in clients:
            each.close()


def test_cancelled_while_addresses_are_raced_it_leaves_nothing() -> None:
    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        with blackhole() as port:
            opening = asyncio.create_task(open_tcp(new_channel(), "bot.example", port))
            await asyncio.sleep(0.3)  # of virtual time: both are under way
            opening.cancel()
            await asyncio.wait([opening])
            assert opening.cancelled()

    run_with_names(scenario, bot_example=["127.0.0.1", "127.0.0.2"])
