"""A server's process starts, tells what it did, and ends with whoever started it."""

from __future__ import annotations

import pytest

from benchmarks.cpu import process_clock
from benchmarks.process import Launch, ServerError, ServerProcess, Subject, clean_environ


async def test_a_server_ends_when_its_standard_input_does() -> None:
    async with ServerProcess(Subject("floor", "asyncio")) as process:
        assert await process.finish() == 0
    with pytest.raises(ProcessLookupError):
        process_clock(process.pid)


async def test_a_server_that_cannot_start_is_an_error_that_names_it() -> None:
    with pytest.raises(ServerError, match="nobody on asyncio: its process ended"):
        async with ServerProcess(Subject("nobody", "asyncio")):
            raise AssertionError


async def test_the_time_and_the_memory_of_all_its_processes_count() -> None:
    async with ServerProcess(Subject("floor", "asyncio")) as process:
        single = process.resident()
        before = process_clock(process.pid)()
        process.pids = [process.pid, process.pid]
        assert process.clock()() >= 2 * before > 0
        assert process.resident() >= single * 2 * 0.9
        await process.finish()


def test_a_subject_is_its_name_and_loop_however_it_is_started() -> None:
    elsewhere = Subject("floor", "asyncio", Launch("/somewhere/python", "orjson"))
    assert elsewhere == Subject("floor", "asyncio")
    assert str(elsewhere) == "floor on asyncio"


def test_no_setting_of_python_or_of_the_driver_reaches_a_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONDONTWRITEBYTECODE", "NBDRIVER_PORT", "LANG"):
        monkeypatch.setenv(name, "1")
    assert clean_environ().keys() & {"PYTHONDONTWRITEBYTECODE", "NBDRIVER_PORT", "LANG"} == {"LANG"}
