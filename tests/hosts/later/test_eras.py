"""Our driver inside each NoneBot 2.x that it serves, and what it says in one that it does not."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from hosts.environments import ROOT
from hosts.hosting import LATER, PATIENCE, Host
from hosts.later.clients import bot_process, connected, marks, post

#: Asks itself by HTTP and WebSocket; those of other drivers' combinations too.
REACHING_BOT = ROOT / "tests" / "conformance" / "reaching_bot.py"


@pytest.mark.parametrize("host", LATER, ids=str)
def test_it_serves_events_and_websockets_and_stops(host: Host, tmp_path: Path) -> None:
    with bot_process(tmp_path, host=host) as bot:
        bot.listens()
        assert post(bot, content=b"{}").content == b"{}"
        assert post(bot, "/ws").status_code == 405
        with connected(bot) as websocket:
            for message in ("你好", b"\x00"):
                websocket.send(message)
                assert websocket.recv(PATIENCE) == message
        bot.says("MARK closed 1000")
        bot.send_signal(signal.SIGINT)
        assert bot.wait() == 0
    assert marks(bot) == ["startup", "connected", "closed 1000", "shutdown"]
    assert "Traceback" not in bot.output


@pytest.mark.parametrize("host", LATER, ids=str)
def test_it_reaches_out(host: Host, tmp_path: Path) -> None:
    with bot_process(tmp_path, host=host, program=REACHING_BOT) as bot:
        found = json.loads(bot.says("MARK ").removeprefix("MARK "))
        assert bot.wait() == 0
    assert found == {
        "type": "nbdriver",
        "HTTP": "nbdriver",
        "WebSocket": "nbdriver",
        "said": "你好",
    }
    assert "Traceback" not in bot.output


OTHER = '''
class Driver:
    """As NoneBot 2.0 to 2.2 had it."""

class ForwardDriver(Driver): ...
class ReverseDriver(Driver): ...
'''


def test_in_a_nonebot_of_another_era_it_says_which_ones_it_serves(tmp_path: Path) -> None:
    (tmp_path / "nonebot").mkdir()
    (tmp_path / "nonebot" / "__init__.py").touch()
    (tmp_path / "nonebot" / "drivers.py").write_text(OTHER, encoding="utf-8")
    program = tmp_path / "program.py"
    program.write_text("import nbdriver.nonebot", encoding="utf-8")
    with bot_process(tmp_path, program=program, environ={"PYTHONPATH": str(tmp_path)}) as bot:
        assert bot.wait() == 1
    assert bot.lines[-1].startswith("ImportError: expected NoneBot 2.3 or later, or 2.0.0a10, got")
