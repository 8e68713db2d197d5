"""A Satori server with one login, on satori-python-server: `satori_server.py PORT TOKEN`.

For each line on its standard input, `{"text": ...}`, it publishes a message; `{"close": true}` ends
its WebSockets. It marks the messages that it is asked to create.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from satori import Channel, ChannelType, Event, EventType, Login, Member, MessageObject, User
from satori.server import Adapter, Request, Server
from satori.server.route import MessageParam
from starlette.responses import Response

SELF = Login(platform="test", user=User("10001", "小明", is_bot=True))


def mark(name: str, value: object) -> None:
    """Tell the test what happened."""
    sys.stdout.write(f"MARK {name} {json.dumps(value)}\n")
    sys.stdout.flush()


class Platform(Adapter[None]):
    """The platform behind the server."""

    required: ClassVar[set[str]] = set()
    stages: ClassVar[set[str]] = {"blocking"}

    def get_platform(self) -> str:
        return SELF.platform

    def ensure(self, platform: str, self_id: str) -> bool:
        return (platform, self_id) == (SELF.platform, SELF.id)

    @staticmethod
    def proxy_urls() -> list[str]:
        return ["internal:"]

    async def get_logins(self) -> list[Login]:
        return [SELF]

    async def handle_internal(self, request: Request[Any], path: str) -> Response:
        return Response(status_code=404)

    async def launch(self, manager: object) -> None:
        self.routes["message.create"] = self.create_message
        self.routes["user.get"] = self.get_user
        async with self.stage("blocking"):
            mark("started", None)
            await asyncio.Event().wait()

    async def create_message(self, request: Request[MessageParam]) -> list[MessageObject]:
        mark("message.create", [request.params["channel_id"], request.params["content"]])
        return [MessageObject("2", request.params["content"])]

    async def get_user(self, request: Request[Any]) -> User:
        return User(request.params["user_id"], "小红")

    async def publisher(self) -> AsyncIterator[Event]:
        """Events, as the server asks for them."""
        number = 0
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            if command.get("close"):
                for connection in self.server.connections:
                    connection.close_signal.set()
                continue
            number += 1
            yield Event(
                EventType.MESSAGE_CREATED,
                datetime.now(UTC),
                SELF,
                channel=Channel("渠道", ChannelType.DIRECT),
                user=User("小红", "小红"),
                member=Member(User("小红", "小红")),
                message=MessageObject(str(number), command["text"]),
            )


if __name__ == "__main__":
    server = Server(host="127.0.0.1", port=int(sys.argv[1]), token=sys.argv[2])
    server.apply(Platform())
    server.run()
