"""From an HTTP request to a WebSocket: what both do together, for clients not written by us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.frames import PING, PONG, TEXT, Frame, close, frame, read_frames
from support.memory import connect
from support.peer import Peer, settle
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame as TheirFrame
from websockets.uri import parse_uri
from wsproto import ConnectionType, WSConnection
from wsproto import events as wsproto_events
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate

from nbdriver import Request, Response, WebSocketClosed, abc
from nbdriver.net.clock import VirtualClock
from nbdriver.net.context import Context
from nbdriver.net.http11 import HTTPConnection
from nbdriver.net.stream import Stream, StreamLimits
from nbdriver.net.tasks import Tasks
from nbdriver.wire.deflate import DeflateSettings

UPGRADE = (
    b"GET /a/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


class Echo(abc.Application):
    """Sends each message back, once `gate` lets it accept; keeps how each WebSocket ended."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0
        self.ended: list[str] = []

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        yield

    async def handle_http(self, request: Request) -> Response:
        return Response(204)

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        self.asked += 1
        await self.gate.wait()
        try:
            await websocket.accept()
            while True:
                await websocket.send(await websocket.receive())
        except WebSocketClosed as error:
            self.ended.append(str(error))

    async def drain(self) -> None:
        pass


class Served(Peer):
    """The other end of a connection that `echo` serves."""

    def __init__(self, deflate: DeflateSettings | None = None) -> None:
        super().__init__()
        self.echo = Echo()
        context = Context(
            application=self.echo, clock=VirtualClock(), tasks=Tasks(), deflate=deflate
        )
        stream = Stream(
            lambda stream: HTTPConnection(stream, context),
            lambda stream: None,
            context.clock,
            StreamLimits(),
        )
        connect(stream, self)

    async def answer(self, data: bytes) -> bytes:
        """Send, and take all that comes back."""
        self.send(data)
        await settle()
        taken = bytes(self.received)
        self.received.clear()
        return taken


@pytest.mark.parametrize("early", [True, False], ids=["before accept", "after accept"])
@pytest.mark.parametrize("pieces", [1, 1_000])
async def test_frames_that_come_with_the_upgrade_request_are_not_lost(
    early: bool, pieces: int
) -> None:
    served = Served()
    if early:
        served.echo.gate.clear()
    wire = UPGRADE + b"\r\n" + frame("one") + frame("?", PING) + frame("two") + close(4000, "bye")
    size = -(-len(wire) // pieces)
    for start in range(0, len(wire), size):
        served.send(wire[start : start + size])
        await asyncio.sleep(0)
    await settle()
    served.echo.gate.set()
    assert (await served.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    frames = read_frames(await served.read_to_end())
    assert sorted(frames[:-1]) == [
        Frame(TEXT, b"one"),
        Frame(TEXT, b"two"),
        Frame(PONG, b"?"),
    ]
    assert frames[-1].payload == b"\x0f\xa0bye"
    assert served.echo.ended == ["the WebSocket is closed: 4000: bye"]


async def test_a_client_that_leaves_before_it_is_accepted_is_noticed() -> None:
    served = Served()
    served.echo.gate.clear()
    served.send(UPGRADE + b"\r\n")
    await settle()
    served.transport.close()
    await settle()
    served.echo.gate.set()
    await settle()
    assert served.echo.ended == [
        "the WebSocket is closed: 1006: the peer ended the connection without a Close"
    ]
    assert not served.received


async def answer_and_leave(served: Served, request: bytes) -> str:
    """The answer in lower case, since so are the names of headers."""
    answer = (await served.answer(request)).decode().lower()
    served.transport.abort()
    await settle()
    return answer


KEY_LINE = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
WRONG = {
    "a key that is none": (400, [(b"dGhlIHNhbXBsZSBub25jZQ==", b"x")]),
    "two keys": (400, [(KEY_LINE, 2 * KEY_LINE)]),
    "no key": (400, [(KEY_LINE, b"")]),
    "another version": (426, [(b"Version: 13", b"Version: 8")]),
    "two versions": (426, [(b"Version: 13", b"Version: 13, 8")]),
    "HTTP/1.0": (400, [(b"HTTP/1.1", b"HTTP/1.0")]),
    "another method": (405, [(b"GET", b"POST")]),
    "a body": (400, [(b"Host: a", b"Host: a\r\nContent-Length: 5")]),
    "a body in chunks": (400, [(b"Host: a", b"Host: a\r\nTransfer-Encoding: chunked")]),
    "Host beyond ASCII": (400, [(b"Host: a", b"Host: b\xf6t")]),
    "Connection beyond ASCII": (400, [(b": Upgrade", b": Upgrade, \xe9")]),
    "a subprotocol beyond ASCII": (400, [(b"Host: a", b"Host: a\r\nSec-WebSocket-Protocol: \xff")]),
}


@pytest.mark.parametrize(("status", "changes"), WRONG.values(), ids=WRONG)
async def test_a_handshake_that_is_wrong_is_refused_by_status_and_harms_no_other(
    status: int, changes: list[tuple[bytes, bytes]]
) -> None:
    served = Served()
    request = UPGRADE + b"\r\n"
    for right, wrong in changes:
        assert request.count(right) == 1
        request = request.replace(right, wrong)
    answer = await answer_and_leave(served, request)
    assert answer.startswith(f"http/1.1 {status} ")
    assert ("sec-websocket-version: 13\r\n" in answer) is (status == 426)
    assert served.echo.asked == 0
    assert (await answer_and_leave(Served(), UPGRADE + b"\r\n")).startswith("http/1.1 101 ")


async def test_several_connection_lines_open_like_one() -> None:
    lines = UPGRADE.replace(b"Connection:", b"Connection: keep-alive\r\nConnection:")
    assert (await answer_and_leave(Served(), lines + b"\r\n")).startswith("http/1.1 101 ")


@pytest.mark.parametrize(
    ("offer", "granted"),
    [
        ("client_max_window_bits=abc", None),
        ("client_max_window_bits=99", None),
        ('client_max_window_bits="10"', "client_max_window_bits=10"),
    ],
)
async def test_window_bits_are_granted_or_declined_whatever_they_are(
    offer: str, granted: str | None
) -> None:
    """CVE-2026-2229."""
    header = f"Sec-WebSocket-Extensions: permessage-deflate; {offer}\r\n\r\n"
    answer = await answer_and_leave(Served(DeflateSettings()), UPGRADE + header.encode())
    assert answer.startswith("http/1.1 101 ")
    assert ("permessage-deflate" in answer) is (granted is not None)
    assert (granted or "") in answer


@pytest.mark.parametrize(
    "value", ["permessage-deflate;", "=", "a b", '"', "permessage-deflate\xe9"]
)
async def test_an_extension_header_out_of_shape_is_400_before_the_application_is_asked(
    value: str,
) -> None:
    served = Served(DeflateSettings())
    header = f"Sec-WebSocket-Extensions: {value}\r\n\r\n".encode("latin-1")
    served.send(UPGRADE + header)
    answer = await served.read_to_end()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Sec-WebSocket-Extensions" in answer
    assert served.echo.asked == 0


@pytest.mark.parametrize(
    ("options", "compressed"),
    [(DeflateSettings(threshold=0), True), (DeflateSettings(), True), (None, False)],
)
async def test_websockets_as_a_client_talks_to_us(
    options: DeflateSettings | None, compressed: bool
) -> None:
    served = Served(options)
    theirs = ClientProtocol(
        parse_uri("ws://a/a/ws"),
        extensions=[ClientPerMessageDeflateFactory(client_max_window_bits=True)],
    )
    theirs.send_request(theirs.connect())
    theirs.receive_data(await served.answer(b"".join(theirs.data_to_send())))
    assert theirs.handshake_exc is None
    assert bool(theirs.extensions) is compressed
    messages = ["hello", "hello" * 100, "你好" * 1_000, "", "hello" * 100]
    for message in messages:
        theirs.send_text(message.encode())
        theirs.send_ping(b"?")
    theirs.receive_data(await served.answer(b"".join(theirs.data_to_send())))
    _, *events = theirs.events_received()
    echoed = [
        bytes(each.data).decode()
        for each in events
        if isinstance(each, TheirFrame) and each.opcode == TEXT
    ]
    assert echoed == messages
    theirs.send_close(1000, "bye")
    theirs.receive_data(await served.answer(b"".join(theirs.data_to_send())))
    theirs.receive_eof()
    assert (theirs.close_code, theirs.close_reason) == (1000, "bye")
    assert served.echo.ended == ["the WebSocket is closed: 1000: bye"]


async def test_wsproto_as_a_client_talks_to_us() -> None:
    served = Served(DeflateSettings(threshold=0))
    theirs = WSConnection(ConnectionType.CLIENT)
    request = wsproto_events.Request(host="a", target="/a/ws", extensions=[WsprotoDeflate()])
    theirs.receive_data(await served.answer(theirs.send(request)))
    (accepted,) = theirs.events()
    assert isinstance(accepted, wsproto_events.AcceptConnection)
    assert [extension.name for extension in accepted.extensions] == ["permessage-deflate"]
    for message in ("hello", "hello", "你好"):
        theirs.receive_data(await served.answer(theirs.send(wsproto_events.TextMessage(message))))
        (echo,) = theirs.events()
        assert isinstance(echo, wsproto_events.TextMessage)
        assert echo.data == message
    closing = wsproto_events.CloseConnection(1000, "bye")
    theirs.receive_data(await served.answer(theirs.send(closing)))
    assert list(theirs.events()) == [closing]
