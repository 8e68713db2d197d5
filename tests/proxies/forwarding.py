"""Real proxies between our client and a server, each in processes of their own.

They cannot be handed a socket, so that each listens on an address of this process's own: of the
network 127.0.0.0/8 there is one for each process of the machine, where every port is free.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support.certificates import authority
from support.peer import PATIENCE, answers

NAME, PASSWORD = "me", "secret"
#: By the number of this process: no other has the same.
_NUMBER = os.getpid()
HERE = f"127.{64 + (_NUMBER >> 16 & 63)}.{_NUMBER >> 8 & 255}.{_NUMBER & 255}"
_HTTP_PORT, _SOCKS_PORT, _TLS_PORT = 3128, 1080, 3129


@dataclass(frozen=True)
class Part:
    """A program that is needed: its command, Debian's package, and its arguments for a folder."""

    command: str
    package: str
    port: int
    configure: Callable[[Path], list[str]]

    @property
    def executable(self) -> str | None:
        """Where it is; Debian's place for it need not be on the search path."""
        return shutil.which(self.command) or shutil.which(self.command, path="/usr/sbin")


@dataclass(frozen=True)
class Forwarding:
    """A proxy for clients: the programs that it is made of, and its URL."""

    name: str
    scheme: str
    parts: tuple[Part, ...]
    needs_password: bool = False

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [part.package for part in self.parts if part.executable is None]

    @property
    def speaks_http(self) -> bool:
        return self.scheme in ("http", "https")

    def url(self, credentials: str = f"{NAME}:{PASSWORD}") -> str:
        """Where it is; with credentials if it wants them."""
        before = f"{credentials}@" if self.needs_password and credentials else ""
        return f"{self.scheme}://{before}{HERE}:{self.parts[-1].port}"

    def __str__(self) -> str:
        return self.name


def _tinyproxy(*lines: str) -> Callable[[Path], list[str]]:
    def configure(folder: Path) -> list[str]:
        path = folder / "tinyproxy.conf"
        configured = [f"Port {_HTTP_PORT}", f"Listen {HERE}", "Timeout 60", "LogLevel Connect"]
        path.write_text("\n".join([*configured, *lines]) + "\n", "utf-8")
        return ["-d", "-c", str(path)]

    return configure


def _haproxy(folder: Path) -> list[str]:
    """TLS before tinyproxy, which has none."""
    certificate = folder / "proxy.pem"
    authority().issue_cert(HERE).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    path = folder / "haproxy.cfg"
    path.write_text(
        "global\n    maxconn 100\ndefaults\n    mode tcp\n    timeout connect 60s\n"
        "    timeout client 60s\n    timeout server 60s\n"
        f"listen tls\n    bind {HERE}:{_TLS_PORT} ssl crt {certificate}\n"
        f"    server plain {HERE}:{_HTTP_PORT}\n",
        "utf-8",
    )
    return ["-db", "-q", "-f", str(path)]


def _microsocks(*arguments: str) -> Callable[[Path], list[str]]:
    return lambda folder: ["-i", HERE, "-p", str(_SOCKS_PORT), *arguments]


_OPEN = Part("tinyproxy", "tinyproxy-bin", _HTTP_PORT, _tinyproxy())
_CLOSED = Part("tinyproxy", "tinyproxy-bin", _HTTP_PORT, _tinyproxy(f"BasicAuth {NAME} {PASSWORD}"))
_TLS = Part("haproxy", "haproxy", _TLS_PORT, _haproxy)
_OPEN_SOCKS = Part("microsocks", "microsocks", _SOCKS_PORT, _microsocks())
_CLOSED_SOCKS = Part(
    "microsocks", "microsocks", _SOCKS_PORT, _microsocks("-u", NAME, "-P", PASSWORD)
)
FORWARDING = (
    Forwarding("tinyproxy", "http", (_OPEN,)),
    Forwarding("tinyproxy-password", "http", (_CLOSED,), needs_password=True),
    Forwarding("tinyproxy-tls", "https", (_CLOSED, _TLS), needs_password=True),
    Forwarding("microsocks", "socks5", (_OPEN_SOCKS,)),
    Forwarding("microsocks-password", "socks5h", (_CLOSED_SOCKS,), needs_password=True),
)


@asynccontextmanager
async def running(proxy: Forwarding, folder: Path) -> AsyncIterator[None]:
    """Run a proxy; it has ended when the block has."""
    async with AsyncExitStack() as started:
        for part in proxy.parts:
            await started.enter_async_context(_running(part, folder))
        yield


@asynccontextmanager
async def _running(part: Part, folder: Path) -> AsyncIterator[None]:
    assert part.executable is not None
    process = await asyncio.create_subprocess_exec(
        part.executable,
        *part.configure(folder),
        cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while not await answers((HERE, part.port)):
                assert process.returncode is None, f"{part.command} has ended by itself"
                await asyncio.sleep(0)
        yield
        assert process.returncode is None, f"{part.command} has ended by itself"
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
        sys.stdout.write(f"{part.command} said: {said.decode(errors='replace')}")
