"""Connections that were accepted and are not there yet: what stands before the first byte of HTTP.

That is the header of a proxy (PROXY protocol), the handshake of TLS, both or neither. Whoever
connects and says nothing must not be waited for: one deadline covers both, and a stop waits for
neither. The one means against all of it is to shut the socket down, which is to whoever waits for
it as if the client had left; so no task is cancelled in the middle of what asyncio does with a
socket, and what asyncio has made of it ends in the usual way.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..errors import StartupError
from ..logs import escape, name_peer
from ..model import Address, read_address
from ..wire.proxy_protocol import MalformedProxyHeader, ProxyHeaderReader
from .clock import Clock
from .tasks import Tasks
from .tls import TLS

__all__ = ["ArrivalLimits", "Arrivals", "Peername"]

logger = logging.getLogger(__name__)

Peername = object
"""An address as a socket gives it: a tuple that begins with host and port, text for a Unix one."""

#: Bytes that are looked at in one go for a header; most have less than a hundred.
_PIECE = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalLimits:
    """How long things may take (seconds)."""

    arrival_timeout: float = 10.0
    """For a PROXY header and a TLS handshake together."""
    shutdown_timeout: float = 30.0
    """For the end of TLS; whoever closes a connection has bounds of its own."""


class _Stranger(MalformedProxyHeader):
    """The PROXY protocol was to be spoken by somebody who is not believed."""


class _Arrival:
    """A socket on its way to being a connection; `reason` is why it was ended by us, if it was."""

    __slots__ = ("deadline", "peername", "reason", "socket")

    def __init__(self, accepted: socket.socket, peername: Peername, clock: Clock) -> None:
        self.socket = accepted
        self.peername = peername
        self.reason = ""
        self.deadline = clock.deadline(
            partial(self.end, "expected a PROXY header or a TLS handshake in time")
        )

    def __str__(self) -> str:
        return f"a connection from {name_peer(read_address(self.peername))}"

    def end(self, reason: str) -> None:
        """Let whoever waits for its bytes see the end of them."""
        self.reason = reason
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The client was faster.
            pass


class Arrivals:
    """Makes connections of accepted sockets. `len()` of it is how many are not there yet.

    A connection that has just begun is counted until the next turn of the event loop.
    """

    def __init__(
        self,
        protocol: Callable[[Peername], asyncio.Protocol],
        clock: Clock,
        *,
        limits: ArrivalLimits | None = None,
        tls: TLS | None = None,
        is_proxy: Callable[[Address | None], bool] | None = None,
    ) -> None:
        """`protocol` makes what a connection's transport talks to, for the client's address.

        With `is_proxy` every connection has to come from somebody of whom it is true (None is a
        Unix socket's peer), and to begin with a PROXY header. Raises StartupError where the event
        loop cannot wait for one.
        """
        self._protocol = protocol
        self._clock = clock
        self._limits = limits or ArrivalLimits()
        self._tls = tls
        self._is_proxy = is_proxy
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()
        self._arrivals: set[_Arrival] = set()
        if is_proxy is not None:
            _check_readers(self._loop)

    def __len__(self) -> int:
        return len(self._arrivals)

    def take(self, accepted: socket.socket, peername: Peername) -> None:
        """Make a connection of `accepted`, or close it."""
        arrival = _Arrival(accepted, peername, self._clock)
        self._arrivals.add(arrival)
        if self._waits:
            arrival.deadline.set(self._limits.arrival_timeout)
        done = partial(self._see_off, arrival)
        self._tasks.start(self._connect(arrival), "a connection that was accepted", done)

    async def close(self) -> None:
        """End those for which the client is waited for, and see the others through; may repeat."""
        if self._waits:
            for arrival in self._arrivals:
                arrival.end("the server is stopping")
        await self._tasks.join()

    @property
    def _waits(self) -> bool:
        """Whether there is anything to wait for, between accept and the connection."""
        return self._tls is not None or self._is_proxy is not None

    async def _connect(self, arrival: _Arrival) -> None:
        try:
            peername = arrival.peername
            if self._is_proxy is not None:
                peername = await self._read_header(arrival, self._is_proxy)
            await self._make_connection(arrival.socket, partial(self._protocol, peername))
        except (OSError, MalformedProxyHeader) as error:
            # Of an error without words it is the kind that tells: ConnectionResetError.
            reason = arrival.reason or str(error) or type(error).__name__
            # A proxy that is not listed is most likely one that was forgotten.
            level = logging.INFO if isinstance(error, _Stranger) else logging.DEBUG
            logger.log(level, "%s: ended before it had begun, %s", arrival, escape(reason))
        else:
            self._arrivals.discard(arrival)
            arrival.deadline.cancel()

    async def _make_connection(
        self, accepted: socket.socket, protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        if self._tls is None:
            await self._loop.connect_accepted_socket(protocol, accepted)
        else:
            await self._loop.connect_accepted_socket(
                protocol,
                accepted,
                ssl=self._tls.context,
                ssl_handshake_timeout=_beyond(self._limits.arrival_timeout),
                ssl_shutdown_timeout=self._limits.shutdown_timeout,
            )

    def _see_off(self, arrival: _Arrival) -> None:
        """Close what did not become a connection: the task may not even have begun."""
        if arrival in self._arrivals:
            self._arrivals.discard(arrival)
            arrival.deadline.cancel()
            arrival.socket.close()

    # The PROXY protocol.

    async def _read_header(
        self, arrival: _Arrival, is_proxy: Callable[[Address | None], bool]
    ) -> Peername:
        """Read the header, and not a byte more; gives the address that the client has.

        Raises OSError and MalformedProxyHeader.
        """
        if not is_proxy(read_address(arrival.peername)):
            raise _Stranger("expected a proxy of those in NBDRIVER_TRUSTED_PROXIES")
        reader = ProxyHeaderReader()
        arrival.socket.setblocking(False)
        while not reader.complete:
            # What is only looked at is still there for TLS or HTTP; what the reader takes is the
            # header's, and gone from the socket, so that it is not woken for the same bytes again.
            there = await self._look(arrival.socket)
            if not there:
                raise MalformedProxyHeader("expected a PROXY header, the connection ended before")
            arrival.socket.recv(reader.take(there))
        announcement = reader.announcement
        if announcement is None:
            return arrival.peername
        # As a Unix socket names a peer that has no address.
        return "" if announcement.client is None else announcement.client

    async def _look(self, accepted: socket.socket) -> bytes:
        """What can be read, as soon as there is something; it stays where it is."""
        while True:
            try:
                return accepted.recv(_PIECE, socket.MSG_PEEK)
            except BlockingIOError:
                await self._readable(accepted)

    async def _readable(self, accepted: socket.socket) -> None:
        came = asyncio.Event()
        self._loop.add_reader(accepted, came.set)
        try:
            await came.wait()
        finally:
            self._loop.remove_reader(accepted)


def _beyond(seconds: float) -> float:
    """Later than the clock's deadline, which is the one that counts."""
    return 2 * seconds + 60


def _check_readers(loop: asyncio.AbstractEventLoop) -> None:
    here, there = socket.socketpair()
    with here, there:
        try:
            loop.add_reader(here, lambda: None)
        except NotImplementedError:
            raise StartupError(
                "the setting proxy_protocol needs an event loop that tells when a socket can be"
                " read, which Windows' ProactorEventLoop does not; SelectorEventLoop does"
            ) from None
        loop.remove_reader(here)
