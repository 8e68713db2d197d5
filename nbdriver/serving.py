"""From settings to a server that runs, inside a loop or as a program.

That is the same for our driver and for the one inside NoneBot 2.x; whose application is served, and
what else depends on the settings, is for each to say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from .abc import Application
from .config import ServerConfig
from .keywords import understand
from .net.program import run
from .net.server import Server

__all__ = ["Serving"]


class Serving:
    """The part of a driver that serves its `_application`, as its `config` says."""

    config: Any
    _application: Application
    _server_config: ServerConfig

    def _configure(
        self, host: str | None, port: int | None, settings: Mapping[str, object]
    ) -> None:
        """Take `settings` for what comes; a host or port of None is the configuration's."""
        places = {"host": host, "port": port}
        given = {name: place for name, place in places.items() if place is not None}
        self._server_config = ServerConfig.from_config(self.config, os.environ, **settings, **given)
        self._configured()

    def _configured(self) -> None:
        """Called when the settings have changed, for what else depends on them."""

    def serve(
        self, host: str | None = None, port: int | None = None, **settings: Any
    ) -> AbstractAsyncContextManager[Server]:
        """Serve while an `async with` block runs, in the loop that is running.

        `settings` are those of ServerConfig and beat the configuration; port 0 picks a port, and
        `server.addresses` tells which. Signal handlers are not touched. Raises ConfigError at once,
        StartupError on entering.
        """
        self._configure(host, port, settings)
        return Server(self._application, self._server_config)

    def _run(self, host: str | None, port: int | None, keywords: dict[str, Any]) -> None:
        """Serve until a signal says stop; `keywords` are settings, uvicorn's too, and `ready`.

        Raises SystemExit for every end but a clean one.
        """
        ready = keywords.pop("ready", None)
        self._configure(host, port, understand(keywords))
        code = run(self._application, self._server_config, ready)
        if code:
            sys.exit(code)
