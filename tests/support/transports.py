"""What a connection can go over: memory, and TCP and TLS on each event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from . import memory
from .loops import LOOPS


class Kind(NamedTuple):
    """A kind of transport, and the event loop that it belongs to.

    `connect` joins two protocols, of which the first is the server's.
    """

    name: str
    connect: Callable[[asyncio.Protocol, asyncio.Protocol], Awaitable[None]]
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None

    def __str__(self) -> str:
        return self.name


async def connect_in_memory(ours: asyncio.Protocol, theirs: asyncio.Protocol) -> None:
    memory.connect(ours, theirs)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a TCP connection, with buffers that are soon full."""
    with socket.socket() as listening, socket.socket() as there:
        for each in (listening, there):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        there.connect(listening.getsockname())
        here, _ = listening.accept()
        return here, there.dup()


async def connect_by_tcp(ours: asyncio.Protocol, theirs: asyncio.Protocol) -> None:
    loop = asyncio.get_running_loop()
    here, there = socket_pair()
    await loop.connect_accepted_socket(lambda: ours, here)
    await loop.connect_accepted_socket(lambda: theirs, there)


async def connect_by_tls(ours: asyncio.Protocol, theirs: asyncio.Protocol) -> None:
    loop = asyncio.get_running_loop()
    here, there = socket_pair()
    await asyncio.gather(
        loop.connect_accepted_socket(lambda: ours, here, ssl=tls_context(ssl.PROTOCOL_TLS_SERVER)),
        loop.create_connection(
            lambda: theirs, sock=there, ssl=tls_context(ssl.PROTOCOL_TLS_CLIENT), server_hostname=""
        ),
    )


def tls_context(role: int) -> ssl.SSLContext:
    """TLS without certificates: nobody is to be trusted here, and no key has to lie around."""
    context = ssl.SSLContext(role)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH:@SECLEVEL=0")
    return context


IN_MEMORY = Kind("memory", connect_in_memory, None)
TCP_KINDS = [Kind(f"tcp on {name}", connect_by_tcp, loop) for name, loop in LOOPS.items()]
TLS_KINDS = [Kind(f"tls on {name}", connect_by_tls, loop) for name, loop in LOOPS.items()]
KINDS = [IN_MEMORY, *TCP_KINDS]
