"""The driver: adapters, bots and hooks on one side, a server on the other."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from . import abc, logs
from .asgi import ASGIApplication
from .config import ServerConfig, log_level_number
from .dispatch import Dispatcher
from .errors import StartupError
from .hooks import call_hook, name_of
from .model import Request, Response
from .net.clock import LoopClock
from .net.server import Server, run

__all__ = ["Driver"]

logger = logging.getLogger(__name__)

Hook = TypeVar("Hook", bound=Callable[..., Any])

#: What uvicorn's keywords are called here; NoneBot users pass them to `run`.
_UVICORN_NAMES = {
    "timeout_graceful_shutdown": "shutdown_timeout",
    "timeout_keep_alive": "idle_timeout",
    "ws_max_size": "max_message",
    "ws_ping_interval": "ping_interval",
    "ws_ping_timeout": "ping_timeout",
    "ws_per_message_deflate": "deflate",
}
#: uvicorn's keywords that have no meaning here.
_UVICORN_ONLY = frozenset(
    """app app_dir date_header debug env_file factory forwarded_allow_ips h11_max_incomplete_event_size
    headers http interface lifespan limit_concurrency limit_max_requests log_config proxy_headers
    reload reload_delay reload_dirs reload_excludes reload_includes root_path server_header_enabled
    timeout_notify timeout_worker_healthcheck use_colors workers ws ws_max_queue""".split()
)


class Driver(abc.Driver):
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
        self._application = _DriverApplication(self)
        self._configure({})

    def _configure(self, settings: Mapping[str, Any]) -> None:
        self._server_config = ServerConfig.from_config(self.config, os.environ, **settings)
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

    def serve(
        self, host: str | None = None, port: int | None = None, **settings: Any
    ) -> AbstractAsyncContextManager[Server]:
        """Serve while an `async with` block runs, in the loop that is running.

        `settings` are those of ServerConfig and beat the configuration; port 0 picks a port, and
        `server.addresses` tells which. Signal handlers are not touched. Raises ConfigError at once,
        StartupError on entering.
        """
        self._configure({**settings, "host": host, "port": port})
        return Server(self._application, self._server_config)

    def run(
        self, host: str | None = None, port: int | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Serve until SIGINT or SIGTERM, as a main program does.

        `kwargs` are settings as for `serve`, and `log_level`; uvicorn's are understood too, and those
        without a meaning here are named in a warning. Raises SystemExit with 3 if the server could
        not start, and with 1 if the stop had to be forced.
        """
        level, debug = kwargs.pop("log_level", None), getattr(self.config, "debug", None)
        level = level or getattr(self.config, "log_level", None)
        logs.configure(log_level_number(level, debug=bool(debug)))
        self._configure({**_understand(kwargs), "host": host, "port": port})
        code = run(self._application, self._server_config)
        if code:
            sys.exit(code)

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
        self._dispatcher: Dispatcher | None = None

    @property
    def dispatcher(self) -> Dispatcher:
        """The dispatcher of the running loop; made when first needed.

        An ASGI server may serve without a lifespan.
        """
        if self._dispatcher is None:
            driver = self._driver
            clock = LoopClock(asyncio.get_running_loop())
            self._dispatcher = Dispatcher(driver, driver._server_config, clock, driver._denied)
        return self._dispatcher

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Start-up hooks, in order; at the end what is left of events, then the shut-down hooks.

        If a start-up hook fails, those after it do not run, but every shut-down hook does: what had
        started may have something to give back.
        """
        self._dispatcher = None
        logger.debug("Adapters: %s", ", ".join(self._driver._adapters) or "none")
        try:
            for hook in self._driver._startup_hooks:
                await self._start_up(hook)
            yield
        finally:
            await self._shut_down()

    async def _start_up(self, hook: Callable[..., Any]) -> None:
        try:
            await call_hook(hook)
        except Exception as error:
            logger.error("The start-up hook %s failed", name_of(hook), exc_info=error)
            raise StartupError(f"the start-up hook {name_of(hook)} failed: {error!r}") from error

    async def _shut_down(self) -> None:
        await self.dispatcher.cancel()
        hooks = self._driver._bot_hooks
        try:
            await hooks.join()
        finally:
            await hooks.cancel()
        for hook in self._driver._shutdown_hooks:
            try:
                await call_hook(hook)
            except Exception:
                logger.exception("The shut-down hook %s failed", name_of(hook))
            except asyncio.CancelledError:
                logger.warning("The shut-down hook %s was cancelled", name_of(hook))
                raise

    async def handle_http(self, request: Request) -> Response:
        """Answer by the contract's method, which a subclass may have changed."""
        response: Response = await self._driver._handle_http(request)
        return response

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        """Serve by the contract's method, which a subclass may have changed."""
        await self._driver._handle_ws_reverse(websocket)

    async def drain(self) -> None:
        """Wait until the events that were accepted have been handled."""
        await self.dispatcher.drain()


def _understand(keywords: dict[str, Any]) -> dict[str, Any]:
    """`run`'s keywords as settings: ours as they are, uvicorn's by our name for them."""
    ignored = sorted(name for name in keywords if name in _UVICORN_ONLY)
    if ignored:
        logger.warning("Settings of uvicorn that have no meaning here: %s", ", ".join(ignored))
    settings = {
        _UVICORN_NAMES.get(name, name): value
        for name, value in keywords.items()
        if name not in _UVICORN_ONLY
    }
    if "loop" in settings:
        settings["uvloop"] = settings.pop("loop") != "asyncio"
    return settings
