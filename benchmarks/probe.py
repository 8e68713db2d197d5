"""Sees that the servers under measure do the same: each is asked the same things before the run.

The floor is left out, since it answers everything in the one way that it knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from . import bodies, wire
from .load import LoadError

__all__ = ["probe"]

_SELF_ID = str(bodies.first_self_id)
_EVENT = bodies.dumps(bodies.event(bodies.first_self_id, 1)).encode()
_CALL = bodies.action("send_msg", bodies.reply(bodies.event(bodies.first_self_id, 1)), _SELF_ID)
_TOKEN = bodies.AUTHORIZATION
_PATIENCE = 10.0

_HTTP = [
    ("an event", 204, wire.http_request(_EVENT, _SELF_ID, _TOKEN, close=True)),
    ("a wrong token", 403, wire.http_request(_EVENT, _SELF_ID, b"Bearer x", close=True)),
    ("no id", 400, wire.http_request(_EVENT, "", _TOKEN, close=True)),
    ("no JSON", 400, wire.http_request(b"{", _SELF_ID, _TOKEN, close=True)),
    ("no object", 400, wire.http_request(b"[1]", _SELF_ID, _TOKEN, close=True)),
    ("PUT", 405, wire.http_request(_EVENT, _SELF_ID, _TOKEN, method="PUT", close=True)),
    ("another path", 404, wire.http_request(_EVENT, _SELF_ID, _TOKEN, path="/x", close=True)),
]
_OPENINGS = [
    ("a WebSocket", 101, wire.ws_request(_SELF_ID, _TOKEN)),
    ("a WebSocket with a wrong token", 403, wire.ws_request(_SELF_ID, b"Bearer x")),
]


async def probe(address: tuple[str, int], kinds: Collection[str] = ("http", "websocket")) -> int:
    """Ask a server all that is of those kinds; gives the number of events in it.

    Raises LoadError.
    """
    asked = _HTTP * ("http" in kinds) + _OPENINGS * ("websocket" in kinds)
    for what, status, request in asked:
        await _ask(address, what, status, request)
    return len(kinds)


async def _ask(address: tuple[str, int], what: str, status: int, request: bytes) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(*address)
            try:
                writer.write(request)
                line = await reader.readuntil(b"\r\n")
                if not line.startswith(b"HTTP/1.1 %d " % status):
                    raise LoadError(f"{what}: expected status {status}, got {line!r}")
                if status == 101:
                    await _talk(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, EOFError, TimeoutError) as error:
        raise LoadError(f"{what}: expected status {status}, got {error!r}") from error


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One event over a WebSocket that is open, after something that is no event."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(wire.client_frame(b"[1]") + wire.client_frame(_EVENT))
    expected = wire.server_frame(bodies.dumps(_CALL).encode())
    frame = await reader.readexactly(len(expected))
    if frame != expected:
        raise LoadError(f"an event over a WebSocket: expected {expected!r}, got {frame!r}")
