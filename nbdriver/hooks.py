"""Running the functions that a bot's author registers: async or plain, and never in each other's way."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .net.tasks import Tasks

__all__ = ["HookRunner", "call_hook", "name_of"]

logger = logging.getLogger(__name__)

Hook = Callable[..., Any]


class _Identified(Protocol):
    self_id: str


async def call_hook(hook: Hook, *args: object) -> None:
    """Call `hook`, and await what it gives if that can be awaited."""
    result = hook(*args)
    if inspect.isawaitable(result):
        await result


def name_of(hook: Hook) -> str:
    """How a hook is called in a log line."""
    return getattr(hook, "__qualname__", None) or repr(hook)


class HookRunner:
    """Runs the connect and disconnect hooks of bots, in held tasks.

    The hooks of one event run side by side; what one raises is logged and stops none of the others.
    Events of one bot id follow one another: a bot's disconnect hooks come after its connect hooks,
    and the next connection's after both.
    """

    def __init__(self) -> None:
        self.timeout: float = 10.0
        """Seconds after which the hooks of an event must let those of the next go ahead."""
        self._tasks = Tasks()
        self._last: dict[str, asyncio.Task[Any]] = {}

    def start(self, kind: str, hooks: Iterable[Hook], bot: _Identified) -> None:
        """Run `hooks` with `bot`; `kind` names the event in the log ("connect", "disconnect")."""
        bot_id = bot.self_id
        cause = f"{kind} hooks of bot {bot_id}"
        task = self._tasks.start(self._run(kind, list(hooks), bot, self._last.get(bot_id)), cause)
        if not task.done():
            self._last[bot_id] = task
            task.add_done_callback(lambda done: self._forget(bot_id, done))

    async def settled(self, bot_id: str) -> None:
        """Wait until no hook of that bot id is running."""
        while (task := self._last.get(bot_id)) is not None:
            await asyncio.wait([task])
            # Its own callback that forgets it may come after ours that woke us.
            self._forget(bot_id, task)

    async def join(self) -> None:
        """Wait until no hook of any bot is running."""
        await self._tasks.join()

    async def cancel(self) -> None:
        """Cancel what is left, naming it in the log."""
        await self._tasks.cancel()

    def _forget(self, bot_id: str, task: asyncio.Task[Any]) -> None:
        if self._last.get(bot_id) is task:
            del self._last[bot_id]

    async def _run(
        self,
        kind: str,
        hooks: list[Hook],
        bot: _Identified,
        before: asyncio.Task[Any] | None,
    ) -> None:
        if before is not None:
            await self._end(before, bot)
        # A connect hook may go on for as long as its bot is there; a disconnect hook may not.
        timeout = self.timeout if kind == "disconnect" else None
        calls = asyncio.gather(*(self._call(kind, hook, bot) for hook in hooks))
        try:
            async with asyncio.timeout(timeout):
                await calls
        except TimeoutError:
            logger.error("the %s hooks of bot %s: cancelled after %s s", kind, bot.self_id, timeout)

    async def _end(self, task: asyncio.Task[Any], bot: _Identified) -> None:
        """Wait for the hooks of the event before; cancel them when their time is over."""
        await asyncio.wait([task], timeout=self.timeout)
        if not task.done():
            logger.warning(
                "hooks of bot %s: cancelled, they still ran %s s after it had gone",
                bot.self_id,
                self.timeout,
            )
            task.cancel()
            await asyncio.wait([task])

    async def _call(self, kind: str, hook: Hook, bot: _Identified) -> None:
        try:
            await call_hook(hook, bot)
        except Exception:
            logger.exception("the %s hook %s failed for bot %s", kind, name_of(hook), bot.self_id)
