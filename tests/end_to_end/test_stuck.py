"""A process ends although the code of its bot does not."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest
from support.program import PATIENCE, clean_environment

PROGRAM = textwrap.dedent(
    """
    import asyncio
    import sys
    import threading
    import time

    from support.bots import RecordingBot

    from nbdriver import Config, Driver, Env


    async def ignoring():
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                print("cancelled, and going on", flush=True)


    async def in_a_thread():
        await asyncio.to_thread(time.sleep, 3600)


    async def in_a_thread_of_its_own():
        threading.Thread(target=time.sleep, args=(3600,)).start()
        await asyncio.Event().wait()


    WAYS = {"task": ignoring, "thread": in_a_thread, "own thread": in_a_thread_of_its_own}


    class Stuck(RecordingBot):
        headers = []

        async def handle_message(self, message):
            print("handling", flush=True)
            await WAYS[message["how"]]()


    driver = Driver(Env(), Config())
    driver.register_adapter("stuck", Stuck)
    driver.run(port=0, shutdown_timeout=0.5, uvloop=sys.argv[1] == "uvloop")
    """
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("how", ["task", "thread", "own thread"])
def test_a_handler_that_cannot_be_cancelled_does_not_keep_the_process(
    how: str, loop: str, tmp_path: Path
) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(PROGRAM, "utf-8")
    tests = str(Path(__file__).parents[1])
    environment = clean_environment()
    environment["PYTHONPATH"] += f":{tests}"
    with subprocess.Popen(
        [sys.executable, str(script), loop],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = process.stderr.readline().strip().rpartition(":")[2]
        answer = httpx.post(
            f"http://127.0.0.1:{port}/stuck/", json={"how": how}, headers={"X-Self-ID": "1"}
        )
        assert answer.status_code == 204
        assert process.stdout.readline() == "handling\n"
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "The process ends although this does not" in log
    assert "Traceback" not in log
