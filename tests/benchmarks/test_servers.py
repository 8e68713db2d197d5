"""The servers do the same; here those whose packages are installed beside the tests.

`make bench` asks each of its servers the same questions before it measures.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import FrameType

import pytest
from support.measured import run_load

from benchmarks.application import Tally
from benchmarks.environments import OWN, REQUIREMENTS
from benchmarks.probe import probe
from benchmarks.process import Launch, ServerProcess, Subject
from benchmarks.servers import SERVERS
from benchmarks.serving import HOST, LOOPS

NEEDED = {
    "nbdriver": "json",
    "nbdriver-plain": "json",
    "uvicorn": "uvicorn",
    "uvicorn-h11": "uvicorn",
    "uvicorn-httptools": "httptools",
    "uvicorn-zttp": "zttp",
    "uvicorn-wsproto": "uvicorn",
    "uvicorn-sansio": "websockets",
    "hypercorn": "hypercorn",
    "aiohttp": "aiohttp",
    "granian": "granian",
    "picows": "picows",
    "picows-loop": "picows",
    "nonebot-nbdriver": "nonebot",
    "nonebot-fastapi": "nonebot",
    "nonebot-quart": "nonebot",
}
SUBJECTS = [
    Subject(name, loop)
    for name, module in NEEDED.items()
    for loop in (LOOPS if name.startswith("nbdriver") else LOOPS[:1])
    if importlib.util.find_spec(module) and importlib.util.find_spec(loop)
]


def test_every_server_but_the_floor_is_among_them() -> None:
    assert NEEDED.keys() | {"floor"} == SERVERS.keys()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda each: str(each))
async def test_every_server_gives_the_same_answers(subject: Subject) -> None:
    async with ServerProcess(subject) as process:
        asked = await probe(process.address, SERVERS[subject.name].kinds)
        assert await process.finish() == asked > 0


@pytest.mark.parametrize(("job", "library"), [("http", "h11"), ("websocket", "wsproto")])
@pytest.mark.parametrize(("name", "plain"), [("nbdriver", False), ("nbdriver-plain", True)])
async def test_h11_and_wsproto_read_events_only_without_the_fast_lane(
    name: str, plain: bool, job: str, library: str
) -> None:
    readers = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if frame.f_code.co_name in {"receive_data", "receive_bytes"}:
            readers.add(str(frame.f_globals["__name__"]).partition(".")[0])

    async with SERVERS[name].serve(Tally(), 0) as started:
        sys.setprofile(note)
        try:
            await run_load(job, (HOST, started.port))
        finally:
            sys.setprofile(None)
    assert (library in readers) is plain


async def test_the_answers_are_the_same_by_orjson() -> None:
    if not importlib.util.find_spec("orjson"):
        pytest.skip("orjson is not installed here")
    subject = Subject("nbdriver", "asyncio", Launch(json="orjson"))
    async with ServerProcess(subject) as process:
        assert await probe(process.address) == await process.finish()


def test_a_server_sees_orjson_only_if_the_run_is_by_orjson() -> None:
    script = (
        "import sys; from benchmarks import servers; servers.hide_orjson();"
        "from nbdriver import codec; print(codec.library)"
    )
    said = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert said == "json\n"


def test_every_environment_has_its_requirements() -> None:
    environments = {entry.environment for entry in SERVERS.values()} - {OWN}
    assert environments == {path.stem for path in REQUIREMENTS.glob("*.txt")}
