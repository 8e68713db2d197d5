"""What a server under measure is to the process that runs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from .application import Tally

__all__ = ["HOST", "LOOPS", "Serving", "Started"]

HOST = "127.0.0.1"
LOOPS = ("asyncio", "uvloop")


@dataclass(frozen=True, slots=True)
class Started:
    """A server that can be connected to."""

    port: int
    processes: tuple[int, ...] = ()
    """The ids of the processes whose CPU time and memory count, if that is not this one alone."""


Serving = Callable[[Tally, int], AbstractAsyncContextManager[Started]]
"""Serves on a port, 0 for any that is free, while an `async with` block runs."""
