"""Clients that send bytes, good and bad, to a driver that is being served."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from . import memory
from .echo import Echo
from .peer import Peer
from .websocket_pair import FramePeer

P = TypeVar("P", bound=Peer)

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def head(
    *lines: str, line: str = "POST /echo/ HTTP/1.1", host: str | None = "Host: localhost"
) -> bytes:
    """The head of a request; what is not ASCII is taken for bytes."""
    every = [line, *([] if host is None else [host]), *lines, "", ""]
    return "\r\n".join(every).encode("latin-1")


def event(message: Any, self_id: str = "1") -> bytes:
    """A request that posts an event."""
    body = json.dumps(message).encode()
    return head(f"X-Self-ID: {self_id}", f"Content-Length: {len(body)}") + body


def upgrade(*lines: str, self_id: str = "1", **changed: str | None) -> bytes:
    """An opening handshake; `changed` are lines that are replaced, or left out."""
    usual: dict[str, str | None] = {
        "line": "GET /echo/ws HTTP/1.1",
        "host": "Host: localhost",
        "upgrade": "Upgrade: websocket",
        "connection": "Connection: Upgrade",
        "key": KEY,
        "version": "Sec-WebSocket-Version: 13",
        **changed,
    }
    first, *every = [each for each in usual.values() if each is not None]
    return head(*every, f"X-Self-ID: {self_id}", *lines, line=first, host=None)


async def connect(echo: Echo, peer: P) -> P:
    """Connect `peer`, over TCP."""
    address = echo.server.addresses[0]
    await asyncio.get_running_loop().create_connection(lambda: peer, *address)
    return peer


def connect_in_memory(echo: Echo, peer: P, data: bytes = b"") -> P:
    """Connect `peer` without a socket, as where time is virtual; it sends `data`."""
    memory.connect(echo.server._stream(("127.0.0.1", 50_000)), peer)
    peer.send(data)
    return peer


async def exchange(echo: Echo, data: bytes) -> bytes:
    """Send bytes, and give all that comes until the server ends the connection."""
    peer = await connect(echo, Peer())
    peer.send(data)
    answer = await peer.read_to_end()
    peer.transport.close()
    return answer


async def open_websocket(echo: Echo, *lines: str, self_id: str = "1") -> FramePeer:
    """A WebSocket that was accepted."""
    peer = await connect(echo, FramePeer(client=True))
    peer.send(upgrade(*lines, self_id=self_id))
    answer = await peer.read(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return peer


async def still_works(echo: Echo) -> None:
    """See that the next connections are served, of either kind."""
    next_one = {"next": len(echo.messages)}
    closing = event(next_one, "next").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    assert (await exchange(echo, closing)).startswith(b"HTTP/1.1 204 ")
    assert next_one in echo.messages
    peer = await open_websocket(echo, self_id="next")
    peer.send_frame(json.dumps(next_one))
    assert json.loads((await peer.read_frame()).payload) == {"got": next_one}
    peer.send_close()
    await peer.read_close()
    peer.transport.close()
    while "next" in echo.driver.bots:
        await asyncio.sleep(0)
