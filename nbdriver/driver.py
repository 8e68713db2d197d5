"""The driver: adapters, bots and hooks on one side, a server on the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from . import abc, logs
from .asgi import ASGIApplication
from .config import log_level_number
from .dispatch import Dispatcher
from .errors import StartupError
from .hooks import call_hook, name_of
from .model import Request, Response
from .net.clock import LoopClock
from .net.server import MOMENT
from .serving import Serving

__all__ = ["Driver"]

logger = logging.getLogger(__name__)

Hook = TypeVar("Hook", bound=Callable[..., Any])

#: The part of `shutdown_timeout` that bots' hooks and cancelled events may take of what is kept for
#: the shut-down hooks.
_SHARE = 1 / 48


class Driver(Serving, abc.Driver):
    """A driver with a server of its own.

    Routes: `POST /{adapter}/` or `/{adapter}/http` takes an event, `/{adapter}/ws` a reverse
    WebSocket. Each driver has its own adapters, hooks and bots.
    """

    #: Exceptions that mean what RequestDenied means, for a framework that has one of its own.
    _denied: tuple[type[Exception], ...] = ()

    def __init__(self, env: Any, config: Any) -> None:
        """`env` and `config` are ours or NoneBot's. Raises ConfigError for a setting of no use."""
        super().__init__(env, config)
        self._startup_hooks: list[Callable[..., Any]] = []
        self._shutdown_hooks: list[Callable[..., Any]] = []
        self._application: _DriverApplication = _DriverApplication(self)
        self._configure(None, None, {})

    def _configured(self) -> None:
        self._bot_hooks.timeout = self._server_config.hook_timeout

    @property
    def type(self) -> str:
        """The driver's name."""
        return "nbdriver"

    @property
    def server_app(self) -> abc.Application:
        """The application that the server serves."""
        return self._application

    @property
    def asgi(self) -> ASGIApplication:
        """The driver as an ASGI 3 application, for whoever has a server already."""
        return ASGIApplication(self._application, self._server_config)

    @property
    def logger(self) -> logging.Logger:
        """The package's logger."""
        return logs.package

    def on_startup(self, func: Hook) -> Hook:
        """Run `func` before the server listens; if it raises, the server does not start."""
        self._startup_hooks.append(func)
        return func

    def on_shutdown(self, func: Hook) -> Hook:
        """Run `func` after the last bot is gone; all run, in the order of their registration."""
        self._shutdown_hooks.append(func)
        return func

    def run(
        self, host: str | None = None, port: int | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Serve until SIGINT or SIGTERM, as a main program does.

        `kwargs` are settings as for `serve`, `log_level`, and `ready`, which is called with the
        server once it listens; uvicorn's are understood too, and those without a meaning here are
        named in a warning. Raises SystemExit with 3 if the server could not start, and with 1 if
        the stop had to be forced.
        """
        level, debug = kwargs.pop("log_level", None), getattr(self.config, "debug", None)
        level = level or getattr(self.config, "log_level", None)
        logs.configure(log_level_number(level, debug=bool(debug)))
        self._run(host, port, kwargs)

    async def _handle_http(self, request: Request) -> Response:
        """One event by HTTP (the contract's `_handle_http`)."""
        return await self._application.dispatcher.handle_http(request)

    async def _handle_ws_reverse(self, websocket: abc.WebSocketConnection) -> None:
        """A bot's reverse WebSocket (the contract's `_handle_ws_reverse`)."""
        await self._application.dispatcher.handle_websocket(websocket)


class _DriverApplication(abc.Application):
    """A driver at the waist: its hooks are the lifespan, its contract methods the handlers."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._serving = False
        self._clock: LoopClock
        self._dispatcher: Dispatcher | None = None

    @property
    def dispatcher(self) -> Dispatcher:
        """The dispatcher of the running loop; made when first needed.

        An ASGI server may serve without a lifespan.
        """
        if self._dispatcher is None:
            driver = self._driver
            self._clock = LoopClock(asyncio.get_running_loop())
            self._dispatcher = Dispatcher(
                driver, driver._server_config, self._clock, driver._denied
            )
        return self._dispatcher

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Start-up hooks, in order; at the end what is left of events, then the shut-down hooks.

        If a start-up hook fails, those after it do not run, but every shut-down hook does: what had
        started may have something to give back.
        """
        if self._serving:
            raise StartupError("this driver is being served already; make a second Driver")
        self._serving = True
        self._dispatcher = None
        logger.debug("Adapters: %s", ", ".join(self._driver._adapters) or "none")
        try:
            for hook in self._driver._startup_hooks:
                await self._start_up(hook)
            yield
        finally:
            try:
                await self._shut_down()
            finally:
                self._serving = False
                self._clock.stop()

    async def _start_up(self, hook: Callable[..., Any]) -> None:
        try:
            await _call(hook)
        except Exception as error:
            logger.error("The start-up hook %s failed", name_of(hook), exc_info=error)
            raise StartupError(f"the start-up hook {name_of(hook)} failed: {error!r}") from error

    async def _shut_down(self) -> None:
        """Run the shut-down hooks, whatever else does not end.

        The server bounds it, but only if it had started; so there is a bound beyond the server's.
        """
        timeout = self._driver._server_config.shutdown_timeout
        bound = timeout + 2 * MOMENT
        try:
            await self._cut_off(timeout * _SHARE)
        except asyncio.CancelledError:
            bound = MOMENT
            raise
        finally:
            await _within(bound, self._run_shutdown_hooks(), "The shut-down took too long")

    async def _cut_off(self, share: float) -> None:
        """End what is left of events and of bots' hooks, each in its share of the time."""
        hooks = self._driver._bot_hooks
        await _within(share, self.dispatcher.cancel(), "Events go on although they were cancelled")
        await _within(share, hooks.join(), "Hooks of bots have not ended in time")
        await _within(share, hooks.cancel(), "Hooks of bots go on although they were cancelled")

    async def _run_shutdown_hooks(self) -> None:
        left = list(self._driver._shutdown_hooks)
        while left:
            try:
                await _call(left[0])
            except Exception:
                logger.exception("The shut-down hook %s failed", name_of(left[0]))
            except asyncio.CancelledError:
                logger.error("Shut-down hooks cut off: %s", ", ".join(map(name_of, left)))
                raise
            del left[0]

    def handle_http(self, request: Request) -> Coroutine[Any, Any, Response]:
        """Answer by the contract's method, which a subclass may have changed."""
        return self._driver._handle_http(request)

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        """Serve by the contract's method, which a subclass may have changed."""
        await self._driver._handle_ws_reverse(websocket)

    async def drain(self) -> None:
        """Wait until the events that were accepted have been handled, then for hooks that end."""
        await self.dispatcher.drain()
        # A connect hook may go on for as long as its bot is there.
        if not self._driver.bots:
            await self._driver._bot_hooks.join()


async def _call(hook: Callable[..., Any]) -> None:
    """Call a hook. If it is cancelled by itself, not from outside, that is an error of its own."""
    task = asyncio.current_task()
    assert task is not None
    cancelling = task.cancelling()
    try:
        await call_hook(hook)
    except asyncio.CancelledError as error:
        if task.cancelling() > cancelling:
            raise
        raise RuntimeError("expected the hook to return, it awaited what was cancelled") from error


async def _within(seconds: float, work: Coroutine[Any, Any, None], otherwise: str) -> None:
    """Await `work`, but no longer; `otherwise` is logged if it has not ended then."""
    try:
        async with asyncio.timeout(max(MOMENT / 4, seconds)):
            await work
    except TimeoutError:
        logger.error(otherwise)
