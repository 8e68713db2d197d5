"""Sockets that listen: where they are bound, and how connections are taken from them.

Accepting is our own: asyncio's repeats its error without pause when file descriptors have run out,
and uvloop's drops the client without a word.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

from ..errors import StartupError
from .clock import Clock
from .tasks import Tasks

__all__ = ["Endpoint", "Listener", "bind", "listen"]

logger = logging.getLogger(__name__)

Endpoint = tuple[int, tuple[Any, ...]]
"""An address family and an address of that family, its host and port first."""

#: Errors of an address that this machine does not have; localhost names ::1 even without IPv6.
_ABSENT = frozenset([errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
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
_HINTS = {
    errno.EACCES: "; ports below 1024 need privileges",
    errno.EADDRINUSE: "; choose another port (PORT, or --port on the command line),"
    " 0 takes a free one",
    errno.EADDRNOTAVAIL: "; this machine has no such address",
}
#: Seconds without accepting after that has failed, mostly for want of file descriptors.
_PAUSE = 1.0
#: Connections that are accepted in one go, before those that are there have their turn.
_BURST = 32
#: Lets a port be taken again at once; on Windows SO_REUSEADDR would let another program take it.
_REUSE: int = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
#: How many ports are tried that are free at one address and should be at all.
_TRIES = 20


async def bind(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Listening sockets for every address of `host`; port 0 picks one port for all of them.

    Raises StartupError that names the address and what is wrong with it.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of what cannot be a name (an empty or long label) the idna codec makes a UnicodeError.
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartupError(f"cannot listen on {host!r}: {reason}") from error
    return listen([(family, address) for family, _, _, _, address in found], backlog)


def listen(endpoints: Iterable[Endpoint], backlog: int) -> list[socket.socket]:
    """Listening sockets for `endpoints`, all with the port of the first; 0 picks one for all.

    Those that this machine does not have are left out, as long as there are others. Raises
    StartupError as `bind` does.
    """
    endpoints = list(dict.fromkeys(endpoints))
    # A port that is picked because it is free at the first endpoint may be taken at the next.
    tries_left = _TRIES if endpoints[0][1][1] == 0 else 1
    while True:
        tries_left -= 1
        try:
            return _listen_at_all(endpoints, backlog)
        except _Failure as failure:
            if failure.errno != errno.EADDRINUSE or not tries_left:
                raise


class _Failure(StartupError):
    """An endpoint that cannot be listened at."""

    def __init__(self, address: tuple[Any, ...], error: OSError) -> None:
        host, port = address[:2]
        self.errno = error.errno or 0
        reason = error.strerror or error
        hint = _HINTS.get(self.errno, "")
        super().__init__(f"cannot listen on {host}, port {port}: {reason}{hint}")


def _listen_at_all(endpoints: Iterable[Endpoint], backlog: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    absent: list[_Failure] = []
    with ExitStack() as bound:
        for family, address in endpoints:
            if sockets:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sockets.append(bound.enter_context(_listen(family, address, backlog)))
            except OSError as error:
                absent.append(_Failure(address, error))
                if error.errno not in _ABSENT:
                    raise absent[-1] from error
        if not sockets:
            raise absent[0]
        bound.pop_all()
    return sockets


def _listen(family: int, address: tuple[Any, ...], backlog: int) -> socket.socket:
    # By its protocol's number asyncio knows that Nagle's algorithm is to be turned off.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, _REUSE, 1)
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
    """Takes connections from one listening socket, until it is closed.

    If that fails, as when no file descriptor is left, it goes on after a pause; the clients wait in
    the socket's backlog meanwhile.
    """

    def __init__(
        self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], clock: Clock
    ) -> None:
        """`protocol` makes what a connection's transport talks to."""
        self._socket = listening
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()
        self._accepting: asyncio.Task[None] | None = None
        self._unconnected: set[socket.socket] = set()
        """Sockets that were accepted and have no transport yet that would close them."""
        self._failing = False
        self._pause = clock.deadline(self._start)
        host, port = listening.getsockname()[:2]
        self.address: tuple[str, int] = (host, port)
        """The host and port that it listens on."""
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
                accepted, _ = self._socket.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if self._fails(error):
                    self._loop.remove_reader(self._socket)
                    break
            else:
                self._take(accepted)

    async def _accept_each(self) -> None:
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(self._socket)
            except OSError as error:
                if self._fails(error):
                    break
            else:
                self._take(accepted)

    def _fails(self, error: OSError) -> bool:
        """Whether an error is not just a client's that has left; then go on after a pause."""
        if error.errno in _GONE:
            return False
        if not self._failing:
            self._failing = True
            logger.error("connections cannot be accepted for now: %s", error)
        self._pause.set(_PAUSE)
        return True

    def _take(self, accepted: socket.socket) -> None:
        if self._failing:
            self._failing = False
            logger.warning("connections are accepted again")
        self._unconnected.add(accepted)
        cause = "a connection that was accepted"
        self._tasks.start(self._connect(accepted), cause, partial(self._see_off, accepted))

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, accepted)
        except OSError as error:
            logger.debug("a connection was gone before it had begun: %s", error)
        else:
            self._unconnected.discard(accepted)

    def _see_off(self, accepted: socket.socket) -> None:
        """Close what did not become a connection: the task may not even have begun."""
        if accepted in self._unconnected:
            self._unconnected.discard(accepted)
            accepted.close()
