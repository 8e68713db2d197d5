"""NoneBot's Request, filled as its FastAPI driver fills it, but only as far as somebody looks.

An adapter reads the headers and the JSON of an event; the URL, the cookies and the forms, which
cost several times what all the rest of a request does, are hardly ever asked for. So each attribute
is made when it is first read, and from then on is an attribute like any other.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable
from http.cookies import _unquote as unquote_cookie
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from multidict import CIMultiDict
from nonebot.drivers import URL, Cookies, HTTPVersion
from nonebot.drivers import Request as NoneBotRequest

from ... import codec
from ...model import Request as ReceivedRequest
from ...wire import form_data

__all__ = ["Request", "Site"]

logger = logging.getLogger(__name__)

#: What is in a Request that nobody has said anything about; which that is differs between releases.
_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(NoneBotRequest.__init__).parameters.items()
}


class Site(NamedTuple):
    """What the requests of a server are filled from beside themselves."""

    authority: str
    """Host and port for the URL of a request that names none, as HTTP/1.0 may."""
    websocket: bool
    """Whether they are opening handshakes: their scheme is another, and they have no body."""


class _Form(NamedTuple):
    """A body that is no form has neither; a form without files has None as well."""

    data: dict[str, str] | None = None
    files: list[tuple[str, tuple[str, BytesIO, str | None]]] | None = None


class Request(NoneBotRequest):
    """A NoneBot Request, made of a request as it was received.

    Attributes may be set, too. `vars` shows what was read or set by then; a copy is a plain NoneBot
    Request with all there is.
    """

    _received: ReceivedRequest
    _site: Site
    _form: _Form

    def __init__(self, received: ReceivedRequest, site: Site) -> None:
        # Not NoneBot's own: it would set everything.
        self._received = received
        self._site = site

    def __getattr__(self, name: str) -> Any:
        # Called for what is not there yet.
        make = _MAKERS.get(name)
        if make is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = self.__dict__[name] = make(self)
        return value

    def __reduce_ex__(self, protocol: Any) -> Any:
        """As `copy` and `pickle` ask for it: a plain Request, with all there is."""
        state = {name: getattr(self, name) for name in _MAKERS} | vars(self)
        for name in ("_received", "_site", "_form"):
            del state[name]
        return NoneBotRequest.__new__, (NoneBotRequest,), state


def _make_url(request: Request) -> URL:
    """The URL as Starlette puts it together, and NoneBot makes its own of it there."""
    received, site = request._received, request._site
    scheme = received.scheme
    if site.websocket:
        scheme = "wss" if scheme == "https" else "ws"
    path = unquote(received.path)
    for character in "?#\\":
        path = path.replace(character, quote(character))
    target = f"/{path.removeprefix('/')}"
    if received.query_string:
        target = f"{target}?{received.query_string}"
    host = received.headers.get("host")
    try:
        return URL(f"{scheme}://{host or site.authority}{target}")
    except ValueError:
        # What may stand in a header need not be a host of a URL: its port may be 99999.
        return URL(f"{scheme}://{site.authority}{target}")


def _make_cookies(request: Request) -> Cookies:
    cookies: dict[str, str] = {}
    for line in request._received.headers.get_all("cookie"):
        cookies |= _read_cookies(line)
    return Cookies(cookies)


def _read_cookies(line: str) -> dict[str, str]:
    """Names and values, as browsers read them, which is less strictly than RFC 6265 says."""
    cookies = {}
    for part in line.split(";"):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = "", name
        name, value = name.strip(), value.strip()
        if name or value:
            cookies[name] = unquote_cookie(value)
    return cookies


def _make_json(request: Request) -> Any:
    """The body as JSON, whatever its Content-Type says; None if it is none."""
    body = request.content
    if not body:
        return None
    try:
        return codec.loads(body)
    except ValueError:
        pass
    try:
        # As FastAPI: it reads UTF-16, a byte order mark, and NaN as well.
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _make_form(request: Request) -> _Form:
    received = request._received
    if request._site.websocket:
        return _Form()
    try:
        items = form_data.parse(received.headers.get("content-type") or "", received.body)
    except ValueError as error:
        logger.debug("%s: its form cannot be read, %s", received, error)
        return _Form()
    if items is None:
        return _Form()
    data = {name: item for name, item in items if isinstance(item, str)}
    files = [
        (name, (item.filename, BytesIO(item.content), item.content_type))
        for name, item in items
        if not isinstance(item, str)
    ]
    return _Form(data, files or None)


_MAKERS: dict[str, Callable[[Request], Any]] = {
    "method": lambda request: request._received.method.upper(),
    "version": lambda request: HTTPVersion(request._received.http_version),
    "timeout": lambda request: _DEFAULTS["timeout"],
    "proxy": lambda request: _DEFAULTS["proxy"],
    "url": _make_url,
    "headers": lambda request: CIMultiDict(request._received.headers.items()),
    "cookies": _make_cookies,
    "content": lambda request: None if request._site.websocket else request._received.body,
    "data": lambda request: request._form.data,
    "json": _make_json,
    "files": lambda request: request._form.files,
    "_form": _make_form,
}
