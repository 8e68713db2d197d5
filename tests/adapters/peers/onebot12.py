"""An implementation of OneBot 12, on pylibob: `onebot12.py TOKEN MODE ADDRESS [MODE ADDRESS]`.

The modes are OneBot's: `http` and `websocket` listen at a port of the loopback, `http-webhook` and
`websocket-reverse` reach out to a URL. For each line on its standard input, `{"text": ...}`, it
reports a private message, and it marks the calls of its API.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from typing import Any
from uuid import uuid4

import pylibob
from pylibob.runner import ClientRunner, ServerRunner
from pylibob.utils import TaskManager

HOST = "127.0.0.1"
SELF = pylibob.Bot(platform="测试", user_id="小明", online=True)


def mark(name: str, value: object) -> None:
    """Tell the test what happened."""
    sys.stdout.write(f"MARK {name} {json.dumps(value)}\n")
    sys.stdout.flush()


def connection(mode: str, address: str, token: str) -> Any:
    """A connection of one of OneBot's kinds."""
    match mode:
        case "http":
            return pylibob.HTTP(
                host=HOST, port=int(address), access_token=token, event_enabled=False
            )
        case "http-webhook":
            return pylibob.HTTPWebhook(address, access_token=token)
        case "websocket":
            return pylibob.WebSocket(
                host=HOST, port=int(address), access_token=token, enable_heartbeat=False
            )
        case "websocket-reverse":
            # Of the token it sends nothing, but what stands in the URL.
            return pylibob.WebSocketReverse(
                f"{address}?access_token={token}", enable_heartbeat=False
            )
    raise ValueError(f"expected one of OneBot's modes, got {mode}")


async def report(impl: pylibob.OneBotImpl) -> None:
    """Report each line of standard input as a message."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        text = json.loads(line)["text"]
        await impl.emit(
            pylibob.PrivateMessageEvent(
                id=str(uuid4()),
                time=time.time(),
                self=SELF,
                message_id="1",
                message=[pylibob.Text(text)],
                alt_message=text,
                user_id="小红",
            )
        )


async def send_message(
    detail_type: str,
    message: list[Any],
    user_id: str | None = None,
    group_id: str | None = None,
) -> dict[str, Any]:
    mark("send_message", [detail_type, user_id, message])
    return {"message_id": "2", "time": time.time()}


def main(token: str, *connections: str) -> None:
    """Run it until it is ended."""
    logging.basicConfig(level=logging.INFO)
    conns = [
        connection(mode, address, token)
        for mode, address in zip(connections[::2], connections[1::2], strict=True)
    ]
    impl = pylibob.OneBotImpl("peer", "1.0", conns, SELF)
    impl.register_action_handler("send_message", send_message)
    servers = [each for each in conns if hasattr(each, "port")]
    runner: Any = ClientRunner(TaskManager())
    if servers:
        runner = ServerRunner(HOST, servers[0].port)
    tasks: set[asyncio.Task[None]] = set()

    async def start() -> None:
        for each in conns:
            if isinstance(each, pylibob.WebSocketReverse):
                await each.run()
        tasks.add(asyncio.create_task(report(impl)))
        mark("started", None)

    runner.on_startup(start)
    asyncio.run(runner.run())


if __name__ == "__main__":
    main(*sys.argv[1:])
