"""nonebot-adapter-satori, which reaches out by WebSocket and by HTTP, and satori-python-server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.bots import Host, has_echoed, running_bot
from adapters.environments import SATORI
from adapters.processes import Process, free_port, process

NAME = "Satori"
PEER = Path(__file__).with_name("peers") / "satori_server.py"
SELF_ID = "test:10001"
TOKEN = "s3cret"


@asynccontextmanager
async def satori_server(folder: Path) -> AsyncIterator[tuple[Process, dict[str, object]]]:
    """Run the server; gives the settings as well by which a bot finds it."""
    port = free_port()
    command = (SATORI.interpreter, PEER, str(port), TOKEN)
    client = {"host": "127.0.0.1", "port": port, "token": TOKEN}
    async with process(*command, cwd=folder, port=port) as peer:
        await peer.says("Uvicorn running")
        yield peer, {"SATORI_CLIENTS": [client]}


async def test_messages_come_by_websocket_and_are_answered_by_http(
    host: Host, tmp_path: Path
) -> None:
    async with (
        satori_server(tmp_path) as (peer, settings),
        running_bot(host, tmp_path, "satori", **settings) as bot,
    ):
        assert await bot.marks("connect") == [NAME, SELF_ID]
        for times, text in enumerate(("你好", "长" * 50_000), start=1):
            peer.tell(text=f"/echo {text}")
            assert await peer.marks("message.create", times) == ["渠道", text]
            await has_echoed(bot, times)
        peer.tell(text='/call {"api": "user_get", "user_id": "小红"}')
        assert "小红" in await bot.marks("result")


async def test_a_file_is_uploaded_and_downloaded(host: Host, tmp_path: Path) -> None:
    async with (
        satori_server(tmp_path) as (peer, settings),
        running_bot(host, tmp_path, "satori", "satori_upload", **settings) as bot,
    ):
        assert await bot.marks("connect") == [NAME, SELF_ID]
        peer.tell(text="/upload")
        assert await bot.marks("uploaded") is True


async def test_it_connects_again_when_the_server_has_closed(host: Host, tmp_path: Path) -> None:
    async with (
        satori_server(tmp_path) as (peer, settings),
        running_bot(host, tmp_path, "satori", errors=1, **settings) as bot,
    ):
        await bot.marks("connect")
        peer.tell(close=True)
        assert await bot.marks("disconnect") == [NAME, SELF_ID]
        assert await bot.marks("connect", times=2) == [NAME, SELF_ID]
        peer.tell(text="/echo 又来了")
        assert await peer.marks("message.create") == ["渠道", "又来了"]
        await has_echoed(bot)
