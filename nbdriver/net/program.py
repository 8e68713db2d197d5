"""The main program: a server that runs until a signal tells it to stop.

Whoever has an event loop already enters a `Server` there; `run` is for the program that has nothing
else to do, and for the exit code that its supervisor reads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..abc import Application
from ..config import ServerConfig
from ..errors import StartupError
from .server import MOMENT, Server

__all__ = ["FORCED", "NOT_STARTED", "run"]

logger = logging.getLogger(__name__)

FORCED = 1
"""Exit code of a stop that a second signal forced."""
NOT_STARTED = 3
"""Exit code if the server could not start."""

#: The signals that ask a program to end.
_STOPPING = ("SIGINT", "SIGTERM", "SIGBREAK")


def run(
    application: Application, config: ServerConfig, ready: Callable[[Server], object] | None = None
) -> int:
    """Serve until SIGINT or SIGTERM (on Windows also Ctrl-Break); a second signal forces the stop.

    `ready`, if given, is called with the server once it listens. Gives the exit code: 0 after a
    clean stop, FORCED, or NOT_STARTED. The signal handlers that were there before are put back.
    Raises RuntimeError inside of an event loop.
    """
    if _in_event_loop():
        raise RuntimeError(
            "expected run() to be called outside of an event loop;"
            " inside of one, use: async with driver.serve() as server: await server.wait()"
        )
    before = set(threading.enumerate())
    with asyncio.Runner(loop_factory=_loop_factory(config.uvloop)) as runner:
        code = runner.run(_main(application, config, ready))
        if code == FORCED:
            _leave_behind(runner.run(_end_the_rest()))
    if code == FORCED:
        _leave_behind(_threads_since(before))
    return code


async def _end_the_rest() -> set[asyncio.Task[None]]:
    """End what is left in the event loop, threads of its executor too; gives what does not end."""
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    left.append(asyncio.create_task(asyncio.get_running_loop().shutdown_default_executor()))
    _, stuck = await asyncio.wait(left, timeout=MOMENT)
    return stuck


def _threads_since(before: set[threading.Thread]) -> set[threading.Thread]:
    """The threads that have been started since, and would keep the process."""
    left = {each for each in threading.enumerate() if each not in before and not each.daemon}
    end = time.monotonic() + MOMENT
    for thread in left:
        thread.join(max(0.0, end - time.monotonic()))
    return {thread for thread in left if thread.is_alive()}


def _leave_behind(stuck: Collection[object]) -> None:
    """End the process here and now, if something would keep it for ever.

    A task may ignore its cancellation, and a thread cannot be cancelled; the runner would wait for
    tasks and for threads of the event loop's executor, and Python for any thread.
    """
    if stuck:
        for each in stuck:
            logger.error("The process ends although this does not: %r", each)
        logging.shutdown()
        sys.stdout.flush()
        os._exit(FORCED)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


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


async def _main(
    application: Application, config: ServerConfig, ready: Callable[[Server], object] | None
) -> int:
    server = Server(application, config)
    starting = asyncio.current_task()

    def stop() -> None:
        server.ask_to_stop()
        if starting is not None:
            starting.cancel()

    handlers: dict[str, Callable[[], object]] = dict.fromkeys(_STOPPING, stop)
    if config.tls_certificate is not None:
        handlers["SIGHUP"] = server.reload
    with _Signals(handlers):
        try:
            async with server:
                starting = None
                if ready is not None:
                    ready(server)
                await server.wait()
                logger.info("Asked to stop; asked again (Ctrl-C once more) it does so at once")
        except StartupError as error:
            logger.error("Could not start: %s", error)
            return NOT_STARTED
        except asyncio.CancelledError:
            if starting is None:
                raise
            logger.info("Stopped before it had started")
    return FORCED if server.forced else 0


class _Signals:
    """Calls the handlers of signals, by their names, while its block runs."""

    def __init__(self, handlers: Mapping[str, Callable[[], object]]) -> None:
        self._handlers = handlers
        self._loop = asyncio.get_running_loop()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        try:
            for name, handler in self._handlers.items():
                number = getattr(signal, name, None)
                # Each platform has some of them.
                if number is None:
                    continue
                previous = signal.getsignal(number)
                self._install(number, handler)
                self._previous[number] = previous
        except (ValueError, RuntimeError):
            logger.debug("signals are left alone outside of the main thread")

    def _install(self, number: signal.Signals, handler: Callable[[], object]) -> None:
        try:
            self._loop.add_signal_handler(number, handler)
        except NotImplementedError:
            # Windows: event loops have no signal handlers there.
            signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(handler))

    def __exit__(self, *_: object) -> None:
        for number, previous in self._previous.items():
            try:
                self._loop.remove_signal_handler(number)
            except NotImplementedError:
                pass
            # None is a handler that Python did not install and cannot put back.
            signal.signal(number, previous or signal.SIG_DFL)
