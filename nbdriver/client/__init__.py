"""Reaching out: HTTP requests and WebSocket connections to other machines."""

from ..errors import (
    ConnectError,
    InvalidResponse,
    InvalidURL,
    NetworkError,
    NetworkTimeout,
    TooManyRedirects,
    UpgradeRefused,
    WebSocketClosed,
)
from .client import Client, RequestOptions, WebSocketOptions
from .response import ClientResponse
from .settings import UNSET, ClientOptions, ClientSettings, Timeouts
from .urls import URL
from .websocket import ClientWebSocket

__all__ = [
    "UNSET",
    "URL",
    "Client",
    "ClientOptions",
    "ClientResponse",
    "ClientSettings",
    "ClientWebSocket",
    "ConnectError",
    "InvalidResponse",
    "InvalidURL",
    "NetworkError",
    "NetworkTimeout",
    "RequestOptions",
    "Timeouts",
    "TooManyRedirects",
    "UpgradeRefused",
    "WebSocketClosed",
    "WebSocketOptions",
]
