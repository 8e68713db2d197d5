"""Adapters for tests."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from nbdriver import Bot, RequestDenied


class RecordingBot(Bot):
    """Lets in whoever has an X-Self-ID, keeps each message, and answers by WebSocket what it got.

    A message with `{"wait": name}` is not done before `release(name)`; `{"fail": text}` raises.
    Make a subclass for each test (`recording_bot()`), since what it keeps is kept on the class.
    """

    messages: ClassVar[list[dict[str, Any]]]
    headers: ClassVar[list[dict[str, str]]]
    _gates: ClassVar[dict[str, asyncio.Event]]

    def __init__(self, connection_type: str, self_id: str, *, websocket: Any = None) -> None:
        super().__init__(connection_type, self_id, websocket=websocket)

    @property
    def type(self) -> str:
        return "recording"

    @classmethod
    async def check_permission(
        cls, driver: Any, connection_type: str, headers: dict[str, str], body: Any
    ) -> str:
        cls.headers.append(headers)
        if "x-self-id" not in headers:
            raise RequestDenied(400, "Missing X-Self-ID header")
        if headers.get("authorization", "Bearer secret") != "Bearer secret":
            raise RequestDenied(403, "令牌错误")
        return headers["x-self-id"]

    async def handle_message(self, message: dict[str, Any]) -> None:
        type(self).messages.append(message)
        if "wait" in message:
            await self.gate(message["wait"]).wait()
        if "fail" in message:
            raise RuntimeError(message["fail"])
        if self.websocket is not None:
            await self.websocket.send({"got": message})

    @classmethod
    def gate(cls, name: str) -> asyncio.Event:
        return cls._gates.setdefault(name, asyncio.Event())

    @classmethod
    def release(cls, name: str) -> None:
        cls.gate(name).set()

    async def call_api(self, api: str, **data: Any) -> Any:
        return {"api": api, **data}

    async def send(self, event: Any, message: Any, **kwargs: Any) -> Any:
        return await self.call_api("send", event=event, message=message, **kwargs)


def recording_bot() -> type[RecordingBot]:
    """A class of its own, that has recorded nothing."""

    class Recorder(RecordingBot):
        messages: ClassVar[list[dict[str, Any]]] = []
        headers: ClassVar[list[dict[str, str]]] = []
        _gates: ClassVar[dict[str, asyncio.Event]] = {}

    return Recorder
