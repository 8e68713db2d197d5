"""The helper that counts what is left over notices each kind of it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from nbdriver.net.clock import LoopClock, VirtualClock

from . import memory
from .bots import recording_bot
from .echo import make_driver, serving
from .jumping import jumping
from .leaks import held, nothing_kept, nothing_left, open_files
from .loops import on_each_loop
from .peer import Peer

Leak = Callable[[ExitStack], Any]


@pytest.fixture
def cleaning() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def a_file(cleaning: ExitStack) -> object:
    ours, theirs = os.pipe()
    cleaning.callback(os.close, ours)
    cleaning.callback(os.close, theirs)
    return ours


def a_deadline(cleaning: ExitStack) -> object:
    clock = VirtualClock()
    clock.deadline(print).set(1)
    return clock


def a_bot(cleaning: ExitStack) -> object:
    driver = make_driver()
    driver.bots["1"] = recording_bot()("websocket", "1")
    return driver


@pytest.mark.parametrize(
    ("leak", "told"),
    [(a_file, "file descriptors': 2"), (a_deadline, "deadlines': 1"), (a_bot, "bots': 1")],
)
def test_what_is_kept_is_told(leak: Leak, told: str, cleaning: ExitStack) -> None:
    with pytest.raises(AssertionError, match=told), nothing_kept():
        kept = leak(cleaning)
    assert kept


@on_each_loop
async def test_an_open_transport_is_told_and_a_closed_one_is_not() -> None:
    ours, theirs = socket.socketpair()
    with closing(theirs):
        before = held()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        assert (held() - before)["open transports"] == 1
        transport.close()
        assert (held() - before)["open transports"] == 0


async def test_a_transport_in_memory_is_one() -> None:
    peer, other = Peer(), Peer()
    with pytest.raises(AssertionError, match=r"open transports': 2"):
        async with nothing_left(0):
            memory.connect(peer, other)
    peer.transport.abort()


async def test_a_timer_of_ours_is_told_until_it_is_taken_back() -> None:
    clock = LoopClock(asyncio.get_running_loop())
    deadline = clock.deadline(print)
    with pytest.raises(AssertionError, match=r"'timers': 1"):
        async with nothing_left(0):
            deadline.set(60)
    deadline.cancel()
    assert held()["timers"] == 0


@on_each_loop
async def test_a_connection_of_a_server_is_told_while_it_is_there() -> None:
    async with serving() as echo:
        before = held()
        peer = Peer()
        await asyncio.get_running_loop().create_connection(lambda: peer, *echo.server.addresses[0])
        peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await peer.read(b"\r\n\r\n")
        assert (held() - before)["connections"] == 1
        peer.transport.close()
        while (held() - before)["connections"]:
            await asyncio.sleep(0)


@jumping
async def test_a_task_is_told_also_where_time_is_virtual() -> None:
    with pytest.raises(AssertionError, match=r"Event\.wait"):
        async with nothing_left(0):
            task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()


def test_the_files_of_another_process_can_be_counted() -> None:
    assert open_files() > 0
