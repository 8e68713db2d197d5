"""Proxies and TLS, on every driver with an HTTP client."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trustme
from conformance.authority import AUTHORITY
from conformance.drivers import make_client
from conformance.standing_in import Connection, Web, found_in, serve_bytes, serve_web
from hosts.hosting import PATIENCE
from nonebot.drivers import HTTPClientMixin, Request

TOKEN = base64.b64encode(b"user:p@ss").decode()


@dataclass
class Proxy:
    """An HTTP proxy that runs: the heads that it was sent, and where it is."""

    port: int
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until there is no more."""
    while data := await reader.read(65_536):
        writer.write(data)
    writer.write_eof() if writer.can_write_eof() else writer.close()


@asynccontextmanager
async def serve_proxy() -> AsyncIterator[Proxy]:
    """A proxy that passes on what it is asked to, in both ways: CONNECT and absolute targets."""

    async def answer(connection: Connection) -> None:
        head = (await connection.head()).decode()
        proxy.heads.append(head)
        method, target, _ = head.split(" ", 2)
        authority = target.removeprefix("http://").partition("/")[0]
        host, _, port = authority.rpartition(":")
        if method != "CONNECT" and not target.startswith("http://"):
            connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            if method == "CONNECT":
                connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = target.removeprefix(f"http://{authority}") or "/"
                writer.write(head.replace(target, path, 1).encode())
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(connection.reader, writer))
                group.create_task(pump(reader, connection.writer))
        except* ConnectionError:
            pass
        finally:
            writer.close()

    async with serve_bytes(answer) as served:
        proxy = Proxy(served.port)
        yield proxy


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy that runs."""
    async with serve_proxy() as served:
        yield served


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A server of plain HTTP."""
    async with serve_web() as served:
        yield served


@pytest.fixture
async def secure() -> AsyncIterator[Web]:
    """A server of HTTPS, whose certificate is believed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    async with serve_web(context) as served:
        yield served


async def fetch(client: HTTPClientMixin, url: str, proxy: str | None = None) -> None:
    """See that a request is answered."""
    async with asyncio.timeout(PATIENCE):
        response = await client.request(Request("GET", url, proxy=proxy))
    assert found_in(response.content)["target"] == "/inspect"


async def test_a_request_goes_through_its_proxy(
    client: HTTPClientMixin, web: Web, proxy: Proxy
) -> None:
    await fetch(client, web.url("/inspect"), proxy.url)
    assert proxy.heads[0].startswith(f"GET {web.url('/inspect')} HTTP/1.1\r\n")


async def test_a_secure_request_goes_through_a_tunnel(
    client: HTTPClientMixin, secure: Web, proxy: Proxy
) -> None:
    await fetch(client, secure.url("/inspect"), proxy.url)
    assert proxy.heads[0].startswith(f"CONNECT localhost:{secure.port} HTTP/1.1\r\n")


async def test_a_sessions_requests_go_through_its_proxy(
    client: HTTPClientMixin, web: Web, proxy: Proxy
) -> None:
    async with client.get_session(proxy=proxy.url) as session:
        await session.request(Request("GET", web.url("/inspect")))
    assert len(proxy.heads) == 1


async def test_a_requests_proxy_beats_the_sessions(
    client: HTTPClientMixin, web: Web, proxy: Proxy
) -> None:
    async with client.get_session(proxy="http://127.0.0.1:1") as session:
        await session.request(Request("GET", web.url("/inspect"), proxy=proxy.url))
    assert len(proxy.heads) == 1


async def test_credentials_of_the_proxys_url_are_sent_to_it(
    client: HTTPClientMixin, secure: Web, proxy: Proxy
) -> None:
    await fetch(client, secure.url("/inspect"), proxy.url.replace("//", "//user:p%40ss@"))
    assert f"proxy-authorization: basic {TOKEN}".lower() in proxy.heads[0].lower()


async def test_a_stream_goes_through_its_proxy(
    client: HTTPClientMixin, web: Web, proxy: Proxy
) -> None:
    async for _ in client.stream_request(Request("GET", web.url("/body"), proxy=proxy.url)):
        pass
    assert len(proxy.heads) == 1


async def test_a_proxy_that_refuses_is_an_error(client: HTTPClientMixin, secure: Web) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.head()
        connection.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    async with serve_bytes(refuse) as server:
        with pytest.raises(Exception, match=r".*"):
            await fetch(client, secure.url("/inspect"), server.base)


async def test_an_unknown_kind_of_proxy_is_an_error(client: HTTPClientMixin, web: Web) -> None:
    with pytest.raises(Exception, match=r".*"):
        await fetch(client, web.url("/inspect"), "gopher://127.0.0.1:1")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
async def test_the_environment_names_a_proxy(
    http_driver: str, web: Web, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, proxy.url)
    client = make_client(http_driver)
    assert isinstance(client, HTTPClientMixin)
    await fetch(client, web.url("/inspect"))
    assert len(proxy.heads) == 1


async def test_the_environment_names_who_needs_no_proxy(
    http_driver: str, web: Web, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = make_client(http_driver)
    assert isinstance(client, HTTPClientMixin)
    await fetch(client, web.url("/inspect"))
    assert proxy.heads == []


async def test_a_certificate_that_is_believed_is_accepted(
    client: HTTPClientMixin, secure: Web
) -> None:
    await fetch(client, secure.url("/inspect"))


async def test_a_certificate_of_another_name_is_an_error(client: HTTPClientMixin) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("example.org").configure_cert(context)
    async with serve_web(context) as served:
        with pytest.raises(Exception, match=r".*"):
            await fetch(client, served.url("/inspect"))


async def test_a_certificate_of_nobodys_is_an_error(client: HTTPClientMixin) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with serve_web(context) as served:
        with pytest.raises(Exception, match=r".*"):
            await fetch(client, served.url("/inspect"))
