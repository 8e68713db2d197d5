"""How long an HTTP client waits, on every driver with one.

No test measures time: a wait that is too long is one that a limit of the test's own would end, and
one that is too short ends before the answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import pytest
from conformance.standing_in import Connection, Web, serve_bytes, serve_web
from hosts.hosting import PATIENCE
from nonebot.drivers import HTTPClientMixin, Request, Timeout
from nonebot.utils import UNSET

#: A limit that is to be over.
SHORT = 0.1
#: An answer that is later than that.
LATE = "/slow?seconds=0.2"
#: Ten bytes, each in much less than a second, and all of them in more.
DRIP = "/drip?seconds=0.15"


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A server that may take its time."""
    async with serve_web() as served:
        yield served


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The URL of a server that takes a request and never answers."""

    async def answer(connection: Connection) -> None:
        await connection.ends()

    async with serve_bytes(answer) as served:
        yield served.base


@pytest.fixture
def unreachable() -> Iterator[str]:
    """The URL of a host that does not take a connection: its queue of those is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(3):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(address)
            waiting.append(each)
        yield f"http://127.0.0.1:{address[1]}/"
        for each in waiting:
            each.close()


async def ask(client: HTTPClientMixin, url: str, timeout: Any = UNSET) -> Any:
    """The content of an answer, if it comes within the test's own limit."""
    async with asyncio.timeout(PATIENCE):
        return (await client.request(Request("GET", url, timeout=timeout))).content


async def error_of(asked: Awaitable[Any], patience: float = 3) -> BaseException:
    """How a request ends whose limit is over."""
    task = asyncio.ensure_future(asked)
    done, _ = await asyncio.wait([task], timeout=patience)
    if not done:
        task.cancel()
        await asyncio.wait([task])
    assert done, "it went on waiting"
    error = task.exception()
    assert error is not None, "it did not wait"
    assert "time" in type(error).__name__.lower(), repr(error)
    return error


async def times_out(client: HTTPClientMixin, url: str, timeout: Any) -> BaseException:
    """How a plain request ends whose limit is over."""
    return await error_of(client.request(Request("GET", url, timeout=timeout)))


@pytest.mark.parametrize(
    "timeout", [SHORT, Timeout(read=SHORT), Timeout(total=SHORT)], ids=["number", "read", "total"]
)
async def test_an_answer_that_does_not_come_is_not_waited_for(
    client: HTTPClientMixin, silent: str, timeout: Any
) -> None:
    await times_out(client, silent, timeout)


@pytest.mark.parametrize(
    "timeout",
    [SHORT, Timeout(connect=SHORT), Timeout(total=SHORT)],
    ids=["number", "connect", "total"],
)
async def test_a_connection_that_does_not_come_is_not_waited_for(
    client: HTTPClientMixin, unreachable: str, timeout: Any
) -> None:
    await times_out(client, unreachable, timeout)


async def test_a_number_is_for_each_piece_of_an_answer(client: HTTPClientMixin, web: Web) -> None:
    assert await ask(client, web.url(DRIP), 1) == b"x" * 10


async def test_each_limit_is_of_what_it_says(client: HTTPClientMixin, web: Web) -> None:
    pieces, late = await asyncio.gather(
        ask(client, web.url(DRIP), Timeout(read=1)),
        ask(client, web.url("/slow?seconds=1.5"), Timeout(connect=1, close=1)),
    )
    assert (pieces, late) == (b"x" * 10, b"late")


async def test_the_total_is_of_all_pieces(client: HTTPClientMixin, web: Web) -> None:
    await times_out(client, web.url("/drip?seconds=0.1"), Timeout(total=0.5))


async def test_the_total_is_of_all_redirects(client: HTTPClientMixin, web: Web) -> None:
    async def answer(connection: Connection) -> None:
        while True:
            await connection.head()
            await asyncio.sleep(0.03)
            connection.send(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")

    async with serve_bytes(answer) as server:
        await times_out(client, server.base, Timeout(total=0.3))


async def test_an_answer_in_time_is_waited_for(client: HTTPClientMixin, web: Web) -> None:
    none = Timeout(total=None, connect=None, read=None, close=None)
    limits = (UNSET, None, 5, 5.0, Timeout(), Timeout(total=5), none)
    found = await asyncio.gather(*(ask(client, web.url(LATE), limit) for limit in limits))
    assert found == [b"late"] * len(limits)


async def test_what_is_not_given_is_the_default(client: HTTPClientMixin, web: Web) -> None:
    assert await ask(client, web.url(LATE), Timeout(read=5)) == b"late"


async def test_a_time_out_is_a_timeout_error(client: HTTPClientMixin, silent: str) -> None:
    assert isinstance(await times_out(client, silent, SHORT), TimeoutError)


async def test_0_is_over_at_once(client: HTTPClientMixin, silent: str) -> None:
    await times_out(client, silent, Timeout(total=0))


async def test_a_stream_has_its_limits_too(client: HTTPClientMixin, silent: str) -> None:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Exception, match=r".*") as caught:
            async for _ in client.stream_request(Request("GET", silent, timeout=SHORT)):
                pass
    assert "time" in type(caught.value).__name__.lower()


@pytest.mark.parametrize("timeout", [SHORT, Timeout(read=SHORT)], ids=["number", "read"])
async def test_a_sessions_limits_are_those_of_its_requests(
    client: HTTPClientMixin, silent: str, timeout: Any
) -> None:
    async with client.get_session(timeout=timeout) as session:
        await error_of(session.request(Request("GET", silent)))


@pytest.mark.parametrize(
    "timeout",
    [None, 5, Timeout(read=5), Timeout(read=None)],
    ids=["None", "number", "read", "no read"],
)
async def test_a_requests_limits_beat_the_sessions(
    client: HTTPClientMixin, web: Web, timeout: Any
) -> None:
    async with client.get_session(timeout=SHORT) as session, asyncio.timeout(PATIENCE):
        response = await session.request(Request("GET", web.url(LATE), timeout=timeout))
    assert response.content == b"late"


async def test_what_a_request_does_not_say_is_the_sessions(
    client: HTTPClientMixin, silent: str
) -> None:
    async with client.get_session(timeout=Timeout(read=SHORT)) as session:
        request = Request("GET", silent, timeout=Timeout(connect=5))
        await error_of(session.request(request), patience=1)


async def test_after_a_time_out_the_next_request_is_answered(
    client: HTTPClientMixin, web: Web
) -> None:
    async with client.get_session() as session:
        with pytest.raises(Exception, match=r".*"):
            await session.request(Request("GET", web.url(LATE), timeout=SHORT))
        assert (await session.request(Request("GET", web.url("/empty")))).content == b""
