"""The work of the driver and its bot as the least that an ASGI app can do; what all servers share.

`bot` has the same work as a bot on the driver's contract. The bare app is there so that nobody can
say that a peer was slowed by our ASGI front: it has no routing table, no bounds and no held tasks,
and handles an event before it answers, which is less than the driver promises.

Nothing here imports the package, which a peer's process must not have to load.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from . import bodies

__all__ = ["JSON_LIBRARIES", "BareApp", "Tally", "dumps", "json_library", "loads"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


JSON_LIBRARIES = ("json", "orjson")

json_library = os.environ.get("BENCHMARKS_JSON", "json")
"""The JSON library of this process, which `measure.ServerProcess` says: one for all of a run."""


def _codec() -> tuple[Callable[[str | bytes], Any], Callable[[Any], str]]:
    """Reading and writing by that library, and nothing around it."""
    if json_library == "orjson":
        library = importlib.import_module(json_library)
        return library.loads, lambda value: library.dumps(value).decode()
    return json.loads, bodies.dumps


loads, dumps = _codec()


class Tally:
    """How many events a server's bot was called with; compared with what was sent."""

    __slots__ = ("events",)

    def __init__(self) -> None:
        self.events = 0


class BareApp:
    """The work of the driver and its bot as the least that an ASGI app can do."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one scope (ASGI 3)."""
        if scope["type"] == "http":
            status = await self._post(scope, receive)
            # ASGI has it that headers may be left out; granian insists on them.
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body"})
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            for _ in ("startup", "shutdown"):
                message = await receive()
                await send({"type": f"{message['type']}.complete"})

    async def _post(self, scope: Message, receive: Receive) -> int:
        """Handle one event; gives the status of the answer."""
        if scope["path"] != "/onebot/http":
            return 404
        if scope["method"] != "POST":
            return 405
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        try:
            event = loads(body)
        except ValueError:
            return 400
        if not isinstance(event, dict):
            return 400
        headers = dict(scope["headers"])
        status = bodies.refusal(headers.get(b"x-self-id"), headers.get(b"authorization", b""))
        if status is None:
            self._tally.events += 1
        return status or 204

    async def _websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        headers = dict(scope["headers"])
        self_id = headers.get(b"x-self-id", b"").decode()
        refused = bodies.refusal(self_id, headers.get(b"authorization", b""))
        if refused or scope["path"] != "/onebot/ws":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            event = loads(message["text"])
            if isinstance(event, dict):
                self._tally.events += 1
                called = bodies.action("send_msg", bodies.reply(event), self_id)
                await send({"type": "websocket.send", "text": dumps(called)})
