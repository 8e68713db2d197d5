"""Where a server listens: what a person may write for it, and what it means.

Text alone is read here; `net/binding` makes sockets of what it means.
"""

from __future__ import annotations

import json
import re
from ipaddress import IPv6Address
from typing import NamedTuple

from .units import HOST, PORT, Kind, parts_of

__all__ = ["HOSTS", "LISTEN", "MODE", "TCP", "Address", "Inherited", "Unix", "hosts_of", "read"]


class TCP(NamedTuple):
    """IP addresses or names of hosts, and the one port for all of them; 0 takes a free one."""

    hosts: tuple[str, ...]
    port: int


class Unix(NamedTuple):
    """The path of a Unix socket, or `@` and a name in Linux's abstract namespace (unix(7))."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class Inherited(NamedTuple):
    """The number of a file descriptor that was passed to the process: a listening socket."""

    fd: int

    def __str__(self) -> str:
        return f"fd:{self.fd}"


Address = TCP | Unix | Inherited

# An IPv6 address stands in brackets before its port (RFC 3986, 3.2.2).
_TCP = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})")


def read(text: str) -> Address:
    """What one address means. Raises ValueError where it means nothing."""
    scheme, _, rest = text.partition(":")
    if scheme == "unix":
        # A path that is not printable would make more than one line of an error message.
        if rest in ("", "@") or not rest.isprintable():
            raise ValueError
        return Unix(rest)
    if scheme == "fd":
        if not re.fullmatch(r"[0-9]{1,9}", rest):
            raise ValueError
        return Inherited(int(rest))
    match = _TCP.fullmatch(text)
    if match is None:
        raise ValueError
    host = str(IPv6Address(match["ipv6"])) if match["ipv6"] else HOST.parse(match["host"])
    return TCP((str(host),), int(str(PORT.parse(match["port"]))))


def hosts_of(text: str) -> tuple[str, ...]:
    """The hosts in a value of `HOSTS`."""
    return tuple(text.split(","))


def _hosts(value: object) -> str:
    hosts = [str(HOST.parse(part)) for part in parts_of(value)]
    if not hosts:
        raise ValueError
    return ",".join(dict.fromkeys(hosts))


def _listen(value: object) -> tuple[str, ...]:
    if value == "":
        return ()
    texts: list[str] = []
    for part in parts_of(value):
        if not isinstance(part, str):
            raise ValueError
        read(part)
        texts.append(part)
    return tuple(dict.fromkeys(texts))


def _mode(value: object) -> str:
    # No number: 660 in a .env file would come as the one that Python writes 0o1224.
    match = re.fullmatch(r"0o?([0-7]{3})", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    return f"0{match[1]}"


HOSTS = Kind(
    "text",
    "an IP address or a host name, such as 127.0.0.1, or several with commas between them",
    _hosts,
    several=True,
)
LISTEN = Kind(
    "addresses",
    "addresses such as 127.0.0.1:8080, [::1]:8080, unix:/run/bot.sock or fd:3,"
    " with commas between them",
    _listen,
    lambda value: json.dumps(_listen(value)),
    several=True,
)
MODE = Kind("octal", 'three octal digits after a 0, as text, such as "0660"', _mode)
