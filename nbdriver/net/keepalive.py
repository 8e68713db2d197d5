"""Whether a WebSocket's peer is still there: when to ping, when to give up, who waits for a pong.

A connection whose other end has vanished looks like one that has nothing to say (RFC 6455, 5.5.2).
Here is only what is due when; who sends, and who ends the connection, is the connection itself.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial

from .clock import Clock

__all__ = ["KeepAlive"]


class KeepAlive:
    """A Ping every `interval` seconds, and a peer that is silent for `timeout` after one is dead.

    None for either turns it off. Pings are numbered, and a Pong's payload says to which it belongs.
    """

    __slots__ = ("_clock", "_interval", "_ping_due", "_pong_due", "_sent", "_timeout", "_waiting")

    def __init__(self, clock: Clock, interval: float | None, timeout: float | None) -> None:
        self._clock = clock
        self._interval = math.inf if interval is None else interval
        self._timeout = math.inf if timeout is None else timeout
        self._ping_due = self._pong_due = math.inf
        self._sent = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def start(self) -> None:
        """The connection is open from now on."""
        self._ping_due = self._clock.time() + self._interval

    @property
    def rest(self) -> float | None:
        """Seconds until something may be due; None for never."""
        due = min(self._ping_due, self._pong_due)
        return None if due == math.inf else due - self._clock.time()

    @property
    def overdue(self) -> bool:
        """Whether the peer was pinged and then not heard of for too long."""
        return self._pong_due <= self._clock.time()

    def heard(self) -> None:
        """Something came from the peer; any byte is a sign of life."""
        self._pong_due = math.inf

    def excuse(self) -> None:
        """Give a peer that is expected to answer its whole time again: it could not be heard."""
        if self._pong_due != math.inf:
            self._pong_due = self._clock.time() + self._timeout

    def beat(self) -> bytes | None:
        """The payload of the Ping that is to be sent now, None if none is due."""
        now = self._clock.time()
        if self._ping_due > now:
            return None
        self._ping_due = now + self._interval
        self._pong_due = min(self._pong_due, now + self._timeout)
        return self._next_ping()

    def ask(self) -> tuple[bytes, asyncio.Future[None]]:
        """The payload of a Ping to be sent now, and a future that its Pong will set."""
        payload = self._next_ping()
        waiter = self._waiting[self._sent] = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(partial(self._forget, self._sent))
        return payload, waiter

    def _forget(self, number: int, _: asyncio.Future[None]) -> None:
        del self._waiting[number]

    def answered(self, payload: bytes) -> None:
        """A Pong came: it answers its Ping, and those before it (RFC 6455, 5.5.3)."""
        number = int.from_bytes(payload, "big")
        if number <= self._sent:
            self._wake(number)

    def end(self) -> None:
        """No Pong will come any more; whoever waits for one wakes."""
        self._wake(self._sent)

    def _next_ping(self) -> bytes:
        self._sent += 1
        return self._sent.to_bytes(4, "big")

    def _wake(self, last: int) -> None:
        for number, waiter in self._waiting.items():
            if number <= last and not waiter.done():
                waiter.set_result(None)
