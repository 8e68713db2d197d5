"""SIGTERM at a random moment, many times: `make stress`, or `python -m stress.run` in tests/.

Each run is a process of its own, served and put under load as its seed says. What fails can be
repeated with `--seed`; the plan is then the same, though the machine's own timing never is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from support.limits import files_allowed
from support.program import PATIENCE, ROOT, clean_environment

from .clients import Clients, Seen
from .judge import Outcome, complaints
from .plan import Moment, Plan

_LISTENING = re.compile(rb"Listening on http://\S+:(\d+)")


class Process:
    """The bot in a process of its own, whose standard error is read all the while."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._listens = asyncio.Event()
        self.port: int | None = None
        self.errors = b""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.errors += line
            if (found := _LISTENING.search(line)) is not None:
                self.port = int(found[1])
                self._listens.set()
        self._listens.set()

    async def starts(self) -> None:
        """Wait until its start-up hook runs."""
        assert self._process.stdout is not None
        await self._process.stdout.readline()

    async def listens(self) -> int | None:
        """The port that it listens on; None if it has ended instead."""
        await self._listens.wait()
        return self.port

    def terminate(self) -> None:
        """Send SIGTERM, if it is still there."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait for its end; gives the exit code."""
        await self._reading
        return await self._process.wait()

    async def kill(self) -> None:
        """See that it is gone, whatever has happened."""
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()


async def run(plan: Plan, folder: Path) -> Outcome:
    """Do what the plan says; `folder` takes the bot's file."""
    path = folder / f"{plan.seed}.txt"
    tests = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = Process(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "always", "-m", "stress.bot", str(path), plan.loop),
            cwd=folder,
            env=clean_environment(PYTHONPATH=tests),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    )
    try:
        async with asyncio.timeout(2 * PATIENCE):
            seen = await _load(plan, process)
            code = await process.ended()
    finally:
        await process.kill()
    written = path.read_text("utf-8").splitlines() if path.exists() else []
    return Outcome(code, written, process.errors.decode(), seen)


async def _load(plan: Plan, process: Process) -> Seen:
    """Put the process under load, and end it at the moment of the plan."""
    if plan.moment in (Moment.PYTHON, Moment.START):
        ending = asyncio.create_task(_terminate(plan, process))
        port = await process.listens()
        clients = Clients(port or 0, plan.seed)
        if port is not None:
            await clients.run()
        await ending
        return clients.seen
    port = await process.listens()
    assert port is not None, f"it has not started: {process.errors.decode()}"
    clients = Clients(port, plan.seed)
    loading = asyncio.create_task(clients.run())
    await clients.have(plan.answered)
    await _terminate(plan, process)
    await loading
    return clients.seen


async def _terminate(plan: Plan, process: Process) -> None:
    if plan.moment is Moment.START:
        await process.starts()
    await asyncio.sleep(plan.delay)
    process.terminate()
    if plan.second is not None:
        await asyncio.sleep(plan.second)
        process.terminate()


async def run_all(seeds: Iterable[int], jobs: int) -> list[Plan]:
    """Run the plans of the seeds, so many at a time, and tell of each; gives those that failed."""
    failed: list[Plan] = []
    turns = asyncio.Semaphore(jobs)

    async def take_turn(plan: Plan, folder: Path) -> None:
        async with turns:
            outcome = await run(plan, folder)
        found = complaints(plan, outcome)
        if found:
            failed.append(plan)
        _say(
            f"{'FAILED' if found else 'passed'} {plan}: {outcome}",
            *(f"    {line}" for line in found),
        )

    with tempfile.TemporaryDirectory() as folder, files_allowed(1_000):
        async with asyncio.TaskGroup() as group:
            for seed in seeds:
                group.create_task(take_turn(Plan.of(seed), Path(folder)))
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line says; gives the exit code."""
    arguments = _arguments(argv)
    first = secrets.randbelow(10**6)
    seeds = arguments.seed or range(first, first + arguments.runs)
    if not arguments.seed:
        _say(f"seeds {first} to {first + arguments.runs - 1}, {arguments.jobs} at a time")
    began = time.monotonic()
    failed = asyncio.run(run_all(seeds, arguments.jobs))
    took = time.monotonic() - began
    if failed:
        again = " ".join(f"--seed {plan.seed}" for plan in failed)
        _say(f"Repeat what failed by: make stress ARGS='{again}'")
    passed = len(seeds) - len(failed)
    _say(f"{f'{len(failed)} failed, ' * bool(failed)}{passed} passed in {took:.2f}s")
    return 1 if failed else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make stress", description="SIGTERM at a random moment under load.", allow_abbrev=False
    )
    parser.add_argument("--runs", type=int, default=100, help="how many; default: %(default)s")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="at a time; default: one for each core"
    )
    parser.add_argument(
        "--seed", type=int, action="append", help="run this one; may be given several times"
    )
    return parser.parse_args(argv)


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
