"""How connections are taken from sockets that listen; on each event loop, over loopback."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support.loops import LOOPS, on_each_loop
from support.peer import PATIENCE, Peer, answers, settle

from nbdriver.config import ServerConfig
from nbdriver.net.arrivals import Arrivals
from nbdriver.net.binding import bind, listen
from nbdriver.net.clock import VirtualClock
from nbdriver.net.sockets import Listener

V4 = socket.AF_INET


# Accepting.


class WithoutReaders(asyncio.SelectorEventLoop):
    """A loop that can accept, but not tell when a socket has something: as Windows' proactor."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> NoReturn:
        raise NotImplementedError


on_every_loop = partial(on_each_loop, loops={**LOOPS, "without readers": WithoutReaders})


class Accepted(Peer):
    """The server's end of a connection."""

    def __init__(self, house: House) -> None:
        super().__init__()
        house.guests.append(self)


class House:
    """A listener, and the connections that it took."""

    def __init__(self, listening: socket.socket | None = None) -> None:
        self.clock = VirtualClock()
        self.guests: list[Accepted] = []
        self.arrivals = Arrivals(lambda _: self.protocol(), self.clock)
        self.listener = Listener(listening or listening_socket(), self.arrivals.take, self.clock)
        self.clients: list[Peer] = []

    def protocol(self) -> Accepted:
        return Accepted(self)

    async def client(self) -> Peer:
        """A client that is connected, if only to the backlog."""
        address = self.listener.address
        _, client = await asyncio.get_running_loop().create_connection(Peer, *address)
        self.clients.append(client)
        return client

    async def until(self, number: int) -> None:
        """Wait until that many connections have been taken."""
        async with asyncio.timeout(PATIENCE):
            while len(self.guests) < number:
                await asyncio.sleep(0)

    async def close(self) -> None:
        await self.listener.close()
        await self.arrivals.close()
        for each in (*self.clients, *self.guests):
            if not each.lost:
                each.transport.abort()
            await each.until(lambda each=each: each.lost)
        assert self.clock.pending == 0


@asynccontextmanager
async def house(listening: socket.socket | None = None) -> AsyncIterator[House]:
    """A house that is closed at the end."""
    it = House(listening)
    try:
        yield it
    finally:
        await it.close()


class Moody(socket.socket):
    """A listening socket of which accept fails as often as there are `errors`."""

    errors: list[int]

    def accept(self) -> tuple[socket.socket, Any]:
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return super().accept()


def listening_socket(*errors: int) -> Moody:
    (bound,) = listen([[(V4, ("127.0.0.1", 0))]], 500)
    moody = Moody(fileno=bound.detach())
    moody.setblocking(False)
    moody.errors = list(errors)
    return moody


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@on_every_loop
async def test_each_connection_gets_a_protocol_of_its_own() -> None:
    async with house() as it:
        for number in range(3):
            client = await it.client()
            client.send(b"hello %d\n" % number)
            await it.until(number + 1)
            await it.guests[number].read(b"hello %d\n" % number)
            it.guests[number].send(b"welcome\n")
            await client.read(b"welcome\n")


@on_every_loop
async def test_the_address_is_known_also_after_the_close() -> None:
    listening = listening_socket()
    address = listening.getsockname()
    async with house(listening) as it:
        assert it.listener.address == address
        await it.listener.close()
        assert it.listener.address == address


@on_every_loop
async def test_a_unix_socket_is_served_and_takes_its_file_with_it(tmp_path: Path) -> None:
    path = f"{tmp_path}/s"
    (listening,) = await bind(ServerConfig(listen=f"unix:{path}"))
    async with house(listening) as it:
        assert it.listener.address == (path, None)
        _, client = await asyncio.get_running_loop().create_unix_connection(Peer, path)
        it.clients.append(client)
        await it.until(1)
        client.send(b"hello\n")
        await it.guests[0].read(b"hello\n")
        await it.listener.close()
        assert list(tmp_path.iterdir()) == []
        it.guests[0].send(b"welcome\n")
        await client.read(b"welcome\n")


@on_every_loop
async def test_what_is_written_is_not_held_back_to_be_sent_with_more() -> None:
    async with house() as it:
        await it.client()
        await it.until(1)
        await settle()
        connected = it.guests[0].transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@on_every_loop
async def test_a_burst_of_connections_is_taken_to_the_last() -> None:
    async with house() as it:
        clients = await asyncio.gather(*(it.client() for _ in range(200)))
        await it.until(200)
        for client in clients:
            client.send(b"x")
        for guest in it.guests:
            await guest.read(b"x")


@on_every_loop
async def test_connections_are_made_in_the_context_of_the_listener() -> None:
    owner = ContextVar("owner", default="nobody")
    owners = []

    class Owned(House):
        def protocol(self) -> Accepted:
            owners.append(owner.get())
            return super().protocol()

    outside = owner.set("listener")
    it = Owned(listening_socket(errno.EMFILE))
    owner.reset(outside)
    await it.client()
    await settle()
    assert owners == []
    it.clock.advance(2)  # also after a pause, which a deadline of the clock ends
    await it.until(1)
    await it.client()
    await it.until(2)
    assert owners == ["listener"] * 2
    await it.close()


# Connections that go away before they have begun.


@on_every_loop
@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM])
async def test_a_client_that_left_while_it_waited_is_nobodys_concern(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(listening_socket(number, number)) as it:
        await it.client()
        await it.until(1)
    assert lines(caplog) == []


@on_every_loop
async def test_a_client_that_resets_before_it_is_taken_harms_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with house() as it:
        with socket.create_connection(it.listener.address) as hasty:
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client = await it.client()
        client.send(b"I stay")
        async with asyncio.timeout(PATIENCE):
            while not any(b"I stay" in guest.received for guest in it.guests):
                await asyncio.sleep(0)
        for guest in it.guests:
            await guest.until(lambda guest=guest: guest.lost or b"I stay" in guest.received)
    assert lines(caplog) == []


@on_every_loop
@pytest.mark.parametrize("error", [OSError(errno.EINVAL, "gone"), ZeroDivisionError("a mistake")])
async def test_a_connection_that_cannot_be_made_is_closed_and_the_next_is_taken(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "nbdriver")

    class Failing(House):
        failed = False

        def protocol(self) -> Accepted:
            if not self.failed:
                self.failed = True
                raise error
            return super().protocol()

    it = Failing()
    client = await it.client()
    assert await client.read_to_end() == b""
    await it.client()
    await it.until(1)
    await it.close()
    ours = [record for record in caplog.records if record.name.startswith("nbdriver")]
    level, told = (
        ("DEBUG", "ended before it had begun, [Errno 22] gone")
        if isinstance(error, OSError)
        else ("ERROR", "a connection that was accepted: failed")
    )
    (record,) = ours
    assert record.levelname == level
    assert record.getMessage().endswith(told)


@on_every_loop
async def test_a_connection_whose_making_is_cancelled_is_closed() -> None:
    async with house() as it:
        before = asyncio.all_tasks()
        with socket.create_connection(it.listener.address, PATIENCE) as client:
            # As at the end of `asyncio.run`: whatever task there is is cancelled.
            async with asyncio.timeout(PATIENCE):
                while not (making := asyncio.all_tasks() - before):
                    await asyncio.sleep(0)
            for task in making:
                task.cancel()
            assert await asyncio.to_thread(end_of, client) == b""
        # uvloop may give up a connection at this point without telling its protocol.
        it.guests.clear()


# When no file descriptor is left, and other such errors.


@on_every_loop
async def test_what_keeps_it_from_accepting_is_logged_once_and_tried_again_after_a_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listening = listening_socket(errno.EMFILE, errno.ENFILE, errno.EMFILE)
    failed = ("ERROR", "connections cannot be accepted for now: [Errno 24] Too many open files")
    async with house(listening) as it:
        client = await it.client()
        client.send(b"I wait")
        for left in (2, 1, 0):
            await settle()
            assert len(listening.errors) == left
            assert it.guests == []
            assert lines(caplog) == [failed]
            it.clock.advance(1.25)
        await it.until(1)
        await it.guests[0].read(b"I wait")
        assert lines(caplog) == [failed, ("WARNING", "connections are accepted again")]
        caplog.clear()
        # When it happens again, it is told again.
        listening.errors.append(errno.EMFILE)
        await it.client()
        await settle()
        assert lines(caplog) == [failed]


@on_every_loop
async def test_an_error_of_any_kind_never_keeps_the_loop_busy() -> None:
    listening = listening_socket(*[errno.EBADF] * 1000)
    async with house(listening) as it:
        await it.client()
        await settle()
        assert len(listening.errors) == 999
        it.clock.advance(1.25)
        await settle()
        assert len(listening.errors) == 998


@on_every_loop
async def test_it_can_be_closed_in_the_pause(caplog: pytest.LogCaptureFixture) -> None:
    async with house(listening_socket(errno.EMFILE)) as it:
        await it.client()
        await settle()
        assert it.clock.pending == 1
        await it.listener.close()
        assert it.clock.pending == 0
        it.clock.advance(10)
        await settle()
        assert it.guests == []


@pytest.mark.parametrize("loop", LOOPS)
def test_a_process_that_runs_out_of_file_descriptors_goes_on_when_there_are_some_again(
    loop: str,
) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "support.exhausted", loop],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])},
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "connections cannot be accepted for now: [Errno 24] Too many open files",
        "0 taken",
        "connections are accepted again",
        "1 taken",
    ]


# Closing.


@on_every_loop
async def test_close_refuses_new_connections_and_leaves_the_others_alone() -> None:
    async with house() as it:
        client = await it.client()
        await it.until(1)
        await it.listener.close()
        await it.listener.close()  # safe to repeat
        assert not await answers(it.listener.address)
        client.send(b"still there?")
        await it.guests[0].read(b"still there?")
        it.guests[0].send(b"yes")
        await client.read(b"yes")


@on_every_loop
async def test_close_may_be_called_several_times_at_once() -> None:
    async with house() as it:
        await asyncio.gather(*(it.listener.close() for _ in range(3)))
        assert not await answers(it.listener.address)


@on_every_loop
async def test_close_as_soon_as_it_is_made() -> None:
    async with house() as it:
        await it.listener.close()
        assert not await answers(it.listener.address)


@on_every_loop
async def test_a_close_that_is_cancelled_can_be_repeated() -> None:
    async with house() as it:
        closing = asyncio.create_task(it.listener.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        await it.listener.close()
        assert not await answers(it.listener.address)


@on_each_loop
@pytest.mark.parametrize("turns", range(6))
async def test_of_connections_that_come_at_the_close_each_is_served_or_ended(turns: int) -> None:
    async with house() as it:
        address = it.listener.address
        # Through sockets of our own, so that they are all there in one turn of the loop.
        sockets = [socket.socket() for _ in range(50)]
        for each in sockets:
            each.connect(address)
        for _ in range(turns):
            await asyncio.sleep(0)
        await it.listener.close()
        await it.arrivals.close()
        taken = len(it.guests)
        await settle()
        assert len(it.guests) == taken
        for guest in it.guests:
            guest.transport.close()
        for each in sockets:
            each.settimeout(PATIENCE)
            with each:
                ended = await asyncio.to_thread(end_of, each)
            assert ended == b""


def end_of(client: socket.socket) -> bytes:
    try:
        return client.recv(1)
    except ConnectionResetError:
        return b""
