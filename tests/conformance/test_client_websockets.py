"""WebSockets that a bot opens, on every driver with a client for them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from conformance.authority import AUTHORITY
from conformance.standing_in import Connection, accepted, serve_bytes
from conformance.test_client_proxies import serve_proxy
from hosts.hosting import PATIENCE
from nonebot.drivers import Request, Timeout, WebSocketClientMixin
from nonebot.drivers import WebSocket as NoneBotWebSocket
from nonebot.exception import WebSocketClosed
from websockets import Headers, Response, Subprotocol
from websockets.asyncio.server import ServerConnection, serve

Handler = Callable[[ServerConnection], Awaitable[None]]

#: A limit that is to be over.
SHORT = 0.1


@asynccontextmanager
async def serving(handler: Handler, **settings: Any) -> AsyncIterator[str]:
    """The URL of a server that has each connection handled."""
    secure = "ssl" in settings
    options = {"compression": None, "close_timeout": 1, "max_size": None, **settings}
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"wss://localhost:{port}/ws" if secure else f"ws://127.0.0.1:{port}/ws"


async def echo(peer: ServerConnection) -> None:
    """Sends back what comes."""
    async for message in peer:
        await peer.send(message)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server that sends back what comes."""
    async with serving(echo) as served:
        yield served


def sending(*messages: str | bytes) -> Handler:
    """A server that sends these, and waits for the end."""

    async def handle(peer: ServerConnection) -> None:
        for message in messages:
            await peer.send(message)
        await peer.wait_closed()

    return handle


def closing(code: int, reason: str = "") -> Handler:
    """A server that closes."""

    async def handle(peer: ServerConnection) -> None:
        await peer.close(code, reason)

    return handle


async def lose(peer: ServerConnection) -> None:
    """A server that goes away without a Close."""
    peer.transport.abort()


async def closed_by(awaited: Awaitable[Any]) -> tuple[int, str]:
    """The code and the reason with which a receive ends."""
    with pytest.raises(WebSocketClosed) as caught:
        async with asyncio.timeout(PATIENCE):
            await awaited
    return caught.value.code, caught.value.reason or ""


# Messages.


async def test_text_and_bytes_are_sent_and_received(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        for message in ("你好", b"bytes", "", b""):
            await websocket.send(message)
            assert await websocket.receive() == message


async def test_each_kind_has_its_name(websocket_client: WebSocketClientMixin, url: str) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        await websocket.send_text("text")
        assert await websocket.receive_text() == "text"
        await websocket.send_bytes(b"bytes")
        assert await websocket.receive_bytes() == b"bytes"


async def test_the_wrong_kind_is_a_type_error(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        await websocket.send("text")
        with pytest.raises(TypeError):
            await websocket.receive_bytes()
        await websocket.send(b"bytes")
        with pytest.raises(TypeError):
            await websocket.receive_text()
        await websocket.send("next")
        assert await websocket.receive() == "next"


async def test_what_is_neither_text_nor_bytes_is_not_sent(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        with pytest.raises(TypeError):
            await websocket.send(1)  # type: ignore[arg-type]  # what the test is about


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 900_000, 4_000_000])
async def test_messages_have_any_size(
    websocket_client: WebSocketClientMixin, url: str, size: int
) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        await websocket.send("x" * size)
        assert await websocket.receive() == "x" * size


async def test_a_message_in_pieces_is_one_message(websocket_client: WebSocketClientMixin) -> None:
    async def handle(peer: ServerConnection) -> None:
        await peer.send(["你", "好", "!"])
        await peer.wait_closed()

    async with (
        serving(handle) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        assert await websocket.receive() == "你好!"


async def test_a_receive_that_is_given_up_loses_nothing(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(websocket.receive(), 0.01)
        await websocket.send("late")
        assert await websocket.receive() == "late"


async def test_pings_are_answered_while_nobody_receives(
    websocket_client: WebSocketClientMixin,
) -> None:
    answered = asyncio.Event()

    async def handle(peer: ServerConnection) -> None:
        await (await peer.ping())
        answered.set()
        await peer.wait_closed()

    async with serving(handle) as url, websocket_client.websocket(Request("GET", url)):
        async with asyncio.timeout(3):
            await answered.wait()


async def test_to_accept_is_not_its_part(websocket_client: WebSocketClientMixin, url: str) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        with pytest.raises(NotImplementedError):
            await websocket.accept()


async def test_it_is_one_of_nonebots_with_its_request(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    request = Request("GET", url)
    async with websocket_client.websocket(request) as websocket:
        assert isinstance(websocket, NoneBotWebSocket)
        assert websocket.request is request


# The handshake.


async def asked(client: WebSocketClientMixin, path: str = "", **options: Any) -> Any:
    """The request that a server has got."""
    requests = []

    async def handle(peer: ServerConnection) -> None:
        requests.append(peer.request)

    async with (
        serving(handle) as url,
        client.websocket(Request("GET", url + path, **options)) as websocket,
    ):
        await closed_by(websocket.receive())
    return requests[0]


async def test_headers_are_sent(websocket_client: WebSocketClientMixin) -> None:
    headers = {"X-Self-ID": "1", "Authorization": "Bearer token"}
    request = await asked(websocket_client, headers=headers)
    assert (request.headers["x-self-id"], request.headers["authorization"]) == ("1", "Bearer token")


async def test_a_header_may_repeat(websocket_client: WebSocketClientMixin) -> None:
    request = await asked(websocket_client, headers=[("X-A", "1"), ("X-A", "2")])
    assert request.headers.get_all("x-a") == ["1", "2"]


@pytest.mark.parametrize("name", ["User-Agent", "Origin"])
async def test_a_usual_header_can_be_given(
    websocket_client: WebSocketClientMixin, name: str
) -> None:
    request = await asked(websocket_client, headers={name: "given"})
    assert request.headers.get_all(name) == ["given"]


async def test_cookies_are_sent(websocket_client: WebSocketClientMixin) -> None:
    request = await asked(websocket_client, cookies={"a": "1"})
    assert request.headers["cookie"] == "a=1"


async def test_parameters_are_sent(websocket_client: WebSocketClientMixin) -> None:
    request = await asked(websocket_client, "?a=1", params={"b": "你"})
    assert request.path == "/ws?a=1&b=%E4%BD%A0"


async def test_credentials_of_the_url_are_basic_authorization(
    websocket_client: WebSocketClientMixin,
) -> None:
    found: list[str] = []

    async def handle(peer: ServerConnection) -> None:
        assert peer.request is not None
        found.append(peer.request.headers["authorization"])

    async with serving(handle) as url:
        url = url.replace("//", "//user:p%40ss@")
        async with websocket_client.websocket(Request("GET", url)) as websocket:
            await closed_by(websocket.receive())
    assert found == ["Basic dXNlcjpwQHNz"]


async def test_a_subprotocol_is_asked_for_in_a_header(
    websocket_client: WebSocketClientMixin,
) -> None:
    chosen = []

    async def handle(peer: ServerConnection) -> None:
        chosen.append(peer.subprotocol)
        await peer.send("agreed")

    async with serving(handle, subprotocols=[Subprotocol("12.1")]) as url:
        request = Request("GET", url, headers={"Sec-WebSocket-Protocol": "12.1"})
        async with websocket_client.websocket(request) as websocket:
            assert await websocket.receive() == "agreed"
    assert chosen == ["12.1"]


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_a_refusal_is_an_error(websocket_client: WebSocketClientMixin, status: int) -> None:
    def refuse(peer: ServerConnection, request: object) -> Response:
        return Response(status, "No", Headers({"Content-Length": "2"}), b"no")

    async with serving(echo, process_request=refuse) as url:
        with pytest.raises(Exception, match=str(status)):
            async with websocket_client.websocket(Request("GET", url)):
                pass


async def test_a_redirect_is_followed(websocket_client: WebSocketClientMixin) -> None:
    def lead(peer: ServerConnection, request: Any) -> Response | None:
        if request.path == "/ws":
            return Response(302, "Found", Headers({"Location": "/ws/there"}), b"")
        return None

    async with (
        serving(echo, process_request=lead) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        await websocket.send("there")
        assert await websocket.receive() == "there"


async def test_a_connection_that_is_refused_is_an_error(
    websocket_client: WebSocketClientMixin,
) -> None:
    async with serving(echo) as served:
        url = served
    with pytest.raises(Exception, match=r".*"):
        async with websocket_client.websocket(Request("GET", url)):
            pass


def accepting(*frames: bytes, until: str = "the end") -> Callable[[Connection], Awaitable[None]]:
    """A server of bytes that accepts, sends frames, and answers nothing.

    It leaves at once (`now`), when anything comes (`a word`), or when the client does.
    """

    async def answer(connection: Connection) -> None:
        connection.send(accepted(await connection.head()) + b"".join(frames))
        if until == "a word":
            await connection.reader.read(1)
        elif until == "the end":
            await connection.ends()

    return answer


async def test_a_wrong_accept_is_an_error(websocket_client: WebSocketClientMixin) -> None:
    async def answer(connection: Connection) -> None:
        head = await connection.head()
        connection.send(accepted(head.replace(b"ey: ", b"ey: x", 1)))
        await connection.ends()

    async with serve_bytes(answer) as server:
        with pytest.raises(Exception, match=r".*"):
            async with websocket_client.websocket(Request("GET", f"ws://127.0.0.1:{server.port}")):
                pass


async def test_what_comes_with_the_answer_is_received(
    websocket_client: WebSocketClientMixin,
) -> None:
    async with (
        serve_bytes(accepting(b"\x81\x05hello")) as server,
        asyncio.timeout(PATIENCE),
        websocket_client.websocket(
            Request("GET", f"ws://127.0.0.1:{server.port}", timeout=Timeout(close=SHORT))
        ) as websocket,
    ):
        assert await websocket.receive() == "hello"


async def test_a_secure_websocket_is_opened(websocket_client: WebSocketClientMixin) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    async with (
        serving(echo, ssl=context) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        await websocket.send("secret")
        assert await websocket.receive() == "secret"


async def test_it_goes_through_its_proxy_by_connect(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    async with serve_proxy() as proxy:
        request = Request("GET", url, proxy=proxy.url)
        async with websocket_client.websocket(request) as websocket:
            await websocket.send("through")
            assert await websocket.receive() == "through"
        assert proxy.heads[0].startswith("CONNECT ")


# The end.


@pytest.mark.parametrize("method", ["receive", "receive_text", "receive_bytes"])
async def test_the_servers_code_is_what_a_receive_raises(
    websocket_client: WebSocketClientMixin, method: str
) -> None:
    async with (
        serving(closing(3001, "再见")) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        code, _ = await closed_by(getattr(websocket, method)())
        assert code == 3001


async def test_the_servers_reason_is_what_a_receive_raises(
    websocket_client: WebSocketClientMixin,
) -> None:
    async with (
        serving(closing(3001, "再见")) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        assert await closed_by(websocket.receive()) == (3001, "再见")


async def test_a_close_without_a_code_is_1005(websocket_client: WebSocketClientMixin) -> None:
    async with (
        serve_bytes(accepting(b"\x88\x00", until="a word")) as server,
        websocket_client.websocket(Request("GET", f"ws://127.0.0.1:{server.port}")) as websocket,
    ):
        assert (await closed_by(websocket.receive()))[0] == 1005


async def test_a_lost_connection_is_1006(websocket_client: WebSocketClientMixin) -> None:
    async with (
        serving(lose) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        assert (await closed_by(websocket.receive()))[0] == 1006


async def test_an_end_without_a_close_is_1006(websocket_client: WebSocketClientMixin) -> None:
    async with (
        serve_bytes(accepting(until="now")) as server,
        websocket_client.websocket(Request("GET", f"ws://127.0.0.1:{server.port}")) as websocket,
    ):
        assert (await closed_by(websocket.receive()))[0] == 1006


async def test_each_receive_after_the_end_raises_too(
    websocket_client: WebSocketClientMixin,
) -> None:
    async with (
        serving(closing(3001, "bye")) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        assert [(await closed_by(websocket.receive()))[0] for _ in range(2)] == [3001, 3001]


async def test_what_came_before_the_end_is_received_before_it(
    websocket_client: WebSocketClientMixin,
) -> None:
    async def handle(peer: ServerConnection) -> None:
        await peer.send("one")
        await peer.send("two")
        await peer.close(3001)

    async with (
        serving(handle) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        assert [await websocket.receive(), await websocket.receive()] == ["one", "two"]
        assert (await closed_by(websocket.receive()))[0] == 3001


async def test_closed_tells_the_end(websocket_client: WebSocketClientMixin) -> None:
    async with (
        serving(closing(3001)) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        await closed_by(websocket.receive())
        assert websocket.closed is True


async def test_closed_is_false_before_the_end(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        assert websocket.closed is False


async def test_closed_is_true_after_its_own_close(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        await websocket.close()
        assert websocket.closed is True


async def heard_by(
    client: WebSocketClientMixin, end: Callable[[NoneBotWebSocket], Awaitable[None]]
) -> tuple[int | None, str | None]:
    """The code and the reason that a server is told."""
    told: list[tuple[int | None, str | None]] = []
    over = asyncio.Event()

    async def handle(peer: ServerConnection) -> None:
        await peer.wait_closed()
        told.append((peer.close_code, peer.close_reason))
        over.set()

    async with serving(handle) as url, asyncio.timeout(PATIENCE):
        try:
            async with client.websocket(Request("GET", url)) as websocket:
                await end(websocket)
        except ZeroDivisionError:
            pass
        await over.wait()
    return told[0]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [((), 1000, ""), ((1001,), 1001, ""), ((3001, "再见"), 3001, "再见"), ((4999, "x"), 4999, "x")],
)
async def test_a_close_has_its_code_and_its_reason(
    websocket_client: WebSocketClientMixin, arguments: tuple[Any, ...], code: int, reason: str
) -> None:
    told = await heard_by(websocket_client, lambda websocket: websocket.close(*arguments))
    assert told == (code, reason)


async def nothing(websocket: NoneBotWebSocket) -> None:
    """Leaves it to the end of the block."""


async def fail(websocket: NoneBotWebSocket) -> None:
    """A defect of an adapter."""
    raise ZeroDivisionError


async def test_leaving_the_block_closes_with_1000(websocket_client: WebSocketClientMixin) -> None:
    assert await heard_by(websocket_client, nothing) == (1000, "")


async def test_leaving_the_block_by_an_error_closes(
    websocket_client: WebSocketClientMixin,
) -> None:
    code, _ = await heard_by(websocket_client, fail)
    assert code in (1000, 1011)


async def test_leaving_the_block_by_an_error_closes_with_1011(
    websocket_client: WebSocketClientMixin,
) -> None:
    assert (await heard_by(websocket_client, fail))[0] == 1011


async def test_a_second_close_does_nothing(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    async with websocket_client.websocket(Request("GET", url)) as websocket:
        await websocket.close(3001)
        await websocket.close(3002)


async def test_to_send_after_the_end_is_websocket_closed(
    websocket_client: WebSocketClientMixin,
) -> None:
    async with (
        serving(closing(3001, "bye")) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        await closed_by(websocket.receive())
        assert (await closed_by(websocket.send_text("late")))[0] == 3001
        assert (await closed_by(websocket.send_bytes(b"late")))[0] == 3001


async def test_to_send_after_the_end_does_not_succeed(
    websocket_client: WebSocketClientMixin,
) -> None:
    async with (
        serving(closing(3001, "bye")) as url,
        websocket_client.websocket(Request("GET", url)) as websocket,
    ):
        await closed_by(websocket.receive())
        with pytest.raises(Exception, match=r".*"):
            await websocket.send("late")


async def test_what_breaks_the_protocol_ends_it(websocket_client: WebSocketClientMixin) -> None:
    async with (
        serve_bytes(accepting(b"\xc1\x01x", until="a word")) as server,
        asyncio.timeout(PATIENCE),
        websocket_client.websocket(Request("GET", f"ws://127.0.0.1:{server.port}")) as websocket,
    ):
        await closed_by(websocket.receive())


# Limits in time.


async def test_a_handshake_that_is_not_answered_is_given_up(
    websocket_client: WebSocketClientMixin,
) -> None:
    async def answer(connection: Connection) -> None:
        await connection.ends()

    async with serve_bytes(answer) as server:
        request = Request("GET", f"ws://127.0.0.1:{server.port}", timeout=Timeout(connect=SHORT))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2) as patience, websocket_client.websocket(request):
                pass
        assert not patience.expired()


@pytest.mark.parametrize("timeout", [SHORT, Timeout(close=SHORT)], ids=["number", "close"])
async def test_a_close_that_is_not_answered_is_given_up(
    websocket_client: WebSocketClientMixin, timeout: Any
) -> None:
    async with serve_bytes(accepting()) as server, asyncio.timeout(5):
        request = Request("GET", f"ws://127.0.0.1:{server.port}", timeout=timeout)
        async with websocket_client.websocket(request) as websocket:
            await websocket.close()


async def late(client: WebSocketClientMixin, timeout: Any) -> str | bytes:
    """What comes from a server that is silent for more than a second."""

    async def handle(peer: ServerConnection) -> None:
        await asyncio.sleep(1.3)
        await peer.send("late")

    async with (
        serving(handle) as url,
        client.websocket(Request("GET", url, timeout=timeout)) as websocket,
    ):
        return await websocket.receive()


async def test_a_silent_server_is_no_failure(websocket_client: WebSocketClientMixin) -> None:
    timeouts = (None, Timeout(read=None), Timeout(total=1, connect=1, close=1))
    found = await asyncio.gather(*(late(websocket_client, timeout) for timeout in timeouts))
    assert found == ["late"] * 3


async def test_a_number_is_no_limit_to_receive(websocket_client: WebSocketClientMixin) -> None:
    assert await late(websocket_client, 1) == "late"


async def test_a_limit_to_read_is_one_to_receive(
    websocket_client: WebSocketClientMixin, url: str
) -> None:
    request = Request("GET", url, timeout=Timeout(read=SHORT))
    async with websocket_client.websocket(request) as websocket:
        receiving = asyncio.ensure_future(websocket.receive())
        done, _ = await asyncio.wait([receiving], timeout=2)
        receiving.cancel()
        assert done
        assert isinstance(receiving.exception(), TimeoutError)
