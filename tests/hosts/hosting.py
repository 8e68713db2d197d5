"""Running a bot inside a host: the process, the platform's HTTP API beside it, and what it says.

The bot runs with the interpreter of its own environment; all that a test knows of it is its port,
its output and its exit code.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

from hosts.environments import ENVIRONMENTS, Environment, find_python

PATIENCE = 30.0
"""Seconds after which a test that waits in vain fails."""

TOKEN = "s3cret-t0ken"
BOT = Path(__file__).with_name("bot.py")
_ENVIRONMENTS = {environment.name: environment for environment in ENVIRONMENTS}
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Host:
    """A driver in its environment, and the line by which it says that it listens."""

    name: str
    driver: str
    environment: Environment
    listens: str

    @property
    def missing(self) -> bool:
        """Whether it cannot be run, because its Python is not on this machine."""
        stands = self.environment.interpreter.exists()
        return not stands and find_python(self.environment.python) is None

    def __str__(self) -> str:
        return self.name


OURS = Host("nbdriver", "nbdriver.nonebot", _ENVIRONMENTS["nonebot-a10"], "Listening on http://")
FASTAPI = Host(
    "fastapi",
    "nonebot.drivers.fastapi",
    _ENVIRONMENTS["nonebot-a10-fastapi"],
    "Uvicorn running on http://",
)
HOSTS = (OURS, FASTAPI)

LATER = tuple(
    Host(name, "nbdriver.nonebot", _ENVIRONMENTS[name], "Listening on http://")
    for name in ("nonebot-2.5", "nonebot-2.4", "nonebot-2.3")
)
"""Our driver inside NoneBot 2.x."""
TODAYS = LATER[0]


class BotProcess:
    """A bot that runs: a context manager, which ends it if the test has not.

    `settings` stand in the `.env.prod` of the bot's working directory, `directory`; `environ` is
    added to its process environment, which has nothing else of ours.
    """

    def __init__(
        self,
        host: Host,
        directory: Path,
        settings: Mapping[str, object] = {},
        *,
        program: Path = BOT,
        environ: Mapping[str, str] = {},
    ) -> None:
        self.host = host
        self.port = int(str(settings.get("PORT", free_port())))
        self._raw_lines: list[str] = []
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        _write_settings(directory, {"DRIVER": host.driver, "PORT": self.port, **settings})
        self._process = subprocess.Popen(
            [host.environment.interpreter, program],
            cwd=directory,
            env={**inherited(), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> BotProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                with self._changed:
                    self._raw_lines.append(line.rstrip("\n"))
                    self._lines.append(_COLOURS.sub("", self._raw_lines[-1]))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def base(self) -> str:
        """The address that it serves, without a scheme."""
        return f"127.0.0.1:{self.port}"

    @property
    def raw_lines(self) -> list[str]:
        """All that it has said, with its colours."""
        with self._changed:
            return list(self._raw_lines)

    @property
    def lines(self) -> list[str]:
        """All that it has said, without colours."""
        with self._changed:
            return list(self._lines)

    @property
    def output(self) -> str:
        """The same in one piece."""
        return "\n".join(self.lines)

    def says(self, text: str) -> str:
        """Wait for a line that has `text` in it, and give it; colours do not count."""

        def found() -> list[str]:
            return [line for line in self._lines if text in line]

        with self._changed:
            self._changed.wait_for(lambda: self._ended or found(), PATIENCE)
            lines = found()
        assert lines, f"expected a line with {text!r}, got:\n{self.output}"
        return lines[0]

    def listens(self) -> BotProcess:
        """Wait until it listens."""
        self.says(self.host.listens)
        return self

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop, and give its exit code."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended, and give its exit code."""
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


def run_inside(
    directory: Path, program: str, *, host: Host = OURS, **settings: object
) -> BotProcess:
    """Run a program inside NoneBot on our driver until it ends by itself, with success."""
    path = directory / "program.py"
    path.write_text(program, encoding="utf-8")
    with BotProcess(host, directory, settings, program=path) as bot:
        assert bot.wait() == 0, bot.output
    return bot


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _write_settings(directory: Path, settings: Mapping[str, object]) -> None:
    text = "".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}\n"
        for key, value in settings.items()
    )
    (directory / ".env.prod").write_text(text, encoding="utf-8")


def inherited() -> dict[str, str]:
    """Nothing of this process that a bot might take for a setting; no proxies either."""
    kept = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR")
    values = {
        key: value for key, value in os.environ.items() if key in kept or key.startswith("COV")
    }
    return {**values, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}


# The platform's side.

RESULTS: dict[str, object] = {
    "get_login_info": {"user_id": 1, "nickname": "小明"},
    "send_msg": {"message_id": 7},
    "send_private_msg": {"message_id": 8},
}
"""What the platform answers to the calls of the bot's plugins."""


@dataclass
class PlatformAPI:
    """OneBot's HTTP API, `/{self_id}/{action}`: keeps each call, for each bot, and answers it."""

    port: int
    calls: dict[str, Queue[tuple[str, Any]]] = field(default_factory=dict)

    def roots(self, self_ids: Iterable[str]) -> dict[str, str]:
        """NoneBot's `API_ROOT` for these bots."""
        for self_id in self_ids:
            self.calls[self_id] = Queue()
        return {self_id: f"http://127.0.0.1:{self.port}/{self_id}" for self_id in self.calls}

    def next_call(self, self_id: str) -> tuple[str, Any]:
        """The action and the parameters of the next call; waits for it."""
        return self.calls[self_id].get(timeout=PATIENCE)

    def answer(self, path: str, params: Any) -> dict[str, object]:
        """Keep a call, and give its result."""
        _, self_id, action = path.split("/")
        self.calls[self_id].put((action, params))
        return {"status": "ok", "retcode": 0, "data": RESULTS[action]}


@contextmanager
def serve_platform_api() -> Iterator[PlatformAPI]:
    """Serve the platform's HTTP API on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            params = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps(api.answer(self.path, params)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api = PlatformAPI(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
