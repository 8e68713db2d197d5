"""The pool: bounded, in the order of asking, and nothing in doubt is used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from support.cancelling import WAYS, Way
from support.client import FIVE, Server, new_channel, new_connection, read_all
from support.jumping import jumping
from support.leaks import nothing_left
from support.peer import settle

from nbdriver.client.connection import Connection
from nbdriver.client.pool import Pool
from nbdriver.errors import ConnectError, NetworkError, NetworkTimeout
from nbdriver.net.clock import LoopClock
from nbdriver.net.tasks import Tasks
from nbdriver.wire.head import HeadLimits

HOST = [("Host", "a")]


class Network:
    """Makes connections to servers in memory, and knows them."""

    def __init__(self) -> None:
        self.servers = list[Server]()
        self.routes = list[str]()
        self.delay = 0.0
        self.error: Exception | None = None

    async def connect(self, route: str) -> Connection:
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        server = Server(*[FIVE] * 100)
        self.servers.append(server)
        self.routes.append(route)
        return new_connection(server)

    @property
    def open(self) -> int:
        return sum(not server.lost for server in self.servers)


@asynccontextmanager
async def pool_of(network: Network, **limits: Any) -> AsyncIterator[Pool[str]]:
    """A pool that is closed at the end, of which nothing is left."""
    async with nothing_left():
        clock = LoopClock(asyncio.get_running_loop())
        limits = {
            "max_connections": 3,
            "max_connections_per_route": 2,
            "idle_timeout": 30.0,
            **limits,
        }
        pool = Pool(network.connect, clock, **limits)
        try:
            yield pool
        finally:
            await pool.close()
            assert len(pool) == 0
            await settle()
            assert network.open == 0


async def use(connection: Connection) -> None:
    """One request and its answer."""
    await connection.send("GET", "/", HOST)
    assert await read_all(connection) == b"hello"


async def waiting(pool: Pool[str], route: str, **how: bool) -> asyncio.Task[Connection]:
    """Somebody who asks, and has come as far as that goes by itself."""
    task = asyncio.create_task(pool.acquire(route, **how))
    await settle()
    return task


# Using connections again.


@jumping
async def test_a_connection_is_used_again_for_its_route_alone() -> None:
    network = Network()
    async with pool_of(network) as pool:
        first = await pool.acquire("a")
        await use(first)
        pool.release(first)
        other = await pool.acquire("b")
        assert other is not first
        assert await pool.acquire("a") is first
        assert network.routes == ["a", "b"]


@jumping
async def test_of_those_that_rest_the_last_one_used_is_taken() -> None:
    network = Network()
    async with pool_of(network) as pool:
        first, second = await pool.acquire("a"), await pool.acquire("a")
        for connection in (first, second):
            await use(connection)
        pool.release(second)
        pool.release(first)
        assert await pool.acquire("a") is first
        assert await pool.acquire("a") is second


@jumping
async def test_whoever_asks_for_a_fresh_connection_gets_one() -> None:
    network = Network()
    async with pool_of(network, max_connections_per_route=1) as pool:
        other, first = await pool.acquire("b"), await pool.acquire("a")
        for connection in (other, first):
            await use(connection)
            pool.release(connection)
        second = await pool.acquire("a", fresh=True)
        assert second is not first
        # There was room for one alone, so the one that rested had to go.
        await settle()
        assert network.open == 2
        assert await pool.acquire("b") is other


@jumping
async def test_a_connection_in_doubt_is_not_used_again() -> None:
    network = Network()
    async with pool_of(network) as pool:
        unanswered = await pool.acquire("a")
        pool.release(unanswered)
        await settle()
        assert (len(pool), network.open) == (0, 0)
        unread = await pool.acquire("a")
        await unread.send("GET", "/", HOST)
        pool.release(unread)
        await settle()
        assert (len(pool), network.open) == (0, 0)
        assert await pool.acquire("a") not in (unanswered, unread)


@jumping
async def test_a_connection_that_its_server_has_left_or_talks_on_is_passed_over() -> None:
    network = Network()
    async with pool_of(network) as pool:
        left, talking = await pool.acquire("a"), await pool.acquire("a")
        for connection in (left, talking):
            await use(connection)
            pool.release(connection)
        network.servers[0].transport.close()
        network.servers[1].send(FIVE)
        await settle()
        assert await pool.acquire("a") not in (left, talking)
        assert len(pool) == 1


@jumping
async def test_a_connection_that_is_left_while_it_is_handed_over_is_replaced() -> None:
    network = Network()
    async with pool_of(network, max_connections_per_route=1) as pool:
        first = await pool.acquire("a")
        await use(first)
        task = await waiting(pool, "a")
        pool.release(first)
        first.channel.eof_received()
        assert await task is not first
        assert len(pool) == 1


@jumping
async def test_a_connection_rests_for_its_time() -> None:
    network = Network()
    async with pool_of(network, idle_timeout=10.0) as pool:
        for _ in range(3):
            connection = await pool.acquire("a")
            await use(connection)
            pool.release(connection)
            await asyncio.sleep(9)
        assert network.routes == ["a"]
        await asyncio.sleep(2)
        assert (len(pool), network.open) == (0, 0)


@jumping
async def test_without_such_a_time_no_connection_is_kept() -> None:
    network = Network()
    async with pool_of(network, idle_timeout=0.0) as pool:
        connection = await pool.acquire("a")
        await use(connection)
        pool.release(connection)
        assert len(pool) == 0


# Bounds, and the order of those who wait.


@jumping
async def test_a_route_has_so_many_connections_and_no_more() -> None:
    network = Network()
    async with pool_of(network) as pool:
        first, _ = await pool.acquire("a"), await pool.acquire("a")
        task = await waiting(pool, "a")
        assert not task.done()
        # Others are not in its way.
        await pool.acquire("b")
        await use(first)
        pool.release(first)
        assert await task is first
        assert len(pool) == 3


@jumping
async def test_there_are_so_many_connections_in_all() -> None:
    network = Network()
    async with pool_of(network) as pool:
        first, _, _ = [await pool.acquire(route) for route in "abc"]
        task = await waiting(pool, "d")
        assert not task.done()
        await use(first)
        pool.release(first)
        # One that rests gives way to whoever waits.
        await task
        await settle()
        assert network.routes == ["a", "b", "c", "d"]
        assert len(pool) == network.open == 3


@jumping
async def test_the_one_that_has_rested_longest_gives_way() -> None:
    network = Network()
    async with pool_of(network) as pool:
        connections = [await pool.acquire(route) for route in "abc"]
        for connection in (connections[1], connections[0], connections[2]):
            await use(connection)
            pool.release(connection)
        await pool.acquire("d")
        assert await pool.acquire("a") is connections[0]


@jumping
async def test_those_who_wait_are_served_in_the_order_of_their_asking() -> None:
    network = Network()
    served = list[int]()

    async def visit(pool: Pool[str], number: int) -> None:
        connection = await pool.acquire("a")
        served.append(number)
        await use(connection)
        pool.release(connection)

    async with pool_of(network, max_connections_per_route=1) as pool:
        await asyncio.gather(*(visit(pool, number) for number in range(20)))
    assert served == list(range(20))
    assert network.routes == ["a"]


@jumping
async def test_nobody_overtakes_those_who_wait() -> None:
    network = Network()
    async with pool_of(network, max_connections_per_route=1) as pool:
        first = await pool.acquire("a")
        await use(first)
        task = await waiting(pool, "a")
        pool.release(first)
        late = await waiting(pool, "a")
        assert await task is first
        assert not late.done()
        pool.release(first)
        await late


@jumping
async def test_whoever_cannot_be_served_yet_is_in_nobodys_way() -> None:
    network = Network()
    async with pool_of(network, max_connections=2, max_connections_per_route=1) as pool:
        a = await pool.acquire("a")
        b = await pool.acquire("b")
        second_a, first_c = await waiting(pool, "a"), await waiting(pool, "c")
        pool.release(b)
        await first_c
        assert not second_a.done()
        pool.release(a)
        await second_a


class CountedRoute(str):
    """A route that counts how often the pool looks for what it knows of it."""

    looks = 0

    def __hash__(self) -> int:
        type(self).looks += 1
        return super().__hash__()


async def looks(requests: int) -> int:
    """How often a pool looks at a route for which so many wait at a time."""
    route, before = CountedRoute("a"), CountedRoute.looks

    async def visit(pool: Pool[str]) -> None:
        connection = await pool.acquire(route)
        await use(connection)
        pool.release(connection)

    async with pool_of(Network(), max_connections_per_route=1) as pool:
        await asyncio.gather(*(visit(pool) for _ in range(requests)))
    return CountedRoute.looks - before


@jumping
async def test_what_one_in_a_line_costs_does_not_depend_on_how_long_it_is() -> None:
    assert await looks(100) < 15 * await looks(10)


# What goes wrong.


@jumping
async def test_a_connection_that_cannot_be_made_gives_its_place_to_the_next() -> None:
    network = Network()
    async with pool_of(network, max_connections=1) as pool:
        network.delay, network.error = 1.0, ConnectError("nobody there")
        failing = await waiting(pool, "a")
        next_one = await waiting(pool, "b")
        network.delay, error, network.error = 2.0, network.error, None
        network.error = error
        with pytest.raises(ConnectError, match="nobody there"):
            await failing
        network.error = None
        await next_one
        assert len(pool) == 1


@jumping
async def test_a_limit_of_somebody_else_is_no_end_of_the_pool() -> None:
    network = Network()
    async with pool_of(network) as pool:
        network.delay = 10.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await pool.acquire("a")
        network.delay, network.error = 0.0, NetworkTimeout("connect", 1, "for it")
        with pytest.raises(NetworkTimeout):
            await pool.acquire("a")
        assert len(pool) == 0


async def begin() -> None:
    """Let a task begin that is started by a task."""
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_cancelled_anywhere_the_pool_is_whole(way: Way) -> None:
    @jumping
    async def run() -> None:
        number, reached = 0, True
        while reached:
            number += 1
            network = Network()
            async with pool_of(network, max_connections=1) as pool:
                first = await pool.acquire("a")
                await use(first)
                # First a connection that rests, then a place, then nothing is to be had.
                outcome = asyncio.ensure_future(way(pool.acquire("a"), number))
                await begin()
                pool.release(first)
                ended = await outcome
                reached = ended.reached
                if ended.error is None:
                    pool.release(ended.result)
                other = await pool.acquire("b")
                outcome = asyncio.ensure_future(way(pool.acquire("c"), number))
                await begin()
                pool.release(other)
                ended = await outcome
                reached = reached or ended.reached
                if ended.error is None:
                    pool.release(ended.result)
                await pool.acquire("d")
                assert len(pool) == 1
        assert number > 2

    run()


# The end.


@jumping
async def test_at_the_end_whoever_waits_or_connects_is_told() -> None:
    network = Network()
    async with pool_of(network, max_connections=1) as pool:
        network.delay = 100.0
        connecting, in_line = await waiting(pool, "a"), await waiting(pool, "b")
        await pool.close()
        for task in (connecting, in_line):
            with pytest.raises(NetworkError, match="the client was closed meanwhile"):
                await task
        assert network.servers == []


@jumping
async def test_at_the_end_connections_in_use_are_closed() -> None:
    network = Network()
    async with pool_of(network) as pool:
        connection = await pool.acquire("a")
        network.servers[0]._answers.clear()
        task = asyncio.create_task(connection.send("GET", "/", HOST))
        await settle()
        await pool.close()
        with pytest.raises(NetworkError, match="the connection was lost"):
            await task
        pool.release(connection)


@jumping
async def test_what_was_granted_in_the_moment_of_the_end_is_no_use() -> None:
    network = Network()
    async with pool_of(network, max_connections=1) as pool:
        first = await pool.acquire("a")
        await use(first)
        task = await waiting(pool, "a")
        pool.release(first)
        await pool.close()
        with pytest.raises(NetworkError, match="closed meanwhile"):
            await task
    async with pool_of(network, max_connections=1) as pool:
        unanswered = await pool.acquire("a")
        task = await waiting(pool, "a")
        pool.release(unanswered)
        await pool.close()
        with pytest.raises(NetworkError, match="closed meanwhile"):
            await task
        assert len(network.servers) == 2


@jumping
async def test_whoever_asks_after_the_end_is_told_at_once_however_many_they_are() -> None:
    async with pool_of(Network(), max_connections=1) as pool:
        await pool.close()
        for _ in range(3):
            with pytest.raises(NetworkError, match="client was closed"):
                async with asyncio.timeout(1):
                    await pool.acquire("a")


@jumping
async def test_who_was_cancelled_before_the_end_hears_nothing_of_it() -> None:
    network = Network()
    async with pool_of(network, max_connections=1) as pool:
        await pool.acquire("a")
        task = await waiting(pool, "a")
        task.cancel()
        await pool.close()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with pool_of(network, max_connections=1) as pool:
        await pool.acquire("a")
        task = await waiting(pool, "a")
        closing = asyncio.create_task(pool.close())
        asyncio.get_running_loop().call_soon(task.cancel)
        await closing
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("turns", range(8))
def test_closed_at_any_moment_of_connecting_nothing_is_left(turns: int) -> None:
    @jumping
    async def run() -> None:
        network = Network()
        async with pool_of(network) as pool:
            task = asyncio.create_task(pool.acquire("a"))
            for _ in range(turns):
                await asyncio.sleep(0)
            await pool.close()
            await asyncio.wait([task])
            # Either it was told, or it had its connection, which is closed now.
            assert task.exception() is None or isinstance(task.exception(), NetworkError)

    run()


class Slow(Connection):
    """A connection that does not end by being closed, as where TLS waits for a goodbye."""

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("cancelled_after", "took"), [(None, 1.0), (0.25, 0.25)])
def test_connections_that_end_slowly_are_cut_off(
    cancelled_after: float | None, took: float
) -> None:
    @jumping
    async def run() -> None:
        async def connect(route: str) -> Connection:
            return Slow(new_channel(Server()), HeadLimits(), Tasks(), "http://a")

        loop = asyncio.get_running_loop()
        network = Network()
        network.connect = connect  # type: ignore[method-assign]  # a network of its own
        async with pool_of(network) as pool:
            await pool.acquire("a")
            began = loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout(cancelled_after):
                    await pool.close()
            assert loop.time() - began == pytest.approx(took)

    run()
