"""Time limits that say which of them was over.

A request has several (`settings.Timeouts`), one inside the other, and whoever waited in vain wants
to know for what. A cancellation from outside stays one: only what a limit of ours has cut off
becomes a `NetworkTimeout`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..errors import NetworkTimeout

__all__ = ["within"]


@asynccontextmanager
async def within(limit: str, seconds: float | None, doing: str) -> AsyncIterator[None]:
    """Give the block so many seconds; None is no limit, 0 is over at the first wait.

    `limit` and `doing` are for the error, as in `within("read", 30.0, "for the answer's head")`.
    Raises NetworkTimeout.
    """
    if seconds is None:
        yield
        return
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            yield
    except TimeoutError as error:
        if isinstance(error, NetworkTimeout) or not scope.expired():
            # Another's: of a limit inside of this one, or of whatever is done here.
            raise
        raise NetworkTimeout(limit, seconds, doing) from None
