"""NoneBot's WebSocket over a connection of ours."""

from __future__ import annotations

import asyncio

from nonebot.drivers import Request
from nonebot.drivers import WebSocket as NoneBotWebSocket
from nonebot.exception import WebSocketClosed as NoneBotWebSocketClosed

from ...abc import WebSocketConnection
from ...errors import WebSocketClosed
from ...wire.closing import NORMAL_CLOSURE

__all__ = ["WebSocket"]


class WebSocket(NoneBotWebSocket):
    """A connection between a platform and the bot.

    What receives or sends raises NoneBot's WebSocketClosed, with the peer's code and reason, once
    the connection is gone; and RuntimeError before `accept`.
    """

    def __init__(
        self, websocket: WebSocketConnection, request: Request, *, accepted: bool = False
    ) -> None:
        """`accepted` is whether the opening handshake is over, as it is for a client's."""
        super().__init__(request=request)
        self.websocket = websocket
        """The connection itself, for what NoneBot's contract has not: `ping`, `abort`."""
        self._accepted = accepted
        self._over = False
        """Whether we have closed it, or were told that it is closed."""

    @property
    def closed(self) -> bool:
        """Whether nothing more can be received or sent."""
        return self._over or self.websocket.closed

    @property
    def left(self) -> bool:
        """Whether the handler was told that the connection is gone, or has ended it."""
        return self._over

    async def accept(self) -> None:
        """Complete the opening handshake."""
        try:
            await self.websocket.accept()
        except WebSocketClosed as error:
            raise await self._ended(error) from None
        self._accepted = True

    async def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the connection; does nothing if it is closed.

        Before `accept` it refuses the connection with status 403 and the reason, whatever the code.
        Raises ValueError for a code that must not be sent (RFC 6455, 7.4).
        """
        await self.websocket.close(code if self._accepted else NORMAL_CLOSURE, reason)
        self._over = True

    async def receive(self) -> str | bytes:
        """The next message."""
        try:
            return await self.websocket.receive()
        except WebSocketClosed as error:
            raise await self._ended(error) from None

    async def receive_text(self) -> str:
        """The next message. Raises TypeError if it is not text."""
        try:
            return await self.websocket.receive_text()
        except WebSocketClosed as error:
            raise await self._ended(error) from None

    async def receive_bytes(self) -> bytes:
        """The next message. Raises TypeError if it is text."""
        try:
            return await self.websocket.receive_bytes()
        except WebSocketClosed as error:
            raise await self._ended(error) from None

    async def send(self, data: str | bytes) -> None:
        """Send a message, and wait while the peer is slow to read."""
        try:
            await self.websocket.send(data)
        except WebSocketClosed as error:
            raise await self._ended(error) from None

    async def send_text(self, data: str) -> None:
        """Send a text message."""
        if not isinstance(data, str):
            raise TypeError(f"expected text to send, got {type(data).__name__}")
        await self.send(data)

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message, of whatever holds bytes."""
        await self.send(data if isinstance(data, bytes) else bytes(memoryview(data)))

    async def _ended(self, error: WebSocketClosed) -> NoneBotWebSocketClosed:
        if self._over:
            # Who was told and tries again, perhaps for ever, lets others have their turn.
            await asyncio.sleep(0)
        self._over = True
        return NoneBotWebSocketClosed(error.code, error.reason)
