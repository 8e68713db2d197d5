"""On which processors it is measured: the servers and the load on one, taking turns.

Where each has a processor of its own, much of what an answer costs its server is to wake the other
processor, which a virtual machine has to be left for; how often that happens depends on who sleeps
when, so that a faster server may pay more. On one processor whoever is woken is woken for next to
nothing, and the generator runs when the servers have answered all that there is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["all_processors", "one_processor"]

_all: frozenset[int] = frozenset()


@contextmanager
def one_processor() -> Iterator[None]:
    """Keep this process, and those that it starts, on one of the processors that it may use."""
    global _all
    before = os.sched_getaffinity(0)
    _all = frozenset(before)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def all_processors() -> Iterator[None]:
    """Within that, use all of them again, for what is to be measured on several."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _all or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
