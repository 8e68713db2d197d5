"""The server's side of HTTP/1.1: what goes in as bytes, what comes out, and what is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any, NamedTuple, cast

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.frames import CLOSE, frame
from support.memory import connect
from support.peer import PATIENCE, Peer, settle

from nbdriver import abc
from nbdriver.errors import ConnectionLost, HTTPError, RequestDenied, WebSocketClosed
from nbdriver.model import Headers, Request, Response
from nbdriver.net.clock import VirtualClock
from nbdriver.net.context import Context, HTTPLimits
from nbdriver.net.http11 import HTTPConnection
from nbdriver.net.stream import Stream, StreamLimits
from nbdriver.net.tasks import Tasks
from nbdriver.net.websocket import WebSocketConnection
from nbdriver.wire.deflate import DeflateSettings
from nbdriver.wire.origin import OriginRules
from nbdriver.wire.proxy import Family, TrustedProxies

HALF: Any = 200.5
HTTP_LOG, TASKS_LOG = "nbdriver.net.http11", "nbdriver.net.tasks"
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
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
    return head("Transfer-Encoding: chunked", line="POST / HTTP/1.1") + body + b"0\r\n\r\n"


class App(abc.Application):
    """Keeps what it was asked; a test gives the functions that answer."""

    def __init__(
        self,
        http: Callable[[Request], Awaitable[Any]] | None = None,
        websocket: Callable[[abc.WebSocketConnection], Awaitable[None]] | None = None,
    ) -> None:
        self.http = http
        self._websocket = websocket
        self.requests: list[Request] = []
        self.websockets: list[WebSocketConnection] = []
        self.gate = asyncio.Event()
        """For handlers that wait."""
        self.mistaken: list[BaseException] = []
        """What a handler found wrong; a server makes no more than a 500 of it."""

    async def handle_http(self, request: Request) -> Response:
        self.requests.append(request)
        if self.http is None:
            return Response(200, f"{request.method} {request.target} ".encode() + request.body)
        with self._looking():
            return cast(Response, await self.http(request))

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        self.websockets.append(cast(WebSocketConnection, websocket))
        with self._looking():
            assert self._websocket is not None
            await self._websocket(websocket)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        try:
            yield
        except (AssertionError, pytest.fail.Exception) as error:
            self.mistaken.append(error)
            raise

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
        self,
        app: App,
        *,
        http: HTTPLimits | None = None,
        deflate: DeflateSettings | None = None,
        proxies: TrustedProxies | None = None,
        origin: OriginRules | None = None,
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
            proxies=proxies or TrustedProxies(),
            origin=origin or OriginRules(),
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

    def connect(
        self,
        data: bytes = b"",
        *,
        peername: object = ("127.0.0.1", 50_000),
        sockname: object = ("192.0.2.80", 80),
    ) -> Peer:
        self.peers.append(peer := Peer())
        connect(self.stream(), peer, peername=peername, sockname=sockname)
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
        self.app.http = None
        answer = await read_answer(self.connect(post(b"next")))
        assert (answer.status, answer.body) == (200, b"POST / next")

    @property
    def ended(self) -> bool:
        """Whether no connection is left on our side."""
        return not self.context.connections

    async def advance(self, seconds: float) -> None:
        await settle()
        self.clock.advance(seconds)
        await settle()


@pytest.fixture
async def serve(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Callable[..., Served]]:
    """Servers, of which nothing is left at the end: no task, no deadline, no connection.

    And nothing was raised meanwhile, neither into the event loop nor out of a task.
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
        assert served.app.mistaken == []
        assert len(served.tasks) == 0
        assert served.clock.pending == 0
        assert served.context.connections == {}
    assert raised == []
    assert not [r for r in caplog.get_records("call") if r.name == TASKS_LOG and r.exc_info]


async def read_answer(peer: Peer, method: str = "GET") -> Answer:
    """The next answer, taken from what has come."""
    line, *lines = (await peer.read(b"\r\n\r\n")).decode("latin-1")[:-4].split("\r\n")
    version, status, reason = line.split(" ", 2)
    assert version == "HTTP/1.1"
    headers = Headers(cast("tuple[str, str]", tuple(each.split(": ", 1))) for each in lines)
    length = 0 if method == "HEAD" else int(headers.get("content-length") or 0)
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


@pytest.mark.parametrize("result", [None, "text", {"a": 1}, Response])
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


class BeyondException(BaseException):
    """What no handler should raise, and one may raise all the same."""


async def test_a_handler_that_raises_no_exception_but_more_is_500_all_the_same(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        raise BeyondException

    served = serve(App(handler))
    assert (await read_last_answer(served.connect(GET))).status == 500
    await settle()
    assert "BeyondException" in caplog.text
    await served.still_works()


def test_a_handler_that_ends_the_program_is_answered_before_it_does() -> None:
    async def handler(request: Request) -> Response:
        raise SystemExit(5)

    peers: list[Peer] = []

    async def main() -> None:
        peers.append(Served(App(handler)).connect(GET))
        await asyncio.Event().wait()

    with pytest.raises(SystemExit) as caught:
        asyncio.run(main())
    assert caught.value.code == 5
    assert peers[0].received.startswith(b"HTTP/1.1 500 ")


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
    await settle()
    (record,) = [record for record in caplog.records if record.levelno > logging.INFO]
    assert record.getMessage().startswith("GET /: ")
    await served.still_works()


async def test_a_handler_that_is_cancelled_at_a_forced_stop_ends_its_connection(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(app := App())
    app.http = app.wait
    peer = served.connect(GET)
    await settle()
    await served.tasks.cancel()
    assert (await read_last_answer(peer)).status == 500
    assert [r.exc_info for r in caplog.records if r.levelno > logging.INFO] == [None]


class Odd(BaseException):
    """What some libraries raise past every `except Exception`."""


async def test_whatever_a_handler_raises_is_500_and_logged(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        raise Odd("inside")

    served = serve(App(handler))
    assert (await read_last_answer(served.connect(GET))).status == 500
    assert "inside" in caplog.text
    await served.still_works()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("request_", [GET, UPGRADE + b"\r\n"])
def test_the_end_of_the_program_is_raised_after_an_answer_and_not_into_the_transport(
    request_: bytes, error: BaseException
) -> None:
    peers, returned = list[Peer](), list[bool]()

    async def handler(_: object) -> Any:
        raise error

    async def main() -> None:
        served = Served(App(handler, handler))
        peers.append(served.connect())
        served.streams[0].data_received(request_)
        returned.append(True)
        await asyncio.sleep(PATIENCE)

    with pytest.raises(type(error)):
        asyncio.run(main())
    assert returned == [True]
    assert peers[0].received.startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("request_", [GET, UPGRADE + b"\r\n"])
def test_a_handler_that_is_thrown_away_with_its_event_loop_does_nothing_any_more(
    caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    """There is no loop any more in which something could be sent; to try would be an error."""

    async def main() -> None:
        async def accept_and_wait(websocket: abc.WebSocketConnection) -> None:
            await websocket.accept()
            await app.gate.wait()

        app = App(websocket=accept_and_wait)
        app.http = app.wait
        Served(app).connect(request_)
        await settle()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    gc.collect()
    assert not [record for record in caplog.records if record.name == HTTP_LOG]


async def test_an_answer_that_is_cancelled_while_it_is_read_ends_its_connection(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, b"x" * 100_000)

    served = serve(App(handler))
    peer = served.connect(GET * 2)
    peer.transport.pause_reading()
    await settle()
    await served.tasks.cancel()
    peer.transport.resume_reading()
    assert len((await read_answer(peer)).body) == 100_000
    assert await peer.read_to_end() == b""
    assert len(served.app.requests) == 1


async def test_a_handler_that_fails_after_its_client_has_left_is_logged_all_the_same(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    async def handler(request: Request) -> Response:
        await app.gate.wait()
        raise RuntimeError("too late")

    app.http = handler
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
    first = served.connect(chunked(*[b"x"] * 5_000))
    second = served.connect(GET)
    await read_answer(second)
    assert len(served.app.requests) == 1
    assert (await read_answer(first)).body == b"POST / " + b"x" * 5_000


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
        return Response(200, request.headers.get("x-number") or request.body)

    requests = list[bytes]()
    for i in range(0, 99, 3):
        requests += [
            head(f"X-Number: {i}"),
            post(b"%d" % (i + 1)),
            chunked(b"%d" % (i + 2)),
        ]
    peer = serve(App(handler)).connect(b"".join(requests))
    for i in range(99):
        assert (await read_answer(peer)).body == b"%d" % i


async def test_what_comes_just_before_the_next_requests_turn_does_not_take_its_turn(
    serve: Any,
) -> None:
    running = 0

    async def handler(request: Request) -> Response:
        nonlocal running
        running += 1
        assert running == 1
        if request.target == "/0":
            more = head(line="GET /2 HTTP/1.1")
            asyncio.get_running_loop().call_soon(served.streams[0].data_received, more)
        else:
            await settle()
        running -= 1
        return Response(200, request.target)

    served = serve(App(handler))
    peer = served.connect(head(line="GET /0 HTTP/1.1") + head(line="GET /1 HTTP/1.1"))
    for body in (b"/0", b"/1", b"/2"):
        assert (await read_answer(peer)).body == body


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
    app.http = app.wait
    peer = served.connect(GET)
    await settle()
    data, piece = post(b"x" * 100) * 100, 333
    for start in range(0, len(data), piece):
        peer.send(data[start : start + piece])
        await settle()
    # What was read ahead is a little over 1,000 bytes; the client still holds the rest.
    ahead = len(data) - peer.transport.get_write_buffer_size()
    assert 1_000 < ahead <= 1_000 + piece
    app.gate.set()
    for _ in range(101):
        assert (await read_answer(peer)).body == b"waited"


async def test_a_client_that_pipelines_without_end_lets_others_have_their_turn(serve: Any) -> None:
    served = serve()
    served.connect(GET * 10_000)
    second = served.connect(GET)
    await read_answer(second)
    second.send(GET)
    await read_answer(second)
    assert len(served.app.requests) < 20


async def test_a_handler_that_does_not_wait_is_not_called_inside_another(serve: Any) -> None:
    """Where tasks start eagerly (Python 3.12), a long pipeline must not become a deep recursion."""
    served = serve()
    peer = served.connect(GET * 1_000)
    await peer.until(lambda: peer.received.count(b"HTTP/1.1 200 OK") == 1_000)


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
    """CVE-2026-54273, over a real socket, since the kernel decides how much comes at once.

    The first 1,000 answers are looked at; by then all the rest would have been read.
    """
    count, most_ahead, watched = 0, 0, list[Watched]()

    async def handler(request: Request) -> Response:
        nonlocal count, most_ahead
        assert request.target == f"/{count:06}"
        count += 1
        most_ahead = max(most_ahead, watched[0].read - count * len(request_of(0)))
        return Response(204)

    def request_of(number: int) -> bytes:
        return head(line=f"GET /{number:06} HTTP/1.1", host="Host: [::1]")

    def connected(stream: Stream) -> Watched:
        watched.append(receiver := Watched(HTTPConnection(stream, served.context)))
        return receiver

    served, loop, peer = Served(App(handler)), asyncio.get_running_loop(), Peer()
    server = await loop.create_server(
        lambda: Stream(connected, lambda _: None, served.clock, StreamLimits()), "127.0.0.1", 0
    )
    await loop.create_connection(lambda: peer, *server.sockets[0].getsockname())
    peer.send(b"".join(map(request_of, range(100_000))))
    await peer.until(lambda: peer.received.count(b"HTTP/1.1 204 No Content\r\n") >= 1_000)
    # asyncio reads up to 256 KiB at a time, whatever we would rather have.
    assert 0 < most_ahead <= 65_536 + 262_144
    peer.transport.abort()
    server.close()
    await server.wait_closed()
    await served.tasks.join()


# A client that ends its side, or leaves.


async def test_a_client_that_half_closes_after_its_request_still_gets_its_answer(
    serve: Any,
) -> None:
    served = serve(app := App())
    app.http = app.wait
    peer = served.connect(GET)
    peer.transport.write_eof()
    await settle()
    app.gate.set()
    assert (await read_answer(peer)).body == b"waited"
    await settle()
    assert served.ended


async def test_a_client_that_half_closes_after_several_requests_gets_every_answer(
    serve: Any,
) -> None:
    served = serve()
    peer = served.connect(GET + post(b"a") + GET)
    peer.transport.write_eof()
    for body in (b"GET / ", b"POST / a", b"GET / "):
        assert (await read_answer(peer)).body == body
    await settle()
    assert served.ended


@pytest.mark.parametrize("data", [b"", b"GET", GET[:-1], post(b"abc")[:-1], chunked(b"a")[:-1]])
async def test_a_client_that_half_closes_within_a_request_gets_none(
    serve: Any, data: bytes
) -> None:
    served = serve()
    for before in (0, 1, 3):
        peer = served.connect(GET * before + data)
        peer.transport.write_eof()
        for _ in range(before):
            assert (await read_answer(peer)).status == 200
        assert await peer.read_to_end() == b""
        await settle()
        assert served.ended


async def test_a_client_that_resets_at_any_point_leaves_nothing(serve: Any) -> None:
    served = serve()
    data = GET + chunked(b"ab", b"c") + post(b"d")
    for i in range(len(data)):
        peer = served.connect(data[:i])
        await settle()
        peer.transport.abort()
        await settle()
        assert served.context.connections == {}
        assert served.clock.pending == 0
    await served.still_works()


async def test_a_client_that_resets_between_a_request_and_its_turn_leaves_nothing(
    serve: Any,
) -> None:
    served = serve()
    for turns in range(12):
        peer = served.connect(GET * 5)
        for _ in range(turns):
            await asyncio.sleep(0)
        peer.transport.abort()
    await settle()
    assert served.context.connections == {}


async def test_a_client_that_leaves_while_it_is_answered_does_not_stop_its_handler(
    serve: Any,
) -> None:
    done = list[Request]()

    async def handler(request: Request) -> Response:
        await app.gate.wait()
        done.append(request)
        return Response(204)

    served = serve(app := App(handler))
    peer = served.connect(GET * 2)
    await settle()
    peer.transport.abort()
    await settle()
    app.gate.set()
    await settle()
    assert len(done) == 1


@pytest.mark.parametrize("first", ["handler", "stream"])
async def test_a_connection_that_is_cut_off_as_its_handler_ends_is_not_read_on(
    serve: Any, first: str
) -> None:
    served = serve(app := App())
    app.http = app.wait
    served.connect(GET * 2)
    await settle()
    ends = [app.gate.set, served.streams[0].abort]
    for end in ends if first == "handler" else reversed(ends):
        end()
    await settle()
    assert len(app.requests) == 1


# Lingering, and readers that are slow.


async def test_a_client_that_is_still_sending_can_read_why_it_was_refused(serve: Any) -> None:
    served = serve()
    peer = served.connect(head("Content-Length: 99999999", line="POST / HTTP/1.1"))
    for _ in range(50):
        peer.send(b"x" * 10_000)
        await settle()
    # What it sends is thrown away, so that the answer is not lost in a reset (RFC 9112, 9.6).
    assert peer.transport.get_write_buffer_size() == 0
    assert not served.ended
    assert (await read_last_answer(peer)).status == 413
    await served.advance(1.5)
    assert not served.ended
    await served.advance(1)
    assert served.ended


async def test_a_client_that_ends_after_its_refusal_is_not_waited_for(serve: Any) -> None:
    served = serve()
    peer = served.connect(b"nonsense\r\n\r\n")
    await read_last_answer(peer)
    peer.transport.close()
    await settle()
    assert served.context.connections == {}
    assert served.clock.pending == 0


async def test_a_refusal_can_be_read_over_a_real_socket_while_the_body_is_sent() -> None:
    served = Served(App())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(served.stream, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    request = head("Content-Length: 99999999", line="POST / HTTP/1.1", host="Host: localhost")
    writer.write(request)
    async with asyncio.timeout(PATIENCE):
        for _ in range(200):
            writer.write(b"x" * 65_536)
            await writer.drain()
        assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await settle()


async def test_a_client_that_reads_nothing_for_30_s_is_cut_off(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, b"x" * 100_000)

    served = serve(App(handler))
    peer = served.connect(GET * 3)
    peer.transport.pause_reading()
    await settle()
    # The next request waits until this answer is gone.
    assert len(served.app.requests) == 1
    await served.advance(29)
    assert served.context.connections != {}
    await served.advance(2)
    assert served.context.connections == {}
    assert len(served.app.requests) == 1
    await served.still_works()


async def test_a_client_that_is_slow_to_read_gets_all_of_it(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, b"x" * 100_000)

    peer = serve(App(handler)).connect(GET * 3)
    for _ in range(3):
        peer.transport.pause_reading()
        await settle()
        peer.transport.resume_reading()
        assert len((await read_answer(peer)).body) == 100_000


# Deadlines.


async def test_a_head_that_is_not_complete_10_s_after_the_start_is_408(serve: Any) -> None:
    served = serve()
    peer = served.connect()
    for byte in GET[:9]:
        await served.advance(1)
        peer.send(bytes([byte]))
    await settle()
    assert not peer.eof
    await served.advance(1.25)
    assert (await read_last_answer(peer)).status == 408
    await served.still_works()


async def test_500_clients_that_send_a_byte_a_second_keep_nobody_else_waiting(serve: Any) -> None:
    served = serve()
    slow = [served.connect() for _ in range(500)]
    for byte in GET[:9]:
        for peer in slow:
            peer.send(bytes([byte]))
        await served.advance(1)
        assert (await read_answer(served.connect(GET))).status == 200
    await served.advance(1.25)
    for peer in slow:
        assert (await read_last_answer(peer)).status == 408


async def test_a_connection_on_which_nothing_comes_for_10_s_is_408(serve: Any) -> None:
    served = serve()
    peer = served.connect()
    await served.advance(10.25)
    assert (await read_last_answer(peer)).status == 408


async def test_on_a_kept_connection_the_10_s_begin_with_the_first_byte(serve: Any) -> None:
    served = serve()
    peer = served.connect(GET)
    await read_answer(peer)
    await served.advance(60)
    peer.send(b"G")
    await served.advance(9)
    assert not peer.eof
    await served.advance(1.25)
    assert (await read_last_answer(peer)).status == 408


async def test_an_idle_connection_is_closed_after_75_s_without_a_word(serve: Any) -> None:
    served = serve()
    peer = served.connect(GET)
    await read_answer(peer)
    await served.advance(74)
    assert not peer.eof
    await served.advance(1.25)
    assert served.ended
    assert peer.received == b""


async def test_an_empty_line_after_a_request_does_not_begin_another(serve: Any) -> None:
    """Old clients send one after a body (RFC 9112, 2.2); there is nothing to answer with 408."""
    served = serve()
    peer = served.connect(GET + b"\r\n")
    await read_answer(peer)
    await served.advance(74)
    assert not peer.eof
    await served.advance(1.25)
    assert peer.received == b""
    assert served.ended


async def test_a_connection_in_use_outlives_every_deadline(serve: Any) -> None:
    served = serve(app := App())
    app.http = app.wait
    peer = served.connect(GET)
    await served.advance(300)
    app.gate.set()
    assert (await read_answer(peer)).body == b"waited"
    for _ in range(5):
        await served.advance(60)
        peer.send(GET)
        assert (await read_answer(peer)).status == 200


async def test_a_body_that_stalls_for_30_s_is_408(serve: Any) -> None:
    served = serve()
    peer = served.connect(post(b"x" * 5_000)[:-3_000])
    await served.advance(29)
    peer.send(b"x" * 2_000)
    await served.advance(29)
    assert not peer.eof
    await served.advance(1.25)
    assert (await read_last_answer(peer)).status == 408
    assert served.app.requests == []
    await served.still_works()


@pytest.mark.parametrize("begun", [0, 500, 2_048])
@pytest.mark.parametrize("piece", [b"x", b"1\r\nx\r\n"])
async def test_a_byte_a_second_does_not_keep_a_body_alive(
    serve: Any, begun: int, piece: bytes
) -> None:
    served = serve()
    peer = served.connect(post(b"x" * 1_000))
    await read_answer(peer)
    if len(piece) == 1:
        peer.send(head("Content-Length: 5000", line="POST / HTTP/1.1") + b"x" * begun)
    else:
        peer.send(chunked(b"x" * begun)[:-5])
    for _ in range(29):
        await served.advance(1)
        peer.send(piece)
    await settle()
    assert not peer.eof
    await served.advance(1.25)
    assert (await read_last_answer(peer)).status == 408


async def test_a_body_that_goes_on_may_take_its_time(serve: Any) -> None:
    served = serve()
    peer = served.connect(post(b"x" * 10_240)[:-10_240])
    for _ in range(10):
        await served.advance(25)
        assert not peer.eof
        peer.send(b"x" * 1_024)
    assert len((await read_answer(peer)).body) == len("POST / ") + 10_240


# The server is stopping.


async def test_at_a_stop_a_connection_that_has_begun_nothing_is_closed_at_once(serve: Any) -> None:
    served = serve()
    peer = served.connect()
    served.connection.shut_down()
    await settle()
    assert served.ended
    assert peer.received == b""


async def test_at_a_stop_an_idle_connection_is_closed_at_once(serve: Any) -> None:
    served = serve()
    peer = served.connect(GET)
    await read_answer(peer)
    served.connection.shut_down()
    await settle()
    assert served.ended
    assert peer.received == b""


@pytest.mark.parametrize("data", [post(b"abc"), chunked(b"abc")])
async def test_at_a_stop_a_request_that_has_begun_is_answered_and_is_the_last(
    serve: Any, data: bytes
) -> None:
    served = serve()
    for i in range(1, len(data)):
        for before in (b"", GET):
            peer = served.connect(before)
            if before:
                await read_answer(peer)
            peer.send(data[:i])
            await settle()
            served.connection.shut_down()
            served.connection.shut_down()
            peer.send(data[i:] + GET)
            assert (await read_last_answer(peer)).body == b"POST / abc"
            peer.transport.abort()
            await settle()


@pytest.mark.parametrize("begun", [b"GET", post(b"x" * 9_999)[:-9_999], chunked(b"x" * 9)[:-5]])
async def test_at_a_stop_a_request_has_one_time_to_be_complete_whatever_drips(
    serve: Any, begun: bytes
) -> None:
    served = serve()
    peer = served.connect(begun)
    await settle()
    served.connection.shut_down()
    for _ in range(9):
        await served.advance(1)
        peer.send(b"x" * 1_024 if b"9999" in begun else b"")
    assert not peer.eof
    await served.advance(1 + 0.25)
    answer = await read_last_answer(peer)
    assert (answer.status, answer.body) == (
        503,
        b"the server is stopping, and the request was not complete\n",
    )


async def test_at_a_stop_a_deadline_that_is_near_is_not_moved_away(serve: Any) -> None:
    served = serve()
    peer = served.connect(b"GET")
    await served.advance(8)
    served.connection.shut_down()
    await served.advance(2 + 0.25)
    assert (await read_last_answer(peer)).status == 503


async def test_at_a_stop_a_body_that_begins_gets_no_more_time_than_its_head_had(serve: Any) -> None:
    served = serve()
    peer = served.connect(b"POST")
    await settle()
    served.connection.shut_down()
    await served.advance(5)
    peer.send(post(b"xx")[4:-2])
    await served.advance(5 + 0.25)
    assert (await read_last_answer(peer)).status == 503


async def test_at_a_stop_a_request_that_is_being_answered_is_the_last(serve: Any) -> None:
    served = serve(app := App())
    app.http = app.wait
    peer = served.connect(GET * 2)
    await settle()
    served.connection.shut_down()
    await settle()
    app.gate.set()
    assert (await read_last_answer(peer)).body == b"waited"
    assert len(app.requests) == 1


async def test_at_a_stop_an_answer_that_is_being_read_is_the_last(serve: Any) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, b"x" * 100_000)

    served = serve(App(handler))
    peer = served.connect(GET * 2)
    peer.transport.pause_reading()
    await settle()
    served.connection.shut_down()
    peer.transport.resume_reading()
    assert len((await read_answer(peer)).body) == 100_000
    assert await peer.read_to_end() == b""


async def test_at_a_stop_a_request_that_waits_for_its_turn_is_answered(serve: Any) -> None:
    served = serve()
    peer = served.connect(GET * 3)
    await peer.until(lambda: bool(peer.received))
    served.connection.shut_down()
    received = await peer.read_to_end()
    assert 1 <= received.count(b"HTTP/1.1 200 OK") <= 3
    assert received.count(b"Connection: close") == 1


async def test_at_a_stop_a_connection_that_is_ended_stays_so(serve: Any) -> None:
    served = serve()
    peer = served.connect(b"nonsense\r\n\r\n")
    await read_last_answer(peer)
    served.connection.shut_down()
    await settle()
    assert peer.received == b""


async def test_a_connection_tells_who_it_is_for_the_log(serve: Any) -> None:
    served = serve(app := App())
    app.http = app.wait
    served.connect()
    assert str(served.connection) == "a connection from 127.0.0.1:50000"
    served.connect(head(line="GET /a?access_token=b HTTP/1.1"), peername=("::1", 5, 0, 0))
    await settle()
    assert str(served.connection) == "GET /a from [::1]:5"


# The access log.


def access_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == f"{HTTP_LOG}.access"]


async def test_every_request_has_a_line_in_the_access_log(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, HTTP_LOG)
    served = serve(app := App())
    peer = served.connect(head(line="GET /a?b=c HTTP/1.1"))
    await read_answer(peer)
    app.http = app.wait
    peer.send(post(b"a"))
    await served.advance(1.25)
    app.gate.set()
    await read_answer(peer)
    peer.send(b"nonsense\r\n\r\n")
    await read_answer(peer)
    assert access_lines(caplog) == [
        '127.0.0.1:50000 "GET /a?b=c HTTP/1.1" 200 0.0 ms',
        '127.0.0.1:50000 "POST / HTTP/1.1" 200 1250.0 ms',
        '127.0.0.1:50000 "-" 400',
    ]


@pytest.mark.parametrize(
    ("target", "logged"),
    [
        ("/%1b[31m%0a", "/%1b[31m%0a"),
        ('/"\\x1b', '/\\"\\\\x1b'),
        ("/a?access_token=geheim&b=c", "/a?access_token=***&b=c"),
    ],
)
async def test_the_access_log_shows_no_escape_characters_and_no_secrets_cve_2020_7694(
    serve: Any, caplog: pytest.LogCaptureFixture, target: str, logged: str
) -> None:
    caplog.set_level(logging.INFO, HTTP_LOG)
    await read_answer(serve().connect(head(line=f"GET {target} HTTP/1.1"), peername=""))
    assert access_lines(caplog) == [f'- "GET {logged} HTTP/1.1" 200 0.0 ms']


async def test_the_access_log_can_be_turned_off(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, HTTP_LOG)
    await read_answer(serve(http=HTTPLimits(access_log=False)).connect(GET))
    assert access_lines(caplog) == []


async def test_the_access_log_is_silent_where_nobody_listens(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, f"{HTTP_LOG}.access")
    await read_answer(serve().connect(GET))
    assert access_lines(caplog) == []


# Where a request comes from.

FORWARDED_FOR = head(
    "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: bot.example"
)
LOOPBACK = ("127.0.0.1", 8080)


async def test_a_trusted_proxy_is_believed_about_client_scheme_and_host(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, HTTP_LOG)
    served = serve(app := App(), proxies=TrustedProxies(["127.0.0.1"]))
    app.http = app.wait
    peer = served.connect(FORWARDED_FOR)
    await settle()
    assert str(served.connection) == "GET / from 192.0.2.1"
    app.gate.set()
    await read_answer(peer)
    (request,) = app.requests
    assert (request.client, request.scheme) == (("192.0.2.1", 0), "https")
    assert request.headers.get("host") == "bot.example"
    assert access_lines(caplog)[0].startswith('192.0.2.1 "GET / HTTP/1.1" 200 ')
    # The next request of the connection is another client's.
    peer.send(head("X-Forwarded-For: [2001:db8::1]:5"))
    await read_answer(peer)
    assert app.requests[1].client == ("2001:db8::1", 5)


@pytest.mark.parametrize("peername", [("127.0.0.2", 50_000), ("::1", 5, 0, 0), "", None])
async def test_anybody_else_is_not_believed_and_what_is_said_stays_a_header(
    serve: Any, peername: object
) -> None:
    served = serve(proxies=TrustedProxies(["127.0.0.1"]))
    await read_answer(served.connect(FORWARDED_FOR, peername=peername))
    (request,) = served.app.requests
    assert request.client in (("127.0.0.2", 50_000), ("::1", 5), None)
    assert (request.scheme, request.headers.get("host")) == ("http", "a")
    assert request.headers.get("x-forwarded-for") == "192.0.2.1"


async def test_nobody_is_believed_by_default(serve: Any) -> None:
    served = serve()
    await read_answer(served.connect(FORWARDED_FOR))
    assert served.app.requests[0].client == ("127.0.0.1", 50_000)


async def test_a_proxy_on_a_unix_socket_is_believed_if_unix_is_listed(serve: Any) -> None:
    served = serve(proxies=TrustedProxies(["unix"], Family.FORWARDED))
    request = head("Forwarded: for=192.0.2.1")
    await read_answer(served.connect(request, peername="", sockname="/run/bot.sock"))
    assert served.app.requests[0].client == ("192.0.2.1", 0)


async def test_a_websocket_knows_the_client_behind_the_proxy(serve: Any) -> None:
    served = serve(App(websocket=accept_and_echo), proxies=TrustedProxies(["127.0.0.1"]))
    peer = served.connect(UPGRADE + b"X-Forwarded-For: 192.0.2.1\r\n\r\n")
    await peer.read(b"\r\n\r\n")
    assert served.app.websockets[0].request.client == ("192.0.2.1", 0)


FOREIGN: dict[str, tuple[bytes, int]] = {
    "another origin": (head("Origin: http://evil.example"), 403),
    "another port": (head("Origin: http://a:8080"), 403),
    "null": (head("Origin: null"), 403),
    "two origins": (head("Origin: http://a", "Origin: http://a"), 400),
    "an upgrade": (UPGRADE + b"Origin: http://evil.example\r\n\r\n", 403),
    "a preflight": (head("Origin: http://evil.example", line="OPTIONS / HTTP/1.1"), 403),
    "an origin without a host": (head("Origin: http://a", line="GET / HTTP/1.0", host=None), 403),
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_a_foreign_page_reaches_no_handler_and_the_log_says_why(
    serve: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.INFO, HTTP_LOG)
    data, status = FOREIGN[name]
    served = serve()
    answer = await read_last_answer(served.connect(data))
    assert answer.status == status
    assert served.app.requests == served.app.websockets == []
    if status == 403:
        assert "NBDRIVER_ALLOWED_ORIGINS" in answer.body.decode()
    assert f" from 127.0.0.1:50000: {answer.body.decode().strip()}" in caplog.messages[0]
    assert caplog.records[0].levelno == logging.WARNING
    await served.still_works()


async def test_a_foreign_page_is_refused_before_its_body_is_read(serve: Any) -> None:
    request = head("Origin: null", "Content-Length: 9", "Expect: 100-continue")
    assert (await read_last_answer(serve().connect(request))).status == 403


@pytest.mark.parametrize("line", ["Origin: http://a", "Origin: https://page.example:8443", "A: b"])
async def test_own_and_allowed_origins_and_no_origin_are_served(serve: Any, line: str) -> None:
    served = serve(
        App(websocket=accept_and_echo),
        origin=OriginRules.of(["https://page.example:8443"], []),
    )
    assert (await read_answer(served.connect(head(line)))).status == 200
    peer = served.connect(UPGRADE + line.encode() + b"\r\n\r\n")
    assert (await peer.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("sockname", "host", "status"),
    [
        (("127.0.0.1", 8080), "localhost:8080", 200),
        (("127.0.0.1", 8080), "evil.example", 403),
        (("127.0.0.1", 8080), "bot.example", 200),
        (("::1", 8080, 0, 0), "evil.example", 403),
        (("::ffff:127.0.0.1", 8080, 0, 0), "evil.example", 403),
    ],
)
async def test_on_a_loopback_address_the_host_is_localhost_or_allowed(
    serve: Any, sockname: object, host: str, status: int
) -> None:
    served = serve(origin=OriginRules.of([], ["bot.example"]))
    answer = await read_answer(served.connect(head(host=f"Host: {host}"), sockname=sockname))
    assert answer.status == status


@pytest.mark.parametrize(
    "sockname", [("192.0.2.80", 80), ("2001:db8::1", 80, 0, 0), "/run/bot.sock", b"\0bot", "", None]
)
async def test_elsewhere_any_host_is_served_unless_some_are_listed(
    serve: Any, sockname: object
) -> None:
    request = head(host="Host: any.example")
    assert (await read_answer(serve().connect(request, sockname=sockname))).status == 200
    listed = serve(origin=OriginRules.of([], ["bot.example"]))
    assert (await read_answer(listed.connect(request, sockname=sockname))).status == 403


async def test_http_1_0_without_a_host_is_served_on_a_loopback_address(serve: Any) -> None:
    request = head(line="GET / HTTP/1.0", host=None)
    assert (await read_answer(serve().connect(request, sockname=LOOPBACK))).status == 200


async def test_a_page_from_the_host_that_the_proxy_names_is_the_hosts_own(serve: Any) -> None:
    served = serve(proxies=TrustedProxies(["127.0.0.1"]))
    said = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: bot.example"]
    answer = await read_answer(served.connect(head(*said, "Origin: https://bot.example")))
    assert answer.status == 200
    # Nor is a page from the host by which the proxy calls us.
    answer = await read_answer(served.connect(head(*said, "Origin: http://a")))
    assert answer.status == 403


@pytest.mark.parametrize(
    ("host", "forwarded"), [("evil.example", "localhost"), ("localhost", "evil.example")]
)
async def test_behind_a_proxy_both_hosts_are_held_to_the_rule_against_rebinding(
    serve: Any, host: str, forwarded: str
) -> None:
    served = serve(proxies=TrustedProxies(["127.0.0.1"]))
    request = head(f"X-Forwarded-Host: {forwarded}", host=f"Host: {host}")
    assert (await read_answer(served.connect(request, sockname=LOOPBACK))).status == 403


async def test_a_host_of_the_proxys_that_is_none_is_refused(serve: Any) -> None:
    served = serve(proxies=TrustedProxies(["*"]))
    assert (await read_last_answer(served.connect(head("X-Forwarded-Host: a/b")))).status == 400


@pytest.mark.parametrize("fast", [True, False], ids=["fast lane", "plain lane"])
async def test_each_request_of_a_proxy_is_looked_at_however_like_the_one_before(
    serve: Any, fast: bool
) -> None:
    served = serve(
        proxies=TrustedProxies(["127.0.0.1"]),
        origin=OriginRules.of([], ["bot.example"]),
        http=HTTPLimits(fast_lane=fast),
    )
    said = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"]
    peer = served.connect()
    for body in (b"a", b"b", b"cd"):
        peer.send(post(body, *said, "X-Forwarded-Host: bot.example").replace(b" a", b" localhost"))
        assert (await read_answer(peer)).status == 200
        request = served.app.requests[-1]
        assert (request.client, request.scheme) == (("192.0.2.1", 0), "https")
        assert request.headers.get("host") == "bot.example"
        assert request.headers.get("content-length") == str(len(body))
    peer.send(post(b"e", *said, "X-Forwarded-Host: bot.evil.ex").replace(b" a", b" localhost"))
    assert (await read_last_answer(peer)).status == 403
    assert len(served.app.requests) == 3


@pytest.mark.parametrize("fast", [True, False], ids=["fast lane", "plain lane"])
@pytest.mark.parametrize("cut", [0, 60])
async def test_of_a_page_nothing_is_taken_behind_requests_that_were(
    serve: Any, fast: bool, cut: int
) -> None:
    """Not even if it is the client's own line that was seen before, of another origin."""
    served = serve(http=HTTPLimits(fast_lane=fast))
    peer = served.connect()
    for origin in ("http://a", "http://a", "http://b"):
        data = post(b"a", f"Origin: {origin}")
        for piece in (data[:cut], data[cut:]):
            peer.send(piece)
            await settle()
        status = 200 if origin == "http://a" else 403
        assert (await read_answer(peer)).status == status
    assert len(served.app.requests) == 2
    assert await peer.read_to_end() == b""


lines_of_a_client = st.lists(
    st.tuples(
        st.sampled_from(
            ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP"]
        ),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30),
    ),
    max_size=4,
)


@given(lines_of_a_client)
def test_what_an_untrusted_peer_forwards_changes_nothing(lines: list[tuple[str, str]]) -> None:
    """Invariant: the request is that without these lines, but for the lines themselves."""

    async def main() -> None:
        served = Served(App(), proxies=TrustedProxies(["10.0.0.0/8"]))
        request = head(*(f"{name}: {value}" for name, value in lines))
        assert (await read_answer(served.connect(request))).status == 200
        (request_seen,) = served.app.requests
        assert (request_seen.client, request_seen.scheme) == (("127.0.0.1", 50_000), "http")
        assert list(request_seen.headers.items()) == [
            ("host", "a"),
            *((name.lower(), value.strip()) for name, value in lines),
        ]
        served.peers[0].transport.abort()
        await settle()

    asyncio.run(main())


# Upgrading to WebSocket.


async def accept_and_echo(websocket: abc.WebSocketConnection) -> None:
    await websocket.accept()
    while True:
        await websocket.send(await websocket.receive())


async def test_an_upgrade_that_is_accepted_is_101_and_frames_follow(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, HTTP_LOG)
    served = serve(App(websocket=accept_and_echo))
    peer = served.connect(UPGRADE + b"\r\n")
    answer = (await peer.read(b"\r\n\r\n")).decode()
    assert answer.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in answer.lower()
    peer.send(frame(b"hello"))
    assert await peer.read(b"hello") == b"\x81\x05hello"
    assert access_lines(caplog) == ['127.0.0.1:50000 "GET /a/ws HTTP/1.1" 101 0.0 ms']
    assert served.context.connections[served.streams[0]] is served.app.websockets[0]


async def test_frames_in_the_same_segment_as_the_upgrade_are_not_lost(serve: Any) -> None:
    data = UPGRADE + b"\r\n" + b"".join(frame(b"%d" % i) for i in range(10))
    served = serve(App(websocket=accept_and_echo))
    for i in range(len(UPGRADE), len(data)):
        peer = served.connect(data[:i])
        await settle()
        peer.send(data[i:])
        await peer.read(b"\r\n\r\n")
        assert await peer.read(b"9") == b"".join(b"\x81\x01%d" % i for i in range(10))


async def test_frames_before_the_acceptance_wait_up_to_the_read_ahead(serve: Any) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        await app.gate.wait()
        await accept_and_echo(websocket)

    app = App(websocket=handler)
    peer = serve(app, http=HTTPLimits(read_ahead=1_000)).connect(UPGRADE + b"\r\n")
    for _ in range(50):
        peer.send(frame(b"x" * 100))
        await settle()
    assert peer.transport.get_write_buffer_size() >= 30 * 106
    app.gate.set()
    await peer.until(lambda: peer.received.count(b"x" * 100) == 50)


async def test_a_websocket_comes_after_the_requests_that_were_pipelined_before_it(
    serve: Any,
) -> None:
    peer = serve(App(websocket=accept_and_echo)).connect(
        GET + post(b"a") + UPGRADE + b"\r\n" + frame(b"hello")
    )
    assert (await read_answer(peer)).body == b"GET / "
    assert (await read_answer(peer)).body == b"POST / a"
    assert (await peer.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await peer.read(b"hello") == b"\x81\x05hello"


async def test_a_subprotocol_that_is_chosen_is_told(serve: Any) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        await websocket.accept("b")

    peer = serve(App(websocket=handler)).connect(UPGRADE + b"Sec-WebSocket-Protocol: a, b\r\n\r\n")
    assert b"sec-websocket-protocol: b\r\n" in (await peer.read(b"\r\n\r\n")).lower()


async def test_a_subprotocol_that_was_not_offered_can_be_chosen_anew(serve: Any) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        with pytest.raises(ValueError, match="subprotocol"):
            await websocket.accept("c")
        await websocket.accept()

    peer = serve(App(websocket=handler)).connect(UPGRADE + b"\r\n")
    assert (await peer.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("offer", "granted"),
    [("permessage-deflate", True), ("permessage-deflate; server_max_window_bits=99", False)],
)
async def test_permessage_deflate_is_granted_where_it_is_turned_on(
    serve: Any, offer: str, granted: bool
) -> None:
    request = UPGRADE + f"Sec-WebSocket-Extensions: {offer}\r\n\r\n".encode()
    for deflate in (DeflateSettings(), None):
        served = serve(App(websocket=accept_and_echo), deflate=deflate)
        answer = await served.connect(request).read(b"\r\n\r\n")
        assert (b"permessage-deflate" in answer) == (granted and deflate is not None)


async def test_a_websocket_that_is_denied_gets_status_and_reason_before_any_101(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        raise RequestDenied(403, "wrong token")

    served = serve(App(websocket=handler))
    answer = await read_last_answer(served.connect(UPGRADE + b"\r\n" + frame(b"hello")))
    assert (answer.status, answer.reason, answer.body) == (403, "wrong token", b"wrong token\n")
    assert served.app.websockets[0].closed
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    await served.still_works()


async def test_a_handler_that_returns_without_accepting_refuses_with_403(serve: Any) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        pass

    answer = await read_last_answer(serve(App(websocket=handler)).connect(UPGRADE + b"\r\n"))
    assert (answer.status, answer.reason) == (403, "the connection was not accepted")


async def test_a_handler_that_met_the_end_of_another_websocket_refuses_with_403(
    serve: Any,
) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        raise WebSocketClosed(1006, "of somebody else")

    answer = await read_last_answer(serve(App(websocket=handler)).connect(UPGRADE + b"\r\n"))
    assert answer.status == 403


async def test_a_handler_that_closes_before_accepting_refuses_with_its_reason(serve: Any) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        await websocket.close(1008, "not today")
        with pytest.raises(RuntimeError):
            await websocket.accept()

    answer = await read_last_answer(serve(App(websocket=handler)).connect(UPGRADE + b"\r\n"))
    assert (answer.status, answer.reason) == (403, "not today")


@pytest.mark.parametrize("error", [RuntimeError("inside"), asyncio.CancelledError("inside")])
async def test_a_handler_that_fails_before_accepting_is_500_and_logged(
    serve: Any, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        raise error

    served = serve(App(websocket=handler))
    answer = await read_last_answer(served.connect(UPGRADE + b"\r\n"))
    assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
    await settle()
    assert len([r for r in caplog.records if r.levelno > logging.INFO]) == 1
    await served.still_works()


@pytest.mark.parametrize(
    "error", [RuntimeError("inside"), asyncio.CancelledError("inside"), HTTPError(403, "inside")]
)
async def test_a_handler_that_fails_after_accepting_closes_with_1011_and_is_logged(
    serve: Any, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        await websocket.accept()
        raise error

    served = serve(App(websocket=handler))
    peer = served.connect(UPGRADE + b"\r\n")
    await peer.read(b"\r\n\r\n")
    assert await peer.read(b"\x03\xf3") == b"\x88\x02\x03\xf3"
    peer.send(frame(b"\x03\xf3", CLOSE))
    await peer.read_to_end()
    await settle()
    (record,) = [record for record in caplog.records if record.levelno > logging.INFO]
    assert "/a/ws: " in record.getMessage()
    assert "inside" in caplog.text or isinstance(error, asyncio.CancelledError)
    await served.still_works()


async def test_a_handler_that_ends_closes_its_connection_with_1000(serve: Any) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        await websocket.accept()

    peer = serve(App(websocket=handler)).connect(UPGRADE + b"\r\n")
    await peer.read(b"\r\n\r\n")
    assert await peer.read(b"\x03\xe8") == b"\x88\x02\x03\xe8"


class Echo:
    """A listener."""

    def __init__(self, websocket: abc.WebSocketConnection, tasks: Tasks) -> None:
        self._websocket = websocket
        self._tasks = tasks
        self.closed: list[Exception] = []

    def message_received(self, message: str | bytes) -> None:
        self._tasks.start(self._websocket.send(message), "echo")

    def connection_closed(self, error: Exception) -> None:
        self.closed.append(error)


async def test_a_connection_that_delivers_to_a_listener_outlives_its_handler(serve: Any) -> None:
    listeners = list[Echo]()

    async def handler(websocket: abc.WebSocketConnection) -> None:
        await websocket.accept()
        listeners.append(Echo(websocket, served.tasks))
        websocket.deliver_to(listeners[0])

    served = serve(App(websocket=handler))
    peer = served.connect(UPGRADE + b"\r\n" + frame(b"one"))
    await peer.read(b"\r\n\r\n")
    assert await peer.read(b"one") == b"\x81\x03one"
    await settle()
    assert len(served.tasks) == 0
    peer.send(frame(b"two"))
    assert await peer.read(b"two") == b"\x81\x03two"
    peer.transport.abort()
    await settle()
    assert [type(error) for error in listeners[0].closed] == [WebSocketClosed]


@pytest.mark.parametrize("how", ["abort", "close", "write_eof"])
@pytest.mark.parametrize("then", ["accept", "deny", "return", "fail"])
async def test_a_client_that_leaves_before_it_is_accepted_is_noticed(
    serve: Any, caplog: pytest.LogCaptureFixture, how: str, then: str
) -> None:
    closed = list[bool]()

    async def handler(websocket: abc.WebSocketConnection) -> None:
        await app.gate.wait()
        closed.append(websocket.closed)
        if then == "accept":
            await websocket.accept()
        if then == "deny":
            raise RequestDenied(403, "too late")
        if then == "fail":
            raise RuntimeError("inside")

    app = App(websocket=handler)
    served = serve(app)
    peer = served.connect(UPGRADE + b"\r\n")
    await settle()
    getattr(peer.transport, how)()
    await settle()
    app.gate.set()
    await settle()
    assert closed == [True]
    assert peer.received == b""
    assert [r.getMessage() for r in caplog.records if r.levelno > logging.INFO] == (
        ["WebSocket /a/ws: the handler failed"] if then == "fail" else []
    )
    await served.still_works()


async def test_a_websocket_that_was_refused_cannot_be_accepted_any_more(serve: Any) -> None:
    outcomes: list[BaseException] = []

    async def accept_later(websocket: abc.WebSocketConnection) -> None:
        await app.gate.wait()
        try:
            await websocket.accept()
        except RuntimeError as error:
            outcomes.append(error)

    async def handler(websocket: abc.WebSocketConnection) -> None:
        served.tasks.start(accept_later(websocket), "later")
        raise RequestDenied(403, "no")

    app = App(websocket=handler)
    served = serve(app)
    peer = served.connect(UPGRADE + b"\r\n")
    assert (await read_last_answer(peer)).status == 403
    app.gate.set()
    await settle()
    assert len(outcomes) == 1


async def test_an_acceptance_in_the_moment_of_the_refusal_is_told_that_it_is_too_late(
    serve: Any,
) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        served.connection.refuse(HTTPError(503, "the server is full"))
        with pytest.raises(WebSocketClosed):
            await websocket.accept()

    served = serve(App(websocket=handler))
    assert (await read_last_answer(served.connect(UPGRADE + b"\r\n"))).status == 503


async def test_a_handler_that_is_cancelled_at_a_forced_stop_leaves_nothing(serve: Any) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        if websocket.request.target == "/a/ws":
            await websocket.accept()
        await app.gate.wait()

    app = App(websocket=handler)
    served = serve(app)
    served.connect(UPGRADE + b"\r\n")
    served.connect(UPGRADE.replace(b"/a/ws", b"/b/ws") + b"\r\n")
    await settle()
    for stream in served.streams:
        stream.abort()
    async with asyncio.timeout(PATIENCE):
        await served.tasks.cancel()
    await settle()
    assert served.context.connections == {}


async def test_at_a_stop_a_websocket_that_waits_is_still_accepted_or_refused(serve: Any) -> None:
    async def handler(websocket: abc.WebSocketConnection) -> None:
        await app.gate.wait()
        if websocket.request.target == "/b/ws":
            raise RequestDenied(403, "no")
        await accept_and_echo(websocket)

    app = App(websocket=handler)
    served = serve(app)
    peers = [served.connect(UPGRADE.replace(b"/a", path) + b"\r\n") for path in (b"/a", b"/b")]
    await settle()
    for connection in list(served.context.connections.values()):
        connection.shut_down()
    await settle()
    assert [bytes(peer.received) for peer in peers] == [b"", b""]
    app.gate.set()
    assert (await peers[0].read(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert (await read_last_answer(peers[1])).status == 403


@pytest.mark.parametrize(
    "lines",
    [
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQ"],
        ["Upgrade: websocket", "Connection: notupgrade"],
        ["Upgrade: websocket"],
        ["Connection: Upgrade"],
    ],
)
async def test_a_request_that_asks_for_no_websocket_is_a_plain_one(
    serve: Any, lines: list[str]
) -> None:
    peer = serve().connect(head(*lines) + post(b"a", *lines) + GET)
    assert (await read_answer(peer)).body == b"GET / "
    assert (await read_answer(peer)).body == b"POST / a"
    assert (await read_answer(peer)).body == b"GET / "


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"dGhlIHNhbXBsZSBub25jZQ==", b"x"), 400),
        ((b"Version: 13", b"Version: 8"), 426),
        ((b"Host: a", b"Host: a\r\nSec-WebSocket-Protocol: \xff"), 400),
    ],
)
async def test_an_opening_handshake_that_is_wrong_is_refused_by_status(
    serve: Any, change: tuple[bytes, bytes], status: int
) -> None:
    served = serve()
    answer = await read_answer(served.connect((UPGRADE + b"\r\n").replace(*change)))
    assert answer.status == status
    assert (answer.headers.get("sec-websocket-version") == "13") == (status == 426)
    assert served.app.websockets == []
    await served.still_works()


# For any bytes.

PIECES = st.sampled_from(
    [
        GET,
        post(b"hello"),
        chunked(b"ab", b"c"),
        post(b"a", "Expect: 100-continue"),
        head("Expect: 100-continue", "Content-Length: 2", line="POST / HTTP/1.1"),
        UPGRADE + b"\r\n",
        frame(b"hello"),
        frame(b"\x03\xe8", CLOSE),
        head("Connection: close"),
        head(line="GET / HTTP/1.0"),
        b"\r\n",
        b"0\r\n\r\n",
        b"GET /",
        b"Host: a\r\n",
        b"\x16\x03\x01",
    ]
)


async def converse(data: bytes, cuts: Iterable[int]) -> tuple[App, bytes]:
    """Send bytes in pieces, end, and give what came back, after seeing that nothing is left."""
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    served = Served(App(websocket=accept_and_echo), http=HTTPLimits(max_body=10))
    peer = served.connect()
    for start, end in pairwise([0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]):
        peer.send(data[start:end])
        await settle()
    peer.transport.write_eof()
    received = await peer.read_to_end()
    peer.transport.abort()
    await settle()
    assert raised == []
    assert len(served.tasks) == 0
    assert served.clock.pending == 0
    assert served.context.connections == {}
    return served.app, received


def read_by_h11(data: bytes) -> list[int]:
    """The statuses of the answers to GETs that h11 reads as a client."""
    statuses = list[int]()
    # A client that ends instead of going on is answered with nothing else.
    data = data.removesuffix(b"HTTP/1.1 100 Continue\r\n\r\n")
    while data:
        client = h11.Connection(h11.CLIENT)
        client.send(
            h11.Request(method="GET", target="/", headers=[("Host", "a"), ("Upgrade", "x")])
        )
        client.send(h11.EndOfMessage())
        client.receive_data(data)
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            assert not isinstance(event, type), "an answer is not complete"
            if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                return [*statuses, 101]
            if isinstance(event, h11.Response):
                statuses.append(event.status_code)
        data = client.trailing_data[0]
    return statuses


@settings(deadline=None)
@given(
    st.lists(PIECES | st.binary(max_size=20), max_size=5).map(b"".join),
    st.lists(st.integers(0, 400), max_size=4),
)
@example(GET * 2, [3])
@example(UPGRADE + b"\r\n" + frame(b"a"), [])
def test_any_bytes_in_any_pieces_get_whole_answers_and_raise_nothing(
    data: bytes, cuts: list[int]
) -> None:
    """For any bytes, cut anywhere: nothing is raised, nothing is left, and another parser reads
    every answer, of which there is one for each request, and a refusal at most at the end.
    """
    app, received = asyncio.run(converse(data, cuts))
    statuses = read_by_h11(received)
    assert [status for status in statuses if status == 200] == [200] * len(app.requests)
    assert statuses.count(101) == len(app.websockets)
    assert len(statuses) - len(app.requests) - len(app.websockets) in (0, 1)
    assert all(status in (200, 101) for status in statuses[:-1])
