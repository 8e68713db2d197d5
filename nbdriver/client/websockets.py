"""A client's WebSockets: how they are opened, and that none is left when the client is.

A connection is asked for, the handshake goes out, an answer comes: the WebSocket, another place to
ask, or a refusal. Every wait on the way has its limit, and whatever ends the opening, a refusal or
a cancellation, ends its connection too. None comes from the pool or goes there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar
from typing import Any, Final

from ..errors import (
    InvalidResponse,
    NetworkError,
    NetworkTimeout,
    TooManyRedirects,
    UpgradeRefused,
)
from ..model import Headers, Request
from ..net.channel import Channel
from ..net.clock import Clock
from ..net.tasks import Tasks
from ..net.websocket import WebSocketLimits
from ..wire.closing import GOING_AWAY
from ..wire.deflate import DeflateSettings
from ..wire.frames import FrameLimits
from ..wire.head import HeadLimits
from ..wire.response_head import ResponseHead
from ..wire.session import Session
from .authorization import Credentials
from .connection import Connection
from .connector import Connector
from .cookies import Cookies, take
from .limits import within
from .opening import Asked, agree, ask
from .requests import HeaderSource, Prepared, prepare
from .routes import Route
from .settings import UNSET, ClientSettings, Timeouts, Unset
from .urls import URL, Params
from .websocket import ClientWebSocket

__all__ = ["WebSockets"]

#: Bytes of a refusal's body that its error shows.
_MAX_BODY: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What holds for an opening, wherever it is led."""

    timeouts: Timeouts
    max_redirects: int | None
    """None where an answer that leads elsewhere is not followed."""
    subprotocols: tuple[str, ...]
    deflate: DeflateSettings | None
    limits: WebSocketLimits
    jar: CookieJar
    route: Callable[[URL], Route]


class WebSockets:
    """Those of one client, which share its settings and its way to the network."""

    def __init__(
        self,
        settings: ClientSettings,
        connector: Connector,
        clock: Clock,
        tasks: Tasks,
        jar: CookieJar,
        route: Callable[[URL], Route],
    ) -> None:
        """`jar` has the client's cookies; `route` says by which way a URL is reached."""
        self._settings = settings
        self._connector = connector
        self._clock = clock
        self._tasks = tasks
        self._jar = jar
        self._route = route
        self._opening = set[asyncio.Timeout]()
        self._opened = set[ClientWebSocket]()
        self._closed = False

    def open(
        self,
        url: str | URL,
        *,
        params: Params | None = None,
        headers: HeaderSource | None = None,
        cookies: Cookies | None = None,
        auth: Credentials | None = None,
        subprotocols: Iterable[str] = (),
        timeout: Timeouts | float | Unset | None = UNSET,
        follow_redirects: bool | None = None,
        ping_interval: float | Unset | None = UNSET,
        ping_timeout: float | Unset | None = UNSET,
        max_message: int | None = None,
        jar: CookieJar | None = None,
        route: Callable[[URL], Route] | None = None,
    ) -> AbstractAsyncContextManager[ClientWebSocket]:
        """Open a WebSocket, for a block; see `Client.websocket`. Raises ValueError for what cannot
        be asked.
        """
        settings = self._settings
        timeouts = settings.timeouts if timeout is UNSET else Timeouts.of(timeout)
        given = {"ping_interval": ping_interval, "ping_timeout": ping_timeout}
        own: dict[str, Any] = {name: it for name, it in given.items() if it is not UNSET}
        if max_message is not None:
            own["max_message"] = max_message
        # Read as the client's own are, so that what is wrong with them is told in the same words.
        settings = replace(settings, timeouts=timeouts, **own)
        follow = settings.follow_redirects if follow_redirects is None else follow_redirects
        terms = _Terms(
            timeouts=timeouts,
            max_redirects=settings.max_redirects if follow else None,
            subprotocols=tuple(subprotocols),
            deflate=settings.deflate_settings,
            limits=_limits(settings),
            jar=self._jar if jar is None else jar,
            route=route or self._route,
        )
        prepared = prepare(
            settings, "GET", url, params=params, headers=headers, cookies=cookies, auth=auth
        )
        return self._during(prepared, terms)

    @asynccontextmanager
    async def _during(self, prepared: Prepared, terms: _Terms) -> AsyncIterator[ClientWebSocket]:
        websocket = await self._open(prepared, terms)
        self._opened.add(websocket)
        try:
            try:
                yield websocket
            except BaseException as error:
                await websocket.leave(error)
                raise
            await websocket.leave()
        finally:
            self._opened.discard(websocket)

    async def close(self) -> None:
        """The client is left: each server is told 1001, and has the close limit to answer.

        What is being opened is given up.
        """
        self._closed = True
        now = asyncio.get_running_loop().time()
        for scope in self._opening:
            scope.reschedule(now)
        await asyncio.gather(*(websocket.end(GOING_AWAY) for websocket in self._opened))

    async def _open(self, prepared: Prepared, terms: _Terms) -> ClientWebSocket:
        """Open it within the total limit, and before the client is left."""
        name, total = _name(prepared.url), terms.timeouts.total
        scope = asyncio.timeout(None)
        self._opening.add(scope)
        try:
            async with scope, within("total", total, f"for {name} to open"):
                websocket = await self._follow(prepared, terms)
        except TimeoutError as error:
            if isinstance(error, NetworkTimeout) or not scope.expired():
                raise
            raise _closed(name) from None
        finally:
            self._opening.discard(scope)
        if self._closed:
            # It was opened in the last moment.
            await websocket.end(GOING_AWAY)
            raise _closed(name)
        return websocket

    async def _follow(self, prepared: Prepared, terms: _Terms) -> ClientWebSocket:
        """Ask wherever the answers lead, until one opens it or says no."""
        for _ in range((terms.max_redirects or 0) + 1):
            came = await self._try(prepared, terms)
            if isinstance(came, ClientWebSocket):
                return came
            prepared = came
        raise TooManyRedirects(
            f"expected at most {terms.max_redirects} redirects to a WebSocket, the last one leads"
            f" to {prepared.url.host_header}"
        )

    async def _try(self, prepared: Prepared, terms: _Terms) -> ClientWebSocket | Prepared:
        """Ask once: gives the WebSocket, or what is to be asked next."""
        url = prepared.url
        asked = ask(
            url.host_header,
            prepared.fields(terms.jar),
            subprotocols=terms.subprotocols,
            deflate=terms.deflate,
        )
        connect = terms.timeouts.connect
        async with within("connect", connect, f"for a connection to {url.host_header}"):
            channel = await self._connector.connect(terms.route(url))
        websocket = None
        try:
            limits = HeadLimits(max_head=self._settings.max_head)
            connection = Connection(channel, limits, self._tasks, url.host_header)
            read = terms.timeouts.read
            head = await connection.send("GET", url.target, asked.headers, read_limit=read)
            take(terms.jar, url, head.headers)
            if head.status_code == 101:
                websocket = self._begin(channel, asked, head, url, terms)
                return websocket
            if terms.max_redirects is not None:
                further = prepared.redirected(head.status_code, head.headers)
                if further is not None:
                    return further
            body = await _beginning(connection, read)
            raise UpgradeRefused(
                head.status_code,
                head.reason,
                head.headers.items(),
                body,
                place=f"{url.scheme}://{url.host_header}",
            )
        finally:
            if websocket is None:
                channel.abort()

    def _begin(
        self, channel: Channel, asked: Asked, head: ResponseHead, url: URL, terms: _Terms
    ) -> ClientWebSocket:
        """The WebSocket that a 101 opens; no await, so that no cancellation can lose it."""
        try:
            agreed = agree(asked, head.http_version, head.headers)
        except InvalidResponse as error:
            raise error.of(url.host_header) from None
        return ClientWebSocket(
            channel,
            self._clock,
            Session(
                terms.limits.frames,
                client=True,
                extension=agreed.extension,
                fast_lane=terms.limits.fast_lane,
            ),
            Request("GET", url.target, Headers(asked.headers), scheme=url.scheme),
            head.headers,
            subprotocol=agreed.subprotocol,
            limits=terms.limits,
        )


def _closed(name: str) -> NetworkError:
    return NetworkError(f"the client was closed while {name} was being opened")


def _name(url: URL) -> str:
    """A WebSocket as it may stand in a message: paths and queries may hold secrets."""
    return f"a WebSocket of {url.host_header}"


def _limits(settings: ClientSettings) -> WebSocketLimits:
    return WebSocketLimits(
        frames=FrameLimits(max_message=settings.max_message, max_fragments=settings.max_fragments),
        max_parked=settings.max_parked,
        ping_interval=settings.ping_interval,
        ping_timeout=settings.ping_timeout,
        close_timeout=settings.timeouts.close,
        fast_lane=settings.fast_lane,
    )


async def _beginning(connection: Connection, seconds: float | None) -> bytes:
    """What a refusal's body begins with, as far as it comes in that time and in order.

    The refusal is known, so nothing that goes wrong behind it is told in its place.
    """
    body = b""
    try:
        async with within("read", seconds, "for a refusal's body"):
            while len(body) < _MAX_BODY and (piece := await connection.read()):
                body += piece
    except NetworkError:
        pass
    return body[:_MAX_BODY]
