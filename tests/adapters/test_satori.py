"""nonebot-adapter-satori, which reaches out by WebSocket and by HTTP, and satori-python-server."""

from __future__ import annotations

from pathlib import Path

from adapters.bots import Host, has_echoed, running_bot
from adapters.satori_peer import SELF_ID, satori_server

NAME = "Satori"


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
