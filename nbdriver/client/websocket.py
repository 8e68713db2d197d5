"""A WebSocket that a client has opened: messages both ways, and an end in time.

It is the WebSocket that a server has too (`net/websocket`), in the other role; a client adds what
the server answered, iteration, and how a block is left in which the WebSocket is used.
"""

from __future__ import annotations

import asyncio

from ..errors import WebSocketClosed
from ..logs import escape
from ..model import Headers, Request
from ..net.channel import Channel
from ..net.clock import Clock
from ..net.websocket import WebSocketConnection, WebSocketLimits
from ..wire.closing import (
    ABNORMAL_CLOSURE,
    GOING_AWAY,
    INTERNAL_ERROR,
    NO_STATUS,
    NORMAL_CLOSURE,
)
from ..wire.session import Session

__all__ = ["ClientWebSocket"]

#: How a connection ends that has not failed (RFC 6455, 7.4.1).
_NORMAL = (NORMAL_CLOSURE, GOING_AWAY, NO_STATUS)


class ClientWebSocket(WebSocketConnection):
    """See `abc.WebSocketConnection` for its methods; messages can also be iterated over.

    - `request`: what opened it, after all redirects.
    - `response_headers`: those of the 101.
    - `subprotocol`: the one that the server has chosen, or None.

    Iteration ends when the server closes normally (1000, 1001, or without a code), and raises
    WebSocketClosed with the server's code and reason for any other end.
    """

    __slots__ = ("_channel", "_close_timeout", "response_headers", "subprotocol")

    def __init__(
        self,
        channel: Channel,
        clock: Clock,
        session: Session,
        request: Request,
        response_headers: Headers,
        *,
        subprotocol: str | None = None,
        limits: WebSocketLimits,
    ) -> None:
        """`channel` is the connection after the 101; what came behind that are frames."""
        super().__init__(channel.stream, request, clock, limits, session=session)
        self._channel = channel
        self._close_timeout = limits.close_timeout
        self.response_headers = response_headers
        self.subprotocol = subprotocol
        self.data_received(channel.hand_over(self))

    def __str__(self) -> str:
        # Without the query, where tokens stand.
        host = self.request.headers.get("host") or ""
        return f"WebSocket {self.request.scheme}://{escape(host)}{escape(self.request.path)}"

    # Receiving.

    def __aiter__(self) -> ClientWebSocket:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosed as closed:
            if closed.code in _NORMAL:
                raise StopAsyncIteration from None
            raise

    # Ending.

    async def leave(self, error: BaseException | None = None) -> None:
        """The block in which it is used is left, by `error` or at its end.

        The server is told 1000, or 1011 if there is an error, and has the close limit to answer;
        then the connection is gone. Whoever was cancelled does not wait: the server is told 1001,
        and not listened to any more.
        """
        if error is None or isinstance(error, Exception):
            await self.end(NORMAL_CLOSURE if error is None else INTERNAL_ERROR)
            return
        try:
            self._begin_close(GOING_AWAY, "")
            # uvloop sends at the end of a turn.
            await asyncio.sleep(0)
        finally:
            self._cut_off()
        await self._channel.wait_closed()

    async def end(self, code: int) -> None:
        """Close with `code`, and see the connection to its end, within the close limit."""
        try:
            async with asyncio.timeout(self._close_timeout):
                await self.close(code)
                await self._channel.wait_closed()
        except TimeoutError:
            # What is left of it is cut off.
            pass
        finally:
            self._cut_off()
        await self._channel.wait_closed()

    def _cut_off(self) -> None:
        """End what has not ended by now."""
        self._finish(ABNORMAL_CLOSURE, "no Close came in time", abort=True)
        self._channel.abort()
