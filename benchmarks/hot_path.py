"""The path of an event, walked a known number of times: what `instructions` counts.

Each case is the real driver behind its real server, on asyncio's own loop and a real connection:
bytes arrive, permission, JSON, `handle_message`, the answer is written. Only what is public is
called, so that the path can be rebuilt without a change here. The client is a bare socket in the
same process, which sends an event when it has the answer to the last one: every event finds the
loop in the same state, and the scheduler has no say. What the kernel does is not counted.

Each case runs in a fork of a process that has imported everything and run nothing, for what one
case leaves in the interpreter's inline caches would change the count of the next.

Beside the cases stand references: servers as short as asyncio's streams allow, reading the same
bytes with the standard library alone. A case is divided by its reference, see `instructions`. Who
changes a reference has to record anew.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

from nbdriver.config import ServerConfig

from . import bodies, wire
from .application import Tally
from .bot import make_driver

__all__ = ["CASES", "REFERENCES", "WARM_UP", "Case", "WrongAnswer", "main", "walk"]

WARM_UP = 100
"""Events before those that are counted: caches fill, and the interpreter specialises its code."""

_SELF_ID = str(bodies.first_self_id)
_LARGE = 70_000
#: Seconds for a case; under valgrind it takes two on an idle machine.
_PATIENCE = 120.0
#: Bytes that the kernel is to hold for either end, so that the large message is read in one go.
_BUFFER = 4 * _LARGE

Serving = Callable[[socket.socket, Tally, Mapping[str, Any]], AbstractAsyncContextManager[object]]
"""Serves on a listening socket while an `async with` block runs."""


class WrongAnswer(Exception):
    """A server answered something else than it should have."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What has to come: how it begins, and how it ends."""

    begin: bytes
    end: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A kind of event, and how it is served and answered."""

    serve: Serving
    event: bytes
    answer: Answer
    events: int
    """How many are counted."""
    opening: bytes = b""
    """What is sent first, and answered with 101."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the server."""
    reference: str = ""
    """The name of what its count is divided by; that of a reference is not."""


# The servers.


@asynccontextmanager
async def _nbdriver(
    listening: socket.socket, tally: Tally, settings: Mapping[str, Any]
) -> AsyncIterator[None]:
    driver = make_driver(tally)
    place = f"fd:{listening.fileno()}"
    async with driver.serve(listen=place, access_log=False, **settings):
        yield


_REFERENCE_ANSWER = b"HTTP/1.1 204 No Content\r\nServer: reference\r\n\r\n"


def _reference(read: Callable[[asyncio.StreamReader], Awaitable[bytes]]) -> Serving:
    """A server by asyncio's streams: it gets an event's JSON by `read`, and answers constants."""

    @asynccontextmanager
    async def serve(
        listening: socket.socket, tally: Tally, settings: Mapping[str, Any]
    ) -> AsyncIterator[None]:
        ended = asyncio.Event()

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    json.loads(await read(reader))
                    tally.events += 1
                    writer.write(_REFERENCE_ANSWER)
                    await writer.drain()
            except asyncio.IncompleteReadError:
                writer.close()
                ended.set()

        async with await asyncio.start_server(converse, sock=listening, limit=_BUFFER):
            yield
            await ended.wait()

    return serve


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    headers = {}
    for line in head.decode("latin-1").split("\r\n")[1:-2]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return await reader.readexactly(int(headers["content-length"]))


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(14)
    size = int.from_bytes(head[2:10], "big")
    payload = int.from_bytes(await reader.readexactly(size), "big")
    key = int.from_bytes((head[10:] * (size // 4 + 1))[:size], "big")
    return (payload ^ key).to_bytes(size, "big")


# The cases.


def _http_event() -> bytes:
    body = bodies.dumps(bodies.event(bodies.first_self_id, 1)).encode()
    return wire.http_request(body, _SELF_ID, bodies.AUTHORIZATION)


def _frame(size: int = 0) -> bytes:
    """An event as a frame; `size` is that of the text in it, of which the answer has nothing."""
    event = bodies.event(bodies.first_self_id, 1)
    if size:
        event["raw_message"] = "x" * size
    return wire.client_frame(bodies.dumps(event).encode())


def _called() -> bytes:
    """The frame that answers a frame."""
    params = bodies.reply(bodies.event(bodies.first_self_id, 1))
    action = bodies.action("send_msg", params, _SELF_ID)
    return wire.server_frame(bodies.dumps(action).encode())


_SMALL, _BIG = "reference", f"reference, {_LARGE // 1000} kB"

REFERENCES = {
    _SMALL: Case(
        serve=_reference(_read_request),
        event=_http_event(),
        answer=Answer(_REFERENCE_ANSWER),
        events=200,
    ),
    _BIG: Case(
        serve=_reference(_read_frame),
        event=_frame(_LARGE),
        answer=Answer(_REFERENCE_ANSWER),
        events=50,
    ),
}
"""What cases are divided by."""


def _cases(suffix: str, settings: Mapping[str, Any]) -> dict[str, Case]:
    """The driver's cases under a server's settings."""
    upgrade = wire.ws_request(_SELF_ID, bodies.AUTHORIZATION)
    http = Case(
        serve=_nbdriver,
        settings=settings,
        event=_http_event(),
        answer=Answer(b"HTTP/1.1 204 ", b"\r\n\r\n"),
        events=200,
        reference=_SMALL,
    )
    websocket = replace(http, opening=upgrade, event=_frame(), answer=Answer(_called()))
    large = replace(websocket, event=_frame(_LARGE), events=50, reference=_BIG)
    return {
        f"HTTP{suffix}": http,
        f"WebSocket{suffix}": websocket,
        f"WebSocket, {_LARGE // 1000} kB{suffix}": large,
    }


CASES = _cases("", {})
"""What is held to its recorded count."""
if "fast_lane" in {each.name for each in fields(ServerConfig)}:
    CASES |= _cases(", plain way", {"fast_lane": False})


# Walking it.


class _Client:
    """One connection that sends an event, sees the answer, and sends the next."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._left = 0
        self._received = b""

    async def exchange(self, event: bytes, answer: Answer, times: int) -> None:
        """Send `event` so often, each after the answer to the last. Raises WrongAnswer."""
        loop = asyncio.get_running_loop()
        self._event, self._answer, self._left = event, answer, times
        self._done = loop.create_future()
        loop.add_reader(self._socket, self._read)
        self._send()
        try:
            await self._done
        finally:
            loop.remove_reader(self._socket)

    def _send(self) -> None:
        if self._socket.send(self._event) != len(self._event):
            self._done.set_exception(WrongAnswer("expected a socket that holds a whole event"))

    def _read(self) -> None:
        data = self._socket.recv(_BUFFER)
        received = self._received = self._received + data
        answer = self._answer
        if received.startswith(answer.begin) and received.endswith(answer.end):
            self._received = b""
            self._left -= 1
            if self._left:
                self._send()
            else:
                self._done.set_result(None)
        elif not data or not answer.begin.startswith(received[: len(answer.begin)]):
            self._done.set_exception(WrongAnswer(f"expected {answer}, got {received[:300]!r}"))


async def walk(case: Case, mark: Callable[[], object] = lambda: None) -> None:
    """Serve a case's events; `mark` is called before and after those that are counted.

    Raises WrongAnswer, or TimeoutError if an answer does not come.
    """
    tally = Tally()
    with socket.socket() as listening, socket.socket() as client:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        async with asyncio.timeout(_PATIENCE), case.serve(listening, tally, case.settings):
            client.connect(listening.getsockname())
            await _converse(_Client(client), case, mark)
            client.close()
    if tally.events != (expected := WARM_UP + case.events):
        raise WrongAnswer(f"expected {expected} calls of the bot, got {tally.events}")


async def _converse(client: _Client, case: Case, mark: Callable[[], object]) -> None:
    if case.opening:
        await client.exchange(case.opening, Answer(b"HTTP/1.1 101 ", b"\r\n\r\n"), 1)
    await client.exchange(case.event, case.answer, WARM_UP)
    # A full collection looks at every module that was imported; whether one falls among so few
    # events would be an accident. Collections of what the events leave are counted.
    gc.collect()
    gc.freeze()
    try:
        mark()
        await client.exchange(case.event, case.answer, case.events)
        mark()
    finally:
        gc.unfreeze()


def main() -> None:
    """Walk every case in a process of its own, and print its number and the case's name."""
    for name, case in {**REFERENCES, **CASES}.items():
        if (pid := os.fork()) == 0:
            # Nobody else calls that function of libc, so valgrind knows the place by its name.
            asyncio.run(walk(case, lambda: os.getsid(0)))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if code := os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{name}: its process ended with {code}")
        print(json.dumps({"case": name, "pid": pid}), flush=True)
