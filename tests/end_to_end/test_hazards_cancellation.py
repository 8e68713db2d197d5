"""Any public coroutine is cancelled at any of its awaits: what it worked on stays consistent.

Each case is run anew for each point at which it can be cancelled, in virtual time and over
connections in memory, until it ends before it comes so far. Then what it may have left behind is
looked at, and whether the next one works.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

import pytest
from support.cancelling import WAYS, Outcome
from support.echo import Echo, make_driver, serving
from support.frames import BINARY, PING, PONG, TEXT, Frame, read_frames
from support.jumping import jumping
from support.leaks import nothing_left
from support.peer import Peer, settle
from support.raw import connect_in_memory, event, upgrade
from support.websocket_pair import FramePeer

from nbdriver import Driver, Headers, Request, WebSocket, WebSocketClosed, abc, onebot

#: More awaits than any case has; and as many turns, after which things change but with time.
POINTS = {"at await": range(1, 200), "after turns": range(25)}


class Hands(Driver):
    """Hands its WebSocket to the test, and leaves it alone until the test is over."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.handed: asyncio.Queue[abc.WebSocketConnection] = asyncio.Queue()
        self.over = asyncio.Event()

    async def _handle_ws_reverse(self, connection: abc.WebSocketConnection) -> None:
        await connection.accept()
        self.handed.put_nowait(connection)
        await self.over.wait()


class World:
    """A driver that is served, and a peer; with the driver `Hands`, both ends of a WebSocket."""

    connection: Any
    websocket: Any

    def __init__(self, echo: Echo) -> None:
        self.echo = echo
        self.driver: Any = echo.driver
        self.peer = FramePeer(client=True)

    async def open(self) -> None:
        connect_in_memory(self.echo, self.peer, upgrade())
        await self.peer.read(b"\r\n\r\n")
        if isinstance(self.driver, Hands):
            self.connection = await self.driver.handed.get()
            self.websocket = WebSocket(self.connection)

    def later(self, call: Callable[..., object], *arguments: Any) -> None:
        """A few turns later, when whoever was to have what it brings may have gone."""
        self._later = asyncio.create_task(self._in_turn(call, *arguments))

    async def _in_turn(self, call: Callable[..., object], *arguments: Any) -> None:
        for _ in range(8):
            await asyncio.sleep(0)
        call(*arguments)


class Case:
    """What is cancelled, and what is looked at afterwards."""

    driver: type[Driver] = Hands
    adapter: type[Any] | None = None
    settings: ClassVar[dict[str, Any]] = {}

    @asynccontextmanager
    async def world(self) -> AsyncIterator[World]:
        driver = make_driver(self.driver, self.adapter)
        async with nothing_left(), serving(driver, **self.settings) as echo:
            world = World(echo)
            yield world
            await settle()
            world.peer.transport.abort()
            if isinstance(driver, Hands):
                driver.over.set()

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        """Prepare, and give the coroutine."""
        raise NotImplementedError

    async def check(self, world: World, outcome: Outcome) -> None:
        """See that what was cancelled is as if it had not been begun, or as if it had ended."""
        raise NotImplementedError


class Receive(Case):
    """A message is lost with no receiver, whichever of the three takes it."""

    def __init__(self, method: str, *, waits: bool) -> None:
        self.method, self.waits = method, waits

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        await world.open()
        opcode = BINARY if self.method == "receive_bytes" else TEXT
        if self.waits:
            world.later(world.peer.send_frame, '{"n": 1}', opcode)
        else:
            world.peer.send_frame('{"n": 1}', opcode)
            await settle()
        coroutine: Coroutine[Any, Any, Any] = getattr(world.websocket, self.method)()
        return coroutine

    async def check(self, world: World, outcome: Outcome) -> None:
        first = await world.websocket.receive() if outcome.cancelled else outcome.result
        world.peer.send_frame('{"n": 2}')
        second = await world.websocket.receive()
        numbers = [
            each["n"] if isinstance(each, dict) else json.loads(each)["n"]
            for each in (first, second)
        ]
        assert numbers == [1, 2]


class Send(Case):
    """A message goes out in whole or not at all, and the next after it."""

    def __init__(self, method: str, message: Any) -> None:
        self.method, self.message = method, message

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        await world.open()
        world.peer.transport.pause_reading()
        # The buffer is full, so that both waits are waited: before and after the write.
        self.before = asyncio.create_task(world.connection.send(b"y" * 100_000))
        await settle()
        world.later(world.peer.transport.resume_reading)
        coroutine: Coroutine[Any, Any, Any] = getattr(world.websocket, self.method)(self.message)
        return coroutine

    async def check(self, world: World, outcome: Outcome) -> None:
        world.peer.transport.resume_reading()
        await world.websocket.send_text("next")
        assert len((await world.peer.read_frame()).payload) == 100_000
        frame = await world.peer.read_frame()
        if frame.payload != b"next":
            assert len(frame.payload) >= 100_000
            frame = await world.peer.read_frame()
        else:
            assert outcome.cancelled
        assert frame == Frame(TEXT, b"next")


class Ping(Case):
    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        await world.open()
        world.later(world.peer.send_frame, b"\0\0\0\1", PONG)
        coroutine: Coroutine[Any, Any, Any] = world.connection.ping()
        return coroutine

    async def check(self, world: World, outcome: Outcome) -> None:
        again = asyncio.create_task(world.connection.ping())
        last = await world.peer.read_frame()
        await settle()
        while world.peer.received:
            last = await world.peer.read_frame()
        assert last.opcode == PING
        world.peer.send_frame(last.payload, PONG)
        await again


class Close(Case):
    """It has begun or not; if it has, it ends, by the peer's Close or by time."""

    def __init__(self, *, answered: bool) -> None:
        self.answered = answered

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        await world.open()
        if self.answered:
            world.later(world.peer.send_close, 4000)
        coroutine: Coroutine[Any, Any, Any] = world.websocket.close(4000, "enough")
        return coroutine

    async def check(self, world: World, outcome: Outcome) -> None:
        if outcome.cancelled and not world.peer.received:
            # It was cancelled before it had begun.
            await world.websocket.send_text("open")
            assert (await world.peer.read_frame()).payload == b"open"
            return
        await asyncio.sleep(11)
        assert world.websocket.closed
        with pytest.raises(WebSocketClosed):
            await world.websocket.send_text("too late")
        assert await world.peer.read_close() == (4000, "enough")
        await world.websocket.close()


class Wait(Case):
    driver = Driver

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        await world.open()
        world.later(world.echo.server.ask_to_stop)
        return world.echo.server.wait()

    async def check(self, world: World, outcome: Outcome) -> None:
        connect_in_memory(world.echo, peer := Peer(), event({}))
        assert (await peer.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        peer.transport.abort()


class CloseServer(Case):
    """The stop goes on, and whoever asks again waits for its end."""

    driver = Driver

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        await world.open()
        world.later(world.peer.send_close, 1001)
        return world.echo.server.close()

    async def check(self, world: World, outcome: Outcome) -> None:
        await world.echo.server.close()
        assert world.echo.server._connections == {}


class HandleHTTP(Case):
    """The application's: no place is lost, and an event that has begun is handled once."""

    driver = Driver
    settings: ClassVar[dict[str, Any]] = {"max_pending": 1}

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        echo = world.echo
        connect_in_memory(echo, world.peer, event({"wait": "gate"}))
        await settle()
        world.later(echo.adapter.release, "gate")
        request = Request("POST", "/echo/", Headers([("X-Self-ID", "2")]), b'{"n": 1}')
        return echo.driver.server_app.handle_http(request)

    async def check(self, world: World, outcome: Outcome) -> None:
        there_was_a_place = world.echo.adapter.gate("gate").is_set()
        world.echo.adapter.release("gate")
        await settle()
        handled = world.echo.messages.count({"n": 1})
        if not outcome.cancelled:
            assert handled == 1
        else:
            # Who is cancelled in the moment in which the event begins does not stop it.
            assert handled <= there_was_a_place
        connect_in_memory(world.echo, peer := Peer(), event({"n": 2}))
        assert (await peer.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        await settle()
        assert world.echo.messages[-1] == {"n": 2}
        peer.transport.abort()


class Drain(HandleHTTP):
    """The application's: the events are not cancelled with whoever waits for them."""

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        (await super().begin(world)).close()
        return world.echo.driver.server_app.drain()

    async def check(self, world: World, outcome: Outcome) -> None:
        assert world.echo.messages == [{"wait": "gate"}]
        world.echo.adapter.release("gate")
        await world.echo.driver.server_app.drain()


class Gives(Driver):
    """Gives the WebSocket of the bot "new" to the test, to call the application with."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.handed: asyncio.Queue[abc.WebSocketConnection] = asyncio.Queue()
        self.over = asyncio.Event()

    async def _handle_ws_reverse(self, connection: abc.WebSocketConnection) -> None:
        if connection.request.target.endswith("?given"):
            self.handed.put_nowait(connection)
            await self.over.wait()
        else:
            await super()._handle_ws_reverse(connection)


class HandleWebSocket(Case):
    """The application's, cancelled while it probes, waits for hooks, accepts.

    Either a bot is connected and its connection is there, or neither is.
    """

    driver = Gives

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        # The old connection is silent, so that it is asked and then taken over.
        await world.open()
        world.driver.on_bot_disconnect(lambda bot: settle())
        target = "GET /echo/ws?given HTTP/1.1"
        self.newcomer = connect_in_memory(world.echo, FramePeer(client=True), upgrade(line=target))
        given = await world.driver.handed.get()
        dispatcher = world.driver.server_app.dispatcher
        coroutine: Coroutine[Any, Any, Any] = dispatcher.handle_websocket(given)
        return coroutine

    async def check(self, world: World, outcome: Outcome) -> None:
        await asyncio.sleep(3)
        dispatcher = world.driver.server_app.dispatcher
        assert set(dispatcher._connections) == set(world.driver.bots)
        assert (dispatcher._entering, dispatcher._probes) == (set(), {})
        assert outcome.cancelled or self.newcomer.received.startswith(b"HTTP/1.1 101 ")
        world.driver.over.set()
        self.newcomer.transport.abort()
        world.peer.transport.abort()
        await settle()
        again = connect_in_memory(world.echo, FramePeer(client=True), upgrade())
        await settle()
        assert again.received.startswith(b"HTTP/1.1 101 ")
        again.transport.abort()


class CallAPI(Case):
    """A call that was cancelled is forgotten, and so is its answer; the next gets its own."""

    driver = Driver

    class adapter(onebot.Bot):  # noqa: N801  # it is one
        async def on_event(self, event: onebot.Event) -> None:
            raise NotImplementedError

    async def begin(self, world: World) -> Coroutine[Any, Any, Any]:
        await world.open()
        self.bot: Any = world.driver.bots["1"]
        world.later(self.answer, world)
        coroutine: Coroutine[Any, Any, Any] = self.bot.call_api("get", number=1)
        return coroutine

    def answer(self, world: World) -> None:
        """Answer every call that has come."""
        for frame in read_frames(bytes(world.peer.received)):
            call = json.loads(frame.payload)
            answer = {"status": "ok", "retcode": 0, "data": call["params"], "echo": call["echo"]}
            world.peer.send_frame(json.dumps(answer))
        world.peer.received.clear()

    async def check(self, world: World, outcome: Outcome) -> None:
        assert outcome.cancelled or outcome.result == {"number": 1}
        # If nobody waits for an answer any more, none comes.
        world.peer.received.clear()
        calling = asyncio.create_task(self.bot.call_api("get", number=2))
        await settle()
        self.answer(world)
        assert await calling == {"number": 2}
        assert not self.bot._calls


CASES: dict[str, Case] = {
    "WebSocket.receive, a message is there": Receive("receive", waits=False),
    "WebSocket.receive, a message comes": Receive("receive", waits=True),
    "WebSocket.receive_text": Receive("receive_text", waits=True),
    "WebSocket.receive_bytes": Receive("receive_bytes", waits=True),
    "WebSocket.send": Send("send", {"text": "x" * 100_000}),
    "WebSocket.send_text": Send("send_text", "x" * 100_000),
    "WebSocket.send_bytes": Send("send_bytes", b"x" * 100_000),
    "WebSocket.close, answered": Close(answered=True),
    "WebSocket.close, not answered": Close(answered=False),
    "WebSocketConnection.ping": Ping(),
    "Server.wait": Wait(),
    "Server.close": CloseServer(),
    "Application.handle_http": HandleHTTP(),
    "Application.handle_websocket": HandleWebSocket(),
    "Application.drain": Drain(),
    "onebot.Bot.call_api": CallAPI(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_whatever_is_cancelled_stays_consistent_and_leaves_nothing(name: str, way: str) -> None:
    @jumping
    async def run() -> None:
        case, points = CASES[name], 0
        for number in POINTS[way]:
            async with case.world() as world:
                outcome = await WAYS[way](await case.begin(world), number)
                if outcome.error is not None and not outcome.cancelled:
                    raise outcome.error
                await case.check(world, outcome)
            if not outcome.reached:
                break
            points += 1
        assert points or name == "WebSocket.receive, a message is there"

    run()


# Driver.serve, from the start to the end.


@pytest.mark.parametrize("way", WAYS)
def test_serving_that_is_cancelled_at_any_point_stops_in_order_and_can_begin_again(
    way: str,
) -> None:
    @jumping
    async def run() -> None:
        for number in POINTS[way]:
            driver, order = make_driver(), list[str]()
            hooks: list[tuple[Any, str]] = [
                (driver.on_startup, "start"),
                (driver.on_shutdown, "stop"),
                (driver.on_bot_disconnect, "disconnect"),
            ]
            for register, name in hooks:
                register(_writing(order, name))

            async def serve(driver: Driver = driver) -> None:
                echo, peer, posting = Echo(driver), FramePeer(client=True), Peer()
                async with driver.serve() as echo.server, AsyncExitStack() as left:
                    for client, data in ((peer, upgrade()), (posting, event({"n": 1}))):
                        connect_in_memory(echo, client, data)
                        left.callback(client.transport.abort)
                        await client.read(b"\r\n\r\n")
                    left.pop_all()
                    # The Close that the stop waits for.
                    asyncio.get_running_loop().call_later(1, _leave, peer, posting)

            async with nothing_left():
                outcome = await WAYS[way](serve(), number)
                assert outcome.error is None or outcome.cancelled
                assert driver.bots == {}
                assert order.count("stop") == order.count("start") <= 1
                assert order[-1:] in ([], ["stop"])
                await serve()
                assert order.count("stop") == order.count("start")
            if not outcome.reached:
                break

    run()


def _leave(peer: FramePeer, *others: Peer) -> None:
    peer.send_close(1001)
    for each in (peer, *others):
        each.transport.close()


def _writing(order: list[str], name: str) -> Callable[..., Awaitable[None]]:
    async def hook(*_: object) -> None:
        order.append(name)
        await asyncio.sleep(0)

    return hook
