"""When events are sent: the next when the last was answered, or on a schedule come what may.

A client that waits for its answer before it sends again asks little of a server that stalls: one
event is slow, and the many that would have been sent meanwhile are never counted (coordinated
omission). So at a fixed rate each event has a time at which it is to be sent, whatever the server
does, and its latency counts from there, also if it has to wait until its connection is free.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .connection import Connection
from .load import LoadError

__all__ = ["Paced", "Schedule", "Sockets", "Wire", "keep_schedule", "ping_pong"]

#: How long before an event is due the clock is watched instead of slept on, in nanoseconds: a
#: sleeper is woken some 50 us late (prctl(2), PR_SET_TIMERSLACK), which would count as latency.
_WATCH = 100_000
_PATIENCE = 10 * 10**9


def ping_pong(connection: Connection, seconds: float) -> list[int]:
    """Send an event, wait for its answer, send the next; gives what each took in nanoseconds.

    The socket blocks, as a simple client's does. To poll it instead would save the time in which
    the kernel wakes us, but would take a core from a server that may need it. Raises LoadError.
    """
    clock = time.perf_counter_ns
    taken: list[int] = []
    end = clock() + int(seconds * 1e9)
    came = 0
    while came < end:
        began = clock()
        connection.send()
        while connection.awaiting:
            came = connection.receive()
        taken.append(came - began)
    return taken


@dataclass(frozen=True, slots=True)
class Schedule:
    """So many events, evenly at so many per second, dealt out to the connections in turn."""

    rate: float
    events: int
    connections: int

    def due(self, number: int) -> int:
        """When this event (the first is 0) is to be sent: nanoseconds from the beginning."""
        return int(number * 1e9 / self.rate)


@dataclass(slots=True)
class Paced:
    """What came of a schedule; times in nanoseconds."""

    latencies: list[int] = field(default_factory=list)
    """From when each event was to be sent until its answer was there."""
    late: list[int] = field(default_factory=list)
    """By how much we ourselves were late to send those whose connection was free."""
    wall: int = 0
    """From the first event until the last answer."""


class Wire(Protocol):
    """A clock, and connections that are known by their number; times in nanoseconds."""

    def now(self) -> int:
        """The time."""

    def send(self, connection: int) -> None:
        """Send the next event on a connection that waits for nothing."""

    def wait(self, until: int) -> Iterable[tuple[int, int]]:
        """Wait for answers, but not beyond that time; gives connections, and when it came."""


def keep_schedule(schedule: Schedule, wire: Wire) -> Paced:
    """Send what is due when it is due, until all is answered. Raises LoadError.

    An event whose connection still waits for an answer is sent when that has come.
    """
    result = Paced()
    on_its_way: list[int | None] = [None] * schedule.connections
    held: list[deque[int]] = [deque() for _ in on_its_way]
    began = moved = last = wire.now()
    following, due, unanswered = 0, began, 0
    while len(result.latencies) < schedule.events:
        while following < schedule.events and (now := wire.now()) >= due:
            number = following % schedule.connections
            if on_its_way[number] is None:
                on_its_way[number] = due
                wire.send(number)
                unanswered += 1
                moved = now
                result.late.append(now - due)
            else:
                held[number].append(due)
            following += 1
            due = began + schedule.due(following)
        for number, came in wire.wait(due if following < schedule.events else moved + _PATIENCE):
            intended = on_its_way[number]
            assert intended is not None
            result.latencies.append(came - intended)
            moved = last = came
            on_its_way[number] = held[number].popleft() if held[number] else None
            if on_its_way[number] is None:
                unanswered -= 1
            else:
                wire.send(number)
        if unanswered and wire.now() > moved + _PATIENCE:
            seconds = _PATIENCE / 1e9
            raise LoadError(f"no answer came on {unanswered} connections within {seconds:g} s")
    result.wall = last - began
    return result


class Sockets:
    """The wire as it is: connections that epoll watches, beside a clock."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = connections
        self._numbers = {each.fileno(): number for number, each in enumerate(connections)}
        self._epoll = select.epoll()
        for descriptor in self._numbers:
            self._epoll.register(descriptor, select.EPOLLIN)

    def close(self) -> None:
        """Watch them no longer; they stay open."""
        self._epoll.close()

    def now(self) -> int:
        """The time, as `time.perf_counter_ns` counts."""
        return time.perf_counter_ns()

    def send(self, connection: int) -> None:
        """Send the next event on a connection. Raises LoadError."""
        self._connections[connection].send()

    def wait(self, until: int) -> Iterable[tuple[int, int]]:
        """The answers that have come; none before `until` at the latest. Raises LoadError."""
        sleep = until - self.now() - _WATCH
        if sleep > 0:
            # epoll itself sleeps for whole milliseconds.
            select.select([self._epoll], [], [], sleep / 1e9)
        answers = []
        for descriptor, _ in self._epoll.poll(0):
            number = self._numbers[descriptor]
            connection = self._connections[number]
            awaited = connection.awaiting
            came = connection.receive()
            # What came may also have been a ping, or a part of an answer.
            if awaited and not connection.awaiting:
                answers.append((number, came))
        return answers
