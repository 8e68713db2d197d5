"""Reaching out: HTTP requests and WebSocket connections to other machines."""

from ..errors import (
    ConnectError,
    InvalidResponse,
    InvalidURL,
    NetworkError,
    NetworkTimeout,
    TooManyRedirects,
    UpgradeRefused,
)
from .client import Client, RequestOptions
from .response import ClientResponse
from .settings import UNSET, ClientSettings, Timeouts
from .urls import URL

__all__ = [
    "UNSET",
    "URL",
    "Client",
    "ClientResponse",
    "ClientSettings",
    "ConnectError",
    "InvalidResponse",
    "InvalidURL",
    "NetworkError",
    "NetworkTimeout",
    "RequestOptions",
    "Timeouts",
    "TooManyRedirects",
    "UpgradeRefused",
]
