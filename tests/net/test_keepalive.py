"""When to ping, when to give up, and who waits for which pong."""

from __future__ import annotations

import gc
import weakref

import pytest
from support.peer import settle

from nbdriver.net.clock import VirtualClock
from nbdriver.net.keepalive import KeepAlive


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def beating(clock: VirtualClock, interval: float | None, timeout: float | None) -> KeepAlive:
    ours = KeepAlive(clock, interval, timeout)
    ours.start()
    return ours


def test_a_ping_is_due_every_interval(clock: VirtualClock) -> None:
    ours = beating(clock, 20, 20)
    for _ in range(3):
        assert ours.rest == 20
        clock.advance(19)
        assert ours.rest == 1
        assert ours.beat() is None
        clock.advance(1)
        assert ours.beat() is not None
        assert ours.beat() is None
        ours.heard()


@pytest.mark.parametrize(("interval", "timeout"), [(20, 20), (20, 5), (20, 50)])
def test_a_peer_that_is_silent_for_the_timeout_after_a_ping_is_overdue(
    clock: VirtualClock, interval: float, timeout: float
) -> None:
    """Further pings meanwhile do not give it more time."""
    ours = beating(clock, interval, timeout)
    silent_since = None
    while not ours.overdue:
        if ours.beat() is not None and silent_since is None:
            silent_since = clock.time()
        assert ours.rest is not None
        clock.advance(ours.rest)
    assert silent_since == interval
    assert clock.time() == interval + timeout


def test_any_byte_is_a_sign_of_life(clock: VirtualClock) -> None:
    ours = beating(clock, 20, 5)
    clock.advance(20)
    ours.beat()
    clock.advance(4)
    ours.heard()
    clock.advance(4)
    assert not ours.overdue
    assert ours.rest == 12


def test_a_peer_that_could_not_be_heard_gets_its_time_again(clock: VirtualClock) -> None:
    ours = beating(clock, 20, 5)
    ours.excuse()
    assert ours.rest == 20
    clock.advance(20)
    ours.beat()
    clock.advance(5)
    assert ours.overdue
    ours.excuse()
    assert not ours.overdue
    assert ours.rest == 5


@pytest.mark.parametrize("timeout", [20, None])
def test_without_an_interval_nothing_is_ever_due(
    clock: VirtualClock, timeout: float | None
) -> None:
    ours = beating(clock, None, timeout)
    assert ours.rest is None
    clock.advance(10_000)
    assert ours.beat() is None
    assert not ours.overdue


def test_without_a_timeout_pings_go_out_and_nobody_is_given_up(clock: VirtualClock) -> None:
    ours = beating(clock, 20, None)
    for _ in range(3):
        clock.advance(20)
        assert ours.beat() is not None
        assert not ours.overdue


def test_before_the_connection_is_open_nothing_is_due(clock: VirtualClock) -> None:
    assert KeepAlive(clock, 20, 20).rest is None


# Who waits.


async def test_a_pong_wakes_whoever_waits_for_it(clock: VirtualClock) -> None:
    ours = beating(clock, 20, 20)
    payload, waiter = ours.ask()
    ours.answered(payload)
    assert waiter.done()


async def test_a_pong_answers_all_pings_before_it(clock: VirtualClock) -> None:
    """RFC 6455, 5.5.3: a peer may answer the latest only; ours for the interval count too."""
    ours = beating(clock, 20, 20)
    first, second, third = ours.ask(), ours.ask(), ours.ask()
    ours.answered(second[0])
    assert [waiter.done() for _, waiter in (first, second, third)] == [True, True, False]
    clock.advance(20)
    payload = ours.beat()
    assert payload is not None
    ours.answered(payload)
    assert third[1].done()


@pytest.mark.parametrize(
    "payload", [b"", b"\x00\x00\x00\x00", b"\x00\x00\x00\x02", b"\xff" * 125, b"hello"]
)
async def test_a_pong_that_answers_nothing_of_ours_wakes_nobody(
    clock: VirtualClock, payload: bytes
) -> None:
    ours = beating(clock, 20, 20)
    _, waiter = ours.ask()
    ours.answered(payload)
    assert not waiter.done()
    ours.end()


async def test_a_pong_that_comes_twice_does_no_harm(clock: VirtualClock) -> None:
    ours = beating(clock, 20, 20)
    payload, waiter = ours.ask()
    ours.answered(payload)
    ours.answered(payload)
    await waiter


async def test_at_the_end_all_wake(clock: VirtualClock) -> None:
    ours = beating(clock, 20, 20)
    waiters = [ours.ask()[1] for _ in range(3)]
    waiters[1].cancel()
    ours.end()
    assert all(waiter.done() for waiter in waiters)


async def test_who_no_longer_waits_is_forgotten(clock: VirtualClock) -> None:
    ours = beating(clock, 20, 20)
    _, waiter = ours.ask()
    forgotten = weakref.ref(waiter)
    waiter.cancel()
    await settle()
    del waiter
    gc.collect()
    assert forgotten() is None
