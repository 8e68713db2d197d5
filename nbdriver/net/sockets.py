"""How connections are taken from sockets that listen.

Accepting is our own: asyncio's repeats its error without pause when file descriptors have run out,
and uvloop's drops the client without a word.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from .binding import SocketAddress, address_of
from .clock import Clock
from .tasks import Tasks

__all__ = ["Listener"]

logger = logging.getLogger(__name__)

#: Errors of one connection that was gone before it was taken (accept(2)); the next may be fine.
_GONE = frozenset(
    [
        errno.ECONNABORTED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EPERM,
        errno.EPROTO,
    ]
)
#: Seconds without accepting after that has failed, mostly for want of file descriptors.
_PAUSE = 1.0
#: Connections that are accepted in one go, before those that are there have their turn.
_BURST = 32


class Listener:
    """Takes connections from one listening socket, until it is closed.

    If that fails, as when no file descriptor is left, it goes on after a pause; the clients wait in
    the socket's backlog meanwhile.
    """

    def __init__(
        self, listening: socket.socket, take: Callable[[socket.socket, object], None], clock: Clock
    ) -> None:
        """`take` is given each accepted socket, with its peer's address, to make a connection."""
        self._socket = listening
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()
        self._accepting: asyncio.Task[None] | None = None
        self._failing = False
        self._pause = clock.deadline(self._start)
        self.address: SocketAddress = address_of(listening)
        """The host and port that it listens on, or the path of a Unix socket and None."""
        self._start()

    def _start(self) -> None:
        # To accept where there is something to accept cannot be cancelled half-way: asyncio's
        # `sock_accept` loses a connection that comes in the turn in which it is cancelled.
        try:
            self._loop.add_reader(self._socket, self._accept)
        except NotImplementedError:
            # Windows' proactor tells of connections, not of sockets that have some.
            self._accepting = self._tasks.start(self._accept_each(), "accepting connections")

    async def close(self) -> None:
        """Stop listening; connections that were taken are not touched. Safe to repeat."""
        self._pause.cancel()
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        elif self._socket.fileno() != -1:
            self._loop.remove_reader(self._socket)
        self._socket.close()
        await self._tasks.join()

    def _accept(self) -> None:
        """Take what waits in the backlog."""
        for _ in range(_BURST):
            try:
                accepted, peername = self._socket.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if self._fails(error):
                    self._loop.remove_reader(self._socket)
                    break
            else:
                self._accepted(accepted, peername)

    async def _accept_each(self) -> None:
        while True:
            try:
                accepted, peername = await self._loop.sock_accept(self._socket)
            except OSError as error:
                if self._fails(error):
                    break
            else:
                self._accepted(accepted, peername)

    def _fails(self, error: OSError) -> bool:
        """Whether an error is not just a client's that has left; then go on after a pause."""
        if error.errno in _GONE:
            return False
        if not self._failing:
            self._failing = True
            logger.error("connections cannot be accepted for now: %s", error)
        self._pause.set(_PAUSE)
        return True

    def _accepted(self, accepted: socket.socket, peername: object) -> None:
        if self._failing:
            self._failing = False
            logger.warning("connections are accepted again")
        self._take(accepted, peername)
