"""Behind a real nginx and a real HAProxy, configured as the README and docs/proxies.md show it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from proxies.forwarding import FORWARDING
from proxies.proxying import CLIENT, NAME, PROXIES, Proxied, Proxy, listens, proxied, running_bot
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import PerMessageDeflate

EVENT = {"post_type": "message", "message_type": "private", "user_id": 42, "message": "你好"}
SPOOFED = {
    "Forwarded": "for=6.6.6.6;proto=https;host=evil.example",
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Real-IP": "6.6.6.6",
}


def test_there_is_a_proxy_to_test_with() -> None:
    found = [proxy for proxy in (*PROXIES, *FORWARDING) if not proxy.missing]
    assert found, "expected nginx, haproxy, tinyproxy or microsocks"


async def answered(websocket: ClientConnection, message: str = "hello") -> str:
    """Report a message, and give what the bot says to it."""
    await websocket.send(json.dumps({**EVENT, "message": message}))
    call = json.loads(await websocket.recv())
    await websocket.send(json.dumps({"status": "ok", "data": None, "echo": call["echo"]}))
    (segment,) = call["params"]["message"]
    text: str = segment["data"]["text"]
    return text


async def told(client: httpx.AsyncClient, headers: dict[str, str] | None = None) -> Any:
    """What the bot sees of a request: its client, its scheme, its Host."""
    answer = await client.post("/teller/", json=EVENT, headers=headers)
    assert answer.status_code == 418, answer.text
    return answer.json()


async def test_events_are_posted_and_the_bot_sees_who_posts_them(
    proxy: Proxy, tmp_path: Path
) -> None:
    async with proxied(proxy, tmp_path) as server, server.client() as client:
        assert (await client.post("/onebot/", json=EVENT)).status_code == 204
        assert await told(client) == [CLIENT, "http", NAME]
        assert (await client.post("/nobody/", json=EVENT)).status_code == 404


async def test_what_a_client_says_of_itself_is_not_believed(proxy: Proxy, tmp_path: Path) -> None:
    async with proxied(proxy, tmp_path) as server, server.client() as client:
        assert await told(client, SPOOFED) == [CLIENT, "http", NAME]
        twice = {name: f"{value}, {value}" for name, value in SPOOFED.items()}
        assert await told(client, twice) == [CLIENT, "http", NAME]


async def test_the_proxies_connections_are_kept_and_used_again(
    proxy: Proxy, tmp_path: Path
) -> None:
    async with proxied(proxy, tmp_path) as server, server.client() as client:
        await told_204(client)
        before = server.upstream()
        for _ in range(10):
            await told_204(client)
        assert server.upstream() == before


async def told_204(client: httpx.AsyncClient) -> None:
    assert (await client.post("/onebot/", json=EVENT)).status_code == 204


@pytest.mark.parametrize("deflate", ["true", "false"])
async def test_messages_go_both_ways_by_websocket(
    proxy: Proxy, tmp_path: Path, deflate: str
) -> None:
    async with (
        proxied(proxy, tmp_path, NBDRIVER_DEFLATE=deflate) as server,
        server.platform() as websocket,
    ):
        kinds = [type(extension) for extension in websocket.protocol.extensions]
        assert kinds == ([PerMessageDeflate] if deflate == "true" else [])
        for message in ("hello", "大" * 100_000, "bye"):
            assert await answered(websocket, message) == message
        assert await (await websocket.ping()) > 0


async def test_pages_of_the_host_are_let_in_and_others_are_not(
    proxy: Proxy, tmp_path: Path
) -> None:
    own, foreign = f"http://{NAME}", "http://evil.example"
    async with proxied(proxy, tmp_path) as server, server.client() as client:
        answer = await client.post("/onebot/", json=EVENT, headers={"Origin": own})
        assert answer.status_code == 204
        answer = await client.post("/onebot/", json=EVENT, headers={"Origin": foreign})
        assert answer.status_code == 403
        answer = await client.post("/onebot/", json=EVENT, headers={"Host": "evil.example"})
        # A Unix socket is particular about names only if some are listed.
        assert answer.status_code == (204 if proxy.unix else 403)
        async with server.platform(Origin=own) as websocket:
            assert await answered(websocket) == "hello"
        with pytest.raises(InvalidStatus, match="403"):
            await server.platform(Origin=foreign)


async def test_a_large_event_is_posted(proxy: Proxy, tmp_path: Path) -> None:
    async with proxied(proxy, tmp_path) as server, server.client() as client:
        large = {**EVENT, "message": "x" * 8_000_000}
        assert (await client.post("/onebot/", json=large)).status_code == 204
        larger = {**EVENT, "message": "x" * 17_000_000}
        assert (await client.post("/onebot/", json=larger)).status_code == 413


async def test_a_bot_that_is_started_anew_is_reached_again(proxy: Proxy, tmp_path: Path) -> None:
    async with proxied(proxy, tmp_path) as server, server.client() as client:
        async with server.platform() as websocket:
            assert await answered(websocket) == "hello"
            await stop(server)
            with pytest.raises(ConnectionClosed) as caught:
                await websocket.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001
        await nobody_answers(client)
        async with running_bot(tmp_path, server.bot_settings) as bot:
            assert await listens(bot) == server.bot_settings["PORT"]
            assert (await client.post("/onebot/", json=EVENT)).status_code == 204
            async with server.platform() as websocket:
                assert await answered(websocket) == "hello"


async def nobody_answers(client: httpx.AsyncClient) -> None:
    """A proxy that speaks HTTP says so itself, one that passes TCP on hangs up."""
    try:
        answer = await client.post("/onebot/", json=EVENT)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return
    assert answer.status_code in (502, 503)


async def stop(server: Proxied) -> None:
    server.bot.interrupt()
    assert await server.bot.ended() == 0
    assert "Traceback" not in server.bot.err


async def test_many_clients_at_once_are_told_apart(proxy: Proxy, tmp_path: Path) -> None:
    async def connected(server: Proxied, number: int) -> None:
        async with server.platform(str(number)) as websocket, server.client() as client:
            assert await answered(websocket, str(number)) == str(number)
            assert await told(client) == [CLIENT, "http", NAME]

    async with proxied(proxy, tmp_path) as server:
        await asyncio.gather(*(connected(server, number) for number in range(20)))
        await stop(server)
