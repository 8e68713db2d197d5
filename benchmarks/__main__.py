"""The command line: `make bench`, or `python -m benchmarks` where the package is installed."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from . import archive, environments, machine, page, report
from .anybody import Anybody, measure_anybody
from .command import Choice, choose, parser, spoken
from .load import LoadError
from .plan import Step, plan, subjects_of
from .probe import probe
from .process import ServerError, ServerProcess, Subject
from .processors import one_processor
from .result import Run
from .servers import SERVERS
from .summary import FLOOR, OURS

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs" / "performance.md"


def main(argv: Sequence[str] | None = None, *, results: Path = RESULTS, docs: Path = DOCS) -> int:
    """Measure as the command line says, and report; gives the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser().parse_args(argv)
    if noise := machine.busy(os.getloadavg()[0], os.cpu_count() or 1):
        _say(noise)
    if arguments.address:
        return _anybody(arguments)
    settings, jobs = choose(arguments)
    if any("uvloop" in choice.loops for choice in jobs.values()) and not _found("uvloop"):
        _say("expected uvloop to be installed; `make bench` sees to that by itself")
        return 2
    run = Run(datetime.now(UTC), spoken(argv), machine.describe(arguments.json), settings)
    try:
        _prepare(run, jobs)
        with one_processor(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_measure(run, jobs, arguments.json))
    except (LoadError, ServerError, OSError) as error:
        _say(f"The run has failed. {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return _report(run, arguments, results, docs)


def _anybody(arguments: argparse.Namespace) -> int:
    """Measure a server that runs already; gives the exit code."""
    names = ("address", "job", "path", "token", "pid", "connections", "seconds")
    given = {name: getattr(arguments, name) for name in names}
    server = Anybody(**{name: value for name, value in given.items() if value is not None})
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            print(runner.run(measure_anybody(server)).text())
    except (LoadError, OSError) as error:
        _say(f"The run has failed. {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _report(run: Run, arguments: argparse.Namespace, results: Path, docs: Path) -> int:
    print(f"\n{report.text(run)}\n")
    path = archive.write_json(run, results)
    html = path.with_suffix(".html")
    page.write_page(archive.as_json(run), html)
    _say(f"Everything that was measured: {_shown(path)}")
    _say(f"The same as a page with plots: {_shown(html)}")
    if arguments.write_docs and not run.failures:
        report.write_docs(run, docs)
        _say(f"The tables are in {_shown(docs)}")
    return 1 if run.failures else 0


def _found(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The load generator's: uvloop, where it is installed, so that it is not the slower side."""
    if not _found("uvloop"):
        return None
    factory: Callable[[], asyncio.AbstractEventLoop]
    factory = importlib.import_module("uvloop").new_event_loop
    return factory


def _prepare(run: Run, jobs: Mapping[str, Choice]) -> None:
    """Make the peers' environments; those of which that fails are missing in the run."""
    names = {name for choice in jobs.values() for name in choice.peers} | {OURS}
    for environment in sorted({SERVERS[name].environment for name in names}):
        try:
            environments.prepare(environment, _say)
        except environments.InstallError as error:
            for name in names:
                if SERVERS[name].environment == environment:
                    run.missing[name] = f"its environment could not be made: {error}"
            _say(f"{environment}: could not be installed, so it is left out: {error}")
        else:
            run.versions[environment] = environments.versions(environment)


async def _measure(run: Run, jobs: Mapping[str, Choice], json: str) -> None:
    """See that all servers do the same, then measure step by step, saying how far it is."""
    entered = [each for choice in jobs.values() for each in subjects_of(choice, json, run.missing)]
    for subject in dict.fromkeys(entered):
        if subject.name != FLOOR and subject.name not in run.missing:
            await _check(run, subject)
    steps = plan(run, jobs, json)
    done, began = 0.0, time.monotonic()
    for index, step in enumerate(steps):
        told = await _take(run, step)
        done += step.seconds
        left = sum(each.seconds for each in steps[index + 1 :])
        left *= (time.monotonic() - began) / done
        _say(f"{index + 1} of {len(steps)}, {step.label}: {told}; {left:.0f} s left")


async def _take(run: Run, step: Step) -> str:
    """Do one step; if it fails, it has no figures, and the run goes on to tell the others."""
    try:
        return await step.run()
    except (LoadError, ServerError) as error:
        run.failures.append(str(error))
        return f"failed: {error}"


async def _check(run: Run, subject: Subject) -> None:
    """See that a server answers as it should. If a peer does not, it is missing in the run."""
    try:
        async with ServerProcess(subject) as process:
            asked = await probe(process.address, SERVERS[subject.name].kinds)
            handled = await process.finish()
        if handled != asked:
            raise ServerError(f"its bot was called {handled} times for {asked} events")
    except (LoadError, ServerError) as error:
        if SERVERS[subject.name].environment == environments.OWN:
            raise ServerError(f"{subject}: {error}") from error
        run.missing[subject.name] = f"on {subject.loop}, {error}"
        _say(f"{subject}: left out: {error}")
    else:
        _say(f"{subject}: answers as it should")


def _shown(path: Path) -> str:
    """A path as a person wants to read it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
