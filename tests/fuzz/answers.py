"""A client's request and its answer, and what has to hold whatever bytes the answer is made of.

The properties and `make fuzz` come through here, as through `openings` those of a client's
WebSocket.
"""

from __future__ import annotations

import asyncio
import http.client
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.client import FIVE, Asked, MemoryClient, answer

from nbdriver.client import ClientResponse
from nbdriver.errors import NetworkError

from .conversation import (
    READ,
    Act,
    a_step_happens,
    everything_happens,
    held,
    nothing_goes_wrong,
    run,
)

MAX_HEAD, MAX_BODY, REDIRECTS = 2_000, 1_500, 2
#: Bytes that a connection may hold: its objects, what the limits let it, and a read.
BOUND = 20_000 + 2 * (MAX_HEAD + MAX_BODY + READ)
METHODS = ("GET", "HEAD", "POST")
#: What servers answer, for fuzzing to begin with.
ANSWERS = [
    FIVE,
    FIVE + FIVE,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nSet-Cookie: a=b; Domain=example; Max-Age=0\r\n\r\nhello",
    b"HTTP/1.1 302 Found\r\nLocation: //other/b\r\nContent-Length: 5\r\n\r\nhello",
]


@dataclass
class Course:
    """What came of it for whoever asked."""

    response: ClientResponse | None = None
    error: NetworkError | None = None
    asked: list[Asked] = field(default_factory=list)


def ask(
    pieces: Sequence[bytes],
    *,
    method: str = "GET",
    follow_redirects: bool = False,
    end: Act | None = None,
) -> Course:
    """Ask three times by one client, the second time to be answered with `pieces`.

    See that nothing goes wrong and nothing is left, that the third request has its own answer, and
    that http.client reads what we read.
    """
    course = run(_ask(pieces, method, follow_redirects, end))
    _judge(course, b"".join(pieces), method)
    return course


async def _ask(
    pieces: Sequence[bytes], method: str, follow_redirects: bool, end: Act | None
) -> Course:
    course, before, sending = Course(), asyncio.all_tasks(), set[asyncio.Task[None]]()

    def answers(asked: Asked) -> bytes:
        if asked.target in ("/first", "/next"):
            return answer(asked.target.encode())
        sending.add(asyncio.create_task(send(asked)))
        return b""

    async def send(asked: Asked) -> None:
        server, channel = client.servers[asked.connection], client.channels[asked.connection]
        for piece in pieces:
            if not server.lost:
                server.send(piece)
            await a_step_happens()
            assert held(channel.stream) <= BOUND
        if server.lost:
            return
        if end is Act.RESET:
            server.transport.abort()
        elif end is Act.END:
            server.transport.close()

    with nothing_goes_wrong():
        async with MemoryClient(
            answers, max_head=MAX_HEAD, max_body=MAX_BODY, max_redirects=REDIRECTS
        ) as client:
            assert (await client.request("GET", "http://a/first")).content == b"/first"
            try:
                course.response = await client.request(
                    method, "http://a/odd", follow_redirects=follow_redirects
                )
            except NetworkError as error:
                course.error = error
            following = await client.request("GET", "http://a/next")
            assert following.content == b"/next"
            course.asked = client.asked
            assert client.asked[-1].target == "/next"
            await everything_happens()
            await asyncio.gather(*sending)
        for server in client.servers:
            assert server.lost or server.eof
            server.transport.abort()
        await everything_happens()
        assert asyncio.all_tasks() == before
        assert client._clock.pending == 0
    return course


def _judge(course: Course, data: bytes, method: str) -> None:
    if course.response is None:
        assert course.error is not None
        assert str(course.error).isprintable()
        return
    response = course.response
    if response.history or "content-encoding" in response.headers:
        return
    status, body = read_by_http_client(data, method)
    assert (response.status_code, response.content) == (status, body)


class _Bytes(io.BytesIO):
    """Stands for the socket that http.client reads from, which it must not close."""

    def makefile(self, mode: str) -> _Bytes:
        return self

    def close(self) -> None:
        pass


def read_by_http_client(data: bytes, method: str) -> tuple[int, bytes]:
    """The status and the body of the first final answer.

    It looks for the chunks of a 204 or a 304 too, though there are none (RFC 9112, 6.3).
    """
    wire = _Bytes(data)
    while True:
        theirs = http.client.HTTPResponse(wire, method=method)  # type: ignore[arg-type]
        theirs.begin()
        if theirs.status >= 200:
            return theirs.status, b"" if theirs.status in (204, 304) else theirs.read()
