"""How a bot's process ends inside NoneBot: the same on our driver and on NoneBot's own."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from hosts.clients import connected, message_event, post
from hosts.hosting import HOSTS, PATIENCE, TOKEN, BotProcess, Host
from websockets.exceptions import ConnectionClosed

SETTINGS = {"CQHTTP_ACCESS_TOKEN": TOKEN}
each_host = pytest.mark.parametrize("host", [host for host in HOSTS if not host.missing], ids=str)

#: The close code that a platform gets when the bot stops; uvicorn leaves without a word.
GOING_AWAY = {"nbdriver": 1001, "fastapi": None}
#: The exit code if the port is taken.
NOT_STARTED = {"nbdriver": 3, "fastapi": 1}


def marks(bot: BotProcess) -> list[str]:
    """What the hooks have seen: the first word of each."""
    return [line.split()[1] for line in bot.lines if line.startswith("MARK ")]


@each_host
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_with_exit_code_0_after_every_hook(
    host: Host, tmp_path: Path, number: signal.Signals
) -> None:
    with BotProcess(host, tmp_path, SETTINGS) as bot:
        with connected(bot.listens(), "10001") as platform:
            bot.says("MARK connect 10001 ")
            bot.send_signal(number)
            with pytest.raises(ConnectionClosed) as caught:
                platform.connection.recv(PATIENCE)
            assert bot.wait() == 0
        close = caught.value.rcvd
        assert (close and close.code) == GOING_AWAY[host.name]
        assert marks(bot) == ["startup", "connect", "disconnect", "shutdown"]
        assert "Traceback" not in bot.output


@each_host
def test_a_port_that_is_taken_ends_it_with_a_line_that_says_so(host: Host, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with BotProcess(host, tmp_path, {**SETTINGS, "PORT": port}) as bot:
            assert bot.wait() == NOT_STARTED[host.name]
    errors = [line for line in bot.lines if "[ERROR]" in line]
    assert len(errors) == 1
    assert str(port) in errors[0]
    assert "address already in use" in errors[0].lower()
    assert "Traceback" not in bot.output
    assert marks(bot) == ["startup", "shutdown"]


@each_host
def test_the_echo_plugin_of_2_0_0a10_fails_over_http_on_either_driver(
    host: Host, tmp_path: Path
) -> None:
    """It is the adapter's own doing, and the reason why the tests over HTTP use another echo."""
    settings = {**SETTINGS, "API_ROOT": {"10001": "http://127.0.0.1:9"}}
    with BotProcess(host, tmp_path, settings) as bot:
        post(bot.listens(), "/cqhttp/", message_event("10001", "/echo 1"), {"X-Self-ID": "10001"})
        bot.says("Object of type MessageSegment is not JSON serializable")
        assert bot.stop() == 0
