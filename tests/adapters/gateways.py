"""A gateway as Discord has it, and QQ after it: hello, heartbeats, identify, ready, events."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WSMsgType, web

DISPATCH, HEARTBEAT, IDENTIFY, HELLO, ACKNOWLEDGED = 0, 1, 2, 10, 11


class Gateway:
    """Bots that connect are told `ready`, and then of events; `identities` is what they said."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.identities: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.headers: dict[str, str] = {}
        self.query: dict[str, str] = {}
        self._ready = ready
        self._sequence = 0
        self._websockets: set[web.WebSocketResponse] = set()

    async def connected(self, request: web.Request) -> web.WebSocketResponse:
        """Hold a bot's connection."""
        self.headers, self.query = dict(request.headers), dict(request.query)
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        hello = {"op": HELLO, "d": {"heartbeat_interval": 40_000}}
        await websocket.send_json(hello)
        async for message in websocket:
            assert message.type is WSMsgType.TEXT
            payload = message.json()
            match payload["op"]:
                case op if op == HEARTBEAT:
                    await websocket.send_json({"op": ACKNOWLEDGED})
                case op if op == IDENTIFY:
                    await self._send(websocket, "READY", self._ready)
                    self._websockets.add(websocket)
                    self.identities.put_nowait(payload["d"])
        self._websockets.discard(websocket)
        return websocket

    async def dispatch(self, name: str, data: dict[str, Any]) -> None:
        """Tell every bot of an event."""
        for websocket in self._websockets:
            await self._send(websocket, name, data)

    async def close(self, code: int, reason: bytes) -> None:
        """Close every connection."""
        for websocket in list(self._websockets):
            await websocket.close(code=code, message=reason)

    async def _send(
        self, websocket: web.WebSocketResponse, name: str, data: dict[str, Any]
    ) -> None:
        self._sequence += 1
        payload = {"op": DISPATCH, "s": self._sequence, "t": name, "d": data}
        await websocket.send_json({**payload, "id": f"{name}:{self._sequence}"})
