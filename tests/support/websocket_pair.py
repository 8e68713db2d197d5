"""A WebSocket under test and its other end, which speaks frames; between them only memory."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from nbdriver import Headers, HTTPError, Request, WebSocketClosed
from nbdriver.net.clock import VirtualClock
from nbdriver.net.stream import Stream, StreamLimits
from nbdriver.net.websocket import WebSocketConnection, WebSocketLimits
from nbdriver.wire.frames import FrameLimits
from nbdriver.wire.session import Session

from .frames import CLOSE, TEXT, ZEROS, Frame, close, fragments, frame, take_frame
from .memory import connect
from .peer import PATIENCE, Peer, settle


class FramePeer(Peer):
    """Speaks frames; masks them if it is a client."""

    def __init__(self, *, client: bool) -> None:
        super().__init__()
        self.key = ZEROS if client else None
        self._frames = bytearray()

    def send_frame(self, payload: bytes | str = b"", opcode: int = TEXT, **bits: Any) -> None:
        self.send(frame(payload, opcode, key=self.key, **bits))

    def send_fragments(self, *parts: bytes | str, opcode: int = TEXT) -> None:
        self.send(b"".join(fragments(*parts, opcode=opcode, key=self.key)))

    def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        self.send(close(code, reason, key=self.key))

    async def read_frame(self) -> Frame:
        """The next frame that comes."""
        taken: list[Frame] = []

        def one_came() -> bool:
            if (one := take_frame(self.received)) is not None:
                taken.append(one)
            return bool(taken)

        await self.until(one_came)
        # As each role must (RFC 6455, 5.1).
        assert taken[0].masked is (self.key is None)
        return taken[0]._replace(masked=False)

    async def read_close(self) -> tuple[int | None, str]:
        """The next frame, which is a Close: its code and its reason."""
        got = await self.read_frame()
        assert got.opcode == CLOSE, got
        code = int.from_bytes(got.payload[:2], "big") if got.payload else None
        return code, got.payload[2:].decode()

    async def nothing_more(self) -> None:
        """See that the other side has ended, and that nothing came before its end."""
        assert await self.read_to_end() == b""


class Handshake:
    """The HTTP side of an opening handshake: what it was asked, and what `accept` is to do."""

    def __init__(self, ahead: bytes = b"", error: Exception | None = None) -> None:
        self.subprotocols: list[str | None] = []
        self.refused: list[HTTPError] = []
        self._ahead = ahead
        self.error = error

    def accept(
        self, websocket: WebSocketConnection, subprotocol: str | None
    ) -> tuple[Session, bytes]:
        self.subprotocols.append(subprotocol)
        if self.error is not None:
            raise self.error
        return Session(FrameLimits()), self._ahead

    def refuse(self, error: HTTPError) -> None:
        self.refused.append(error)


class Pair:
    """`websocket` is ours, of either role, and open; `peer` is the other end of it.

    With a `handshake` ours is a server's that waits to be accepted. On leaving the block everything
    has to be gone: the stream, the deadlines, and each task that was started inside.
    """

    def __init__(
        self,
        *,
        client: bool = False,
        limits: WebSocketLimits | None = None,
        stream_limits: StreamLimits | None = None,
        session: Session | None = None,
        handshake: Handshake | None = None,
    ) -> None:
        self._limits = limits or WebSocketLimits()
        self._handshake = handshake
        self._session = session or Session(self._limits.frames, client=client)
        self.clock = VirtualClock()
        self.peer = FramePeer(client=not client)
        self.lost = False
        self._stream_limits = stream_limits or StreamLimits()

    def _connected(self, stream: Stream) -> WebSocketConnection:
        self.websocket = WebSocketConnection(
            stream,
            Request("GET", "/a/ws", Headers([("Host", "a")])),
            self.clock,
            self._limits,
            upgrade=self._handshake,
            session=None if self._handshake else self._session,
        )
        return self.websocket

    def _lose(self, _: Stream) -> None:
        self.lost = True

    async def __aenter__(self) -> Pair:
        self._tasks = asyncio.all_tasks()
        self.stream = Stream(self._connected, self._lose, self.clock, self._stream_limits)
        connect(self.stream, self.peer)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.peer.transport.abort()
        await settle()
        if error is None:
            assert self.lost
            await self.rest()
            assert self.clock.pending == 0
            # A fixture is left in another task than it was entered in.
            left = asyncio.all_tasks() - self._tasks
            assert left <= {asyncio.current_task()}

    async def closed_with(self) -> tuple[int, str]:
        """What `receive` raises: a code and a reason."""
        try:
            message = await asyncio.wait_for(self.websocket.receive(), PATIENCE)
        except WebSocketClosed as error:
            return error.code, error.reason
        raise AssertionError(f"expected the end, got {message!r}")

    async def rest(self) -> list[str | bytes]:
        """The messages that are left at the end."""
        messages = []
        async with asyncio.timeout(PATIENCE):
            while not self.websocket.closed:
                messages.append(await self.websocket.receive())
        return messages


class Listener:
    """Keeps what it is told; `closed` is the error of the end."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.closed: Exception | None = None

    def message_received(self, message: str | bytes) -> None:
        assert self.closed is None, "nothing comes after the end"
        self.messages.append(message)

    def connection_closed(self, error: Exception) -> None:
        assert self.closed is None, "the end is told once"
        self.closed = error
