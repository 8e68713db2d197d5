"""The errors that docs/nonebot.md names are those that each driver raises."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from nonebot.config import Config, Env
from nonebot.drivers import Request, combine_driver
from nonebot.drivers.none import Driver

import nbdriver.client

PAGE = Path(__file__).parents[2] / "docs" / "nonebot.md"
MODULES = {
    "here": "nbdriver.nonebot",
    "`~aiohttp`": "nonebot.drivers.aiohttp",
    "`~httpx`": "nonebot.drivers.httpx",
    "`~websockets`": "nonebot.drivers.websockets",
}
#: What a server answers, by the row of the table; None is nothing, for longer than anybody waits.
ANSWERS = {
    "no answer in time": None,
    "the end of the connection, and no answer": b"",
    "an answer that is no HTTP": b"SSH-2.0 hello\r\n\r\n",
    "redirects without an end": (
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ),
    "a WebSocket that is answered 401": (
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ),
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def table() -> Iterator[tuple[str, str, str]]:
    """What happened, the driver, the error: each cell of the page's table that is not empty."""
    _, _, text = PAGE.read_text("utf-8").partition("| what happened |")
    head, _, *rows = f"| what happened |{text}".partition("\n\n")[0].splitlines()
    for what, *errors in map(cells, rows):
        for driver, error in zip(cells(head)[1:], errors, strict=True):
            if error:
                yield what, driver, error.strip("`")


@contextmanager
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, nor will as long as it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@asynccontextmanager
async def port_that_answers(what: str) -> AsyncIterator[int]:
    if what not in ANSWERS:
        with closed_port() as port:
            yield port
        return
    answer, over = ANSWERS[what], asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await over.wait()
        writer.write(answer or b"")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        over.set()


async def open_websocket(client: Any, setup: Request) -> None:
    async with client.websocket(setup):
        pass


# NoneBot's driver asks httpx in a way that httpx gives up.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("what", "driver", "error"), list(table()))
async def test_a_driver_raises_what_the_page_says(
    what: str, driver: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    kind = combine_driver(Driver, import_module(MODULES[driver]).Mixin)
    client: Any = kind(Env(_env_file=None), Config(_env_file=None))
    timeout = 0.1 if what == "no answer in time" else 30
    async with port_that_answers(what) as port:
        if "WebSocket" in what or driver == "`~websockets`":
            asking = open_websocket(
                client, Request("GET", f"ws://127.0.0.1:{port}", timeout=timeout)
            )
        else:
            asking = client.request(Request("GET", f"http://127.0.0.1:{port}", timeout=timeout))
        (raised,) = await asyncio.gather(asking, return_exceptions=True)
    assert error in [each.__name__ for each in type(raised).__mro__]
    if driver == "here":
        assert isinstance(raised, getattr(nbdriver.client, error))
        assert isinstance(raised, nbdriver.client.NetworkError)


def test_every_answer_is_a_row_and_every_driver_a_column() -> None:
    rows = {what for what, _, _ in table()}
    assert set(ANSWERS) < rows
    assert len(rows) == len(ANSWERS) + 1
    assert {driver for _, driver, _ in table()} == set(MODULES)
