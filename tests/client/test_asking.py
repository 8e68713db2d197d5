"""A request on its way: the connection, a second try, redirects, cookies, time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.cancelling import WAYS, Way
from support.client import Answers, Asked, MemoryClient, answer, redirect
from support.jumping import jumping
from support.leaks import nothing_left
from support.peer import settle

from nbdriver.client.settings import Timeouts
from nbdriver.errors import (
    InvalidResponse,
    NetworkError,
    NetworkTimeout,
    TooManyRedirects,
)

HERE = "http://a.example/"


def always(said: bytes) -> Answers:
    return lambda asked: said


def by_path(**answers: bytes) -> Answers:
    """Answers by the first segment of the path; `hello` to whatever is not named."""
    return lambda asked: answers.get(
        asked.target.split("?")[0].strip("/").replace("/", "_"), answer(b"hello")
    )


# Requests, and what goes along.


@jumping
async def test_a_request_is_sent_and_its_answer_read() -> None:
    async with nothing_left(), MemoryClient(always(answer(b"hello", "A: b"))) as client:
        response = await client.request("post", HERE + "x", params={"a": "b c"}, json={"d": 1})
        assert (response.status_code, response.content) == (200, b"hello")
        assert response.headers.get("a") == "b"
        (asked,) = client.asked
        assert (asked.method, asked.target, asked.body) == ("POST", "/x?a=b%20c", b'{"d":1}')
        assert asked.headers.joined() == {
            "host": "a.example",
            "user-agent": "nbdriver/0.1.0",
            "accept": "*/*",
            "accept-encoding": "gzip, deflate",
            "content-type": "application/json",
            "content-length": "7",
        }


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
def test_a_body_arrives_whole_whatever_its_size(size: int) -> None:
    @jumping
    async def run() -> None:
        async with nothing_left(), MemoryClient(always(answer())) as client:
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            await client.request("PUT", HERE, content=body)
            await client.request("PUT", HERE, content=iter([body[:7], body[7:]]))
            assert [asked.body == body for asked in client.asked] == [True, True]
            assert client.asked[1].headers.get("transfer-encoding") == "chunked"

    run()


@jumping
async def test_requests_to_one_place_share_a_connection() -> None:
    async with MemoryClient(always(answer(b"hello"))) as client:
        for path in "ab":
            await client.request("GET", HERE + path)
        await client.request("GET", "http://b.example/")
        await client.request("HEAD", HERE)
        assert [asked.connection for asked in client.asked] == [0, 0, 1, 0]


@jumping
async def test_what_is_logged_is_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with MemoryClient(always(answer())) as client:
        await client.request(
            "GET", "http://name:pass@a.example/bot:token/x?access_token=secret&b=c"
        )
    lines = [record.getMessage() for record in caplog.records if "client" in record.name]
    assert lines == ["GET http://a.example: 200"]


# A kept connection that is gone.


def gone_once(*numbers: int) -> Callable[[MemoryClient], Answers]:
    """Says nothing to the requests of these numbers, and leaves."""

    def answers_of(client: MemoryClient) -> Answers:
        def answers(asked: Asked) -> bytes | None:
            if len(client.asked) - 1 not in numbers:
                return answer(b"hello")
            client.servers[asked.connection].transport.close()
            return None

        return answers

    return answers_of


def leaving(*numbers: int, **settings: Any) -> MemoryClient:
    client = MemoryClient(always(b""), **settings)
    client.answers = gone_once(*numbers)(client)
    return client


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_request_that_may_be_repeated_is_sent_once_more_over_a_new_connection(
    method: str,
) -> None:
    # RFC 9110, 9.2.2
    @jumping
    async def run() -> None:
        async with nothing_left(), leaving(1) as client:
            await client.request("GET", HERE)
            response = await client.request(method, HERE, content=b"body")
            assert response.status_code == 200
            assert [asked.connection for asked in client.asked] == [0, 0, 1]
            assert client.asked[2].body == b"body"

    run()


async def pieces() -> AsyncIterator[bytes]:
    yield b"body"


@pytest.mark.parametrize(("method", "body"), [("POST", b"body"), ("PATCH", b""), ("PUT", pieces)])
def test_a_request_that_may_not_be_repeated_is_not(method: str, body: Any) -> None:
    @jumping
    async def run() -> None:
        async with nothing_left(), leaving(1) as client:
            await client.request("GET", HERE)
            with pytest.raises(NetworkError, match="got nothing but the connection's end"):
                await client.request(method, HERE, content=body() if callable(body) else body)
            assert len(client.asked) == 2

    run()


@jumping
async def test_a_request_is_sent_a_second_time_and_not_a_third() -> None:
    async with nothing_left(), leaving(1, 2) as client:
        await client.request("GET", HERE)
        with pytest.raises(NetworkError):
            await client.request("GET", HERE)
        assert len(client.asked) == 3


@jumping
async def test_a_request_that_has_failed_on_a_new_connection_is_not_repeated() -> None:
    async with nothing_left(), leaving(0) as client:
        with pytest.raises(NetworkError):
            await client.request("GET", HERE)
        assert len(client.asked) == 1


@jumping
async def test_a_request_of_whose_answer_something_came_is_not_repeated() -> None:
    async with nothing_left(), MemoryClient(always(answer(b"hello"))) as client:
        await client.request("GET", HERE)

        def half(asked: Asked) -> bytes:
            client.servers[0].send(b"HTTP/1.1 2")
            client.servers[0].transport.close()
            return b""

        client.answers = client.servers[0]._answers = half
        with pytest.raises(InvalidResponse, match="only a part of it"):
            await client.request("GET", HERE)
        assert len(client.asked) == 2


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "came",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
    ],
)
def test_a_request_whose_answer_was_refused_is_not_repeated(method: str, came: bytes) -> None:
    @jumping
    async def run() -> None:
        async with nothing_left(), MemoryClient(always(answer(b"hello"))) as client:
            await client.request("GET", HERE)
            client.servers[0]._answers = always(came)
            with pytest.raises(InvalidResponse):
                await client.request(method, HERE)
            assert len(client.asked) == 2

    run()


@jumping
async def test_a_request_that_took_too_long_is_not_repeated() -> None:
    async with nothing_left(), MemoryClient(always(answer(b"hello"))) as client:
        await client.request("GET", HERE)
        client.servers[0]._answers = always(b"")
        with pytest.raises(NetworkTimeout):
            await client.request("GET", HERE)
        assert len(client.asked) == 2


@jumping
async def test_a_connection_that_is_seen_to_be_gone_is_not_used_even_for_a_post() -> None:
    async with nothing_left(), MemoryClient(always(answer(b"hello"))) as client:
        await client.request("GET", HERE)
        client.servers[0].transport.close()
        await settle()
        await client.request("POST", HERE)
        assert [asked.connection for asked in client.asked] == [0, 1]


# Redirects.


@jumping
async def test_an_answer_that_leads_elsewhere_is_followed_and_remembered() -> None:
    async with nothing_left(), MemoryClient(by_path(a=redirect("/b#x"), b=redirect("c"))) as client:
        response = await client.request("GET", HERE + "a")
        assert response.content == b"hello"
        assert str(response.url) == HERE + "c#x"
        assert [(each.status_code, str(each.url)) for each in response.history] == [
            (302, HERE + "a"),
            (302, HERE + "b#x"),
        ]
        assert response.history[0].content == b""
        # The body of a redirect is read, so that its connection can be used again.
        assert {asked.connection for asked in client.asked} == {0}


def counting_down(asked: Asked) -> bytes:
    left = int(asked.target.strip("/"))
    return redirect(f"/{left - 1}") if left else answer(b"there")


@jumping
async def test_twenty_redirects_are_followed_and_no_more() -> None:
    async with nothing_left(), MemoryClient(counting_down) as client:
        response = await client.request("GET", HERE + "20")
        assert (response.content, len(response.history)) == (b"there", 20)
        with pytest.raises(TooManyRedirects, match="at most 20 redirects, the last one leads to"):
            await client.request("GET", HERE + "21")
    async with nothing_left(), MemoryClient(counting_down, max_redirects=0) as client:
        assert (await client.request("GET", HERE + "0")).content == b"there"
        with pytest.raises(TooManyRedirects):
            await client.request("GET", HERE + "1")


@jumping
async def test_redirects_are_left_alone_where_nobody_wants_to_follow_them() -> None:
    async with MemoryClient(counting_down, follow_redirects=False) as client:
        response = await client.request("GET", HERE + "5")
        assert (response.status_code, response.content) == (302, b"moved")
        response = await client.request("GET", HERE + "5", follow_redirects=True)
        assert response.content == b"there"
    async with MemoryClient(counting_down) as client:
        response = await client.request("GET", HERE + "5", follow_redirects=False)
        assert response.status_code == 302


@jumping
async def test_a_redirect_of_head_is_followed_by_head() -> None:
    async with MemoryClient(by_path(a=redirect("/b").removesuffix(b"moved"))) as client:
        client.answers = by_path(
            a=redirect("/b").removesuffix(b"moved"), b=answer(b"hello").removesuffix(b"hello")
        )
        response = await client.request("HEAD", HERE + "a")
        assert (response.status_code, response.content) == (200, b"")
        assert [asked.method for asked in client.asked] == ["HEAD", "HEAD"]


@jumping
async def test_a_body_goes_along_where_the_status_says_so() -> None:
    answers = by_path(a=redirect("/b", status="307 X"), c=redirect("/d", status="303 X"))
    async with MemoryClient(answers) as client:
        await client.request("POST", HERE + "a", content=b"x" * 100_000)
        await client.request("POST", HERE + "c", content=b"x" * 100_000)
        assert [(asked.method, len(asked.body)) for asked in client.asked] == [
            ("POST", 100_000),
            ("POST", 100_000),
            ("POST", 100_000),
            ("GET", 0),
        ]


@jumping
async def test_nothing_secret_goes_along_to_another_host() -> None:
    # CVE-2026-34518
    def answers(asked: Asked) -> bytes:
        if asked.route.origin.host == "a.example":
            return redirect("http://b.example/", "Set-Cookie: jar=secret")
        return answer(b"hello")

    async with MemoryClient(
        answers, headers={"X-Key": "secret"}, auth=("name", "secret")
    ) as client:
        response = await client.request(
            "GET", HERE, headers={"Cookie": "secret=1"}, cookies={"own": "secret"}
        )
        assert response.content == b"hello"
        first, second = client.asked
        assert first.headers.get("authorization") is not None
        assert "secret" in repr(first.headers)
        assert set(second.headers.joined()) == {"host", "user-agent", "accept", "accept-encoding"}


@jumping
async def test_cookies_of_a_redirect_count_from_then_on() -> None:
    async with MemoryClient(by_path(a=redirect("/b", "Set-Cookie: x=1; Path=/"))) as client:
        await client.request("GET", HERE + "a")
        await client.request("GET", HERE + "c")
        assert [asked.headers.get("cookie") for asked in client.asked] == [None, "x=1", "x=1"]
        assert [cookie.name for cookie in client.cookies] == ["x"]


@jumping
async def test_the_long_body_of_a_redirect_is_not_waited_for() -> None:
    endless = b"HTTP/1.1 302 X\r\nLocation: /b\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 300_000
    async with nothing_left(), MemoryClient(by_path(a=endless)) as client:
        response = await client.request("GET", HERE + "a")
        assert response.content == b"hello"
        assert [asked.connection for asked in client.asked] == [0, 1]


@jumping
async def test_a_redirect_whose_body_is_broken_still_leads_on() -> None:
    broken = b"HTTP/1.1 302 X\r\nLocation: /b\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"
    async with nothing_left(), MemoryClient(by_path(a=broken)) as client:
        response = await client.request("GET", HERE + "a")
        assert response.content == b"hello"
        assert [asked.connection for asked in client.asked] == [0, 1]


@jumping
async def test_a_redirect_whose_body_does_not_come_takes_the_time_it_may() -> None:
    waiting = b"HTTP/1.1 302 X\r\nLocation: /b\r\nContent-Length: 5\r\n\r\n"
    async with nothing_left(), MemoryClient(by_path(a=waiting)) as client:
        with pytest.raises(NetworkTimeout):
            await client.request("GET", HERE + "a", timeout=3)


@jumping
async def test_a_location_that_is_none_is_an_invalid_response() -> None:
    async with nothing_left(), MemoryClient(by_path(a=redirect("gopher://b/"))) as client:
        with pytest.raises(InvalidResponse, match="cannot follow"):
            await client.request("GET", HERE + "a")


@jumping
async def test_an_answer_that_switches_protocols_is_none() -> None:
    switching = b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    upgrade = {"Upgrade": "h2c", "Connection": "Upgrade"}
    async with nothing_left(), MemoryClient(always(switching)) as client:
        with pytest.raises(InvalidResponse, match=r"expected an answer from a\.example, got 101"):
            await client.request("GET", HERE, headers=upgrade)
        assert len(client._pool) == 0


# Proxies.


@jumping
async def test_a_forwarding_proxy_is_asked_for_the_whole_url_and_told_who_asks() -> None:
    async with MemoryClient(always(answer()), proxy="http://me:secret@proxy.example") as client:
        await client.request("GET", "http://a.example/x?y#z")
        await client.request("GET", "http://a.example/x", proxy=None)
        await client.request("GET", "https://a.example/x")
        forwarded, direct, tunnelled = client.asked
        assert forwarded.target == "http://a.example/x?y"
        assert forwarded.headers.get("host") == "a.example"
        assert forwarded.headers.get("proxy-authorization") == "Basic bWU6c2VjcmV0"
        for asked in (direct, tunnelled):
            assert asked.target == "/x"
            # The server whom it is meant for is not the proxy.
            assert "proxy-authorization" not in asked.headers


@jumping
async def test_a_proxy_may_be_for_one_request() -> None:
    async with MemoryClient(always(answer())) as client:
        await client.request("GET", HERE, proxy="socks5://proxy.example")
        await client.request("GET", HERE)
        assert [str(asked.route.proxy) for asked in client.asked] == [
            "socks5://proxy.example:1080",
            "None",
        ]


# Time.


@jumping
async def test_each_limit_is_kept_separately() -> None:
    loop = asyncio.get_running_loop()

    async def took(seconds: float, **options: Any) -> NetworkTimeout:
        began = loop.time()
        with pytest.raises(NetworkTimeout) as caught:
            await client.request("GET", HERE, **options)
        assert loop.time() - began == pytest.approx(seconds)
        return caught.value

    client = MemoryClient(always(b""), max_connections=1, timeouts=Timeouts(read=7))
    async with nothing_left(), client:
        error = await took(7)
        assert str(error) == "waited 7 s (the read limit) for an answer from http://a.example:80"
        assert (await took(3, timeout=3)).limit == "read"
        assert (await took(2, timeout=Timeouts(total=2))).limit == "total"
        assert (await took(0, timeout=0)).limit in ("connect", "read")
        assert (await took(0, timeout=Timeouts(total=0))).limit == "total"
        waiting = asyncio.create_task(client.request("GET", HERE, timeout=None))
        await settle()
        # Waiting for a place in the pool counts for the limit on connecting.
        error = await took(5)
        assert str(error) == "waited 5 s (the connect limit) for a connection to a.example"
        await asyncio.sleep(10_000)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


@jumping
async def test_the_total_limit_is_over_all_redirects() -> None:
    loop = asyncio.get_running_loop()

    def slowly(asked: Asked) -> None:
        server = client.servers[asked.connection]
        loop.call_later(1, server.send, redirect("/again"))

    client = MemoryClient(lambda asked: slowly(asked))
    async with nothing_left(), client:
        began = loop.time()
        with pytest.raises(NetworkTimeout, match=r"waited 4\.5 s \(the total limit\)"):
            await client.request("GET", HERE, timeout=Timeouts(total=4.5))
        assert loop.time() - began == pytest.approx(4.5)
        assert len(client.asked) == 5


@jumping
async def test_the_total_limit_is_over_the_body_as_well() -> None:
    loop = asyncio.get_running_loop()

    def trickle(asked: Asked) -> bytes:
        server = client.servers[asked.connection]
        for second in range(1, 100):
            loop.call_later(second, server.send, b"x")
        return b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"

    client = MemoryClient(trickle)
    async with client:
        limits = Timeouts(total=4.5)
        with pytest.raises(NetworkTimeout, match="for the rest of an answer"):
            await client.request("GET", HERE, timeout=limits)
        began = loop.time()
        async with client.stream("GET", HERE, timeout=limits) as response:
            # What the caller does meanwhile is not cut off, but counts.
            await asyncio.sleep(3)
            assert await anext(aiter(response.pieces())) == b"xxx"
            with pytest.raises(NetworkTimeout):
                await response.read()
        assert loop.time() - began == pytest.approx(4.5)
        await asyncio.sleep(100)


@jumping
async def test_the_total_limit_is_over_when_the_body_is_there() -> None:
    client = MemoryClient(always(answer(b"hello")))
    async with client, client.stream("GET", HERE, timeout=Timeouts(total=4)) as response:
        assert await response.read() == b"hello"
        await asyncio.sleep(100)


# Streaming.


@jumping
async def test_a_stream_that_is_left_early_costs_its_connection() -> None:
    large = answer(b"x" * 900_000)
    async with nothing_left(), MemoryClient(always(large)) as client:
        async with client.stream("GET", HERE) as response:
            async for piece in response.pieces():
                assert piece
                break
        assert len(client._pool) == 0
        with pytest.raises(RuntimeError, match="inside of the block"):
            await response.read()
        async with client.stream("GET", HERE) as response:
            sizes = [len(chunk) async for chunk in response.chunks(100_000)]
        assert sizes == [100_000] * 9
        async with client.stream("GET", HERE) as response:
            assert len(await response.read()) == 900_000
        assert [asked.connection for asked in client.asked] == [0, 1, 1]


@jumping
async def test_an_answer_without_a_body_gives_its_connection_back_at_once() -> None:
    async with MemoryClient(
        always(answer(status="204 No Content").replace(b" 0", b" 0"))
    ) as client:
        async with client.stream("GET", HERE) as first, client.stream("GET", HERE) as second:
            assert await first.read() == await second.read() == b""
        assert [asked.connection for asked in client.asked] == [0, 0]


@jumping
async def test_an_error_in_the_block_costs_the_connection_too() -> None:
    async def fail(client: MemoryClient) -> None:
        async with client.stream("GET", HERE) as response:
            await anext(aiter(response.pieces()))
            raise ZeroDivisionError

    async with nothing_left(), MemoryClient(always(answer(b"x" * 900_000))) as client:
        with pytest.raises(ZeroDivisionError):
            await fail(client)
        assert len(client._pool) == 0


@jumping
async def test_too_large_answers_are_invalid_and_cost_their_connection() -> None:
    client = MemoryClient(always(answer(b"x" * 10)), max_body=9)
    async with nothing_left(), client:
        with pytest.raises(InvalidResponse, match="at most 9 bytes"):
            await client.request("GET", HERE)
        assert len(client._pool) == 0
        async with client.stream("GET", HERE) as response:
            assert [piece async for piece in response.pieces()] == [b"x" * 10]


# Cancelling.


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_cancelled_anywhere_nothing_is_left_and_the_next_request_works(way: Way) -> None:
    @jumping
    async def run() -> None:
        number, reached = 0, True
        while reached:
            number += 1
            answers = by_path(a=redirect("http://b.example/", status="307 X"))
            async with (
                nothing_left(),
                MemoryClient(answers, max_connections=1, timeouts=Timeouts(total=50)) as client,
            ):
                request = client.request("POST", HERE + "a", content=b"x" * 200_000)
                outcome = await way(request, number)
                reached = outcome.reached
                assert outcome.cancelled or outcome.result.content == b"hello"
                # There is one place, and it is free.
                assert (await client.request("GET", HERE)).content == b"hello"
        assert number > 4

    run()


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_stream_may_be_cancelled_anywhere(way: Way) -> None:
    @jumping
    async def run() -> None:
        async def stream(client: MemoryClient) -> int:
            async with client.stream("GET", HERE) as response:
                return sum([len(piece) async for piece in response.pieces()])

        number, reached = 0, True
        while reached:
            number += 1
            client = MemoryClient(always(answer(b"x" * 900_000)), max_connections=1)
            async with nothing_left(), client:
                outcome = await way(stream(client), number)
                reached = outcome.reached
                assert outcome.cancelled or outcome.result == 900_000
                assert len((await client.request("GET", HERE)).content) == 900_000
        assert number > 2

    run()


# Whatever a server says.

ELEMENTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Connection: close\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"hello",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        answer(b"wrong"),
    ]
)


@given(
    st.lists(st.one_of(ELEMENTS, st.binary(max_size=6)), max_size=7),
    st.sampled_from(["nothing", "end", "reset"]),
    st.sampled_from(["GET", "HEAD", "POST"]),
)
@example(
    [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello", answer(b"wrong")], "nothing", "GET"
)
@example([answer(b"wrong"), answer(b"wrong")], "nothing", "HEAD")
@example([b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n", b"hello"], "nothing", "GET")
def test_whatever_a_server_says_is_an_answer_or_a_network_error_and_never_that_of_another(
    pieces: list[bytes], end: str, method: str
) -> None:
    @jumping
    async def run() -> None:
        def answers(asked: Asked) -> bytes | None:
            if len(client.asked) > 1:
                return answer(b"hello")
            server = client.servers[asked.connection]
            for piece in pieces:
                server.send(piece)
            if end == "end":
                server.transport.close()
            elif end == "reset":
                server.reset()
            return None

        client = MemoryClient(answers)
        async with nothing_left(), client:
            with suppress(NetworkError):
                response = await client.request(method, HERE)
                assert 200 <= response.status_code <= 999
            await settle()
            response = await client.request("GET", HERE)
            assert (response.status_code, response.content) == (200, b"hello")

    run()
