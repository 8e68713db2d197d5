"""What it takes to be there at all: imports, the first answered event, memory at rest."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .clients import JOBS
from .environments import OWN, interpreter
from .load import Load, LoadError
from .process import ServerError, ServerProcess, Subject, clean_environ
from .servers import SERVERS

__all__ = [
    "PACKAGES",
    "ImportSample",
    "StartSample",
    "import_cost",
    "measure_imports",
    "measure_start",
]

ROOT = Path(__file__).resolve().parents[1]

PACKAGES = {
    "nbdriver": (
        OWN,
        """nbdriver nbdriver.net.server nbdriver.net.http11 nbdriver.net.websocket h11 wsproto""",
    ),
    "uvicorn, h11, wsproto": (
        "uvicorn",
        """uvicorn uvicorn.lifespan.on uvicorn.protocols.http.h11_impl
        uvicorn.protocols.websockets.wsproto_impl""",
    ),
    "uvicorn, httptools, websockets-sansio": (
        "uvicorn",
        """uvicorn uvicorn.lifespan.on uvicorn.protocols.http.httptools_impl
        uvicorn.protocols.websockets.websockets_sansio_impl""",
    ),
    "aiohttp.web": ("aiohttp", "aiohttp.web"),
    "hypercorn.asyncio": ("hypercorn", "hypercorn.asyncio hypercorn.config"),
    "nonebot, FastAPI driver": ("nonebot", "nonebot nonebot.drivers.fastapi"),
    "nonebot, our driver": ("nonebot", "nonebot nbdriver.nonebot"),
}
"""What is imported: a name, the environment, and all the modules that a server needs to run."""

_SCRIPT = """
import asyncio, time
cpu, wall = time.process_time_ns(), time.perf_counter_ns()
import {modules}
print([time.process_time_ns() - cpu, time.perf_counter_ns() - wall])
"""


@dataclass(frozen=True, slots=True)
class ImportSample:
    """One import in a process of its own, beyond `import asyncio`; times in nanoseconds."""

    round: int
    package: str
    cpu: int
    wall: int


async def measure_imports(number: int, environments: Sequence[str]) -> list[ImportSample]:
    """Import each package once, if its environment is among those. Raises ServerError."""
    return [
        ImportSample(number, name, *await import_cost(interpreter(environment), modules.split()))
        for name, (environment, modules) in PACKAGES.items()
        if environment in environments
    ]


async def import_cost(python: Path, modules: list[str]) -> tuple[int, int]:
    """What an import takes there beyond `import asyncio`: CPU time and time, in nanoseconds.

    Raises ServerError.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-c", _SCRIPT.format(modules=", ".join(modules))),
        cwd=ROOT,
        env=clean_environ(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    if process.returncode:
        raise ServerError(
            f"import {', '.join(modules)}: {complained.decode(errors='replace')[-300:]}"
        )
    cpu, wall = json.loads(said)
    return cpu, wall


@dataclass(frozen=True, slots=True)
class StartSample:
    """One start of a server's process; times in nanoseconds, memory in bytes."""

    round: int
    subject: Subject
    first_event: int
    """From the start of its process to the answer to its first event, on the clock."""
    cpu: int
    """CPU time of its processes until then."""
    resident: int
    """The memory that its processes have resident when it has been at rest for a moment."""


async def measure_start(number: int, subjects: Sequence[Subject]) -> list[StartSample]:
    """Start each server once. Raises ServerError or LoadError."""
    return [await _start(number, subject) for subject in subjects]


async def _start(number: int, subject: Subject) -> StartSample:
    kinds = SERVERS[subject.name].kinds
    began = time.monotonic_ns()
    async with ServerProcess(subject) as process:
        clock = process.clock()
        load = Load(clock)
        try:
            await load.connect(JOBS["http" if "http" in kinds else "websocket"], process.address, 1)
            await load.run(0)
            first, cpu = time.monotonic_ns() - began, clock()
        except LoadError as error:
            raise LoadError(f"{subject}, start: {error}") from error
        finally:
            await load.close()
        await asyncio.sleep(0.2)
        memory = process.resident()
        await process.finish()
    return StartSample(number, subject, first, cpu, memory)
