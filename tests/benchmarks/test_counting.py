"""What an event is made of is counted: of servers that make just so much of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.application import Tally
from benchmarks.counting import COUNTED, PLAIN, WrongAnswer, count
from benchmarks.floor import FloorProtocol
from benchmarks.servers import SERVERS
from benchmarks.serving import HOST, Started

ROOT = Path(__file__).resolve().parents[2]


async def _nothing() -> None:
    pass


def _task(loop: asyncio.AbstractEventLoop) -> object:
    return loop.create_task(_nothing())


def _future(loop: asyncio.AbstractEventLoop) -> object:
    return loop.create_future()


def _timer(loop: asyncio.AbstractEventLoop) -> object:
    return loop.call_later(1_000, print).cancel()


def _callback(loop: asyncio.AbstractEventLoop) -> object:
    return loop.call_soon(abs, 1)


def _objects(loop: asyncio.AbstractEventLoop) -> object:
    return [object() for _ in range(1_000)]


def counted(extra: Callable[[asyncio.AbstractEventLoop], object] | None = None) -> dict[str, int]:
    """The counts of a floor that does something else with each event."""

    class Protocol(FloorProtocol):
        def data_received(self, data: bytes) -> None:
            if extra is not None:
                extra(asyncio.get_running_loop())
            super().data_received(data)

    @asynccontextmanager
    async def serve(tally: Tally, port: int) -> AsyncIterator[Started]:
        loop = asyncio.get_running_loop()
        async with await loop.create_server(lambda: Protocol(tally), HOST, port) as server:
            yield Started(server.sockets[0].getsockname()[1])

    return count(serve, ["http"])["http"]


def test_the_floor_reads_and_writes_once_and_makes_nothing_of_the_loop_s() -> None:
    counts = counted()
    assert list(counts) == list(COUNTED)
    assert (counts["reads"], counts["writes"]) == (1, 1)
    assert not any(counts[what] for what in ("tasks", "coroutines", "futures", "timers"))
    assert counts["functions"] > 2


@pytest.mark.parametrize(
    ("extra", "more"),
    [
        # A task calls its coroutine back, and is called by the loop.
        (_task, {"tasks": 1, "coroutines": 1, "callbacks": 1}),
        (_future, {"futures": 1}),
        (_timer, {"timers": 1}),
        (_callback, {"callbacks": 1}),
    ],
)
def test_each_kind_is_counted(
    extra: Callable[[asyncio.AbstractEventLoop], Any], more: dict[str, int]
) -> None:
    floor, counts = counted(lambda _: None), counted(extra)
    assert {
        what: counts[what] - floor[what]
        for what in ("tasks", "coroutines", "futures", "timers", "callbacks", "reads", "writes")
        if counts[what] != floor[what]
    } == more
    assert counts["functions"] > floor["functions"]


def test_blocks_are_those_that_are_held_at_a_time() -> None:
    # They are gone again when the rest of the event comes to its own most.
    assert counted()["blocks"] < 100
    assert 1_000 <= counted(_objects)["blocks"] < 1_100


def test_the_same_is_counted_twice() -> None:
    serve = SERVERS["nbdriver"].serve
    kinds = ("http", "websocket")
    first, second = count(serve, kinds), count(serve, kinds)
    for kind in kinds:
        assert {**first[kind], "blocks": 0} == {**second[kind], "blocks": 0}
        assert first[kind]["coroutines"] >= 2


def test_an_answer_that_does_not_come_is_told() -> None:
    @asynccontextmanager
    async def serve(tally: Tally, port: int) -> AsyncIterator[Started]:
        loop = asyncio.get_running_loop()
        async with await loop.create_server(asyncio.Protocol, HOST, port) as server:
            yield Started(server.sockets[0].getsockname()[1])

    with pytest.raises(WrongAnswer, match="expected an answer within"):
        count(serve, ["http"])


def test_a_server_that_does_not_start_is_told() -> None:
    @asynccontextmanager
    async def serve(tally: Tally, port: int) -> AsyncIterator[Started]:
        raise OSError("no port is free")
        yield  # what makes it a generator

    with pytest.raises(OSError, match="no port is free"):
        count(serve, ["http"])


@pytest.mark.parametrize("name", ["nbdriver", PLAIN])
def test_the_command_prints_what_it_counted(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.counting", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    counts = json.loads(done.stdout)
    assert counts.keys() == {"http", "websocket"}
    assert all(each["reads"] == each["writes"] == 1 for each in counts.values())
