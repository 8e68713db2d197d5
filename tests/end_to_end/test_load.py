"""The worst that peers can do at once: others are served meanwhile, and nothing is left over.

These take seconds, so each runs on one event loop with the other tests, and on the other by
`make test ARGS='-m stress'`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.leaks import nothing_left
from support.limits import files_allowed
from support.peer import Peer
from support.program import PATIENCE, ROOT, Program, platform, program
from websockets.asyncio.client import ClientConnection
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Ping

HEADS = 500
READERS = 200
NEWCOMERS = 500
SETTINGS = {
    # Short, since they are waited for.
    "NBDRIVER_HEAD_TIMEOUT": "2",
    "NBDRIVER_WRITE_TIMEOUT": "1",
    "NBDRIVER_LINGER_TIMEOUT": "0.2",
    # Long, since on a busy machine even a live peer takes a while.
    "NBDRIVER_TAKEOVER_TIMEOUT": str(PATIENCE),
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
}


class Loaded:
    """The program under load, and a client of it that behaves."""

    def __init__(self, port: int, websocket: ClientConnection, http: httpx.AsyncClient) -> None:
        self.address = ("127.0.0.1", port)
        self._websocket = websocket
        self._http = http
        self._events = 0

    async def ask(self, **event: Any) -> Any:
        """Send an event by WebSocket; gives what the bot replies."""
        await self._websocket.send(json.dumps(event))
        return json.loads(await self._websocket.recv())

    async def census(self) -> dict[str, Any]:
        """What the server holds."""
        counted: dict[str, Any] = (await self.ask(census=True))["census"]
        return counted

    async def comes_back_to(self, before: dict[str, Any]) -> None:
        """See that the server holds in the end what it held before, and nothing else."""
        now = await self.census()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while now != before:
                    await self.serves()
                    now = await self.census()
        assert now == before

    async def peak(self) -> int:
        """The most memory that the server ever took, in KiB."""
        return int((await self.ask(peak=True))["peak"])

    async def serves(self) -> None:
        """See that an event is answered, by HTTP and by WebSocket."""
        self._events += 1
        answer = await self._http.post("/loaded/", json={"number": self._events})
        assert answer.status_code == 204
        assert await self.ask(number=self._events) == {"number": self._events}


@asynccontextmanager
async def loaded(bot: Program) -> AsyncIterator[Loaded]:
    """The program with its client; at the end it has stopped, and cleanly."""
    port = await bot.port()
    # It writes much, and would wait for whoever does not read it.
    reading = asyncio.create_task(bot.read_err("Stopped"))
    try:
        async with (
            platform(f"ws://127.0.0.1:{port}/loaded/ws", X_Self_ID="normal") as websocket,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers={"X-Self-ID": "poster"},
                timeout=PATIENCE,
                verify=False,
            ) as http,
        ):
            yield Loaded(port, websocket, http)
        bot.interrupt()
        await reading
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    assert await bot.ended() == 0
    assert "Traceback" not in bot.err


def upgrade(self_id: str) -> bytes:
    return (
        b"GET /loaded/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Self-ID: "
        + self_id.encode()
        + b"\r\n\r\n"
    )


class SlowHead:
    """A client whose request comes byte by byte, and never to its end."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address)
        self._socket.setblocking(False)

    def send_a_byte(self) -> None:
        try:
            self._socket.send(b"G")
        except ConnectionError:
            pass  # its time was over

    @property
    def waits(self) -> bool:
        """Whether it has not been answered."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True

    async def status(self) -> bytes:
        loop, answer = asyncio.get_running_loop(), b""
        async with asyncio.timeout(PATIENCE):
            while len(answer) < 12 and (data := await loop.sock_recv(self._socket, 1024)):
                answer += data
        return answer[9:12]

    def close(self) -> None:
        self._socket.close()


class SlowReader:
    """A client that asks for much, and never reads."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self._socket = socket.socket()
        # Little fits into its own end of the connection.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(address)
        self._socket.sendall(request)

    def was_reset(self) -> bool:
        """Read at last; gives whether the connection was reset, so that nobody keeps the rest."""
        self._socket.settimeout(PATIENCE)
        try:
            while self._socket.recv(65_536):
                pass
        except ConnectionResetError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


def slow_reader(address: tuple[str, int], number: int) -> SlowReader:
    """One by WebSocket or, every other, by HTTP."""
    if number % 2:
        # An event as a masked frame, the key being zeros.
        event = b"\x81\x8d\0\0\0\0" + b'{"flood":  1}'
        return SlowReader(address, upgrade(f"reader {number}") + event)
    return SlowReader(address, 100 * b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")


class Newcomer(Peer):
    """A bot that connects anew under an id that many have; let in, it answers pings."""

    def __init__(self) -> None:
        super().__init__()
        self.status: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._websocket = Connection(ConnectionType.CLIENT)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.status.done():
            head, end, data = bytes(self.received).partition(b"\r\n\r\n")
            if not end:
                return
            self.status.set_result(head[9:12])
        if self.status.result() == b"101":
            self._websocket.receive_data(data)
            for event in self._websocket.events():
                if isinstance(event, Ping):
                    self.send(self._websocket.send(event.response()))


async def newcomer(address: tuple[str, int]) -> Newcomer:
    connected = socket.create_connection(address)
    connected.sendall(upgrade("storm"))
    _, protocol = await asyncio.get_running_loop().create_connection(Newcomer, sock=connected)
    return protocol


async def storm(address: tuple[str, int]) -> Newcomer:
    """Many connections with one bot id at once; gives the one that was let in."""
    newcomers = await asyncio.gather(*[newcomer(address) for _ in range(NEWCOMERS)])
    async with asyncio.timeout(PATIENCE):
        statuses = await asyncio.gather(*[each.status for each in newcomers])
    assert Counter(statuses) == {b"101": 1, b"409": NEWCOMERS - 1}
    winner = newcomers.pop(statuses.index(b"101"))
    for each in newcomers:
        each.transport.close()
    return winner


@pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=pytest.mark.stress)])
async def test_slow_heads_slow_readers_and_a_reconnect_storm_hurt_nobody_else(
    loop: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        stack.enter_context(files_allowed(HEADS + READERS + NEWCOMERS + 200))
        await stack.enter_async_context(nothing_left())
        command = ("-m", "support.loaded_bot", loop)
        bot = await stack.enter_async_context(program(*command, cwd=tmp_path, **SETTINGS))
        it = await stack.enter_async_context(loaded(bot))
        await it.serves()
        before, peak = await it.census(), await it.peak()

        storming = asyncio.create_task(storm(it.address))
        readers = [slow_reader(it.address, number) for number in range(READERS)]
        heads = [SlowHead(it.address) for _ in range(HEADS)]
        for head in heads:
            stack.callback(head.close)
        for reader in readers:
            stack.callback(reader.close)
        await it.serves()
        # It did not have to wait until all the others were done with.
        assert any(head.waits for head in heads)
        for _ in range(3):
            for head in heads:
                head.send_a_byte()
            await it.serves()
        statuses = await asyncio.gather(*[head.status() for head in heads])
        assert Counter(statuses) == {b"408": HEADS}
        winner = await storming
        now = await it.census()
        assert "storm" in now["bots"]
        winner.transport.close()

        assert await it.peak() - peak < READERS * 512
        await it.comes_back_to(before)
        assert all(reader.was_reset() for reader in readers)
    assert bot.err.count("an event got no answer") == READERS // 2


# More than can be accepted.

KNOCKING = 2_000
FILES = 150
FAILED, AGAIN = "connections cannot be accepted for now", "connections are accepted again"


def knock(address: tuple[str, int]) -> socket.socket:
    """Begin to connect, without waiting for what comes of it."""
    connecting = socket.socket()
    connecting.setblocking(False)
    connecting.connect_ex(address)
    return connecting


def is_kept(connecting: socket.socket) -> bool:
    """Whether the system has taken a connection in, for the server to accept."""
    try:
        connecting.getpeername()
    except OSError:
        return False
    return True


async def post(connected: socket.socket) -> bytes:
    """Post an event, and give the status of the answer; then the connection is closed."""
    loop, body = asyncio.get_running_loop(), b"{}"
    head = b"POST /loaded/ HTTP/1.1\r\nHost: localhost\r\nX-Self-ID: 1\r\nConnection: close\r\n"
    await loop.sock_sendall(connected, head + b"Content-Length: 2\r\n\r\n" + body)
    answer = b""
    while b"\r\n\r\n" not in answer and (data := await loop.sock_recv(connected, 1024)):
        answer += data
    connected.close()
    return answer[9:12]


@pytest.mark.parametrize("loop", ["uvloop", pytest.param("asyncio", marks=pytest.mark.stress)])
async def test_of_two_thousand_connections_at_once_all_that_the_system_keeps_are_served(
    loop: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        stack.enter_context(files_allowed(KNOCKING + 200))
        await stack.enter_async_context(nothing_left())
        command = ("-m", "support.loaded_bot", loop, str(FILES))
        settings = {**SETTINGS, "NBDRIVER_BACKLOG": "100", "NBDRIVER_HEAD_TIMEOUT": str(PATIENCE)}
        bot = await stack.enter_async_context(program(*command, cwd=tmp_path, **settings))
        it = await stack.enter_async_context(loaded(bot))
        await it.serves()
        before = await it.census()
        knocking = [knock(it.address) for _ in range(KNOCKING)]
        # Those that are connected are served all the while.
        while FAILED not in bot.err:
            await it.serves()
        kept = [each for each in knocking if is_kept(each)]
        for each in knocking:
            if each not in kept:
                each.close()
        assert len(kept) > FILES
        assert Counter(await asyncio.gather(*map(post, kept))) == {b"204": len(kept)}
        await it.comes_back_to(before)
    # One line when it cannot, one when it can again, however often it tries in between.
    told = re.findall(f"{FAILED}|{AGAIN}", bot.err)
    assert told == [FAILED, AGAIN] * (len(told) // 2)
