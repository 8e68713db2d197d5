"""The command line, and what of it is meant: the jobs, the servers in each, and how often."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .application import JSON_LIBRARIES
from .measure import Settings
from .servers import SERVERS
from .serving import LOOPS
from .summary import OURS

__all__ = ["JOBS", "PEERS", "Choice", "choose", "parser", "spoken"]

PEERS = tuple(name for name in SERVERS if name != OURS)

_QUICK = Settings(
    rounds=3,
    seconds=0.3,
    warm_up=0.1,
    idle=1_000,
    rest=1.0,
    scale=(1, 100, 1_000),
    starts=5,
    rates=(),
)
_JUDGED = ("floor", "uvicorn-httptools", "uvicorn-sansio", "aiohttp", "picows")
"""The peers that a target names."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which servers take part in a job, and in how many rounds, unless the command line says."""

    peers: Sequence[str] = PEERS
    loops: Sequence[str] = LOOPS
    rounds: int = 99
    """At most so many; what hardly varies, or takes long, is measured in fewer."""
    quick: bool = True
    """Whether it is part of a quick run."""


_UVLOOP = ("uvloop",)
_WAITED_FOR = ("floor", "uvicorn-httptools", "uvicorn-sansio", "hypercorn", "aiohttp")
_STARTING = ("floor", "uvicorn-h11", "uvicorn-httptools", "hypercorn", "aiohttp", "granian")

_NONEBOT = ("nonebot-nbdriver", "nonebot-fastapi", "nonebot-quart")

_TAKEN_APART = ("floor", "uvicorn", "uvicorn-httptools", "uvicorn-sansio", "aiohttp")

JOBS = {
    "http": Choice(),
    "websocket": Choice(),
    "large": Choice(["nbdriver-plain", *_JUDGED[1:]], loops=_UVLOOP, rounds=3),
    "latency": Choice(_WAITED_FOR, loops=_UVLOOP, rounds=2),
    "sizes": Choice(_JUDGED[1:], loops=_UVLOOP, rounds=2, quick=False),
    "scaling": Choice(("floor",), loops=_UVLOOP, rounds=2, quick=False),
    "idle": Choice(("floor", "uvicorn-sansio", "aiohttp", "picows"), loops=_UVLOOP, rounds=1),
    "start": Choice([*_STARTING, *_NONEBOT], loops=("asyncio",), rounds=3),
    "wrk": Choice(("floor", "uvicorn-httptools"), loops=_UVLOOP, rounds=2, quick=False),
    "anatomy": Choice(_TAKEN_APART, loops=("asyncio",), rounds=1, quick=False),
}
"""The jobs by their names, in the order in which a round has them."""


def parser() -> argparse.ArgumentParser:
    """What is understood on the command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="CPU time of the server's process per event, beside its peers.",
        allow_abbrev=False,
    )
    default = Settings()
    add = made.add_argument
    add("--quick", action="store_true", help="fewer jobs, peers and rounds, for a first look")
    add("--rounds", type=_positive, help=f"for each job; default: up to {default.rounds}")
    add(
        "--seconds",
        type=_seconds,
        help=f"how long each server is measured in a round; default: {default.seconds}",
    )
    add("--connections", type=_positive, help=f"default: {default.connections}")
    add("--idle", type=_positive, help=f"how many idle WebSockets; default: {default.idle}")
    add("--rest", type=_seconds, help=f"how long those are at rest; default: {default.rest}")
    add("--only", type=_names(tuple(JOBS)), help=f"the jobs to measure, of {','.join(JOBS)}")
    add("--peers", type=_names(PEERS), help=f"what to measure beside {OURS}: {','.join(PEERS)}")
    add("--loops", type=_names(LOOPS), help=f"the event loops to measure on: {','.join(LOOPS)}")
    add("--json", choices=JSON_LIBRARIES, default="json", help="the library that all servers use")
    add("--write-docs", action="store_true", help="put the tables into docs/performance.md")
    _add_address(made)
    return made


def _add_address(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("any server", "measure one that runs already, by itself")
    add = group.add_argument
    add("--address", type=_address, metavar="HOST:PORT", help="where it listens, without TLS")
    add("--job", choices=("http", "websocket"), default="http", help="default: http")
    add("--path", help="default: /onebot/http or /onebot/ws")
    add("--token", help="an access token, sent as `Authorization: Bearer TOKEN`")
    add("--pid", type=_positive, help="its process here, for the CPU time and memory per event")


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


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, got {text}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(
                f"expected names of {', '.join(known)}, got {', '.join(unknown)}"
            )
        return names

    return parse


def spoken(argv: Sequence[str]) -> str:
    """The command line as it is given to make."""
    rest = [each for each in argv if each != "--quick"]
    command = "make bench" if len(rest) == len(argv) else "make bench-quick"
    return f"{command} ARGS={shlex.quote(shlex.join(rest))}" if rest else command


def choose(arguments: argparse.Namespace) -> tuple[Settings, dict[str, Choice]]:
    """How to measure, and the jobs that are meant."""
    settings = _QUICK if arguments.quick else Settings()
    given = {
        name: getattr(arguments, name)
        for name in ("rounds", "seconds", "connections", "idle", "rest")
        if getattr(arguments, name) is not None
    }
    settings = replace(settings, **given)
    settings = replace(settings, turn=min(settings.turn, settings.seconds))
    jobs = {}
    for name, default in JOBS.items():
        if name not in (arguments.only or JOBS):
            continue
        if arguments.quick and not (default.quick or arguments.only):
            continue
        known = [peer for peer in default.peers if peer in _JUDGED or not arguments.quick]
        known = list(default.peers) if name == "latency" else known
        jobs[name] = Choice(
            arguments.peers or known,
            loops=arguments.loops or default.loops,
            rounds=arguments.rounds or min(settings.rounds, default.rounds),
        )
    return settings, jobs
