"""The command line: `make autobahn`, or `PYTHONPATH=tests python -m autobahn`."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.metadata
import platform
import shlex
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hosts.environments import ROOT, find_python
from support.lanes import LANES

import nbdriver
from nbdriver.errors import NetworkError

from . import report, suite
from .suite import AGENT, PATIENCE, Selection, SuiteError
from .testees import HOST, echo_client, echo_server

DOCS = ROOT / "docs" / "autobahn.md"
#: Seconds that a run may take; one of all cases takes some minutes.
BOUND = 7_200
#: Seconds for one case of the client's: the longest of the suite's own limits, and some.
CASE_BOUND = 600

Verdicts = dict[str, str]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m autobahn",
        description="Autobahn's testsuite against our server and our client.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--cases", nargs="+", default=["*"], help='as in "9.*"; all by default')
    add("--exclude", nargs="+", default=[], help='as in "12.*"')
    add("--roles", nargs="+", choices=list(ROLES), default=list(ROLES), help="both by default")
    add("--loop", choices=["asyncio", "uvloop"], default="asyncio", help="default: asyncio")
    add("--lane", choices=LANES, default=LANES[0], help="default: fast")
    add("--folder", type=Path, help="for the suite's reports, which are kept there")
    add("--write-docs", action="store_true", help="put the counts of each role into the docs")
    return parser


async def try_server(
    wstest: Sequence[str], selection: Selection, folder: Path, lane: str
) -> Verdicts:
    """The suite's fuzzing client against our server."""
    async with echo_server(lane) as server:
        port = server.addresses[0][1]
        options = {"serverConnectionDropTimeout": PATIENCE}
        servers = [{"agent": AGENT, "url": f"ws://{HOST}:{port}", "options": options}]
        began = _progress("server")
        fuzzing = suite.fuzzing(wstest, "fuzzingclient", selection, folder, began, servers=servers)
        async with fuzzing as (process, count):
            await process.finish()
    return _verdicts(folder, count)


async def try_client(
    wstest: Sequence[str], selection: Selection, folder: Path, lane: str
) -> Verdicts:
    """The suite's fuzzing server, and our client that asks it for one case after the other."""
    # The port is a placeholder; see `loopback`.
    url = f"ws://{HOST}:1"
    began = _progress("client")
    fuzzing = suite.fuzzing(wstest, "fuzzingserver", selection, folder, began, url=url)
    async with fuzzing as (process, count):
        port = int(await process.until(r"listening on port (\d+)"))
        ended = asyncio.create_task(process.finish())
        try:
            for number in range(1, count + 1):
                try:
                    async with asyncio.timeout(CASE_BOUND):
                        await echo_client(port, f"/runCase?case={number}&agent={AGENT}", lane)
                except NetworkError as error:
                    raise SuiteError(f"The client's case {number} of {count}: {error}") from error
            await echo_client(port, f"/updateReports?agent={AGENT}", lane)
        finally:
            # It goes on listening until it is ended, which `fuzzing` does.
            ended.cancel()
            with suppress(asyncio.CancelledError, SuiteError):
                await ended
    return _verdicts(folder, count)


def _progress(role: str) -> Callable[[str], object]:
    """Says where a role is, since all of it takes minutes."""
    return lambda group: print(f"as {role}: {group}.*", file=sys.stderr, flush=True)


ROLES = {"server": try_server, "client": try_client}


def _verdicts(folder: Path, count: int) -> Verdicts:
    found = suite.results(folder)
    if len(found) != count or not count:
        raise SuiteError(f"expected a report on {count} cases, got one on {len(found)}")
    return {case: report.verdict(each) for case, each in found.items()}


async def _try_all(
    wstest: Sequence[str], selection: Selection, folder: Path, roles: Sequence[str], lane: str
) -> dict[str, Verdicts]:
    """The roles side by side: mostly each waits for its other end."""
    async with asyncio.timeout(BOUND):
        tried = (ROLES[role](wstest, selection, folder / role, lane) for role in roles)
        return dict(zip(roles, await asyncio.gather(*tried), strict=True))


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "asyncio":
        return None
    factory: Callable[[], asyncio.AbstractEventLoop]
    factory = importlib.import_module(name).new_event_loop
    return factory


def _facts(loop: str) -> dict[str, str]:
    """The versions of everything that took part."""
    packages = ["wsproto", *(["uvloop"] if loop == "uvloop" else [])]
    return {
        **dict([suite.REQUIREMENT.split("==")]),
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "nbdriver": nbdriver.__version__,
        **{package: importlib.metadata.version(package) for package in packages},
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }


def main(
    argv: Sequence[str] | None = None,
    *,
    docs: Path = DOCS,
    folder: Path = suite.FOLDER,
    find: Callable[[str], Path | None] = find_python,
) -> int:
    """Try what the command line says, and tell; gives the exit code.

    That is 1 if a case was not good or the run did not come to its end, 2 if it could not begin.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser()
    arguments = parser.parse_args(argv)
    selection = Selection(tuple(arguments.cases), tuple(arguments.exclude))
    if arguments.write_docs and selection != Selection():
        parser.error("expected --write-docs with all cases")
    try:
        wstest = suite.prepare(find(suite.PYTHON), folder)
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 2
    now, began = datetime.now(UTC).date(), time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        reports = (arguments.folder or Path(temporary)).resolve()
        try:
            with asyncio.Runner(loop_factory=_loop_factory(arguments.loop)) as runner:
                trial = _try_all(wstest, selection, reports, arguments.roles, arguments.lane)
                verdicts = runner.run(trial)
        except (SuiteError, OSError) as error:
            print(f"The run has failed. {str(error) or type(error).__name__}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    command = f"make autobahn-full ARGS={shlex.quote(shlex.join(argv))}"
    on = arguments.loop + ("" if arguments.lane == LANES[0] else f", {arguments.lane} lane")
    run = report.Run(now, command, _facts(arguments.loop), on, verdicts)
    print(report.text(run, time.monotonic() - began))
    if arguments.write_docs:
        report.write_docs(run, docs)
    return 1 if run.bad else 0


if __name__ == "__main__":
    sys.exit(main())
