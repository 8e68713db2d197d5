"""`driver.asgi`, an ASGI 3 application, without a server: so NoneBot's test tool uses it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from async_asgi_testclient import TestClient
from conformance.drivers import make_server
from hosts.hosting import PATIENCE
from nonebot.drivers import (
    URL,
    ASGIMixin,
    HTTPServerSetup,
    Request,
    Response,
    WebSocket,
    WebSocketServerSetup,
)
from nonebot.exception import WebSocketClosed


@pytest.fixture
async def peer(server_driver: str) -> AsyncIterator[TestClient]:
    """A client of the application on each driver, whose hooks have run."""
    driver = make_server(server_driver)
    assert isinstance(driver, ASGIMixin)

    async def echo(request: Request) -> Response:
        headers = {"x-method": request.method, "x-json": json.dumps(request.json)}
        return Response(201, headers=headers, content=request.content)

    async def repeat(websocket: WebSocket) -> None:
        if websocket.request.headers.get("x-token") != "token":
            await websocket.close(1008, "no token")
            return
        await websocket.accept()
        while True:
            try:
                await websocket.send(await websocket.receive())
            except WebSocketClosed:
                break

    driver.setup_http_server(HTTPServerSetup(URL("/echo"), "POST", "echo", echo))
    driver.setup_websocket_server(WebSocketServerSetup(URL("/repeat"), "repeat", repeat))
    async with TestClient(driver.asgi, timeout=PATIENCE) as client:
        yield client


async def test_requests_are_answered(peer: TestClient) -> None:
    response = await peer.post("/echo", json={"a": "你好"})
    assert (response.status_code, response.json()) == (201, {"a": "你好"})
    assert response.headers["x-method"] == "POST"
    assert response.headers["x-json"] == json.dumps({"a": "你好"})


async def test_what_no_route_takes_is_refused(peer: TestClient) -> None:
    assert (await peer.get("/nowhere")).status_code == 404
    assert (await peer.get("/echo")).status_code == 405


async def test_websockets_are_served(peer: TestClient) -> None:
    async with peer.websocket_connect("/repeat", headers={"x-token": "token"}) as websocket:
        for message in ("你好", b"bytes"):
            await (websocket.send_text if isinstance(message, str) else websocket.send_bytes)(
                message
            )
            receive = (
                websocket.receive_text if isinstance(message, str) else websocket.receive_bytes
            )
            assert await receive() == message


async def test_a_close_before_accepting_refuses(peer: TestClient) -> None:
    # What the client says where it has got anything but an acceptance.
    with pytest.raises(AssertionError):
        async with peer.websocket_connect("/repeat"):
            pass


async def test_its_lifespan_is_the_drivers(server_driver: str) -> None:
    driver = make_server(server_driver)
    assert isinstance(driver, ASGIMixin)
    order: list[str] = []
    driver.on_startup(lambda: order.append("start"))
    driver.on_shutdown(lambda: order.append("stop"))
    async with TestClient(driver.asgi, timeout=PATIENCE):
        assert order == ["start"]
        assert driver.task_group.cancel_scope.cancel_called is False
    assert order == ["start", "stop"]


async def test_a_startup_hook_that_fails_is_told(server_driver: str) -> None:
    driver = make_server(server_driver)
    assert isinstance(driver, ASGIMixin)

    async def start() -> None:
        raise ZeroDivisionError("a start-up hook that fails")

    driver.on_startup(start)
    with pytest.raises(Exception, match="a start-up hook that fails"):
        async with TestClient(driver.asgi, timeout=PATIENCE):
            pass


async def test_after_a_task_that_fails_others_can_be_started(server_driver: str) -> None:
    driver = make_server(server_driver)
    assert isinstance(driver, ASGIMixin)
    began, failed = asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise ZeroDivisionError("a defect of a plugin")

    async def work() -> None:
        began.set()

    async def use() -> None:
        async with TestClient(driver.asgi, timeout=PATIENCE):
            driver.task_group.start_soon(fail)
            await failed.wait()
            # What it brings about has its turns.
            await asyncio.sleep(0.1)
            driver.task_group.start_soon(work)
            await began.wait()

    async with asyncio.timeout(2):
        await use()


PLUGIN_TEST = """
import pytest
import nonebot
from nonebot.drivers import URL, HTTPServerSetup, Request, Response, WebSocketServerSetup

pytest_plugins = ["pytest_asyncio"]


@pytest.fixture(scope="session", autouse=True)
async def after_nonebot_init(_nonebot_init):
    driver = nonebot.get_driver()

    async def handle(request: Request) -> Response:
        return Response(200, content=request.content)

    async def repeat(websocket):
        await websocket.accept()
        await websocket.send(await websocket.receive())
        assert driver.task_group is not None

    driver.setup_http_server(HTTPServerSetup(URL("/echo"), "POST", "echo", handle))
    driver.setup_websocket_server(WebSocketServerSetup(URL("/ws"), "ws", repeat))


@pytest.mark.asyncio(loop_scope="session")
async def test_a_plugin(app):
    async with app.test_server() as ctx:
        client = ctx.get_client()
        response = await client.post("/echo", json={"a": 1})
        assert response.json() == {"a": 1}
        async with client.websocket_connect("/ws") as ws:
            await ws.send_text("hello")
            assert await ws.receive_text() == "hello"
"""

PLUGIN_CONFTEST = """
import pytest
from nonebug import NONEBOT_INIT_KWARGS
from pytest_asyncio import is_async_test

def pytest_configure(config):
    config.stash[NONEBOT_INIT_KWARGS] = {"driver": %r}

def pytest_collection_modifyitems(items):
    for item in items:
        if is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
"""


def test_nonebots_test_tool_drives_it(server_driver: str, tmp_path: Path) -> None:
    """As its documentation says to: https://nonebot.dev/docs/best-practice/testing/."""
    (tmp_path / "conftest.py").write_text(PLUGIN_CONFTEST % server_driver, encoding="utf-8")
    (tmp_path / "test_plugin.py").write_text(PLUGIN_TEST, encoding="utf-8")
    options = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = session\n"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{options}", encoding="utf-8")
    ran: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
