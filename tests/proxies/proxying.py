"""A real proxy before a bot, each in a process of its own, with the configuration that we show.

The listening socket is ours and is handed to the proxy, so that its port is nobody else's, and a
client can connect before the proxy has started: it then waits in the backlog.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import websockets
from support.program import PATIENCE, ROOT, Program, program

NAME = "bot.example.org"
"""The name of the bot's host in the configurations that we show."""
CLIENT = "127.0.0.9"
"""Where clients are, which is not where the proxies are, whom the bot trusts."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BOT = Path(__file__).with_name("bot.py")


def shown(language: str) -> list[str]:
    """The configurations in README.md and docs/proxies.md."""
    text = "\n".join((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/proxies.md"))
    return [block for kind, block in _BLOCK.findall(text) if kind == language]


def settings(text: str) -> dict[str, str]:
    """A configuration of the bot, as the environment has it."""
    return dict(line.split("=", 1) for line in text.splitlines())


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """`text` with each of these changed in it; it has to hold each once."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"expected one {old!r} in:\n{text}"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Proxy:
    """A proxy as we show it: `configure` gives its arguments and environment.

    It is given a folder, the listening socket and where the bot is; before the path of a Unix
    socket stands `unix`.
    """

    name: str
    command: str
    bot_settings: dict[str, str]
    configure: Callable[[Path, socket.socket, str], tuple[list[str], dict[str, str]]]
    unix: str = ""

    @property
    def missing(self) -> bool:
        """Whether it is not installed."""
        return self.executable is None

    @property
    def executable(self) -> str | None:
        """Where it is; Debian's place for it need not be on the search path."""
        return shutil.which(self.command) or shutil.which(self.command, path="/usr/sbin")

    def __str__(self) -> str:
        return self.name


def _nginx(folder: Path, listening: socket.socket, bot: str) -> tuple[list[str], dict[str, str]]:
    (block,) = shown("nginx")
    place = f"127.0.0.1:{listening.getsockname()[1]}"
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    block = replaced(block, {"listen 80": f"listen {place}", "127.0.0.1:8080": bot})
    path = folder / "nginx.conf"
    path.write_text(
        # As root its workers would be nobody, who may not enter the folder.
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"daemon off;\npid {folder}/nginx.pid;\nerror_log stderr warn;\n"
        f"events {{ }}\nhttp {{\naccess_log off;\n{paths}{block}}}\n",
        "utf-8",
    )
    # By this variable nginx hands its sockets to the program that takes its place.
    return ["-c", str(path), "-e", "stderr", "-p", str(folder)], {"NGINX": f"{listening.fileno()};"}


def _haproxy(
    folder: Path, listening: socket.socket, bot: str, block: str | None = None
) -> tuple[list[str], dict[str, str]]:
    block = replaced(
        shown("haproxy")[0] if block is None else block,
        {"bind :80": f"bind fd@{listening.fileno()}", "127.0.0.1:8080": bot},
    )
    path = folder / "haproxy.cfg"
    path.write_text(f"global\n    maxconn 100\n{block}", "utf-8")
    return ["-db", "-q", "-f", str(path)], {}


def _haproxy_forwarded(
    folder: Path, listening: socket.socket, bot: str
) -> tuple[list[str], dict[str, str]]:
    block, line, _ = shown("haproxy")
    lines = [each for each in block.splitlines() if "forwardfor" not in each]
    first, second = (number for number, each in enumerate(lines) if "X-Forwarded-" in each)
    lines[first : second + 1] = line.splitlines()
    return _haproxy(folder, listening, bot, "\n".join(lines) + "\n")


def _haproxy_tcp(
    folder: Path, listening: socket.socket, bot: str
) -> tuple[list[str], dict[str, str]]:
    return _haproxy(folder, listening, bot, shown("haproxy")[2])


def _haproxy_tcp_version_1(
    folder: Path, listening: socket.socket, bot: str
) -> tuple[list[str], dict[str, str]]:
    block = replaced(shown("haproxy")[2], {"send-proxy-v2": "send-proxy"})
    return _haproxy(folder, listening, bot, block)


_X_FORWARDED, _FORWARDED, _UNIX, _PROXY_PROTOCOL = (
    settings(text) for text in shown("ini") if "PROXIES" in text or "PROXY" in text
)
PROXIES = (
    Proxy("nginx", "nginx", _X_FORWARDED, _nginx),
    Proxy("haproxy", "haproxy", _X_FORWARDED, _haproxy),
    Proxy("haproxy-forwarded", "haproxy", _FORWARDED, _haproxy_forwarded),
    Proxy("haproxy-tcp", "haproxy", _PROXY_PROTOCOL, _haproxy_tcp),
    Proxy("haproxy-tcp-version-1", "haproxy", _PROXY_PROTOCOL, _haproxy_tcp_version_1),
    Proxy("nginx-unix", "nginx", _UNIX, _nginx, unix="unix:"),
    Proxy("haproxy-unix", "haproxy", _UNIX, _haproxy, unix="unix@"),
)


@dataclass
class Proxied:
    """What `proxied` gives: the bot that runs, and how it is reached through the proxy."""

    bot: Program
    bot_settings: dict[str, str]
    port: int

    def client(self) -> httpx.AsyncClient:
        """A client of the bot that knows it by its name."""
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Host": NAME, "X-Self-ID": "1"},
            transport=httpx.AsyncHTTPTransport(local_address=CLIENT),
            timeout=PATIENCE,
        )

    def platform(self, self_id: str = "1", **headers: str) -> websockets.connect:
        """A platform's WebSocket client; the underscores in names of headers stand for dashes."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return websockets.connect(
            f"ws://{NAME}/onebot/ws",
            host="127.0.0.1",
            port=self.port,
            local_addr=(CLIENT, 0),
            additional_headers={"X-Self-ID": self_id, **fields},
            open_timeout=PATIENCE,
            max_size=None,
            proxy=None,
        )

    def upstream(self) -> set[str]:
        """The connections that the bot has, but for the one that it listens by."""
        folder = Path("/proc") / str(self.bot.pid) / "fd"
        links = {str(each.readlink()) for each in folder.iterdir() if each.is_symlink()}
        return {link for link in links if link.startswith("socket:")}


@asynccontextmanager
async def proxied(proxy: Proxy, folder: Path, **variables: str) -> AsyncIterator[Proxied]:
    """Run a bot and a proxy before it; both have ended when the block has."""
    bot_settings = {"PORT": "0", **proxy.bot_settings, **variables}
    path = folder / "bot.sock"
    if proxy.unix:
        bot_settings = {**bot_settings, "NBDRIVER_LISTEN": f"unix:{path}"}
    async with running_bot(folder, bot_settings) as bot:
        bot_settings["PORT"] = await listens(bot)
        place = f"{proxy.unix}{path}" if proxy.unix else f"127.0.0.1:{bot_settings['PORT']}"
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.set_inheritable(True)
            arguments, environ = proxy.configure(folder, listening, place)
            async with _running(proxy, folder, arguments, environ, listening):
                yield Proxied(bot, bot_settings, listening.getsockname()[1])


def running_bot(folder: Path, environ: dict[str, str]) -> AbstractAsyncContextManager[Program]:
    """Run the bot with these settings."""
    return program(str(_BOT), cwd=folder, **environ)


async def listens(bot: Program) -> str:
    """Wait until the bot listens; gives its port, 0 if it has none."""
    return (await bot.read_err(r"Listening on (?:http://\S+:(\d+)|unix:)"))[1] or "0"


@asynccontextmanager
async def _running(
    proxy: Proxy, folder: Path, arguments: list[str], environ: dict[str, str], held: socket.socket
) -> AsyncIterator[None]:
    assert proxy.executable is not None
    process = await asyncio.create_subprocess_exec(
        proxy.executable,
        *arguments,
        cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=[held.fileno()],
    )
    try:
        yield
        assert process.returncode is None, f"{proxy} has ended by itself"
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
        sys.stdout.write(f"{proxy} said: {said.decode()}")  # pytest shows it for a test that fails
