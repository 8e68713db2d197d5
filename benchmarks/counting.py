"""What an event is made of, counted: `python -m benchmarks.counting NAME`.

Nothing is timed. The server is in this process, on asyncio's own loop, and so is its client, a bare
socket that is used between two turns of the loop; the turns are taken one by one, and meanwhile
`sys.setprofile` sees each call of a function. All servers but granian, which has processes of its
own, can be counted, each in the environment where it is installed.

The loop takes as many turns for each event, and what so many turns without an event are made of is
subtracted: of many connections, most share a turn. What is given is the median over events, since
some that is done once a second may fall into any.

Garbage is not collected meanwhile. For memory, `sys.getallocatedblocks` is asked at each call and
each return, which gives the most blocks that an event has held at a time; those larger than 512
bytes, such as that which is read into, are not among them, nor what Python keeps for the next of
its kind. The peak in bytes, as tracemalloc gives it, would be asyncio's 256 KiB for each read and
little else.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import statistics
import sys
from asyncio.base_events import BaseEventLoop
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from inspect import CO_COROUTINE
from types import CodeType, FrameType
from typing import Any

from . import bodies, wire
from .application import Tally
from .servers import SERVERS, hide_orjson
from .serving import HOST, Serving, Started

__all__ = ["COUNTED", "PLAIN", "count", "main"]

COUNTED = (
    "tasks",
    "coroutines",
    "futures",
    "timers",
    "callbacks",
    "reads",
    "writes",
    "functions",
    "blocks",
)
"""What is counted, in the order in which it is told."""
PLAIN = "nbdriver, plain way"
"""Our server without its fast lane."""

_WARM_UP = 100
_EVENTS = 50
#: Turns of the loop for an event; before Python 3.12 ours takes three, and uvicorn four.
_TURNS = 8
_SELF_ID = str(bodies.first_self_id)
_PATIENCE = 10.0

Profile = Callable[[FrameType, str, Any], object]

_READING = frozenset({"recv", "recv_into"})
_WRITING = frozenset({"send", "sendmsg"})

#: What of the loop is counted by its code, which is the same for every loop in Python.
_OF_THE_LOOP: dict[CodeType, str] = {
    BaseEventLoop.create_future.__code__: "futures",
    BaseEventLoop.call_at.__code__: "timers",
    BaseEventLoop.call_soon.__code__: "callbacks",
}


class WrongAnswer(Exception):
    """A server answered something else than it should have, or not within its turns."""


class _Calls:
    """Counts what is called while it is the thread's profile (`sys.setprofile`)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.counts: Counter[str] = Counter()
        self._loop = loop
        self._tasks = set(asyncio.all_tasks(loop))

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            self._called(frame)
        elif event == "c_call" and isinstance(getattr(argument, "__self__", None), socket.socket):
            self.counts["reads"] += argument.__name__ in _READING
            self.counts["writes"] += argument.__name__ in _WRITING

    def _called(self, frame: FrameType) -> None:
        # The last two bits of RESUME's argument (see `dis`) are 0 at a start, else it goes on.
        if frame.f_code.co_code[frame.f_lasti + 1] & 3:
            return
        counts = self.counts
        counts["functions"] += 1
        counts["coroutines"] += bool(frame.f_code.co_flags & CO_COROUTINE)
        if frame.f_code in _OF_THE_LOOP:
            counts[_OF_THE_LOOP[frame.f_code]] += 1
        # Each task runs something, or it would not be needed.
        task = asyncio.current_task(self._loop)
        if task is not None and task not in self._tasks:
            self._tasks.add(task)
            counts["tasks"] += 1


class _Blocks:
    """Sees how many blocks of memory there are at the most while it is the thread's profile."""

    def __init__(self) -> None:
        self._before = self._most = sys.getallocatedblocks()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        blocks = sys.getallocatedblocks()
        if blocks > self._most:
            self._most = blocks

    @property
    def counts(self) -> Counter[str]:
        return Counter(blocks=self._most - self._before)


class _Client:
    """A bare socket that sends events between the turns of the server's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self._loop = loop
        self._socket = socket.create_connection((HOST, port), _PATIENCE)

    def open(self, kind: str) -> None:
        """See that events of that kind can be sent."""
        body = bodies.dumps(bodies.event(bodies.first_self_id, 1)).encode()
        if kind == "http":
            self._event = wire.http_request(body, _SELF_ID, bodies.AUTHORIZATION)
            self._answer = b"HTTP/1.1 204 "
            self._turn()
        else:
            self._event = wire.client_frame(body)
            params = bodies.reply(bodies.event(bodies.first_self_id, 1))
            called = bodies.action("send_msg", params, _SELF_ID)
            self._answer = wire.server_frame(bodies.dumps(called).encode())
            self._socket.sendall(wire.ws_request(_SELF_ID, bodies.AUTHORIZATION))
            self._turn()
            self._expect(b"HTTP/1.1 101 ")

    def close(self) -> None:
        self._socket.close()
        self._turn()

    def _turn(self) -> None:
        for _ in range(_TURNS):
            # One turn, as the documentation of `run_forever` has it.
            self._loop.stop()
            self._loop.run_forever()

    def _expect(self, answer: bytes) -> None:
        self._socket.setblocking(False)
        try:
            received = self._socket.recv(65_536)
        except BlockingIOError:
            raise WrongAnswer(f"expected an answer within {_TURNS} turns of the loop") from None
        if not received.startswith(answer):
            raise WrongAnswer(f"expected {answer!r}, got {received[:300]!r}")

    def exchange(self) -> None:
        """One event that is not counted."""
        self.counted(None, event=True)

    def counted(self, profile: Profile | None, *, event: bool) -> None:
        """What an event is made of, or, without one, the turns that it takes."""
        if event:
            self._socket.sendall(self._event)
        sys.setprofile(profile)
        try:
            self._turn()
        finally:
            sys.setprofile(None)
        if event:
            self._expect(self._answer)


def count(serve: Serving, kinds: Iterable[str]) -> dict[str, dict[str, int]]:
    """What an event is made of, by kinds: `http`, `websocket`. Raises WrongAnswer."""
    with closing(asyncio.SelectorEventLoop()) as loop:
        started: asyncio.Future[int] = loop.create_future()
        ended: asyncio.Future[None] = loop.create_future()

        async def host() -> None:
            # Entered and left in one task, as servers expect.
            async with serve(Tally(), 0) as server:
                started.set_result(server.port)
                await ended

        hosting = loop.create_task(host())
        either: list[asyncio.Future[Any]] = [hosting, started]
        loop.run_until_complete(asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED))
        try:
            return {kind: _count(loop, kind, started.result()) for kind in kinds if started.done()}
        finally:
            ended.set_result(None)
            # Raises what has kept it from starting, if anything has.
            loop.run_until_complete(hosting)


def _count(loop: asyncio.AbstractEventLoop, kind: str, port: int) -> dict[str, int]:
    client = _Client(loop, port)
    try:
        client.open(kind)
        for _ in range(_WARM_UP):
            client.exchange()
        gc.collect()
        gc.disable()
        taken = [_count_once(loop, client) for _ in range(_EVENTS)]
    finally:
        gc.enable()
        client.close()
    return {what: statistics.median_low(each[what] for each in taken) for what in COUNTED}


def _count_once(loop: asyncio.AbstractEventLoop, client: _Client) -> Counter[str]:
    """One event for the calls, one for the memory; of each, the turns are subtracted."""
    total: Counter[str] = Counter()
    for make in (lambda: _Calls(loop), _Blocks):
        with_event, without = make(), make()
        client.counted(with_event, event=True)
        client.counted(without, event=False)
        total.update(with_event.counts)
        total.subtract(without.counts)
    return total


@asynccontextmanager
async def _plain_way(tally: Tally, port: int) -> AsyncIterator[Started]:
    from .bot import make_driver

    driver = make_driver(tally)
    async with driver.serve(HOST, port, access_log=False, fast_lane=False) as server:
        _, listening = server.addresses[0]
        assert listening is not None
        yield Started(listening)


def main() -> None:
    """Count what the command line says, and print it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counting")
    parser.add_argument("name", choices=[PLAIN, *SERVERS])
    name = parser.parse_args().name
    hide_orjson()
    own = name == PLAIN
    entry = SERVERS["nbdriver" if own else name]
    print(json.dumps(count(_plain_way if own else entry.serve, sorted(entry.kinds))))


if __name__ == "__main__":
    main()
