"""wrk, a load generator in C that others know, beside our own: both have to find the same cost."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import bodies
from .clients import JOBS
from .load import Load, LoadError
from .measure import Settings
from .process import ServerError, ServerProcess, Subject

__all__ = ["WrkSample", "find_wrk", "measure_wrk", "script"]

_SECONDS = 1  # wrk knows no less
_DONE = re.compile(r"^\s*(\d+) requests in ([0-9.]+)(ms|s)", re.MULTILINE)
_WRONG = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")


@dataclass(frozen=True, slots=True)
class WrkSample:
    """What a server took by our generator and by wrk in one round.

    CPU time per event in microseconds, and events per second.
    """

    round: int
    subject: Subject
    ours: float
    wrk: float
    ours_rate: float
    wrk_rate: float


def find_wrk() -> str | None:
    """Where wrk is, if it is installed (Debian: wrk)."""
    return shutil.which("wrk")


def script() -> str:
    """The request that wrk repeats, as a program for it (Lua)."""
    self_id = bodies.first_self_id
    headers = {
        "User-Agent": "OneBot/11",
        "Authorization": bodies.AUTHORIZATION.decode(),
        "Content-Type": "application/json",
        "Accept-Encoding": "gzip",
        "X-Self-ID": str(self_id),
    }
    lines = ['wrk.method = "POST"', f"wrk.body = [==[{bodies.dumps(bodies.event(self_id, 0))}]==]"]
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    return "\n".join([*lines, ""])


async def measure_wrk(
    number: int, wrk: str, subjects: Sequence[Subject], settings: Settings
) -> list[WrkSample]:
    """Measure servers at the job `http` by both, in turns. Raises ServerError or LoadError."""
    with _program() as program:
        return [await _measure(number, wrk, program, each, settings) for each in subjects]


@contextmanager
def _program() -> Iterator[Path]:
    """The script in a file, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "post.lua")
        program.write_text(script(), encoding="utf-8")
        yield program


async def _measure(
    number: int, wrk: str, program: Path, subject: Subject, settings: Settings
) -> WrkSample:
    async with ServerProcess(subject) as process:
        clock = process.clock()
        load = Load(clock)
        try:
            await load.connect(JOBS["http"], process.address, settings.connections)
            await load.run(settings.warm_up)
            ours = await load.run(_SECONDS / 2)
            before = clock()
            requests, rate = await _run_wrk(wrk, program, process.address, settings.connections)
            theirs = clock() - before
            ours += await load.run(_SECONDS / 2)
        except LoadError as error:
            raise LoadError(f"{subject}, wrk: {error}") from error
        finally:
            await load.close()
        handled = await process.finish()
    # wrk does not count what was on its way when its time was over.
    if not 0 <= handled - load.answered - requests <= settings.connections:
        raise ServerError(
            f"{subject}, wrk: {load.answered + requests} events were answered,"
            f" but its bot was called with {handled}"
        )
    return WrkSample(
        number,
        subject,
        ours=ours.server_cpu / ours.events / 1e3,
        wrk=theirs / requests / 1e3,
        ours_rate=ours.events / ours.wall * 1e9,
        wrk_rate=rate,
    )


async def _run_wrk(
    wrk: str, program: Path, address: tuple[str, int], connections: int
) -> tuple[int, float]:
    """Let wrk run; gives the number of requests and that per second. Raises LoadError."""
    host, port = address
    command = [wrk, "-t1", f"-c{connections}", f"-d{_SECONDS}s", "-s", str(program)]
    process = await asyncio.create_subprocess_exec(
        *command, f"http://{host}:{port}/onebot/http", stdout=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[0].decode(errors="replace")
    done = _DONE.search(said)
    if wrong := _WRONG.search(said):
        raise LoadError(f"wrk said: {wrong[0]}")
    if not done or not int(done[1]):
        raise LoadError(f"expected wrk to tell how many requests it made, got {said!r}")
    seconds = float(done[2]) * (1e-3 if done[3] == "ms" else 1)
    return int(done[1]), int(done[1]) / seconds
