"""NoneBot's HTTP and WebSocket clients over ours, for our driver or any other.

`Mixin` is what a DRIVER setting adds with `+nbdriver.nonebot`. A request of its own has a jar of
its own, as in NoneBot's drivers; the connections are kept for all of them while the bot runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict
from nonebot.config import Config, Env
from nonebot.drivers import (
    URL,
    Cookies,
    HTTPClientMixin,
    HTTPClientSession,
    HTTPVersion,
    Request,
    Response,
    WebSocketClientMixin,
)
from nonebot.log import LoguruHandler

from ... import logs
from ...abc import WebSocketConnection
from ...client import Client, ClientResponse, ClientSettings
from ...client.cookies import new_jar
from ...client.limits import within
from ...client.settings import UNSET
from ..logs import attach
from .timeouts import (
    DEFAULT,
    NOT_SET,
    Pings,
    opening_timeouts,
    receive_limit,
    request_timeouts,
)
from .websockets import WebSocket

if TYPE_CHECKING:
    # Not in every release.
    from nonebot.internal.driver import CookieTypes, HeaderTypes, QueryTypes, TimeoutTypes
    from nonebot.utils import UnsetType

__all__ = ["ClientWebSocket", "Mixin", "Session"]

#: Where a client asks for subprotocols; what it gets has to be one of them.
_SUBPROTOCOL: Final = "sec-websocket-protocol"
#: Connections at a time of a session, as with NoneBot's drivers.
_OF_SESSION: Final = 100
# Of all requests that have no session; NoneBot's drivers have no limit, and where each of many bots
# asks one host for updates and waits, none of them may have to wait for another.
_PLAIN: Final = ClientSettings(
    timeouts=DEFAULT, max_connections=1_000, max_connections_per_host=1_000
)


class ClientWebSocket(WebSocket):
    """A connection that the bot has opened; see `WebSocket`.

    `Timeout(read=...)` limits how long a receive waits: then it raises NetworkTimeout, a
    TimeoutError, and the next one goes on where it was.
    """

    def __init__(self, websocket: WebSocketConnection, request: Request) -> None:
        super().__init__(websocket, request, accepted=True)
        self._receive_limit = receive_limit(request.timeout)

    async def accept(self) -> None:
        """A client has nothing to accept. Raises NotImplementedError."""
        raise NotImplementedError("a WebSocket that the bot has opened is accepted by the server")

    async def receive(self) -> str | bytes:
        """The next message."""
        if self._receive_limit is None:
            return await super().receive()
        async with within("read", self._receive_limit, f"for a message from {self.websocket}"):
            return await super().receive()


def _fields(headers: CIMultiDict[str]) -> tuple[tuple[str, str], ...]:
    """Header lines as our client takes them: what is not ASCII goes as UTF-8.

    Blanks around a value are no part of it (RFC 9110, 5.5); adapters have them where a token is
    empty. Raises TypeError for a value that is no text.
    """
    return tuple((f"{name}", _value(name, value)) for name, value in headers.items())


def _value(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text as the header {name}, got {type(value).__name__}")
    return value.strip(" \t").encode().decode("latin-1")


def _asked(setup: Request) -> dict[str, Any]:
    """A NoneBot Request as our client takes it, but for its time limits."""
    return {
        "method": setup.method,
        "url": str(setup.url),
        "headers": _fields(setup.headers),
        "cookies": setup.cookies.jar,
        # What is empty is as if it were not there: adapters give `{}` beside what they mean.
        "content": setup.content or None,
        "data": setup.data or None,
        "json": setup.json,
        "files": setup.files or None,
        "proxy": setup.proxy or UNSET,
    }


def _answer(response: ClientResponse, content: bytes, setup: Request) -> Response:
    headers = list(response.headers.items())
    return Response(response.status_code, headers=headers, content=content, request=setup)


def _check_version(version: str | HTTPVersion) -> None:
    if HTTPVersion(version) is HTTPVersion.H2:
        raise RuntimeError("Unsupported HTTP version: expected 1.1 (or 1.0), got 2")


class Session(HTTPClientSession):
    """Requests that share parameters, headers, cookies, limits, a proxy and connections."""

    def __init__(
        self,
        params: QueryTypes = None,
        headers: HeaderTypes = None,
        cookies: CookieTypes = None,
        version: str | HTTPVersion = HTTPVersion.H11,
        timeout: TimeoutTypes | UnsetType = NOT_SET,
        proxy: str | None = None,
    ) -> None:
        """See `Mixin.get_session`."""
        _check_version(version)
        self._timeouts = request_timeouts(timeout)
        self._settings = ClientSettings(
            params=() if params is None else tuple(URL.build(query=params).query.items()),
            headers=() if headers is None else _fields(CIMultiDict(headers)),
            cookies=Cookies(cookies).jar,
            proxy=proxy,
            timeouts=self._timeouts,
            max_connections_per_host=_OF_SESSION,
            max_connections=_OF_SESSION,
        )
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The client beneath. Raises RuntimeError before `setup` and after `close`."""
        if self._client is None:
            raise RuntimeError("Session is not initialized: expected `async with session`")
        return self._client

    async def setup(self) -> None:
        """Begin, as `async with` does. Raises RuntimeError if it has begun already."""
        if self._client is not None:
            raise RuntimeError("Session has already been initialized")
        client = Client(self._settings)
        await client.__aenter__()
        self._client = client

    async def close(self) -> None:
        """End the connections; does nothing where there is nothing to end."""
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)

    async def request(self, setup: Request) -> Response:
        """Send a request, and give its whole answer. Raises NetworkError."""
        timeouts = request_timeouts(setup.timeout, self._timeouts)
        response = await self.client.request(**_asked(setup), timeout=timeouts)
        return _answer(response, response.content, setup)

    async def stream_request(
        self, setup: Request, *, chunk_size: int = 1024
    ) -> AsyncGenerator[Response, None]:
        """Send a request, and give its answer in chunks of that size. Raises NetworkError."""
        timeouts = request_timeouts(setup.timeout, self._timeouts)
        async with self.client.stream(**_asked(setup), timeout=timeouts) as response:
            async for chunk in response.chunks(chunk_size):
                yield _answer(response, chunk, setup)


class _Clients:
    """The client of a bot that runs, and one for the moment where it does not, as in a test."""

    def __init__(self) -> None:
        self._lasting: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """The bot starts: keep a client for its loop."""
        client = Client(_PLAIN)
        await client.__aenter__()
        self._lasting, self._loop = client, asyncio.get_running_loop()

    async def stop(self) -> None:
        """The bot stops: end what there is."""
        client, self._lasting, self._loop = self._lasting, None, None
        if client is not None:
            await client.__aexit__(None, None, None)

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Client]:
        """The client of the loop that runs."""
        if self._lasting is not None and self._loop is asyncio.get_running_loop():
            yield self._lasting
        else:
            async with Client(_PLAIN) as client:
                yield client


class Mixin(HTTPClientMixin, WebSocketClientMixin):
    """Adds HTTP and WebSocket clients to a driver."""

    def __init__(self, env: Env, config: Config) -> None:
        """Called by `nonebot.init`, of the driver that this is a part of."""
        super().__init__(env, config)  # type: ignore[call-arg]  # the driver's, next in line
        attach(logs.package, LoguruHandler)
        self._clients = _Clients()
        # Before the hooks of everybody else, and after them.
        self._lifespan.on_startup(self._clients.start)  # type: ignore[attr-defined]  # the driver's
        self._lifespan.on_shutdown(self._clients.stop)  # type: ignore[attr-defined]  # the driver's

    @property
    def type(self) -> str:
        """The mixin's name."""
        return "nbdriver"

    async def request(self, setup: Request) -> Response:
        """Send a request, and give its whole answer. Raises NetworkError."""
        timeouts = request_timeouts(setup.timeout)
        async with self._clients.borrow() as client:
            response = await client.request(**_asked(setup), timeout=timeouts, jar=new_jar())
        return _answer(response, response.content, setup)

    async def stream_request(
        self, setup: Request, *, chunk_size: int = 1024
    ) -> AsyncGenerator[Response, None]:
        """Send a request, and give its answer in chunks of that size. Raises NetworkError."""
        timeouts = request_timeouts(setup.timeout)
        async with (
            self._clients.borrow() as client,
            client.stream(**_asked(setup), timeout=timeouts, jar=new_jar()) as response,
        ):
            async for chunk in response.chunks(chunk_size):
                yield _answer(response, chunk, setup)

    @asynccontextmanager
    async def websocket(self, setup: Request) -> AsyncGenerator[ClientWebSocket, None]:
        """Open a WebSocket; it is closed where the block ends.

        Raises UpgradeRefused if the server does not want it, NetworkError.
        """
        _check_version(setup.version)
        fields, pings = _fields(setup.headers), Pings.of(setup)
        asked_for = [value for name, value in fields if name.lower() == _SUBPROTOCOL]
        async with (
            self._clients.borrow() as client,
            client.websocket(
                str(setup.url),
                headers=[field for field in fields if field[0].lower() != _SUBPROTOCOL],
                cookies=setup.cookies.jar,
                subprotocols=[each.strip() for value in asked_for for each in value.split(",")],
                timeout=opening_timeouts(setup.timeout),
                proxy=setup.proxy or UNSET,
                ping_interval=pings.interval,
                ping_timeout=pings.timeout,
            ) as websocket,
        ):
            yield ClientWebSocket(websocket, setup)

    def get_session(
        self,
        params: QueryTypes = None,
        headers: HeaderTypes = None,
        cookies: CookieTypes = None,
        version: str | HTTPVersion = HTTPVersion.H11,
        timeout: TimeoutTypes | UnsetType = NOT_SET,
        proxy: str | None = None,
    ) -> Session:
        """A session, to be entered by `async with`; its requests may have more of each.

        `timeout` holds for requests that say nothing of it. Raises RuntimeError for HTTP/2, which
        is not spoken, ConfigError for what cannot be used.
        """
        return Session(
            params=params,
            headers=headers,
            cookies=cookies,
            version=version,
            timeout=timeout,
            proxy=proxy,
        )
