"""The driver for NoneBot 2.0.0a10, whose contract for drivers is ours, name by name.

So there is little left to do: to be of NoneBot's class as well, to take its RequestDenied for ours,
and to log where it logs.
"""

from __future__ import annotations

from typing import Any

from nonebot.drivers import Driver as NoneBotDriver
from nonebot.exception import RequestDenied

from ..driver import Driver as StandaloneDriver
from .logs import attach

__all__ = ["Driver"]


# What differs is that `Bot` is our class in the one contract and NoneBot's in the other.
class Driver(StandaloneDriver, NoneBotDriver):  # type: ignore[misc]
    """The driver, which is a `nonebot.drivers.Driver` too.

    Every method is ours, and adapters, hooks and bots belong to the driver, where NoneBot's belong
    to the class. `NBDRIVER_*` settings come from NoneBot's `.env` files and from the process
    environment, which wins.
    """

    _denied = (RequestDenied,)

    def __init__(self, env: Any, config: Any) -> None:
        """Called by `nonebot.init`. Raises ConfigError for a setting that cannot be used."""
        super().__init__(env, config)
        attach(self.logger)

    def run(
        self,
        host: str | None = None,
        port: int | None = None,
        *args: Any,
        app: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Called by `nonebot.run`: serve until SIGINT or SIGTERM, as the driver outside of NoneBot.

        `app` tells uvicorn where to find this driver after a reload. There is no reload here, of
        which a warning is given where NoneBot would reload: with `DEBUG`.
        """
        if app is not None and self.config.debug:
            kwargs["app"] = app
        # Else the level that `attach` has left: NoneBot's filter, which may change, does the rest.
        level = kwargs.pop("log_level", None) or self.config.log_level or self.logger.level
        super().run(host, port, *args, log_level=level, **kwargs)
