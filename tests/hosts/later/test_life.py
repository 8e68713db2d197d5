"""How a bot's process begins and ends inside NoneBot 2.5."""

from __future__ import annotations

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from hosts.hosting import PATIENCE, BotProcess
from hosts.later.clients import bot_process, connected, marks, post
from websockets.exceptions import ConnectionClosed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_with_exit_code_0_after_every_hook(
    tmp_path: Path, number: signal.Signals
) -> None:
    with bot_process(tmp_path) as bot:
        with connected(bot.listens()) as websocket:
            bot.says("MARK connected")
            bot.send_signal(number)
            with pytest.raises(ConnectionClosed) as caught:
                websocket.recv(PATIENCE)
            assert bot.wait() == 0
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
    assert marks(bot) == ["startup", "connected", "closed 1001", "shutdown"]
    assert "Traceback" not in bot.output


def test_a_request_that_has_begun_is_answered_before_the_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    with (
        bot_process(tmp_path, environ={"TROUBLE": "event"}) as bot,
        ThreadPoolExecutor(1) as threads,
    ):
        answer = threads.submit(post, bot.listens())
        bot.says("MARK waiting")
        bot.send_signal(signal.SIGTERM)
        bot.says("Stopping; what has begun has 30 s to end")
        (tmp_path / "go").write_bytes(b"")
        assert answer.result(PATIENCE).content == b"{}"
        assert bot.wait() == 0
    assert marks(bot) == ["startup", "waiting", "shutdown"]


def test_stopped_under_load_it_ends_each_connection_between_two_answers(tmp_path: Path) -> None:
    with bot_process(tmp_path) as bot, ThreadPoolExecutor(8) as threads:
        bot.listens()
        began = threading.Barrier(9)
        posting = [threads.submit(post_until_the_end, bot, began) for _ in range(8)]
        began.wait(PATIENCE)
        bot.send_signal(signal.SIGINT)
        assert bot.wait() == 0
        answered = [each.result(PATIENCE) for each in posting]
    assert min(answered) > 0
    assert marks(bot) == ["startup", "shutdown"]
    assert "Traceback" not in bot.output


def post_until_the_end(bot: BotProcess, began: threading.Barrier) -> int:
    """Post events on one connection; gives how many were answered, each of them in full."""
    answered = 0
    with httpx.Client(base_url=f"http://{bot.base}", trust_env=False, timeout=PATIENCE) as client:
        while (answer := answer_or_end(client)) is not None:
            assert (answer.status_code, answer.content) == (200, b"{}")
            if not answered:
                began.wait(PATIENCE)
            answered += 1
    return answered


def answer_or_end(client: httpx.Client) -> httpx.Response | None:
    """The answer to an event; None if the bot is gone."""
    try:
        return client.post("/event", content=b"{}")
    except httpx.RemoteProtocolError as error:
        # Not in the middle of an answer, which has its own words.
        if str(error) != "Server disconnected without sending a response.":
            raise
    except (httpx.ConnectError, httpx.ReadError, httpx.WriteError):
        pass
    return None


def test_a_second_signal_ends_what_does_not_end(tmp_path: Path) -> None:
    with bot_process(tmp_path, environ={"TROUBLE": "handler"}) as bot:
        with connected(bot.listens()):
            bot.says("MARK connected")
        bot.says("MARK closed 1000")
        bot.send_signal(signal.SIGINT)
        bot.says("Stopping; ")
        bot.send_signal(signal.SIGINT)
        assert bot.wait() == 1
    assert "Stopping at once" in bot.output
    assert marks(bot) == ["startup", "connected", "closed 1000", "shutdown"]


def test_a_port_that_is_taken_ends_it_with_a_line_that_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with bot_process(tmp_path, {"PORT": port}) as bot:
            assert bot.wait() == 3
    [line] = [line for line in bot.lines if "[ERROR]" in line]
    assert str(port) in line
    assert "address already in use" in line.lower()
    assert "Traceback" not in bot.output
    assert marks(bot) == ["startup", "shutdown"]


def test_a_start_up_hook_that_fails_ends_it_after_the_shut_down_hooks(tmp_path: Path) -> None:
    with bot_process(tmp_path, environ={"TROUBLE": "startup"}) as bot:
        assert bot.wait() == 3
    assert "Could not start: a start-up hook failed: LookupError('no database')" in bot.output
    assert bot.output.count("Traceback") == 1
    assert marks(bot) == ["startup", "shutdown"]
