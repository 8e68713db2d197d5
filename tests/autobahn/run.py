"""Autobahn's fuzzing client against our server: echo, permessage-deflate on, the loopback address.

    python tests/autobahn/run.py --wstest VENV/bin/wstest --exclude "12.*" "13.*"

`wstest` comes from a virtualenv of Python 2.7 with autobahntestsuite. Prints how many cases ended
in which way, and exits with 1 if any did other than OK or INFORMATIONAL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nbdriver import Request, Response, abc
from nbdriver.config import ServerConfig
from nbdriver.net.server import Server

AGENT = "nbdriver"
GOOD = frozenset(["OK", "INFORMATIONAL"])


class Echo(abc.Application):
    """Sends each message back as it came."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        yield

    async def handle_http(self, request: Request) -> Response:
        return Response(204)

    async def handle_websocket(self, websocket: abc.WebSocketConnection) -> None:
        await websocket.accept()
        while True:
            await websocket.send(await websocket.receive())

    async def drain(self) -> None:
        pass


def specification(url: str, folder: Path, cases: list[str], exclude: list[str]) -> dict[str, Any]:
    """What wstest is told to do."""
    return {
        "outdir": str(folder / "reports"),
        "servers": [{"agent": AGENT, "url": url}],
        "cases": cases,
        "exclude-cases": exclude,
        "exclude-agent-cases": {},
    }


async def fuzz(wstest: str, folder: Path, cases: list[str], exclude: list[str]) -> dict[str, Any]:
    """Let wstest have its way with a server of ours; gives what it found, case by case."""
    # Case 9.1.6 sends 16 MiB, which is our limit.
    config = ServerConfig(host="127.0.0.1", port=0, deflate=True, access_log=False)
    async with Server(Echo(), config) as server:
        host, port = server.addresses[0]
        spec = folder / "spec.json"
        spec.write_text(json.dumps(specification(f"ws://{host}:{port}", folder, cases, exclude)))
        with (folder / "wstest.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                wstest, "-m", "fuzzingclient", "-s", str(spec), cwd=folder, stdout=log, stderr=log
            )
            if await process.wait():
                sys.exit(f"wstest failed, see {log.name}")
    found: dict[str, Any] = json.loads((folder / "reports" / "index.json").read_text())[AGENT]
    return found


def report(found: dict[str, Any]) -> int:
    """Print the counts, and each case that was not good; gives the exit code."""
    behaviours = {case: {got["behavior"], got["behaviorClose"]} for case, got in found.items()}
    counts = Counter(got["behavior"] for got in found.values())
    lines = [f"{count:4} {behaviour}" for behaviour, count in sorted(counts.items())]
    bad = {case: got for case, got in behaviours.items() if not got <= GOOD}
    lines += [f"case {case}: {', '.join(sorted(got))}" for case, got in sorted(bad.items())]
    lines.append(f"{len(found)} cases, {len(bad)} of them not good")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if bad or not found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wstest", required=True, help="the program of autobahntestsuite")
    parser.add_argument("--cases", nargs="+", default=["*"], help='as in "9.*"; all by default')
    parser.add_argument("--exclude", nargs="+", default=[], help='as in "12.*"')
    parser.add_argument("--folder", type=Path, help="for the reports, which are kept there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        found = asyncio.run(fuzz(arguments.wstest, folder, arguments.cases, arguments.exclude))
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
