"""The driver for NoneBot 2.3 and later: adapters set up routes, and each is its own master.

Server, signals and exit codes are those of the driver outside of NoneBot; adapters, bots, hooks and
the lifespan are NoneBot's.
"""

from __future__ import annotations

import logging
from typing import Any

from nonebot.config import Config, Env
from nonebot.drivers import ASGIMixin, HTTPServerSetup, WebSocketServerSetup
from nonebot.drivers import Driver as NoneBotDriver

from ... import logs
from ...addresses import hosts_of
from ...asgi import ASGIApplication
from ...config import PREFIX, ServerConfig, log_level_number
from ...serving import Serving
from .clients import Mixin
from .server import NoneBotApplication

__all__ = ["Driver"]


class Driver(Serving, Mixin, NoneBotDriver, ASGIMixin):
    """A NoneBot driver with a server and clients of its own.

    `NBDRIVER_*` settings come from NoneBot's `.env` files and from the process environment, which
    wins; host, port and log level are NoneBot's.
    """

    def __init__(self, env: Env, config: Config) -> None:
        """Called by `nonebot.init`. Raises ConfigError for a setting that cannot be used."""
        super().__init__(env, config)
        self._application: NoneBotApplication = NoneBotApplication(self, self._clients.stop)
        self._told_of: frozenset[str] = frozenset()
        self._configure(None, None, {})

    def _configured(self) -> None:
        self._tell_of_settings_without_effect()
        self._application.called(_authority(self._server_config))
        self._asgi = ASGIApplication(self._application, self._server_config)

    def _tell_of_settings_without_effect(self) -> None:
        """Warn of settings about bots and events, which adapters see to here; once of each."""
        changed = self._server_config.changed()
        names = [
            name
            for name in ServerConfig.dispatching()
            if name.removeprefix(PREFIX).lower() in changed and name not in self._told_of
        ]
        if names:
            self._told_of |= frozenset(names)
            self.logger.warning(
                "Settings without effect inside NoneBot, where adapters see to bots and events: %s",
                ", ".join(names),
            )

    @property
    def type(self) -> str:
        """The driver's name."""
        return "nbdriver"

    @property
    def server_app(self) -> NoneBotApplication:
        """The application that the server serves."""
        return self._application

    @property
    def asgi(self) -> ASGIApplication:
        """The driver as an ASGI 3 application, for whoever has a server already."""
        return self._asgi

    @property
    def logger(self) -> logging.Logger:
        """The package's logger, whose lines stand in NoneBot's log."""
        return logs.package

    def setup_http_server(self, setup: HTTPServerSetup) -> None:
        """Called by adapters and plugins: serve a path by HTTP."""
        self._application.add_http(setup)

    def setup_websocket_server(self, setup: WebSocketServerSetup) -> None:
        """Called by adapters and plugins: serve WebSockets at a path."""
        self._application.add_websocket(setup)

    def run(
        self,
        host: str | None = None,
        port: int | None = None,
        *args: Any,
        app: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Called by `nonebot.run`: serve until SIGINT or SIGTERM.

        `kwargs` are settings as for `serve`, `log_level`, and `ready`, which is called with the
        server once it listens; uvicorn's are understood too, and those without a meaning here are
        named in a warning. `app` tells uvicorn where to find the bot after a reload, of which there
        is none here. Raises SystemExit with 3 if the server could not start, and with 1 if the stop
        had to be forced.
        """
        # NoneBot's `run` has no types.
        super().run(host, port, app=app, **kwargs)  # type: ignore[no-untyped-call]
        # Else the level that `attach` has left: NoneBot's filter does the rest.
        if (level := kwargs.pop("log_level", None)) is not None:
            self.logger.setLevel(log_level_number(level))
        self._run(host, port, kwargs)


def _authority(config: ServerConfig) -> str:
    """The first host and its port, as far as they are known before the server listens."""
    host = hosts_of(config.host)[0]
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{config.port}" if config.port else host
