"""What the connections of a server share: one application, one clock, one set of limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ..abc import Application
from ..wire import origin, proxy
from ..wire.deflate import DeflateSettings
from ..wire.head import HeadLimits
from .clock import Clock
from .stream import Receiver, Stream
from .tasks import Tasks
from .websocket import WebSocketLimits

__all__ = ["Connection", "Context", "HTTPLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPLimits:
    """Limits and times of a connection (bytes, seconds)."""

    head: HeadLimits = HeadLimits()
    max_body: int = 16 * 2**20
    read_ahead: int = 65_536
    """Bytes of further requests that are read while one is being answered."""
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    stop_timeout: float = 10.0
    """How long the rest of a request that has begun may take when the server is stopping."""
    server_header: str | None = None
    access_log: bool = True
    fast_lane: bool = True
    """Whether a plain request is read without h11; it changes the speed and nothing else."""


class Connection(Receiver, Protocol):
    """What the server knows of a connection, whichever protocol it speaks at the moment."""

    def shut_down(self) -> None:
        """Begin to end: what has begun is finished, nothing new is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all connections of a server share."""

    application: Application
    clock: Clock
    tasks: Tasks
    http: HTTPLimits = HTTPLimits()
    websocket: WebSocketLimits = WebSocketLimits()
    deflate: DeflateSettings | None = None
    proxies: proxy.TrustedProxies = proxy.TrustedProxies()
    origin: origin.OriginRules = origin.OriginRules()
    connections: dict[Stream, Connection] = field(default_factory=dict)
