"""A WebSocket without a network: the message level, whose other end is the test."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, ClassVar

from nbdriver import Headers, Request, WebSocketClosed, abc, codec


class MemoryWebSocket(abc.WebSocketConnection):
    """Obeys `abc.WebSocketConnection`; `peer_sends` and `peer_leaves` are what the other end does.

    `sent` is what the other end got; while `alive` is true it answers pings.
    """

    def __init__(self, path: str = "/echo/ws", **headers: str) -> None:
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.request = Request("GET", path, Headers(fields))
        self.accepted = False
        self.alive = True
        self.paused = False
        self.pinged = 0
        self.sent: list[Any] = []
        self.ended: WebSocketClosed | None = None
        self._queue: deque[str | bytes] = deque()
        self._listener: abc.WebSocketListener | None = None
        self._over = asyncio.Event()

    # The other end.

    def peer_sends(self, *messages: str | bytes | dict[str, Any]) -> None:
        for message in messages:
            text = codec.dumps(message) if isinstance(message, dict) else message
            self._queue.append(text)
        self._flush()

    def peer_leaves(self, code: int = 1006, reason: str = "") -> None:
        self._end(WebSocketClosed(code, reason))

    @property
    def events_sent(self) -> list[Any]:
        """What the other end got, read as JSON."""
        return [codec.loads(message) for message in self.sent]

    # Our end.

    @property
    def closed(self) -> bool:
        return self.ended is not None and not self._queue

    async def accept(self, subprotocol: str | None = None) -> None:
        if self.ended is not None:
            raise self.ended
        assert not self.accepted
        self.accepted = True

    async def receive(self) -> str | bytes:
        raise AssertionError("messages are delivered to a listener")

    async def send(self, message: str | bytes) -> None:
        assert self.accepted
        if self.ended is not None:
            raise self.ended
        self.sent.append(message)

    async def ping(self) -> None:
        self.pinged += 1
        if not self.alive and self.ended is None:
            await self._over.wait()
        if self.ended is not None:
            raise self.ended

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._end(WebSocketClosed(code, reason))

    def abort(self) -> None:
        self._end(WebSocketClosed(1006, "aborted"))

    def deliver_to(self, listener: abc.WebSocketListener) -> None:
        self._listener = listener
        self._flush()
        if self.ended is not None:
            listener.connection_closed(self.ended)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self._flush()

    def _flush(self) -> None:
        while self._queue and self._listener is not None and not self.paused:
            self._listener.message_received(self._queue.popleft())

    def _end(self, error: WebSocketClosed) -> None:
        if self.ended is None:
            self.ended = error
            self._over.set()
            if self._listener is not None:
                self._listener.connection_closed(error)


class UnpingableWebSocket(MemoryWebSocket):
    """As behind an ASGI server, which pings for itself."""

    can_ping: ClassVar[bool] = False

    async def ping(self) -> None:
        raise AssertionError("cannot be pinged")
