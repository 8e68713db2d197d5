"""What an adapter's request means: permission, a Bot, and a task that handles the event.

Neither sockets nor h11 nor ASGI here: a `Request` comes, or a WebSocket that waits to be accepted.
What is wrong with either is an HTTPError, in the order 404, 405 or 426, 400, permission.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from . import codec
from .abc import Bot, Driver, WebSocketConnection
from .bot_connection import BotConnection, Event, Message, Parking, handle
from .config import ServerConfig
from .errors import HTTPError, WebSocketClosed
from .logs import escape
from .model import Identity, Request, RequestHeaders, Response
from .net.clock import Clock
from .net.tasks import Tasks
from .pending import Pending, Share
from .routing import match
from .websocket import WebSocket

__all__ = ["Dispatcher"]

logger = logging.getLogger(__name__)

_HANDED_OVER = Response(204)


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
        self._connections: dict[str, BotConnection] = {}
        self._entering: set[str] = set()
        self._probes: dict[str, asyncio.Task[Any]] = {}
        self._asking = 0
        self._parking = Parking(config.max_parked, config.parked_reserve)
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
        bot, share = adapter("http", self_id), self._share(request.connection)
        if share.free:
            share.start(handle(bot, message), Event((bot.self_id, message)))
        else:
            await self._start_when_free(share, bot, message)
        return _HANDED_OVER

    def _share(self, connection: Identity | None) -> Share:
        """What a connection may take of the places; None is one that cannot be told from others."""
        if connection is None:
            return Share(self.pending, self._config.max_pending)
        share: Share | None = connection.shares.get(self)
        if share is None:
            share = Share(self.pending, self._config.max_pending_per_connection)
            connection.shares[self] = share
        return share

    async def _start_when_free(self, share: Share, bot: Bot, message: Message) -> None:
        """Wait in line for a place. Raises HTTPError (503) if none is found in time."""
        timeout = self._config.pending_timeout
        started = asyncio.Event()

        # The place is taken in the call that offers it: a place that waits for a task to wake up
        # would be offered to everybody in the line.
        def start() -> None:
            share.start(handle(bot, message), Event((bot.self_id, message)))
            started.set()

        share.when_free(start)
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
            share.leave_line()

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
            connection = BotConnection(
                bot,
                self_id,
                websocket,
                pending=self.pending,
                limit=self._config.max_pending_per_connection,
                parking=self._parking,
                clock=self._clock,
                gone=self._disconnected,
            )
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

    async def _probe(self, old: BotConnection) -> None:
        """Ask an old connection for a sign of life, and end it if none comes."""
        if not old.websocket.can_ping:
            return
        try:
            async with self._clock.timeout(self._config.takeover_timeout):
                await _sign_of_life(old.websocket)
        except TimeoutError:
            # A pong cannot be heard while we do not read, and that is no fault of the peer's.
            if not old.paused:
                logger.warning("bot %s gave no sign of life, its connection is taken over", old)
                old.websocket.abort()

    def _disconnected(self, connection: BotConnection, error: Exception) -> None:
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
        if request.headers.repeats("x-self-id"):
            raise HTTPError(400, "expected one X-Self-ID header, got several")
        if self._asking >= self._config.max_pending:
            # An adapter's answer that never comes must not fill the memory either.
            raise HTTPError(503, "the bot is busy with permissions", [("Retry-After", "5")])
        headers = RequestHeaders(request)
        self._asking += 1
        try:
            self_id = await adapter.check_permission(self._driver, kind, headers, message)
        except self._denied as error:
            status, reason = _denial(error)
            if isinstance(error, HTTPError):
                raise
            raise HTTPError(status, reason) from error
        finally:
            self._asking -= 1
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
        self._parking.drop()
        await self.pending.cancel()
        await self._tasks.cancel()


async def _sign_of_life(websocket: WebSocketConnection) -> None:
    """Wait for a sign of life; one that is being closed shows it by its end."""
    try:
        await websocket.ping()
    except WebSocketClosed:
        await websocket.close()


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
