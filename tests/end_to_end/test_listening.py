"""Where it listens, as clients and other processes see it that we did not write."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from support.bots import RecordingBot
from support.echo import make_driver
from support.leaks import nothing_left
from support.loops import on_each_loop
from support.program import PATIENCE, ROOT, program
from websockets.asyncio.client import unix_connect

ID = {"X-Self-ID": "1"}
EVENT = {"text": "你好"}


@asynccontextmanager
async def serving_at(place: str, **settings: Any) -> AsyncIterator[type[RecordingBot]]:
    """Serve a bot that is reached at `place`; gives its adapter, which keeps what it got."""
    driver = make_driver()
    async with driver.serve(listen=place, **settings):
        yield driver._adapters["echo"]


@on_each_loop
async def test_httpx_posts_events_through_a_unix_socket(tmp_path: Path) -> None:
    path = f"{tmp_path}/s"
    transport = httpx.AsyncHTTPTransport(uds=path)
    async with (
        serving_at(f"unix:{path}", max_body=2**21) as adapter,
        httpx.AsyncClient(transport=transport, headers=ID) as client,
    ):
        for _ in range(3):
            response = await client.post("http://localhost/echo/", json=EVENT)
            assert response.status_code == 204
        large = {"text": "大" * 350_000}
        assert (await client.post("http://localhost/echo/", json=large)).status_code == 204
        # A refusal can be read, although the request that it is for was not.
        refused = await client.post("http://localhost/echo/", content=b" " * (2**21 + 1))
        assert refused.status_code == 413
        assert refused.text.startswith("expected a body of at most 2097152 bytes")
    assert adapter.messages == [EVENT] * 3 + [large]
    assert list(tmp_path.iterdir()) == []


@on_each_loop
async def test_websockets_talks_to_a_bot_through_a_unix_socket(tmp_path: Path) -> None:
    path = f"{tmp_path}/s"
    async with serving_at(f"unix:{path}", deflate=True):
        address = "ws://localhost/echo/ws"
        async with unix_connect(path, address, additional_headers=ID) as websocket:
            for message in (EVENT, {"text": "大" * 100_000}):
                await websocket.send(json.dumps(message))
                assert json.loads(await websocket.recv()) == {"got": message}


@on_each_loop
async def test_aiohttp_talks_to_a_bot_through_a_unix_socket(tmp_path: Path) -> None:
    path = f"{tmp_path}/s"
    async with serving_at(f"unix:{path}") as adapter:
        connector = aiohttp.UnixConnector(path)
        async with aiohttp.ClientSession(connector=connector, headers=ID) as session:
            async with session.post("http://localhost/echo/", json=EVENT) as response:
                assert response.status == 204
            async with session.ws_connect("http://localhost/echo/ws") as websocket:
                await websocket.send_json(EVENT)
                assert await websocket.receive_json() == {"got": EVENT}
        assert adapter.messages == [EVENT] * 2


async def test_a_program_that_systemd_starts_serves_the_sockets_that_it_was_passed(
    tmp_path: Path,
) -> None:
    activation = str(ROOT / "tests" / "support" / "activation.py")
    sockets = ("127.0.0.1:0", "unix:s", "--")
    command = (activation, *sockets, "-m", "nbdriver", "demo", "--port", "1")
    async with nothing_left(), program(*command, cwd=tmp_path) as served:
        match = await served.read_err(r"Listening on (http://127\.0\.0\.1:\d+), unix:s\n")
        through = httpx.AsyncHTTPTransport(uds=str(tmp_path / "s"))
        for url, transport in ((match[1], None), ("http://localhost", through)):
            async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
                answer = await client.post(f"{url}/onebot/", headers=ID, json={"post_type": "x"})
                assert answer.status_code == 204
        served.interrupt()
        assert await served.ended() == 0
        # The file is the one's who made it.
        assert (tmp_path / "s").is_socket()


async def test_two_processes_share_a_port_and_one_goes_on_when_the_other_stops(
    tmp_path: Path,
) -> None:
    command = ("-m", "nbdriver", "demo", "--reuse-port", "--no-access-log")
    async with nothing_left(), AsyncExitStack() as stack:
        first = await stack.enter_async_context(
            program(*command, "--port", "0", "--server-header", "first", cwd=tmp_path)
        )
        port = str(await first.port())
        second = await stack.enter_async_context(
            program(*command, "--port", port, "--server-header", "second", cwd=tmp_path)
        )
        assert await second.port() == int(port)
        # By chance it would take 2 ** 64 tries for one of them to get every connection.
        assert await servers(int(port), 64) == {"first", "second"}
        first.interrupt()
        assert await first.ended() == 0
        assert await servers(int(port), 10) == {"second"}
        second.interrupt()
        assert await second.ended() == 0


async def servers(port: int, connections: int) -> set[str]:
    """Who answers, by the Server header, when one connects anew each time."""
    found = set()
    anew = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=PATIENCE, limits=anew) as client:
        for _ in range(connections):
            answer = await client.get(f"http://127.0.0.1:{port}/")
            found.add(answer.headers["server"])
    return found
