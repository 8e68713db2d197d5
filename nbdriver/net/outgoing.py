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
from collections.abc import Iterable
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
#: What we speak over TLS (RFC 7301, 6).
_HTTP = "http/1.1"
#: Seconds between two tries at a Unix socket whose backlog is full; nothing tells when it is not.
_PAUSE = 0.05

#: What OpenSSL's reasons mean that say it least.
_OF_TLS = {
    "WRONG_VERSION_NUMBER": "what came is no TLS (is it http, not https?)",
    "UNEXPECTED_EOF_WHILE_READING": "the connection ended in the handshake",
}

#: OpenSSL's codes for a certificate, or one above it, that is signed by nobody we know.
_UNTRUSTED = {18, 19, 20, 21}

_Address = tuple[socket.AddressFamily, Any]
"""What a socket is made for, and what it is connected to."""


@lru_cache(1)
def _trust_store() -> ssl.SSLContext:
    """TLS with the system's trust store, as it is when it is first needed."""
    context = ssl.create_default_context()
    context.set_alpn_protocols([_HTTP])
    return context


async def default_tls() -> ssl.SSLContext:
    """TLS with the system's trust store, which is read once: that takes 50 ms, so in a thread."""
    if not _trust_store.cache_info().currsize:
        await asyncio.to_thread(_trust_store)
    return _trust_store()


async def open_tcp(channel: Channel, host: str, port: int) -> None:
    """Connect `channel` to a host's port, by the first of its addresses that answers.

    Raises ConnectError that tells of each address.
    """
    addresses = _interleaved(await _resolve(host, port))
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    await _attach(channel, await _first(addresses, shown), shown)


async def open_unix(channel: Channel, path: str) -> None:
    """Connect `channel` to a Unix socket: a path, or `@` and a name (unix(7)).

    Raises ConnectError.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise ConnectError(f"expected a system with Unix sockets for {path}, this one has none")
    address = path.replace("@", "\0", 1) if path.startswith("@") else path
    try:
        connected = await _connect_unix(address)
    except OSError as error:
        raise ConnectError(
            f"expected a connection to unix:{path}, got none: {_words(error)}"
        ) from error
    await _attach(channel, connected, f"unix:{path}")


async def secure(channel: Channel, context: ssl.SSLContext, host: str) -> None:
    """Go on over TLS on `channel`, whose peer has to prove that it is `host`.

    To be called while nothing is underway on it: before the first byte, or once a proxy has said
    that the way is free. Over TLS already, it is TLS inside of it. Raises ConnectError, and then
    the channel is of no use any more.
    """
    # A dot at the end is the name system's; certificates have none (RFC 6066, 3). A zone is ours.
    name = host.rstrip(".").partition("%")[0]
    try:
        # asyncio would tell the event loop of a name that no certificate can have.
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        await channel.stream.start_tls(context, name, _HANDSHAKE)
    except ssl.SSLCertVerificationError as error:
        raise ConnectError(
            f"expected a certificate that proves to be {name}, got one that does not:"
            f" {error.verify_message.rstrip('.')}{_hint(context, error.verify_code)}"
        ) from error
    except ssl.SSLError as error:
        said = _OF_TLS.get(error.reason) or (error.reason or str(error)).replace("_", " ").lower()
        raise ConnectError(f"expected TLS from {name}, got none: {said}") from error
    except OSError as error:
        raise ConnectError(
            f"expected TLS from {name}, but the connection was lost in the handshake"
        ) from error
    except ValueError as error:
        # One label of more than 63 characters, for example.
        raise ConnectError(f"expected a host that TLS can ask for, got {name!r}: {error}") from None
    chosen = channel.info("ssl_object").selected_alpn_protocol()
    if chosen not in (None, _HTTP):
        channel.abort()
        raise ConnectError(
            f"expected {_HTTP} from {name}, got {chosen}: the TLS context offers more than that"
        )


def _hint(context: ssl.SSLContext, code: int) -> str:
    """What to do about a certificate that nobody vouches for whom we trust."""
    if code not in _UNTRUSTED:
        return ""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath or context.get_ca_certs():
        return " (a CA of your own is trusted by SSL_CERT_FILE=ca.pem, or by a context in `tls`)"
    return (
        " (this system has no trusted certificates: install ca-certificates, or set SSL_CERT_FILE)"
    )


async def _resolve(host: str, port: int) -> list[_Address]:
    """The addresses of a host. Raises ConnectError."""
    wanted: dict[str, Any] = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}
    try:
        if _is_literal(host):
            # Needs no thread in which names are looked up; and uvloop would lose a zone.
            found = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **wanted)
        else:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, **wanted)
    except (OSError, UnicodeError) as error:
        raise ConnectError(f"expected a name with an address, got {host}: {_words(error)}") from (
            error
        )
    return [(family, address) for family, _, _, _, address in found]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _interleaved(addresses: Iterable[_Address]) -> list[_Address]:
    """One of each family in turn, the system's first choice first (RFC 8305, 4)."""
    families: dict[socket.AddressFamily, list[_Address]] = {}
    for address in dict.fromkeys(addresses):
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
                errors.append(f"{address[1][0]}: {_words(error)}")
    finally:
        # Not waited for, since that could be cancelled as well, and what was won be lost.
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close)
    raise ConnectError(f"expected a connection to {shown}, got none ({'; '.join(errors)})")


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


async def _connect_unix(address: str) -> socket.socket:
    """A connected socket. Raises OSError.

    To connect it never takes time, but it can fail for now, which `sock_connect` takes for the
    beginning of a connection.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        while True:
            try:
                connected.connect(address)
            except BlockingIOError:
                await asyncio.sleep(_PAUSE)
            else:
                return connected
    except BaseException:
        connected.close()
        raise


async def _attach(channel: Channel, connected: socket.socket, shown: str) -> None:
    """Give a connected socket to a channel, whose transport closes it, here too if cancelled.

    Raises ConnectError.
    """
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: channel.stream, sock=connected)
    except OSError as error:
        # Before there was a transport: macOS takes no TCP_NODELAY for a socket that was reset.
        connected.close()
        raise ConnectError(
            f"expected a connection to {shown}, but it was lost at once: {_words(error)}"
        ) from error


def _words(error: BaseException) -> str:
    """What the system says of an error; asyncio puts the address in front of it."""
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return str(error.args[-1]) if error.args else type(error).__name__
    # asyncio's own words have the address, and Python's the number.
    return str(error) if error.errno is None else os.strerror(error.errno)
