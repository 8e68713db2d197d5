"""How many files a process may have open, for tests that need many."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def files_allowed(count: int) -> Iterator[None]:
    """See that this process, and those that it starts meanwhile, may open `count` files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    assert hard == unlimited or hard >= count, (
        f"expected to be allowed {count} open files, the hard limit is {hard} (ulimit -Hn)"
    )
    if soft != unlimited and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
