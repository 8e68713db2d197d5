"""`make autobahn` can be trusted: both roles are ours, nothing bad is overlooked, right sums.

The testsuite itself is not run here; a stand-in has its place where a process is needed.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from autobahn import report, suite
from autobahn.__main__ import DOCS, main
from autobahn.testees import HOST, connected, echo_client, echo_server
from support.frames import close, frame
from support.lanes import LANES
from support.leaks import nothing_left
from support.peer import PATIENCE

from nbdriver.client.websocket import ClientWebSocket
from nbdriver.errors import InvalidResponse, UpgradeRefused, WebSocketClosed
from nbdriver.wire.handshake import Opening, accept_headers

# What is tried


@pytest.mark.parametrize("lane", LANES)
async def test_the_two_roles_that_are_tried_echo_to_each_other(lane: str) -> None:
    messages: list[str | bytes] = ["", "ä" * 10_000, b"", bytes(70_000)]
    async with (
        asyncio.timeout(PATIENCE),
        nothing_left(),
        echo_server(lane) as server,
        connected(server.addresses[0][1], "/", lane) as websocket,
    ):
        assert server._context.websocket.fast_lane is (lane == "fast")
        assert isinstance(websocket, ClientWebSocket)
        assert websocket._limits.fast_lane is (lane == "fast")
        for message in messages:
            await websocket.send(message)
            assert await websocket.receive() == message


async def test_what_comes_to_a_client_together_with_the_answer_are_frames() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = re.search("^Sec-WebSocket-Key: (.+)\r$", request, re.MULTILINE)
        assert key
        lines = [f"{name}: {value}\r\n" for name, value in accept_headers(Opening(key[1]))]
        head = f"HTTP/1.1 101 Switching Protocols\r\n{''.join(lines)}\r\n"
        writer.write(head.encode() + frame("one", key=None) + close(4000, "two", key=None))
        await reader.read()
        writer.close()

    async with (
        asyncio.timeout(PATIENCE),
        nothing_left(),
        await asyncio.start_server(serve, HOST, 0) as server,
        connected(server.sockets[0].getsockname()[1], "/") as websocket,
    ):
        assert await websocket.receive() == "one"
        with pytest.raises(WebSocketClosed, match="4000: two"):
            await websocket.receive()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[int, asyncio.Future[bytes]]]:
    """A server that gives this answer to an opening handshake, and what it was asked."""
    asked = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1], asked


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", UpgradeRefused, "got 404 No"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", InvalidResponse, "got none"),
        (b"220 Hello\r\n\r\n", InvalidResponse, "got '220 Hello"),
        (b"HTTP/1.1 101", InvalidResponse, "then the connection's end"),
    ],
)
async def test_a_server_that_does_not_open_is_an_error(
    answer: bytes, error: type[Exception], message: str
) -> None:
    async with asyncio.timeout(PATIENCE), nothing_left(), answering(answer) as (port, _):
        with pytest.raises(error, match=message):
            await echo_client(port, "/")


async def test_both_roles_are_tried_with_permessage_deflate() -> None:
    async with asyncio.timeout(PATIENCE), answering(b"") as (port, asked):
        with pytest.raises(InvalidResponse):
            await echo_client(port, "/runCase?case=1")
    request = (await asked).decode()
    assert request.startswith("GET /runCase?case=1 HTTP/1.1\r\n")
    assert "Sec-WebSocket-Extensions: permessage-deflate" in request
    async with asyncio.timeout(PATIENCE), echo_server() as server:
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        writer.write(request.encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert "Sec-WebSocket-Extensions: permessage-deflate" in answer
        writer.close()


# The verdict


@pytest.mark.parametrize(
    ("behaviour", "close", "verdict"),
    [
        ("OK", "OK", "OK"),
        ("OK", "INFORMATIONAL", "OK"),
        ("INFORMATIONAL", "INFORMATIONAL", "INFORMATIONAL"),
        ("NON-STRICT", "OK", "NON-STRICT"),
        ("UNIMPLEMENTED", "OK", "UNIMPLEMENTED"),
        ("OK", "UNCLEAN", "UNCLEAN"),
        ("FAILED", "WRONG CODE", "FAILED"),
    ],
)
def test_a_case_is_as_good_as_the_worse_of_its_behaviour_and_its_close(
    behaviour: str, close: str, verdict: str
) -> None:
    assert report.verdict({"behavior": behaviour, "behaviorClose": close}) == verdict


def a_run(on: str = "asyncio", **client: str) -> report.Run:
    verdicts = {
        "server": {"1.1.1": "OK", "7.13.1": "INFORMATIONAL"},
        "client": {"1.1.1": "OK", "7.13.1": "OK", **client},
    }
    return report.Run(date(2026, 1, 2), "make autobahn-full", {"Python": "3"}, on, verdicts)


def test_a_good_run_is_told_in_counts_and_a_closing_line() -> None:
    assert report.text(a_run(), 1.25).splitlines() == [
        "as server: 1 OK, 1 INFORMATIONAL",
        "as client: 2 OK",
        "4 passed in 1.2s",
    ]


def test_every_case_that_was_not_good_is_listed_and_counted_as_failed() -> None:
    run = a_run(**{"12.1.1": "UNIMPLEMENTED", "3.2": "NON-STRICT"})
    assert report.text(run, 2).splitlines() == [
        "as server: 1 OK, 1 INFORMATIONAL",
        "as client: 2 OK, 1 NON-STRICT, 1 UNIMPLEMENTED",
        "as client, case 3.2: NON-STRICT",
        "as client, case 12.1.1: UNIMPLEMENTED",
        "2 failed, 4 passed in 2.0s",
    ]


# The docs


def test_the_docs_take_the_counts_of_each_role_event_loop_and_lane_in_its_own_block(
    tmp_path: Path,
) -> None:
    docs = tmp_path / "autobahn.md"
    before = "\n".join(report.in_docs(a_run(), role) for role in ("server", "client"))
    docs.write_text("Before.\n\n" + before + "\nAfter.\n", "utf-8")
    others = [a_run("uvloop"), a_run("uvloop, plain lane")]
    failed = a_run(**{"9.1.1": "FAILED"})
    for run in (*others, failed, *others):
        report.write_docs(run, docs)
    expected = ["Before.", ""]
    for run in (failed, *others):
        expected += [report.in_docs(run, role) for role in ("server", "client")]
    expected += ["After.", ""]
    assert docs.read_text("utf-8") == "\n".join(expected)
    client = report.blocks(docs.read_text("utf-8"))["client, on asyncio"]
    assert "| 7.* | closing | 1 OK |\n" in client
    assert "| all | | 2 OK, 1 FAILED |\n" in client


def test_a_run_of_one_role_leaves_the_counts_of_the_other_alone(tmp_path: Path) -> None:
    docs = tmp_path / "autobahn.md"
    docs.write_text(report.in_docs(a_run(), "server"), "utf-8")
    run = a_run(**{"9.1.1": "FAILED"})
    report.write_docs(replace(run, verdicts={"client": run.verdicts["client"]}), docs)
    expected = [report.in_docs(a_run(), "server"), report.in_docs(run, "client")]
    assert docs.read_text("utf-8") == "\n".join(expected)


def test_docs_without_a_place_for_counts_are_left_alone(tmp_path: Path) -> None:
    docs = tmp_path / "autobahn.md"
    docs.write_text("Nothing.\n", "utf-8")
    with pytest.raises(ValueError, match="expected a block"):
        report.write_docs(a_run(), docs)
    assert docs.read_text("utf-8") == "Nothing.\n"


def read_back(block: str) -> tuple[report.Run, str]:
    """A run that has the counts of a block in the docs, and which role's they are."""
    place = re.search(r"figures: (\w+), on (.+) -->", block)
    end = re.search(r"^By `(.+)` on (\S+): (.+)\.$", block, re.MULTILINE)
    rows = re.findall(r"^\| (\d+)\.\* \| [^|]+ \| ([^|]+) \|$", block, re.MULTILINE)
    assert place
    assert end
    verdicts: dict[str, str] = {}
    for group, cell in rows:
        words = [word for part in cell.split(", ") for word in expand(part)]
        verdicts.update({f"{group}.{i}": word for i, word in enumerate(words)})
    facts = dict(fact.split(" ", 1) for fact in end[3].split("; "))
    began = date.fromisoformat(end[2])
    return report.Run(began, end[1], facts, place[2], {place[1]: verdicts}), place[1]


def expand(part: str) -> list[str]:
    count, word = part.split(" ")
    return [word] * int(count)


def test_the_counts_in_the_docs_are_as_the_command_writes_them_and_every_case_was_good() -> None:
    blocks = report.blocks(DOCS.read_text("utf-8"))
    assert {"server, on asyncio", "client, on asyncio"} <= blocks.keys()
    for block in blocks.values():
        run, role = read_back(block)
        assert report.in_docs(run, role) == block
        assert not run.bad
        assert len(run.verdicts[role]) == 517


# The command

STAND_IN = """\
import json, os, sys
if "pip" in sys.argv:
    if sys.argv[-1] != "{requirement}" or {pip_fails}:
        sys.exit("pip is out of order")
    os.mkdir(sys.argv[-2])
else:
    spec = json.load(open(sys.argv[-1]))
    assert spec["exclude-cases"] == ["12.*"], spec
    print("Ok, will run {count} test cases against 1 servers")
    for case in {found}:
        print("Running test case ID", case, "for agent nobody from peer nobody")
    found = {{c: {{"behavior": b, "behaviorClose": "OK"}} for c, b in {found}.items()}}
    json.dump({{spec["servers"][0]["agent"]: found}}, open(spec["outdir"] + "/index.json", "w"))
    sys.exit({code})
"""


class Stage:
    """`main` with a stand-in for Python 2.7, and what it told."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], **words: Any) -> None:
        self._folder = folder
        self._capsys = capsys
        words = {"requirement": suite.REQUIREMENT, "pip_fails": 0, "code": 0, **words}
        script = folder / "stand-in.py"
        script.write_text(STAND_IN.format(**words), "utf-8")
        self.python = folder / "python2.7"
        self.python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', "utf-8")
        self.python.chmod(0o755)

    def run(self) -> tuple[int, str, str]:
        code = main(
            ["--exclude", "12.*", "--roles", "server"],
            folder=self._folder / "suite",
            find=lambda version: {"2.7": self.python}[version],
        )
        told = self._capsys.readouterr()
        return code, told.out, told.err


def test_the_suite_is_installed_once_and_a_good_run_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(tmp_path, capsys, count=2, found={"1.1.1": "OK", "7.1.6": "INFORMATIONAL"})
    code, out, err = stage.run()
    first, counts, closing = out.splitlines()
    assert first == ("Installing autobahntestsuite==25.10.1 into suite (once; a minute or so) ...")
    assert counts == "as server: 1 OK, 1 INFORMATIONAL"
    assert re.fullmatch(r"2 passed in [0-9.]+s", closing)
    assert (code, err) == (0, "as server: 1.*\nas server: 7.*\n")
    assert stage.run()[1].splitlines()[0] == counts


def test_an_environment_that_was_made_from_something_else_is_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(tmp_path, capsys, count=1, found={"1.1.1": "OK"})
    stage.run()
    (tmp_path / "suite" / "made-from").write_text("another Python", "utf-8")
    assert stage.run()[1].startswith("Installing")


def test_a_run_with_a_case_that_is_not_good_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(tmp_path, capsys, count=2, found={"1.1.1": "OK", "3.2": "NON-STRICT"})
    code, out, _ = stage.run()
    assert code == 1
    assert out.splitlines()[2] == "as server, case 3.2: NON-STRICT"
    assert out.splitlines()[3].startswith("1 failed, 1 passed in ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"count": 3, "found": {"1.1.1": "OK"}}, "expected a report on 3 cases, got one on 1"),
        ({"count": 0, "found": {}}, "expected a report on 0 cases, got one on 0"),
        (
            {"count": 1, "found": {"1.1.1": "OK"}, "code": 3},
            "wstest ended with exit code 3; its last words:",
        ),
        (
            {"count": "no", "found": {}},
            r"ended before it said 'will run (\\d+) test cases'; its last words:",
        ),
    ],
)
def test_a_run_that_does_not_come_to_its_end_ends_with_1(
    words: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = Stage(tmp_path, capsys, **words).run()
    assert code == 1
    (line,) = (line for line in err.splitlines() if line.startswith("The run has failed. "))
    assert line.endswith(message)


def test_without_a_python_2_7_one_line_says_so_and_the_exit_code_is_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([], find=lambda version: None) == 2
    assert capsys.readouterr().err == (
        "expected Python 2.7, on which alone autobahntestsuite==25.10.1 runs, found none;"
        " put python2.7 on the search path or install it with pyenv\n"
    )


def test_what_pip_says_is_told_when_it_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(tmp_path, capsys, count=1, found={}, pip_fails=1)
    code, _, err = stage.run()
    assert code == 2
    ours, said = err.strip().splitlines()
    assert ours == f"pip of {stage.python} could not install autobahntestsuite==25.10.1:"
    assert said == "pip is out of order"


def test_the_counts_of_a_part_are_not_for_the_docs(capsys: pytest.CaptureFixture[str]) -> None:
    for part in (["--cases", "1.*"], ["--exclude", "12.*"]):
        with pytest.raises(SystemExit) as caught:
            main([*part, "--write-docs"], find=lambda version: None)
        assert caught.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.endswith("expected --write-docs with all cases")
