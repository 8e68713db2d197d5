"""TLS and the PROXY protocol, from clients that we did not write."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import websockets
from support.certificates import client_context, write_authority, write_certificate
from support.echo import Echo, make_driver
from support.echo import serving as serving_anything
from support.loops import on_each_loop
from support.peer import PATIENCE, Peer, settle
from support.program import program

from nbdriver import Driver, Request, Response

ID = {"X-Self-ID": "1"}


class Curious(Driver):
    """A driver that keeps the requests it was asked."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.requests: list[Request] = []

    async def _handle_http(self, request: Request) -> Response:
        self.requests.append(request)
        return await super()._handle_http(request)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "server.pem")


@asynccontextmanager
async def serving(
    caplog: pytest.LogCaptureFixture, certificate: Path, **settings: Any
) -> AsyncIterator[Echo]:
    """Serve over TLS, in which nothing goes wrong that would be more than a line for debugging."""
    caplog.set_level(logging.DEBUG, "nbdriver")
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    driver = make_driver(Curious)
    async with serving_anything(driver, tls_certificate=certificate, **settings) as echo:
        yield echo
    await settle()
    assert raised == []
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def requests(echo: Echo) -> list[Request]:
    assert isinstance(echo.driver, Curious)
    return echo.driver.requests


@on_each_loop
async def test_httpx_and_aiohttp_post_events(
    caplog: pytest.LogCaptureFixture, certificate: Path
) -> None:
    async with serving(caplog, certificate) as echo:
        assert echo.http.startswith("https://")
        body = {"text": "x" * 1_000_000}
        async with httpx.AsyncClient(headers=ID, verify=client_context()) as client:
            for _ in range(2):
                assert (await client.post(echo.http, json=body)).status_code == 204
        connector = aiohttp.TCPConnector(ssl=client_context())
        async with aiohttp.ClientSession(headers=ID, connector=connector) as session:
            for _ in range(2):
                async with session.post(echo.http, json=body) as response:
                    assert response.status == 204
        assert echo.messages == [body] * 4
        assert {request.scheme for request in requests(echo)} == {"https"}
    assert f"Listening on {echo.http.removesuffix('/echo')}" in caplog.messages


@on_each_loop
async def test_a_websocket_goes_over_tls_and_closes_without_delay(
    caplog: pytest.LogCaptureFixture, certificate: Path
) -> None:
    async with serving(caplog, certificate) as echo:
        async with websockets.connect(
            echo.ws, ssl=client_context(), additional_headers=ID, proxy=None
        ) as client:
            for text in ("hello", "x" * 1_000_000):
                await client.send(json.dumps({"text": text}))
            async with asyncio.timeout(PATIENCE):
                while len(echo.messages) < 2:
                    await asyncio.sleep(0)
            connection = client.transport
        # Our goodbye comes at once, not when the time for lingering is over.
        assert connection.is_closing()
        assert client.close_code == 1000


@on_each_loop
async def test_a_refusal_is_read_although_the_body_is_sent_to_its_end(
    caplog: pytest.LogCaptureFixture, certificate: Path
) -> None:
    async with serving(caplog, certificate, max_body=10) as echo:
        async with httpx.AsyncClient(headers=ID, verify=client_context()) as client:
            response = await client.post(echo.http, content=b"x" * 3_000_000)
        assert response.status_code == 413
        assert response.text == "expected a body of at most 10 bytes\n"


@on_each_loop
@pytest.mark.parametrize("count", [1, 3])
async def test_a_client_that_says_goodbye_with_its_request_is_nobodys_concern(
    caplog: pytest.LogCaptureFixture, certificate: Path, count: int
) -> None:
    """Its event is handled; asyncio ends such a connection, so that the answer may be lost."""
    async with serving(caplog, certificate) as echo:
        for number in range(10):
            _, writer = await asyncio.open_connection(
                *echo.server.addresses[0], ssl=client_context(), server_hostname="localhost"
            )
            head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nX-Self-ID: 1\r\n"
            writer.write(f"{head}Content-Length: 2\r\n\r\n{{}}".encode() * count)
            for _ in range(number):
                await asyncio.sleep(0)
            writer.close()
            async with asyncio.timeout(PATIENCE):
                while len(echo.messages) < (number + 1):
                    await asyncio.sleep(0)


@on_each_loop
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_is_answered(
    caplog: pytest.LogCaptureFixture, certificate: Path, tmp_path: Path, version: str
) -> None:
    ca = write_authority(tmp_path / "ca.pem")
    async with serving(caplog, certificate) as echo:
        host, port = echo.server.addresses[0]
        process = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", str(ca), version),
            *("-alpn", "h2,http/1.1", "-verify_return_error", "-ign_eof"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate(
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nX-Self-ID: 1\r\nConnection: close\r\n"
            b"Content-Length: 2\r\n\r\n{}"
        )
        assert process.returncode == 0
        assert b"Verify return code: 0 (ok)" in said
        assert b"ALPN protocol: http/1.1" in said
        assert b"Compression: NONE" in said
        assert b"\nHTTP/1.1 204 No Content\r\n" in said
        assert echo.messages == [{}]


@on_each_loop
async def test_a_certificate_of_the_client_can_be_required(
    caplog: pytest.LogCaptureFixture, certificate: Path, tmp_path: Path
) -> None:
    ca = write_authority(tmp_path / "ca.pem")
    settings = {"tls_client_ca": ca, "tls_client_certificates": "required"}
    async with serving(caplog, certificate, **settings) as echo:
        own = write_certificate(tmp_path / "client.pem")
        async with httpx.AsyncClient(headers=ID, verify=client_context(own)) as client:
            assert (await client.post(echo.http, json={})).status_code == 204
        async with httpx.AsyncClient(headers=ID, verify=client_context()) as client:
            with pytest.raises(httpx.TransportError):
                await client.post(echo.http, json={})
        assert echo.messages == [{}]


@on_each_loop
async def test_clients_that_are_idle_and_say_no_goodbye_do_not_hold_up_the_stop(
    caplog: pytest.LogCaptureFixture, certificate: Path
) -> None:
    async with serving(caplog, certificate, linger_timeout=0) as echo:
        host, port = echo.server.addresses[0]

        def post() -> ssl.SSLSocket:
            raw = socket.create_connection((host, port), PATIENCE)
            client = client_context().wrap_socket(raw, server_hostname=host)
            client.sendall(
                b"POST /echo HTTP/1.1\r\nHost: localhost\r\nX-Self-ID: 1\r\n"
                b"Content-Length: 2\r\n\r\n{}"
            )
            assert client.recv(1_000).startswith(b"HTTP/1.1 204 ")
            return client

        with await asyncio.to_thread(post) as client:
            await echo.server.close()
            # Ours is said none the less.
            assert await asyncio.to_thread(client.recv, 1) == b""


@on_each_loop
async def test_handshakes_under_way_do_not_hold_up_the_stop(
    caplog: pytest.LogCaptureFixture, certificate: Path
) -> None:
    async with serving(caplog, certificate) as echo:
        loop = asyncio.get_running_loop()
        peers = []
        for _ in range(20):
            _, peer = await loop.create_connection(Peer, *echo.server.addresses[0])
            peer.send(b"\x16\x03\x01")
            peers.append(peer)
        await settle()
        async with asyncio.timeout(PATIENCE):
            await echo.server.close()
        for peer in peers:
            assert await peer.read_to_end() == b""
            peer.transport.close()


@on_each_loop
async def test_tls_at_a_plain_port_is_refused_as_any_other_garbage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving_anything() as echo:
        host, port = echo.server.addresses[0]

        def connect() -> None:
            with socket.create_connection((host, port), PATIENCE) as raw:
                client_context().wrap_socket(raw, server_hostname=host)

        with pytest.raises(ssl.SSLError):
            await asyncio.to_thread(connect)
        async with httpx.AsyncClient(headers=ID) as client:
            assert (await client.post(echo.http, json={})).status_code == 204
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


# The PROXY protocol.


@on_each_loop
async def test_the_client_is_whom_the_proxy_names_over_tls_too(
    caplog: pytest.LogCaptureFixture, certificate: Path
) -> None:
    async with serving(
        caplog, certificate, proxy_protocol=True, trusted_proxies="127.0.0.1"
    ) as echo:
        host, port = echo.server.addresses[0]

        def post() -> bytes:
            raw = socket.create_connection((host, port), PATIENCE)
            raw.sendall(b"PROXY TCP6 2001:db8::1 ::1 8080 443\r\n")
            with client_context().wrap_socket(raw, server_hostname=host) as client:
                client.sendall(
                    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nX-Self-ID: 1\r\n"
                    b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"
                )
                return client.recv(1_000)

        assert (await asyncio.to_thread(post)).startswith(b"HTTP/1.1 204 ")
        (request,) = requests(echo)
        assert (request.client, request.scheme) == (("2001:db8::1", 8080), "https")
        async with httpx.AsyncClient(headers=ID, verify=client_context()) as client:
            with pytest.raises(httpx.TransportError):
                await client.post(echo.http, json={})
    assert any('[2001:db8::1]:8080 "POST /echo' in line for line in caplog.messages)


# Reading certificates anew.


async def presented(url: str) -> bytes | None:
    """The certificate that is shown to who connects now."""
    host, _, port = url.removeprefix("https://").partition("/")[0].rpartition(":")

    def connect() -> bytes | None:
        with (
            socket.create_connection((host, int(port)), PATIENCE) as raw,
            client_context().wrap_socket(raw, server_hostname=host) as client,
        ):
            return client.getpeercert(binary_form=True)

    return await asyncio.to_thread(connect)


@on_each_loop
async def test_reload_renews_the_certificate_and_leaves_connections_alone(
    caplog: pytest.LogCaptureFixture, certificate: Path
) -> None:
    async with (
        serving(caplog, certificate) as echo,
        httpx.AsyncClient(headers=ID, verify=client_context()) as client,
    ):
        await client.post(echo.http, json={})
        before = await presented(echo.http)
        write_certificate(certificate)
        assert echo.server.reload()
        assert await presented(echo.http) != before
        assert (await client.post(echo.http, json={})).status_code == 204
        ports = {request.client[1] for request in requests(echo) if request.client}
        assert len(ports) == 1


async def test_without_tls_there_is_nothing_to_reload() -> None:
    async with serving_anything() as echo:
        assert echo.server.reload()


async def test_sighup_renews_the_certificate_of_a_program(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "server.pem")
    demo = ("-m", "nbdriver", "demo", "--port", "0", "--tls-certificate", str(certificate))
    async with program(*demo, cwd=tmp_path) as served:
        url = (await served.read_err(r"Listening on (https://\S+)\n"))[1]
        before = await presented(url)
        write_certificate(certificate)
        served.signal(signal.SIGHUP)
        await served.read_err(r"Certificates renewed\n")
        renewed = await presented(url)
        assert renewed != before
        certificate.write_text("")
        served.signal(signal.SIGHUP)
        await served.read_err(r"Certificates are not renewed, the old ones stay: .*tls_certificate")
        assert await presented(url) == renewed
        served.interrupt()
        assert await served.ended() == 0
    assert "Traceback" not in served.err


async def test_without_tls_sighup_ends_a_program_as_ever(tmp_path: Path) -> None:
    async with program("-m", "nbdriver", "demo", "--port", "0", cwd=tmp_path) as served:
        await served.port()
        served.signal(signal.SIGHUP)
        assert await served.ended() == -signal.SIGHUP
