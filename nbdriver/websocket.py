"""The contract's WebSocket: JSON objects over a message-level connection."""

from __future__ import annotations

import logging
from typing import Any

from . import abc, codec
from .errors import WebSocketClosed

__all__ = ["WebSocket"]

logger = logging.getLogger(__name__)


class WebSocket(abc.WebSocket):
    """What a `Bot` gets as `websocket`; wraps whatever implements `abc.WebSocketConnection`."""

    def __init__(self, websocket: abc.WebSocketConnection) -> None:
        super().__init__(websocket)

    @property
    def closed(self) -> bool:
        """See `abc.WebSocket.closed`."""
        return bool(self._websocket.closed)

    async def accept(self, subprotocol: str | None = None) -> None:
        """See `abc.WebSocket.accept`; `subprotocol` is one that the peer offers, or None."""
        await self._websocket.accept(subprotocol)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `abc.WebSocket.close`; `reason` is told to the peer, at most 123 bytes of it."""
        await self._websocket.close(code, reason)

    async def receive(self) -> dict[str, Any] | None:
        """See `abc.WebSocket.receive`; what is no JSON object is logged."""
        try:
            message = await self._websocket.receive()
        except WebSocketClosed:
            return None
        try:
            return codec.loads_object(message)
        except ValueError as error:
            logger.warning("%s: message ignored, %s", self._websocket, error)
            return None

    async def receive_text(self) -> str:
        """The next message as text. Raises WebSocketClosed, and TypeError for a binary message."""
        text: str = await self._websocket.receive_text()
        return text

    async def receive_bytes(self) -> bytes:
        """The next message as bytes. Raises WebSocketClosed, and TypeError for a text message."""
        data: bytes = await self._websocket.receive_bytes()
        return data

    async def send(self, data: dict[str, Any]) -> None:
        """See `abc.WebSocket.send`. Raises ValueError or TypeError for what JSON cannot hold."""
        await self._websocket.send(codec.dumps(data))

    async def send_text(self, text: str) -> None:
        """Send a text message. Raises WebSocketClosed."""
        await self._websocket.send(text)

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message. Raises WebSocketClosed."""
        await self._websocket.send(data)
