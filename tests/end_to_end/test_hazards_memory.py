"""What a server holds once a hazard is over is what it held before: no byte is left over."""

from __future__ import annotations

import gc
import json
import logging

import pytest
from support.allocation import Allocated, allocated
from support.echo import Echo, serving
from support.frames import frame
from support.hazards import HANDSHAKES_REFUSED, REQUESTS_REFUSED, VIOLATIONS
from support.jumping import jumping
from support.leaks import nothing_left
from support.peer import Peer, settle
from support.raw import connect_in_memory, event, upgrade

#: What is sent over a connection of its own, each in turn: each hazard, and what is all right.
SENT = [
    *(data for data, _ in (*REQUESTS_REFUSED.values(), *HANDSHAKES_REFUSED.values())),
    *(upgrade() + frame('{"n": 1}') + wire for wire, _ in VIOLATIONS.values()),
    event({"n": 1}) * 3,
    upgrade() + frame(json.dumps({"long": "x" * 10_000})),
]
#: How often all of it is sent before memory is looked at, and once more as often after that.
ROUNDS = 2
#: Bytes for each connection that may be there in the end and were not half-way: less than the
#: smallest object takes. (What is there is the date of the last answer, once.)
SPARE = 16


async def send_all(echo: Echo, sent: list[bytes], kept: list[Peer] | None) -> None:
    for _ in range(ROUNDS):
        for data in sent:
            peer = connect_in_memory(echo, Peer(), data)
            await settle()
            assert peer.received
            # Some are ended properly and some are not.
            peer.reset() if len(data) % 2 else peer.transport.close()
            await settle()
            if kept is not None:
                kept.append(peer)
        echo.messages.clear()
        echo.adapter.headers.clear()


def now(memory: Allocated) -> int:
    gc.collect()
    return memory.now


async def growth(sent: list[bytes], kept: list[Peer] | None = None) -> float:
    """How many bytes the second half of it has added for each connection."""
    async with nothing_left(), serving() as echo:
        with allocated() as memory:
            await send_all(echo, sent, kept)
            before = now(memory)
            await send_all(echo, sent, kept)
            grown = now(memory) - before
    return grown / len(sent) / ROUNDS


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What is logged is kept by pytest."""
    caplog.set_level(logging.CRITICAL + 1, "nbdriver")


@jumping
async def test_memory_does_not_grow_with_the_number_of_hazards() -> None:
    # Something of the process's own may come just then, once; what is left over comes each time.
    assert await growth(SENT) < SPARE or await growth(SENT) < SPARE


@jumping
async def test_what_is_kept_is_seen() -> None:
    assert await growth(SENT[-3:], kept=[]) > 10 * SPARE
