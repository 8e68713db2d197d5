"""Sockets that listen: where they are bound, and how connections are taken from them.

The accept loop is our own: asyncio's repeats its error without pause when file descriptors have run
out, and uvloop's drops the client without a word.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable

from ..errors import StartupError
from .clock import Clock
from .tasks import Tasks

__all__ = ["Listener", "bind"]

logger = logging.getLogger(__name__)

#: Errors of accept that pass when others give something back; the client waits in the backlog.
_EXHAUSTED = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
_PAUSE = 1.0
#: Connections that are accepted in one go, before those that are there have their turn.
_BURST = 32


async def bind(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Listening sockets for every address of `host`; port 0 picks one port for all of them.

    Raises StartupError that names the address and what is wrong with it.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartupError(f"cannot listen on {host}: {error.strerror or error}") from error
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            if port == 0 and sockets:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sockets.append(_listen(family, address, backlog))
    except OSError as error:
        for bound in sockets:
            bound.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StartupError(f"cannot listen on {address[0]!r}:{address[1]}: {reason}") from error
    return sockets


def _listen(family: int, address: tuple[object, ...], backlog: int) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            # On Windows the option would let another program take the port over.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(backlog)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


class Listener:
    """Takes connections from one listening socket, until it is closed."""

    def __init__(
        self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], clock: Clock
    ) -> None:
        """`protocol` makes what a connection's transport talks to."""
        self._socket = listening
        self._protocol = protocol
        self._clock = clock
        self._tasks = Tasks()
        self._accepting = self._tasks.start(self._accept(), "accepting connections")

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that it listens on."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    async def close(self) -> None:
        """Stop listening; connections that were taken are not touched."""
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        self._socket.close()
        await self._tasks.join()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        exhausted = False
        for accepted_so_far in itertools.count(1):
            if accepted_so_far % _BURST == 0:
                await asyncio.sleep(0)
            try:
                accepted, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                # A client that has left again (ECONNABORTED and the like) is nobody's concern.
                if error.errno in _EXHAUSTED:
                    if not exhausted:
                        logger.error("cannot accept connections for now: %s", error)
                    exhausted = True
                    await self._clock.sleep(_PAUSE)
                continue
            if exhausted:
                logger.warning("connections are accepted again")
                exhausted = False
            self._tasks.start(self._connect(accepted), "a connection that was accepted")

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, accepted)
        except OSError as error:
            accepted.close()
            logger.debug("a connection was gone before it began: %s", error)
