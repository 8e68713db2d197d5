"""Connections outwards: to a name or a path, and encrypted if that is wanted.

The loop's own ways are used for each step, but the steps are ours: uvloop does not race addresses,
and a proxy wants to be spoken to before TLS begins. Whatever goes wrong is one `ConnectError` that
says who was asked for and what came; whoever is cancelled leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Any

from ..errors import ConnectError
from .channel import Channel

__all__ = ["default_tls", "open_tcp", "open_unix", "secure"]

#: Seconds that an address has before the next one is tried beside it (RFC 8305, 5 and 8).
_ATTEMPT_DELAY = 0.25
#: Seconds that asyncio itself gives a handshake: more than anybody waits, since limits are ours.
_HANDSHAKE = 86_400.0

_Address = tuple[socket.AddressFamily, Any]
"""What a socket is made for, and what it is connected to."""


@lru_cache(1)
def default_tls() -> ssl.SSLContext:
    """TLS with the system's trust store, read once, when it is first needed: that takes a while."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def open_tcp(channel: Channel, host: str, port: int) -> None:
    """Connect `channel` to a host's port, by the first of its addresses that answers.

    Raises ConnectError that tells of each address.
    """
    addresses = _interleaved(await _resolve(host, port))
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    await _attach(channel, await _first(addresses, shown), shown)


async def open_unix(channel: Channel, path: str) -> None:
    """Connect `channel` to a Unix socket. Raises ConnectError."""
    if not hasattr(socket, "AF_UNIX"):
        raise ConnectError(f"expected a system with Unix sockets for {path}, this one has none")
    await _attach(channel, await _first([(socket.AF_UNIX, path)], path), path)


async def secure(channel: Channel, context: ssl.SSLContext, host: str) -> None:
    """Go on over TLS on `channel`, whose peer has to prove that it is `host`.

    To be called while nothing is underway on it: before the first byte, or once a proxy has said
    that the way is free. Over TLS already, it is TLS inside of it. Raises ConnectError, and then
    the channel is of no use any more.
    """
    name = host.rstrip(".")
    try:
        await channel.stream.start_tls(context, name, _HANDSHAKE)
    except ssl.SSLCertVerificationError as error:
        raise ConnectError(
            f"expected a certificate that proves to be {name}, got one that does not:"
            f" {error.verify_message}"
        ) from error
    except ssl.SSLError as error:
        said = (error.reason or str(error)).replace("_", " ").lower()
        raise ConnectError(f"expected TLS from {name}, got none: {said}") from error
    except OSError as error:
        raise ConnectError(
            f"expected TLS from {name}, but the connection was lost in the handshake"
        ) from error
    except ValueError as error:
        # A name that no certificate can have, as one label of more than 63 characters.
        raise ConnectError(f"expected a host that TLS can ask for, got {name!r}: {error}") from None


async def _resolve(host: str, port: int) -> list[_Address]:
    """The addresses of a host. Raises ConnectError."""
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        # Without the thread in which names are looked up; a zone has to be.
        if isinstance(literal, ipaddress.IPv4Address):
            return [(socket.AF_INET, (host, port))]
        if literal.scope_id is None:
            return [(socket.AF_INET6, (host, port))]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except (OSError, UnicodeError) as error:
        raise ConnectError(f"expected a name with an address, got {host}: {_words(error)}") from (
            error
        )
    return [(family, address) for family, _, _, _, address in found]


def _interleaved(addresses: Iterable[_Address]) -> list[_Address]:
    """One of each family in turn, the system's first choice first (RFC 8305, 4)."""
    families: dict[socket.AddressFamily, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    rounds = zip_longest(*families.values())
    return [address for address in chain.from_iterable(rounds) if address is not None]


async def _first(addresses: Iterable[_Address], shown: str) -> socket.socket:
    """The first connection to be had: each address gets a moment before the next one is tried too.

    RFC 8305, 5. Raises ConnectError if there is none.
    """
    loop = asyncio.get_running_loop()
    left = list(reversed(list(addresses)))
    errors: list[str] = []
    attempts: dict[asyncio.Task[socket.socket], _Address] = {}
    try:
        while left or attempts:
            if left:
                address = left.pop()
                attempts[loop.create_task(_connect(*address))] = address
            done, _ = await asyncio.wait(
                attempts,
                timeout=_ATTEMPT_DELAY if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                address = attempts.pop(attempt)
                if (error := attempt.exception()) is None:
                    return attempt.result()
                errors.append(f"{_place(address)}: {_words(error)}")
    finally:
        await _call_off(attempts)
    raise ConnectError(f"expected a connection to {shown}, got none ({'; '.join(errors)})")


async def _call_off(attempts: Collection[asyncio.Task[socket.socket]]) -> None:
    """End the attempts that are not needed, and close what has come of them."""
    for attempt in attempts:
        attempt.cancel()
        attempt.add_done_callback(_close)
    if attempts:
        await asyncio.wait(attempts)


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connect(family: socket.AddressFamily, address: Any) -> socket.socket:
    """A connected socket. Raises OSError."""
    connected = socket.socket(family, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, address)
    except BaseException:
        connected.close()
        raise
    return connected


async def _attach(channel: Channel, connected: socket.socket, shown: str) -> None:
    """Give a connected socket to a channel, which closes it from then on."""
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: channel.stream, sock=connected)
    except OSError as error:
        connected.close()
        raise ConnectError(f"expected a connection to {shown}: {_words(error)}") from error
    except asyncio.CancelledError:
        connected.close()
        raise


def _place(address: _Address) -> str:
    place = address[1]
    return place if isinstance(place, str) else str(place[0])


def _words(error: BaseException) -> str:
    """What the system says of an error; asyncio puts the address in front of it."""
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return str(error.args[-1]) if error.args else type(error).__name__
    # asyncio's own words have the address, and Python's the number.
    return str(error) if error.errno is None else os.strerror(error.errno)
