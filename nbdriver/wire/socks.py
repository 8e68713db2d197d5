"""SOCKS5, the client's side: how a proxy is asked for a connection to somewhere else; pure.

Names go to the proxy as they are (RFC 1928), so that nobody on this side is asked for them. Of the
ways to say who one is there are the two that are in use: not at all, and by name and password
(RFC 1929), which are sent only to a proxy that asks for them.
"""

from __future__ import annotations

from collections.abc import Generator
from ipaddress import ip_address
from typing import Final

from ..errors import ConnectError

__all__ = ["handshake"]

Steps = Generator[tuple[bytes, int], bytes, None]
"""Gives what to send (it may be nothing) and how many bytes to read then, and is sent those."""

_VERSION: Final = 5
#: RFC 1928, 3: methods of authentication.
_OPEN, _BY_PASSWORD, _NONE_OF_THESE = 0x00, 0x02, 0xFF
#: RFC 1929, 2: the version of that exchange.
_PASSWORD_VERSION: Final = 1
#: RFC 1928, 4: the command, and the kinds of address.
_CONNECT: Final = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4

#: RFC 1928, 6: what a proxy says that has not connected.
_REFUSALS: Final = {
    1: "a general failure",
    2: "its rules do not allow it",
    3: "the network is unreachable",
    4: "the host is unreachable",
    5: "the connection was refused",
    6: "the time to live has expired",
    7: "it does not know the command CONNECT",
    8: "it does not know this kind of address",
}


def handshake(host: str, port: int, credentials: tuple[str, str] | None = None) -> Steps:
    """Ask for a connection to `host`, a name or an IP address, and `port`.

    When it returns, what comes next is from there. No byte too many is ever read. `credentials`
    are name and password, each of at most 255 bytes in UTF-8. Raises ConnectError for an answer
    that says no, and for one that is none.
    """
    methods = [_OPEN] if credentials is None else [_OPEN, _BY_PASSWORD]
    version, method = yield bytes([_VERSION, len(methods), *methods]), 2
    _check_version(version, _VERSION)
    if method not in methods:
        raise ConnectError(_no_method(method, methods))
    if credentials is not None and method == _BY_PASSWORD:
        version, status = yield _who_we_are(*credentials), 2
        _check_version(version, _PASSWORD_VERSION)
        if status:
            raise ConnectError("it does not accept the name and password in its URL")
    # A proxy that refuses may end with the reason for it.
    version, reply = yield bytes([_VERSION, _CONNECT, 0]) + _address(host, port), 2
    _check_version(version, _VERSION)
    if reply:
        raise ConnectError(f"it has not connected: {_REFUSALS.get(reply, f'reason {reply}')}")
    # By which address of its own the proxy has connected is not our business.
    reserved, kind = yield b"", 2
    if reserved or kind not in (_IPV4, _NAME, _IPV6):
        raise ConnectError(f"expected an address of SOCKS5, got one that begins {reserved}, {kind}")
    length = {_IPV4: 4, _IPV6: 16}.get(kind) or (yield b"", 1)[0]
    yield b"", length + 2


def _check_version(got: int, expected: int) -> None:
    if got != expected:
        hint = ": is it an HTTP proxy?" if got == ord("H") else ""
        raise ConnectError(f"expected an answer of SOCKS5 ({expected}), got {got}{hint}")


def _no_method(method: int, offered: list[int]) -> str:
    if method != _NONE_OF_THESE:
        return f"expected one of the ways to authenticate that we know, {offered}, got {method}"
    if _BY_PASSWORD in offered:
        return "it wants more than a name and a password, which is all that we can give"
    return "it wants a name and a password: write its URL as socks5://name:password@host:port"


def _who_we_are(name: str, password: str) -> bytes:
    """RFC 1929, 2."""
    fields = [part.encode() for part in (name, password)]
    return bytes([_PASSWORD_VERSION]) + b"".join(bytes([len(part)]) + part for part in fields)


def _address(host: str, port: int) -> bytes:
    """RFC 1928, 4 and 5."""
    try:
        address = ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        written = bytes([_NAME, len(name)]) + name
    else:
        written = bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed
    return written + port.to_bytes(2, "big")
