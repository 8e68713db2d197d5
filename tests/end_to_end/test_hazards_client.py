"""What has gone wrong in clients like this one, answered to a client over a socket.

Each test ends with the next request of the same client, which works as if nothing had been.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from support.allocation import allocated
from support.answering import Answer, Answering, answering, good, redirect
from support.certificates import client_context
from support.loops import on_each_loop

from nbdriver.client.client import Client
from nbdriver.errors import InvalidResponse, NetworkError, TooManyRedirects, UpgradeRefused

#: Headers by which somebody is known.
CREDENTIALS = {"Authorization": "Bearer secret", "Cookie": "a=secret"}


async def still_works(client: Client, server: Answering) -> None:
    """See that the next request of the client is answered, by what was meant for it."""
    response = await client.request("GET", server.url("/next"))
    assert (response.status_code, response.content) == (200, b"good")
    assert server.asked[-1].target == "/next"


def told(server: Answering) -> str:
    """All that a server was told but the request line, which the test itself has chosen."""
    return "".join(asked.head.split(b"\r\n", 1)[1].decode("latin-1") for asked in server.asked)


# CVE-2026-34518: a redirect to another host.


@on_each_loop
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_credentials_go_along_to_another_host_cve_2026_34518(
    status: int, method: str
) -> None:
    async with (
        answering() as there,
        answering(redirect(there.url("/b"), status)) as here,
        Client() as client,
    ):
        url = here.url("/a").replace("://", "://me:secret@")
        response = await client.request(
            method, url, headers={**CREDENTIALS, "X-A": "b"}, cookies={"c": "secret"}
        )
        assert response.content == b"good"
        assert "secret" in told(here)
        assert [asked.target for asked in there.asked] == ["/b"]
        assert "secret" not in told(there)
        assert not {name.lower() for name in CREDENTIALS} & there.asked[0].headers.keys()
        assert there.asked[0].headers["x-a"] == "b"
        await still_works(client, here)
        await still_works(client, there)
        assert "secret" not in told(there)


@on_each_loop
@pytest.mark.parametrize("how", ["another port", "another name"])
async def test_credentials_of_the_client_are_for_no_host_that_it_is_led_to(how: str) -> None:
    """The settings' own, too: whoever leads elsewhere has no say in who is told them."""
    async with answering() as there:
        host = "127.0.0.1" if how == "another port" else "localhost"
        async with (
            answering(redirect(there.url("/b", host=host))) as here,
            Client(auth=("me", "secret"), headers=CREDENTIALS) as client,
        ):
            await client.request("GET", here.url("/a"))
            assert "secret" in told(here)
            assert "secret" not in told(there)
            await still_works(client, here)


@on_each_loop
async def test_what_is_for_a_proxy_is_told_to_no_server() -> None:
    async with answering() as server, Client() as client:
        with pytest.raises(ValueError, match="expected credentials for a proxy in its URL"):
            await client.request("GET", server.url(), headers={"Proxy-Authorization": "Basic x"})
        assert server.asked == []
        await still_works(client, server)


@on_each_loop
async def test_a_cookie_goes_back_to_the_host_that_has_set_it_and_to_no_other() -> None:
    async with answering() as there:
        line = b"Set-Cookie: a=secret; Path=/\r\n"
        leads = redirect(there.url("/b", host="localhost"))
        sets = Answer(leads.data.replace(b"Location", line + b"Location"))
        async with answering(sets) as here, Client() as client:
            await client.request("GET", here.url("/a"))
            assert "secret" not in told(there)
            await still_works(client, here)
            assert here.asked[-1].headers["cookie"] == "a=secret"


@on_each_loop
async def test_credentials_of_a_websocket_go_to_no_other_host() -> None:
    async with (
        answering(Answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")) as there,
        answering(redirect(there.url("/b").replace("http", "ws"))) as here,
        Client() as client,
    ):
        url = here.url("/a").replace("http://", "ws://me:secret@")
        with pytest.raises(UpgradeRefused):
            await client.websocket(url, headers={"Cookie": "a=secret"}).__aenter__()
        assert "secret" in told(here)
        assert "secret" not in told(there)
        assert there.asked[0].headers["upgrade"] == "websocket"
        await still_works(client, here)


# CVE-2026-34514: CR LF in a multipart name, filename or content type.

INJECTION = 'a"\r\nX-Injected: b\r\n\r\nc'


def parts(server: Answering) -> list[Message]:
    """The parts of the last request's body, as the standard library's parser of mail reads them."""
    asked = server.asked[-1]
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + asked.body)
    assert message.is_multipart()
    assert not message.defects
    return list(message.iter_parts())


@on_each_loop
@pytest.mark.parametrize("where", ["name of a field", "name of a file", "file name"])
async def test_cr_lf_in_a_multipart_name_is_escaped_cve_2026_34514(where: str) -> None:
    given: dict[str, Any] = {
        "name of a field": {"data": {INJECTION: "x"}, "files": {"f": b"y"}},
        "name of a file": {"files": {INJECTION: b"x"}},
        "file name": {"files": {"f": (INJECTION, io.BytesIO(b"x"))}},
    }[where]
    async with answering() as server, Client() as client:
        await client.request("POST", server.url(), **given)
        assert b"\r\nX-Injected" not in server.asked[-1].body
        assert b"a%22%0D%0AX-Injected: b%0D%0A%0D%0Ac" in server.asked[-1].body
        for part in parts(server):
            assert part["X-Injected"] is None
        await still_works(client, server)


@on_each_loop
async def test_cr_lf_in_a_multipart_content_type_is_a_value_error_and_nothing_is_sent() -> None:
    async with answering() as server, Client() as client:
        with pytest.raises(ValueError, match="expected"):
            await client.request(
                "POST", server.url(), files={"f": ("a", b"x", "text/plain\r\nX-Injected: b")}
            )
        assert server.asked == []
        await still_works(client, server)


@on_each_loop
@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"X-A": "b\r\nX-Injected: c"}},
        {"headers": {"X-A\r\nX-Injected": "b"}},
        {"cookies": {"a": "b\r\nX-Injected: c"}},
        {"auth": ("me\r\nX-Injected: c", "x")},
        {"method": "GET / HTTP/1.1\r\nX-Injected: c\r\n\r\nGET"},
        {"path": "/\r\nX-Injected: c"},
    ],
)
async def test_cr_lf_anywhere_in_a_request_is_a_value_error_or_escaped(
    given: dict[str, Any],
) -> None:
    async with answering() as server, Client() as client:
        options = dict(given)
        method, path = options.pop("method", "GET"), options.pop("path", "/")
        with pytest.raises(ValueError, match="expected"):
            await client.request(method, server.url(path), **options)
        await client.request("GET", server.url(), params={"a": "b\r\nX-Injected: c"})
        assert "X-Injected: c" not in told(server)
        await still_works(client, server)


# CVE-2025-69223: a gzip bomb.

MIB = 2**20


def zeros(size: int, coding: str) -> bytes:
    """So many zeros, in as few bytes as zlib can make of them."""
    stream = zlib.compressobj(9, zlib.DEFLATED, {"gzip": 31, "deflate": 15}[coding])
    return b"".join(stream.compress(bytes(MIB)) for _ in range(size // MIB)) + stream.flush()


def coded(body: bytes, coding: str) -> Answer:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return Answer(head.encode() + body)


def bomb(coding: str) -> Answer:
    body = zeros(64 * MIB, coding.partition(",")[0])
    body = gzip.compress(body) if "," in coding else body
    assert len(body) < MIB // 8
    return coded(body, coding)


each_coding = pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip"])


@on_each_loop
@each_coding
async def test_a_bomb_is_an_error_at_the_limit_and_memory_is_bounded_cve_2025_69223(
    coding: str,
) -> None:
    async with answering(bomb(coding)) as server, Client(max_body=MIB) as client:
        with allocated() as memory:
            with pytest.raises(InvalidResponse, match=f"at most {MIB} bytes"):
                await client.request("GET", server.url())
            assert memory.peak < 5 * MIB
        await still_works(client, server)


@on_each_loop
@each_coding
async def test_a_bomb_that_is_streamed_comes_in_small_pieces_and_no_faster_than_it_is_taken(
    coding: str,
) -> None:
    """How many of them are taken is for whoever takes them to say."""
    async with answering(bomb(coding)) as server, Client(max_body=MIB) as client:
        with allocated() as memory:
            async with client.stream("GET", server.url()) as response:
                pieces = [len(piece) async for piece in response.pieces()]
            assert sum(pieces) == 64 * MIB
            assert max(pieces) <= MIB // 4
            assert memory.peak < 5 * MIB
        await still_works(client, server)


@on_each_loop
async def test_a_body_under_the_limit_is_inflated_whole() -> None:
    """Else there would be nothing that the limit keeps back."""
    async with (
        answering(coded(zeros(MIB, "gzip"), "gzip")) as server,
        Client(max_body=MIB) as client,
    ):
        response = await client.request("GET", server.url())
        assert response.content == bytes(MIB)
        await still_works(client, server)


# Response smuggling.

#: What must never be taken for the answer to the next request.
SMUGGLED = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
SMUGGLING: dict[str, Answer] = {
    "both lengths": Answer(
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + SMUGGLED
    ),
    "two lengths": Answer(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nabcd" + SMUGGLED
    ),
    "a listed length": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 4\r\n\r\nabcd" + SMUGGLED),
    "a length with a sign": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab" + SMUGGLED),
    "an unknown coding": Answer(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    ),
    "a coding in HTTP/1.0": Answer(
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    ),
    "a folded coding": Answer(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    ),
    "a bare LF": Answer(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab" + SMUGGLED),
    "a chunk without its end": Answer(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n" + SMUGGLED
    ),
    "early EOF of a length": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcd", end=True),
    "early EOF of chunks": Answer(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n", end=True
    ),
    "early EOF of a head": Answer(b"HTTP/1.1 200 OK\r\nContent-Le", end=True),
    "no HTTP": Answer(b"220 Hello\r\n" + SMUGGLED),
}


@on_each_loop
@pytest.mark.parametrize("name", SMUGGLING)
async def test_an_answer_that_smuggles_is_an_error_and_its_connection_is_not_used_again(
    name: str,
) -> None:
    async with answering(good(), SMUGGLING[name]) as server, Client() as client:
        await client.request("GET", server.url())
        with pytest.raises(NetworkError, match="expected"):
            # A POST, which is not tried again.
            await client.request("POST", server.url(), content=b"x")
        assert len(server.asked) == 2
        await still_works(client, server)
        assert server.asked[-1].connection > server.asked[1].connection


@on_each_loop
@pytest.mark.parametrize(
    "answer",
    [
        good(b"ab").data,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ],
)
async def test_what_follows_an_answer_is_no_answer_to_the_next_request(answer: bytes) -> None:
    async with answering(Answer(answer + SMUGGLED)) as server, Client() as client:
        response = await client.request("GET", server.url())
        assert response.content in (b"ab", b"")
        await still_works(client, server)
        assert server.asked[-1].connection > server.asked[0].connection


# A redirect loop, and a downgrade.


@on_each_loop
async def test_21_redirects_are_one_too_many() -> None:
    steps = [redirect(f"/{number}") for number in range(21)]
    async with answering(*steps) as server, Client() as client:
        with pytest.raises(TooManyRedirects, match="20"):
            await client.request("GET", server.url())
        assert len(server.asked) == 21
        await still_works(client, server)


@on_each_loop
async def test_20_redirects_are_followed() -> None:
    steps = [redirect(f"/{number}") for number in range(20)]
    async with answering(*steps) as server, Client() as client:
        response = await client.request("GET", server.url())
        assert (response.status_code, len(server.asked)) == (200, 21)
        await still_works(client, server)


@on_each_loop
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_credentials_do_not_go_from_https_to_http(scheme: str) -> None:
    async with answering() as plain:
        location = plain.url("/b").replace("http", scheme)
        async with (
            answering(redirect(location), tls=True) as secure,
            Client(tls=client_context()) as client,
        ):
            url = secure.url("/a").replace("://", "://me:secret@")
            if scheme == "http":
                await client.request("GET", url, headers=CREDENTIALS)
            else:
                url = re.sub("^https", "wss", url)
                with pytest.raises(UpgradeRefused):
                    await client.websocket(url, headers=CREDENTIALS).__aenter__()
            assert "secret" in told(secure)
            assert len(plain.asked) == 1
            assert "secret" not in told(plain)
            await still_works(client, secure)
