"""The main program: signals, exit codes, and which event loop it runs on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.apps import (
    App,
    Gate,
    Handler,
    settings,
)
from support.peer import PATIENCE, settle

from nbdriver.net.program import FORCED, NOT_STARTED, run
from nbdriver.net.server import Server

# The main program.


def numbers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def kill(*wanted: signal.Signals) -> Callable[[Server], None]:
    """What is called when the server listens: sends this process signals, one after the other."""

    def ready(server: Server) -> None:
        async def send() -> None:
            for number in wanted:
                os.kill(os.getpid(), number)
                await settle()

        server.__dict__["killing"] = asyncio.get_running_loop().create_task(send())

    return ready


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("uvloop", [True, False])
def test_a_signal_stops_it_with_exit_code_0_and_the_old_handlers_are_put_back(
    number: signal.Signals, uvloop: bool, lines: Callable[[], list[str]]
) -> None:
    seen: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    before = numbers()
    app = App()
    try:
        assert run(app, settings(uvloop=uvloop), kill(number)) == 0
        assert numbers() == before
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert app.order == ["start", "drain", "drain", "stop"]
    assert lines()[-1] == "Stopped"


def test_a_signal_is_heard_whenever_it_comes() -> None:
    later: list[Any] = []

    async def start(app: App) -> None:
        async def send() -> None:
            await settle()
            os.kill(os.getpid(), signal.SIGTERM)

        later.append(asyncio.get_running_loop().create_task(send()))

    assert run(App(start=start), settings()) == 0


def test_a_second_signal_forces_the_stop_with_exit_code_1() -> None:
    before = numbers()
    gates: list[Gate] = []

    async def drain(app: App) -> None:
        gates.append(Gate())
        await gates[0]()

    app = App(drain=drain)
    assert run(app, settings(), kill(signal.SIGTERM, signal.SIGTERM)) == FORCED == 1
    assert numbers() == before
    assert app.order == ["start", "drain", "stop"]


def starting_under(*wanted: signal.Signals) -> Handler:
    """A slow start, during which this process gets signals."""

    async def start(app: App) -> None:
        for number in wanted:
            os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    return start


def test_a_signal_during_a_slow_start_ends_it(lines: Callable[[], list[str]]) -> None:
    before = numbers()
    app = App(start=starting_under(signal.SIGINT))
    assert run(app, settings(), kill()) == 0
    assert app.order == ["start", "stop"]
    assert lines() == ["Stopped before it had started"]
    assert numbers() == before


def test_a_second_signal_during_a_slow_start_cuts_the_shut_down_short() -> None:
    async def stop(app: App) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    app = App(start=starting_under(signal.SIGTERM), stop=stop)
    assert run(app, settings()) == FORCED


def test_a_start_that_takes_no_notice_of_the_signal_is_stopped_after_it() -> None:
    async def start(app: App) -> None:
        try:
            await starting_under(signal.SIGINT)(app)
        except asyncio.CancelledError:
            pass

    app = App(start=start)
    assert run(app, settings()) == 0
    assert app.order == ["start", "drain", "drain", "stop"]


def test_a_start_that_fails_is_one_line_and_exit_code_3(lines: Callable[[], list[str]]) -> None:
    app = App()
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        assert run(app, settings(port=port)) == NOT_STARTED == 3
    (line,) = lines()
    assert line.startswith(f"Could not start: cannot listen on 127.0.0.1, port {port}: Address alr")
    assert app.order == ["start", "stop"]


def test_cancelling_the_main_task_is_no_signal() -> None:
    def cancel(server: Server) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    app = App()
    with pytest.raises(asyncio.CancelledError):
        run(app, settings(), cancel)
    assert app.order == ["start", "drain", "drain", "stop"]


def test_a_handler_that_exits_the_program_still_shuts_it_down() -> None:
    app = App()

    def exit_later(server: Server) -> None:
        def leave() -> None:
            sys.exit(7)

        asyncio.get_running_loop().call_soon(leave)

    with pytest.raises(SystemExit) as caught:
        run(app, settings(), exit_later)
    assert caught.value.code == 7
    assert app.order[-1] == "stop"


def test_outside_of_the_main_thread_signals_are_left_alone() -> None:
    before = numbers()
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(run(App(), settings(), lambda server: server.ask_to_stop()))
    )
    thread.start()
    thread.join(PATIENCE)
    assert (codes, numbers()) == ([0], before)


async def test_inside_of_an_event_loop_the_error_says_what_to_use() -> None:
    with pytest.raises(
        RuntimeError, match=r"use: async with driver.serve\(\) as server: await ser"
    ):
        run(App(), settings())


def loop_of(**given: Any) -> str:
    """The module of the event loop that is run on."""
    found: list[str] = []

    def ready(server: Server) -> None:
        found.append(type(asyncio.get_running_loop()).__module__)
        server.ask_to_stop()

    assert run(App(), settings(**given), ready) == 0
    return found[0]


LOOPS_OF_A_PROCESS = """
import asyncio, sys, types
Loop = type("Loop", (asyncio.SelectorEventLoop,), {"__module__": "uvloop"})
installed = types.SimpleNamespace(new_event_loop=Loop)
sys.modules["uvloop"] = {"installed": installed, "missing": None}[sys.argv[1]]
sys.path[:0] = sys.argv[2:]
from net.test_program import loop_of
print(loop_of().partition(".")[0], loop_of(uvloop=False).partition(".")[0])
"""


@pytest.mark.parametrize(
    ("uvloop", "loops"), [("installed", "uvloop asyncio\n"), ("missing", "asyncio asyncio\n")]
)
def test_uvloop_is_used_where_it_is_installed_and_not_turned_off(uvloop: str, loops: str) -> None:
    # In a process of its own, since here uvloop may be imported already, or not be there at all.
    done = subprocess.run(
        [sys.executable, "-c", LOOPS_OF_A_PROCESS, uvloop, str(Path.cwd()), "tests"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == (loops, "")


class WithoutSignals(asyncio.SelectorEventLoop):
    """As on Windows, where event loops have no signal handlers."""

    def add_signal_handler(self, *_: Any) -> Any:
        raise NotImplementedError

    def remove_signal_handler(self, *_: Any) -> Any:
        raise NotImplementedError


class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return WithoutSignals()


def test_where_event_loops_have_no_signal_handlers_a_signal_stops_it_too() -> None:
    before = numbers()
    previous = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Policy())
    try:
        assert run(App(), settings(uvloop=False), kill(signal.SIGTERM)) == 0
        assert run(App(), settings(uvloop=False), kill(signal.SIGINT)) == 0
    finally:
        asyncio.set_event_loop_policy(previous)
    assert numbers() == before
