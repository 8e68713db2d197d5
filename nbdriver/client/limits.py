"""Time limits that say which of them was over.

A request has several (`settings.Timeouts`), one inside the other, and whoever waited in vain wants
to know for what. A cancellation from outside stays one: only what a limit of ours has cut off
becomes a `NetworkTimeout`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ..errors import NetworkTimeout

__all__ = ["within"]


@asynccontextmanager
async def within(
    limit: str,
    seconds: float | None,
    doing: str,
    *,
    since: float | None = None,
    running: bool = True,
) -> AsyncIterator[Callable[[], None]]:
    """Give the block so many seconds; None is no limit, 0 is over at the first wait.

    `limit` and `doing` are for the error, as in `within("read", 30.0, "for the answer's head")`.
    The time runs from the event loop's time `since`, or from now. If it is not `running` yet, it
    does once the function is called that the block gets. Raises NetworkTimeout.
    """
    loop = asyncio.get_running_loop()
    scope = asyncio.timeout(None)

    def start() -> None:
        if seconds is not None:
            scope.reschedule((loop.time() if since is None else since) + seconds)

    try:
        async with scope:
            if running:
                start()
            yield start
    except TimeoutError as error:
        if isinstance(error, NetworkTimeout) or not scope.expired():
            # Another's: of a limit inside of this one, or of whatever is done here.
            raise
        assert seconds is not None
        raise NetworkTimeout(limit, seconds, doing) from None
