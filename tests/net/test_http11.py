"""The server's side of HTTP/1.1: what goes in as bytes, what comes out, and what is left."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any, NamedTuple, cast

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.memory import connect
from support.peer import PATIENCE, Peer, settle

from nbdriver import abc
from nbdriver.errors import ConnectionLost, HTTPError, RequestDenied, WebSocketClosed
from nbdriver.model import Headers, Request, Response
from nbdriver.net.clock import VirtualClock
from nbdriver.net.http11 import Context, HTTPConnection, HTTPLimits
from nbdriver.net.stream import Stream, StreamLimits
from nbdriver.net.tasks import Tasks
from nbdriver.net.websocket import WebSocketConnection
from nbdriver.wire.deflate import DeflateSettings
from nbdriver.wire.head import HeadLimits

HTTP_LOG = "nbdriver.net.http11"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = (
    b"GET /a/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def head(*lines: str, line: str = "GET / HTTP/1.1", host: str | None = "Host: a") -> bytes:
    every = [line, *([] if host is None else [host]), *lines, "", ""]
    return "\r\n".join(every).encode("latin-1")


def post(body: bytes, *lines: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *lines, line="POST / HTTP/1.1") + body


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head("Transfer-Encoding: chunked", line="POST / HTTP/1.1") + body + b"0\r\n\r\n"


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A short frame of a client, masked with a key of zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


class App(abc.Application):
    """Keeps what it was asked; a test gives the functions that answer."""

    def __init__(
        self,
        http: Callable[[Request], Awaitable[Any]] | None = None,
        websocket: Callable[[abc.WebSocketConnection], Awaitable[None]] | None = None,
    ) -> None:
        self._http = http
        self._websocket = websocket
        self.requests: list[Request] = []
        self.websockets: list[WebSocketConnection] = []
        self.gate = asyncio.Event()
        """For handlers that wait."""

    async def handle_http(self, request: Request) -> Response:
        self.requests.append(request)
        if self._http is not None:
            return cast(Response, await self._http(request))
        return Response(200, f"{request.method} {request.target} ".encode() + request.body)

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        self.websockets.append(cast(WebSocketConnection, websocket))
        assert self._websocket is not None
        await self._websocket(websocket)

    async def wait(self, request: Request) -> Response:
        await self.gate.wait()
        return Response(200, "waited")

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        raise AssertionError("a connection has nothing to do with it")

    async def drain(self) -> None:
        raise AssertionError("a connection has nothing to do with it")


class Answer(NamedTuple):
    status: int
    reason: str
    headers: Headers
    body: bytes


class Served:
    """A server in memory: its application, its clock, and everybody who is connected."""

    def __init__(
        self, app: App, *, http: HTTPLimits | None = None, deflate: DeflateSettings | None = None
    ) -> None:
        self.app = app
        self.clock = VirtualClock()
        self.tasks = Tasks()
        self.peers: list[Peer] = []
        self.streams: list[Stream] = []
        self.context = Context(
            application=app,
            clock=self.clock,
            tasks=self.tasks,
            http=http or HTTPLimits(server_header="test"),
            deflate=deflate,
        )

    def stream(self) -> Stream:
        self.streams.append(
            stream := Stream(self._connected, self._lost, self.clock, StreamLimits())
        )
        return stream

    def _connected(self, stream: Stream) -> HTTPConnection:
        connection = self.context.connections[stream] = HTTPConnection(stream, self.context)
        return connection

    def _lost(self, stream: Stream) -> None:
        del self.context.connections[stream]

    def connect(self, data: bytes = b"", *, peername: object = ("127.0.0.1", 50_000)) -> Peer:
        self.peers.append(peer := Peer())
        connect(self.stream(), peer, peername=peername)
        peer.send(data)
        return peer

    @property
    def connection(self) -> HTTPConnection:
        """The last connection's."""
        connection = self.context.connections[self.streams[-1]]
        assert isinstance(connection, HTTPConnection)
        return connection

    async def still_works(self) -> None:
        """See that the next connection is served as if nothing had happened."""
        self.app._http = None
        answer = await read_answer(self.connect(post(b"next")))
        assert (answer.status, answer.body) == (200, b"POST / next")

    async def advance(self, seconds: float) -> None:
        await settle()
        self.clock.advance(seconds)
        await settle()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Served]]:
    """Servers, of which nothing is left at the end: no task, no deadline, no connection.

    And nothing but what the contract allows was raised into the event loop meanwhile.
    """
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    servers: list[Served] = []

    def serve(app: App | None = None, **settings: Any) -> Served:
        servers.append(served := Served(app or App(), **settings))
        return served

    yield serve
    for served in servers:
        for peer in served.peers:
            peer.transport.abort()
        served.app.gate.set()
        await settle()
        assert len(served.tasks) == 0
        assert served.clock.pending == 0
        assert served.context.connections == {}
    assert raised == []


async def read_answer(peer: Peer, method: str = "GET") -> Answer:
    """The next answer, taken from what has come."""
    line, *lines = (await peer.read(b"\r\n\r\n")).decode("latin-1")[:-4].split("\r\n")
    version, status, reason = line.split(" ", 2)
    assert version == "HTTP/1.1"
    headers = Headers(cast("tuple[str, str]", tuple(each.split(": ", 1))) for each in lines)
    length = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
    await peer.until(lambda: len(peer.received) >= length)
    body = bytes(peer.received[:length])
    del peer.received[:length]
    return Answer(int(status), reason, headers, body)


async def read_last_answer(peer: Peer, method: str = "GET") -> Answer:
    """The answer with which the server ends the connection."""
    answer = await read_answer(peer, method)
    assert answer.headers.get("connection") == "close"
    assert await peer.read_to_end() == b""
    return answer


# Answers.


async def test_a_request_is_answered_and_the_connection_is_kept(serve: Any) -> None:
    peer = serve().connect(post(b"one"))
    assert (await read_answer(peer))[::3] == (200, b"POST / one")
    peer.send(GET)
    answer = await read_answer(peer)
    assert (answer.status, answer.reason, answer.body) == (200, "OK", b"GET / ")
    assert answer.headers.get("connection") is None
    assert not peer.eof


async def test_a_handler_gets_the_request_as_it_was_sent(serve: Any) -> None:
    served = serve()
    peer = served.connect(
        head("X-Self-ID: 1", "X-Self-ID: \xff", "Content-Length: 3", line="PUT /a%20b?c=d HTTP/1.1")
        + b"\0\xff\n"
    )
    await read_answer(peer)
    (request,) = served.app.requests
    assert (request.method, request.target, request.http_version) == ("PUT", "/a%20b?c=d", "1.1")
    assert (request.path, request.query_string) == ("/a%20b", "c=d")
    assert list(request.headers.items()) == [
        ("host", "a"),
        ("x-self-id", "1"),
        ("x-self-id", "\xff"),
        ("content-length", "3"),
    ]
    assert request.body == b"\0\xff\n"
    assert request.client == ("127.0.0.1", 50_000)


@pytest.mark.parametrize(
    ("peername", "client"),
    [(("::1", 5, 0, 0), ("::1", 5)), ("", None), (b"\0abstract", None), (None, None)],
)
async def test_a_client_is_known_by_its_address_if_it_has_one(
    serve: Any, peername: object, client: object
) -> None:
    served = serve()
    await read_answer(served.connect(GET, peername=peername))
    assert served.app.requests[0].client == client


async def test_an_absolute_target_reaches_the_handler_in_origin_form(serve: Any) -> None:
    served = serve()
    await read_answer(served.connect(head(line="GET http://a/b?c HTTP/1.1")))
    assert served.app.requests[0].target == "/b?c"


async def test_an_answer_has_the_date_and_the_server_rfc_9110_6_6_1(serve: Any) -> None:
    before = int(time.time())
    answer = await read_answer(serve().connect(GET))
    date = parsedate_to_datetime(answer.headers.get("date") or "").timestamp()
    assert before <= date <= time.time()
    assert answer.headers.get("server") == "test"


async def test_no_server_header_is_sent_if_none_is_wanted(serve: Any) -> None:
    answer = await read_answer(serve(http=HTTPLimits(server_header=None)).connect(GET))
    assert "server" not in answer.headers


async def test_framing_date_and_server_are_the_servers_alone(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        headers = {
            "Content-Length": "1",
            "Transfer-Encoding": "chunked",
            "Connection": "close",
            "Date": "today",
            "Server": "mine",
            "X-A": "b",
        }
        return Response(200, "body", headers.items())

    peer = serve(App(handler)).connect(GET)
    answer = await read_answer(peer)
    assert answer.body == b"body"
    assert answer.headers.get_all("content-length") == ["4"]
    assert answer.headers.get("server") == "test"
    assert answer.headers.get("x-a") == "b"
    assert len(answer.headers.get_all("date")) == 1
    assert "transfer-encoding" not in answer.headers
    assert "connection" not in answer.headers


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_has_no_length_either_rfc_9110_8_6(
    serve: Any, status: int
) -> None:
    async def handler(request: Request) -> Response:
        return Response(status, "left out")

    peer = serve(App(handler)).connect(GET * 2)
    for _ in range(2):
        answer = await read_answer(peer)
        assert answer.status == status
        assert "content-length" not in answer.headers
    assert peer.received == b""


async def test_an_empty_body_has_the_length_0(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(200)

    answer = await read_answer(serve(App(handler)).connect(GET))
    assert answer.headers.get("content-length") == "0"


async def test_head_is_answered_like_get_without_the_body(serve: Any) -> None:
    peer = serve().connect(head(line="HEAD /a HTTP/1.1") + GET)
    answer = await read_answer(peer, "HEAD")
    assert answer.headers.get("content-length") == str(len("HEAD /a "))
    assert (await read_answer(peer)).body == b"GET / "


async def test_a_refusal_after_a_head_request_has_its_body(serve: Any) -> None:
    peer = serve().connect(head(line="HEAD /a HTTP/1.1") + b"nonsense\r\n\r\n")
    assert (await read_answer(peer, "HEAD")).status == 200
    answer = await read_last_answer(peer)
    assert answer.status == 400
    assert answer.body.startswith(b"expected ")


async def test_a_head_request_that_is_refused_gets_no_body(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        raise HTTPError(404, "nothing here")

    peer = serve(App(handler)).connect(head(line="HEAD /a HTTP/1.1"))
    answer = await read_last_answer(peer, "HEAD")
    assert (answer.status, answer.headers.get("content-length")) == (404, "13")


@pytest.mark.parametrize("connection", ["close", "keep-alive", "x"])
async def test_http_1_0_is_answered_and_closed(serve: Any, connection: str) -> None:
    request = head(f"Connection: {connection}", line="GET / HTTP/1.0", host=None)
    peer = serve().connect(request * 2)
    assert (await read_last_answer(peer)).body == b"GET / "
    assert len(serve().app.requests) == 0


async def test_connection_close_is_obeyed_and_what_follows_is_not_read(serve: Any) -> None:
    served = serve()
    peer = served.connect(head("Connection: keep-alive, Close") + GET)
    assert (await read_last_answer(peer)).body == b"GET / "
    assert len(served.app.requests) == 1


async def test_a_head_of_60_kib_is_read_by_h11_too(serve: Any) -> None:
    served = serve()
    await read_answer(served.connect(head("X-A: " + "x" * 60_000)))
    assert served.app.requests[0].headers.get("x-a") == "x" * 60_000


# What goes wrong in a handler.


async def test_an_exception_in_a_handler_is_500_and_logged_with_nothing_of_it_in_the_body(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        raise RuntimeError("the secret of the house")

    served = serve(App(handler))
    answer = await read_last_answer(served.connect(GET))
    assert (answer.status, answer.reason) == (500, "Internal Server Error")
    assert answer.body == b"Internal Server Error\n"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert "the secret of the house" in str(record.exc_info[1])
    assert "GET /" in record.getMessage()
    await served.still_works()


async def test_a_header_that_cannot_be_sent_is_500_and_injects_nothing_cve_2020_7695(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, "", [("X-A", "b\r\nSet-Cookie: c")])

    served = serve(App(handler))
    answer = await read_last_answer(served.connect(GET))
    assert answer.status == 500
    assert "set-cookie" not in answer.headers
    assert "ValueError" in caplog.text
    await served.still_works()


@pytest.mark.parametrize("result", [None, "text", {"a": 1}, Response, Response(200.5)])  # type: ignore[arg-type]
async def test_what_is_no_response_is_500_and_a_clear_error_in_the_log(
    serve: Any, caplog: pytest.LogCaptureFixture, result: object
) -> None:
    async def handler(request: Request) -> object:
        return result

    served = serve(App(handler))
    assert (await read_last_answer(served.connect(GET))).status == 500
    if not isinstance(result, Response):
        assert "expected a Response from the handler, got" in caplog.text
    await served.still_works()


async def test_a_refusal_of_a_handler_is_one_line_that_says_what_is_wrong(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        raise HTTPError(405, "expected POST, got GET", [("Allow", "POST")])

    served = serve(App(handler))
    answer = await read_last_answer(served.connect(GET))
    assert (answer.status, answer.reason) == (405, "expected POST, got GET")
    assert answer.body == b"expected POST, got GET\n"
    assert answer.headers.get("allow") == "POST"
    assert answer.headers.get("content-type") == "text/plain; charset=utf-8"
    await served.still_works()


async def test_a_reason_with_cr_lf_injects_nothing_cve_2025_67724(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        raise RequestDenied(403, "a\r\nX: y")

    answer = await read_last_answer(serve(App(handler)).connect(GET))
    assert (answer.status, answer.reason, answer.body) == (403, "a X: y", b"a X: y\n")
    assert "x" not in answer.headers


async def test_an_upgrade_header_has_its_connection_option_rfc_9110_7_8(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        raise HTTPError(426, "expected a WebSocket", [("Upgrade", "websocket")])

    answer = await read_answer(serve(App(handler)).connect(GET))
    assert answer.headers.get("upgrade") == "websocket"
    assert answer.headers.get("connection") == "close, Upgrade"


@pytest.mark.parametrize("error", [RequestDenied(200, "x"), HTTPError(403, "x", [("A", "\n")])])
async def test_a_refusal_that_refuses_nothing_or_cannot_be_sent_is_500(
    serve: Any, error: HTTPError
) -> None:
    async def handler(request: Request) -> Response:
        raise error

    served = serve(App(handler))
    assert (await read_last_answer(served.connect(GET))).status == 500
    await served.still_works()


async def test_a_handler_that_met_a_lost_connection_of_its_own_is_500(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        raise ConnectionLost("of somebody else")

    assert (await read_last_answer(serve(App(handler)).connect(GET))).status == 500


async def test_a_handler_that_is_cancelled_from_within_is_500_and_logged(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
        raise AssertionError

    served = serve(App(handler))
    assert (await read_last_answer(served.connect(GET))).status == 500
    assert "the handler failed" in caplog.text
    await served.still_works()


async def test_a_handler_that_is_cancelled_at_a_forced_stop_ends_its_connection(serve: Any) -> None:
    served = serve(app := App())
    app._http = app.wait
    peer = served.connect(GET)
    await settle()
    await served.tasks.cancel()
    assert (await read_last_answer(peer)).status == 500


async def test_a_handler_that_fails_after_its_client_has_left_is_logged_all_the_same(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    async def handler(request: Request) -> Response:
        await app.gate.wait()
        raise RuntimeError("too late")

    app._http = handler
    served = serve(app)
    served.connect(GET).transport.abort()
    await settle()
    served.connect(GET)
    await settle()
    served.peers[1].transport.abort()
    await settle()
    app.gate.set()
    await settle()
    assert "too late" in caplog.text


# What is refused.

REFUSED: dict[str, tuple[bytes, int]] = {
    "malformed request line": (head(line="GET /"), 400),
    "malformed header name": (head("A b: c"), 400),
    "bare LF as a line end": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare CR": (head("X-Abc: \rxTransfer-Encoding: chunked"), 400),
    "obs-fold": (head("A: b", " c"), 400),
    "obs-fold of a coding": (head("Transfer-Encoding:", " chunked"), 400),
    "control character in a value": (head("A: \x01"), 400),
    "whitespace before the colon": (head("A : b"), 400),
    "no Host": (head(host=None), 400),
    "two Hosts": (head("Host: a"), 400),
    "Host with a slash": (head(host="Host: a/b"), 400),
    "Host with a question mark": (head(host="Host: a?b"), 400),
    "Host with a blank": (head(host="Host: a b"), 400),
    "Host with a user": (head(host="Host: a@b"), 400),
    "length and coding": (head("Content-Length: 4", "Transfer-Encoding: chunked"), 400),
    "differing lengths": (head("Content-Length: 4", "Content-Length: 5"), 400),
    "listed lengths": (head("Content-Length: 5,5"), 400),
    "length with a sign": (head("Content-Length: +5"), 400),
    "negative length": (head("Content-Length: -1"), 400),
    "length with an underscore": (head("Content-Length: 1_0"), 400),
    "length in hex": (head("Content-Length: 0x5"), 400),
    "length of 5,000 digits": (head("Content-Length: " + "5" * 5_000), 400),
    "empty length": (head("Content-Length:"), 400),
    "coding in HTTP/1.0": (head("Transfer-Encoding: chunked", line="POST / HTTP/1.0"), 400),
    "unknown coding": (head("Transfer-Encoding: xchunked"), 501),
    "two codings": (head("Transfer-Encoding: gzip, chunked"), 501),
    "chunked not last": (head("Transfer-Encoding: chunked, gzip"), 501),
    "chunked twice": (head("Transfer-Encoding: chunked, chunked"), 501),
    "coding twice": (head(*["Transfer-Encoding: chunked"] * 2), 501),
    "HTTP/2.0": (head(line="GET / HTTP/2.0"), 505),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "head over 64 KiB": (head("A: " + "x" * 65_536), 431),
    "head over 64 KiB, not complete": (GET[:-2] + b"A: " + b"x" * 65_536, 431),
    "3,000 headers in 16 KiB": (head(*["a:"] * 3_000), 431),
    "target over 8 KiB": (head(line=f"GET /{'x' * 8_192} HTTP/1.1"), 414),
    "target over 8 KiB, not complete": (b"GET /" + b"x" * 8_300, 414),
    "an expectation that cannot be met": (head("Expect: 200-ok"), 417),
    "CONNECT": (head(line="CONNECT a:443 HTTP/1.1"), 501),
    "two empty lines": (b"\r\n\r\n" + GET, 400),
    "a TLS client": (bytes.fromhex("16030102000100"), 400),
    "announced body over the limit": (head("Content-Length: 16777217"), 413),
    "CVE-2025-43859": (chunked()[:-5] + b"1\r\naXX0\r\n\r\n", 400),
    "CVE-2024-52304, LF in a chunk extension": (chunked()[:-5] + b"1;a\nb\r\na\r\n", 400),
    "bare CR in a chunk extension": (chunked()[:-5] + b"1;a\rb\r\na\r\n", 400),
    "what h11 does not like in a chunk line": (chunked()[:-5] + b"1 ;a\r\na\r\n", 400),
    "chunk over the limit": (chunked(b"a")[:-5] + b"1000000\r\n", 413),
    "trailers over the limit": (chunked()[:-2] + b"A: " + b"x" * 8_192, 431),
    "Upgrade with a body": (UPGRADE + b"Content-Length: 1\r\n\r\na", 400),
    "Upgrade with a chunked body": (UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "Upgrade by POST": (UPGRADE.replace(b"GET", b"POST") + b"\r\n", 405),
    "Upgrade in HTTP/1.0": (UPGRADE.replace(b"/1.1", b"/1.0") + b"\r\n", 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_request_reaches_no_handler_and_ends_its_connection_alone(
    serve: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    data, status = REFUSED[name]
    caplog.set_level(logging.DEBUG, HTTP_LOG)
    served = serve()
    answer = await read_last_answer(served.connect(data))
    assert answer.status == status
    line = answer.body.decode()
    assert line.startswith("expected ")
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert served.app.requests == []
    assert any("refused" in r.getMessage() for r in caplog.records if r.levelno == logging.DEBUG)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    await served.still_works()


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_request_is_refused_the_same_byte_by_byte(serve: Any, name: str) -> None:
    data, status = REFUSED[name]
    peer = serve().connect()
    if len(data) > 9_000:
        pieces = [data[i : i + 1_000] for i in range(0, len(data), 1_000)]
    else:
        pieces = [data[i : i + 1] for i in range(len(data))]
    for piece in pieces:
        if peer.eof:
            break
        peer.send(piece)
        await asyncio.sleep(0)
    assert (await read_last_answer(peer)).status == status


async def test_a_refused_request_is_the_last_of_its_connection(serve: Any) -> None:
    served = serve()
    peer = served.connect(GET + head("A : b") + GET)
    assert (await read_answer(peer)).status == 200
    assert (await read_last_answer(peer)).status == 400
    assert len(served.app.requests) == 1


async def test_a_secret_in_a_request_that_is_refused_does_not_reach_the_log(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, HTTP_LOG)
    served = serve()
    for data in (
        head(line="GET /a?access_token=geheim nonsense"),
        head("Authorization: Bearer geheim\x01"),
        head("A : b", line="GET /a?access_token=geheim HTTP/1.1"),
    ):
        assert (await read_last_answer(served.connect(data))).status == 400
    assert "refused" in caplog.text
    assert "geheim" not in caplog.text


async def test_a_reason_with_escape_characters_reaches_neither_body_nor_log(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, HTTP_LOG)

    async def handler(request: Request) -> Response:
        raise HTTPError(415, f"expected no coding, got {request.headers.get('x-a')}")

    answer = await read_last_answer(serve(App(handler)).connect(head("X-A: a\x9b31m\x85b")))
    assert answer.body.decode() == "expected no coding, got a 31m b\n"
    assert "\x9b" not in caplog.text
    assert "\x85" not in caplog.text


# Bodies.


@pytest.mark.parametrize(
    "data",
    [post(b"hello"), chunked(b"hello"), chunked(b"h", b"e", b"llo"), chunked(*[b"x"] * 500)],
)
async def test_a_body_is_whole_before_the_handler_is_called(serve: Any, data: bytes) -> None:
    served = serve()
    peer = served.connect(data[:-1])
    await settle()
    assert served.app.requests == []
    peer.send(data[-1:])
    body = b"x" * 500 if data.count(b"x") > 10 else b"hello"
    assert (await read_answer(peer)).body == b"POST / " + body


async def test_a_body_of_exactly_the_limit_is_taken(serve: Any) -> None:
    served = serve(http=HTTPLimits(max_body=5))
    assert (await read_answer(served.connect(post(b"hello")))).status == 200
    assert (await read_answer(served.connect(chunked(b"he", b"llo")))).status == 200
    assert (await read_last_answer(served.connect(post(b"hello!")))).status == 413
    assert (await read_last_answer(served.connect(chunked(b"hello", b"!")))).status == 413


async def test_trailers_change_neither_framing_nor_headers_cve_2025_53643(serve: Any) -> None:
    served = serve()
    data = chunked(b"a")[:-2] + b"Content-Length: 9\r\nTransfer-Encoding: gzip\r\nX-A: b\r\n\r\n"
    peer = served.connect(data + GET)
    assert (await read_answer(peer)).body == b"POST / a"
    assert (await read_answer(peer)).body == b"GET / "
    assert "x-a" not in served.app.requests[0].headers


async def test_an_empty_body_of_either_kind_is_complete_with_its_end(serve: Any) -> None:
    peer = serve().connect(post(b"") + chunked())
    assert (await read_answer(peer)).body == b"POST / "
    assert (await read_answer(peer)).body == b"POST / "


async def test_a_body_of_many_small_chunks_lets_others_have_their_turn(serve: Any) -> None:
    served = serve()
    first = served.connect(chunked(*[b"x"] * 20_000))
    second = served.connect(GET)
    await read_answer(second)
    assert len(served.app.requests) == 1
    assert (await read_answer(first)).body == b"POST / " + b"x" * 20_000


# Expect: 100-continue (RFC 9110, 10.1.1).


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_a_client_that_waits_for_100_is_told_to_go_on(serve: Any, framing: str) -> None:
    peer = serve().connect(head("Expect: 100-Continue", framing, line="POST / HTTP/1.1"))
    assert await peer.read(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.send(b"hello" if "Length" in framing else b"5\r\nhello\r\n0\r\n\r\n")
    assert (await read_answer(peer)).body == b"POST / hello"
    peer.send(GET)
    assert (await read_answer(peer)).body == b"GET / "


async def test_a_client_that_has_begun_to_send_its_body_is_not_told(serve: Any) -> None:
    peer = serve().connect(post(b"hello", "Expect: 100-continue"))
    assert (await read_answer(peer)).body == b"POST / hello"


async def test_a_client_without_a_body_waits_for_nothing(serve: Any) -> None:
    peer = serve().connect(head("Expect: 100-continue") + post(b"", "Expect: 100-continue"))
    assert (await read_answer(peer)).body == b"GET / "
    assert (await read_answer(peer)).body == b"POST / "


async def test_an_expectation_in_http_1_0_is_ignored(serve: Any) -> None:
    request = head("Expect: 100-continue", "Content-Length: 1", line="POST / HTTP/1.0", host=None)
    peer = serve().connect(request)
    await settle()
    assert peer.received == b""
    peer.send(b"a")
    assert (await read_answer(peer)).body == b"POST / a"


async def test_a_body_that_is_too_large_is_refused_instead_of_asked_for(serve: Any) -> None:
    peer = serve().connect(head("Expect: 100-continue", "Content-Length: 99999999"))
    assert (await read_last_answer(peer)).status == 413


# Pipelining.


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(serve: Any) -> None:
    running = 0

    async def handler(request: Request) -> Response:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        return Response(200, request.target)

    peer = serve(App(handler)).connect(
        b"".join(head(line=f"GET /{i} HTTP/1.1") for i in range(100))
    )
    for i in range(100):
        assert (await read_answer(peer)).body == f"/{i}".encode()


async def test_requests_of_every_kind_are_read_the_same_wherever_they_are_cut(serve: Any) -> None:
    data = (
        post(b"hello")
        + b"\r\n"
        + chunked(b"a", b"bc")
        + head(line="OPTIONS * HTTP/1.1")
        + post(b"d", "Expect: 100-continue")
        + head("Connection: close")
    )
    whole = [b"POST / hello", b"POST / abc", b"OPTIONS * ", b"POST / d", b"GET / "]
    served = serve()
    for pieces in (
        [data],
        [data[i : i + 1] for i in range(len(data))],
        *([data[:i], data[i:]] for i in range(len(data))),
    ):
        peer = served.connect()
        for piece in pieces:
            peer.send(piece)
            await asyncio.sleep(0)
        received = await peer.read_to_end()
        found = re.findall(rb"\r\n\r\n([A-Z]+ [/*] [a-z]*)", received)
        assert found == whole


async def test_what_comes_while_a_request_is_answered_waits_with_the_client(serve: Any) -> None:
    served = serve(app := App(), http=HTTPLimits(read_ahead=1_000))
    app._http = app.wait
    peer = served.connect(GET)
    for _ in range(100):
        peer.send(post(b"x" * 100))
        await settle()
    # What was read ahead is a little over 1,000 bytes; the client still holds the rest.
    size = len(post(b"x" * 100))
    assert 100 * size - peer.transport.get_write_buffer_size() <= 1_000 + size
    app.gate.set()
    for _ in range(101):
        assert (await read_answer(peer)).body == b"waited"


class Watched:
    """Between a stream and its connection: counts what is read."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection
        self.read = 0

    def data_received(self, data: bytes) -> None:
        self.read += len(data)
        self._connection.data_received(data)

    def eof_received(self) -> None:
        self._connection.eof_received()

    def connection_lost(self) -> None:
        self._connection.connection_lost()


async def test_100_000_pipelined_requests_in_one_write_are_answered_in_order_and_bounded() -> None:
    """CVE-2026-54273, over a real socket, since the kernel decides how much comes at once."""
    answered = 0
    most_ahead = 0
    watched: list[Watched] = []

    async def handler(request: Request) -> Response:
        nonlocal answered, most_ahead
        assert request.target == f"/{answered:06}"
        answered += 1
        most_ahead = max(most_ahead, watched[0].read - answered * size)
        return Response(204)

    served = Served(App(handler), http=HTTPLimits(access_log=False, server_header=None))
    size = len(head(line="GET /000000 HTTP/1.1"))

    def connected(stream: Stream) -> Watched:
        watched.append(receiver := Watched(HTTPConnection(stream, served.context)))
        return receiver

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Stream(connected, lambda _: None, served.clock, StreamLimits()), "127.0.0.1", 0
    )
    peer = Peer()
    await loop.create_connection(lambda: peer, *server.sockets[0].getsockname())
    peer.send(b"".join(head(line=f"GET /{i:06} HTTP/1.1") for i in range(100_000)))
    received = 0
    async with asyncio.timeout(60):
        while received < 100_000:
            peer._changed.clear()
            await peer._changed.wait()
            complete = peer.received.rfind(b"\r\n\r\n") + 4
            received += peer.received.count(b"HTTP/1.1 204 No Content\r\n", 0, complete)
            del peer.received[:complete]
    assert answered == 100_000
    # asyncio reads up to 256 KiB at a time.
    assert most_ahead <= 65_536 + 262_144
    peer.transport.abort()
    server.close()
    await server.wait_closed()
