"""Whether a process is the one that serves at an address.

The CPU time of another one says nothing of the server: that of the `make` that has started it, for
instance, is next to none.
"""

from __future__ import annotations

import socket
from typing import Any

import psutil

from .load import LoadError

__all__ = ["check_listens", "spoken"]

_ANY = ("0.0.0.0", "::")


def spoken(address: tuple[str, int]) -> str:
    """An address as people write it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_listens(pid: int, address: tuple[str, int]) -> None:
    """See that a process of this machine has a socket that listens at a TCP address.

    Raises LoadError, which names the process that does listen there if that is known.
    """
    host, port = address
    hosts = {found[4][0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}

    def listens(connection: Any) -> bool:
        at = connection.laddr
        listening = connection.status == psutil.CONN_LISTEN
        return listening and at.port == port and at.ip in hosts.union(_ANY)

    try:
        # Of all the processes that share a socket, the list of all connections names but one.
        own, hidden = psutil.Process(pid).net_connections("tcp"), False
    except psutil.AccessDenied:
        own, hidden = [], True
    except psutil.NoSuchProcess:
        raise LoadError(f"expected a process {pid} on this machine, it is not there") from None
    if any(map(listens, own)):
        return
    others = {each.pid for each in psutil.net_connections("tcp") if listens(each)} - {None}
    if hidden and not others:
        raise LoadError(
            f"not allowed to see what process {pid} has open; measure as the user who runs it"
        )
    hint = " or ".join(f"process {each} does" for each in sorted(others))
    hint = hint or f"`ss -ltnp 'sport = :{port}'` tells which does"
    raise LoadError(f"process {pid} does not listen at {spoken(address)}; {hint}")
