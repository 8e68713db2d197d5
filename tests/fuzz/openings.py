"""A client's WebSocket from its opening to its end, and what has to hold whatever a server sends.

The properties and `make fuzz` come through here, as through `conversation` those of a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.opening import Reaching, ServerPeer, switching
from websockets.extensions.permessage_deflate import PerMessageDeflate as TheirDeflate
from websockets.protocol import SERVER, Protocol

from nbdriver.client.websocket import ClientWebSocket
from nbdriver.errors import NetworkError, WebSocketClosed
from nbdriver.wire.deflate import DeflateSettings
from nbdriver.wire.handshake import check

from .conversation import (
    READ,
    Act,
    a_step_happens,
    everything_happens,
    held,
    nothing_goes_wrong,
    run,
)
from .sessions import FAST, read_by_websockets, websockets_inflates_otherwise

URL = "ws://bot/a/ws"
REDIRECTS = 2
MAX_HEAD, MAX_MESSAGE, MAX_PARKED = 2_000, 1_500, 4_000
#: Bytes that a connection may hold: its objects, what the limits let it, and a read.
BOUND = 10_000 + 2 * (MAX_HEAD + MAX_MESSAGE + MAX_PARKED + READ)
#: What servers answer that open nothing, for fuzzing to begin with.
ANSWERS = [
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 401 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: ws://other/b?c\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody",
    b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00",
]
DEFLATE = DeflateSettings(max_message=MAX_MESSAGE, threshold=16)


@dataclass
class Course:
    """What came of it for whoever opened it."""

    opened: bool = False
    error: NetworkError | None = None
    """Why it was not opened."""
    messages: list[str | bytes] = field(default_factory=list)
    closed: tuple[int, str] | None = None
    sent: bytes = b""
    """What the server got behind the opening."""


def open_to(
    pieces: Sequence[bytes], *, right: bool, deflate: bool = False, end: Act | None = None
) -> Course:
    """Open a WebSocket to a server that answers with `pieces`, and echo until it has ended.

    If it is `right`, the answer is a 101 that opens, and the pieces are what follows it; the first
    comes in the same segment. See that nothing goes wrong and nothing is left, and that websockets
    reads what we read, and what we write.
    """
    course = run(_open_to(pieces, right=right, deflate=deflate, end=end))
    _judge(course, b"".join(pieces), right=right, deflate=deflate, end=end)
    return course


async def _open_to(
    pieces: Sequence[bytes], *, right: bool, deflate: bool, end: Act | None
) -> Course:
    course, before = Course(), asyncio.all_tasks()

    async def serve(peer: ServerPeer) -> None:
        opening = check(await peer.asked())
        first, *others = [*pieces] or [b""]
        if right:
            granted = "permessage-deflate" if deflate else None
            first = switching(opening, deflate=granted) + first
        for piece in (first, *others):
            if not peer.lost:
                peer.send(piece)
                await a_step_happens()
            assert held(here.net.channels[-1].stream) <= BOUND
        if end is Act.END and not peer.lost:
            peer.transport.write_eof()
        elif end is Act.RESET:
            peer.transport.abort()

    async def serve_well(peer: ServerPeer) -> None:
        await peer.accept()
        assert await peer.read_close() == (1000, "")
        peer.send_close()

    with nothing_goes_wrong():
        here = Reaching(
            *[serve] * (REDIRECTS + 1),
            max_redirects=REDIRECTS,
            max_head=MAX_HEAD,
            max_message=MAX_MESSAGE,
            max_fragments=16,
            max_parked=MAX_PARKED,
            deflate=DEFLATE if deflate else False,
            fast_lane=FAST,
        )
        here.net.read = READ
        try:
            async with here.open(URL) as websocket:
                course.opened = True
                await _echo(websocket, course)
        except NetworkError as error:
            course.error = error
        await everything_happens()
        course.sent = bytes(here.net.peers[-1].received)
        await here.net.end()
        await everything_happens()
        assert asyncio.all_tasks() == before
        assert here.clock.pending == 0
        here.net.servers[:] = [serve_well]
        async with here.open(URL):
            pass
        await here.net.end()
        await everything_happens()
        assert asyncio.all_tasks() == before
        assert here.clock.pending == 0
    return course


async def _echo(websocket: ClientWebSocket, course: Course) -> None:
    try:
        while True:
            message = await websocket.receive()
            course.messages.append(message)
            await websocket.send(message)
    except WebSocketClosed as closed:
        course.closed = closed.code, closed.reason


def _judge(course: Course, data: bytes, *, right: bool, deflate: bool, end: Act | None) -> None:
    assert course.opened == right, "a 101 opens if it answers the very key that was sent"
    if not right:
        assert course.error is not None
        assert str(course.error).isprintable()
        return
    assert course.closed is not None
    if not (deflate and websockets_inflates_otherwise(data)):
        theirs = read_by_websockets(data, client=True, deflate=deflate)
        assert theirs.messages[: len(course.messages)] == course.messages
    _judge_sent(course, deflate=deflate)


def _judge_sent(course: Course, *, deflate: bool) -> None:
    """What we send is what a server may be sent: masked, in order, and each message once."""
    protocol = Protocol(SERVER, max_size=None)
    if deflate:
        protocol.extensions = [TheirDeflate(False, False, 15, 15)]
    protocol.receive_data(course.sent)
    assert protocol.parser_exc is None, protocol.parser_exc
    echoed = [
        frame.data.decode() if frame.opcode == 1 else bytes(frame.data)
        for frame in protocol.events_received()
        if frame.opcode in (1, 2)
    ]
    assert echoed == course.messages[: len(echoed)]
    assert len(echoed) >= len(course.messages) - 1
