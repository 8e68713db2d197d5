"""A server: its listeners, its connections, and how both begin and end.

`async with Server(application, config) as server` is the whole of it; `run` puts a main program
around that, with signals. What happens at the start and at the stop, and in which order, can be read
off `Server.__aenter__`, `Server._finish` and `Server.__aexit__`, a line for each step.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ..abc import Application
from ..config import ServerConfig
from ..errors import StartupError
from ..wire.deflate import DeflateSettings
from ..wire.frames import FrameLimits
from ..wire.head import HeadLimits
from .clock import Clock, LoopClock
from .http11 import Connection, Context, HTTPConnection, HTTPLimits
from .sockets import Listener, bind
from .stream import Stream, StreamLimits
from .tasks import Tasks
from .websocket import WebSocketLimits

__all__ = ["FORCED", "NOT_STARTED", "Server", "run"]

logger = logging.getLogger(__name__)

FORCED = 1
"""Exit code of a stop that a second signal forced."""
NOT_STARTED = 3
"""Exit code if the server could not start."""

#: The part of `shutdown_timeout` that is kept for disconnect and shut-down hooks.
_RESERVE = 1 / 6


class Server:
    """Serves an application while its `async with` block runs; once.

    Entering raises StartupError if a start-up hook fails or an address cannot be bound.
    """

    def __init__(self, application: Application, config: ServerConfig) -> None:
        self._application = application
        self._config = config
        self._listeners: list[Listener] = []
        self._tasks = Tasks()
        self._stopping: asyncio.Task[None] | None = None
        self._stop_asked = asyncio.Event()
        self._leaving: asyncio.Timeout | None = None
        self._lost_one = asyncio.Event()
        self._end = 0.0
        self.forced = False
        """Whether something was cut off: the time was over, or a second request forced the stop."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every address that it listens on."""
        return [listener.address for listener in self._listeners]

    # Starting.

    async def __aenter__(self) -> Server:
        self._clock = LoopClock(asyncio.get_running_loop())
        self._context = _context(self._application, self._config, self._clock, self._tasks)
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
        sockets = await bind(config.host, config.port, config.backlog)
        self._listeners = [Listener(bound, self._stream, self._clock) for bound in sockets]
        where = ", ".join(
            f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            for host, port in self.addresses
        )
        logger.info("Listening on %s", where)

    def _stream(self) -> Stream:
        return Stream(self._connected, self._lost, self._clock, _stream_limits(self._config))

    def _connected(self, stream: Stream) -> Connection:
        connection = self._context.connections[stream] = HTTPConnection(stream, self._context)
        return connection

    def _lost(self, stream: Stream) -> None:
        del self._context.connections[stream]
        self._lost_one.set()

    # Stopping.

    def ask_to_stop(self) -> None:
        """Let `wait` return, so that the block around it ends; asked again, do not wait for anything.

        Not a coroutine, so that a signal handler can call it.
        """
        if not self._stop_asked.is_set():
            self._stop_asked.set()
            return
        self.forced = True
        self._end = 0.0
        if self._stopping is not None:
            self._stopping.cancel()
        if self._leaving is not None:
            self._leaving.reschedule(0)

    async def wait(self) -> None:
        """Wait until the server is asked to stop."""
        await self._stop_asked.wait()

    async def close(self) -> None:
        """Stop listening, finish what has begun, and end every connection; safe to repeat."""
        self._stop_asked.set()
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.wait([self._stopping])

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
        await self._leave(self._end - asyncio.get_running_loop().time())
        logger.info("Stopped")

    async def _leave(self, seconds: float) -> None:
        """Leave the lifespan, in the task that entered it."""
        try:
            async with asyncio.timeout(seconds) as self._leaving:
                await self._lifespan.__aexit__(None, None, None)
        except TimeoutError:
            self.forced = True
            logger.error("the shut-down hooks were cut short")
        finally:
            self._clock.stop()

    async def _stop(self) -> None:
        timeout = self._config.shutdown_timeout
        self._end = asyncio.get_running_loop().time() + timeout
        logger.info("Stopping")
        try:
            async with self._clock.timeout(timeout * (1 - _RESERVE)):
                await self._finish()
        except TimeoutError:
            self.forced = True
            logger.warning("not everything had ended within %s s", timeout)
        finally:
            await self._cut_off()

    async def _finish(self) -> None:
        """Let everything come to its end, in this order."""
        for listener in self._listeners:
            await listener.close()
        # Requests that have begun are answered, and their events accepted.
        for connection in self._connections(HTTPConnection):
            connection.shut_down()
        while self._connections(HTTPConnection):
            await self._until_one_is_lost()
        # Events that were accepted run to their end, while their WebSockets are still there to answer.
        await self._application.drain()
        for connection in self._connections(object):
            connection.shut_down()
        while self._context.connections:
            await self._until_one_is_lost()
        await self._tasks.join()

    async def _until_one_is_lost(self) -> None:
        self._lost_one.clear()
        await self._lost_one.wait()

    def _connections(self, kind: type[object]) -> list[Connection]:
        return [each for each in self._context.connections.values() if isinstance(each, kind)]

    async def _cut_off(self) -> None:
        """End at once what is left, and name it in the log."""
        for listener in self._listeners:
            await listener.close()
        for stream, connection in list(self._context.connections.items()):
            logger.warning("%s: cut off", connection)
            stream.abort()
        await self._tasks.cancel()
        while self._context.connections:
            await self._until_one_is_lost()


def _context(application: Application, config: ServerConfig, clock: Clock, tasks: Tasks) -> Context:
    """The server's configuration, sorted by who needs it."""
    return Context(
        application=application,
        clock=clock,
        tasks=tasks,
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
            server_header=config.server_header,
            access_log=config.access_log,
        ),
        websocket=WebSocketLimits(
            frames=FrameLimits(max_message=config.max_message, max_fragments=config.max_fragments),
            max_parked=config.max_parked,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
            close_timeout=config.close_timeout,
        ),
        deflate=DeflateSettings(max_message=config.max_message) if config.deflate else None,
    )


def _stream_limits(config: ServerConfig) -> StreamLimits:
    return StreamLimits(
        write_buffer=config.write_buffer,
        write_timeout=config.write_timeout,
        linger_timeout=config.linger_timeout,
    )


# The main program.


def run(application: Application, config: ServerConfig) -> int:
    """Serve until SIGINT or SIGTERM (on Windows also Ctrl-Break); a second signal forces the stop.

    Gives the exit code: 0 after a clean stop, FORCED, or NOT_STARTED. The signal handlers that were
    there before are put back.
    """
    with asyncio.Runner(loop_factory=_loop_factory(config.uvloop)) as runner:
        return runner.run(_main(application, config))


def _loop_factory(uvloop_wanted: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is wanted and installed."""
    if not uvloop_wanted:
        return None
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _main(application: Application, config: ServerConfig) -> int:
    server = Server(application, config)
    task = asyncio.current_task()
    assert task is not None
    started = False

    def stop() -> None:
        server.ask_to_stop()
        if not started:
            task.cancel()

    with _Signals(stop):
        try:
            async with server:
                started = True
                await server.wait()
        except StartupError as error:
            logger.error("Could not start: %s", error)
            return NOT_STARTED
        except asyncio.CancelledError:
            logger.info("Stopped before it had started")
            return 0
    return FORCED if server.forced else 0


class _Signals:
    """Calls `stop` on the signals that ask a program to end, while its block runs."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        names = ("SIGINT", "SIGTERM", "SIGBREAK")
        try:
            for number in [getattr(signal, name) for name in names if hasattr(signal, name)]:
                previous = signal.getsignal(number)
                self._install(number)
                self._previous[number] = previous
        except (ValueError, RuntimeError):
            logger.debug("signals are left alone outside of the main thread")

    def _install(self, number: signal.Signals) -> None:
        try:
            self._loop.add_signal_handler(number, self._stop)
        except NotImplementedError:
            # Windows: event loops have no signal handlers there.
            signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self._stop))

    def __exit__(self, *_: object) -> None:
        for number, previous in self._previous.items():
            try:
                self._loop.remove_signal_handler(number)
            except NotImplementedError:
                pass
            signal.signal(number, signal.SIG_DFL if previous is None else previous)
