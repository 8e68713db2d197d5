"""A client's connection: one request at a time, and its answer, in a straight line.

An answer may come before all of a request is sent, and a server that gives one may read no more of
it. So a body that is more than a few bytes is sent by a task of its own, while whoever asked reads;
an answer that refuses it ends the sending. Whether the connection can be used again is asked in one
place, and any doubt says no.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable

from ..errors import ConnectionLost, InvalidResponse, NetworkError
from ..net.channel import Channel
from ..net.tasks import Tasks
from ..wire.client_exchange import ClientExchange
from ..wire.head import HeadLimits
from ..wire.response_head import ResponseHead
from .limits import within

__all__ = ["Connection"]

#: Bytes that are sent in one go; a body of no more needs no task.
_PIECE = 65_536
#: Elements of a body that are read before others have their turn.
_SHARE = 64


class Connection:
    """One HTTP/1.1 connection of a client, from its first request to its end.

    Whoever uses it calls `close` if anything is raised, a cancellation too.
    """

    __slots__ = (
        "_begin_to_wait",
        "_exchange",
        "_greedy",
        "_name",
        "_read_limit",
        "_sending",
        "_sending_error",
        "_tasks",
        "channel",
        "used",
    )

    def __init__(self, channel: Channel, limits: HeadLimits, tasks: Tasks, name: str) -> None:
        """`tasks`, which are not eager, hold what sends bodies; `name` stands in messages."""
        self.channel = channel
        """Its bytes, for whoever goes on in another protocol after a 101."""
        self._exchange = ClientExchange(limits)
        self._tasks = tasks
        self._name = name
        self._read_limit: float | None = None
        self._greedy = False
        """Whether the last piece was a share of what there is, and others come first."""
        self._sending: asyncio.Task[None] | None = None
        self._sending_error: BaseException | None = None
        self._begin_to_wait: Callable[[], None] | None = None
        """What starts the limit on reading, once the sending has ended."""
        self.used = False
        """Whether it has served a request before: its server may have left unseen since."""

    def __str__(self) -> str:
        return f"a connection to {self._name}"

    # One request.

    async def send(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | AsyncIterable[bytes] = b"",
        *,
        read_limit: float | None = None,
    ) -> ResponseHead:
        """Send a request and give the head of its answer, whose body `read` gives.

        Whether and how a body is sent is for `headers` to say. `read_limit` is for each wait for
        something to come once all is sent, in seconds. Raises ValueError for what HTTP cannot
        carry, NetworkTimeout, InvalidResponse, NetworkError, and whatever `body` raises.
        """
        self._read_limit = read_limit
        head = self._exchange.ask(method, target, headers)
        if isinstance(body, bytes) and len(body) <= _PIECE:
            self._write(head + self._exchange.data(body) + self._exchange.end())
        else:
            self._write(head)
            sending = self._send_body(_whole(body) if isinstance(body, bytes) else body)
            self._sending = self._tasks.start(sending, self, self._sending_ended)
        while (answer := self._take_head()) is None:
            await self._more("an answer")
        if answer.status_code >= 300:
            await self._stop_sending()
        return answer

    async def read(self) -> bytes:
        """The next piece of the answer's body, as it comes; b"" at its end.

        Raises NetworkTimeout, InvalidResponse, NetworkError, and whatever the request's body
        raises. Cancelled, it has taken nothing.
        """
        if self._greedy:
            await asyncio.sleep(0)
        while not self._exchange.complete:
            if piece := self._take():
                return piece
            if not self._exchange.complete:
                await self._more("the rest of an answer")
        return b""

    def _take_head(self) -> ResponseHead | None:
        try:
            return self._exchange.read_head(self.channel.buffer)
        except InvalidResponse as error:
            raise error.of(self._name) from None

    def _take(self) -> bytes:
        """What there is of the body, up to a share."""
        pieces = list[bytes]()
        try:
            while (
                len(pieces) < _SHARE
                and not self._exchange.complete
                and (piece := self._exchange.read_body(self.channel.buffer)) is not None
            ):
                pieces.append(piece)
        except InvalidResponse as error:
            raise error.of(self._name) from None
        self._greedy = len(pieces) == _SHARE
        if self._exchange.complete:
            # Reading may have paused; what comes now was not asked for, and has to be seen.
            self.channel.rest()
        return b"".join(pieces)

    async def _more(self, what: str) -> None:
        """Wait until more came, or is known not to: the one place that waits for a server."""
        doing = f"for {what} from {self._name}"
        limit = within("read", self._read_limit, doing, running=self._sending is None)
        try:
            async with limit as self._begin_to_wait:
                if not await self.channel.more():
                    self._exchange.read_end(self.channel.buffer)
        except InvalidResponse as error:
            raise InvalidResponse(f"{self._name}: {error}{self._hint()}") from None
        except ConnectionLost:
            if self._sending_error is not None:
                raise self._sending_error from None
            raise NetworkError(
                f"expected {what} from {self._name}, but the connection was lost{self._hint()}"
            ) from None
        finally:
            self._begin_to_wait = None

    def _hint(self) -> str:
        """What may be wrong where nothing came: most TLS servers leave without a word."""
        if self.used or self.answered or self.channel.info("ssl_object") is not None:
            return ""
        return " (does it want TLS: https or wss?)"

    # Sending.

    def _write(self, data: bytes) -> bool:
        """Send `data`; gives whether the connection is there. Reading tells if it is not."""
        try:
            self.channel.write(data)
        except ConnectionLost:
            return False
        return True

    async def _send_body(self, body: AsyncIterable[bytes]) -> None:
        try:
            async for piece in body:
                for start in range(0, len(piece), _PIECE):
                    if not await self._send_piece(piece[start : start + _PIECE]):
                        return
            self._write(self._exchange.end())
        except (Exception, asyncio.CancelledError) as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # It is told by whoever waits for the answer, which will never come.
            self._sending_error = error
            self.channel.abort()
        finally:
            if isinstance(body, AsyncGenerator):
                await body.aclose()

    async def _send_piece(self, piece: bytes) -> bool:
        if not self._write(self._exchange.data(piece)):
            return False
        try:
            await self.channel.drain()
        except ConnectionLost:
            return False
        # A refusal that is there is read before the next piece meets a connection that is closed.
        await asyncio.sleep(0)
        return True

    def _sending_ended(self) -> None:
        self._sending = None
        if self._begin_to_wait is not None:
            self._begin_to_wait()

    async def _stop_sending(self) -> None:
        """An answer came that does not want the rest of the request (RFC 9110, 7.5)."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])

    # Between requests, and at the end.

    @property
    def ready(self) -> bool:
        """Whether a request can be sent now: nobody has left, and nothing came unasked."""
        return self.channel.open

    @property
    def answered(self) -> bool:
        """Whether anything has come in answer to the last request."""
        return self._exchange.begun or bool(self.channel.buffer)

    @property
    def complete(self) -> bool:
        """Whether all of the answer to the last request has come."""
        return self._exchange.complete

    @property
    def reusable(self) -> bool:
        """Whether another request may follow the last one: the one place where that is decided."""
        return (
            self._exchange.reusable
            and self._sending is None
            and not self.channel.stream.unsent
            and self.channel.open
        )

    def rest(self) -> None:
        """Wait for another request; only if it is `reusable`."""
        self._exchange.start_next()
        self.channel.rest()
        self.used = True

    def close(self) -> None:
        """End the connection: the one place where a client's connection is ended.

        At once if there is anything that waits to be sent or read, which then nobody wants.
        """
        if self._sending is not None:
            self._sending.cancel()
        elif self._exchange.complete and not self.channel.stream.unsent:
            self.channel.close()
            return
        self.channel.abort()

    def abort(self) -> None:
        """End a connection that is closed already, and takes too long about it."""
        self.channel.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone, its socket given back. Safe to cancel."""
        await self.channel.wait_closed()


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body
