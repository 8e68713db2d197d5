"""The PROXY protocol: the header by which a proxy tells who has connected to it, versions 1 and 2.

It stands before everything else on a connection, TLS included, and whoever reads a byte too many
breaks what follows. So the reader takes bytes as they come, and says how many of them are the
header's. The rules are those of https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, which
is what 'section' means here.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ..model import Address

__all__ = ["Announcement", "MalformedProxyHeader", "ProxyHeaderReader"]

#: Section 2.1: the longest line of version 1, its CRLF included.
_LONGEST_LINE = 107
#: The most that may stand behind the fixed part of version 2: addresses, and extensions (TLVs) that
#: are not read. A certificate of a client may be among them; HAProxy itself takes as much.
_LONGEST_BLOCK = 16_384

_START_1 = b"PROXY "
_START_2 = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = struct.Struct(f"!{len(_START_2)}sBBH")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_LINE = re.compile(rb"[\x20-\x7e]*(?P<end>\r\n|\r?\Z)")

#: By their names in version 1.
_FAMILIES: dict[str, type[IPv4Address | IPv6Address]] = {"TCP4": IPv4Address, "TCP6": IPv6Address}

_LOCAL, _PROXY = 0, 1
#: By the address family of version 2: how its block of addresses is built (section 2.2).
_INET = struct.Struct("!4s4sHH")
_INET6 = struct.Struct("!16s16sHH")
_UNIX = struct.Struct("!108s108s")
_BLOCKS = (struct.Struct(""), _INET, _INET6, _UNIX)
_STREAM = 1
_TRANSPORTS = 3


class MalformedProxyHeader(ValueError):
    """What came is no PROXY header; the text says what was expected, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Who has connected to the proxy (`client`), and where (`server`).

    Both are None where that went over a Unix socket.
    """

    client: Address | None
    server: Address | None


class ProxyHeaderReader:
    """Reads one header from bytes that come in any pieces."""

    def __init__(self) -> None:
        self._header = bytearray()
        self.complete = False
        """Whether the header has come to its end."""
        self.announcement: Announcement | None = None
        """What it says; None if it says nothing, and the connection's own address is the client's.

        That is so for what a proxy sends for itself, a health check (LOCAL), and where it does not
        know or we do not (UNKNOWN, AF_UNSPEC, UDP).
        """

    def take(self, data: bytes) -> int:
        """How many of these bytes, which come next, are the header's; give only the rest again.

        Raises MalformedProxyHeader as soon as they cannot be part of one.
        """
        known = len(self._header)
        header = bytes(self._header) + data
        length = _length(header)
        self._header += data if length is None else data[: length - known]
        if length is not None:
            self.announcement = _read(bytes(self._header))
            self.complete = True
        return len(self._header) - known


def _length(data: bytes) -> int | None:
    """How long the header is that `data` begins with, None if that is not there yet."""
    if _agree(data, _START_1):
        return _length_of_line(data)
    if _agree(data, _START_2):
        return _length_of_block(data)
    raise MalformedProxyHeader("expected a PROXY header, version 1 or 2, before anything else")


def _agree(data: bytes, start: bytes) -> bool:
    return data[: len(start)] == start[: len(data)]


def _length_of_line(data: bytes) -> int | None:
    line = _LINE.match(data[:_LONGEST_LINE])
    if line is None:
        raise MalformedProxyHeader("expected a PROXY header of ASCII text that ends with CR LF")
    if line["end"] == b"\r\n":
        return line.end()
    if len(data) >= _LONGEST_LINE:
        raise MalformedProxyHeader(f"expected a PROXY header of at most {_LONGEST_LINE} bytes")
    return None


def _length_of_block(data: bytes) -> int | None:
    if len(data) < _FIXED.size:
        return None
    _, version_and_command, family_and_transport, length = _FIXED.unpack_from(data)
    version, command = divmod(version_and_command, 16)
    family, transport = divmod(family_and_transport, 16)
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise MalformedProxyHeader("expected a PROXY header of version 2, LOCAL or PROXY")
    # Section 2.2: other values must be refused. For LOCAL neither is looked at.
    if command == _PROXY and (family >= len(_BLOCKS) or transport >= _TRANSPORTS):
        raise MalformedProxyHeader("expected a PROXY header with a known family and transport")
    if command == _PROXY and length < _BLOCKS[family].size:
        raise MalformedProxyHeader(
            f"expected {_BLOCKS[family].size} bytes of addresses in the PROXY header, got {length}"
        )
    if length > _LONGEST_BLOCK:
        raise MalformedProxyHeader(
            f"expected a PROXY header with at most {_LONGEST_BLOCK} bytes of content, got {length}"
        )
    end = _FIXED.size + length
    return end if len(data) >= end else None


def _read(header: bytes) -> Announcement | None:
    return _read_line(header) if header.startswith(_START_1) else _read_block(header)


def _read_line(header: bytes) -> Announcement | None:
    protocol, *words = header[len(_START_1) : -2].decode("ascii").split(" ")
    # Section 2.1: of UNKNOWN, what follows is not looked at.
    if protocol == "UNKNOWN":
        return None
    family = _FAMILIES.get(protocol)
    if family is None or len(words) != 4:
        raise MalformedProxyHeader("expected UNKNOWN, or TCP4 or TCP6 with two addresses and ports")
    client, server, client_port, server_port = words
    return Announcement(
        (_host(client, family), _port(client_port)), (_host(server, family), _port(server_port))
    )


def _host(text: str, family: type[IPv4Address | IPv6Address]) -> str:
    try:
        # A zone (`fe80::1%eth0`) means something on one machine alone.
        if "%" not in text:
            return str(family(text))
    except ValueError:
        pass
    raise MalformedProxyHeader(f"expected an {family.__name__[:4]} address in the PROXY header")


def _port(text: str) -> int:
    # Section 2.1: heading zeroes are not permitted.
    if not _PORT.fullmatch(text) or int(text) > 65_535:
        raise MalformedProxyHeader("expected a port from 0 to 65535 in the PROXY header")
    return int(text)


def _read_block(header: bytes) -> Announcement | None:
    _, version_and_command, family_and_transport, _ = _FIXED.unpack_from(header)
    family, transport = divmod(family_and_transport, 16)
    block = _BLOCKS[family] if family < len(_BLOCKS) else _BLOCKS[0]
    if version_and_command % 16 == _LOCAL or not block.size or transport != _STREAM:
        return None
    if block is _UNIX:
        return Announcement(None, None)
    client, server, client_port, server_port = block.unpack_from(header, _FIXED.size)
    kind = IPv4Address if block is _INET else IPv6Address
    return Announcement((str(kind(client)), client_port), (str(kind(server)), server_port))
