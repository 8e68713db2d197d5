"""What an adapter's request means: permission, a Bot, and a task that handles the event.

Neither sockets nor h11 nor ASGI here: a `Request` comes, or a WebSocket that waits to be accepted.
What is wrong with either is an HTTPError, in the order 404, 405 or 426, 400, permission.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from . import codec
from .abc import Bot, Driver, WebSocketConnection
from .config import ServerConfig
from .errors import ConnectionLost, HTTPError, WebSocketClosed
from .logs import escape
from .model import Request, RequestHeaders, Response
from .net.clock import Clock
from .net.tasks import Tasks
from .pending import Pending
from .routing import match
from .websocket import WebSocket

__all__ = ["Dispatcher"]

logger = logging.getLogger(__name__)

Message = dict[str, Any]


class _Event(NamedTuple):
    """What a task works on, as the log names it if the task fails."""

    bot_id: str
    message: Message

    def __str__(self) -> str:
        return f"bot {escape(str(self.bot_id))}: {self.message}"


class Dispatcher:
    """Carries requests to the bots of a driver, within the bounds of its configuration."""

    def __init__(
        self,
        driver: Driver,
        config: ServerConfig,
        clock: Clock,
        denied: tuple[type[Exception], ...] = (),
    ) -> None:
        """`denied` are a framework's own exceptions in place of RequestDenied."""
        self._driver = driver
        self._config = config
        self._clock = clock
        self._denied: tuple[type[Exception], ...] = (HTTPError, *denied)
        self._connections: dict[str, _BotConnection] = {}
        self._entering: set[str] = set()
        self._probes: dict[str, asyncio.Task[Any]] = {}
        self._parking: set[_BotConnection] = set()
        self._tasks = Tasks()
        self.pending = Pending(config.max_pending)

    # HTTP.

    async def handle_http(self, request: Request) -> Response:
        """Hand one event to a bot; 204 says that it was. Raises HTTPError."""
        adapter, is_websocket = self._find(request)
        if is_websocket:
            raise _not_for_http(request)
        if request.method != "POST":
            raise HTTPError(405, f"expected POST, got {request.method}", [("Allow", "POST")])
        message = _read_body(request)
        self_id = await self._ask_permission(adapter, "http", request, message)
        if self_id in self._driver.bots:
            logger.warning(
                "bot %s is also connected by WebSocket, its events may be handled twice",
                escape(self_id),
            )
        if self.pending.draining:
            raise HTTPError(503, "the bot is shutting down", [("Retry-After", "5")])
        bot = adapter("http", self_id)
        if self.pending.free:
            self._start(bot, message)
        else:
            await self._start_when_free(bot, message)
        return Response(204)

    def _start(self, bot: Bot, message: Message) -> None:
        self.pending.start(_handle(bot, message), _Event(bot.self_id, message), _nothing)

    async def _start_when_free(self, bot: Bot, message: Message) -> None:
        """Wait in line for a place. Raises HTTPError (503) if none is found in time."""
        timeout = self._config.pending_timeout
        started = asyncio.Event()

        # The place is taken in the call that offers it: a place that waits for a task to wake up
        # would be offered to everybody in the line.
        def start() -> None:
            self._start(bot, message)
            started.set()

        self.pending.when_free(start)
        try:
            async with self._clock.timeout(timeout):
                await started.wait()
        except TimeoutError:
            if not started.is_set():
                raise HTTPError(
                    503,
                    f"the bot is busy: no event before this one ended within {timeout} s",
                    [("Retry-After", str(max(1, round(timeout))))],
                ) from None
        finally:
            self.pending.leave_line(start)

    # WebSocket.

    async def handle_websocket(self, websocket: WebSocketConnection) -> None:
        """Connect a bot. Raises HTTPError to refuse it, WebSocketClosed if the peer has left."""
        request = websocket.request
        adapter, is_websocket = self._find(request)
        if not is_websocket:
            raise HTTPError(405, "expected POST, this is no WebSocket path", [("Allow", "POST")])
        _check_role(request)
        self_id = await self._ask_permission(adapter, "websocket", request, None)
        await self._make_room(self_id)
        if websocket.closed:
            return
        self._entering.add(self_id)
        try:
            bot = adapter("websocket", self_id, websocket=WebSocket(websocket))
            await websocket.accept()
            connection = _BotConnection(self, bot, self_id, websocket)
            logger.info("Bot %s connected by WebSocket (%s)", connection, bot.type)
            self._driver._bot_connect(bot)
            self._connections[self_id] = connection
        finally:
            self._entering.discard(self_id)
        websocket.deliver_to(connection)

    async def _make_room(self, self_id: str) -> None:
        """See that no other connection has that id. Raises HTTPError (409) if one has, and lives.

        A connection whose other end is gone may look alive for as long as the keep-alive pings take
        to find out, so it is asked at once. All newcomers share one probe; the first to go on wins.
        """
        if (old := self._connections.get(self_id)) is not None:
            if (probe := self._probes.get(self_id)) is None:
                probe = self._tasks.start(self._probe(old), f"asking bot {old} for a sign of life")
                self._probes[self_id] = probe
                probe.add_done_callback(lambda _: self._probes.pop(self_id))
            await asyncio.wait([probe])
        # The last connection's hooks come before this one's.
        await self._driver._bot_hooks.settled(self_id)
        if self._is_taken(self_id):
            logger.warning(
                "bot %s is already connected, a second connection is refused", escape(self_id)
            )
            raise HTTPError(
                409, f"bot {self_id} is already connected, and that connection is alive"
            )

    def _is_taken(self, self_id: str) -> bool:
        """Whether a bot of that id is connected, or about to be."""
        bots, connection = self._driver.bots, self._connections.get(self_id)
        if connection is not None and bots.get(connection.bot.self_id) is connection.bot:
            return True
        return self_id in bots or self_id in self._entering

    async def _probe(self, old: _BotConnection) -> None:
        """Ask an old connection for a sign of life, and end it if none comes."""
        if not old.websocket.can_ping:
            return
        try:
            async with self._clock.timeout(self._config.takeover_timeout):
                await old.websocket.ping()
        except TimeoutError:
            # A pong cannot be heard while we do not read, and that is no fault of the peer's.
            if not old.paused:
                logger.warning("bot %s gave no sign of life, its connection is taken over", old)
                old.websocket.abort()
        except WebSocketClosed:
            pass

    def _disconnected(self, connection: _BotConnection, error: Exception) -> None:
        if self._connections.get(connection.bot_id) is connection:
            del self._connections[connection.bot_id]
        logger.info("Bot %s disconnected (%s)", connection, escape(str(error)))
        self._driver._bot_disconnect(connection.bot)

    # Both.

    def _find(self, request: Request) -> tuple[type[Bot], bool]:
        """The adapter that a path belongs to, and whether the path is its WebSocket's."""
        route = match(request.path)
        if route is None or (adapter := self._driver._adapters.get(route.adapter)) is None:
            known = ", ".join(f"/{name}/" for name in self._driver._adapters) or "none"
            logger.warning("%s: no adapter has that path; there are: %s", request, known)
            raise HTTPError(404, "expected the path of an adapter, /NAME/, /NAME/http or /NAME/ws")
        return adapter, route.websocket

    async def _ask_permission(
        self, adapter: type[Bot], kind: str, request: Request, message: Message | None
    ) -> str:
        if len(request.headers.get_all("x-self-id")) > 1:
            raise HTTPError(400, "expected one X-Self-ID header, got several")
        headers = RequestHeaders(request)
        try:
            self_id = await adapter.check_permission(self._driver, kind, headers, message)
        except self._denied as error:
            status, reason = _denial(error)
            if isinstance(error, HTTPError):
                raise
            raise HTTPError(status, reason) from error
        if not isinstance(self_id, str):
            raise TypeError(
                f"expected {adapter.__qualname__}.check_permission to return the bot's id as text,"
                f" got {self_id!r}"
            )
        return self_id

    async def drain(self) -> None:
        """Take no further events, and wait until those that were taken have been handled."""
        await self.pending.drain()

    async def cancel(self) -> None:
        """Cancel the events that are left, naming them in the log."""
        self.pending.draining = True
        for connection in list(self._parking):
            connection.drop_parked()
        await self.pending.cancel()
        await self._tasks.cancel()


class _BotConnection:
    """A bot's WebSocket, as the listener that its messages are delivered to.

    Events start at once while there are places, and are parked, in order, while there are none.
    Answers to API calls never wait: the bots that hold the places may be waiting for them.
    """

    __slots__ = (
        "_dispatcher",
        "_dropped",
        "_is_answer",
        "_parked",
        "_parked_size",
        "_running",
        "_unparking",
        "bot",
        "bot_id",
        "paused",
        "websocket",
    )

    def __init__(
        self, dispatcher: Dispatcher, bot: Bot, bot_id: str, websocket: WebSocketConnection
    ) -> None:
        """`bot_id` is what `check_permission` gave, whatever the bot made of it."""
        self._dispatcher = dispatcher
        self.bot = bot
        self.bot_id = bot_id
        self.websocket = websocket
        self._is_answer: Callable[[Message], bool] = getattr(type(bot), "is_answer", _is_answer)
        self._running = 0
        self._parked: deque[str] = deque()
        self._parked_size = 0
        self._unparking = False
        self._dropped = 0
        self.paused = False
        """Whether nothing more is read for now, since too much is parked."""

    def __str__(self) -> str:
        return escape(self.bot_id)

    def message_received(self, message: str | bytes) -> None:
        """Handle a message: an event, an answer, or neither, which is logged."""
        if isinstance(message, bytes):
            logger.warning("bot %s: a binary message is ignored, expected text", self)
            return
        try:
            event = codec.loads_object(message)
        except ValueError as error:
            logger.warning("bot %s: a message is ignored, %s", self, error)
            return
        pending = self._dispatcher.pending
        if self._answers(event):
            pending.start_beside(_handle(self.bot, event), _Event(self.bot_id, event))
        elif pending.draining:
            self._dropped += 1
        elif self._parked or not self._has_place():
            self._park(message)
        else:
            self._start(event)

    def connection_closed(self, error: Exception) -> None:
        """The bot has gone; its events that have come are still handled."""
        self._tell_bot(error)
        if self._dropped:
            logger.warning(
                "bot %s: %d events came after the stop and were not handled", self, self._dropped
            )
        self._dispatcher._disconnected(self, error)

    def drop_parked(self) -> None:
        """The time to stop is over: what has found no place will not be handled."""
        logger.warning("bot %s: %d parked events were not handled", self, len(self._parked))
        self._parked.clear()
        self._parked_size = 0
        self._unpark()

    def _answers(self, event: Message) -> bool:
        """Whether a message answers an API call; what the bot's own opinion raises is logged."""
        try:
            return self._is_answer(event)
        except Exception:
            logger.exception("bot %s: is_answer failed, the message is taken for an event", self)
            return False

    def _tell_bot(self, error: Exception) -> None:
        # Asked of the class, since an instance takes any name for an API call.
        if (closed := getattr(type(self.bot), "connection_closed", None)) is not None:
            try:
                closed(self.bot, error)
            except Exception:
                logger.exception("bot %s: connection_closed failed", self)

    def _has_place(self) -> bool:
        dispatcher = self._dispatcher
        return (
            self._running < dispatcher._config.max_pending_per_connection
            and dispatcher.pending.free
        )

    def _start(self, event: Message) -> None:
        self._running += 1
        cause = _Event(self.bot_id, event)
        self._dispatcher.pending.start(_handle(self.bot, event), cause, self._done)

    def _done(self) -> None:
        self._running -= 1
        self._unpark()

    def _park(self, message: str) -> None:
        # As text: what is read from it may take many times the memory that was allowed.
        self._parked.append(message)
        self._parked_size += sys.getsizeof(message)
        self._dispatcher._parking.add(self)
        if self._parked_size > self._dispatcher._config.max_parked:
            self.paused = True
            self.websocket.pause_reading()
        self._stand_in_line()

    def _unpark(self) -> None:
        """Start what is parked, as far as there are places."""
        # An event may end as soon as it is started, and come here again through `_done`; only the
        # outermost call starts anything, or many such events would be a deep recursion.
        nested, self._unparking = self._unparking, True
        while not nested and self._parked and self._has_place():
            message = self._parked.popleft()
            self._parked_size -= sys.getsizeof(message)
            self._start(codec.loads_object(message))
        self._unparking = nested
        if not self._parked:
            self._dispatcher._parking.discard(self)
        self._stand_in_line()
        if self.paused and self._parked_size <= self._dispatcher._config.max_parked // 2:
            self.paused = False
            self.websocket.resume_reading()

    def _stand_in_line(self) -> None:
        """Wait for a place of all, if that is what is missing; else our own events' end will do."""
        if self._parked and not self._dispatcher.pending.free:
            self._dispatcher.pending.when_free(self._unpark)


def _is_answer(message: Message) -> bool:
    """Whether a message answers an API call, as OneBot's do."""
    return "echo" in message and "post_type" not in message


def _not_for_http(request: Request) -> HTTPError:
    """What a request without an upgrade gets on a WebSocket path (RFC 9110, 15.5.22)."""
    if request.method in ("GET", "HEAD"):
        return HTTPError(426, "expected a WebSocket, this is its path", [("Upgrade", "websocket")])
    return HTTPError(405, f"expected a WebSocket, got {request.method}", [("Allow", "GET")])


def _read_body(request: Request) -> Message:
    if coding := request.headers.get("content-encoding"):
        # RFC 9110, 15.5.16: Accept-Encoding tells which codings would have been understood.
        raise HTTPError(
            415,
            f"expected a body without Content-Encoding, got {coding}",
            [("Accept-Encoding", "identity")],
        )
    try:
        return codec.loads_object(request.body)
    except ValueError as error:
        raise HTTPError(400, str(error)) from error


def _check_role(request: Request) -> None:
    """OneBot's split connections share an id, so that each would push the other out."""
    role = request.headers.get("x-client-role") or "Universal"
    if role.lower() in ("api", "event"):
        raise HTTPError(400, f"expected X-Client-Role: Universal (one connection), got {role}")


def _denial(error: Any) -> tuple[int, str]:
    """The status and reason of what denies a request: an HTTPError, or a framework's own.

    Raises ValueError for a status that denies nothing: a mistake of the adapter's, to be logged.
    """
    status = error.status_code
    if not isinstance(status, int) or not 400 <= status <= 599:
        raise ValueError(
            f"expected check_permission to deny with a status from 400 to 599, got {status!r}"
        ) from error
    return status, error.reason


async def _handle(bot: Bot, message: Message) -> None:
    """Give `bot` a message; whatever it raises, even at once, is the task's to log."""
    try:
        await bot.handle_message(message)
    except (WebSocketClosed, ConnectionLost) as error:
        # The peer has left while it was being answered: nothing that a traceback would explain.
        logger.warning("bot %s: an event got no answer, %s", escape(str(bot.self_id)), error)
    except (SystemExit, KeyboardInterrupt):
        # They are for the event loop. A task that was started eagerly would raise them in whatever
        # has brought the message, which may take them for an error of its own.
        await asyncio.sleep(0)
        raise


def _nothing() -> None:
    """What is to be done after an event that came by HTTP."""
