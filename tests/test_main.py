"""The command line: the demo, anybody's driver, and what cannot be used."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import json
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.certificates import write_certificate
from support.program import PATIENCE, platform, program

import nbdriver
from nbdriver import ServerConfig
from nbdriver.__main__ import _brief, _command_line, _reachable, _unix_option, main

DEMO = ("-m", "nbdriver", "demo", "--port", "0")
RUN = ("-m", "nbdriver", "run", "--port", "0")

EVENT = {"post_type": "message", "message_type": "private", "user_id": 1, "message": "你好\x1b[31m"}

#: A module with a driver, whose bot tells by HTTP what it was started with.
BOT = """
from nbdriver import Driver, load, onebot

driver = Driver(*load())
driver.register_adapter("onebot", onebot.Bot)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what is imported from there is forgotten again."""
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


# The demo.


async def test_the_demo_answers_204_to_the_very_command_that_it_prints(tmp_path: Path) -> None:
    async with program(*DEMO, cwd=tmp_path) as demo:
        port = await demo.port()
        command = (await demo.read_out(r"(?m)^  (curl .*)$"))[1]
        # As a shell reads it, and curl after it.
        curl, show_head, url, _, first, _, second, _, body = shlex.split(command)
        assert (curl, show_head, url) == ("curl", "-i", f"http://127.0.0.1:{port}/onebot/")
        fields = dict(field.split(": ") for field in (first, second))
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.post(url, headers=fields, content=body)
        assert (answer.status_code, answer.content) == (204, b"")
        shown = (await demo.read_out(r"Event of bot 10001: (.*)\n"))[1]
        assert json.loads(shown) == json.loads(body)
        await demo.read_out(r"takes a WebSocket")
        demo.interrupt()
        assert await demo.ended() == 0
    assert "Traceback" not in demo.err
    assert demo.err.endswith("Stopped\n")


async def test_the_demo_with_a_certificate_prints_what_works_with_it(tmp_path: Path) -> None:
    certificate = str(write_certificate(tmp_path / "certificate.pem"))
    async with program(*DEMO, "--tls-certificate", certificate, cwd=tmp_path) as demo:
        command = (await demo.read_out(r"(?m)^  (curl .*)$"))[1]
        curl = await asyncio.create_subprocess_exec(
            *shlex.split(command), "--silent", stdout=asyncio.subprocess.PIPE
        )
        answer, _ = await curl.communicate()
        assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
        await demo.read_out(r"(?m)^  wss://127\.0\.0\.1:\d+/onebot/ws$")
        demo.interrupt()
        assert await demo.ended() == 0


async def test_the_demo_echoes_what_comes_to_the_websocket_that_it_prints(tmp_path: Path) -> None:
    async with program(*DEMO, cwd=tmp_path) as demo:
        address = (await demo.read_out(r"(?m)^  (ws://.*)$"))[1]
        assert str(await demo.port()) in address
        async with platform(address, x_self_id="10000") as client:
            await client.send(json.dumps({"post_type": "meta_event"}))
            await client.send(json.dumps(EVENT))
            call = json.loads(await client.recv())
            assert call["action"] == "send_msg"
            assert call["params"] == {
                "message_type": "private",
                "user_id": 1,
                "message": [{"type": "text", "data": {"text": EVENT["message"]}}],
            }
            await client.send(json.dumps({"status": "ok", "data": {}, "echo": call["echo"]}))
            demo.interrupt()
            assert [message async for message in client] == []
            assert client.close_code == 1001
        assert await demo.ended() == 0
    shown = re.findall(r"Event of bot 10000: (.*)\n", demo.out)
    assert [json.loads(each) for each in shown] == [EVENT]
    assert "\x1b" not in demo.out
    assert "Traceback" not in demo.err


async def test_the_demo_says_in_a_line_why_an_echo_failed(tmp_path: Path) -> None:
    async with program(*DEMO, cwd=tmp_path, PYTHONIOENCODING="ascii") as demo:
        address = f"ws://127.0.0.1:{await demo.port()}/onebot/ws"
        async with platform(address, x_self_id="1") as client:
            await client.send(json.dumps(EVENT))
            echo = json.loads(await client.recv())["echo"]
            answer = {"status": "failed", "retcode": 1, "wording": "不行\n", "echo": echo}
            await client.send(json.dumps(answer))
            await demo.read_out(r"\(the echo failed: .*retcode=1, wording='\\u4e0d\\u884c\\n'")
            await client.send(json.dumps({"post_type": "message", "message": "from nobody"}))
            await demo.read_out(r"\(the echo failed: expected an event with a user_id")
            await client.send(json.dumps(EVENT))
            await client.recv()
        await demo.read_out(r"\(the echo failed: send_msg: the connection went")
        demo.interrupt()
        assert await demo.ended() == 0


async def test_the_demo_lets_everybody_in_whatever_is_configured(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ONEBOT_ACCESS_TOKEN=a\nSECRET=b\nNBDRIVER_MAX_BODY=1KiB\n")
    async with program(*DEMO, cwd=tmp_path, ACCESS_TOKEN="c", ONEBOT_SECRET="d") as demo:
        url = f"http://127.0.0.1:{await demo.port()}/onebot/"
        async with httpx.AsyncClient(headers={"X-Self-ID": "1"}, timeout=PATIENCE) as client:
            assert (await client.post(url, json=EVENT)).status_code == 204
            assert (await client.post(url, json={**EVENT, "x": "x" * 1024})).status_code == 413
        demo.interrupt()
        assert await demo.ended() == 0


async def test_a_port_that_is_taken_is_one_line_that_says_how_to_take_another(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with program("-m", "nbdriver", "demo", "--port", port, cwd=tmp_path) as demo:
            assert await demo.ended() == 3
    (line,) = demo.err.splitlines()
    assert re.search(rf"cannot listen on .*{port}\b.*--port", line)
    assert demo.out == ""


async def test_the_demo_shows_how_to_reach_a_unix_socket_and_ctrl_c_removes_it(
    tmp_path: Path,
) -> None:
    options = ["--listen", "unix:bot.sock", "--listen", "127.0.0.1:0,127.0.0.2:0"]
    async with program("-m", "nbdriver", "demo", *options, cwd=tmp_path) as demo:
        command = shlex.split((await demo.read_out(r"(?m)^  (curl .*)$"))[1])
        assert command[:4] == ["curl", "-i", "--unix-socket", "bot.sock"]
        await demo.read_out(r"(?m)^  ws://localhost/onebot/ws, over unix:bot\.sock$")
        transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "bot.sock"))
        async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
            fields = dict(field.split(": ") for field in command[6:10:2])
            answer = await client.post(command[4], headers=fields, content=command[-1])
        assert answer.status_code == 204
        line = r"Listening on unix:bot\.sock, http://127\.0\.0\.1:\d+, http://127\.0\.0\.2:\d+\n"
        await demo.read_err(line)
        demo.interrupt()
        assert await demo.ended() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--listen", "unix:no/s"], "cannot listen on unix:no/s: No such file or directory; "),
        (["--listen", "fd:1"], "cannot listen on fd:1: Socket operation on non-socket"),
        (["--listen", "fd:999"], "cannot listen on fd:999: Bad file descriptor; "),
        (["--listen", "192.0.2.1:0"], "cannot listen on 192.0.2.1, port 0: "),
    ],
)
async def test_an_address_where_it_cannot_listen_is_one_line_and_exit_code_3(
    tmp_path: Path, options: list[str], message: str
) -> None:
    async with program("-m", "nbdriver", "demo", *options, cwd=tmp_path) as demo:
        assert await demo.ended() == 3
    (line,) = demo.err.splitlines()
    assert message in line
    assert demo.out == ""


@pytest.mark.parametrize(
    ("path", "option"),
    [
        ("/run/bot.sock", ["--unix-socket", "/run/bot.sock"]),
        ("@bot", ["--abstract-unix-socket", "bot"]),
    ],
)
def test_a_unix_socket_is_shown_as_curl_takes_it(path: str, option: list[str]) -> None:
    assert _unix_option(path) == option


def test_without_a_terminal_that_can_be_set_the_demo_comes_just_as_far(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBDRIVER_MAX_BODY", "much")
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["demo"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "NBDRIVER_MAX_BODY in the environment: expected a number of bytes" in line


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("0.0.0.0", "127.0.0.1:80"),
        ("::1", "[::1]:80"),
        ("::", "[::1]:80"),
    ],
)
def test_the_address_shown_is_one_that_a_client_can_connect_to(host: str, place: str) -> None:
    assert _reachable(host, 80) == place


def test_a_command_is_quoted_for_the_shell_of_its_platform() -> None:
    assert _command_line(["curl", "-d", '{"a": 1}'], "linux") == """curl -d '{"a": 1}'"""
    assert _command_line(["curl", "-d", '{"a": 1}'], "win32") == r'curl -d "{\"a\": 1}"'


def test_what_came_from_outside_is_shown_short_and_without_controls() -> None:
    assert _brief("你\x1b[31m\u202e\n") == r"你\x1b[31m\u202e\n"
    assert _brief("x" * 301) == "x" * 300 + "... (301 characters)"


# Anybody's driver.


async def test_run_serves_the_driver_in_a_module_under_the_options_that_are_given(
    tmp_path: Path,
) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    options = ["--max-body", "1KiB", "--no-access-log", "--server-header", "null"]
    async with program(
        *RUN, *options, "--log-level", "debug", "bot", cwd=tmp_path, NBDRIVER_MAX_BODY="2KiB"
    ) as served:
        url = f"http://127.0.0.1:{await served.port()}/onebot/"
        async with httpx.AsyncClient(headers={"X-Self-ID": "1"}, timeout=PATIENCE) as client:
            answer = await client.post(url, json=EVENT)
            assert (answer.status_code, "server" in answer.headers) == (204, False)
            assert (await client.post(url, content=b"x" * 1025)).status_code == 413
        served.interrupt()
        assert await served.ended() == 0
    assert "POST /onebot/ HTTP" not in served.err
    assert " DEBUG " in served.err


@pytest.mark.parametrize(
    "target",
    ["bots.echo:app.driver", "bots/echo.py:app.driver", "bots.echo:other", "bots/email.py"],
)
async def test_run_finds_a_driver_by_module_by_path_and_by_dotted_name(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "bots").mkdir()
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "bots" / "beside.py").write_text("")
    more = "import types\nimport beside\napp = types.SimpleNamespace(driver=driver)\nother = driver"
    (tmp_path / "bots" / "echo.py").write_text(f"{BOT}\n{more}\n")
    # A file may be called like a module that is in use.
    (tmp_path / "bots" / "email.py").write_text(BOT)
    async with program(*RUN, target, cwd=tmp_path) as served:
        await served.port()
        served.interrupt()
        assert await served.ended() == 0, served.err
    assert served.out == ""


async def test_a_module_is_looked_for_in_the_current_folder_even_where_python_does_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    async with program("-P", *RUN, "bot", cwd=tmp_path) as served:
        await served.port()
        served.interrupt()
        assert await served.ended() == 0


async def test_a_start_up_hook_that_fails_ends_it_with_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text(f"{BOT}\n@driver.on_startup\ndef start():\n    1 / 0\n")
    async with program(*RUN, "bot", cwd=tmp_path) as served:
        assert await served.ended() == 3
    assert "the start-up hook start failed" in served.err


# What cannot be used.


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that was said, without the program's name."""
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    program_name, _, message = line.partition(": ")
    assert program_name.startswith("python -m nbdriver")
    return message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere", "there is no module nowhere, neither in {folder} nor where Python looks"),
        ("nowhere.at.all", "there is no module nowhere, neither in"),
        ("bot.sub", "there is no module bot.sub, neither in"),
        ("nowhere.py", "there is no file nowhere.py in {folder}"),
        ("", "expected MODULE[:NAME] or a file, PATH.py[:NAME], got ''"),
        (".bot", "expected MODULE[:NAME] or a file, PATH.py[:NAME], got '.bot'"),
        ("bot:", "expected MODULE[:NAME] or a file, PATH.py[:NAME], got 'bot:'"),
        ("empty", "empty holds no driver"),
        ("bot:app", "bot holds no app; did you mean bot:driver?"),
        ("bot.py:driver.app.x", "bot.py holds no driver.app.x; did you mean bot.py:driver?"),
        ("bot.py:driver.logger", "got one of Logger; did you mean bot.py:driver?"),
        (
            "bot:Driver",
            "bot:Driver is no driver: expected an instance of Driver, got the class itself",
        ),
        ("empty:number", "is no driver: expected an instance of Driver, got one of int"),
    ],
)
def test_a_module_that_is_not_there_or_holds_no_driver_is_one_line_and_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], target: str, message: str
) -> None:
    (folder / "bot.py").write_text(BOT)
    (folder / "empty.py").write_text("number = 1\n")
    assert main(["run", target]) == 2
    assert message.format(folder=folder) in said(capsys)


@pytest.mark.parametrize("target", ["bot", "bot.py"])
@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def f():\n    1 / 0\nf()\n", "ZeroDivisionError: division by zero"),
        ("import not_installed\n", "ModuleNotFoundError: No module named 'not_installed'"),
        ("a = = 1\n", "SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_fails_shows_its_own_traceback_and_exits_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], target: str, source: str, error: str
) -> None:
    (folder / "bot.py").write_text(source)
    assert main(["run", target]) == 2
    lines = capsys.readouterr().err.splitlines()
    files = [line for line in lines if line.lstrip().startswith("File ")]
    assert files
    assert all("bot.py" in line for line in files)
    assert lines[-2:] == [error, f"python -m nbdriver: {target} cannot be imported, see above"]


def test_a_setting_that_a_module_cannot_use_is_one_line_and_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bot.py").write_text(BOT)
    (folder / ".env").write_text("PORT=many\n")
    assert main(["run", "bot"]) == 2
    assert "PORT in .env: expected a whole number from 0 to 65535; came 'many'" in said(capsys)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--port", "many", "--port on the command line: expected a whole number from 0 to 65535"),
        ("--max-body", "1 pound", "--max-body on the command line: expected a number of bytes"),
        ("--listen", "8080", "--listen on the command line: expected addresses such as 127.0.0.1"),
        ("--host", "a b", "--host on the command line: expected an IP address or a host name"),
        ("--log-level", "LOUD", "--log-level on the command line: expected a level"),
        (
            "--ping-interval",
            "0",
            "expected a number of seconds above 0, such as 30 or 0.5, or null",
        ),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line_and_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    assert main(["run", "bot", option, value]) == 2
    assert message in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["serve"], "invalid choice: 'serve'"),
        (["demo", "--prot", "1"], "unrecognized arguments: --prot 1; did you mean --port?"),
        (["demo", "--por", "1"], "unrecognized arguments: --por 1; did you mean --port?"),
        (
            ["demo", "--max-bodi=1"],
            "unrecognized arguments: --max-bodi=1; did you mean --max-body?",
        ),
        (["demo", "--nonsense"], "unrecognized arguments: --nonsense ("),
        (["run"], "the following arguments are required: MODULE[:NAME]"),
        (["demo", "--port"], "argument --port: expected one argument"),
    ],
)
def test_a_command_line_that_says_nothing_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    line = said(capsys)
    assert message in line
    assert "--help" in line


def test_a_ctrl_c_while_the_module_is_imported_says_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bot.py").write_text("raise KeyboardInterrupt\n")
    assert main(["run", "bot"]) == 130
    assert capsys.readouterr() == ("", "")


# What there is.


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["demo", "run"])
def test_the_help_of_a_command_tells_every_setting_with_its_default(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    text = " ".join(help_of(capsys, command).split())
    assert f"usage: python -m nbdriver {command} [options]" in text
    for item, row in zip(dataclasses.fields(ServerConfig), ServerConfig.describe(), strict=True):
        assert f" --{item.name.replace('_', '-')}" in text
        assert f"{row.doc} (default: {row.default or 'none'})" in text
    assert "--no-access-log" in text
    assert "--log-level LEVEL" in text
    assert "exit codes:" in text


def test_the_help_tells_the_commands_and_fits_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = [help_of(capsys), help_of(capsys, "demo"), help_of(capsys, "run")]
    assert re.search(r"demo +serve an echo bot.*\n +run +serve the driver", texts[0])
    assert max(len(line) for text in texts for line in text.splitlines()) <= 100


def test_the_version_is_that_of_the_package() -> None:
    command = [sys.executable, "-m", "nbdriver", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"nbdriver {nbdriver.__version__}\n"
