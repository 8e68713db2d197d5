"""What an HTTP client makes of an answer, on every driver with one: also redirects and streams."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import pytest
from conformance.standing_in import (
    BODY,
    Connection,
    Web,
    answers,
    found_in,
    serve_bytes,
    serve_web,
    values,
)
from hosts.hosting import PATIENCE
from nonebot.drivers import HTTPClientMixin, HTTPClientSession, Request, Response


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A server with answers of many kinds."""
    async with serve_web() as served:
        yield served


async def get(client: HTTPClientMixin, url: str, method: str = "GET") -> Response:
    """The answer to a plain request."""
    return await client.request(Request(method, url))


# Answers.


@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 404, 418, 429, 500, 503])
async def test_any_status_is_an_answer(client: HTTPClientMixin, web: Web, status: int) -> None:
    response = await get(client, web.url(f"/answer/{status}"))
    assert (response.status_code, response.content) == (status, b"answer")


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(
    client: HTTPClientMixin, web: Web, status: int
) -> None:
    response = await get(client, web.url(f"/answer/{status}"))
    assert (response.status_code, response.content) == (status, b"")


async def test_headers_are_found_by_any_case_of_their_names(
    client: HTTPClientMixin, web: Web
) -> None:
    response = await get(client, web.url("/answer/200"))
    assert response.headers["x-answer"] == response.headers["X-ANSWER"] == "1"


async def test_headers_may_repeat(client: HTTPClientMixin, web: Web) -> None:
    response = await get(client, web.url("/cookies?a=1&b=2"))
    assert response.headers.getall("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]


async def test_the_request_is_that_which_was_asked(client: HTTPClientMixin, web: Web) -> None:
    request = Request("GET", web.url("/answer/200"))
    assert (await client.request(request)).request is request


async def test_head_has_no_content(client: HTTPClientMixin, web: Web) -> None:
    response = await get(client, web.url("/body"), "HEAD")
    assert (response.content, response.headers["content-length"]) == (b"", str(len(BODY)))


@pytest.mark.parametrize("path", ["/body", "/chunked"])
async def test_content_comes_whole(client: HTTPClientMixin, web: Web, path: str) -> None:
    assert (await get(client, web.url(path))).content == BODY


@pytest.mark.parametrize("path", ["/gzip", "/deflate"])
async def test_content_is_decoded(client: HTTPClientMixin, web: Web, path: str) -> None:
    assert (await get(client, web.url(path))).content == BODY


async def test_content_until_the_end_of_the_connection_comes_whole(
    client: HTTPClientMixin,
) -> None:
    async with serve_bytes(answers(b"HTTP/1.0 200 OK\r\n\r\n", BODY)) as server:
        assert (await get(client, server.base)).content == BODY


async def test_deflate_without_a_zlib_header_is_decoded(client: HTTPClientMixin) -> None:
    raw = zlib.compressobj(wbits=-15)
    body = raw.compress(BODY) + raw.flush()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: {len(body)}\r\n\r\n"
    async with serve_bytes(answers(head.encode(), body)) as server:
        assert (await get(client, server.base)).content == BODY


async def test_interim_answers_are_passed_over(client: HTTPClientMixin) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with serve_bytes(
        answers(hints, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    ) as server:
        assert (await get(client, server.base)).content == b"x"


BROKEN = {
    "nothing": b"",
    "no HTTP": b"hello\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "half the chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "no chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n",
    "no gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
    "half a gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
    b"Content-Length: 4\r\n\r\n\x1f\x8b\x08\0",
    "odd length": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_an_error(client: HTTPClientMixin, answer: bytes) -> None:
    async with serve_bytes(answers(answer)) as server:
        with pytest.raises(Exception, match=r".*"):
            await get(client, server.base)


async def test_a_connection_that_is_refused_is_an_error(client: HTTPClientMixin) -> None:
    async with serve_bytes(answers()) as server:
        base = server.base
    with pytest.raises(Exception, match=r".*"):
        await get(client, base)


async def test_a_name_that_nobody_has_is_an_error(client: HTTPClientMixin) -> None:
    with pytest.raises(Exception, match=r".*"):
        await get(client, "http://nobody.invalid/")


async def test_an_ipv6_address_can_be_asked(client: HTTPClientMixin) -> None:
    answer = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    try:
        async with serve_bytes(answer, "::1") as server:
            assert (await get(client, f"http://[::1]:{server.port}/")).content == b"x"
    except OSError:
        pytest.skip("this machine has no IPv6")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "/path", "http://"])
async def test_a_url_that_leads_nowhere_is_an_error(client: HTTPClientMixin, url: str) -> None:
    with pytest.raises(Exception, match=r".*"):
        await get(client, url)


# Redirects.


@pytest.mark.parametrize(
    ("status", "method", "sent"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (302, "GET", "GET"),
        (301, "PUT", "PUT"),
        (302, "PUT", "PUT"),
        (302, "HEAD", "HEAD"),
    ],
)
async def test_a_redirect_is_followed_by_its_rules(
    client: HTTPClientMixin, web: Web, status: int, method: str, sent: str
) -> None:
    request = Request(
        method,
        web.url(f"/redirect/{status}?to=/inspect"),
        content=None if method in ("GET", "HEAD") else b"content",
    )
    response = await client.request(request)
    assert response.status_code == 200
    if method == "HEAD":
        return
    found = found_in(response.content)
    kept = b"content" if sent in ("POST", "PUT") else b""
    assert (found["method"], found["content"]) == (sent, kept)


async def test_what_was_said_of_content_that_is_dropped_is_dropped(
    client: HTTPClientMixin, web: Web
) -> None:
    request = Request("POST", web.url("/redirect/303?to=/inspect"), json={})
    found = found_in((await client.request(request)).content)
    assert values(found, "content-type") == values(found, "content-length") == []


async def test_json_and_forms_are_sent_again(client: HTTPClientMixin, web: Web) -> None:
    url = web.url("/redirect/307?to=/inspect")
    found = found_in((await client.request(Request("POST", url, data={"a": "1"}))).content)
    assert found["content"] == b"a=1"


@pytest.mark.parametrize(
    "to", ["/inspect", "../inspect", "//{host}/inspect", "http://{host}/inspect"]
)
async def test_a_location_may_be_relative(client: HTTPClientMixin, web: Web, to: str) -> None:
    place = to.format(host=f"127.0.0.1:{web.port}")
    response = await get(client, web.url(f"/redirect/302?to={place}"))
    assert response.status_code == 200


@pytest.mark.parametrize("times", [5, 10, 20])
async def test_redirects_are_followed(client: HTTPClientMixin, web: Web, times: int) -> None:
    assert (await get(client, web.url(f"/on?left={times}"))).status_code == 200


async def test_21_redirects_are_too_many(client: HTTPClientMixin, web: Web) -> None:
    with pytest.raises(Exception, match=r".*"):
        await get(client, web.url("/on?left=21"))


async def test_credentials_stay_with_their_host(client: HTTPClientMixin, web: Web) -> None:
    to = web.named("/inspect")
    headers = {"Authorization": "Bearer secret", "X-A": "1"}
    request = Request("GET", web.url(f"/redirect/302?to={to}"), headers=headers)
    found = found_in((await client.request(request)).content)
    assert (values(found, "authorization"), values(found, "x-a")) == ([], ["1"])


async def test_cookies_stay_with_their_host(client: HTTPClientMixin, web: Web) -> None:
    to = web.named("/inspect")
    request = Request("GET", web.url(f"/redirect/302?to={to}"), headers={"Cookie": "a=secret"})
    found = found_in((await client.request(request)).content)
    assert found["cookies"] == {}


async def test_credentials_go_along_on_their_host(client: HTTPClientMixin, web: Web) -> None:
    headers = {"Authorization": "Bearer secret"}
    request = Request("GET", web.url("/redirect/302?to=/inspect"), headers=headers)
    found = found_in((await client.request(request)).content)
    assert values(found, "authorization") == ["Bearer secret"]


async def test_a_redirect_to_another_scheme_is_an_error(client: HTTPClientMixin, web: Web) -> None:
    with pytest.raises(Exception, match=r".*"):
        await get(client, web.url("/redirect/302?to=ftp://127.0.0.1/"))


# Streams.


async def streamed(client: HTTPClientMixin, url: str, **options: int) -> list[Response]:
    """All pieces of an answer."""
    return [piece async for piece in client.stream_request(Request("GET", url), **options)]


@pytest.mark.parametrize("path", ["/body", "/gzip", "/chunked"])
@pytest.mark.parametrize("size", [1, 100, 1_024, 9_999, 10_000, 100_000])
async def test_chunks_have_exactly_their_size(
    client: HTTPClientMixin, web: Web, path: str, size: int
) -> None:
    pieces = [each.content for each in await streamed(client, web.url(path), chunk_size=size)]
    assert pieces == [BODY[start : start + size] for start in range(0, len(BODY), size)]


async def test_chunks_have_1024_bytes_if_nothing_is_said(client: HTTPClientMixin, web: Web) -> None:
    first, *_ = await streamed(client, web.url("/body"))
    assert first.content == BODY[:1_024]


async def test_each_chunk_has_status_headers_and_request(client: HTTPClientMixin, web: Web) -> None:
    request = Request("GET", web.url("/answer/404"))
    async for piece in client.stream_request(request, chunk_size=2):
        assert (piece.status_code, piece.headers["x-answer"]) == (404, "1")
        assert piece.request is request


async def test_an_empty_answer_has_no_chunks(client: HTTPClientMixin, web: Web) -> None:
    assert await streamed(client, web.url("/empty")) == []


async def test_a_redirect_is_followed_before_the_first_chunk(
    client: HTTPClientMixin, web: Web
) -> None:
    url = web.url("/redirect/302?to=/body")
    assert b"".join(piece.content for piece in await streamed(client, url)) == BODY  # type: ignore[misc]  # bytes, of a client


async def test_chunks_come_while_the_answer_does(client: HTTPClientMixin) -> None:
    go_on = asyncio.Event()

    async def answer(connection: Connection) -> None:
        await connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
        await go_on.wait()
        connection.send(b"56789")

    async with serve_bytes(answer) as server, asyncio.timeout(PATIENCE):
        pieces = []
        async for piece in client.stream_request(Request("GET", server.base), chunk_size=5):
            pieces.append(piece.content)
            go_on.set()
    assert pieces == [b"01234", b"56789"]


async def test_a_stream_that_is_left_ends_its_connection(client: HTTPClientMixin) -> None:
    async def answer(connection: Connection) -> None:
        await connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + BODY)
        await connection.ends()

    async with serve_bytes(answer) as server, asyncio.timeout(PATIENCE):
        pieces = client.stream_request(Request("GET", server.base))
        async for _ in pieces:
            break
        await pieces.aclose()
        await server.left.wait()


async def test_half_a_stream_is_an_error(client: HTTPClientMixin) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    async with serve_bytes(answers(head)) as server:
        with pytest.raises(Exception, match=r".*"):
            await streamed(client, server.base)


async def test_a_session_streams_too(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session() as session:
        request = Request("GET", web.url("/body"))
        pieces = [
            piece.content async for piece in session.stream_request(request, chunk_size=3_000)
        ]
    assert pieces == [BODY[start : start + 3_000] for start in range(0, 10_000, 3_000)]


# Sessions.


async def test_a_session_is_one_of_nonebots(client: HTTPClientMixin) -> None:
    assert isinstance(client.get_session(), HTTPClientSession)


async def test_a_session_has_to_be_set_up(client: HTTPClientMixin, web: Web) -> None:
    session = client.get_session()
    with pytest.raises(RuntimeError):
        await session.request(Request("GET", web.url("/body")))
    with pytest.raises(RuntimeError):
        async for _ in session.stream_request(Request("GET", web.url("/body"))):
            pass


async def test_a_session_is_set_up_once(client: HTTPClientMixin) -> None:
    async with client.get_session() as session:
        with pytest.raises(RuntimeError):
            await session.setup()


async def test_a_session_that_is_closed_has_to_be_set_up_again(
    client: HTTPClientMixin, web: Web
) -> None:
    session = client.get_session()
    async with session:
        pass
    with pytest.raises(RuntimeError):
        await session.request(Request("GET", web.url("/body")))
    async with session:
        assert (await session.request(Request("GET", web.url("/body")))).content == BODY


async def test_to_close_a_session_twice_does_nothing(client: HTTPClientMixin) -> None:
    session = client.get_session()
    await session.close()
    await session.setup()
    await session.close()
    await session.close()


async def test_a_session_keeps_its_connection(client: HTTPClientMixin, web: Web) -> None:
    async with client.get_session() as session:
        request = Request("GET", web.url("/inspect"))
        peers = {found_in((await session.request(request)).content)["peer"] for _ in range(3)}
    assert len(peers) == 1


async def keep_alive(connection: Connection) -> None:
    """Answers requests until the client leaves."""
    while True:
        await connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def test_to_close_a_session_ends_its_connections(client: HTTPClientMixin) -> None:
    async with serve_bytes(keep_alive) as server, asyncio.timeout(PATIENCE):
        async with client.get_session() as session:
            await session.request(Request("GET", server.base))
            assert not server.left.is_set()
        await server.left.wait()


async def test_requests_run_at_the_same_time(client: HTTPClientMixin) -> None:
    all_in = asyncio.Barrier(30)

    async def answer(connection: Connection) -> None:
        await connection.head()
        await all_in.wait()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serve_bytes(answer) as server, asyncio.timeout(PATIENCE):
        found = await asyncio.gather(*(get(client, server.base) for _ in range(30)))
        assert [response.status_code for response in found] == [200] * 30
        async with client.get_session() as session:
            request = Request("GET", server.base)
            found = await asyncio.gather(*(session.request(request) for _ in range(30)))
        assert [response.status_code for response in found] == [200] * 30


async def test_a_connection_that_the_server_has_closed_is_not_used(
    client: HTTPClientMixin,
) -> None:
    answer = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    async with serve_bytes(answer) as server, client.get_session() as session:
        for _ in range(3):
            assert (await session.request(Request("GET", server.base))).status_code == 200
            await server.left.wait()
        assert server.accepted == 3


async def test_a_request_that_is_cancelled_ends_its_connection(client: HTTPClientMixin) -> None:
    begun = asyncio.Event()

    async def answer(connection: Connection) -> None:
        await connection.head()
        begun.set()
        await connection.ends()

    async with serve_bytes(answer) as server, asyncio.timeout(PATIENCE):
        task = asyncio.ensure_future(get(client, server.base))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.left.wait()


async def test_an_answer_may_come_before_all_is_sent(client: HTTPClientMixin) -> None:
    async def answer(connection: Connection) -> None:
        await connection.head()
        connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await connection.ends()

    async with serve_bytes(answer) as server, asyncio.timeout(PATIENCE):
        request = Request("POST", server.base, content=b"x" * 20_000_000)
        assert (await client.request(request)).status_code == 413
