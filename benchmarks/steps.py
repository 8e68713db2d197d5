"""Where the steps of an event begin and end: what `anatomy` lets callgrind count.

The real server is asked by a real client, which is a process of its own, so that nothing of it is
counted; nor is what the kernel does. Each case is walked twice: with `marks` at all boundaries, and
with none but those between two events, which gives the whole. What the two differ by is what the
marks have spoiled, such as the interpreter's own short cuts from one function to the next.

Names of the driver's own functions stand here, so that a step can be found; who renames one is told
so by the test of this module.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

from . import bodies, wire
from .application import Tally
from .bot import make_driver
from .floor import FloorProtocol
from .marks import OUTSIDE, Log, Marks, calibrate

__all__ = [
    "BOUNDARIES",
    "CALIBRATION",
    "CASES",
    "EVENTS",
    "OUTERMOST",
    "STEPS",
    "Case",
    "WrongAnswer",
    "main",
    "walk",
    "whole",
]

WARM_UP = 100
"""Events before those that are counted: caches fill, and the interpreter specialises its code."""
EVENTS = 10
"""How many are counted. With some thirty marks in each that makes as many files of callgrind's."""
CALIBRATION = "calibration"
"""The name under which it is printed, beside those of the cases."""

_CONNECTION = "connection"
_SELF_ID = str(bodies.first_self_id)
#: Seconds for a case under valgrind, on a machine that does something else as well.
_PATIENCE = 120.0

STEPS = {
    OUTSIDE: ("the event loop and its transport: select, recv, send", "asyncio"),
    _CONNECTION: ("the connection: its stream, states, deadlines", "net/stream, http11, websocket"),
    "head": ("head and body recognised", "wire/exchange, head, body"),
    "request": ("the request made, and who may have sent it", "net/http11, wire/origin"),
    "frame": ("the frame read and unmasked", "wire/session, frames"),
    "route": ("route, bot, and a place for the event", "dispatch, bot_connection"),
    "JSON": ("JSON read", "codec"),
    "permission": ("permission asked", "dispatch, the bot"),
    "task": ("tasks made and held", "net/tasks"),
    "bot": ("the event handled", "the bot"),
    "dumps": ("JSON written", "codec"),
    "send": ("the message taken to be sent", "net/websocket"),
    "answer": ("the answer, or its frame, built", "net/http11, wire/answer, frames"),
    "write": ("the bytes given to the transport", "net/stream"),
    "next": ("the next request awaited", "net/http11"),
}
"""What the steps are, and in which modules, in about the order in which an event comes to them."""

Boundaries = tuple[tuple[str, str], ...]

OUTERMOST: Boundaries = (
    (_CONNECTION, "nbdriver.net.stream:Stream.data_received"),
    (_CONNECTION, "benchmarks.floor:FloorProtocol.data_received"),
    (_CONNECTION, "benchmarks.floor:_FloorWebSocket.data_received"),
)
"""What the loop calls with an event: the boundary between two of them."""
BOUNDARIES: Boundaries = (
    *OUTERMOST,
    (OUTSIDE, "asyncio.selector_events:_SelectorSocketTransport.write"),
    ("head", "nbdriver.wire.exchange:Exchange.read_whole"),
    ("head", "nbdriver.wire.exchange:Exchange.read_head"),
    ("head", "nbdriver.wire.exchange:Exchange.begin_body"),
    ("head", "nbdriver.wire.exchange:Exchange.read_body"),
    ("head", "nbdriver.wire.exchange:Exchange.take_body"),
    ("request", "nbdriver.net.http11:HTTPConnection._make_request"),
    ("request", "nbdriver.net.http11:HTTPConnection._check_provenance"),
    ("task", "nbdriver.net.tasks:Tasks.start"),
    (_CONNECTION, "nbdriver.net.http11:HTTPConnection._respond"),
    ("route", "nbdriver.dispatch:Dispatcher.handle_http"),
    ("JSON", "nbdriver.codec:loads_object"),
    ("JSON", "benchmarks.floor:loads"),
    ("permission", "nbdriver.dispatch:Dispatcher._ask_permission"),
    ("bot", "benchmarks.bot:BenchBot.handle_message"),
    ("answer", "nbdriver.net.http11:HTTPConnection._send"),
    ("write", "nbdriver.net.stream:Stream.write"),
    ("next", "nbdriver.net.http11:HTTPConnection._next"),
    ("frame", "nbdriver.wire.session:Session.read_whole"),
    ("frame", "nbdriver.wire.session:Session.next_event"),
    ("frame", "benchmarks.wire:mask"),
    ("route", "nbdriver.bot_connection:BotConnection.message_received"),
    ("dumps", "nbdriver.codec:dumps"),
    ("send", "nbdriver.net.websocket:WebSocketConnection.send"),
    ("answer", "nbdriver.wire.session:Session.message"),
)
"""The functions at which a step begins, and with whose return it ends."""


# The cases.


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of event, and how it is served."""

    kind: str
    """`http` or `websocket`."""
    fast_lane: bool | None
    """Of the driver's server; None is the floor."""

    @property
    def opening(self) -> bytes:
        """What is sent first, and answered with 101; empty for nothing."""
        is_http = self.kind == "http"
        return b"" if is_http else wire.ws_request(_SELF_ID, bodies.AUTHORIZATION)

    @property
    def event(self) -> bytes:
        """An event as the client sends it."""
        body = bodies.dumps(bodies.event(bodies.first_self_id, 1)).encode()
        if self.kind == "http":
            return wire.http_request(body, _SELF_ID, bodies.AUTHORIZATION)
        return wire.client_frame(body)

    def answered(self, received: bytes) -> bool:
        """Whether that is the whole answer to an event."""
        if self.kind == "http":
            return received.startswith(b"HTTP/1.1 204 ") and received.endswith(b"\r\n\r\n")
        params = bodies.reply(bodies.event(bodies.first_self_id, 1))
        action = bodies.action("send_msg", params, _SELF_ID)
        return received == wire.server_frame(bodies.dumps(action).encode())

    def serve(self, listening: socket.socket, tally: Tally) -> AbstractAsyncContextManager[object]:
        """Serve on a listening socket while an `async with` block runs."""
        if self.fast_lane is None:
            return _floor(listening, tally)
        place = f"fd:{listening.fileno()}"
        return make_driver(tally).serve(listen=place, access_log=False, fast_lane=self.fast_lane)


@asynccontextmanager
async def _floor(listening: socket.socket, tally: Tally) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: FloorProtocol(tally), sock=listening):
        yield


CASES = {
    f"{kind}, {name}": Case(kind, fast_lane)
    for kind in ("http", "websocket")
    for name, fast_lane in (("fast lane", True), ("plain way", False), ("floor", None))
}
"""What is counted, by names."""


# Walking it.


class WrongAnswer(Exception):
    """A server answered something else than it should have, or not all."""


def _ask(case: Case, address: tuple[str, int], told: socket.socket) -> None:
    """The client: send as many events as it is told to, each after the last one's answer."""
    with socket.create_connection(address, _PATIENCE) as connection:
        if case.opening:
            connection.sendall(case.opening)
            if not connection.recv(65_536).startswith(b"HTTP/1.1 101 "):
                return
        while events := told.recv(16):
            for _ in range(int(events)):
                connection.sendall(case.event)
                if not case.answered(connection.recv(65_536)):
                    return
            told.sendall(b".")


@contextmanager
def _client(case: Case, address: tuple[str, int]) -> Iterator[socket.socket]:
    """A client in a process of its own, which ends when this socket to it is closed."""
    ours, theirs = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        try:
            _ask(case, address, theirs)
        finally:
            os._exit(0)
    theirs.close()
    try:
        with ours:
            yield ours
    finally:
        os.waitpid(pid, 0)


async def walk(case: Case, marks: Marks) -> None:
    """Serve a case's events to a process that is forked for it; `marks` begin after the warm-up.

    Raises WrongAnswer, or TimeoutError.
    """
    tally = Tally()
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        _client(case, listening.getsockname()) as client,
    ):
        async with asyncio.timeout(_PATIENCE), case.serve(listening, tally):
            await _send(client, WARM_UP)
            with _undisturbed():
                marks.begin()
                # One more, whose beginning is the last one's end.
                await _send(client, EVENTS + 1)
                marks.end()
            client.close()
    if tally.events != (expected := WARM_UP + EVENTS + 1):
        raise WrongAnswer(f"expected {expected} calls of the bot, got {tally.events}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage is collected, and no time passes: what falls among so few events is an accident.

    Between two marks callgrind writes a file, so that a second has passed before the event is over:
    each would have a new Date, and find the clock of the deadlines ringing.
    """
    clocks = {name: getattr(time, name) for name in ("time", "monotonic")}
    gc.collect()
    gc.disable()
    for name, clock in clocks.items():
        # As a clock is, a function in C.
        setattr(time, name, itertools.repeat(clock()).__next__)
    try:
        yield
    finally:
        for name, clock in clocks.items():
            setattr(time, name, clock)
        gc.enable()


async def _send(client: socket.socket, events: int) -> None:
    loop = asyncio.get_running_loop()
    client.setblocking(False)
    await loop.sock_sendall(client, str(events).encode())
    if not await loop.sock_recv(client, 1):
        raise WrongAnswer("expected an answer to each event, and the client has given up")


def whole(log: Log) -> slice:
    """Where in a log its `EVENTS` are: each from one call of the connection to the next.

    Raises ValueError if there are not so many.
    """
    depth, begun = 0, []
    for place, each in enumerate(log):
        if each is None:
            depth -= 1
        else:
            step, is_coroutine = each
            # Where tasks cannot start at once (before Python 3.12), the loop calls coroutines too.
            if depth == 0 and step == _CONNECTION and not is_coroutine:
                begun.append(place)
            depth += 1
    if len(begun) != EVENTS + 1:
        raise ValueError(f"expected marks of {EVENTS + 1} events, got those of {len(begun)}")
    return slice(begun[0], begun[-1])


def main() -> None:
    """Calibrate, and walk each case twice; print of each the number of its process, and its log."""
    _fork(CALIBRATION, "", calibrate)
    for name, case in CASES.items():
        for marked, boundaries in (("steps", BOUNDARIES), ("whole", OUTERMOST)):
            _fork(name, marked, partial(_walk, case, boundaries))


def _walk(case: Case, boundaries: Boundaries, marks: Marks) -> None:
    with marks.placed(boundaries):
        asyncio.run(walk(case, marks))


def _fork(name: str, marked: str, work: Callable[[Marks], None]) -> None:
    """Do it in a process of its own, which has imported everything and run nothing."""
    if (pid := os.fork()) == 0:
        marks = Marks()
        work(marks)
        told = {"case": name, "marked": marked, "pid": os.getpid(), "log": marks.log}
        print(json.dumps(told), flush=True)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{name}: its process ended with {code}")
