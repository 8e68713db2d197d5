"""The driver of a chat-bot framework: HTTP and WebSocket on asyncio, with h11 and wsproto alone.

    driver = Driver(*load())
    driver.register_adapter("onebot", MyBot)
    driver.run()

The contracts stand in `nbdriver.abc`, what can be configured in `nbdriver.config`.
"""

from __future__ import annotations

import logging

from .abc import Bot
from .config import Config, Env, ServerConfig, load
from .driver import Driver
from .errors import (
    ActionFailed,
    ApiNotAvailable,
    ConfigError,
    DriverError,
    HTTPError,
    NetworkError,
    RequestDenied,
    StartupError,
    WebSocketClosed,
)
from .model import Headers, Request, Response
from .websocket import WebSocket

__all__ = [
    "ActionFailed",
    "ApiNotAvailable",
    "Bot",
    "Config",
    "ConfigError",
    "Driver",
    "DriverError",
    "Env",
    "HTTPError",
    "Headers",
    "NetworkError",
    "Request",
    "RequestDenied",
    "Response",
    "ServerConfig",
    "StartupError",
    "WebSocket",
    "WebSocketClosed",
    "load",
]

__version__ = "0.1.0"

# The library's convention: silent unless the program configures logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())
