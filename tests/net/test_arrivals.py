"""What stands between accept and the first byte of HTTP, on each event loop, over loopback."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support.certificates import client_context, write_authority, write_certificate
from support.loops import on_each_loop
from support.peer import PATIENCE, Peer, settle
from support.transports import socket_pair

from nbdriver.config import ServerConfig
from nbdriver.errors import StartupError
from nbdriver.model import Address
from nbdriver.net.arrivals import ArrivalLimits, Arrivals
from nbdriver.net.clock import RESOLUTION, VirtualClock
from nbdriver.net.tls import TLS

LIMITS = ArrivalLimits(arrival_timeout=10.0, shutdown_timeout=5.0)
PEERNAME = ("127.0.0.1", 50_000)
PROXY_HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n"
LOCAL_HEADER = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
UNIX_HEADER = b"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + bytes(216)
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


class Guest(Peer):
    """The server's end of a connection that has come through."""

    def __init__(self, hall: Hall, peername: object) -> None:
        super().__init__()
        self.peername = peername
        self.hall = hall

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.hall.guests.append(self)

    def eof_received(self) -> bool:
        super().eof_received()
        return self.transport.get_extra_info("ssl_object") is None


class Hall:
    """Where connections arrive, and who has come through."""

    def __init__(self, **settings: Any) -> None:
        self.clock = VirtualClock()
        self.guests: list[Guest] = []
        self.sockets: list[socket.socket] = []
        self.arrivals = Arrivals(
            lambda peername: Guest(self, peername), self.clock, limits=LIMITS, **settings
        )

    def arrive(self, peername: object = PEERNAME) -> socket.socket:
        """A client's end of a connection that was accepted just now."""
        here, there = socket_pair()
        there.settimeout(PATIENCE)
        self.sockets.append(there)
        self.arrivals.take(here, peername)
        return there

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0)

    async def guest(self) -> Guest:
        """The first who has come through."""
        await self.until(lambda: bool(self.guests))
        return self.guests[0]

    async def until_empty(self) -> None:
        """Wait until nobody is arriving any more."""
        await self.until(lambda: len(self.arrivals) == 0)

    async def close(self) -> None:
        for each in self.sockets:
            each.close()
        await self.arrivals.close()
        for guest in self.guests:
            if not guest.lost:
                guest.transport.abort()
            await guest.until(lambda guest=guest: guest.lost)
        assert len(self.arrivals) == 0
        assert self.clock.pending == 0


def everybody(peer: Address | None) -> bool:
    return True


@asynccontextmanager
async def hall(caplog: pytest.LogCaptureFixture, **settings: Any) -> AsyncIterator[Hall]:
    """A hall that is closed at the end, in which nothing goes wrong that nobody is told of."""
    caplog.set_level(logging.DEBUG, "nbdriver")
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    it = Hall(**settings)
    try:
        yield it
    finally:
        await it.close()
        await settle()
        assert raised == []


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged: one line of ours for each that did not come through, and nothing else."""
    for record in caplog.records:
        if record.name != "asyncio" or record.levelno > logging.DEBUG:
            assert record.name == "nbdriver.net.arrivals"
            # Only of a proxy that was perhaps forgotten does everybody want to know.
            is_stranger = "NBDRIVER_TRUSTED_PROXIES" in record.getMessage()
            assert record.levelname == ("INFO" if is_stranger else "DEBUG")
            assert record.exc_info is None
    told = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
    pattern = re.compile(r"a connection from \S+: ended before it had begun, (.*)")
    matches = [pattern.fullmatch(line) for line in told]
    assert all(matches), told
    return [match[1] for match in matches if match]


def end_of(client: socket.socket) -> bytes:
    """All that comes until the other end has closed."""
    received = b""
    try:
        while data := client.recv(65_536):
            received += data
    except ConnectionResetError:
        pass
    return received


@pytest.fixture
def tls(tmp_path: Path) -> TLS:
    return TLS(ServerConfig(tls_certificate=str(write_certificate(tmp_path / "server.pem"))))


def wrap(client: socket.socket, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    return (context or client_context()).wrap_socket(client, server_hostname="localhost")


# Without anything before HTTP.


@on_each_loop
async def test_a_connection_is_counted_until_it_is_there(caplog: pytest.LogCaptureFixture) -> None:
    async with hall(caplog) as it:
        client = it.arrive()
        assert len(it.arrivals) == 1
        guest = await it.guest()
        await it.until_empty()
        assert guest.peername == PEERNAME
        client.sendall(REQUEST)
        await guest.read(REQUEST)
    assert lines(caplog) == []


@on_each_loop
async def test_a_connection_for_which_nothing_is_waited_survives_the_close(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hall(caplog) as it:
        client = it.arrive()
        await it.arrivals.close()
        client.sendall(REQUEST)
        await (await it.guest()).read(REQUEST)
    assert lines(caplog) == []


# TLS.


@on_each_loop
async def test_a_connection_is_there_after_its_handshake(
    caplog: pytest.LogCaptureFixture, tls: TLS
) -> None:
    async with hall(caplog, tls=tls) as it:
        raw = it.arrive()
        await settle()
        assert (len(it.arrivals), it.guests) == (1, [])
        client = await asyncio.to_thread(wrap, raw)
        guest = await it.guest()
        await it.until_empty()
        assert it.clock.pending == 0
        client.sendall(REQUEST)
        await guest.read(REQUEST)
        assert guest.transport.get_extra_info("ssl_object").version() == client.version()
        client.close()
    assert lines(caplog) == []


@on_each_loop
async def test_who_comes_after_a_change_of_certificates_gets_the_new_one(
    caplog: pytest.LogCaptureFixture, tls: TLS, tmp_path: Path
) -> None:
    async with hall(caplog, tls=tls) as it:
        old = await asyncio.to_thread(wrap, it.arrive())
        write_certificate(tmp_path / "server.pem")
        assert tls.reload()
        new = await asyncio.to_thread(wrap, it.arrive())
        await it.until(lambda: len(it.guests) == 2)
        assert old.getpeercert(binary_form=True) != new.getpeercert(binary_form=True)
        old.sendall(REQUEST)
        await it.guests[0].read(REQUEST)
        old.close()
        new.close()


@on_each_loop
async def test_a_handshake_that_takes_too_long_is_ended(
    caplog: pytest.LogCaptureFixture, tls: TLS
) -> None:
    async with hall(caplog, tls=tls) as it:
        silent, slow = it.arrive(), it.arrive()
        slow.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
        await settle()
        it.clock.advance(LIMITS.arrival_timeout - RESOLUTION)
        await settle()
        assert len(it.arrivals) == 2
        it.clock.advance(2 * RESOLUTION)
        await it.until_empty()
        for client in (silent, slow):
            assert await asyncio.to_thread(end_of, client) == b""
        assert it.guests == []
    assert lines(caplog) == ["expected a PROXY header or a TLS handshake in time"] * 2


@on_each_loop
@pytest.mark.parametrize(
    "data",
    [REQUEST, b"\x16\x03\x01\x00\x40" + b"x" * 64, b"\xff" * 70_000],
    ids=["HTTP", "TLS", "noise"],
)
async def test_what_is_no_handshake_is_ended(
    caplog: pytest.LogCaptureFixture, tls: TLS, data: bytes
) -> None:
    async with hall(caplog, tls=tls) as it:
        client = it.arrive()
        try:
            client.sendall(data)
        except ConnectionError:
            pass
        await it.until_empty()
        # Some TLS libraries send an alert, none an answer.
        assert b"HTTP" not in await asyncio.to_thread(end_of, client)
        assert it.guests == []
    (line,) = lines(caplog)
    assert "SSL" in line


@on_each_loop
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"], ids=["at once", "half-way"])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_client_that_leaves_in_its_handshake_is_nobodys_concern(
    caplog: pytest.LogCaptureFixture, tls: TLS, sent: bytes, reset: bool
) -> None:
    async with hall(caplog, tls=tls) as it:
        client = it.arrive()
        client.sendall(sent)
        await settle()
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await it.until_empty()
        assert it.guests == []
    assert len(lines(caplog)) == 1


@on_each_loop
async def test_a_client_without_the_certificate_that_is_required_does_not_come_through(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    certificate = write_certificate(tmp_path / "server.pem")
    config = ServerConfig(
        tls_certificate=str(certificate),
        tls_client_ca=str(write_authority(tmp_path / "ca.pem")),
        tls_client_certificates="required",
    )
    async with hall(caplog, tls=TLS(config)) as it:
        # To the client of TLS 1.3 its handshake seems to have succeeded.
        without = await asyncio.to_thread(wrap, it.arrive())
        await it.until_empty()
        assert it.guests == []
        without.close()
        with_one = await asyncio.to_thread(wrap, it.arrive(), client_context(certificate))
        guest = await it.guest()
        assert guest.transport.get_extra_info("peercert")
        with_one.close()
    (line,) = lines(caplog)
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in line


@on_each_loop
async def test_handshakes_that_are_under_way_end_with_the_close(
    caplog: pytest.LogCaptureFixture, tls: TLS
) -> None:
    async with hall(caplog, tls=tls) as it:
        clients = [it.arrive() for _ in range(3)]
        clients[1].sendall(b"\x16\x03\x01")
        clients[2].close()
        await settle()
        late = it.arrive()  # not even begun
        async with asyncio.timeout(PATIENCE):
            await it.arrivals.close()
        assert len(it.arrivals) == 0
        for client in (*clients[:2], late):
            assert await asyncio.to_thread(end_of, client) == b""
        assert it.guests == []
    told = lines(caplog)
    assert len(told) == 4
    assert told.count("the server is stopping") >= 3


@on_each_loop
@pytest.mark.parametrize("turns", range(8))
async def test_a_close_at_any_moment_of_a_handshake_leaves_nothing(
    caplog: pytest.LogCaptureFixture, tls: TLS, turns: int
) -> None:
    async with hall(caplog, tls=tls) as it:
        raw = it.arrive()
        shaking = asyncio.create_task(asyncio.to_thread(wrap, raw))
        await it.until(lambda: bool(shaking.done() or it.guests))
        for _ in range(turns):
            await asyncio.sleep(0)
        await it.arrivals.close()
        await asyncio.wait([shaking])
        if shaking.exception() is None:
            shaking.result().close()
    assert len(lines(caplog)) <= 1


# The PROXY protocol.


@on_each_loop
@pytest.mark.parametrize(
    ("header", "peername"),
    [(PROXY_HEADER, ("192.0.2.1", 8080)), (LOCAL_HEADER, PEERNAME), (UNIX_HEADER, "")],
    ids=["TCP4", "LOCAL", "Unix"],
)
async def test_the_client_is_whom_the_header_names_and_what_follows_is_its_own(
    caplog: pytest.LogCaptureFixture, header: bytes, peername: object
) -> None:
    async with hall(caplog, is_proxy=everybody) as it:
        client = it.arrive()
        client.sendall(header + REQUEST)
        guest = await it.guest()
        assert await guest.read(b"\r\n\r\n") == REQUEST
        assert guest.peername == peername
    assert lines(caplog) == []


class Counting(socket.socket):
    """A socket that counts how often it was looked at."""

    looks = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.looks += flags == socket.MSG_PEEK
        return super().recv(size, flags)


@on_each_loop
async def test_a_header_may_come_byte_by_byte_and_nothing_is_read_in_vain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hall(caplog, is_proxy=everybody) as it:
        here, there = socket_pair()
        it.sockets.append(there)
        counting = Counting(fileno=here.detach())
        it.arrivals.take(counting, PEERNAME)
        for byte in PROXY_HEADER + REQUEST:
            there.sendall(bytes([byte]))
            await settle()
        guest = await it.guest()
        assert await guest.read(b"\r\n\r\n") == REQUEST
        assert guest.peername == ("192.0.2.1", 8080)
        # For each byte at most once in vain.
        assert counting.looks <= 2 * len(PROXY_HEADER)
    assert lines(caplog) == []


@on_each_loop
async def test_a_header_stands_before_the_handshake_in_the_same_segment_too(
    caplog: pytest.LogCaptureFixture, tls: TLS
) -> None:
    async with hall(caplog, tls=tls, is_proxy=everybody) as it:
        raw = it.arrive()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        before = PROXY_HEADER
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(before + outgoing.read())
                before = b""
                incoming.write(await loop.sock_recv(raw, 65_536))
        client.write(REQUEST)
        raw.sendall(outgoing.read())
        guest = await it.guest()
        assert await guest.read(b"\r\n\r\n") == REQUEST
        assert guest.peername == ("192.0.2.1", 8080)
    assert lines(caplog) == []


@on_each_loop
@pytest.mark.parametrize(
    "data",
    [REQUEST, b"\x16\x03\x01\x02\x00", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY \x1b[31m"],
    ids=["HTTP", "TLS", "malformed", "control characters"],
)
async def test_who_sends_no_header_is_given_no_answer(
    caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    async with hall(caplog, is_proxy=everybody) as it:
        client = it.arrive()
        client.sendall(data)
        await it.until_empty()
        assert await asyncio.to_thread(end_of, client) == b""
        assert it.guests == []
    (line,) = lines(caplog)
    assert line.startswith("expected ")
    assert line.isprintable()


@on_each_loop
@pytest.mark.parametrize("sent", [b"", PROXY_HEADER[:20]], ids=["nothing", "a half"])
async def test_a_header_that_does_not_come_in_time_is_not_waited_for(
    caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    async with hall(caplog, is_proxy=everybody) as it:
        client = it.arrive()
        client.sendall(sent)
        await settle()
        it.clock.advance(LIMITS.arrival_timeout + RESOLUTION)
        await it.until_empty()
        assert await asyncio.to_thread(end_of, client) == b""
        assert it.guests == []
    assert lines(caplog) == ["expected a PROXY header or a TLS handshake in time"]


@on_each_loop
async def test_one_time_is_for_the_header_and_the_handshake_together(
    caplog: pytest.LogCaptureFixture, tls: TLS
) -> None:
    async with hall(caplog, tls=tls, is_proxy=everybody) as it:
        client = it.arrive()
        it.clock.advance(LIMITS.arrival_timeout - RESOLUTION)
        client.sendall(PROXY_HEADER)
        await settle()
        assert len(it.arrivals) == 1
        it.clock.advance(2 * RESOLUTION)
        await it.until_empty()
        assert it.guests == []
    assert len(lines(caplog)) == 1


@on_each_loop
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_proxy_that_leaves_in_its_header_is_nobodys_concern(
    caplog: pytest.LogCaptureFixture, reset: bool
) -> None:
    async with hall(caplog, is_proxy=everybody) as it:
        client = it.arrive()
        client.sendall(PROXY_HEADER[:9])
        await settle()
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await it.until_empty()
        assert it.guests == []
    (line,) = lines(caplog)
    assert ("reset" in line) == reset


@on_each_loop
async def test_headers_that_are_awaited_end_with_the_close(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hall(caplog, is_proxy=everybody) as it:
        client = it.arrive()
        client.sendall(PROXY_HEADER[:9])
        await settle()
        async with asyncio.timeout(PATIENCE):
            await it.arrivals.close()
        assert await asyncio.to_thread(end_of, client) == b""
    assert lines(caplog) == ["the server is stopping"]


@on_each_loop
@pytest.mark.parametrize(
    ("peername", "peer"),
    [(PEERNAME, PEERNAME), (("::1", 5, 0, 0), ("::1", 5)), ("", None), (b"\0name", None)],
    ids=["IPv4", "IPv6", "Unix", "abstract"],
)
async def test_only_a_proxy_is_believed(
    caplog: pytest.LogCaptureFixture, peername: object, peer: Address | None
) -> None:
    asked: list[Address | None] = []

    def nobody(peer: Address | None) -> bool:
        asked.append(peer)
        return False

    async with hall(caplog, is_proxy=nobody) as it:
        client = it.arrive(peername)
        client.sendall(PROXY_HEADER + REQUEST)
        await it.until_empty()
        assert await asyncio.to_thread(end_of, client) == b""
        assert (it.guests, asked) == ([], [peer])
    assert lines(caplog) == ["expected a proxy of those in NBDRIVER_TRUSTED_PROXIES"]


class WithoutReaders(asyncio.SelectorEventLoop):
    """A loop that cannot tell when a socket has something: as Windows' proactor."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> NoReturn:
        raise NotImplementedError


def test_where_a_header_cannot_be_waited_for_the_start_fails() -> None:
    async def main() -> None:
        Arrivals(lambda _: asyncio.Protocol(), VirtualClock())
        with pytest.raises(StartupError, match="the setting proxy_protocol needs an event loop"):
            Arrivals(lambda _: asyncio.Protocol(), VirtualClock(), is_proxy=everybody)

    with asyncio.Runner(loop_factory=WithoutReaders) as runner:
        runner.run(main())
