"""The floor: what reading and answering an event costs a bare `asyncio.Protocol`.

It reads the JSON and answers constant bytes. There is no parser, no permission and no bot, so no
server in Python on the same loop can be cheaper, and the distance to it is what a server adds. It
also shows whether the load generator is fast enough.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from . import bodies, wire
from .application import Tally, loads

__all__ = ["FloorProtocol"]

_NO_CONTENT = (
    b"HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: floor\r\n\r\n"
)


class FloorProtocol(asyncio.Protocol):
    """Answers each posted event, which it takes to come in one piece, or becomes a WebSocket."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        head, _, body = data.partition(b"\r\n\r\n")
        if not body:
            self._upgrade(head)
            return
        loads(body)
        self._tally.events += 1
        self._transport.write(_NO_CONTENT)

    def _upgrade(self, head: bytes) -> None:
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        self._transport.set_protocol(
            _FloorWebSocket(self._transport, self._tally, lines[b"X-Self-ID"].decode())
        )
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Connection: Upgrade\r\n"
            b"Upgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: " + wire.ws_accept(lines[b"Sec-WebSocket-Key"]) + b"\r\n\r\n"
        )


class _FloorWebSocket(asyncio.Protocol):
    """Answers each frame; takes it to be one text of 126 bytes to 64 KiB, masked, in one piece."""

    def __init__(self, transport: asyncio.Transport, tally: Tally, self_id: str) -> None:
        self._transport = transport
        self._tally = tally
        event: dict[str, Any] = bodies.event(int(self_id), 0)
        called = bodies.action("send_msg", bodies.reply(event), self_id)
        self._answer = wire.server_frame(bodies.dumps(called).encode())

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        loads(wire.mask(data[8:], data[4:8]))
        self._tally.events += 1
        self._transport.write(self._answer)
