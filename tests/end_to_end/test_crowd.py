"""Two hundred connections at once, by HTTP and by WebSocket, and none gets what is another's."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import aiohttp
import httpx
from support.echo import Echo, serving
from support.loops import on_each_loop
from websockets.asyncio.client import connect

MESSAGES = 3


async def by_websockets(echo: Echo, who: str, everybody: asyncio.Barrier) -> None:
    options = {"additional_headers": {"X-Self-ID": who}, "proxy": None, "open_timeout": 60}
    async with connect(echo.ws, **options) as websocket:
        await everybody.wait()
        for number in range(MESSAGES):
            await websocket.send(json.dumps({"who": who, "number": number}))
        for number in range(MESSAGES):
            assert json.loads(await websocket.recv()) == {"got": {"who": who, "number": number}}


async def by_aiohttp(echo: Echo, who: str, everybody: asyncio.Barrier) -> None:
    async with (
        aiohttp.ClientSession(headers={"X-Self-ID": who}) as client,
        client.ws_connect(echo.ws) as websocket,
    ):
        await everybody.wait()
        for number in range(MESSAGES):
            await websocket.send_json({"who": who, "number": number})
            assert await websocket.receive_json() == {"got": {"who": who, "number": number}}


async def by_post(echo: Echo, who: str, everybody: asyncio.Barrier) -> None:
    # Without `verify=False` each client would read all certificates of the machine.
    async with httpx.AsyncClient(headers={"X-Self-ID": who}, verify=False, timeout=60) as client:
        await everybody.wait()
        for number in range(MESSAGES):
            response = await client.post(echo.http, json={"who": who, "number": number})
            assert response.status_code == 204


@on_each_loop
async def test_two_hundred_connections_at_once() -> None:
    ways = [by_websockets] * 50 + [by_aiohttp] * 50 + [by_post] * 100
    async with serving() as echo:
        everybody = asyncio.Barrier(len(ways))
        async with asyncio.TaskGroup() as crowd:
            for number, way in enumerate(ways):
                crowd.create_task(way(echo, str(number), everybody))
        assert len(echo.messages) == 200 * MESSAGES
        of_each = Counter(message["who"] for message in echo.messages)
        assert of_each == {str(number): MESSAGES for number in range(200)}


@on_each_loop
async def test_a_flood_of_events_for_a_slow_bot_is_slowed_down_and_none_is_lost() -> None:
    count = 2_000
    options = {"additional_headers": {"X-Self-ID": "1"}, "proxy": None, "max_size": None}
    async with (
        serving(max_pending=10, max_parked="16KiB") as echo,
        connect(echo.ws, **options) as websocket,
    ):

        async def flood() -> None:
            for number in range(count):
                await websocket.send(json.dumps({"wait": "gate", "number": number}))

        flooding = asyncio.create_task(flood())
        while not echo.reading_is_paused("1") or len(echo.messages) < 10:
            await asyncio.sleep(0)
        # Others are served meanwhile, though all the places are taken.
        async with connect(echo.ws, additional_headers={"X-Self-ID": "2"}, proxy=None) as other:
            await (await other.ping())
        echo.adapter.release("gate")
        got = [json.loads(await websocket.recv())["got"]["number"] for _ in range(count)]
        await flooding
    assert [message["number"] for message in echo.messages] == list(range(count))
    assert sorted(got) == list(range(count))
