"""The driver as its users see it: hooks, settings, the start and the stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from support.bots import RecordingBot, recording_bot
from support.leaks import nothing_left
from support.peer import PATIENCE, Peer, settle
from support.websockets import MemoryWebSocket

from nbdriver import ConfigError, Driver, Headers, Request, Response, StartupError
from nbdriver.asgi import ASGIApplication
from nbdriver.config import Config, Env
from nbdriver.net.server import Server


def make_driver(adapter: type[Any] | None = None, **values: Any) -> Driver:
    env = Env(_env_file=None, _environ={})
    driver = Driver(env, Config(_environ={}, host="127.0.0.1", port=0, **values))
    driver.register_adapter("echo", adapter or recording_bot())
    return driver


@asynccontextmanager
async def serving(driver: Driver, **settings: Any) -> AsyncIterator[Server]:
    async with nothing_left(), asyncio.timeout(PATIENCE), driver.serve(**settings) as server:
        yield server


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Take back what `run` sets up."""
    package = logging.getLogger("nbdriver")
    level, handlers = package.level, list(package.handlers)
    yield
    package.handlers[:] = handlers
    package.setLevel(level)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Gives what was logged so far, line by line."""
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


async def ask(server: Server, request: bytes) -> bytes:
    """Send a request, and give the head of its answer."""
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(Peer, *server.addresses[0])
    try:
        peer.send(request)
        return await peer.read(b"\r\n\r\n")
    finally:
        peer.transport.close()


EVENT = b"POST /echo/ HTTP/1.1\r\nHost: localhost\r\nX-Self-ID: 1\r\nContent-Length: 2\r\n\r\n{}"


async def connect_bot(driver: Driver, self_id: str = "1") -> MemoryWebSocket:
    websocket = MemoryWebSocket(x_self_id=self_id)
    await driver.server_app.handle_websocket(websocket)
    return websocket


def stop(server: Server) -> None:
    """What `run` calls when it listens."""
    server.ask_to_stop()


# What it is.


def test_it_is_what_the_contract_calls_a_driver() -> None:
    driver = make_driver()
    assert (driver.type, driver.env, driver.config.port) == ("nbdriver", "prod", 0)
    assert driver.logger.name == "nbdriver"
    assert isinstance(driver.asgi, ASGIApplication)
    assert hasattr(driver.server_app, "lifespan")


async def test_it_serves_its_adapters() -> None:
    driver = make_driver()
    async with serving(driver) as server:
        assert await ask(server, EVENT)
        assert (await ask(server, EVENT)).startswith(b"HTTP/1.1 204 No Content\r\n")
        assert (await ask(server, EVENT.replace(b"echo", b"none"))).startswith(b"HTTP/1.1 404 ")
    assert driver._adapters["echo"].messages == [{}, {}]  # type: ignore[attr-defined]


async def test_the_contracts_handlers_can_be_changed_in_a_subclass() -> None:
    class Own(Driver):
        async def _handle_http(self, request: Request) -> Response:
            return Response(200, "own")

    driver = Own(Env(_env_file=None, _environ={}), Config(_environ={}, port=0))
    async with serving(driver) as server:
        assert (await ask(server, EVENT)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_it_handles_requests_without_a_lifespan_too() -> None:
    driver = make_driver()
    request = Request("POST", "/echo/", Headers([("x-self-id", "1")]), b"{}")
    assert (await driver._handle_http(request)).status_code == 204
    await driver.server_app.drain()
    assert driver._adapters["echo"].messages == [{}]  # type: ignore[attr-defined]


# Start-up and shut-down hooks.


async def test_hooks_run_in_the_order_of_their_registration_plain_or_async() -> None:
    driver, order = make_driver(), []

    @driver.on_startup
    async def first() -> None:
        await asyncio.sleep(0)
        order.append("first")

    @driver.on_startup
    def second() -> None:
        order.append("second")

    @driver.on_shutdown
    def third() -> None:
        order.append("third")

    @driver.on_shutdown
    async def fourth() -> None:
        await asyncio.sleep(0)
        order.append("fourth")

    async with serving(driver) as server:
        assert order == ["first", "second"]
        assert server.addresses
    assert order == ["first", "second", "third", "fourth"]


async def test_a_failing_startup_hook_stops_the_start_and_the_shutdown_hooks_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver, order = make_driver(), []

    @driver.on_startup
    def fails() -> None:
        raise KeyError("no database")

    driver.on_startup(lambda: order.append("not reached"))
    driver.on_shutdown(lambda: order.append("shut down"))
    with pytest.raises(StartupError) as caught:
        async with serving(driver):
            raise AssertionError("it serves")
    name = fails.__qualname__
    assert str(caught.value) == f"the start-up hook {name} failed: KeyError('no database')"
    assert order == ["shut down"]
    assert f"The start-up hook {name} failed\n" in caplog.text
    assert "Traceback" in caplog.text


async def awaits_what_was_cancelled() -> None:
    task = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    task.cancel()
    await task


async def test_a_startup_hook_that_awaits_what_was_cancelled_has_failed() -> None:
    driver = make_driver()
    driver.on_startup(awaits_what_was_cancelled)
    with pytest.raises(StartupError, match="hook awaits_what_was_cancelled failed"):
        async with serving(driver):
            raise AssertionError("it serves")


async def test_a_shutdown_hook_that_awaits_what_was_cancelled_has_failed_alone(
    lines: Callable[[], list[str]],
) -> None:
    driver, order = make_driver(), []
    driver.on_shutdown(awaits_what_was_cancelled)
    driver.on_shutdown(lambda: order.append("others"))
    async with serving(driver) as server:
        pass
    assert (server.forced, order) == (False, ["others"])
    assert "The shut-down hook awaits_what_was_cancelled failed" in lines()


async def test_the_shutdown_after_a_failed_start_is_bounded_too(
    lines: Callable[[], list[str]],
) -> None:
    driver = make_driver()

    @driver.on_startup
    def fails() -> None:
        raise RuntimeError

    driver.on_shutdown(asyncio.Event().wait)
    with pytest.raises(StartupError):
        async with serving(driver, shutdown_timeout=0):
            raise AssertionError("it serves")
    assert "Shut-down hooks cut off: Event.wait" in lines()
    assert "The shut-down took too long" in lines()


async def test_a_failing_shutdown_hook_is_logged_and_the_others_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver, order = make_driver(), []

    @driver.on_shutdown
    async def fails() -> None:
        raise TimeoutError("no answer")

    driver.on_shutdown(lambda: order.append("others"))
    async with serving(driver):
        pass
    assert order == ["others"]
    assert f"The shut-down hook {fails.__qualname__} failed\n" in caplog.text
    assert "TimeoutError: no answer" in caplog.text


async def test_shutdown_hooks_that_are_cut_off_are_named(lines: Callable[[], list[str]]) -> None:
    driver, order = make_driver(), []

    @driver.on_shutdown
    def quick() -> None:
        order.append("quick")

    @driver.on_shutdown
    async def slow() -> None:
        await asyncio.Event().wait()

    @driver.on_shutdown
    def after() -> None:
        order.append("after")

    async with serving(driver, shutdown_timeout=0.1) as server:
        pass
    assert (server.forced, order) == (True, ["quick"])
    names = f"{slow.__qualname__}, {after.__qualname__}"
    assert f"Shut-down hooks cut off: {names}" in lines()


async def test_a_driver_is_served_once_at_a_time_and_again_after_that() -> None:
    driver = make_driver()
    async with serving(driver) as server:
        with pytest.raises(StartupError, match="being served already; make a second Driver"):
            async with driver.serve():
                raise AssertionError("it serves twice")
        assert (await ask(server, EVENT)).startswith(b"HTTP/1.1 204 ")
    async with serving(driver) as server:
        assert (await ask(server, EVENT)).startswith(b"HTTP/1.1 204 ")


async def test_two_drivers_serve_at_once_each_its_own() -> None:
    one, other = make_driver(), make_driver()
    async with serving(one) as first, serving(other) as second:
        await ask(first, EVENT)
        await ask(second, EVENT)
        await ask(second, EVENT)
    assert len(one._adapters["echo"].messages) == 1  # type: ignore[attr-defined]
    assert len(other._adapters["echo"].messages) == 2  # type: ignore[attr-defined]


# Hooks of bots.


async def test_a_failing_hook_of_a_bot_is_logged_and_stops_neither_others_nor_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver, told = make_driver(), []

    @driver.on_bot_connect
    @driver.on_bot_disconnect
    def fails(bot: Any) -> None:
        raise RuntimeError("hook")

    @driver.on_bot_connect
    async def connected(bot: Any) -> None:
        told.append(("connected", bot.self_id))

    @driver.on_bot_disconnect
    async def disconnected(bot: Any) -> None:
        told.append(("disconnected", bot.self_id))

    async with serving(driver):
        websocket = await connect_bot(driver)
        websocket.peer_sends({"still": "there"})
        await settle()
        assert websocket.events_sent == [{"got": {"still": "there"}}]
        assert told == [("connected", "1")]
        websocket.peer_leaves()
    assert told == [("connected", "1"), ("disconnected", "1")]
    for kind in ("connect", "disconnect"):
        assert f"the {kind} hooks of bot 1: {fails.__qualname__}: failed\n" in caplog.text
    assert caplog.text.count("RuntimeError: hook") == 2


async def test_disconnect_hooks_are_awaited_before_the_shutdown_hooks_run() -> None:
    driver, order = make_driver(), []

    @driver.on_bot_disconnect
    async def disconnected(bot: Any) -> None:
        await settle()
        order.append("disconnected")

    driver.on_shutdown(lambda: order.append("shut down"))
    async with serving(driver):
        (await connect_bot(driver)).peer_leaves()
    assert order == ["disconnected", "shut down"]


async def test_connect_hooks_that_go_on_are_not_waited_for_while_their_bot_is_there() -> None:
    driver, ended = make_driver(), []

    @driver.on_bot_connect
    async def goes_on(bot: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(bot.self_id)

    async with serving(driver, shutdown_timeout=5) as server:
        websocket = await connect_bot(driver)
        async with asyncio.timeout(PATIENCE):
            await driver.server_app.drain()
        await server.close()
        assert not server.forced
        assert ended == []
        websocket.peer_leaves()
    assert ended == ["1"]


class Stubborn(RecordingBot):
    """Its handlers and hooks go on although they are cancelled, until `over` is set."""

    headers: ClassVar[list[Any]] = []
    over: ClassVar[asyncio.Event]

    async def handle_message(self, message: Any) -> None:
        await go_on(self)


async def go_on(bot: Any) -> None:
    while not bot.over.is_set():
        try:
            await bot.over.wait()
        except asyncio.CancelledError:
            continue


@pytest.mark.parametrize("forced", [True, False])
async def test_shutdown_hooks_run_although_events_and_hooks_of_bots_do_not_end(
    forced: bool, lines: Callable[[], list[str]]
) -> None:
    adapter = type("Own", (Stubborn,), {"over": asyncio.Event()})
    driver, ended = make_driver(adapter), []

    @driver.on_shutdown
    async def shut_down() -> None:
        await asyncio.sleep(0)
        ended.append(True)

    driver.on_bot_disconnect(go_on)
    try:
        async with nothing_left(), asyncio.timeout(PATIENCE):
            async with driver.serve(shutdown_timeout=30 if forced else 0.2) as server:
                websocket = await connect_bot(driver)
                websocket.peer_sends({"event": 1})
                websocket.peer_leaves()
                await settle()
                if forced:
                    server.ask_to_stop()
                    server.ask_to_stop()
            assert (server.forced, ended) == (True, [True])
            adapter.over.set()
    finally:
        adapter.over.set()
    assert "bot 1: {'event': 1}: cancelled, it had not ended in time" in lines()


async def test_what_goes_on_although_it_was_cancelled_is_named(
    lines: Callable[[], list[str]],
) -> None:
    adapter = type("Own", (Stubborn,), {"over": asyncio.Event()})
    driver = make_driver(adapter)
    driver.on_bot_disconnect(go_on)
    try:
        async with nothing_left(), asyncio.timeout(PATIENCE):
            # Without a server, which would bound all of it.
            driver.serve(shutdown_timeout=0)
            async with driver.server_app.lifespan():
                websocket = await connect_bot(driver)
                websocket.peer_sends({"event": 1})
                websocket.peer_leaves()
                await settle()
            adapter.over.set()
    finally:
        adapter.over.set()
    assert "Events go on although they were cancelled" in lines()
    assert "Hooks of bots have not ended in time" in lines()
    assert "Hooks of bots go on although they were cancelled" in lines()


async def test_an_event_that_was_answered_204_is_handled_before_the_shutdown_hooks_run() -> None:
    driver, order = make_driver(), []
    adapter: Any = driver._adapters["echo"]
    driver.on_shutdown(lambda: order.append(list(adapter.messages)))
    event = EVENT.replace(b"Length: 2\r\n\r\n{}", b'Length: 16\r\n\r\n{"wait": "gate"}')
    async with serving(driver) as server:
        assert (await ask(server, event)).startswith(b"HTTP/1.1 204 ")
        closing = asyncio.create_task(server.close())
        await settle()
        assert not closing.done()
        adapter.release("gate")
        await closing
    assert order == [[{"wait": "gate"}]]


# Settings.


def test_settings_come_from_keywords_environment_and_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NBDRIVER_MAX_BODY", "2KiB")
    driver = make_driver(nbdriver_max_body="1KiB", nbdriver_max_head="1KiB")
    driver.serve(max_headers=7)
    config = driver._server_config
    assert (config.max_body, config.max_head, config.max_headers) == (2048, 1024, 7)
    assert (config.host, config.port) == ("127.0.0.1", 0)
    driver.serve("127.0.0.2", 1234)
    assert (driver._server_config.host, driver._server_config.port) == ("127.0.0.2", 1234)
    assert driver._server_config.max_headers == 100


def test_none_turns_off_what_none_turns_off() -> None:
    driver = make_driver()
    driver.serve(None, None, ping_interval=None)
    assert driver._server_config.ping_interval is None
    assert driver._server_config.host == "127.0.0.1"


def test_a_setting_of_no_use_is_an_error_at_once() -> None:
    driver = make_driver()
    with pytest.raises(ConfigError, match=r"^max_bdy as a keyword .* did you mean max_body\?$"):
        driver.serve(max_bdy=1)
    with pytest.raises(ConfigError, match=r"^max_body as a keyword argument: expected "):
        driver.run(max_body=-1)
    with pytest.raises(ConfigError, match=r"^unix_socket_mode as a keyword argument: expected "):
        driver.run(unix_socket_mode=0o660)
    with pytest.raises(ConfigError, match=r"^ssl_ciphers as a keyword argument: no such setting"):
        driver.run(ssl_ciphers="ALL")
    with pytest.raises(ConfigError, match=r"^NBDRIVER_MAX_BODY"):
        make_driver(nbdriver_max_body="much")


async def test_plain_objects_serve_as_env_and_config() -> None:
    config = SimpleNamespace(host="127.0.0.1", port="0", nbdriver_max_body="3", api_root={})
    driver = Driver(SimpleNamespace(environment="dev"), config)
    driver.register_adapter("echo", recording_bot())
    assert (driver.env, driver._server_config.max_body) == ("dev", 3)
    async with serving(driver) as server:
        assert (await ask(server, EVENT)).startswith(b"HTTP/1.1 204 ")
    # A configuration that knows neither DEBUG nor LOG_LEVEL has the defaults.
    assert driver.config is config


# The main program.


def test_run_serves_until_a_signal(lines: Callable[[], list[str]]) -> None:
    driver = make_driver()
    driver.run(ready=lambda server: os.kill(os.getpid(), signal.SIGTERM))
    assert [line.partition(":")[0] for line in lines()] == [
        "Listening on http",
        "Asked to stop; asked again (Ctrl-C once more) it does so at once",
        "Stopping; what has begun has 30 s to end",
        "Stopped",
    ]


@pytest.mark.parametrize(
    ("values", "keyword", "level"),
    [
        ({}, {}, logging.INFO),
        ({"debug": True}, {}, logging.DEBUG),
        ({"log_level": "ERROR", "debug": True}, {}, logging.ERROR),
        ({"log_level": "ERROR"}, {"log_level": "warning"}, logging.WARNING),
        ({}, {"log_level": 15}, 15),
    ],
)
def test_run_logs_at_the_level_that_is_configured(
    lines: Callable[[], list[str]], values: Any, keyword: Any, level: int
) -> None:
    driver = make_driver(**values)
    driver.run(ready=stop, **keyword)
    assert driver.logger.level == level


def test_a_start_that_fails_is_exit_code_3(lines: Callable[[], list[str]]) -> None:
    driver, order = make_driver(), []

    @driver.on_startup
    def fails() -> None:
        raise RuntimeError("no")

    driver.on_shutdown(lambda: order.append("shut down"))
    with pytest.raises(SystemExit) as caught:
        driver.run()
    assert (caught.value.code, order) == (3, ["shut down"])
    assert lines()[-1].startswith("Could not start: the start-up hook ")


@pytest.mark.parametrize("uvloop", [True, False])
def test_a_handler_that_exits_the_program_ends_it_after_a_proper_shutdown(uvloop: bool) -> None:
    class Exits(RecordingBot):
        headers: ClassVar[list[Any]] = []

        async def handle_message(self, message: Any) -> None:
            sys.exit(7)

    driver, order, posting = make_driver(Exits), [], []
    driver.on_shutdown(lambda: order.append("shut down"))

    def ready(server: Server) -> None:
        posting.append(asyncio.get_running_loop().create_task(ask(server, EVENT)))

    with pytest.raises(SystemExit) as caught:
        driver.run(ready=ready, uvloop=uvloop)
    assert (caught.value.code, order) == (7, ["shut down"])


def test_a_stop_that_is_forced_is_exit_code_1(lines: Callable[[], list[str]]) -> None:
    driver = make_driver()
    driver.on_shutdown(asyncio.Event().wait)
    with pytest.raises(SystemExit) as caught:
        driver.run(ready=stop, shutdown_timeout=0)
    assert caught.value.code == 1


def test_keywords_of_uvicorn_are_understood(lines: Callable[[], list[str]]) -> None:
    driver = make_driver()
    driver.run(
        None,
        None,
        "positional arguments have no meaning",
        ready=stop,
        timeout_graceful_shutdown=7,
        timeout_keep_alive=8,
        ws_max_size=9,
        ws_ping_interval=None,
        ws_ping_timeout=None,
        ws_per_message_deflate=True,
        access_log=False,
        backlog=10,
        loop="asyncio",
        forwarded_allow_ips="127.0.0.1,10.0.0.0/8",
    )
    config = driver._server_config
    assert (config.shutdown_timeout, config.idle_timeout, config.max_message) == (7, 8, 9)
    assert (config.ping_interval, config.ping_timeout, config.deflate) == (None, None, True)
    assert (config.access_log, config.backlog, config.uvloop) == (False, 10, False)
    assert config.trusted_proxies == ("127.0.0.1", "10.0.0.0/8")
    assert not any("uvicorn" in line for line in lines())


@pytest.mark.parametrize(
    ("keywords", "setting", "value"),
    [
        ({"loop": "uvloop"}, "uvloop", True),
        ({"loop": "auto"}, "uvloop", True),
        ({"server_header": False}, "server_header", None),
        ({"server_header": True}, "server_header", "nbdriver"),
        ({"server_header": "me"}, "server_header", "me"),
        ({"timeout_graceful_shutdown": None}, "shutdown_timeout", 30),
        ({"forwarded_allow_ips": None}, "trusted_proxies", ()),
        ({"forwarded_allow_ips": "*"}, "trusted_proxies", ("*",)),
        ({"ssl_certfile": None}, "tls_certificate", None),
        ({"ssl_cert_reqs": ssl.CERT_NONE}, "tls_client_certificates", "none"),
    ],
)
def test_values_that_mean_something_else_to_uvicorn_mean_it_here(
    lines: Callable[[], list[str]], keywords: Any, setting: str, value: object
) -> None:
    driver = make_driver()
    driver.run(ready=stop, **keywords)
    assert getattr(driver._server_config, setting) == value


def test_uvicorns_uds_and_fd_are_places_to_listen_at(
    lines: Callable[[], list[str]], tmp_path: Path
) -> None:
    driver = make_driver()
    driver.run("127.0.0.1", 8080, ready=stop, uds=str(tmp_path / "s"), fd=None)
    assert f"Listening on unix:{tmp_path}/s" in lines()
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        driver.run(ready=stop, uds=None, fd=inherited.fileno())
        assert driver._server_config.listen == (f"fd:{inherited.fileno()}",)
        assert f"Listening on http://127.0.0.1:{inherited.getsockname()[1]}" in lines()


def test_keywords_of_uvicorn_without_a_meaning_here_are_one_warning(
    lines: Callable[[], list[str]],
) -> None:
    make_driver().run(ready=stop, reload=True, app="bot:app", log_config=None, workers=4)
    assert [line for line in lines() if "uvicorn" in line] == [
        "Settings of uvicorn that have no meaning here: app, log_config, reload, workers"
    ]
