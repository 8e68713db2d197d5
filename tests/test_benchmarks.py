"""The benchmark can be trusted: servers that do the same, answers that are checked, right sums.

Nothing here looks at how long something took. The servers are those whose packages are installed
beside the tests; `make bench` asks each of its servers the same questions before it measures.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bodies, report, wire
from benchmarks.__main__ import main
from benchmarks.application import BareApp, Tally
from benchmarks.cpu import process_clock
from benchmarks.floor import FloorProtocol
from benchmarks.idle import IdleSample, allow_files, measure_idle, resident, summarise_idle
from benchmarks.load import JOBS, Load, LoadError, Measurement, source
from benchmarks.measure import Sample, ServerError, ServerProcess, Settings, Subject, measure_round
from benchmarks.probe import probe
from benchmarks.servers import HOST, LOOPS, SERVERS
from benchmarks.summary import Spread, spread, summarise

Address = tuple[str, int]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def subjects_here() -> list[Subject]:
    needed = {"floor": "json", "nbdriver": "json", "uvicorn": "uvicorn", "uvicorn-bare": "uvicorn"}
    return [
        Subject(name, loop)
        for loop in LOOPS
        for name in SERVERS
        if importlib.util.find_spec(needed[name]) and importlib.util.find_spec(loop)
    ]


SUBJECTS = subjects_here()


def no_clock() -> int:
    return 0


@asynccontextmanager
async def floor() -> AsyncIterator[tuple[Address, Tally]]:
    tally = Tally()
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: FloorProtocol(tally), HOST, 0) as server:
        yield server.sockets[0].getsockname(), tally


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[Address]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (EOFError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        yield server.sockets[0].getsockname()


async def run_load(job: str, address: Address, seconds: float = 0.01) -> Load:
    load = Load(no_clock)
    try:
        await load.connect(JOBS[job], address, 2)
        await load.run(seconds)
    finally:
        await load.close()
    return load


# The servers


@pytest.mark.parametrize(
    "subject", [each for each in SUBJECTS if each.name != "floor"], ids=lambda each: str(each)
)
async def test_every_server_gives_the_same_answers(subject: Subject) -> None:
    async with ServerProcess(subject) as process:
        asked = await probe(process.address)
        assert await process.finish() == asked


async def test_a_server_ends_when_its_standard_input_does() -> None:
    async with ServerProcess(Subject("floor", "asyncio")) as process:
        assert await process.finish() == 0
    with pytest.raises(ProcessLookupError):
        process_clock(process.pid)


async def test_a_server_that_cannot_start_is_an_error_that_names_it() -> None:
    with pytest.raises(ServerError, match="nobody on asyncio: its process ended"):
        async with ServerProcess(Subject("nobody", "asyncio")):
            raise AssertionError


@pytest.mark.parametrize(
    ("status", "changed"),
    [
        (204, {}),
        (404, {"path": "/"}),
        (405, {"method": "PUT"}),
        (400, {"body": b"["}),
        (400, {"body": b"[]"}),
        (400, {"headers": [(b"authorization", bodies.AUTHORIZATION)]}),
        (403, {"headers": [(b"x-self-id", b"1"), (b"authorization", b"Bearer x")]}),
    ],
)
async def test_the_bare_app_does_the_checks_of_the_driver(
    status: int, changed: dict[str, Any]
) -> None:
    body = changed.pop("body", b'{"post_type": "message"}')
    scope = {
        "type": "http",
        "path": "/onebot/http",
        "method": "POST",
        "headers": [(b"x-self-id", b"1"), (b"authorization", bodies.AUTHORIZATION)],
    } | changed
    parts = [{"body": body[:1], "more_body": True}, {"body": body[1:], "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    tally = Tally()
    await BareApp(tally)(scope, receive, send)
    assert sent[0]["status"] == status
    assert tally.events == (status == 204)


# The bytes


def test_a_frame_is_as_rfc_6455_5_7_has_it() -> None:
    assert wire.server_frame(b"Hello") == bytes.fromhex("81 05 48 65 6c 6c 6f")
    assert wire.server_frame(bytes(256))[:4] == bytes.fromhex("81 7e 01 00")
    assert wire.server_frame(bytes(65536))[:10] == bytes.fromhex("81 7f 00 00 00 00 00 01 00 00")
    hello = bytes.fromhex("7f 9f 4d 51 58")
    assert wire.mask(hello, bytes.fromhex("37 fa 21 3d")) == b"Hello"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_masked_frame_holds_its_payload(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    frame = wire.client_frame(payload)
    masked = frame[len(frame) - size :]
    key = frame[len(frame) - size - 4 : len(frame) - size]
    assert frame[1] & 0x80
    assert wire.mask(masked, key) == payload


def test_the_accept_value_is_that_of_rfc_6455_1_3() -> None:
    assert wire.ws_accept(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_an_event_has_about_300_bytes() -> None:
    size = len(bodies.dumps(bodies.event(bodies.first_self_id, 1)).encode())
    assert 250 < size < 450


def test_the_reply_is_one_for_all_events_of_a_connection_and_another_elsewhere() -> None:
    first, second = bodies.event(1, 1), bodies.event(1, 2)
    assert first != second
    assert bodies.reply(first) == bodies.reply(second)
    assert bodies.reply(first) != bodies.reply(bodies.event(2, 1))


# The load


@pytest.mark.parametrize("job", JOBS)
async def test_every_event_that_was_sent_was_answered_and_counted(job: str) -> None:
    async with floor() as (address, tally):
        load = await run_load(job, address)
        assert load.answered == tally.events >= 2


async def test_a_load_can_pause_and_go_on_with_what_it_measured_so_far() -> None:
    clock = iter([0, 5, 5, 25])
    async with floor() as (address, tally):
        load = Load(lambda: next(clock))
        await load.connect(JOBS["websocket"], address, 2)
        first = await load.run(0.01)
        second = await load.run(0.01)
        await load.close()
    total = first + second
    assert total.events == first.events + second.events == tally.events
    assert [each.server_cpu for each in (first, second, total)] == [5, 20, 25]
    assert total.wall == first.wall + second.wall > 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nx",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        bytes(70_000),
    ],
)
async def test_a_wrong_answer_to_a_post_ends_the_run(answer: bytes) -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    async with answering(wrong) as address:
        with pytest.raises(LoadError, match="expected an answer 204 without a body"):
            await run_load("http", address, 10)


async def test_an_answer_that_comes_in_two_pieces_is_one() -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
            writer.write(b"HTTP/1.1 20")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            writer.write(b"4 No Content\r\n\r\n")

    async with answering(in_pieces) as address:
        assert (await run_load("http", address)).answered >= 2


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Accept a WebSocket, and read its first event; gives the frame that answers it."""
    head = await reader.readuntil(b"\r\n\r\n")
    accept = wire.ws_accept().decode()
    writer.write(f"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    self_id = int(head.split(b"X-Self-ID: ")[1].split(b"\r\n")[0])
    await reader.readexactly(2)
    call = bodies.action("send_msg", bodies.reply(bodies.event(self_id, 0)), str(self_id))
    return wire.server_frame(bodies.dumps(call).encode())


async def test_an_answer_that_strays_to_another_connection_ends_the_run() -> None:
    async def strayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        call = bodies.action("send_msg", bodies.reply(bodies.event(7, 0)), "7")
        writer.write(wire.server_frame(bodies.dumps(call).encode()))
        await reader.read()

    async with answering(strayed) as address:
        with pytest.raises(LoadError, match="expected the frame"):
            await run_load("websocket", address, 10)


async def test_a_websocket_that_is_refused_ends_the_run() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await reader.read()

    async with answering(refuse) as address:
        with pytest.raises(LoadError, match="expected the end of an opening handshake"):
            await run_load("websocket", address, 10)


async def test_a_ping_is_answered_and_the_answer_around_it_still_read() -> None:
    pongs: list[bytes] = []

    async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = await shake_hands(reader, writer)
        pong = wire.client_frame(b"abcd", 0xA)
        ping = b"\x89\x04abcd"
        for piece in (ping[:1], ping[1:] + answer[:20], answer[20:] + ping):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        seen = b""
        while seen.count(pong[:2]) < 2 and (data := await reader.read(4096)):
            seen += data
        pongs.append(seen)
        await reader.read()

    async with answering(ping) as address:
        load = Load(no_clock)
        await load.connect(JOBS["websocket"], address, 1)
        await load.run(0)
        assert load.answered == 1
        while not pongs:
            await asyncio.sleep(0)
        await load.close()
    assert pongs[0].count(b"\x8a\x84") == load.pinged == 2


async def test_a_server_that_hangs_up_ends_the_run() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with answering(hang_up) as address:
        with pytest.raises(LoadError, match="the server ended a connection"):
            await run_load("http", address, 10)


async def test_a_server_that_says_nothing_ends_the_run() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with answering(say_nothing) as address:
        load = Load(no_clock)
        await load.connect(JOBS["http"], address, 2)
        load.patience = 0
        with pytest.raises(LoadError, match="no answer came on 2 connections within 0 s"):
            await load.run(0)
        await load.close()


async def test_a_server_that_is_not_there_ends_the_run() -> None:
    async with floor() as (address, _):
        pass
    with pytest.raises(LoadError, match="could not connect"):
        await run_load("http", address)


async def test_the_probe_sees_a_server_that_does_something_else() -> None:
    async with floor() as (address, _):
        with pytest.raises(LoadError, match="a wrong token: expected status 403"):
            await probe(address)


# The clock


def test_the_clock_of_a_process_is_its_own_cpu_time() -> None:
    clock = process_clock(os.getpid())
    before, seen, after = time.process_time_ns(), clock(), time.process_time_ns()
    assert before <= seen <= after


# Idle connections


@pytest.mark.parametrize("name", ["floor", "nbdriver"])
async def test_idle_connections_are_held_while_events_flow_on_others(name: str) -> None:
    subject = Subject(name, "asyncio")
    settings = Settings(seconds=0.02, warm_up=0.01, connections=2, idle=5, rest=0.01)
    (taken,) = await measure_idle(7, [subject], settings)
    assert (taken.round, taken.subject, taken.connections) == (7, subject, 5)
    assert taken.alone.events >= 2
    assert taken.beside.events >= 2
    assert taken.rest.events == 0
    assert taken.rest.wall > 0


async def test_more_files_than_are_allowed_end_the_run_before_it_begins() -> None:
    settings = Settings(seconds=0.02, warm_up=0.01, connections=2, idle=2**31)
    with pytest.raises(LoadError, match=r"expected to be allowed 2147483750 open files for"):
        await measure_idle(1, [Subject("floor", "asyncio")], settings)


def test_files_that_are_allowed_already_need_nothing() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_files(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_memory_is_counted_that_a_process_has_in_use() -> None:
    before = resident(os.getpid())
    block = b"x" * 2**26
    assert 2**25 < resident(os.getpid()) - before < 2**27
    del block


def test_twenty_thousand_connections_come_from_one_address_and_more_from_others() -> None:
    assert [source(number) for number in (0, 19_999)] == [None, None]
    assert [source(number) for number in (20_000, 40_000)] == [("127.0.0.2", 0), ("127.0.0.3", 0)]
    with socket.create_server((HOST, 0)) as server:
        address = server.getsockname()[:2]
        with socket.create_connection(address, source_address=source(20_000)) as client:
            assert client.getsockname()[0] == "127.0.0.2"


def idle_sample(number: int, kib: float, beside: float = 60.0) -> IdleSample:
    """Ten idle connections of so many KiB each, and a second at rest that took a millisecond."""
    return IdleSample(
        number,
        Subject("nbdriver", "asyncio"),
        connections=10,
        memory=int(kib * 10_240),
        alone=Measurement(1000, 10**9, 50_000_000),
        beside=Measurement(1000, 10**9, int(beside * 1e6)),
        rest=Measurement(0, 10**9, 1_000_000),
        pinged=10,
    )


def test_an_idle_sample_tells_memory_for_each_and_time_per_event_and_at_rest() -> None:
    told = idle_sample(1, 8.0)
    assert (told.kib, told.cpu_alone, told.cpu_beside, told.busy) == (8.0, 50.0, 60.0, 0.001)


def test_idle_samples_are_told_by_their_median() -> None:
    (row,) = summarise_idle([idle_sample(1, 8.0), idle_sample(2, 9.0), idle_sample(3, 13.0, 90.0)])
    assert str(row.subject) == "nbdriver on asyncio"
    assert row.kib == Spread(9.0, 8.0, 13.0)
    assert row.cpu_beside == Spread(60.0, 60.0, 90.0)
    assert row.pinged == Spread(10, 10, 10)


# The sums


def sample(
    number: int, job: str, name: str, cpu: float, loop: str = "asyncio", wall: int = 10**9
) -> Sample:
    """A thousand events that took `cpu` microseconds each."""
    measured = Measurement(1000, wall, int(cpu * 1e6), 3_000_000)
    return Sample(number, job, Subject(name, loop), measured)


def test_a_sample_tells_microseconds_per_event_and_events_per_second() -> None:
    told = sample(1, "http", "nbdriver", 40.0, wall=2 * 10**9)
    assert (told.cpu, told.rate, told.busy, told.generator_cpu) == (40.0, 500.0, 0.02, 3.0)


def test_a_spread_is_the_median_with_the_lowest_and_the_highest() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([4.0, 1.0, 2.0, 3.0]) == Spread(2.5, 1.0, 4.0)


def test_servers_are_compared_within_a_round_and_a_loop() -> None:
    figures = {"uvicorn": (100, 400, 300), "nbdriver": (50, 100, 300)}
    samples = [
        sample(number, "http", name, cpu)
        for name, values in figures.items()
        for number, cpu in enumerate(values, 1)
    ]
    samples += [sample(1, "http", "nbdriver", 10, "uvloop"), sample(1, "websocket", "floor", 5)]
    rows = summarise(samples)
    assert [(row.job, str(row.subject)) for row in rows] == [
        ("http", "uvicorn on asyncio"),
        ("http", "nbdriver on asyncio"),
        ("http", "nbdriver on uvloop"),
        ("websocket", "floor on asyncio"),
    ]
    # The rounds' ratios are 0.5, 0.25 and 1; that of the medians would be a third.
    assert rows[1].ratios == {"uvicorn": Spread(0.5, 0.25, 1.0)}
    assert rows[1].cpu == Spread(100.0, 50.0, 300.0)
    assert rows[2].ratios == {}
    assert rows[3].ratios == {"floor": Spread(1.0, 1.0, 1.0)}


# The report


def a_run(python: str = "3.12.1", cpu: float = 40.0) -> report.Run:
    samples = [sample(1, "http", "floor", 20.0), sample(1, "http", "nbdriver", cpu)]
    machine = {"processors": "2 x Nothing", "Python": f"{python} (CPython)"}
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return report.Run(began, "make bench", machine, Settings(rounds=1), samples)


def test_the_table_stands_in_columns() -> None:
    title, headings, floor_row, own_row = report.text(a_run()).splitlines()
    assert title == report.TITLES["http"]
    assert headings.split()[:2] == ["server", "loop"]
    assert floor_row.split() == "floor asyncio 20.0 20.0-20.0 1,000 2% 1.00 - -".split()
    assert own_row.split() == "nbdriver asyncio 40.0 40.0-40.0 1,000 4% 2.00 - -".split()
    assert floor_row.index("20.0") == own_row.index("40.0")


def test_the_docs_take_the_figures_of_each_python_in_its_own_block(tmp_path: Path) -> None:
    docs = tmp_path / "performance.md"
    docs.write_text("Before.\n\n" + report.in_docs(a_run("3.11.7")) + "\nAfter.\n", "utf-8")
    report.write_docs(a_run("3.12.1", cpu=50.0), docs)
    report.write_docs(a_run("3.11.9", cpu=60.0), docs)
    content = docs.read_text("utf-8")
    assert content == "\n".join(
        [
            "Before.",
            "",
            report.in_docs(a_run("3.11.9", cpu=60.0)),
            report.in_docs(a_run("3.12.1", cpu=50.0)),
            "After.",
            "",
        ]
    )
    assert "| nbdriver | asyncio | 60.0 | 60.0-60.0 |" in content
    assert "processors 2 x Nothing; Python 3.11.9 (CPython)." in content


def test_idle_connections_have_their_own_block_in_the_docs(tmp_path: Path) -> None:
    docs = tmp_path / "performance.md"
    run = replace(a_run(), samples=[], idle=[idle_sample(1, 8.0)])
    docs.write_text(report.in_docs(a_run()) + "\n" + report.idle_in_docs(run), "utf-8")
    again = replace(run, idle=[idle_sample(1, 7.0)])
    report.write_docs(again, docs)
    assert docs.read_text("utf-8") == report.in_docs(a_run()) + "\n" + report.idle_in_docs(again)
    assert "| nbdriver | asyncio | 7.0 | 7.0-7.0 | 50.0 | 60.0 | 0.10 | 10 |" in docs.read_text()
    assert "10,000 idle WebSockets, at rest for 20 s" in docs.read_text()


def test_docs_without_a_place_for_figures_are_left_alone(tmp_path: Path) -> None:
    docs = tmp_path / "performance.md"
    docs.write_text("Nothing.\n", "utf-8")
    with pytest.raises(ValueError, match="expected a block"):
        report.write_docs(a_run(), docs)
    assert docs.read_text("utf-8") == "Nothing.\n"


# The command


def test_a_miniature_run_measures_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "performance.md"
    docs.write_text(report.in_docs(a_run("3.0.1")), "utf-8")
    command = "--quick --rounds 1 --seconds 0.05 --connections 2 --peers floor --loops asyncio"
    arguments = [*command.split(), "--write-docs"]
    assert main(arguments, results=tmp_path / "results", docs=docs) == 0
    (path,) = (tmp_path / "results").iterdir()
    content = json.loads(path.read_text("utf-8"))
    taken = [(each["job"], each["subject"]["name"]) for each in content["samples"]]
    assert taken == [(job, name) for job in JOBS for name in ("floor", "nbdriver")]
    assert all(each["measurement"]["events"] for each in content["samples"])
    assert content["command"] == f"make bench ARGS='{command} --write-docs'"
    assert content["machine"]["h11"]
    told = capsys.readouterr()
    assert all(title in told.out for title in report.TITLES.values())
    assert f"`make bench ARGS='{command} --write-docs'`" in docs.read_text("utf-8")


def test_a_miniature_run_of_idle_connections_measures_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = tmp_path / "performance.md"
    docs.write_text("<!-- idle: Python 3.0 -->\n<!-- end of idle -->\n", "utf-8")
    command = "--only idle --idle 5 --rest 0.05 --rounds 1 --seconds 0.05 --connections 2"
    arguments = [*command.split(), *"--peers floor --loops asyncio --write-docs".split()]
    assert main(arguments, results=tmp_path / "results", docs=docs) == 0
    (path,) = (tmp_path / "results").iterdir()
    content = json.loads(path.read_text("utf-8"))
    assert content["samples"] == []
    taken = [(each["subject"]["name"], each["connections"]) for each in content["idle samples"]]
    assert taken == [("floor", 5), ("nbdriver", 5)]
    told = capsys.readouterr()
    assert "KiB each" in told.out
    assert "KiB on asyncio" in told.err
    assert "5 idle WebSockets" in docs.read_text("utf-8")


async def test_a_round_measures_every_server_once_at_its_job() -> None:
    subjects = [Subject("floor", "asyncio"), Subject("nbdriver", "asyncio")]
    settings = Settings(seconds=0.02, turn=0.01, warm_up=0.01, connections=2)
    samples = await measure_round(3, "websocket", subjects, settings)
    assert [(each.round, each.job, each.subject) for each in samples] == [
        (3, "websocket", subject) for subject in subjects
    ]
    assert all(each.measurement.server_cpu > 0 for each in samples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "http,ftp"], "expected names of http, websocket, idle, got ftp"),
        (["--peers", "apache"], "expected names of floor, uvicorn, uvicorn-bare, got apache"),
        (["--rounds", "0"], "expected a whole number from 1, got 0"),
        (["--seconds", "x"], "expected seconds from 0.05 to 600, got x"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(message)
