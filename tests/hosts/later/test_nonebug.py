"""NoneBot's own test tool on our driver: the tests of a plugin, as its author runs them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hosts.hosting import PATIENCE, TODAYS, inherited

PLUGIN = """
import nonebot
from nonebot.drivers import URL, HTTPServerSetup, Response, WebSocketServerSetup

driver = nonebot.get_driver()
story = []
driver.on_startup(lambda: story.append("started"))

async def event(request):
    return Response(200, content=f"{request.method} {request.json['text']} {story}")

async def echo(websocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.send_bytes(await websocket.receive_bytes())

driver.setup_http_server(HTTPServerSetup(URL("/event"), "POST", "event", event))
driver.setup_websocket_server(WebSocketServerSetup(URL("/ws"), "echo", echo))
"""

TESTS = """
import nonebot
import pytest
from nonebug import NONEBOT_INIT_KWARGS, App


def pytest_configure(config):
    config.stash[NONEBOT_INIT_KWARGS] = {"driver": "nbdriver.nonebot"}


@pytest.fixture(scope="session", autouse=True)
async def after_nonebot_init(after_nonebot_init):
    nonebot.load_plugin("plugin")


async def test_it_is_our_driver(app: App):
    assert nonebot.get_driver().type == "nbdriver"


async def test_http(app: App):
    async with app.test_server() as context:
        client = context.get_client()
        answer = await client.post("/event", json={"text": "你好"})
        assert answer.status_code == 200
        assert answer.text == "POST 你好 ['started']"
        assert (await client.get("/event")).status_code == 405


async def test_websocket(app: App):
    async with app.test_server() as context:
        client = context.get_client()
        async with client.websocket_connect("/ws") as websocket:
            await websocket.send_text("你好")
            assert await websocket.receive_text() == "你好"
            await websocket.send_bytes(b"0")
            assert await websocket.receive_bytes() == b"0"
"""

SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
filterwarnings = error
"""


def test_nonebug_drives_our_asgi_application(tmp_path: Path) -> None:
    for name, text in (("plugin", PLUGIN), ("conftest", TESTS.partition("async def test_")[0])):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    head, tests = "from nonebug import App\nimport nonebot\n", TESTS.partition("async def test_")[2]
    (tmp_path / "test_plugin.py").write_text(f"{head}async def test_{tests}", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(SETTINGS, encoding="utf-8")
    run = subprocess.run(
        [TODAYS.environment.interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=inherited(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert run.returncode == 0, run.stdout
    assert "3 passed" in run.stdout
