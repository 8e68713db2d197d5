"""NoneBot's set-ups at the waist: what adapters have asked for is the application that is served.

Who is let in, and how many at a time, is the adapters' business here; the driver brings them what
comes, and what they answer goes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from nonebot.drivers import Driver, HTTPServerSetup, WebSocketServerSetup
from nonebot.drivers import Response as NoneBotResponse
from nonebot.exception import WebSocketClosed as NoneBotWebSocketClosed

from ... import abc
from ...errors import HTTPError
from ...model import Request as ReceivedRequest
from ...model import Response
from .lifespan import NoneBotLifespan
from .requests import Request, Site
from .routes import RouteTable
from .websockets import WebSocket

__all__ = ["NoneBotApplication"]

Handler = Callable[[Any], Awaitable[Any]]

#: Paths that are remembered with the handlers of their events.
_REMEMBERED = 256
_NO_ROUTE = "expected the path of an adapter or a plugin"


class NoneBotApplication(abc.Application):
    """Serves what a driver's adapters and plugins have set up."""

    def __init__(
        self, driver: Driver, last_hook: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`last_hook`: see `NoneBotLifespan`."""
        self._lifespan = NoneBotLifespan(driver, last_hook)
        self._routes: RouteTable[Handler] = RouteTable()
        self._straight: dict[tuple[str, str], Handler] = {}
        """Handlers by methods and targets, of those that need no second look."""
        self.called("localhost")

    def __getattr__(self, name: str) -> NoReturn:
        # Whoever asks for more takes what `nonebot.get_app()` gives for FastAPI's.
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}: it is no FastAPI"
            " application; what needs one is helped by docs/nonebot.md ('A plugin needs FastAPI'),"
            " or by DRIVER=~fastapi+nbdriver.nonebot",
            name=name,
            obj=self,
        )

    def called(self, authority: str) -> None:
        """Set host and port for the URL of a request that does not name them."""
        self._http = Site(authority, websocket=False)
        self._websocket = Site(authority, websocket=True)

    def add_http(self, setup: HTTPServerSetup) -> None:
        """Serve a path; of two set-ups for the same path and method the first one counts."""
        self._routes.add(setup.path.path, setup.method.upper(), setup.handle_func)
        self._straight.clear()

    def add_websocket(self, setup: WebSocketServerSetup) -> None:
        """Serve WebSockets at a path."""
        self._routes.add(setup.path.path, None, setup.handle_func)

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        """NoneBot's own."""
        return self._lifespan.run()

    async def drain(self) -> None:
        """Nothing waits here: an event is its adapter's as soon as it is handed over."""

    # HTTP.

    async def handle_http(self, request: ReceivedRequest) -> Response:
        """Answer as the handler says that was set up for path and method. Raises HTTPError."""
        handler = self._straight.get((request.method, request.target))
        if handler is None:
            found = self._find_http(request)
            if isinstance(found, Response):
                return found
            handler = found
        return _answer(await handler(Request(request, self._http)))

    def _find_http(self, request: ReceivedRequest) -> Handler | Response:
        method, path = request.method, unquote(request.path)
        handlers = self._routes.at(path)
        if not handlers:
            other = _other_path(path)
            handlers = self._routes.at(other)
            if handlers and method in ("GET", "HEAD"):
                # What is shown at a path may name what stands beside it.
                return _redirect(request, other, self._http)
        handler = handlers.get(method)
        if handler is None and method == "HEAD":
            handler = handlers.get("GET")
        if handler is None:
            raise _no_handler(request, handlers)
        if path == request.target and len(self._straight) < _REMEMBERED:
            self._straight[method, path] = handler
        return handler

    # WebSocket.

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        """Hand a WebSocket to the handler of its path; with the handler it ends.

        Raises HTTPError to refuse it.
        """
        request = websocket.request
        path = unquote(request.path)
        handlers = self._routes.at(path) or self._routes.at(_other_path(path))
        handler = handlers.get(None)
        if handler is None:
            raise _no_websocket(request, handlers)
        wrapped = WebSocket(websocket, Request(request, self._websocket))
        try:
            await handler(wrapped)
        except NoneBotWebSocketClosed:
            # Of another connection, perhaps, which the handler did not see to.
            if not wrapped.left:
                raise


def _other_path(path: str) -> str:
    """The same with a slash at its end, or without."""
    return path.rstrip("/") if path.endswith("/") else f"{path}/"


def _redirect(request: ReceivedRequest, path: str, site: Site) -> Response:
    """To the same at another path; in full, as `//host` at its beginning would be a host."""
    query = f"?{request.query_string}" if request.query_string else ""
    there = Request(replace(request, target=f"{quote(path)}{query}"), site)
    return Response(307, headers=[("Location", str(there.url))])


def _no_handler(request: ReceivedRequest, handlers: dict[str | None, Handler]) -> HTTPError:
    """What a request gets where nobody waits for it."""
    methods = [method for method in handlers if method is not None]
    if "GET" in methods and "HEAD" not in methods:
        methods.append("HEAD")
    if not handlers:
        return HTTPError(404, _NO_ROUTE)
    if None in handlers and request.method in ("GET", "HEAD"):
        # RFC 9110, 15.5.22
        return HTTPError(426, "expected a WebSocket, this is its path", [("Upgrade", "websocket")])
    allowed = ", ".join(methods or ["GET"])
    expected = allowed if methods else "a WebSocket"
    return HTTPError(405, f"expected {expected}, got {request.method}", [("Allow", allowed)])


def _no_websocket(request: ReceivedRequest, handlers: dict[str | None, Handler]) -> HTTPError:
    if not handlers:
        return HTTPError(404, _NO_ROUTE)
    allowed = ", ".join(method for method in handlers if method is not None)
    reason = f"expected {allowed}, this is no WebSocket path"
    return HTTPError(405, reason, [("Allow", allowed)])


def _answer(response: NoneBotResponse) -> Response:
    """A NoneBot Response as ours, which is checked. Raises ValueError, TypeError."""
    content, headers = response.content, response.headers
    if not content and not headers:
        return _bare(response.status_code)
    return Response(response.status_code, content or b"", headers.items())


@lru_cache(64)
def _bare(status_code: int) -> Response:
    """An answer that is its status alone, as most are; it does not change once it is made."""
    return Response(status_code)
