"""One connection from its first byte to its end, and what has to hold whatever the peer does.

The properties, the corpus and `make fuzz` all come through here, so that an input means the same to
each of them. What was answered is judged in `judgement`; here it is what can be seen from inside.
"""

from __future__ import annotations

import asyncio
import enum
import gc
import logging
import re
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field, replace
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from support.jumping import JumpingLoop
from support.memory import connect
from support.peer import Peer

from nbdriver import abc
from nbdriver.errors import WebSocketClosed
from nbdriver.model import Request, Response
from nbdriver.net.clock import Clock, VirtualClock
from nbdriver.net.context import Context, HTTPLimits
from nbdriver.net.http11 import HTTPConnection
from nbdriver.net.stream import Stream, StreamLimits
from nbdriver.net.tasks import Tasks
from nbdriver.net.websocket import WebSocketLimits
from nbdriver.wire.deflate import DeflateSettings
from nbdriver.wire.frames import FrameLimits
from nbdriver.wire.head import HeadLimits

Result = TypeVar("Result")

#: Bytes that are read at most in one go; where there is no telling when reading pauses, no bound
#: could be told from what was sent.
READ = 8_192
#: Bytes of pongs that may wait for a peer that pings and does not read.
PONGS = 262_144
GOOD = b"POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood"


class Act(enum.Enum):
    """What a peer may do beside sending bytes."""

    END = enum.auto()
    """It will send no more (TCP's FIN)."""
    RESET = enum.auto()
    """It is gone at once (TCP's RST)."""
    STOP_READING = enum.auto()
    READ_ON = enum.auto()


Step = bytes | float | Act
"""Bytes that are sent, seconds that pass, or something else that a peer does."""


class Manner(enum.Enum):
    """How an application takes the messages of a WebSocket."""

    RECEIVE = enum.auto()
    """A task asks for each."""
    LISTEN = enum.auto()
    """They are delivered, and answered in tasks."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a server is set to; so little of everything that its bounds are soon reached."""

    manner: Manner = Manner.RECEIVE
    slow: bool = False
    """Whether the application takes its time, so that what comes has to wait."""
    deflate: bool = False
    fast_lane: bool = HTTPLimits().fast_lane
    """The suite's, if a test does not say which."""
    max_head: int = 2_000
    max_target: int = 300
    max_headers: int = 12
    max_body: int = 1_500
    read_ahead: int = 1_000
    max_message: int = 1_500
    max_fragments: int = 16
    max_parked: int = 4_000
    write_buffer: int = 4_000

    @property
    def bound(self) -> int:
        """How many bytes a connection may hold: its objects, what the limits let it, and a read."""
        limits = self.max_head + self.max_body + self.read_ahead
        limits += self.max_message + self.max_parked + self.write_buffer
        return 8_000 + 2 * (limits + READ)


@dataclass
class Conversation:
    """What was said: by the peer, to the application, and back to the peer."""

    setting: Setting
    steps: Sequence[Step]
    requests: list[Request] = field(default_factory=list)
    """Those that were given to the application, each answered by `echo`."""
    opening: Request | None = None
    """The one that has become a WebSocket, or asked to."""
    messages: list[str | bytes] = field(default_factory=list)
    closed: tuple[int, str] | None = None
    """How the WebSocket ended for the application."""
    received: bytes = b""
    eof: bool = False
    """Whether our side has ended after its last byte."""
    lost: bool = False
    """Whether the connection is gone."""
    held: int = 0
    """Bytes that the connection held at the most, as far as it was looked at."""
    course: list[tuple[int, int, int]] = field(default_factory=list)
    """After each step, how many bytes had come back, and requests and messages gone in."""
    logged: list[str] = field(default_factory=list)

    @property
    def sent(self) -> bytes:
        """All that the peer sent before it ended, in one piece."""
        sent = bytearray()
        for step in self.steps:
            if isinstance(step, bytes):
                sent += step
            elif step in (Act.END, Act.RESET):
                break
        return bytes(sent)

    @property
    def patient(self) -> bool:
        """Whether the peer did nothing but send and read."""
        return all(isinstance(step, bytes) for step in self.steps)


def echo(request: Request) -> bytes:
    """The body of the answer to a request."""
    return f"{request.method} {request.target} ".encode() + request.body


class Witness(abc.Application):
    """Echoes requests and messages, and writes down both."""

    def __init__(self, conversation: Conversation, tasks: Tasks) -> None:
        self._said = conversation
        self._tasks = tasks
        self._websocket: abc.WebSocketConnection

    async def handle_http(self, request: Request) -> Response:
        self._said.requests.append(request)
        await self._take_time()
        return Response(200, echo(request))

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        assert self._said.opening is None, "a connection becomes a WebSocket once"
        self._said.opening = websocket.request
        self._websocket = websocket
        await websocket.accept()
        if self._said.setting.manner is Manner.LISTEN:
            websocket.deliver_to(self)
            return
        try:
            while True:
                message = await websocket.receive()
                self._said.messages.append(message)
                await self._take_time()
                await websocket.send(message)
        except WebSocketClosed as error:
            self._said.closed = error.code, error.reason

    async def _take_time(self) -> None:
        if self._said.setting.slow:
            await asyncio.sleep(2.5)  # of the loop's time: two or three steps of the peer

    def message_received(self, message: str | bytes) -> None:
        assert self._said.closed is None, "nothing comes after the end"
        self._said.messages.append(message)
        self._tasks.start(self._answer(message), "a message")

    async def _answer(self, message: str | bytes) -> None:
        await self._take_time()
        try:
            await self._websocket.send(message)
        except WebSocketClosed:
            pass

    def connection_closed(self, error: Exception) -> None:
        assert self._said.closed is None, "the end is told once"
        assert isinstance(error, WebSocketClosed)
        self._said.closed = error.code, error.reason

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        raise AssertionError("a connection has nothing to do with it")

    async def drain(self) -> None:
        raise AssertionError("a connection has nothing to do with it")


class Server:
    """A server in memory, whose time is ours."""

    def __init__(self, setting: Setting, application: abc.Application, tasks: Tasks) -> None:
        self._stream_limits = StreamLimits(write_buffer=setting.write_buffer)
        self.clock = VirtualClock()
        self.context = Context(
            application=application,
            clock=self.clock,
            tasks=tasks,
            http=HTTPLimits(
                head=HeadLimits(
                    max_head=setting.max_head,
                    max_target=setting.max_target,
                    max_headers=setting.max_headers,
                ),
                max_body=setting.max_body,
                read_ahead=setting.read_ahead,
                fast_lane=setting.fast_lane,
            ),
            websocket=WebSocketLimits(
                frames=FrameLimits(
                    max_message=setting.max_message, max_fragments=setting.max_fragments
                ),
                max_parked=setting.max_parked,
                fast_lane=setting.fast_lane,
            ),
            deflate=DeflateSettings(max_message=setting.max_message, threshold=16)
            if setting.deflate
            else None,
        )

    def connect(self) -> tuple[Stream, Peer]:
        """Our end of a new connection, and the peer's."""
        peer = Peer()
        stream = Stream(self._connected, self._lost, self.clock, self._stream_limits)
        connect(stream, peer, read=READ)
        return stream, peer

    def _connected(self, stream: Stream) -> HTTPConnection:
        connection = self.context.connections[stream] = HTTPConnection(stream, self.context)
        return connection

    def _lost(self, stream: Stream) -> None:
        del self.context.connections[stream]

    async def follow(self, peer: Peer, steps: Iterable[Step]) -> AsyncIterator[None]:
        """Let the peer take its steps; after each, all that it has led to has happened."""
        for step in steps:
            if isinstance(step, float):
                self.clock.advance(step)
            elif peer.lost:
                pass
            elif step is Act.STOP_READING:
                peer.transport.pause_reading()
            elif step is Act.READ_ON:
                peer.transport.resume_reading()
            elif step is Act.RESET:
                peer.transport.abort()
            elif step is Act.END:
                try:
                    peer.transport.write_eof()
                except OSError:
                    pass  # ours is gone, and the peer learns of it just now
            else:
                peer.send(step)
            await a_step_happens()
            yield


@contextmanager
def nothing_goes_wrong() -> Iterator[list[str]]:
    """See that nothing is raised into the event loop, and no failure is logged.

    Every other line of the log is looked at too: what a peer says must not lead a terminal astray.
    Gives these lines, as they come.
    """
    watch, package = _Watch(), logging.getLogger("nbdriver")
    level = package.level
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    package.addHandler(watch)
    package.setLevel(logging.DEBUG)
    # Nobody else wants the lines of thousands of conversations.
    package.propagate = False
    try:
        yield watch.lines
    finally:
        package.propagate = True
        package.setLevel(level)
        package.removeHandler(watch)
    assert raised == []
    assert watch.wrong == []


class _Watch(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.wrong: list[str] = []
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.lines.append(text)
        if record.levelno >= logging.ERROR or record.exc_info or not text.isprintable():
            self.wrong.append(f"{record.levelname} {text!r} {record.exc_info}")


async def converse(steps: Sequence[Step], setting: Setting) -> Conversation:
    """Hold a conversation; see that it stays within its bounds, and leaves nothing behind."""
    said, tasks = Conversation(setting, steps), Tasks()
    before = asyncio.all_tasks()
    server = Server(setting, Witness(said, tasks), tasks)
    with nothing_goes_wrong() as said.logged:
        stream, peer = server.connect()
        number, looks = 0, len(steps) // 50 + 1
        async for _ in server.follow(peer, steps):
            said.course.append((len(peer.received), len(said.requests), len(said.messages)))
            if (number := number + 1) % looks == 0:
                said.held = max(said.held, held(stream))
        await everything_happens()
        said.received, said.eof, said.lost = bytes(peer.received), peer.eof, peer.lost
        peer.transport.abort()
        await everything_happens()
        assert asyncio.all_tasks() == before
        assert len(tasks) == 0
        assert server.clock.pending == 0
        assert server.context.connections == {}
        await still_works(server)
    assert said.held <= setting.bound + PONGS * (Act.STOP_READING in steps), said.held
    return replace(said, requests=said.requests[:-1])


async def still_works(server: Server) -> None:
    """See that the next connection is served as if nothing had happened."""
    _, peer = server.connect()
    peer.send(GOOD)
    assert (await peer.read_to_end()).endswith(b"\r\n\r\nPOST /next good")
    peer.transport.abort()
    await everything_happens()
    assert server.context.connections == {}


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, in an event loop of its own, where nothing is waited for."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)


async def a_step_happens() -> None:
    """Let all happen that can at once: where time jumps, a second is over when nothing is left."""
    await asyncio.sleep(1)


async def everything_happens() -> None:
    """Let all happen that can, however slow the application."""
    await asyncio.sleep(100_000)


#: Where the bytes of a connection may be: in objects of these modules, and in plain containers.
_OURS = re.compile(r"nbdriver\.(net|wire|inbox|client)|h11|wsproto|collections|builtins")
_SHARED = (type, ModuleType, FunctionType, Context, Clock, Tasks)


def held(stream: Stream) -> int:
    """Bytes that a connection holds: in its stream, and in all that can be reached from there."""
    seen, size = {id(stream)}, stream.unsent
    left: list[object] = [stream]
    while left:
        for each in gc.get_referents(left.pop()):
            if id(each) in seen or isinstance(each, _SHARED):
                continue
            if _OURS.match(type(each).__module__):
                seen.add(id(each))
                left.append(each)
                size += sys.getsizeof(each)
    return size
