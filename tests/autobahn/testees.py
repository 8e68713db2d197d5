"""What is tested: a server and a client of ours that send each message back as it came.

Both with permessage-deflate and with every limit as it is by default. A client for people to use
comes later; here the opening handshake is put together from the pieces that it will have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
from support.lanes import LANES

from nbdriver import Headers, Request, Response, WebSocketClosed, abc
from nbdriver.config import ServerConfig
from nbdriver.errors import ConnectionLost, ProtocolViolation
from nbdriver.net.clock import Clock, LoopClock
from nbdriver.net.server import Server
from nbdriver.net.stream import Stream, StreamLimits
from nbdriver.net.websocket import WebSocketConnection, WebSocketLimits
from nbdriver.wire import extensions
from nbdriver.wire.closing import PROTOCOL_ERROR
from nbdriver.wire.deflate import DeflateSettings
from nbdriver.wire.handshake import check_response, new_opening, request_headers
from nbdriver.wire.session import Session

HOST = "127.0.0.1"


async def send_back(websocket: abc.WebSocketConnection) -> None:
    """Echo every message; returns when the connection has ended."""
    try:
        while True:
            await websocket.send(await websocket.receive())
    except WebSocketClosed:
        pass


class Echo(abc.Application):
    """The server's side."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        yield

    async def handle_http(self, request: Request) -> Response:
        return Response(204)

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        await websocket.accept()
        await send_back(websocket)

    async def drain(self) -> None:
        pass


def echo_server(lane: str = LANES[0]) -> Server:
    """A server that listens on a free port of the loopback address."""
    fast = lane == LANES[0]
    config = ServerConfig(host=HOST, port=0, deflate=True, access_log=False, fast_lane=fast)
    return Server(Echo(), config)


class _Handshake:
    """A client's opening handshake: asks, and gives way to the WebSocket once it is answered."""

    def __init__(self, stream: Stream, clock: Clock, host: str, target: str, lane: str) -> None:
        self._stream = stream
        self._clock = clock
        self._limits = WebSocketLimits(fast_lane=lane == LANES[0])
        self._http = h11.Connection(h11.CLIENT)
        self._settings = DeflateSettings()
        self._opening = new_opening(deflate_offer=extensions.offer(self._settings))
        headers = request_headers(self._opening, host)
        self._request = Request("GET", target, Headers(headers))
        self.websocket: asyncio.Future[WebSocketConnection]
        self.websocket = asyncio.get_running_loop().create_future()
        asked = self._http.send(h11.Request(method="GET", target=target, headers=headers))
        assert asked is not None
        stream.write(asked)

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        try:
            answer = self._http.next_event()
            if answer is h11.NEED_DATA:
                return
            assert isinstance(answer, h11.InformationalResponse | h11.Response)
            self._open(answer)
        except h11.RemoteProtocolError as error:
            self._fail(ProtocolViolation(PROTOCOL_ERROR, str(error)))
        except ProtocolViolation as error:
            self._fail(error)

    def _open(self, answer: h11.InformationalResponse | h11.Response) -> None:
        headers = Headers(
            [(name.decode(), value.decode("latin-1")) for name, value in answer.headers]
        )
        accepted = check_response(answer.status_code, headers, self._opening)
        agreed = accepted.extensions
        extension = None if agreed is None else extensions.accept(agreed, self._settings)
        limits = self._limits
        websocket = WebSocketConnection(
            self._stream,
            self._request,
            self._clock,
            limits,
            session=Session(
                limits.frames, client=True, extension=extension, fast_lane=limits.fast_lane
            ),
        )
        self._stream.push(websocket)
        self.websocket.set_result(websocket)
        # What came together with the answer are frames.
        websocket.data_received(self._http.trailing_data[0])

    def _fail(self, error: Exception) -> None:
        self.websocket.set_exception(error)
        self._stream.abort()

    def eof_received(self) -> None:
        self._fail(ConnectionLost("expected an answer to the opening handshake, got the end"))

    def connection_lost(self) -> None:
        if not self.websocket.done():
            self._fail(ConnectionLost("expected an answer to the opening handshake, it was lost"))


@asynccontextmanager
async def connected(
    port: int, target: str, lane: str = LANES[0]
) -> AsyncIterator[WebSocketConnection]:
    """A WebSocket of ours as a client; at the end of the block the connection is gone.

    Raises OSError, ConnectionLost and ProtocolViolation.
    """
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop)
    handshakes: list[_Handshake] = []
    lost = asyncio.Event()

    def begin(stream: Stream) -> _Handshake:
        handshakes.append(_Handshake(stream, clock, f"{HOST}:{port}", target, lane))
        return handshakes[0]

    await loop.create_connection(
        lambda: Stream(begin, lambda _: lost.set(), clock, StreamLimits()), HOST, port
    )
    try:
        websocket = await handshakes[0].websocket
        try:
            yield websocket
        finally:
            await websocket.close()
    finally:
        await lost.wait()
        clock.stop()


async def echo_client(port: int, target: str, lane: str = LANES[0]) -> None:
    """Connect, and echo until the server ends it."""
    async with connected(port, target, lane) as websocket:
        await send_back(websocket)
