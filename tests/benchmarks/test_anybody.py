"""A server that is not ours is measured by its address, and its wrong answers are told."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from support.measured import Address, answering, floor

from benchmarks.anybody import Anybody, Outcome, measure_anybody
from benchmarks.histogram import Histogram
from benchmarks.load import LoadError


@asynccontextmanager
async def onebot(*, echoes: bool = True) -> AsyncIterator[tuple[Address, list[str]]]:
    """A OneBot server by aiohttp, whose bot waits for the results of its calls."""
    calls: list[str] = []

    async def post(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer secret":
            return web.Response(status=401)
        await request.json()
        return web.json_response({"reply": "a body"})

    async def connect(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.ping()
        async for message in websocket:
            event = message.json()
            if "echo" in event:
                calls.append(event["status"])
            elif echoes:
                await websocket.send_json({"action": "send_msg", "params": {}, "echo": 7})
        return websocket

    app = web.Application()
    app.router.add_post("/onebot/http", post)
    app.router.add_get("/onebot/ws", connect)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][:2], calls
    finally:
        await runner.cleanup()


def server(address: Address, job: str = "http", **more: object) -> Anybody:
    given: dict[str, object] = {"address": address, "job": job, "token": "secret"}
    given |= {"connections": 2, "seconds": 0.05, "warm_up": 0.02}
    return Anybody(**(given | more))  # type: ignore[arg-type]  # a test names what it needs


async def test_posted_events_are_answered_by_a_status_of_success() -> None:
    async with onebot() as (address, _):
        outcome = await measure_anybody(server(address, pid=os.getpid()))
    assert outcome.events >= 2
    assert outcome.server_cpu is not None
    assert outcome.server_cpu > 0
    assert "us/event" in outcome.text()


async def test_a_bot_is_given_the_results_of_its_calls() -> None:
    async with onebot() as (address, calls):
        outcome = await measure_anybody(server(address, "websocket"))
    assert outcome.events >= 2
    assert set(calls) == {"ok"}
    assert outcome.server_cpu is None
    assert "us/event" not in outcome.text()


async def test_a_refusal_is_told_with_its_status() -> None:
    async with onebot() as (address, _):
        with pytest.raises(
            LoadError, match="expected an answer of 2xx to a POST /onebot/http, got"
        ):
            await measure_anybody(server(address, token="wrong"))
        with pytest.raises(LoadError, match="expected a WebSocket at /nowhere, got 404"):
            await measure_anybody(server(address, "websocket", path="/nowhere"))


async def test_a_bot_that_does_not_answer_is_told() -> None:
    async with onebot(echoes=False) as (address, _):
        with pytest.raises(LoadError, match="no event was answered"):
            await measure_anybody(server(address, "websocket"))


async def test_a_malformed_answer_is_told() -> None:
    async def malformed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"nonsense\r\n\r\n")
        await reader.read()

    async with answering(malformed) as address:
        for job in ("http", "websocket"):
            with pytest.raises(LoadError, match="the server's answer is malformed"):
                await measure_anybody(server(address, job))


async def test_a_server_that_is_not_there_is_told() -> None:
    async with floor() as (address, _):
        pass
    with pytest.raises(LoadError, match=f"^nothing listens at 127.0.0.1:{address[1]}$"):
        await measure_anybody(server(address))


async def test_an_address_that_is_none_is_told_with_what_the_system_says() -> None:
    with pytest.raises(LoadError, match=r"^could not connect to 255\.255\.255\.255:9: "):
        await measure_anybody(server(("255.255.255.255", 9)))


async def test_a_process_that_is_not_there_is_told() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(LoadError, match=f"expected a process {gone.pid} on this machine"):
        await measure_anybody(server(("127.0.0.1", 1), pid=gone.pid))


async def test_a_process_that_serves_something_else_is_told() -> None:
    async with onebot() as (address, _):
        parent = os.getppid()
        with pytest.raises(LoadError, match=f"process {parent} does not listen at .*; process"):
            await measure_anybody(server(address, pid=parent))


def outcome(server_cpu: float | None, generator_cpu: float, connections: int = 2) -> Outcome:
    """A hundred events in a second."""
    took = Histogram()
    took.record([50_000] * 100)
    anybody = server(("127.0.0.1", 1), "websocket", connections=connections)
    return Outcome(anybody, took, 1.0, server_cpu, generator_cpu, 2**20)


def test_a_generator_that_was_the_limit_is_told() -> None:
    assert outcome(None, 0.95).text().splitlines() == [
        "websocket at /onebot/ws, 2 connections:",
        "100 events in 1.00 s: 100/s",
        "from event to answer: median 50 us, p99 50, highest 50",
        "memory of its process: 1.0 MiB",
        "the load generator took 95% of a core, which was the limit",
    ]


def test_what_was_asked_for_is_told() -> None:
    asked = server(("127.0.0.1", 1), path="/x", connections=1)
    told = replace(outcome(None, 0.5), server=asked).text()
    assert told.startswith("http at /x, 1 connection:\n")


@pytest.mark.parametrize(
    ("server_cpu", "generator_cpu", "connections", "held_up"),
    [
        (0.6, 0.7, 2, True),
        (0.95, 0.7, 2, False),
        (0.6, 0.95, 2, False),
        (None, 0.7, 2, False),
        # On one connection they take turns, and so share what is there.
        (0.5, 0.45, 1, False),
        (0.4, 0.4, 1, True),
    ],
)
def test_time_in_which_neither_side_worked_is_told(
    server_cpu: float | None, generator_cpu: float, connections: int, held_up: bool
) -> None:
    told = outcome(server_cpu, generator_cpu, connections).text()
    assert ("the machine was busy elsewhere" in told) is held_up
