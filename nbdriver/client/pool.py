"""The connections of a client: so many and no more, used again while there is no doubt.

Who asks gets a connection that rests, or a place to make one, or waits in line. All that changes
what the pool knows happens without an await, in `_serve`, which gives what there is to whoever has
waited longest and can use it; so a cancellation finds it whole, and gives back what it was given.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterator
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import chain, count, islice
from typing import Generic, NamedTuple, TypeVar

from ..errors import NetworkError
from ..net.clock import Clock, Deadline
from ..net.tasks import Tasks
from .connection import Connection

__all__ = ["Pool"]

R = TypeVar("R", bound=Hashable)

#: Seconds that connections have at the end to be closed in good order.
_GRACE = 1.0


class _Resting(NamedTuple, Generic[R]):
    """A connection that waits for another request, until its deadline."""

    route: R
    deadline: Deadline


class _Waiter(NamedTuple, Generic[R]):
    """Somebody in line; `granted` is a connection, or None for a place to make one."""

    number: int
    """The lower it is, the longer this one has waited; no two have the same."""
    route: R
    fresh: bool
    granted: asyncio.Future[Connection | None]


class Pool(Generic[R]):
    """Connections by their route: whatever two connections must have in common to be as good.

    Everything is to be called in one event loop.
    """

    def __init__(
        self,
        connect: Callable[[R], Awaitable[Connection]],
        clock: Clock,
        *,
        max_connections: int,
        max_connections_per_route: int,
        idle_timeout: float,
    ) -> None:
        """`connect` makes a connection, and leaves nothing if it is cancelled.

        `idle_timeout` is how long one is kept for another request, in seconds; 0 keeps none.
        """
        self._connect = connect
        self._clock = clock
        self._max = max_connections
        self._max_per_route = max_connections_per_route
        self._idle_timeout = idle_timeout
        self._places = Counter[R]()
        """How many connections of a route there are, or are being made."""
        self._resting = dict[Connection, _Resting[R]]()
        """The one that has rested longest is the first."""
        self._busy = dict[Connection, R]()
        self._connecting = set[asyncio.Timeout]()
        self._numbers = count()
        self._lines = dict[R, dict[int, _Waiter[R]]]()
        """Whoever waits for a connection of a route, by their numbers."""
        self._ending = set[Connection]()
        self._ends = Tasks(eager=False)
        self._closed = False

    def __len__(self) -> int:
        """How many connections there are, or are being made."""
        return sum(self._places.values())

    async def acquire(self, route: R, *, fresh: bool = False) -> Connection:
        """A connection of that route, for `release`; waits in line for it or for a place.

        If it has to be `fresh`, it has served no request. Raises NetworkError if the pool is
        closed, before or meanwhile, and what making a connection raises. Safe to cancel.
        """
        if self._closed:
            # What was under way may ask for another connection, and must not wait for a place.
            raise _closed()
        granted = asyncio.get_running_loop().create_future()
        waiter = _Waiter(next(self._numbers), route, fresh, granted)
        self._lines.setdefault(route, {})[waiter.number] = waiter
        self._serve()
        try:
            connection = await waiter.granted
        except asyncio.CancelledError:
            self._take_back(waiter)
            raise
        if self._closed:
            # What was granted in the last moment is closed, if it was a connection.
            raise _closed()
        if connection is not None and not connection.ready:
            # It was when it was granted; its place is still ours.
            del self._busy[connection]
            self._end(connection)
            connection = None
        return await self._make(route) if connection is None else connection

    def release(self, connection: Connection) -> None:
        """Give a connection back: it rests, or is closed if there is any doubt about it."""
        if connection in self._busy:
            if self._idle_timeout and connection.reusable:
                self._rest(connection, self._busy.pop(connection))
            else:
                self._drop(connection)
            self._serve()

    async def close(self) -> None:
        """Close all connections, in good order if they are quick; whoever waits gets NetworkError.

        Bounded in time. Cancelled, it closes them at once.
        """
        self._closed = True
        now = asyncio.get_running_loop().time()
        for scope in self._connecting:
            scope.reschedule(now)
        for waiter in chain.from_iterable(line.values() for line in self._lines.values()):
            if not waiter.granted.done():
                waiter.granted.set_exception(_closed())
        self._lines.clear()
        for connection in [*self._busy, *self._resting]:
            self._drop(connection)
        self._places.clear()
        try:
            async with asyncio.timeout(_GRACE):
                await self._ends.join()
        except TimeoutError:
            pass
        finally:
            for connection in self._ending:
                connection.abort()
        await self._ends.join()

    # What is given to whom.

    def _serve(self) -> None:
        """Give what there is to those in line: the one place where anything is given.

        Where the first in a line gets nothing, nobody behind does, so that thousands may wait.
        """
        if self._exhausted:
            return
        firsts = [first for line in self._lines.values() for first in _first(line)]
        heapify(firsts)
        while firsts and not self._exhausted:
            waiter = heappop(firsts)
            if self._grant(waiter):
                line = self._lines[waiter.route]
                self._leave_line(waiter)
                for following in _first(line):
                    heappush(firsts, following)

    def _leave_line(self, waiter: _Waiter[R]) -> None:
        if (line := self._lines.get(waiter.route)) is not None:
            line.pop(waiter.number, None)
            if not line:
                del self._lines[waiter.route]

    @property
    def _exhausted(self) -> bool:
        """Whether nobody can be given anything."""
        return self._full and not self._resting

    @property
    def _full(self) -> bool:
        return len(self) >= self._max

    def _grant(self, waiter: _Waiter[R]) -> bool:
        """Give a connection or a place, if there is one for that route."""
        route = waiter.route
        connection = None if waiter.fresh else self._take_resting(route)
        if connection is not None:
            self._busy[connection] = route
        elif self._make_room(route):
            self._places[route] += 1
        else:
            return False
        waiter.granted.set_result(connection)
        return True

    def _take_resting(self, route: R) -> Connection | None:
        """The connection that was used last: it is the least likely to have been left."""
        for connection in [c for c, (other, _) in self._resting.items() if other == route][::-1]:
            if connection.ready:
                self._resting.pop(connection).deadline.cancel()
                return connection
            self._drop(connection)
        return None

    def _make_room(self, route: R) -> bool:
        """See that there is room for a connection, at the cost of those that rest."""
        if self._places[route] >= self._max_per_route:
            return self._evict(lambda resting: resting.route == route)
        return not self._full or self._evict(lambda resting: True)

    def _evict(self, may_go: Callable[[_Resting[R]], bool]) -> bool:
        """Close the connection that has rested longest of those that may go."""
        for connection, resting in self._resting.items():
            if may_go(resting):
                self._drop(connection)
                return True
        return False

    def _take_back(self, waiter: _Waiter[R]) -> None:
        """Somebody was cancelled while waiting; what was granted meanwhile goes to the next."""
        if waiter.granted.cancelled():
            self._leave_line(waiter)
        elif waiter.granted.exception() is None:
            connection = waiter.granted.result()
            if connection is None:
                self._free(waiter.route)
                self._serve()
            else:
                self.release(connection)

    async def _make(self, route: R) -> Connection:
        """Make a connection in a place that is ours."""
        try:
            async with asyncio.timeout(None) as scope:
                self._connecting.add(scope)
                try:
                    connection = await self._connect(route)
                finally:
                    self._connecting.discard(scope)
        except BaseException as error:
            self._free(route)
            self._serve()
            if isinstance(error, TimeoutError) and scope.expired():
                raise _closed() from None
            raise
        self._busy[connection] = route
        if self._closed:
            # It was made in the last moment.
            self._drop(connection)
            raise _closed()
        return connection

    # How connections come to rest, and to their end.

    def _rest(self, connection: Connection, route: R) -> None:
        connection.rest()
        deadline = self._clock.deadline(partial(self._drop, connection))
        deadline.set(self._idle_timeout)
        self._resting[connection] = _Resting(route, deadline)

    def _drop(self, connection: Connection) -> None:
        """Close a connection, whose place is then free."""
        if (resting := self._resting.pop(connection, None)) is not None:
            resting.deadline.cancel()
            self._free(resting.route)
        else:
            self._free(self._busy.pop(connection))
        self._end(connection)

    def _free(self, route: R) -> None:
        """A place is free: nothing must be left of a route that nobody uses any more."""
        self._places[route] -= 1
        if self._places[route] <= 0:
            del self._places[route]

    def _end(self, connection: Connection) -> None:
        """Close a connection, and hold it until its socket is given back."""
        connection.close()
        self._ending.add(connection)
        self._ends.start(
            connection.wait_closed(), connection, partial(self._ending.discard, connection)
        )


def _first(line: dict[int, _Waiter[R]]) -> Iterator[_Waiter[R]]:
    """The first in a line, if there is one: who was cancelled has not left it yet."""
    return islice((waiter for waiter in line.values() if not waiter.granted.done()), 1)


def _closed() -> NetworkError:
    return NetworkError("expected an answer, but the client was closed meanwhile")
