"""A request on its way to its answer: a connection, a second try, and wherever it is led.

A kept connection may be gone without anybody having seen it, so a request that nothing came of is
sent once more over a new one, if it may be (`Prepared.repeatable`). Each answer on the way gives
its cookies, and its connection back.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Final

from ..errors import InvalidResponse, NetworkError, NetworkTimeout, TooManyRedirects
from ..wire.response_head import ResponseHead
from .connection import Connection
from .content import Content
from .cookies import take
from .limits import within
from .pool import Pool
from .requests import Prepared
from .response import ClientResponse
from .routes import Route
from .settings import Timeouts
from .urls import URL

__all__ = ["Answer", "Asker", "Terms"]

logger = logging.getLogger(__name__)

#: Bytes of a body that is known from its first to its last before anything is sent.
_SMALL: Final = 65_536
#: Bytes of the body of a redirect that are read, so that its connection can be used again.
_SKIMMED: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for a request wherever it is led.

    `max_redirects` is None if it is not to be led anywhere; `jar` takes and gives cookies; `route`
    says by which way a URL is reached; `began` is the event loop's time from which `total` runs.
    """

    timeouts: Timeouts
    max_redirects: int | None
    max_body: int | None
    jar: CookieJar
    route: Callable[[URL], Route]
    began: float


class Answer:
    """The body of an answer as it comes, until all of it has come or nobody wants it any more."""

    __slots__ = ("_connection", "_doing", "_ended", "_pool", "_terms")

    def __init__(self, connection: Connection, pool: Pool[Route], terms: Terms, doing: str) -> None:
        """`doing` is for the error if the total limit is over."""
        self._connection: Connection | None = connection
        self._pool = pool
        self._terms = terms
        self._doing = doing
        self._ended = False
        self._see_whether_ended()

    async def read(self) -> bytes:
        """The next piece as it comes, b"" at the end.

        Raises what `Connection.read` does, NetworkTimeout for the total limit too, and RuntimeError
        if it was left before its end.
        """
        if self._ended:
            return b""
        if self._connection is None:
            raise RuntimeError("expected a body to be read inside of the block that it comes in")
        total = self._terms.timeouts.total
        async with within("total", total, self._doing, since=self._terms.began):
            piece = await self._connection.read()
        self._see_whether_ended()
        return piece

    def leave(self) -> None:
        """Give the connection back, with whatever is still to come; safe to repeat."""
        if self._connection is not None:
            self._pool.release(self._connection)
            self._connection = None

    def _see_whether_ended(self) -> None:
        if self._connection is not None and self._connection.complete:
            self._ended = True
            self.leave()


class Asker:
    """Asks for whoever uses a client, over the connections of its pool."""

    def __init__(self, pool: Pool[Route]) -> None:
        self._pool = pool

    async def ask(self, prepared: Prepared, terms: Terms) -> tuple[ClientResponse, Answer]:
        """The answer to a request, and where its body comes from, which is to be left.

        Raises NetworkTimeout, ConnectError, InvalidResponse, TooManyRedirects, NetworkError;
        ValueError for what cannot be sent, and what the source of a body raises.
        """
        history = list[ClientResponse]()
        while True:
            connection, head = await self._exchange(prepared, terms)
            doing = f"for the rest of an answer from {prepared.url.host_header}"
            answer = Answer(connection, self._pool, terms, doing)
            try:
                following = _following(prepared, head, terms)
                if following is None:
                    return _response(prepared, head, answer, terms, history), answer
                if len(history) == terms.max_redirects:
                    raise TooManyRedirects(
                        f"expected at most {terms.max_redirects} redirects, the last one leads to"
                        f" {following.url.host_header}"
                    )
                history.append(await _without_body(prepared, head))
                await _skim(answer)
            except BaseException:
                answer.leave()
                raise
            answer.leave()
            prepared = following

    async def _exchange(self, prepared: Prepared, terms: Terms) -> tuple[Connection, ResponseHead]:
        """Send a request and give its answer's head, over a connection that is now ours."""
        route = terms.route(prepared.url)
        # Proxies there are that close behind each answer and do not say so (tinyproxy): there, what
        # may not be sent twice does not try whether a connection is still good.
        fresh = route.forwards and not prepared.repeatable
        came = await self._try(prepared, terms, route, fresh=fresh)
        if came is None:
            logger.debug("%s: a kept connection was gone, trying a new one", _brief(prepared))
            came = await self._try(prepared, terms, route, fresh=True)
        assert came is not None, "only a kept connection may be gone"
        logger.debug("%s: %d", _brief(prepared), came[1].status_code)
        return came

    async def _try(
        self, prepared: Prepared, terms: Terms, route: Route, *, fresh: bool
    ) -> tuple[Connection, ResponseHead] | None:
        """Send a request once; None if nothing came of it, and it may be sent once more."""
        body = await _body(prepared.content)
        fields = prepared.fields_with_body(terms.jar)
        if (authorization := route.proxy_authorization) is not None:
            fields.append(("Proxy-Authorization", authorization))
        url, limits = prepared.url, terms.timeouts
        async with within("connect", limits.connect, f"for a connection to {url.host_header}"):
            connection = await self._pool.acquire(route, fresh=fresh)
        try:
            head = await connection.send(
                prepared.method,
                url.absolute_target if route.forwards else url.target,
                fields,
                body,
                read_limit=limits.read,
            )
            if head.status_code == 101:
                raise InvalidResponse(
                    f"expected an answer from {url.host_header}, got 101"
                    " (a WebSocket has its own way: Client.websocket)"
                )
        except BaseException as error:
            is_gone = isinstance(error, NetworkError) and not isinstance(error, NetworkTimeout)
            may_repeat = connection.used and not connection.answered and prepared.repeatable
            self._pool.release(connection)
            if is_gone and may_repeat:
                return None
            raise
        return connection, head


def _following(prepared: Prepared, head: ResponseHead, terms: Terms) -> Prepared | None:
    """Take an answer's cookies, and see where it leads, if anybody is to go there."""
    take(terms.jar, prepared.url, head.headers)
    if terms.max_redirects is None:
        return None
    return prepared.redirected(head.status_code, head.headers)


def _response(
    prepared: Prepared,
    head: ResponseHead,
    answer: Answer,
    terms: Terms,
    history: list[ClientResponse],
) -> ClientResponse:
    return ClientResponse(
        prepared.method,
        prepared.url,
        head,
        answer.read,
        max_body=terms.max_body,
        history=tuple(history),
    )


async def _nothing() -> bytes:
    return b""


async def _without_body(prepared: Prepared, head: ResponseHead) -> ClientResponse:
    """An answer that has led elsewhere, for the history."""
    response = ClientResponse(prepared.method, prepared.url, head, _nothing)
    await response.read()
    return response


async def _skim(answer: Answer) -> None:
    """Read a body that nobody wants, if it is short; what is wrong with it is nobody's business."""
    read = 0
    try:
        while read < _SKIMMED and (piece := await answer.read()):
            read += len(piece)
    except NetworkTimeout:
        raise
    except NetworkError:
        pass


async def _body(content: Content | None) -> bytes | AsyncIterator[bytes]:
    """What is to be sent: a short body in one piece, any other while it is sent."""
    if content is None:
        return b""
    if content.length is None or content.length > _SMALL:
        return content.pieces()
    return b"".join([piece async for piece in content.pieces()])


def _brief(prepared: Prepared) -> str:
    """A request as the log names it: paths and queries may hold secrets."""
    return f"{prepared.method} {prepared.url.scheme}://{prepared.url.host_header}"
