"""Where the figures come from: the machine, and the version of what is under measure.

A figure without them is of no use to anybody else, so they stand beside every table; the versions
of the peers are in the file of the run.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import nbdriver

__all__ = ["busy", "describe"]

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("h11", "wsproto", "uvloop")


def describe(json: str) -> dict[str, str]:
    """The machine and the versions, each under a short name; what is not installed is left out.

    `json` is the library that all servers use.
    """
    found = {
        "processors": f"{os.cpu_count()} x {_processor()}",
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "load at the start": f"{os.getloadavg()[0]:.1f}",
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "nbdriver": " ".join(filter(None, (nbdriver.__version__, _commit()))),
        "JSON": json,
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def busy(load: float, processors: int) -> str | None:
    """What to say of a machine that has something else to do; None if it is quiet enough."""
    if load <= processors / 2:
        return None
    return (
        f"The machine is busy (load {load:.1f}, {processors} processors): the figures will be noisy"
    )


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or "unknown"


def _commit() -> str:
    """The commit that is checked out, and whether it was changed since; "" outside of git."""
    command = ["git", "describe", "--always", "--dirty=+changes", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"({done.stdout.strip()})"
