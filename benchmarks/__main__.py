"""The command line: `make bench`, or `python -m benchmarks` where the peers are installed."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from . import machine, report
from .idle import IdleSample, measure_idle
from .load import JOBS, LoadError
from .measure import Sample, ServerError, ServerProcess, Settings, Subject, measure_round
from .probe import probe
from .servers import LOOPS, SERVERS

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs" / "performance.md"

OURS = "nbdriver"
PEERS = tuple(name for name in SERVERS if name != OURS)
IDLE = "idle"
QUICK = Settings(rounds=3, seconds=0.5, warm_up=0.2, idle=1_000, rest=5.0)


def main(argv: Sequence[str] | None = None, *, results: Path = RESULTS, docs: Path = DOCS) -> int:
    """Measure as the command line says, and report; gives the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv)
    subjects = [
        Subject(name, loop)
        for loop in arguments.loops
        for name in SERVERS
        if name == OURS or name in arguments.peers
    ]
    if missing := [name for name in _modules(subjects) if not importlib.util.find_spec(name)]:
        _say(f"expected {', '.join(missing)} to be installed; `make bench` sees to that by itself")
        return 2
    settings = _settings(arguments)
    facts = machine.describe()
    began = datetime.now(UTC)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            samples, idle = runner.run(_measure(subjects, arguments.only, settings))
    except (LoadError, ServerError, OSError) as error:
        _say(f"The run has failed. {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    command = f"make bench ARGS={shlex.quote(shlex.join(argv))}" if argv else "make bench"
    run = report.Run(began, command, facts, settings, samples, idle)
    print(f"\n{report.text(run)}\n")
    _say(f"Everything that was measured: {_shown(report.write_json(run, results))}")
    if arguments.write_docs:
        report.write_docs(run, docs)
        _say(f"The tables are in {_shown(docs)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="CPU time of the server's process per event, beside its peers.",
        allow_abbrev=False,
    )
    default = Settings()
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer and shorter rounds, for a first look")
    add("--rounds", type=_positive, help=f"default: {default.rounds}")
    add(
        "--seconds",
        type=_seconds,
        help=f"how long each server is measured in a round; default: {default.seconds}",
    )
    add("--connections", type=_positive, help=f"default: {default.connections}")
    add("--idle", type=_positive, help=f"how many idle WebSockets; default: {default.idle}")
    add("--rest", type=_seconds, help=f"how long those are at rest; default: {default.rest}")
    jobs = ",".join(JOBS)
    add(
        "--only",
        type=_names((*JOBS, IDLE)),
        default=tuple(JOBS),
        help=f"the jobs to measure, of {jobs},{IDLE}; default: {jobs}",
    )
    for option, known, what in (
        ("--peers", PEERS, f"what to measure beside {OURS}"),
        ("--loops", LOOPS, "the event loops to measure on"),
    ):
        names = ",".join(known)
        add(option, type=_names(known), default=known, help=f"{what}; default: {names}")
    add("--write-docs", action="store_true", help="put the tables into docs/performance.md")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 600:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.05 to 600, got {text}")
    return seconds


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(
                f"expected names of {', '.join(known)}, got {', '.join(unknown)}"
            )
        return names

    return parse


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = QUICK if arguments.quick else Settings()
    given = {
        name: getattr(arguments, name)
        for name in ("rounds", "seconds", "connections", "idle", "rest")
        if getattr(arguments, name) is not None
    }
    settings = replace(settings, **given)
    return replace(settings, turn=min(settings.turn, settings.seconds))


def _modules(subjects: Sequence[Subject]) -> list[str]:
    """What has to be installed for these servers, beyond the package itself."""
    named = {"uvloop": any(each.loop == "uvloop" for each in subjects)}
    named["uvicorn"] = any(each.name.startswith("uvicorn") for each in subjects)
    return [name for name, needed in named.items() if needed]


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The load generator's: uvloop, where it is installed, so that it is not the slower side."""
    if not importlib.util.find_spec("uvloop"):
        return None
    factory: Callable[[], asyncio.AbstractEventLoop]
    factory = importlib.import_module("uvloop").new_event_loop
    return factory


async def _measure(
    subjects: Sequence[Subject], jobs: Sequence[str], settings: Settings
) -> tuple[list[Sample], list[IdleSample]]:
    """See that all servers do the same, then measure round by round, saying how far it is."""
    for subject in subjects:
        if subject.name != "floor":
            await _check(subject)
    steps = [(number, job) for number in range(1, settings.rounds + 1) for job in jobs]
    samples: list[Sample] = []
    idle: list[IdleSample] = []
    began = time.monotonic()
    for done, (number, job) in enumerate(steps, 1):
        if job == IDLE:
            held = await measure_idle(number, subjects, settings)
            idle += held
            figures = [(each.subject, f"{each.kib:.1f} KiB") for each in held]
        else:
            taken = await measure_round(number, job, subjects, settings)
            samples += taken
            figures = [(each.subject, f"{each.cpu:.1f} us") for each in taken]
        own = ", ".join(
            f"{figure} on {subject.loop}" for subject, figure in figures if subject.name == OURS
        )
        left = (time.monotonic() - began) / done * (len(steps) - done)
        _say(f"round {number} of {settings.rounds}, {job}: {OURS} {own}; {left:.0f} s left")
    return samples, idle


async def _check(subject: Subject) -> None:
    async with ServerProcess(subject) as process:
        try:
            asked = await probe(process.address)
        except LoadError as error:
            raise LoadError(f"{subject}: {error}") from error
        handled = await process.finish()
    if handled != asked:
        raise ServerError(f"{subject}: its bot was called {handled} times for {asked} events")
    _say(f"{subject}: answers as it should")


def _shown(path: Path) -> str:
    """A path as a person wants to read it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
