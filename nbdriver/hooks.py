"""Running the functions that a bot's author registers, async or plain, so that none is in the way.

They are the user's code: they raise, they go on for ever, they ignore that they are cancelled. None
of that may keep another hook from running, or a bot from connecting again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from .logs import escape
from .net.tasks import Tasks

__all__ = ["HookRunner", "call_hook", "name_of"]

logger = logging.getLogger(__name__)

Hook = Callable[..., Any]

#: Seconds that a hook has to end in when it is cancelled, before what comes next goes ahead.
_GRACE = 1.0


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
    and the next connection's after both. Connect hooks may go on for as long as nothing follows
    them; when something does, and for disconnect hooks always, they have `timeout` to end.
    """

    def __init__(self) -> None:
        self.timeout: float = 10.0
        """Seconds after which the hooks of an event must let those of the next go ahead."""
        self._events = Tasks(eager=False)
        # Hooks run on the loop's next turn on any Python: whoever tells us of an event may be
        # in the middle of something.
        self._hooks = Tasks(eager=False)
        self._last: dict[str, _Event] = {}

    def start(self, kind: str, hooks: Iterable[Hook], bot: _Identified) -> None:
        """Run `hooks` with `bot`; `kind` names the event in the log ("connect", "disconnect")."""
        event = _Event(kind, list(hooks), bot)
        before = self._last.get(event.bot_id)
        if before is not None:
            before.limit(self.timeout)
        if kind == "disconnect":
            event.limit(self.timeout)
        if event.hooks:
            self._last[event.bot_id] = event
            self._events.start(event.run(before, self._hooks), event, partial(self._ended, event))

    async def settled(self, bot_id: str) -> None:
        """Wait until no hook of that bot id is running, but for those that ignore a cancel."""
        while (last := self._last.get(bot_id)) is not None:
            await last.over.wait()

    async def join(self) -> None:
        """Wait until no hook of any bot is running."""
        await self._events.join()
        await self._hooks.join()

    async def cancel(self) -> None:
        """Cancel what is left, naming it in the log, and wait until it has ended."""
        await self._events.cancel()
        await self._hooks.join()

    def _ended(self, event: _Event) -> None:
        event.over.set()
        if self._last.get(event.bot_id) is event:
            del self._last[event.bot_id]


class _Event:
    """The hooks of one event of a bot; `over` says that those of the next may go ahead."""

    def __init__(self, kind: str, hooks: list[Hook], bot: _Identified) -> None:
        self.hooks = hooks
        self.bot_id = bot.self_id
        self.over = asyncio.Event()
        self._bot = bot
        self._kind = kind
        self._seconds: float | None = None
        self._scope: asyncio.Timeout | None = None

    def __str__(self) -> str:
        return f"the {self._kind} hooks of bot {escape(str(self.bot_id))}"

    def limit(self, seconds: float) -> None:
        """Give the hooks that much time: from now, or from their start if that is yet to come."""
        if self._seconds is None:
            self._seconds = seconds
            if self._scope is not None:
                self._scope.reschedule(asyncio.get_running_loop().time() + seconds)

    async def run(self, before: _Event | None, tasks: Tasks) -> None:
        """Run the hooks, each in one of `tasks`, once those of the event before are over."""
        if before is not None:
            await before.over.wait()
        running = {
            tasks.start(call_hook(hook, self._bot), f"{self}: {name_of(hook)}"): name_of(hook)
            for hook in self.hooks
        }
        try:
            async with asyncio.timeout(self._seconds) as self._scope:
                await asyncio.wait(running)
        except TimeoutError:
            await self._cut_off(running)
        except asyncio.CancelledError:
            _cancel(running)
            raise
        finally:
            self._scope = None

    async def _cut_off(self, running: dict[asyncio.Task[Any], str]) -> None:
        """Cancel what still runs, and do not wait for ever for what goes on all the same."""
        left = _cancel(running)
        logger.error("%s: cancelled, they still ran after %g s: %s", self, self._seconds, left)
        await asyncio.wait(running, timeout=_GRACE)
        if left := ", ".join(name for task, name in running.items() if not task.done()):
            logger.error("%s: they go on although they were cancelled: %s", self, left)


def _cancel(running: dict[asyncio.Task[Any], str]) -> str:
    """Cancel the hooks that still run; gives their names."""
    return ", ".join(name for task, name in running.items() if task.cancel())
