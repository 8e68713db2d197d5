#!/usr/bin/env python3
"""What the adapters are tested with, each in an environment of its own in the project's root.

.venv-adapters-lean      NoneBot with no extras, the adapters of OneBot and Satori, this package:
                         no server and no client but ours
.venv-adapters-more      the same with further adapters; what they would bring of NoneBot's own
                         drivers is left out
.venv-adapters-github    its adapter by itself, since it brings httpx for its REST client
.venv-adapters-theirs    all adapters with NoneBot's drivers: FastAPI, httpx, websockets
.venv-adapters-satori    a Satori server that the bots connect to
.venv-adapters-onebot12  an implementation of OneBot 12 that the bots talk with
.venv-adapters-node      Koishi, which is another framework, and GitHub's examples of webhooks

environments.py          makes what is missing or out of date, tells what stands where
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

# A script of another folder's sees only its own.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hosts.environments import ROOT, Environment, find_python, prepare

#: The oldest that we run on, which the tests inside NoneBot need as well, so that one does for all.
PYTHON = "3.11"
NONEBOT = "nonebot2==2.5.0"
ADAPTERS = {
    name: f"nonebot-adapter-{name}=={version}"
    for name, version in {
        "discord": "1.1.10",
        "feishu": "2.7.2",
        "github": "0.6.0",
        "minecraft": "1.8.2",
        "onebot": "2.4.6",
        "qq": "1.7.3",
        "satori": "1.3.0",
        "telegram": "0.1.0b20",
    }.items()
}

LEAN = Environment(
    name="adapters-lean",
    python=PYTHON,
    requirements=(NONEBOT, ADAPTERS["onebot"], ADAPTERS["satori"], "--editable=."),
)
MORE = Environment(
    name="adapters-more",
    python=PYTHON,
    # Minecraft's asks for NoneBot with three of its drivers, and uses whichever is there.
    alone=(ADAPTERS["minecraft"],),
    requirements=(
        NONEBOT,
        *(ADAPTERS[name] for name in ("discord", "feishu", "qq", "telegram")),
        "--editable=.",
    ),
)
GITHUB = Environment(
    name="adapters-github",
    python=PYTHON,
    requirements=(NONEBOT, ADAPTERS["github"], "--editable=."),
)
THEIRS = Environment(
    name="adapters-theirs",
    python=PYTHON,
    requirements=(NONEBOT.replace("==", "[fastapi,httpx,websockets]=="), *ADAPTERS.values()),
)
SATORI = Environment(
    name="adapters-satori",
    python=PYTHON,
    requirements=("satori-python-server==1.3.11",),
)
ONEBOT12 = Environment(
    name="adapters-onebot12",
    python=PYTHON,
    # It has not been touched since, and calls what Starlette 1.0 has dropped.
    requirements=("pylibob==0.1.1", "starlette<1"),
)
ENVIRONMENTS = (LEAN, MORE, GITHUB, THEIRS, SATORI, ONEBOT12)

NODE = ROOT / ".venv-adapters-node"
_LOCKED = Path(__file__).with_name("node")


def prepare_node() -> str | None:
    """Install what `node/package-lock.json` names, unless it stands; says why if it cannot be.

    Raises `subprocess.CalledProcessError` when npm fails; its `output` is what it said.
    """
    if shutil.which("npm") is None:
        return "expected npm, found none (on Debian: apt-get install npm)"
    stamp = NODE / "made-from"
    made_from = "".join(path.read_text("utf-8") for path in sorted(_LOCKED.iterdir()))
    if stamp.exists() and stamp.read_text("utf-8") == made_from:
        return None
    print(f"Making {NODE.name} with npm (once) ...", flush=True)
    shutil.rmtree(NODE, ignore_errors=True)
    shutil.copytree(_LOCKED, NODE)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=NODE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    stamp.write_text(made_from, "utf-8")
    return None


def main() -> int:
    """Make every environment; the exit code is 1 if one cannot be made."""
    python = find_python(PYTHON)
    if python is None:
        print(
            f"expected Python {PYTHON}, found none: put python{PYTHON} on the search path or"
            " install it with pyenv",
            file=sys.stderr,
        )
        return 1
    try:
        for environment in ENVIRONMENTS:
            prepare(environment, python)
            print(f"{environment.name}: {environment.interpreter.relative_to(ROOT)}", flush=True)
        left_out = prepare_node()
    except subprocess.CalledProcessError as error:
        print(error.output, error, sep="\n", file=sys.stderr)
        return 1
    print(f"adapters-node: {left_out or NODE.name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
