"""How a client's WebSocket is opened: redirects, refusals, limits in time, and nothing left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.cancelling import WAYS
from support.frames import close, frame
from support.jumping import jumping
from support.opening import Reaching, Serve, ServerPeer, answer, reaching, switching
from support.peer import settle

from nbdriver import Request, WebSocketClosed
from nbdriver.client.cookies import new_jar
from nbdriver.errors import (
    InvalidResponse,
    InvalidURL,
    NetworkError,
    NetworkTimeout,
    TooManyRedirects,
    UpgradeRefused,
)
from nbdriver.wire.handshake import check

URL = "ws://bot.example/a/ws?x=1"


class Echo:
    """Accepts, and sends back what comes, until its client closes."""

    def __init__(self, *lines: str, behind: bytes = b"", **granted: Any) -> None:
        self._lines, self._behind, self._granted = lines, behind, granted
        self.request: Request

    async def __call__(self, peer: ServerPeer) -> None:
        self.request = await peer.accept(*self._lines, behind=self._behind, **self._granted)
        while (got := await peer.read_frame()).opcode != 8:
            peer.send_frame(got.payload, got.opcode, rsv=got.rsv)
        peer.send_close()
        peer.transport.close()


class Answers:
    """Gives an answer, and its connection goes on."""

    def __init__(self, data: bytes, *, end: bool = False) -> None:
        self._data, self._end = data, end
        self.request: Request

    async def __call__(self, peer: ServerPeer) -> None:
        self.request = await peer.asked()
        peer.send(self._data)
        if self._end:
            peer.transport.write_eof()


def redirect(location: str, status: int = 302) -> Answers:
    return Answers(answer(status, f"Location: {location}"))


# The opening.


@jumping
async def test_a_websocket_is_opened_used_and_closed() -> None:
    echo = Echo("Server: x", subprotocol="b")
    async with reaching(echo) as here:
        headers = [("X-Self-ID", "1")]
        async with here.open(
            URL, params={"y": 2}, headers=headers, subprotocols=["a", "b"]
        ) as websocket:
            await websocket.send("hello")
            assert await websocket.receive() == "hello"
            assert websocket.subprotocol == "b"
            assert websocket.response_headers.get("server") == "x"
            assert websocket.request.target == "/a/ws?x=1&y=2"
        assert websocket.closed
        assert echo.request.target == "/a/ws?x=1&y=2"
        assert echo.request.headers.get("host") == "bot.example"
        assert echo.request.headers.get("x-self-id") == "1"
        assert check(echo.request).subprotocols == ("a", "b")


@jumping
@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("ws://a", ("http", "a", 80)),
        ("wss://a/", ("https", "a", 443)),
        ("http://a:8080", ("http", "a", 8080)),
        ("https://[::1]", ("https", "::1", 443)),
    ],
)
async def test_any_scheme_of_http_or_websocket_is_one_of_a_websocket(
    url: str, origin: tuple[str, str, int]
) -> None:
    async with reaching(Echo()) as here, here.open(url):
        assert here.net.peers[0].route.origin == origin


@jumping
@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("ftp://a", {}),
        ("a", {}),
        (URL, {"headers": {"Upgrade": "x"}}),
        (URL, {"headers": {"A": "b\nc"}}),
        (URL, {"subprotocols": ["a b"]}),
        (URL, {"ping_interval": -1}),
        (URL, {"max_message": "many"}),
        (URL, {"timeout": -1}),
    ],
)
async def test_what_cannot_be_asked_is_a_value_error_and_nothing_is_connected(
    url: str, given: dict[str, Any]
) -> None:
    async with reaching() as here:
        with pytest.raises(ValueError, match="expected"):
            await here.open(url, **given).__aenter__()
        assert here.net.peers == []


@jumping
async def test_frames_in_the_segment_of_the_answer_are_delivered() -> None:
    behind = frame("one", key=None) + frame("two", key=None) + close(4001, "bye", key=None)

    async def serve(peer: ServerPeer) -> None:
        await peer.accept(behind=behind)
        peer.transport.write_eof()

    async with reaching(serve) as here, here.open(URL) as websocket:
        assert await websocket.receive() == "one"
        assert await websocket.receive() == "two"
        with pytest.raises(WebSocketClosed, match="4001: bye"):
            await websocket.receive()


@jumping
async def test_interim_answers_are_passed_over() -> None:
    async def serve(peer: ServerPeer) -> None:
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await peer.accept()

    async with reaching(serve) as here, here.open(URL, timeout=0.5):
        pass


@jumping
async def test_deflate_is_offered_if_the_settings_say_so() -> None:
    echo = Echo(deflate="permessage-deflate")
    async with reaching(echo, deflate=True) as here, here.open(URL) as websocket:
        await websocket.send("x" * 10_000)
        assert await websocket.receive() == "x" * 10_000
        assert here.net.peers[0].received == b""


@jumping
async def test_a_message_may_be_as_long_as_is_said_for_this_one() -> None:
    async with (
        reaching(Echo(), max_message=10) as here,
        here.open(URL, max_message=20) as websocket,
    ):
        await websocket.send("x" * 20)
        assert await websocket.receive() == "x" * 20
        await websocket.send("x" * 21)
        with pytest.raises(WebSocketClosed, match="1009"):
            await websocket.receive()


# Refusals.


@jumping
@pytest.mark.parametrize("status", [200, 204, 304, 401, 404, 426, 503, 999])
async def test_any_other_status_is_a_refusal_that_tells_why(status: int) -> None:
    body = b"" if status in (204, 304) else b"because"
    refusal = answer(status, "X-A: b", "X-A: c", body=body, reason="No Way")
    async with reaching(Answers(refusal), Echo()) as here:
        with pytest.raises(UpgradeRefused) as caught:
            await here.open(URL).__aenter__()
        error = caught.value
        assert (error.status_code, error.reason, error.body) == (status, "No Way", body)
        assert (
            str(error)
            == f"expected 101 Switching Protocols from ws://bot.example, got {status} No Way"
        )
        assert ("x-a", "b") in error.headers
        assert ("x-a", "c") in error.headers
        await settle()
        assert here.net.peers[0].lost
        async with here.open(URL):
            pass


@jumping
async def test_a_refusals_reason_leads_no_terminal_astray() -> None:
    async with reaching(Answers(answer(403, reason="a\x9b31m\tb"))) as here:
        with pytest.raises(UpgradeRefused) as caught:
            await here.open(URL).__aenter__()
        assert caught.value.reason == "a\x9b31m\tb"
        assert str(caught.value).endswith(r"got 403 a\x9b31m\tb")


@jumping
async def test_of_a_refusals_body_no_more_is_taken_than_its_error_shows() -> None:
    async def serve(peer: ServerPeer) -> None:
        await peer.asked()
        peer.send(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not peer.lost:
            peer.send(b"3e8\r\n" + b"x" * 1_000 + b"\r\n")
            await settle()

    async with reaching(serve) as here:
        with pytest.raises(UpgradeRefused) as caught:
            await here.open(URL).__aenter__()
        assert caught.value.body == b"x" * 4_096


@jumping
async def test_a_refusals_content_coding_is_left_alone() -> None:
    refusal = answer(403, "Content-Encoding: gzip", body=b"\x1f\x8bnot gzip at all")
    async with reaching(Answers(refusal)) as here:
        with pytest.raises(UpgradeRefused) as caught:
            await here.open(URL).__aenter__()
        assert caught.value.body == b"\x1f\x8bnot gzip at all"


@jumping
@pytest.mark.parametrize("end", ["stalls", "ends early", "is lost", "is out of shape"])
async def test_a_refusal_is_one_though_its_body_never_ends(end: str) -> None:
    async def serve(peer: ServerPeer) -> None:
        await peer.asked()
        if end == "is out of shape":
            peer.send(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXX")
        else:
            peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nab")
        await settle()
        if end == "ends early":
            peer.transport.write_eof()
        elif end == "is lost":
            peer.transport.abort()

    async with reaching(serve) as here:
        with pytest.raises(UpgradeRefused) as caught:
            await here.open(URL).__aenter__()
        assert caught.value.status_code == 403
        assert caught.value.body == (b"" if end == "is out of shape" else b"ab")


@jumping
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "got nothing but the connection's end"),
        (b"HTTP/1.1 101 Sw", "only a part of it"),
        (b"220 Hello\r\n\r\n", "expected .HTTP/1.1. and a status"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "expected Upgrade: websocket, got none"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "got both"),
        (b"HTTP/2.0 101 Switching Protocols\r\n\r\n", "HTTP/2.0"),
        (b"HTTP/1.1 101 x\r\nA: " + b"x" * 70_000, "at most 65536 bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, "interim"),
    ],
)
async def test_an_answer_that_is_none_is_invalid(data: bytes, words: str) -> None:
    async with reaching(Answers(data, end=True), Echo()) as here:
        with pytest.raises(InvalidResponse, match=rf"^bot\.example: .*{words}"):
            await here.open(URL).__aenter__()
        await settle()
        assert here.net.peers[0].lost
        async with here.open(URL):
            pass


@jumping
async def test_a_101_that_grants_what_was_not_asked_for_is_invalid() -> None:
    async def serve(peer: ServerPeer) -> None:
        opening = check(await peer.asked())
        line = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"
        peer.send(switching(opening, line))

    async with reaching(serve, deflate=True) as here:
        with pytest.raises(InvalidResponse, match="expected a number from 8 to 15"):
            await here.open(URL).__aenter__()
        await settle()
        assert here.net.peers[0].lost


@jumping
async def test_a_connection_that_is_lost_before_its_answer_is_a_network_error() -> None:
    async def serve(peer: ServerPeer) -> None:
        await peer.asked()
        peer.transport.abort()

    async with reaching(serve) as here:
        with pytest.raises(NetworkError, match=r"from bot\.example, but the connection was lost"):
            await here.open(URL).__aenter__()


# Redirects.


@jumping
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "origin", "target"),
    [
        ("/b", ("http", "bot.example", 80), "/b"),
        ("?z", ("http", "bot.example", 80), "/a/ws?z"),
        ("ws://other/", ("http", "other", 80), "/"),
        ("wss://other:8443/c", ("https", "other", 8443), "/c"),
        ("https://other/c", ("https", "other", 443), "/c"),
        ("//other/c", ("http", "other", 80), "/c"),
    ],
)
async def test_an_answer_that_leads_on_is_followed(
    status: int, location: str, origin: tuple[str, str, int], target: str
) -> None:
    echo = Echo()
    async with reaching(redirect(location, status), echo) as here:
        async with here.open(URL) as websocket:
            await websocket.send("hello")
            assert await websocket.receive() == "hello"
        assert here.net.peers[0].lost
        assert here.net.peers[1].route.origin == origin
        assert (echo.request.method, echo.request.target) == ("GET", target)
        assert websocket.request.target == target


@jumping
async def test_each_try_has_a_key_of_its_own() -> None:
    first, echo = redirect("/b"), Echo()
    async with reaching(first, echo) as here, here.open(URL):
        keys = {each.request.headers.get("sec-websocket-key") for each in (first, echo)}
        assert len(keys) == 2


@jumping
@pytest.mark.parametrize(
    ("start", "location"),
    [("ws://a/", "ws://b/"), ("wss://a/", "ws://a/"), ("ws://a/", "ws://a:81/")],
)
async def test_credentials_do_not_go_to_another_origin(start: str, location: str) -> None:
    first, echo = redirect(location), Echo()
    secrets = {"Authorization": "Bearer x", "Cookie": "a=b"}
    async with reaching(first, echo) as here:
        async with here.open(start, headers={**secrets, "X-A": "b"}):
            pass
        assert first.request.headers.get("authorization") == "Bearer x"
        assert not {"authorization", "cookie"} & echo.request.headers.joined().keys()
        assert echo.request.headers.get("x-a") == "b"


@jumping
async def test_who_asks_is_told_as_in_any_request() -> None:
    echo = Echo()
    async with reaching(echo) as here:
        async with here.open("ws://me:secret@a/", cookies={"a": "b"}) as websocket:
            assert "secret" not in str(websocket)
        headers = echo.request.headers
        assert headers.get("authorization") == "Basic bWU6c2VjcmV0"
        assert headers.get("cookie") == "a=b"
        assert (headers.get("user-agent") or "").startswith("nbdriver/")
        assert "accept-encoding" not in headers  # a refusal's body is shown as it comes


@jumping
async def test_every_answer_may_set_cookies_and_the_next_request_has_them() -> None:
    line = "Set-Cookie: {}; Path=/"
    servers = [
        Answers(answer(302, "Location: /b", line.format("a=1"))),
        Answers(answer(403, line.format("b=2"))),
        Echo(line.format("c=3")),
        Echo(),
        Echo(),
    ]
    async with reaching(*servers) as here:
        with pytest.raises(UpgradeRefused):
            await here.open(URL).__aenter__()
        for _ in range(2):
            async with here.open(URL):
                pass
        async with here.open(URL, jar=new_jar()):
            pass
        sent = [server.request.headers.get("cookie") for server in servers]
        assert sent == [None, "a=1", "a=1; b=2", "a=1; b=2; c=3", None]


@jumping
async def test_there_is_a_bound_on_redirects() -> None:
    servers = [redirect(f"/{number}") for number in range(21)]
    async with reaching(*servers, Echo()) as here:
        with pytest.raises(TooManyRedirects, match="expected at most 20 redirects"):
            await here.open(URL).__aenter__()
        async with here.open(URL):
            pass
    servers = [redirect(f"/{number}") for number in range(20)]
    async with reaching(*servers, Echo()) as here, here.open(URL):
        pass


@jumping
async def test_redirects_that_are_not_followed_are_refusals() -> None:
    async with reaching(redirect("/b"), redirect("/b"), follow_redirects=False) as here:
        for given in ({}, {"follow_redirects": False}):
            with pytest.raises(UpgradeRefused) as caught:
                await here.open(URL, **given).__aenter__()
            assert caught.value.status_code == 302
            assert ("location", "/b") in caught.value.headers


@jumping
async def test_no_redirects_at_all_are_too_many_if_they_are_to_be_followed() -> None:
    async with reaching(redirect("/b"), max_redirects=0) as here:
        with pytest.raises(TooManyRedirects, match="expected at most 0 redirects"):
            await here.open(URL).__aenter__()


@jumping
async def test_a_redirect_to_nowhere_is_a_refusal() -> None:
    async with reaching(Answers(answer(302))) as here:
        with pytest.raises(UpgradeRefused):
            await here.open(URL).__aenter__()


@jumping
@pytest.mark.parametrize("location", ["ftp://a/", "http://", "ws://a b/"])
async def test_a_redirect_to_what_is_no_url_of_ours_is_an_error(location: str) -> None:
    async with reaching(redirect(location)) as here:
        with pytest.raises((InvalidResponse, InvalidURL)):
            await here.open(URL).__aenter__()


# Time.


@jumping
@pytest.mark.parametrize(("limit", "doing"), [("connect", "for a connection to bot.example")])
async def test_the_connection_has_its_limit(limit: str, doing: str) -> None:
    async with reaching() as here:
        here.net.delay = 100
        began = asyncio.get_running_loop().time()
        with pytest.raises(NetworkTimeout, match=doing) as caught:
            await here.open(URL, timeout=3).__aenter__()
        assert (caught.value.limit, caught.value.seconds) == (limit, 3)
        assert asyncio.get_running_loop().time() - began == pytest.approx(3)


async def says_nothing(peer: ServerPeer) -> None:
    await peer.asked()


@jumping
async def test_each_wait_for_the_answer_has_its_limit() -> None:
    async def drips(peer: ServerPeer) -> None:
        await peer.asked()
        for byte in b"HTTP/1.1 101 Sw":
            peer.send(bytes([byte]))
            await asyncio.sleep(2)

    async with reaching(drips) as here:
        began = asyncio.get_running_loop().time()
        with pytest.raises(NetworkTimeout, match="for an answer from bot") as caught:
            await here.open(URL, timeout=3).__aenter__()
        assert caught.value.limit == "read"
        # Since the last of the bytes; the last sleep is the server's own.
        assert asyncio.get_running_loop().time() - began == pytest.approx(14 * 2 + 3)


@jumping
async def test_the_opening_as_a_whole_has_its_limit_redirects_included() -> None:
    async def slow(peer: ServerPeer) -> None:
        await peer.asked()
        await asyncio.sleep(2)
        peer.send(answer(302, "Location: /"))

    async with reaching(slow, slow, slow) as here:
        timeouts = here.settings.timeouts.replace(total=5)
        began = asyncio.get_running_loop().time()
        with pytest.raises(NetworkTimeout, match=r"for a WebSocket of bot\.example to") as caught:
            await here.open(URL, timeout=timeouts).__aenter__()
        assert (caught.value.limit, caught.value.seconds) == ("total", 5)
        assert asyncio.get_running_loop().time() - began == pytest.approx(5)


@jumping
async def test_no_error_tells_a_token() -> None:
    url = "ws://me:secret@bot.example/secret?access_token=secret&ticket=secret"
    leads = redirect("/secret?ticket=secret")
    async with reaching(says_nothing, says_nothing, leads, leads, max_redirects=1) as here:
        for given in (
            {"timeout": 1},
            {"timeout": here.settings.timeouts.replace(total=1)},
            {},
        ):
            with pytest.raises(NetworkError) as caught:
                await here.open(url, **given).__aenter__()
            assert "bot.example" in str(caught.value)
            assert "secret" not in str(caught.value)


@jumping
async def test_no_limit_of_the_opening_goes_on_once_it_is_open() -> None:
    async with reaching(Echo(), ping_interval=None) as here:
        timeouts = here.settings.timeouts.replace(total=5, connect=1, read=1)
        async with here.open(URL, timeout=timeouts) as websocket:
            await asyncio.sleep(8)
            await websocket.send("hello")
            assert await websocket.receive() == "hello"


@jumping
async def test_none_is_no_limit_and_0_is_over_at_once() -> None:
    async def late(peer: ServerPeer) -> None:
        await asyncio.sleep(10_000)
        await Echo()(peer)

    async with reaching(late, late) as here:
        async with here.open(URL, timeout=None):
            pass
        with pytest.raises(NetworkTimeout):
            await here.open(URL, timeout=0).__aenter__()


# Pings.


@jumping
async def test_a_server_that_vanishes_is_noticed_by_pings() -> None:
    async def vanishes(peer: ServerPeer) -> None:
        await peer.accept()
        await asyncio.sleep(1_000)

    async with reaching(vanishes, ping_interval=None) as here:
        began = asyncio.get_running_loop().time()
        async with here.open(URL, ping_interval=7, ping_timeout=5) as websocket:
            with pytest.raises(WebSocketClosed, match=r"1006: no pong came within 5\.0 s"):
                await websocket.receive()
            assert 12 <= asyncio.get_running_loop().time() - began <= 12.5


@jumping
async def test_pings_are_the_clients_unless_this_one_says_otherwise() -> None:
    async def counts(peer: ServerPeer) -> None:
        await peer.accept()
        while (got := await peer.read_frame()).opcode != 8:
            pinged.append(got.opcode)
            peer.send_frame(got.payload, 10)
        peer.send_close()

    async with reaching(counts, counts, ping_interval=2) as here:
        for given, expected in (({}, [9, 9, 9]), ({"ping_interval": None}, [])):
            pinged: list[int] = []
            async with here.open(URL, **given):
                await asyncio.sleep(7)
            assert pinged == expected


# The end.


@jumping
async def test_the_code_that_the_server_is_told_is_that_of_how_the_block_is_left() -> None:
    told = []

    async def serve(peer: ServerPeer) -> None:
        await peer.accept()
        told.append(await peer.read_close())
        peer.send_close()

    async with reaching(*[serve] * 3) as here:
        async with here.open(URL):
            pass
        with pytest.raises(RuntimeError, match="mine"):
            async with here.open(URL):
                raise RuntimeError("mine")

        async def wait() -> None:
            async with here.open(URL) as websocket:
                await websocket.receive()

        task = asyncio.create_task(wait())
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()
        assert told == [(1000, ""), (1011, ""), (1001, "")]


@jumping
async def test_when_the_client_is_left_its_websockets_are_told_1001() -> None:
    closed = []

    async def use(here: Reaching) -> None:
        async with here.open(URL) as websocket:
            try:
                await websocket.receive()
            except WebSocketClosed as error:
                closed.append(error.code)

    async def answers(peer: ServerPeer) -> None:
        await peer.accept()
        code, _ = await peer.read_close()
        assert code == 1001
        peer.send_close(code)

    async def never_answers(peer: ServerPeer) -> None:
        await peer.accept()
        await asyncio.sleep(1_000)

    async with reaching(answers, never_answers, answers) as here:
        users = [asyncio.create_task(use(here)) for _ in range(3)]
        await settle()
        began = asyncio.get_running_loop().time()
        await here.websockets.close()
        assert asyncio.get_running_loop().time() - began == pytest.approx(10)
        await asyncio.gather(*users)
        assert sorted(closed) == [1001, 1001, 1006]


@jumping
async def test_an_opening_of_a_client_that_is_left_meanwhile_is_given_up_at_once() -> None:
    async with reaching(says_nothing) as here:
        loop = asyncio.get_running_loop()
        began = loop.time()
        opening = asyncio.create_task(here.open(URL).__aenter__())
        await settle()
        await here.websockets.close()
        with pytest.raises(NetworkError, match="the client was closed while a WebSocket of bot"):
            await opening
        assert loop.time() == began
        await settle()
        assert here.net.peers[0].lost


@jumping
async def test_an_opening_that_was_over_when_the_client_was_left_is_told_1001() -> None:
    told = []

    async def accepts(peer: ServerPeer) -> None:
        await peer.accept()
        told.append(await peer.read_close())
        peer.send_close()

    for turns in range(25):
        async with reaching(accepts) as here:
            opening = asyncio.create_task(here.open(URL).__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            await here.websockets.close()
            await asyncio.wait([opening])
            if opening.exception() is None:
                await opening.result().leave()
            else:
                assert isinstance(opening.exception(), NetworkError)
            await settle()
            assert all(peer.lost or peer.eof for peer in here.net.peers)
    assert set(told) == {(1001, "")}


@jumping
@pytest.mark.parametrize("limit", ["total", "somebody else's"])
async def test_a_limit_that_is_over_before_the_client_is_left_is_told_as_that(limit: str) -> None:
    async with reaching(says_nothing) as here:
        timeouts = here.settings.timeouts.replace(total=1 if limit == "total" else None)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(None if limit == "total" else 1):
                await here.open(URL, timeout=timeouts).__aenter__()
        assert isinstance(caught.value, NetworkTimeout) is (limit == "total")


# Cancellation.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("server", ["opens", "refuses", "redirects", "says nothing"])
@jumping
async def test_an_opening_that_is_cancelled_anywhere_leaves_nothing(way: str, server: str) -> None:
    servers: dict[str, list[Serve]] = {
        "opens": [Echo()],
        "refuses": [Answers(answer(403, body=b"no"))],
        "redirects": [redirect("/b"), Echo()],
        "says nothing": [says_nothing],
    }

    async def use(here: Reaching) -> None:
        async with here.open(URL) as websocket:
            await websocket.send("hello")
            assert await websocket.receive() == "hello"

    for number in range(1, 200 if way == "at await" else 30):
        async with reaching(*servers[server]) as here:
            here.net.delay = 0.1
            outcome = await WAYS[way](use(here), number)
            ends = UpgradeRefused | NetworkTimeout | asyncio.CancelledError | None
            assert isinstance(outcome.error, ends)
            await settle()
            assert all(peer.lost or peer.eof for peer in here.net.peers)
            here.net.servers[:] = [Echo()]
            await use(here)
        if way == "at await" and not outcome.reached:
            return
    assert way == "after turns"


@jumping
async def test_frames_of_ours_are_masked_each_with_a_key_of_its_own() -> None:
    """RFC 6455, 5.1 and 5.3: so that no page can make us send bytes of its choice."""
    echo = Echo()
    async with reaching(echo) as here, here.open(URL) as websocket:
        (peer,) = here.net.peers
        keys = set()
        peer.transport.pause_reading()
        for _ in range(100):
            await websocket.send("x" * 4)
        wire = bytes(websocket._stream._transport._buffer)
        assert len(wire) == 1_000
        for start in range(0, 1_000, 10):
            assert wire[start : start + 2] == b"\x81\x84"
            keys.add(wire[start + 2 : start + 6])
        assert len(keys) == 100
        peer.transport.resume_reading()
        for _ in range(100):
            assert await websocket.receive() == "x" * 4
