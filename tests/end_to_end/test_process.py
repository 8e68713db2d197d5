"""A program is told to end in the middle of its work: nothing that was promised is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.frames import close
from support.hazards import HANDSHAKES_REFUSED, REQUESTS_REFUSED, VIOLATIONS
from support.leaks import nothing_left, open_files
from support.raw import upgrade
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 5_000
CONNECTIONS = 20
PATIENCE = 60.0


class Program:
    """The counting bot in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def end(self) -> tuple[int | None, str]:
        """Wait for its end; the exit code, and what it wrote to standard error."""
        _, errors = await self.process.communicate()
        return self.process.returncode, errors.decode()


@asynccontextmanager
async def program(path: Path, loop: str) -> AsyncIterator[Program]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.counting_bot", str(path), loop),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE), nothing_left():
            yield Program(process, int(await process.stdout.readline()))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def post(port: int, numbers: Iterator[int], answered: list[int]) -> None:
    """Post one event after the other over one connection, as long as it is answered 204."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for number in numbers:
            body = b'{"number": %d}' % number
            head = b"POST /count/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(body) + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 204 ")
            answered.append(number)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # it has stopped
    finally:
        writer.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda it: it.name)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_signal_during_a_stream_of_events_loses_none_that_was_answered(
    number: signal.Signals, loop: str, tmp_path: Path
) -> None:
    path, answered = tmp_path / "handled", list[int]()
    async with program(path, loop) as bot:
        numbers = iter(range(EVENTS))
        posting = [
            asyncio.create_task(post(bot.port, numbers, answered)) for _ in range(CONNECTIONS)
        ]
        while len(answered) < EVENTS // 5:
            await asyncio.sleep(0)
        bot.process.send_signal(number)
        await asyncio.gather(*posting)
        code, errors = await bot.end()
    *handled, last = path.read_text(encoding="utf-8").split("\n")[:-1]
    assert (code, last) == (0, "shut down")
    assert len(handled) == len(set(handled))
    assert set(answered) <= set(map(int, handled))
    assert EVENTS // 5 <= len(answered) < EVENTS
    assert "Traceback" not in errors
    assert [line.split(maxsplit=3)[3] for line in errors.splitlines()] == [
        f"Listening on http://127.0.0.1:{bot.port}",
        "Asked to stop; asked again (Ctrl-C once more) it does so at once",
        "Stopping; what has begun has 30 s to end",
        "Stopped",
    ]


async def test_a_signal_closes_the_websockets_of_a_program(tmp_path: Path) -> None:
    async with program(tmp_path / "handled", "asyncio") as bot:
        async with connect(f"ws://127.0.0.1:{bot.port}/count/ws", proxy=None) as websocket:
            bot.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as caught:
                await websocket.recv()
        code, errors = await bot.end()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, code) == (1001, 0)
    assert "Traceback" not in errors


async def send(port: int, data: bytes) -> bytes:
    """Send bytes and an end, and give all that comes until the program's."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data.replace(b"/echo/", b"/count/"))
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_after_every_hazard_a_program_has_the_files_open_that_it_had_before(
    loop: str, tmp_path: Path
) -> None:
    sent = [data for data, _ in (*REQUESTS_REFUSED.values(), *HANDSHAKES_REFUSED.values())]
    sent += [upgrade() + wire for wire, _ in VIOLATIONS.values()]
    async with program(tmp_path / "handled", loop) as bot:
        process = Path(f"/proc/{bot.process.pid}")
        # A loop opens some with its first connection, and keeps them.
        await send(bot.port, upgrade() + close())
        before = open_files(process)
        for data in sent:
            assert (await send(bot.port, data)).startswith(b"HTTP/1.1 ")
        while open_files(process) > before:
            await asyncio.sleep(0)
        bot.process.send_signal(signal.SIGTERM)
        code, errors = await bot.end()
    assert code == 0
    assert "Traceback" not in errors
