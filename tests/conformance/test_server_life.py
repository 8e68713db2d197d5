"""How a bot starts and stops, on every driver with a server: hooks, tasks, signals, exit codes."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conformance.drivers import type_of
from conformance.serving import LIFE_BOT, Server, host_of
from hosts.hosting import PATIENCE, BotProcess
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import connect


@dataclass
class Life:
    """What was seen of a bot that has lived: its marks, its log, its exit code, and its answers."""

    marks: list[list[Any]]
    lines: list[str]
    code: int
    answers: dict[str, str] = field(default_factory=dict)
    goodbye: Close | None = None

    def found(self, name: str) -> Any:
        """What was found where the bot came by that place."""
        (found,) = (found for each, found in self.marks if each == name)
        return found

    def order(self, *names: str) -> list[str]:
        """Those of the marks that are named, in the order in which they came."""
        return [name for name, _ in self.marks if name in names]


def marks_of(bot: BotProcess) -> list[list[Any]]:
    """What the bot has told, each as a name and what was found."""
    told = (line.removeprefix("MARK ") for line in bot.lines if line.startswith("MARK "))
    return [json.loads(line) for line in told]


def live(driver: str, directory: Path, number: signal.Signals) -> Life:
    """Start a bot, have it do all that it can, and stop it by a signal while it is at work."""
    answers = {}
    with BotProcess(host_of(driver), directory, program=LIFE_BOT) as bot, Server(bot) as server:
        with connect(f"ws://{bot.base}/bot", proxy=None):
            bot.says('MARK ["connect"')
        bot.says('MARK ["disconnect"')
        server.http.post("/add")
        for path in ("/page", "/late", "/added"):
            answers[path] = server.http.get(path).text
        with connect(f"ws://{bot.base}/stay", proxy=None) as peer:
            peer.recv(PATIENCE)

            def get() -> None:
                answers["/wait"] = server.http.get("/wait").text

            waiting = threading.Thread(target=get)
            waiting.start()
            bot.says('MARK ["request begun"')
            bot.send_signal(number)
            with pytest.raises(ConnectionClosed) as caught:
                peer.recv(PATIENCE)
            waiting.join()
        code = bot.wait()
        return Life(marks_of(bot), bot.lines, code, answers, caught.value.rcvd)


def fail_at_start(driver: str, directory: Path) -> Life:
    """Start a bot one of whose hooks fails."""
    settings = {"FAIL_AT_START": True}
    with BotProcess(host_of(driver), directory, settings, program=LIFE_BOT) as bot:
        code = bot.wait()
        return Life(marks_of(bot), bot.lines, code)


_lives: dict[tuple[str, str], Life] = {}


def once(kind: str, driver: str, begin: Callable[[], Life]) -> Life:
    """The life of that kind, one for all tests of a driver."""
    if (kind, driver) not in _lives:
        _lives[kind, driver] = begin()
    return _lives[kind, driver]


@pytest.fixture
def lived(server_driver: str, tmp_path: Path) -> Life:
    """A bot that SIGTERM has ended."""
    return once("lived", server_driver, lambda: live(server_driver, tmp_path, signal.SIGTERM))


@pytest.fixture
def interrupted(server_driver: str, tmp_path: Path) -> Life:
    """A bot that Ctrl-C has ended."""
    return once("interrupted", server_driver, lambda: live(server_driver, tmp_path, signal.SIGINT))


@pytest.fixture
def not_started(server_driver: str, tmp_path: Path) -> Life:
    """A bot one of whose start-up hooks has failed."""
    return once("not started", server_driver, lambda: fail_at_start(server_driver, tmp_path))


def test_it_is_a_driver_of_nonebots(lived: Life, server_driver: str) -> None:
    assert lived.found("is a driver") is True
    assert lived.found("type") == type_of(server_driver)
    assert (lived.found("env"), lived.found("bots")) == ("prod", {})
    assert lived.found("logger") is True


def test_its_app_and_its_asgi_app_are_nonebots(lived: Life) -> None:
    assert (lived.found("app"), lived.found("asgi")) == (True, True)


def test_startup_hooks_run_in_their_order(lived: Life) -> None:
    names = ("start 1", "start 2", "start 3")
    assert lived.order(*names) == list(names)


def test_shutdown_hooks_run_backwards(lived: Life) -> None:
    assert lived.order("stop 1", "stop 2") == ["stop 2", "stop 1"]


def test_startup_and_shutdown_hooks_run_in_one_task(lived: Life) -> None:
    assert lived.found("stop 1") is True


def test_it_does_not_serve_before_its_hooks_have_run(lived: Life) -> None:
    assert lived.found("start 1") == "not served yet"


def test_the_task_group_lives_from_the_start_to_the_stop(lived: Life) -> None:
    names = ("no task group before the start", "at work", "stop 1", "work cancelled")
    assert lived.order(*names) == list(names)


def test_bots_connect_and_disconnect_with_their_hooks(lived: Life) -> None:
    assert lived.order("connect", "closed", "disconnect") == ["connect", "closed", "disconnect"]
    assert lived.found("connect") == ["1", True]
    assert lived.found("disconnect") == ["1", False]


def test_routes_may_be_set_up_by_a_hook_and_while_it_runs(lived: Life) -> None:
    assert [lived.answers[path] for path in ("/page", "/late", "/added")] == ["a page"] * 3


def test_run_tells_the_adapters(lived: Life) -> None:
    assert any("Loaded adapters: Some Adapter" in line for line in lived.lines)


def test_its_log_is_nonebots(lived: Life, server_driver: str) -> None:
    listens = host_of(server_driver).listens
    for text in (listens, "GET /page"):
        assert any("[INFO]" in line and text in line for line in lived.lines)


def test_a_request_that_has_begun_is_answered_at_the_stop(lived: Life) -> None:
    assert lived.answers["/wait"] == "done"


def test_websocket_handlers_end_before_the_shutdown_hooks(lived: Life) -> None:
    assert lived.order("told of the stop", "handler ended", "stop 2") == [
        "told of the stop",
        "handler ended",
        "stop 2",
    ]


def test_at_the_stop_websockets_are_closed(lived: Life) -> None:
    assert lived.goodbye is not None
    assert lived.goodbye.code in (1001, 1012)


def test_at_the_stop_websockets_are_closed_with_1001(lived: Life) -> None:
    assert lived.goodbye is not None
    assert lived.goodbye.code == 1001


def test_sigterm_is_a_clean_exit(lived: Life) -> None:
    assert lived.code == 0


def test_ctrl_c_is_a_clean_exit(interrupted: Life) -> None:
    assert interrupted.code == 0


def test_ctrl_c_stops_it_in_order(interrupted: Life) -> None:
    names = ("told of the stop", "handler ended", "stop 2", "stop 1", "work cancelled")
    assert interrupted.order(*names) == list(names)


def test_a_startup_hook_that_fails_stops_the_start(not_started: Life) -> None:
    assert not_started.code == 3
    assert any("ZeroDivisionError" in line for line in not_started.lines)
    assert not_started.order("start 1", "start 2", "start 3") == ["start 1", "start 2"]


def test_after_a_failed_start_the_shutdown_hooks_run(not_started: Life) -> None:
    assert not_started.order("stop 1", "stop 2") == ["stop 2", "stop 1"]


def test_a_shutdown_hook_that_fails_is_told(server_driver: str, tmp_path: Path) -> None:
    settings = {"FAIL_AT_STOP": True}
    with BotProcess(host_of(server_driver), tmp_path, settings, program=LIFE_BOT) as bot:
        bot.listens()
        bot.stop()
        assert "ZeroDivisionError" in bot.output


def test_a_port_that_is_taken_is_told(server_driver: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {"PORT": taken.getsockname()[1]}
        with BotProcess(host_of(server_driver), tmp_path, settings, program=LIFE_BOT) as bot:
            assert bot.wait() in (1, 3)
            assert "address already in use" in bot.output.lower()
            assert "stop 1" in [name for name, _ in marks_of(bot)]
