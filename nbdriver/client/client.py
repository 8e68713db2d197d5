"""A client: what programs use to ask other machines.

It holds what its requests share (connections, cookies, settings) for as long as its block lasts,
belongs to the event loop that it was entered in, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from http.cookiejar import CookieJar
from types import TracebackType
from typing import Any, Final, TypedDict, Unpack

from ..net.clock import LoopClock
from ..net.tasks import Tasks
from ..wire.head import HeadLimits
from .asking import Asker, Terms
from .authorization import Credentials
from .connection import Connection
from .connector import Connector
from .content import Data, Files, RawContent, content_of
from .cookies import Cookies, new_jar
from .limits import within
from .pool import Pool
from .proxies import ProxyRules
from .requests import HeaderSource, Prepared, prepare
from .response import ClientResponse
from .routes import Route, route
from .settings import UNSET, ClientOptions, ClientSettings, Timeouts, Unset, check_names
from .urls import URL, Params
from .websocket import ClientWebSocket
from .websockets import WebSockets

__all__ = ["Client", "RequestOptions", "WebSocketOptions"]

#: Seconds that bodies have at the end which are being sent.
_GRACE: Final = 1.0


class RequestOptions(TypedDict, total=False):
    """What can be said of a request beside its method and its URL.

    - `params`: added to the URL's query: a mapping or pairs, whose lists repeat a name; None is
      left out, a bool is "true" or "false".
    - `headers`: a mapping or pairs; they count more than the client's and the usual ones.
    - `cookies`: of this request alone: a mapping, pairs or a CookieJar.
    - `content`: a body as it is: bytes, text as UTF-8, a file object, or an iterable of bytes,
      asynchronous or not.
    - `json`: whatever JSON can hold; None is no body, so write `content="null"`.
    - `data`: a form: a mapping or pairs, as `params`.
    - `files`: a form with files, and the fields of `data` before them: a mapping or pairs of the
      field's name and a file. That is its content (bytes, text, or a file object opened by "rb"),
      `(file name, content)` or `(file name, content, content type)`.
    - `auth`: a name and a password (Basic authentication, RFC 7617).
    - `timeout`: in place of the client's limits: `Timeouts`; a number for each wait, `total` being
      without limit; None for no limit at all.
    - `follow_redirects`: whether an answer that leads elsewhere is followed.
    - `proxy`: the URL of one, or None for none, in place of the client's and the environment's.
    - `jar`: gives and takes cookies in place of the client's.
    """

    params: Params | None
    headers: HeaderSource | None
    cookies: Cookies | None
    content: RawContent | None
    json: Any
    data: Data | None
    files: Files | None
    auth: Credentials | None
    timeout: Timeouts | float | Unset | None
    follow_redirects: bool | None
    proxy: str | Unset | None
    jar: CookieJar | None


class WebSocketOptions(TypedDict, total=False):
    """What can be said of a WebSocket beside its URL; as of a request (`RequestOptions`), and:

    - `timeout`: for the opening and the closing. It never limits `receive`: for that there is
      `async with asyncio.timeout(60.0)`.
    - `subprotocols`: those that the server may choose from, the best first.
    - `ping_interval`, `ping_timeout`, `max_message`: in place of the client's.
    """

    params: Params | None
    headers: HeaderSource | None
    cookies: Cookies | None
    auth: Credentials | None
    timeout: Timeouts | float | Unset | None
    follow_redirects: bool | None
    jar: CookieJar | None
    subprotocols: Iterable[str]
    ping_interval: float | Unset | None
    ping_timeout: float | Unset | None
    max_message: int | None


class _State(enum.Enum):
    NEW = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class Client:
    """HTTP requests and WebSocket connections to other machines; see `ClientSettings`.

    ```python
    async with Client(timeouts=Timeouts(total=60.0)) as client:
        response = await client.request("GET", "https://example.org/", params={"q": "a b"})
    ```

    Any number of tasks may use it at once, all of them in the event loop that it was entered in.
    """

    def __init__(
        self, settings: ClientSettings | None = None, **given: Unpack[ClientOptions]
    ) -> None:
        """`settings`, or the fields of `ClientSettings` by their names. Raises ConfigError,
        and TypeError for a name that is none.
        """
        if settings is not None and given:
            raise TypeError(f"expected settings or single ones, got both: {', '.join(given)}")
        check_names(given, ClientOptions.__annotations__, "settings of a client")
        fields: dict[str, Any] = {**given}
        self.settings = settings or ClientSettings(**fields)
        jar = self.settings.cookies
        self.cookies = new_jar() if jar is None else jar
        """The jar that answers fill and requests are filled from."""
        self._state = _State.NEW
        self._loop: asyncio.AbstractEventLoop

    # Its life.

    async def __aenter__(self) -> Client:
        if self._state is not _State.NEW:
            raise RuntimeError("expected a client to be entered once: make another one")
        loop = asyncio.get_running_loop()
        settings = self.settings
        self._rules = ProxyRules.of(settings)
        self._loop = loop
        self._clock = LoopClock(loop)
        self._tasks = Tasks(eager=False)
        self._connector = Connector(settings, self._clock)
        self._pool: Pool[Route] = Pool(
            self._connect,
            self._clock,
            max_connections=settings.max_connections,
            max_connections_per_route=settings.max_connections_per_host,
            idle_timeout=settings.idle_timeout,
        )
        self._asker = Asker(self._pool)
        self._websockets = WebSockets(
            settings,
            self._connector,
            self._clock,
            self._tasks,
            self.cookies,
            self._way(UNSET),
        )
        self._state = _State.OPEN
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections, whoever still uses them; bounded in time, safe to cancel."""
        self._state = _State.CLOSED
        try:
            async with AsyncExitStack() as ending:
                ending.push_async_callback(self._join_tasks)
                ending.push_async_callback(self._pool.close)
                ending.push_async_callback(self._websockets.close)
        finally:
            self._clock.stop()

    async def _join_tasks(self) -> None:
        """Wait for what sent bodies: its connection is gone, and it was told so."""
        try:
            async with asyncio.timeout(_GRACE):
                await self._tasks.join()
        except TimeoutError:
            pass

    def _check_usable(self) -> None:
        if self._state is _State.NEW:
            raise RuntimeError('expected "async with client:" around what is asked of a client')
        if self._state is _State.CLOSED:
            raise RuntimeError("expected a client whose block has not been left: make another one")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "expected a client to be used in the event loop that it was entered in"
            )

    # What can be asked.

    async def request(
        self, method: str, url: str | URL, **options: Unpack[RequestOptions]
    ) -> ClientResponse:
        """Ask, and read the whole answer; see `RequestOptions` for what else can be said.

        An answer is one whatever its status. Raises:
            InvalidURL, ValueError, TypeError, ConfigError: it cannot be asked.
            ConnectError: there is no connection, for the reason that it says.
            NetworkTimeout: a limit is over.
            InvalidResponse: the answer breaks HTTP, or is larger than `max_body`.
            TooManyRedirects: it leads on and on.
            NetworkError: any of these four, or the connection was lost.
            RuntimeError: outside of the client's block, or in another event loop.
        """
        async with self.stream(method, url, **options) as response:
            await response.read()
        return response

    @asynccontextmanager
    async def stream(
        self, method: str, url: str | URL, **options: Unpack[RequestOptions]
    ) -> AsyncIterator[ClientResponse]:
        """Ask, and give the answer for a block in which its body comes.

        `async with client.stream("GET", url) as response: async for piece in response.pieces()`.
        A connection whose answer was not read to its end is closed when the block is left. Raises
        as `request` does; what goes wrong with the body is raised where it is read.
        """
        self._check_usable()
        prepared, terms = self._read(method, url, options)
        doing = f"for an answer from {prepared.url.host_header}"
        async with within("total", terms.timeouts.total, doing, since=terms.began):
            response, answer = await self._asker.ask(prepared, terms)
        try:
            yield response
        finally:
            answer.leave()

    def websocket(
        self,
        url: str | URL,
        *,
        proxy: str | Unset | None = UNSET,
        **options: Unpack[WebSocketOptions],
    ) -> AbstractAsyncContextManager[ClientWebSocket]:
        """Open a WebSocket, for a block; see `WebSocketOptions` for what else can be said.

        `async with client.websocket("wss://example.org/") as websocket: await websocket.receive()`.
        The server is told 1000 when the block is left, 1011 if by an error. Raises as `request`
        does, and UpgradeRefused if the server answers with anything but a WebSocket.
        """
        self._check_usable()
        known = ["proxy", *WebSocketOptions.__annotations__]
        check_names(options, known, "options of a WebSocket")
        return self._websockets.open(url, route=self._way(proxy), **options)

    def _read(self, method: str, url: str | URL, options: RequestOptions) -> tuple[Prepared, Terms]:
        """What is asked, and what holds for it."""
        check_names(options, RequestOptions.__annotations__, "options of a request")
        settings = self.settings
        prepared = prepare(
            settings,
            method,
            url,
            params=options.get("params"),
            headers=options.get("headers"),
            cookies=options.get("cookies"),
            auth=options.get("auth"),
            content=content_of(
                content=options.get("content"),
                json=options.get("json"),
                data=options.get("data"),
                files=options.get("files"),
            ),
        )
        timeout = options.get("timeout", UNSET)
        follow = options.get("follow_redirects")
        jar = options.get("jar")
        terms = Terms(
            timeouts=settings.timeouts if timeout is UNSET else Timeouts.of(timeout),
            max_redirects=(
                settings.max_redirects
                if (settings.follow_redirects if follow is None else follow)
                else None
            ),
            max_body=settings.max_body,
            jar=self.cookies if jar is None else jar,
            route=self._way(options.get("proxy", UNSET)),
            began=self._loop.time(),
        )
        return prepared, terms

    def _way(self, proxy: str | Unset | None) -> Callable[[URL], Route]:
        """What says by which way a URL is reached; without a proxy of its own, by the usual one."""
        rules = self._rules if proxy is UNSET else ProxyRules.always(proxy)
        return lambda url: route(url, rules, self.settings.unix)

    async def _connect(self, route: Route) -> Connection:
        """A new connection, for the pool."""
        channel = await self._connector.connect(route)
        origin = route.origin
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        name = f"{origin.scheme}://{host}:{origin.port}"
        return Connection(channel, HeadLimits(max_head=self.settings.max_head), self._tasks, name)
