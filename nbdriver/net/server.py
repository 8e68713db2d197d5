"""A server: its listeners, its connections, and how both begin and end.

`async with Server(application, config) as server` is the whole of it; `program.run` puts a main
program around that. What happens at the start and at the stop, and in which order, can be read off
`Server.__aenter__`, `Server._finish` and `Server.__aexit__`, a line for each step.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from .. import codec
from ..abc import Application
from ..config import ServerConfig
from ..errors import HTTPError, StartupError
from ..wire.deflate import DeflateSettings
from ..wire.frames import FrameLimits
from ..wire.head import HeadLimits
from ..wire.origin import OriginRules
from ..wire.proxy import Family, TrustedProxies
from .arrivals import ArrivalLimits, Arrivals
from .binding import SocketAddress, bind
from .clock import Clock, LoopClock
from .context import Connection, Context, HTTPLimits
from .http11 import HTTPConnection
from .sockets import Listener
from .stream import Stream, StreamLimits, settle_allocator
from .tasks import Tasks
from .tls import TLS
from .websocket import WebSocketLimits

__all__ = ["MOMENT", "Server"]

logger = logging.getLogger(__name__)

MOMENT = 0.1
"""Seconds that what is cut off gets at least to end properly, even if the stop is forced."""

#: The part of `shutdown_timeout` that is kept for when the time is over: for the shut-down hooks,
_RESERVE = 1 / 6
#: and of that the part in which what is cut off may still end properly,
_FAREWELL = 1 / 4
#: The part of `shutdown_timeout` in which the requests that have begun have to be complete.
_REQUESTS = 1 / 3
#: How many connections beyond `max_connections` are told so; any more are just cut off.
_TURNED_AWAY = 64
#: The part of `max_connections` down to which they have to go before the log says again that it is
#: full.
_ROOM = 3 / 4

#: The server whose connection the running code was called by: a handler, a hook of a bot.
_called_by: ContextVar[Server | None] = ContextVar("called_by", default=None)


class _Connections(dict[Stream, Connection]):
    """The connections that there are; `changed` when one comes, goes, or changes its protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    def __setitem__(self, stream: Stream, connection: Connection) -> None:
        super().__setitem__(stream, connection)
        self.changed.set()

    def __delitem__(self, stream: Stream) -> None:
        super().__delitem__(stream)
        self.changed.set()

    def of(self, kind: type[object]) -> list[Connection]:
        """Those that speak one protocol; of `object`, all."""
        return [connection for connection in self.values() if isinstance(connection, kind)]

    async def none_of(self, kind: type[object]) -> None:
        """Wait until no connection speaks that protocol."""
        while self.of(kind):
            self.changed.clear()
            await self.changed.wait()


class Server:
    """Serves an application while its `async with` block runs; once.

    Entering raises StartupError if a start-up hook fails or an address cannot be bound. However the
    block ends, the server stops as `close` says, and the shut-down hooks run.
    """

    def __init__(self, application: Application, config: ServerConfig) -> None:
        self._application = application
        self._config = config
        self._stream_limits = _stream_limits(config)
        # Bound once, not for each connection.
        self._callbacks = self._connected, self._lost
        self._listeners: list[Listener] = []
        self._arrivals: Arrivals | None = None
        self._tls: TLS | None = None
        self._connections = _Connections()
        self._tasks = Tasks()
        self._stop_asked = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        self._patience: asyncio.Timeout | None = None
        self._end = 0.0
        self._most = config.max_connections
        self._refused: set[Stream] = set()
        """Connections that were one too many, and have not gone yet."""
        self._full = False
        self.addresses: list[SocketAddress] = []
        """Host and port of every address that it listens on; a Unix socket's path and None."""
        self.forced = False
        """Whether something was cut off: the time was over, or a second request forced the stop."""

    # Starting.

    async def __aenter__(self) -> Server:
        self._clock = LoopClock(asyncio.get_running_loop())
        self._context = _context(
            self._application, self._config, self._clock, self._tasks, self._connections
        )
        self._lifespan = self._application.lifespan()
        await self._lifespan.__aenter__()
        try:
            await self._listen()
        except BaseException:
            await self._leave(self._config.shutdown_timeout)
            raise
        return self

    async def _listen(self) -> None:
        config = self._config
        settle_allocator()
        if config.proxy_protocol and not config.trusted_proxies:
            raise StartupError(
                "the setting proxy_protocol needs trusted_proxies, which names nobody: no"
                " connection would be let in"
            )
        self._tls = TLS.of(config)
        self._arrivals = Arrivals(
            self._stream,
            self._clock,
            limits=_arrival_limits(config),
            tls=self._tls,
            is_proxy=self._context.proxies.is_trusted if config.proxy_protocol else None,
        )
        sockets = await bind(config)
        # Whatever closes a server ends what listens by then.
        if self._stopping is not None:
            for bound in sockets:
                bound.close()
            raise StartupError("the server was closed before it listened")
        # What the listeners start, and all that is called by it, knows by this where it belongs.
        outside = _called_by.set(self)
        self._listeners = [Listener(bound, self._take, self._clock) for bound in sockets]
        _called_by.reset(outside)
        self.addresses = [listener.address for listener in self._listeners]
        where = (_place(self.scheme, *address) for address in self.addresses)
        logger.info("Listening on %s", ", ".join(where))
        logger.debug(
            "Event loop: %s; JSON: %s; fast lane: %s",
            type(asyncio.get_running_loop()).__module__.partition(".")[0],
            codec.library,
            "on" if config.fast_lane else "off",
        )

    @property
    def scheme(self) -> str:
        """What a URL of this server begins with: "https" with a certificate, else "http"."""
        return "http" if self._config.tls_certificate is None else "https"

    def reload(self) -> bool:
        """Read the certificates anew; connections that there are go on with the old ones.

        Gives False, and logs why, if they cannot be used: then the old ones stay. Where there are
        none, there is nothing to do.
        """
        return self._tls is None or self._tls.reload()

    def _stream(self, peername: object) -> Stream:
        return Stream(*self._callbacks, self._clock, self._stream_limits, peername)

    def _lost(self, stream: Stream) -> None:
        del self._connections[stream]
        self._refused.discard(stream)

    def _take(self, accepted: socket.socket, peername: object) -> None:
        """Make a connection of an accepted socket, as far as there may be more of them."""
        assert self._arrivals is not None
        if len(self._arrivals) + len(self._connections) < self._most + _TURNED_AWAY:
            self._arrivals.take(accepted, peername)
        else:
            self._tell_that_it_is_full()
            accepted.close()

    def _connected(self, stream: Stream) -> Connection:
        connection = HTTPConnection(stream, self._context)
        served = len(self._connections) - len(self._refused)
        self._connections[stream] = connection
        if served >= self._most:
            self._refused.add(stream)
            self._tell_that_it_is_full()
            reason = "the server has as many connections as it may have; try again later"
            connection.refuse(HTTPError(503, reason, [("Retry-After", "5")]))
        elif served <= self._most * _ROOM:
            self._full = False
        return connection

    def _tell_that_it_is_full(self) -> None:
        """Once for each time that it becomes so."""
        if not self._full:
            self._full = True
            logger.warning(
                "%d connections, as many as max_connections allows: more are refused", self._most
            )

    # Stopping.

    def ask_to_stop(self) -> None:
        """Let `wait` return, so that the block around it ends; asked again, wait for nothing.

        Not a coroutine, so that a signal handler can call it.
        """
        if self._stop_asked.is_set():
            self._force()
        self._stop_asked.set()

    async def wait(self) -> None:
        """Wait until the server is asked to stop."""
        await self._stop_asked.wait()

    async def close(self) -> None:
        """Stop listening, finish what has begun, and end every connection; safe to repeat.

        Called by something that has to end itself (the handler of an event, the hook of a bot), it
        returns at once.
        """
        self._stop_asked.set()
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        if _called_by.get() is not self:
            await asyncio.wait([self._stopping])

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except asyncio.CancelledError:
            # Whoever cancels a stop does not want to wait; what there is must end all the same.
            self._force()
            await self.close()
            raise
        finally:
            await self._leave(self._time_left)
            logger.info("Stopped")

    def _force(self) -> None:
        """Wait for nothing any more, and leave off what is waited for."""
        logger.warning("Stopping at once")
        self.forced = True
        self._end = 0.0
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(0)

    async def _wait_for(self, seconds: float, work: Coroutine[Any, Any, object]) -> None:
        """Await `work` until it has ended, the time is over, or `_force` is called."""
        try:
            async with asyncio.timeout(max(MOMENT, seconds)) as self._patience:
                await work
        except TimeoutError:
            if not self.forced:
                logger.warning("Not everything has ended in time; what is left is cut off")
            self.forced = True
        finally:
            self._patience = None

    @property
    def _time_left(self) -> float:
        return self._end - asyncio.get_running_loop().time()

    async def _leave(self, seconds: float) -> None:
        """Leave the lifespan, in the task that entered it."""
        try:
            await self._wait_for(seconds, self._lifespan.__aexit__(None, None, None))
        finally:
            self._clock.stop()

    async def _stop(self) -> None:
        timeout = 0.0 if self.forced else self._config.shutdown_timeout
        self._end = asyncio.get_running_loop().time() + timeout
        logger.info("Stopping; what has begun has %g s to end", timeout)
        try:
            await self._wait_for(timeout * (1 - _RESERVE), self._finish())
        except Exception:
            self.forced = True
            logger.exception("The application cannot stop; what is left is cut off")
        finally:
            await self._cut_off()

    async def _finish(self) -> None:
        """Let everything come to its end, in this order."""
        await self._close_the_door()
        # Requests that have begun are answered, and their events accepted.
        await self._shut_down(HTTPConnection)
        # Accepted events run to their end, while their WebSockets are still there to answer.
        await self._application.drain()
        await self._shut_down(object)
        await self._tasks.join()
        # What follows from the end of the connections: the disconnect hooks.
        await self._application.drain()

    async def _close_the_door(self) -> None:
        """Take no connection any more; safe to repeat."""
        for listener in self._listeners:
            await listener.close()
        if self._arrivals is not None:
            await self._arrivals.close()

    async def _shut_down(self, kind: type[object]) -> None:
        for connection in self._connections.of(kind):
            connection.shut_down()
        await self._connections.none_of(kind)

    async def _cut_off(self) -> None:
        """End what is left, and name it in the log; a handler that goes on is left behind."""
        await self._close_the_door()
        await self._wait_for(self._time_left * _FAREWELL, self._farewell())
        await self._abort()

    async def _farewell(self) -> None:
        """Let those that are cut off end properly, if they do so in a moment."""
        for connection in self._connections.of(object):
            connection.shut_down()
        await self._tasks.cancel()
        await self._connections.none_of(object)

    async def _abort(self) -> None:
        for stream, connection in list(self._connections.items()):
            logger.warning("%s: cut off", connection)
            stream.abort()
        await self._connections.none_of(object)
        if self._tasks:
            logger.error("%d handlers go on although they were cancelled", len(self._tasks))


def _context(
    application: Application,
    config: ServerConfig,
    clock: Clock,
    tasks: Tasks,
    connections: dict[Stream, Connection],
) -> Context:
    """The server's configuration, sorted by who needs it."""
    return Context(
        application=application,
        clock=clock,
        tasks=tasks,
        connections=connections,
        http=HTTPLimits(
            head=HeadLimits(
                max_head=config.max_head,
                max_target=config.max_target,
                max_headers=config.max_headers,
            ),
            max_body=config.max_body,
            read_ahead=config.read_ahead,
            head_timeout=config.head_timeout,
            body_timeout=config.body_timeout,
            idle_timeout=config.idle_timeout,
            stop_timeout=config.shutdown_timeout * _REQUESTS,
            server_header=config.server_header,
            access_log=config.access_log,
            fast_lane=config.fast_lane,
        ),
        websocket=WebSocketLimits(
            frames=FrameLimits(max_message=config.max_message, max_fragments=config.max_fragments),
            max_parked=config.max_parked,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
            close_timeout=config.close_timeout,
            fast_lane=config.fast_lane,
        ),
        deflate=DeflateSettings(max_message=config.max_message) if config.deflate else None,
        proxies=TrustedProxies(config.trusted_proxies, Family(config.forwarded_headers)),
        origin=OriginRules.of(config.allowed_origins, config.allowed_hosts),
    )


def _place(scheme: str, host: str, port: int | None) -> str:
    """An address as the log tells it."""
    if port is None:
        return f"unix:{host}"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _stream_limits(config: ServerConfig) -> StreamLimits:
    return StreamLimits(
        write_buffer=config.write_buffer,
        write_timeout=config.write_timeout,
        linger_timeout=config.linger_timeout,
    )


def _arrival_limits(config: ServerConfig) -> ArrivalLimits:
    return ArrivalLimits(arrival_timeout=config.head_timeout, shutdown_timeout=config.write_timeout)
