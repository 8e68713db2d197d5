"""What docs/nonebot.md shows for a plugin that needs FastAPI is what happens."""

from __future__ import annotations

import asyncio
import re
import socket
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from guests.test_server import client_of
from support.peer import PATIENCE

PAGE = Path(__file__).parents[2] / "docs" / "nonebot.md"
BLOCK = re.compile(r"^ {3}```python\n(.*?)^ {3}```$", re.MULTILINE | re.DOTALL)
Lines = Callable[[str], list[str]]


@pytest.fixture
def run_snippet(driver: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs the snippet that holds a text, as a plugin of the driver; gives its names."""
    monkeypatch.setattr("nonebot._driver", driver)

    def run(holding: str, port: int = 8081) -> dict[str, Any]:
        blocks = [textwrap.dedent(text) for text in BLOCK.findall(PAGE.read_text("utf-8"))]
        (source,) = (text for text in blocks if holding in text)
        names: dict[str, Any] = {"__name__": "plugin"}
        exec(source.replace("8081", str(port)), names)
        return names

    return run


async def test_the_route_of_a_plugin_is_served(
    driver: Any, run_snippet: Callable[..., dict[str, Any]]
) -> None:
    run_snippet("HTTPServerSetup")
    async with client_of(driver) as client:
        assert (await client.get("/status")).json() == {"ok": True}


async def test_fastapi_beside_the_bot_is_served_and_stopped_with_it(
    driver: Any, run_snippet: Callable[..., dict[str, Any]], lines: Lines
) -> None:
    names = run_snippet("uvicorn", port=0)
    names["app"].get("/page")(lambda: "beside")
    beside = names["server"]
    async with client_of(driver) as client:
        async with asyncio.timeout(PATIENCE):
            while not beside.started:
                await asyncio.sleep(0)
        port = beside.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(trust_env=False) as other:
            assert (await other.get(f"http://127.0.0.1:{port}/page")).json() == "beside"
        assert (await client.get("/page")).status_code == 404
    assert beside.task.done()
    assert any(line.startswith("Uvicorn running on ") for line in lines("INFO"))


async def test_fastapi_beside_the_bot_does_not_end_it_where_its_port_is_taken(
    driver: Any, run_snippet: Callable[..., dict[str, Any]], lines: Lines
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        beside = run_snippet("uvicorn", port=taken.getsockname()[1])["server"]
        async with client_of(driver) as client:
            await asyncio.wait_for(asyncio.wait([beside.task]), PATIENCE)
            assert (await client.get("/")).status_code == 404
    assert lines("ERROR")[-1] == "FastAPI could not start"
    assert "address already in use" in lines("ERROR")[0]
