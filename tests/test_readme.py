"""What the README shows is what happens: every snippet in it is run, every table is the code's.

`python tests/test_readme.py` writes the configuration tables anew.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from nbdriver.config import Config, ServerConfig
from nbdriver.units import Row

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLES = re.compile(r"(<!-- configuration: [^\n]*-->\n).*(<!-- end -->\n)", re.DOTALL)
PORT = re.compile(r"\b8080\b")


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(README.read_text("utf-8")) if kind == language]


def table(rows: Iterable[Row]) -> str:
    lines = ["| name | type | default | |", "|---|---|---|---|"]
    for row in rows:
        default = f"`{row.default}`" if row.default else ""
        dagger = " †" if row.name in ServerConfig.dispatching() else ""
        lines.append(f"| `{row.name}`{dagger} | {row.type} | {default} | {row.doc} |")
    return "\n".join(lines) + "\n"


def tables() -> str:
    shared = {row.name for row in Config.describe()}
    own = (row for row in ServerConfig.describe() if row.name not in shared)
    return (
        f"\nThe bot's settings:\n\n{table(Config.describe())}\nThe server's:\n\n{table(own)}"
        "\n†: without effect inside NoneBot 2.2 and newer, where adapters see to bots and events.\n"
        "\n"
    )


def with_tables(text: str) -> str:
    return TABLES.sub(lambda match: match[1] + tables() + match[2], text)


def clean_environment() -> dict[str, str]:
    """The process environment without what would configure the bot under test."""
    names = {row.name for row in (*Config.describe(), *ServerConfig.describe())}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in names}
    return {**kept, "PYTHONPATH": str(ROOT), "PORT": "0"}


@contextmanager
def running(script: Path) -> Iterator[str]:
    """Run the script as a main program; gives the port that its log names, ends it by Ctrl-C."""
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, cwd=script.parent, env=clean_environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            log = process.stderr.readline()
            listening = re.search(r"https?://127\.0\.0\.1:(\d+)", log)
            assert listening, log + process.stderr.read()
            yield listening[1]
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
            assert process.wait(30) == 0, rest
            assert "Traceback" not in rest


@pytest.fixture
def echo_bot(tmp_path: Path) -> Path:
    """The bot in fifteen lines, saved as the README says."""
    script = tmp_path / "echo.py"
    script.write_text(blocks("python")[0], "utf-8")
    return script


def test_every_snippet_is_of_a_kind_that_is_run_here() -> None:
    kinds = {kind for kind, _ in BLOCK.findall(README.read_text("utf-8"))}
    assert kinds == {"sh", "python", "text", "ini", "nginx"}


def test_the_configuration_tables_are_those_of_the_code() -> None:
    text = README.read_text("utf-8")
    assert with_tables(text) == text, "run: python tests/test_readme.py"


def test_the_bot_in_fifteen_lines_has_fifteen_lines(echo_bot: Path) -> None:
    assert len([line for line in echo_bot.read_text("utf-8").splitlines() if line]) <= 15


def test_the_echo_bot_answers_at_the_address_for_onebot_clients(echo_bot: Path) -> None:
    (address,) = blocks("text")
    event = {"post_type": "message", "message_type": "private", "user_id": 42, "message": "你好"}
    with (
        running(echo_bot) as port,
        connect(
            PORT.sub(port, address.strip()),
            additional_headers={"X-Self-ID": "10001", "X-Client-Role": "Universal"},
        ) as websocket,
    ):
        websocket.send(json.dumps(event))
        call = json.loads(websocket.recv(timeout=10))
        assert call["action"] == "send_msg"
        assert call["params"]["user_id"] == 42
        assert call["params"]["message"] == [{"type": "text", "data": {"text": "你好"}}]


def test_the_curl_command_is_answered_with_204(echo_bot: Path) -> None:
    command, _ = (text for text in blocks("sh") if text.startswith("curl"))
    with running(echo_bot) as port:
        arguments = shlex.split(PORT.sub(port, command))
        answer = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout.startswith("HTTP/1.1 204 No Content\n")


def test_both_curl_commands_are_answered_at_the_places_that_are_listened_at(echo_bot: Path) -> None:
    (line,) = (text for text in blocks("ini") if text.startswith("NBDRIVER_LISTEN"))
    (echo_bot.parent / ".env").write_text(PORT.sub("0", line), "utf-8")
    with running(echo_bot) as port:
        for command in (text for text in blocks("sh") if text.startswith("curl")):
            answer = subprocess.run(
                shlex.split(PORT.sub(port, command)),
                cwd=echo_bot.parent,
                capture_output=True,
                text=True,
                check=True,
                timeout=30,
            )
            assert answer.stdout.startswith("HTTP/1.1 204 No Content\n")
    assert sorted(path.name for path in echo_bot.parent.iterdir()) == [".env", "echo.py"]


def test_the_make_commands_are_there() -> None:
    commands = [text for text in blocks("sh") if text.startswith("make")]
    assert commands == ["make run\n", "make test\n"]
    for command in commands:
        subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=True)


def test_the_certificate_for_tests_is_served_as_configured(echo_bot: Path) -> None:
    (command,) = (text for text in blocks("sh") if text.startswith("openssl"))
    folder = echo_bot.parent
    subprocess.run(shlex.split(command), cwd=folder, capture_output=True, check=True, timeout=60)
    (settings,) = (text for text in blocks("ini") if "TLS" in text)
    (folder / ".env").write_text(settings, "utf-8")
    context = ssl.create_default_context(cafile=folder / "certificate.pem")
    with (
        running(echo_bot) as port,
        connect(
            f"wss://localhost:{port}/onebot/ws",
            ssl=context,
            additional_headers={"X-Self-ID": "10001"},
        ) as websocket,
    ):
        websocket.send(json.dumps({"post_type": "meta_event"}))


def test_the_program_that_embeds_the_driver_tells_its_address(tmp_path: Path) -> None:
    _, embedding, _ = blocks("python")
    script = tmp_path / "embedding.py"
    script.write_text(embedding, "utf-8")
    ended = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert re.fullmatch(r"\[\('127\.0\.0\.1', \d+\)\]\n", ended.stdout)
    assert "INFO:nbdriver.net.server:Listening on http://127.0.0.1:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_client_reaches_the_bot(echo_bot: Path) -> None:
    *_, reaching = blocks("python")
    script = echo_bot.parent / "reaching.py"
    with running(echo_bot) as port:
        script.write_text(PORT.sub(port, reaching), "utf-8")
        ended = subprocess.run(
            [sys.executable, str(script)],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    posted, refused, call = ended.stdout.splitlines()
    assert posted == "204 No Content"
    assert refused == "expected POST, got GET"
    assert json.loads(call)["params"]["message"] == [{"type": "text", "data": {"text": "hello"}}]
    assert ended.stderr == ""


def test_the_line_for_nonebot_names_a_module_of_ours() -> None:
    (line,) = (text for text in blocks("ini") if text.startswith("DRIVER"))
    name, _, module = line.strip().partition("=")
    assert name == "DRIVER"
    assert importlib.util.find_spec(module) is not None


def test_the_settings_behind_a_proxy_are_settings() -> None:
    """What they do, and the nginx beside them, is seen by tests/proxies (`make proxies`)."""
    (lines,) = (text for text in blocks("ini") if "TRUSTED_PROXIES" in text)
    config = ServerConfig.from_config(None, dict(line.split("=") for line in lines.splitlines()))
    assert config.trusted_proxies == ("127.0.0.1",)
    assert config.allowed_hosts == ("bot.example.org",)


def test_the_page_that_is_let_in_can_be() -> None:
    (origin,) = re.findall(r"`NBDRIVER_ALLOWED_ORIGINS=(\S+)`", README.read_text("utf-8"))
    assert ServerConfig.from_config(None, {}, allowed_origins=origin).allowed_origins == (origin,)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text("utf-8")), "utf-8")
