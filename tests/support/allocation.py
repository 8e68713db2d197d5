"""How much memory Python holds, as `tracemalloc` counts it: exact, whatever else runs beside."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


class Allocated:
    """Bytes beyond what there was when the block began."""

    def __init__(self) -> None:
        self._before, _ = tracemalloc.get_traced_memory()

    @property
    def now(self) -> int:
        return tracemalloc.get_traced_memory()[0] - self._before

    @property
    def peak(self) -> int:
        """The most that there was at any moment."""
        return tracemalloc.get_traced_memory()[1] - self._before


@contextmanager
def allocated() -> Iterator[Allocated]:
    """Count while the block runs."""
    tracemalloc.start()
    try:
        yield Allocated()
    finally:
        tracemalloc.stop()
