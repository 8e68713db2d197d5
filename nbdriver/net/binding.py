"""Sockets that listen, made from the settings: TCP, Unix, inherited, passed by systemd.

Whoever closes one of them has given back all that belongs to it: a Unix socket takes its file with
it. So nobody else has to know of which kind it is.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from .. import addresses
from ..addresses import TCP, Address, Inherited, Unix
from ..config import ServerConfig
from ..errors import StartupError

__all__ = ["Endpoint", "SocketAddress", "address_of", "bind", "listen"]

Endpoint = tuple[int, tuple[Any, ...]]
"""An address family and an address of that family, its host and port first."""

SocketAddress = tuple[str, int | None]
"""A host and a port, or the path of a Unix socket and None, as ASGI's `server` has it."""

#: Errors of an address that this machine does not have; localhost means ::1 even without IPv6.
_ABSENT = frozenset([errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
_TCP_HINTS = {
    errno.EACCES: "; ports below 1024 need privileges",
    errno.EADDRINUSE: "; choose another port (PORT, NBDRIVER_LISTEN, or --port on the command"
    " line), 0 takes a free one",
    errno.EADDRNOTAVAIL: "; this machine has no such address",
}
_UNIX_HINTS = {
    # Python's own error for a path that is too long has no number.
    0: "; choose a path of about 100 bytes at most",
    errno.EADDRINUSE: "; another server is listening there",
    errno.ENOENT: "; the directory of the socket has to exist",
    errno.ENOTSOCK: "; remove it, or choose another path",
}
_FD_HINTS = {errno.EBADF: "; the process was started without it"}
#: Lets a port be taken again at once; on Windows SO_REUSEADDR would let another program take it.
_REUSE: int = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
#: How many ports are tried that are free at one address and should be at all.
_TRIES = 20
#: Families of which we can tell who has connected; Windows has no Unix sockets.
_FAMILIES = {socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", socket.AF_INET)}
#: The first file descriptor that systemd passes (sd_listen_fds(3)).
_FIRST_PASSED = 3


async def bind(config: ServerConfig) -> list[socket.socket]:
    """The listening sockets that the settings ask for; if one cannot be had, none is kept.

    That is `listen`, else what systemd has passed to this process, else `host` and `port`. Raises
    StartupError that names the address and what is wrong with it.
    """
    wanted: list[Address] = [addresses.read(text) for text in config.listen]
    if not wanted and (passed := _take_passed(os.environ)):
        return passed
    wanted = wanted or [TCP(addresses.hosts_of(config.host), config.port)]
    with ExitStack() as bound:
        sockets: list[socket.socket] = []
        for address in wanted:
            sockets += [bound.enter_context(each) for each in await _bind(address, config)]
        bound.pop_all()
    return sockets


def address_of(listening: socket.socket) -> SocketAddress:
    """Where a socket listens. In Linux's abstract namespace the path is `@` and the name."""
    name = listening.getsockname()
    if isinstance(name, tuple):
        host, port = name[:2]
        return host, port
    path = os.fsdecode(name)
    return f"@{path[1:]}" if path.startswith("\0") else path, None


async def _bind(address: Address, config: ServerConfig) -> list[socket.socket]:
    if isinstance(address, Unix):
        return [_listen_unix(address, int(config.unix_socket_mode, 8), config.backlog)]
    if isinstance(address, Inherited):
        return [_inherit(address)]
    hosts = [await _resolve(host, address.port) for host in address.hosts]
    return listen(hosts, config.backlog, reuse_port=config.reuse_port)


class _Failure(StartupError):
    """An address that cannot be listened on."""

    def __init__(self, where: object, error: OSError, hints: Mapping[int, str]) -> None:
        self.errno = error.errno or 0
        reason = error.strerror or error
        super().__init__(f"cannot listen on {where}: {reason}{hints.get(self.errno, '')}")


# TCP.


async def _resolve(host: str, port: int) -> list[Endpoint]:
    """Every address that `host` means."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of what cannot be a name (an empty or long label) the idna codec makes a UnicodeError.
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartupError(f"cannot listen on {host!r}: {reason}") from error
    endpoints: list[Endpoint] = [(family, address) for family, _, _, _, address in found]
    # Whatever the machine's list of hosts says, it is both (RFC 6761, 6.3).
    if host.lower() == "localhost":
        endpoints.append((socket.AF_INET, ("127.0.0.1", port)))
        endpoints.append((socket.AF_INET6, ("::1", port, 0, 0)))
    # Every address, those of IPv4 too: by a socket of their own, whose peers have IPv4 addresses.
    if any(address[0] == "::" for _, address in endpoints):
        endpoints.append((socket.AF_INET, ("0.0.0.0", port)))
    return endpoints


def listen(
    hosts: Sequence[Sequence[Endpoint]], backlog: int, *, reuse_port: bool = False
) -> list[socket.socket]:
    """Listening sockets for the endpoints of each host, all with the port of the first.

    Port 0 picks one for all. Of a host's endpoints those that this machine does not have are left
    out, as long as there are others. With `reuse_port` other processes may listen there too. Raises
    StartupError as `bind` does.
    """
    if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
        raise StartupError(
            "cannot listen with reuse_port: this platform has no SO_REUSEPORT, by which several"
            " processes could share a port"
        )
    # A port that is picked because it is free at the first endpoint may be taken at the next.
    tries_left = _TRIES if hosts[0][0][1][1] == 0 else 1
    while True:
        tries_left -= 1
        try:
            return _listen_at_all(hosts, backlog, reuse_port)
        except _Failure as failure:
            if failure.errno != errno.EADDRINUSE or not tries_left:
                raise


def _listen_at_all(
    hosts: Sequence[Sequence[Endpoint]], backlog: int, reuse_port: bool
) -> list[socket.socket]:
    sockets: dict[Endpoint, socket.socket] = {}
    port = 0
    with ExitStack() as bound:
        for endpoints in hosts:
            absent: list[_Failure] = []
            for endpoint in endpoints:
                if endpoint in sockets:
                    continue
                family, address = endpoint
                address = (address[0], port or address[1], *address[2:])
                try:
                    listening = bound.enter_context(_listen(family, address, backlog, reuse_port))
                except OSError as error:
                    host, asked = address[:2]
                    absent.append(_Failure(f"{host}, port {asked}", error, _TCP_HINTS))
                    if error.errno not in _ABSENT:
                        raise absent[-1] from error
                else:
                    sockets[endpoint] = listening
                    port = listening.getsockname()[1]
            if len(absent) == len(endpoints):
                raise absent[0]
        bound.pop_all()
    return list(sockets.values())


def _listen(family: int, address: tuple[Any, ...], backlog: int, reuse_port: bool) -> socket.socket:
    # By its protocol's number asyncio knows that Nagle's algorithm is to be turned off.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, _REUSE, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(backlog)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


# Unix sockets.


class _UnixSocket(socket.socket):
    """A Unix socket that takes its file with it when it is closed, if that is still its own."""

    _file: tuple[Path, tuple[int, int]] | None = None

    def bind_file(self, path: Path, mode: int) -> None:
        """Bind to `path`, also where a server that is gone has left a socket behind.

        Only then is it to listen: until it does, nobody can connect, so that it does not matter
        that the file has the rights of the umask, which is the whole process's, for a moment.
        """
        try:
            self.bind(str(path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _remove_stale(path, error)
            self.bind(str(path))
        self._file = path.absolute(), _inode(path)
        path.chmod(mode)

    def close(self) -> None:
        """Close the socket and remove its file.

        In this order: as long as it listens nobody takes the file for stale, and as long as it is
        open the number of its inode is given to no other file.
        """
        if self._file is not None:
            path, inode = self._file
            self._file = None
            with suppress(OSError):
                if _inode(path) == inode:
                    path.unlink()
        super().close()


def _inode(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _remove_stale(path: Path, in_use: OSError) -> None:
    """Remove a socket at which nobody listens; anything else is left alone, and an error."""
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise OSError(errno.ENOTSOCK, "there is a file already, which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A server with a full backlog must not make us wait; it lives.
        probe.setblocking(False)
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise in_use
    path.unlink()


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Keep other servers from binding in this directory; where it cannot be locked, go on.

    Between bind and listen a socket looks like one that was left behind, and would be replaced by a
    server that starts at the same moment.
    """
    import fcntl  # Windows has none, nor Unix sockets.

    with ExitStack() as held:
        # What is wrong with the directory is told by bind.
        with suppress(OSError):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _listen_unix(address: Unix, mode: int, backlog: int) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise StartupError(f"cannot listen on {address}: this platform has no Unix sockets")
    # In the abstract namespace there are no files, and so no rights and nothing stale.
    path = None if address.path.startswith("@") else Path(address.path)
    with nullcontext() if path is None else _lock(path.parent):
        listening = _UnixSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if path is None:
                listening.bind(f"\0{address.path[1:]}")
            else:
                listening.bind_file(path, mode)
            listening.listen(backlog)
            listening.setblocking(False)
        except OSError as error:
            listening.close()
            raise _Failure(address, error, _UNIX_HINTS) from error
    return listening


# Sockets that somebody else has made.


def _inherit(address: Inherited) -> socket.socket:
    """A listening socket by its file descriptor: a copy, so that the original stays open.

    That accepting does not block any more holds for the original too (fcntl(2), F_SETFL).
    """
    try:
        copy = os.dup(address.fd)
        try:
            listening = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
            raise
    except OSError as error:
        raise _Failure(address, error, _FD_HINTS) from error
    if listening.family not in _FAMILIES:
        came = "one of another family than IPv4, IPv6 and Unix sockets"
    elif listening.type != socket.SOCK_STREAM:
        came = "one of another type"
    elif not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        came = "one that does not listen (of systemd: Accept=no is needed)"
    else:
        listening.setblocking(False)
        return listening
    listening.close()
    raise StartupError(
        f"cannot listen on {address}: expected a stream socket that listens, got {came}"
    )


def _take_passed(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that systemd has passed to this process: sd_listen_fds(3), unset_environment.

    It is here, where the sockets are taken, that the variables go, and not at an import or when
    settings are read: whoever listens otherwise leaves them to the rest of the program, and a
    process that is started later, or a second server, does not take the same sockets for its own.
    """
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    pid, number, _ = (environ.pop(name, "") for name in names)
    if pid != str(os.getpid()):
        return []
    if not re.fullmatch(r"[0-9]{1,9}", number):
        raise StartupError(f"LISTEN_FDS in the environment: expected a number, got {number!r}")
    passed = range(_FIRST_PASSED, _FIRST_PASSED + int(number))
    with ExitStack() as taken:
        sockets = [taken.enter_context(_inherit(Inherited(fd))) for fd in passed]
        taken.pop_all()
    # The copies are not passed on to other programs (FD_CLOEXEC), and they are ours alone.
    for fd in passed:
        os.close(fd)
    return sockets
