"""NoneBot's lifespan in a task of its own, so that nothing in it can keep or take down the server.

What it holds is anyio's: it has to be left in the task that entered it, a background task that
fails cancels that task, and the hooks of bots are shielded from any cancellation. So it is this
task that is cancelled, or left behind, and never the server's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from nonebot.drivers import Driver

from ...errors import StartupError
from ...net.server import MOMENT

__all__ = ["NoneBotLifespan"]

logger = logging.getLogger(__name__)


class NoneBotLifespan:
    """What a driver's hooks and background tasks live in: one at a time."""

    def __init__(
        self, driver: Driver, last_hook: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`last_hook` runs at the end even if a shut-down hook before it has failed.

        It is a shut-down hook itself, and may then be called although there is nothing to end.
        """
        self._last_hook = last_hook
        # Its class has not the same attributes in each release.
        self._lifespan: Any = driver._lifespan
        self._running = False

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Start-up hooks on entering, shut-down hooks on leaving. Raises StartupError.

        If a start-up hook fails, or the start is cancelled, the shut-down hooks run all the same:
        what had started may have something to give back. A cancellation cuts them off.
        """
        if self._running:
            raise StartupError("this driver is being served already")
        self._running = True
        started, ending = asyncio.Event(), asyncio.Event()
        keeping = asyncio.get_running_loop().create_task(self._keep(started, ending))
        try:
            await _either(keeping, started)
            yield
        finally:
            ending.set()
            if not started.is_set():
                keeping.cancel()
            try:
                await self._end(keeping)
            finally:
                self._running = False

    async def _keep(self, started: asyncio.Event, ending: asyncio.Event) -> None:
        """The task: it enters NoneBot's lifespan, keeps it, and leaves it."""
        try:
            await self._start_up()
            started.set()
            while not ending.is_set():
                await self._wait(ending)
        finally:
            try:
                await self._shut_down()
            finally:
                # Whatever of it goes on, the driver may be served again.
                self._lifespan._task_group = None

    async def _start_up(self) -> None:
        try:
            await self._lifespan.startup()
        except Exception as error:
            logger.error("A start-up hook failed", exc_info=error)
            raise StartupError(f"a start-up hook failed: {error!r}") from error

    async def _wait(self, ending: asyncio.Event) -> None:
        """Wait for the end, or for that of all background tasks because one of them has failed."""
        try:
            await ending.wait()
        except asyncio.CancelledError:
            group = self._task_group
            if group is None or not group.cancel_scope.cancel_called:
                raise
            await self._end_tasks(group)
            # For the hooks of bots that are yet to come.
            group = self._lifespan._task_group = type(group)()
            await group.__aenter__()

    async def _shut_down(self) -> None:
        try:
            await self._lifespan.shutdown()
        except Exception as error:
            logger.error("A shut-down hook failed; those after it have not run", exc_info=error)
            if self._last_hook is not None:
                await self._last_hook()
        finally:
            # NoneBot does it behind its hooks, and so has not begun to if one of them has failed.
            if (group := self._task_group) is not None and not group.cancel_scope.cancel_called:
                await self._end_tasks(group)

    @property
    def _task_group(self) -> Any:
        """The anyio.TaskGroup of background tasks; NoneBot 2.3 has none."""
        return getattr(self._lifespan, "_task_group", None)

    async def _end_tasks(self, group: Any) -> None:
        """Cancel the background tasks, and wait for their end."""
        group.cancel_scope.cancel()
        try:
            await group.__aexit__(None, None, None)
        except Exception as error:
            logger.error("A background task failed, which ends the others", exc_info=error)

    async def _end(self, keeping: asyncio.Task[None]) -> None:
        """Wait for the end of the task; once cancelled, for a moment more."""
        try:
            await asyncio.wait([keeping])
        except asyncio.CancelledError:
            keeping.cancel()
            await asyncio.wait([keeping], timeout=MOMENT)
            raise
        finally:
            if not keeping.done():
                logger.error("%s go on although cancelled", self._going_on)
            elif not keeping.cancelled():
                keeping.exception()  # `_either` has told of it, if somebody still waited there

    @property
    def _going_on(self) -> str:
        """What of it the stop has come to; NoneBot's tasks come behind its hooks."""
        group = self._task_group
        if group is not None and group.cancel_scope.cancel_called:
            return "Background tasks, or handlers of events, which NoneBot shields,"
        return "The shut-down hooks"


async def _either(keeping: asyncio.Task[None], started: asyncio.Event) -> None:
    """Wait until the lifespan has started. Raises StartupError if it ends before."""
    starting = asyncio.get_running_loop().create_task(started.wait())
    try:
        await asyncio.wait([keeping, starting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        starting.cancel()
    if keeping.done():
        if keeping.cancelled():
            raise StartupError("a start-up hook awaited what was cancelled")
        keeping.result()
