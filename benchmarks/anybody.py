"""Any OneBot server under load, by its address: what others have is measured as our own is.

Here the answers are not known beforehand. A posted event has to be answered by a status of success;
over a WebSocket the bot has to answer each event with an API call, as one that echoes does, whose
result it is given before the next event comes. Requests and answers are read by h11 and wsproto,
which take more of the generator's time than our own few lines: see that it was not the limit.
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import h11
import wsproto
from wsproto import events as ws_events

from . import bodies, wire
from .cpu import process_clock, resident
from .histogram import Histogram
from .listening import check_listens, spoken
from .load import LoadError

__all__ = ["Anybody", "Outcome", "measure_anybody"]

_PATIENCE = 10.0
_BUSY = 0.9
"""The part of a core from which on a side is taken to be the limit."""
_PATHS = {"http": "/onebot/http", "websocket": "/onebot/ws"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Anybody:
    """A server that runs already, and the load that is meant for it; times in seconds."""

    address: tuple[str, int]
    job: str = "http"
    """`http` or `websocket`."""
    path: str | None = None
    """The default is that of a OneBot server: /onebot/http or /onebot/ws."""
    token: str | None = None
    connections: int = 32
    seconds: float = 5.0
    warm_up: float = 0.5
    pid: int | None = None
    """Its process, if it is on this machine."""

    @property
    def target(self) -> str:
        """The path that is asked for."""
        return self.path or _PATHS[self.job]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found; times in seconds."""

    server: Anybody
    took: Histogram
    """How long each event took until its answer was there."""
    wall: float
    server_cpu: float | None
    """CPU time of its process, if that was told; of its children nothing is known."""
    generator_cpu: float
    resident: int | None
    """The memory that its process has resident at the end, in bytes."""

    @property
    def events(self) -> int:
        """How many were answered."""
        return self.took.count

    def text(self) -> str:
        """Some lines to read."""
        number = self.server.connections
        lines = [
            f"{self.server.job} at {self.server.target}, {number} connection{'s'[: number != 1]}:",
            f"{self.events:,} events in {self.wall:.2f} s: {self.events / self.wall:,.0f}/s",
        ]
        median, p99, highest = self.took.at(50), self.took.at(99), self.took.highest
        lines.append(
            f"from event to answer: median {median:,.0f} us, p99 {p99:,.0f}, highest {highest:,.0f}"
        )
        if self.server_cpu is not None:
            each, part = self.server_cpu / self.events * 1e6, self.server_cpu / self.wall
            lines.append(f"CPU time of its process: {each:.1f} us/event, {part:.0%} of a core")
        if self.resident is not None:
            lines.append(f"memory of its process: {self.resident / 2**20:.1f} MiB")
        busy = self.generator_cpu / self.wall
        limit = ", which was the limit" if busy > _BUSY else ""
        lines.append(f"the load generator took {busy:.0%} of a core{limit}")
        if self._was_held_up():
            lines.append(
                "neither had a whole core: the machine was busy elsewhere,"
                " or the bot waits for something"
            )
        return "\n".join(lines)

    def _was_held_up(self) -> bool:
        """Whether there was time in which neither side worked, as far as that is known."""
        if self.server_cpu is None:
            return False
        parts = self.server_cpu / self.wall, self.generator_cpu / self.wall
        # On one connection they take turns.
        return (sum(parts) if self.server.connections == 1 else max(parts)) < _BUSY


class _Talk(asyncio.Protocol, ABC):
    """One connection: an event, its answer, the next event."""

    def __init__(self, crowd: _Crowd, number: int) -> None:
        self._crowd = crowd
        self._self_id = bodies.first_self_id + number
        self._sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self.transport = cast(asyncio.Transport, transport)
        self._open()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._crowd.fail(f"the server ended a connection ({exc or 'it was closed'})")

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            self._receive(data)
        except (h11.RemoteProtocolError, wsproto.utilities.RemoteProtocolError) as error:
            self._crowd.fail(f"the server's answer is malformed: {error}")

    @abstractmethod
    def _open(self) -> None:
        """The connection is there."""

    @abstractmethod
    def _receive(self, data: bytes) -> None:
        """Something has come."""

    @abstractmethod
    def _send(self, event: bytes) -> None:
        """Send an event."""

    def _next(self) -> None:
        """The answer to the last event has come, or there was none yet."""
        event = bodies.event(self._self_id, self._sent)
        self._sent += 1
        self._began = time.perf_counter_ns()
        self._send(bodies.dumps(event).encode())

    def _answered(self) -> None:
        self._crowd.took.append(time.perf_counter_ns() - self._began)
        if not self._crowd.ending:
            self._next()


class _Post(_Talk):
    def _open(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self._next()

    def _send(self, event: bytes) -> None:
        request = h11.Request(
            method="POST",
            target=self._crowd.path,
            headers=[
                *self._crowd.headers(self._self_id),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(event))),
            ],
        )
        head = self._http.send(request) or b""
        self.transport.write(head + (self._http.send(h11.Data(data=event)) or b""))
        self._http.send(h11.EndOfMessage())

    def _receive(self, data: bytes) -> None:
        self._http.receive_data(data)
        while (event := self._http.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Response) and not 200 <= event.status_code < 300:
                self._crowd.fail(
                    f"expected an answer of 2xx to a POST {self._crowd.path},"
                    f" got {event.status_code} {event.reason.decode('latin-1')}"
                )
                return
            if isinstance(event, h11.EndOfMessage):
                if self._http.their_state is not h11.DONE:
                    self._crowd.fail("expected the connection to be kept alive, it is not")
                    return
                self._http.start_next_cycle()
                self._answered()
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return


class _Frames(_Talk):
    def _open(self) -> None:
        self._ws = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        host, port = self._crowd.address
        headers = self._crowd.headers(self._self_id)[1:]
        request = ws_events.Request(
            host=f"{host}:{port}",
            target=self._crowd.path,
            extra_headers=[(name.encode(), value.encode()) for name, value in headers],
        )
        self.transport.write(self._ws.send(request))
        self._text = ""

    def _send(self, event: bytes) -> None:
        self.transport.write(wire.client_frame(event))

    def _receive(self, data: bytes) -> None:
        self._ws.receive_data(data)
        for event in self._ws.events():
            match event:
                case ws_events.AcceptConnection():
                    self._next()
                case ws_events.RejectConnection():
                    self._crowd.fail(
                        f"expected a WebSocket at {self._crowd.path}, got {event.status_code}"
                    )
                case ws_events.TextMessage():
                    self._text += event.data
                    if event.message_finished:
                        text, self._text = self._text, ""
                        self._call(text)
                case ws_events.Ping():
                    self.transport.write(self._ws.send(event.response()))
                case ws_events.CloseConnection():
                    self._crowd.fail(f"the server closed: {event.code} {event.reason or ''}")

    def _call(self, text: str) -> None:
        """An API call has come: give it its result, which the bot may wait for."""
        call = json.loads(text)
        result = {"status": "ok", "retcode": 0, "data": {"message_id": self._sent}}
        result["echo"] = call.get("echo")
        self._send(bodies.dumps(result).encode())
        self._answered()


class _Crowd:
    """All connections to the server."""

    def __init__(self, anybody: Anybody) -> None:
        self.took: list[int] = []
        """What each answered event took, in nanoseconds."""
        self.ending = False
        self.address = anybody.address
        self.path = anybody.target
        self._token = anybody.token
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def headers(self, self_id: int) -> list[tuple[str, str]]:
        """What a OneBot client tells of itself, the host first."""
        found = [
            ("Host", "{}:{}".format(*self.address)),
            ("User-Agent", "OneBot/11"),
            ("X-Self-ID", str(self_id)),
            ("X-Client-Role", "Universal"),
        ]
        return found + ([("Authorization", f"Bearer {self._token}")] if self._token else [])

    def fail(self, message: str) -> None:
        """Something is not as it should be."""
        if not self.ending and not self._failed.done():
            self._failed.set_exception(LoadError(message))

    async def wait(self, seconds: float) -> None:
        """Wait that long. Raises LoadError if something fails meanwhile."""
        await asyncio.wait([self._failed], timeout=seconds)
        if self._failed.done():
            self._failed.result()


def _clock(pid: int) -> Callable[[], int]:
    try:
        return process_clock(pid)
    except OSError as error:
        raise LoadError(f"expected a process {pid} on this machine: {error}") from error


def _unreachable(address: tuple[str, int], error: Exception) -> str:
    """Why there is no connection; asyncio may tell of several attempts in one error."""
    if isinstance(error, TimeoutError):
        return f"could not connect to {spoken(address)} within {_PATIENCE:g} s"
    if set(re.findall(r"\[Errno (-?\d+)\]", str(error))) == {str(errno.ECONNREFUSED)}:
        return f"nothing listens at {spoken(address)}"
    return f"could not connect to {spoken(address)}: {error}"


async def measure_anybody(anybody: Anybody) -> Outcome:
    """Send events, one at a time on each connection, and see what that takes.

    Raises LoadError.
    """
    clock = _clock(anybody.pid) if anybody.pid else None
    crowd = _Crowd(anybody)
    kind: Callable[[_Crowd, int], _Talk] = _Post if anybody.job == "http" else _Frames
    talks: list[_Talk] = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_PATIENCE):
            for number in range(anybody.connections):
                make = partial(kind, crowd, number)
                talks.append((await loop.create_connection(make, *anybody.address))[1])
        if anybody.pid:
            check_listens(anybody.pid, anybody.address)
        await crowd.wait(anybody.warm_up)
        crowd.took.clear()
        before = time.monotonic(), time.process_time(), clock and clock()
        await crowd.wait(anybody.seconds)
        took = Histogram()
        took.record(crowd.took)
        wall, generator = time.monotonic() - before[0], time.process_time() - before[1]
        cpu = (clock() - (before[2] or 0)) / 1e9 if clock else None
    except (OSError, TimeoutError) as error:
        raise LoadError(_unreachable(anybody.address, error)) from error
    finally:
        crowd.ending = True
        for talk in talks:
            talk.transport.abort()
        await asyncio.sleep(0)
    if not took.count:
        raise LoadError(
            "no event was answered; over a WebSocket the bot has to answer each with an API call"
        )
    memory = resident(anybody.pid) if anybody.pid else None
    return Outcome(anybody, took, wall, cpu, generator, memory)
