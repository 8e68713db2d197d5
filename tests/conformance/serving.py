"""The other end of a server under test: HTTP, WebSockets, bytes, and what the handlers report."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import httpx
from conformance.drivers import OURS
from hosts.environments import ENVIRONMENTS
from hosts.hosting import PATIENCE, BotProcess, Host
from websockets.sync.client import ClientConnection, connect

SERVER_BOT = Path(__file__).with_name("server_bot.py")
LIFE_BOT = Path(__file__).with_name("life_bot.py")
REACHING_BOT = Path(__file__).with_name("reaching_bot.py")

_ENVIRONMENT = next(each for each in ENVIRONMENTS if each.name == "nonebot-2.5-drivers")
_numbers = count()


def host_of(driver: str) -> Host:
    """A driver in the environment that these tests run in."""
    listens = "Listening on http://" if driver == OURS else "Uvicorn running on http://"
    return Host(driver, driver, _ENVIRONMENT, listens)


class Run:
    """One WebSocket, or one waiting request, of a test: what its handler reports."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.name = str(next(_numbers))

    def _ask(self, path: str) -> Any:
        return self._server.http.get(path, params={"run": self.name}).raise_for_status().json()

    def outcomes(self) -> list[Any]:
        """What became of each step; waits until the handler has ended."""
        found: list[Any] = self._ask("/outcomes")
        return found

    def has_begun(self) -> None:
        """Wait until the handler waits."""
        self._ask("/began")

    def go_on(self) -> None:
        """Let the handler go on."""
        self._ask("/open")


class Server:
    """A bot that serves, and clients of its."""

    def __init__(self, process: BotProcess) -> None:
        self.process = process.listens()
        self.base = process.base
        # A connection for each request and no cookies, so that none depends on another.
        self.http = httpx.Client(
            base_url=f"http://{self.base}",
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=PATIENCE,
            trust_env=False,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    def run(self) -> Run:
        """A name for what one handler reports."""
        return Run(self)

    def inspect(self, method: str = "POST", path: str = "/inspect", **options: Any) -> Any:
        """What a handler finds in a request; its content as bytes."""
        response = self.http.request(method, path, **options)
        assert response.status_code == 200, response.text
        found = response.json()
        found["content"] = base64.b64decode(found["content"])
        return found

    def answer(self, **told: Any) -> httpx.Response:
        """The answer that a handler makes of `status`, `headers`, `text` or `bytes`."""
        if isinstance(told.get("bytes"), bytes):
            told["bytes"] = base64.b64encode(told["bytes"]).decode()
        return self.http.post("/answer", json=told)

    def exchange(self, data: bytes) -> bytes:
        """Send bytes, and give all that comes back until the server closes."""
        answer = b""
        with self.raw() as connection:
            connection.sendall(data)
            # A server that closes before it has read all of it resets the connection.
            with suppress(ConnectionResetError):
                while piece := connection.recv(65_536):
                    answer += piece
        return answer

    @contextmanager
    def raw(self) -> Iterator[socket.socket]:
        """A bare connection."""
        address = ("127.0.0.1", self.process.port)
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            yield connection

    def websocket_url(
        self, run: Run, *steps: object, path: str = "/websocket", **query: str
    ) -> str:
        """Where a handler takes these steps: the name of a method, or a list with its arguments."""
        told = json.dumps([step if isinstance(step, list) else [step] for step in steps])
        return f"ws://{self.base}{path}?{urlencode({'run': run.name, 'steps': told, **query})}"

    @contextmanager
    def websocket(self, run: Run, *steps: object, **options: Any) -> Iterator[ClientConnection]:
        """A peer that has connected to a handler which takes these steps."""
        path = options.pop("path", "/websocket")
        settings: dict[str, Any] = {
            "open_timeout": PATIENCE,
            "close_timeout": PATIENCE,
            "compression": None,
            "max_size": None,
            "proxy": None,
            **options,
        }
        with connect(self.websocket_url(run, *steps, path=path), **settings) as peer:
            yield peer
