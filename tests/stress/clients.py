"""The load of a run: platforms that post events and that hold WebSockets, and what they saw."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from support.program import PATIENCE
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

POSTING, POSTING_ANEW = 5, 2
HOLDING, COMING_AND_GOING = 4, 3
_AT_A_TIME = 8


@dataclass
class Held:
    """A WebSocket as its client saw it: the events in the order in which they were sent."""

    sent: list[int] = field(default_factory=list)
    replied: set[int] = field(default_factory=set)
    code: int | None = None
    """The code of the server's Close; None if there was none."""


@dataclass
class Seen:
    """What all the clients of a run saw."""

    answered: list[int] = field(default_factory=list)
    """The events that were answered 204."""
    refused: Counter[int] = field(default_factory=Counter)
    """The statuses of other answers, to events and to handshakes."""
    cut: list[bytes] = field(default_factory=list)
    """Answers that broke off."""
    held: list[Held] = field(default_factory=list)


class Clients:
    """The clients of one run. They go on until the server is gone."""

    def __init__(self, port: int, seed: int) -> None:
        self.seen = Seen()
        self._port = port
        self._dice = random.Random(seed)
        self._numbers = itertools.count(1)
        self._progress = asyncio.Event()

    async def run(self) -> None:
        """Put the server under load until it is gone."""
        tasks: list[Coroutine[None, None, None]] = [
            *(self._until_gone(self._post) for _ in range(POSTING)),
            *(self._until_gone(self._post_anew) for _ in range(POSTING_ANEW)),
            *(self._hold(f"holding-{number}") for number in range(HOLDING)),
            *(self._come_and_go(f"coming-{number}") for number in range(COMING_AND_GOING)),
        ]
        await asyncio.gather(*tasks)

    async def have(self, events: int) -> None:
        """Wait until so many events were answered, by HTTP and by WebSocket."""
        while len(self.seen.answered) + sum(len(it.replied) for it in self.seen.held) < events:
            self._progress.clear()
            await self._progress.wait()

    def _event(self) -> tuple[int, str]:
        number = next(self._numbers)
        pauses = self._dice.choice([0, 0, 0, 1, 1, 10])
        return number, json.dumps({"number": number, "pauses": pauses})

    # By HTTP.

    async def _until_gone(self, post: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            while True:
                await post()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            if partial := getattr(error, "partial", b""):
                self.seen.cut.append(partial)

    async def _post(self) -> None:
        """Post one event after the other, for as long as the connection is kept."""
        await self._exchange(closing=False)

    async def _post_anew(self) -> None:
        await self._exchange(closing=True)

    async def _exchange(self, *, closing: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            kept = True
            while kept:
                number, event = self._event()
                lines = [
                    "POST /stress/ HTTP/1.1",
                    "Host: localhost",
                    "X-Self-ID: posting",
                    *(["Connection: close"] if closing else []),
                    f"Content-Length: {len(event)}",
                ]
                writer.write("\r\n".join([*lines, "", event]).encode())
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"HTTP/1.1 204 "):
                    self.seen.answered.append(number)
                    self._progress.set()
                else:
                    self.seen.refused[int(head[9:12])] += 1
                kept = b"\r\nconnection: close\r\n" not in head.lower()
        finally:
            writer.close()

    # By WebSocket.

    async def _open(self, self_id: str) -> ClientConnection | None:
        """Open a WebSocket; None if the server is gone."""
        try:
            return await connect(
                f"ws://127.0.0.1:{self._port}/stress/ws",
                additional_headers={"X-Self-ID": self_id},
                compression=None,
                open_timeout=PATIENCE,
                ping_interval=None,
                proxy=None,
            )
        except TimeoutError:
            raise
        except (OSError, EOFError, InvalidMessage, ConnectionClosed):
            return None
        except InvalidHandshake as error:
            response = getattr(error, "response", None)
            self.seen.refused[response.status_code if response is not None else 0] += 1
            return None

    async def _hold(self, self_id: str) -> None:
        """Keep some events on their way, until the server closes."""
        if (websocket := await self._open(self_id)) is None:
            return
        self.seen.held.append(held := Held())
        try:
            while True:
                while len(held.sent) - len(held.replied) < _AT_A_TIME:
                    await self._send(websocket, held)
                await self._reply(websocket, held)
        except ConnectionClosed:
            await self._rest(websocket, held)

    async def _come_and_go(self, self_id: str) -> None:
        """Connect, have an event answered, and leave; again and again."""
        while (websocket := await self._open(self_id)) is not None:
            self.seen.held.append(held := Held())
            try:
                await self._send(websocket, held)
                await self._reply(websocket, held)
                await websocket.close()
            except ConnectionClosed:
                pass
            await self._rest(websocket, held)

    async def _send(self, websocket: ClientConnection, held: Held) -> None:
        number, event = self._event()
        held.sent.append(number)
        await websocket.send(event)

    async def _reply(self, websocket: ClientConnection, held: Held) -> None:
        held.replied.add(json.loads(await websocket.recv())["number"])
        self._progress.set()

    async def _rest(self, websocket: ClientConnection, held: Held) -> None:
        """What came before the end, and how that was."""
        try:
            while True:
                await self._reply(websocket, held)
        except ConnectionClosed as closed:
            held.code = closed.rcvd.code if closed.rcvd is not None else None
