"""A program that runs out of file descriptors, and tells what its listener does about it.

A process of its own, since its limit is nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import sys

from nbdriver.config import ServerConfig
from nbdriver.net.arrivals import Arrivals
from nbdriver.net.binding import bind
from nbdriver.net.clock import VirtualClock
from nbdriver.net.sockets import Listener

from .loops import LOOPS, warm_up
from .peer import PATIENCE, Peer, settle

logger = logging.getLogger(__name__)


class Accepted(Peer):
    taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        Accepted.taken += 1


def use_up() -> list[int]:
    """Open files until no more can be."""
    used = []
    try:
        while True:
            used.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return used


async def main() -> None:
    await warm_up()
    (bound,) = await bind(ServerConfig(port=0, backlog=5))
    clock = VirtualClock()
    arrivals = Arrivals(lambda _: Accepted(), clock)
    listener = Listener(bound, arrivals.take, clock)
    with socket.socket() as client:
        used = use_up()
        client.connect(listener.address)
        await settle()
        for _ in range(5):
            clock.advance(2)
            await settle()
        logger.info("%d taken", Accepted.taken)
        for number in used:
            os.close(number)
        clock.advance(2)
        async with asyncio.timeout(PATIENCE):
            while not Accepted.taken:
                await asyncio.sleep(0)
        await listener.close()
    await settle()
    logger.info("%d taken", Accepted.taken)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    with asyncio.Runner(loop_factory=LOOPS[sys.argv[1]]) as runner:
        runner.run(main())
