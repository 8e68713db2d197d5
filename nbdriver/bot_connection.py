"""A bot's WebSocket: which of its messages are events, and when each is handled.

A platform may send faster than a bot handles, and a handler may wait for the answer to an API call
that stands behind all those events on the same socket. So events over the bounds are parked within
a budget, reading pauses beyond that, and goes on all the same while nothing moves.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from . import codec
from .abc import Bot, WebSocketConnection
from .errors import ConnectionLost, WebSocketClosed
from .logs import escape
from .net.clock import Clock, Deadline
from .pending import Pending, Share

__all__ = ["BotConnection", "Event", "Message", "Parking", "handle"]

logger = logging.getLogger(__name__)

Message = dict[str, Any]

#: Seconds without any event's end after which a connection that is not read is taken for stuck.
_STUCK = 1.0
#: Answers that are handled at a time, however few events are: more than one read can bring, since
#: before Python 3.12 none has begun to be handled before all of a read have come.
_MIN_ANSWERS = 1_024


class Event(tuple[str, Message]):
    """What a task works on, as the log names it if the task fails: the bot's id, and the message.

    A bare tuple, since one is made for each event and hardly any is ever looked at.
    """

    __slots__ = ()

    def __str__(self) -> str:
        bot_id, message = self
        return f"bot {escape(str(bot_id))}: {message}"


class Parking:
    """Where the connections of a dispatcher park the events that find no place (sizes in bytes)."""

    def __init__(self, budget: int, reserve: int) -> None:
        """`budget` is what each may park, `reserve` what those that are stuck may beyond it."""
        self.budget = budget
        self.reserve = reserve
        self.connections: set[BotConnection] = set()
        """Those that have something parked."""

    def drop(self) -> None:
        """The time to stop is over: what is parked will not be handled."""
        for connection in list(self.connections):
            connection.drop_parked()


class BotConnection:
    """The listener that a bot's messages are delivered to.

    Events start at once while there are places, and are parked, in order, while there are none.
    Answers to API calls never wait: the bots that hold the places may be waiting for them.
    """

    __slots__ = (
        "_answers",
        "_budget",
        "_clock",
        "_deadline",
        "_dropped",
        "_gone",
        "_is_answer",
        "_max_answers",
        "_parked",
        "_parked_size",
        "_parking",
        "_pending",
        "_share",
        "bot",
        "bot_id",
        "websocket",
    )

    def __init__(
        self,
        bot: Bot,
        bot_id: str,
        websocket: WebSocketConnection,
        *,
        pending: Pending,
        limit: int,
        parking: Parking,
        clock: Clock,
        gone: Callable[[BotConnection, Exception], object],
    ) -> None:
        """`bot_id` is what `check_permission` gave, whatever the bot made of it.

        At most `limit` of its events are handled at a time; `gone` is called when the connection
        has ended, with what ended it.
        """
        self.bot = bot
        self.bot_id = bot_id
        self.websocket = websocket
        self._is_answer: Callable[[Message], bool] = getattr(type(bot), "is_answer", _is_answer)
        self._pending = pending
        self._share = Share(pending, limit)
        self._max_answers = max(limit, _MIN_ANSWERS)
        self._answers = 0
        self._parking = parking
        self._parked: deque[str] | tuple[()] = ()
        """A deque only while something is parked: empty it would take 760 bytes."""
        self._parked_size = 0
        self._budget = parking.budget
        self._clock = clock
        self._deadline: Deadline | None = None
        """While nothing is read: until when an event has to end."""
        self._gone = gone
        self._dropped = 0

    def __str__(self) -> str:
        return escape(self.bot_id)

    @property
    def paused(self) -> bool:
        """Whether nothing more is read for now, since too much is parked."""
        return self._deadline is not None

    # What the WebSocket calls (`abc.WebSocketListener`).

    def message_received(self, message: str | bytes) -> None:
        """Handle a message: an event, an answer, or neither, which is logged."""
        if isinstance(message, bytes):
            logger.warning("bot %s: a binary message is ignored, expected text", self)
            return
        try:
            event = codec.loads_object(message)
        except ValueError as error:
            logger.warning("bot %s: a message is ignored, %s", self, error)
            return
        if self._passes(event):
            self._start_answer(event)
        elif self._pending.draining:
            self._dropped += 1
        elif self._parked or not self._share.free:
            self._park(message)
        else:
            self._start(event)

    def connection_closed(self, error: Exception) -> None:
        """The bot has gone; its events that have come are still handled."""
        self._tell_bot(error)
        self._resume()
        if self._dropped:
            logger.warning(
                "bot %s: %d events came after the stop and were not handled", self, self._dropped
            )
        self._gone(self, error)

    def _tell_bot(self, error: Exception) -> None:
        # Asked of the class, since an instance takes any name for an API call.
        if (closed := getattr(type(self.bot), "connection_closed", None)) is not None:
            try:
                closed(self.bot, error)
            except Exception:
                logger.exception("bot %s: connection_closed failed", self)

    # Handling.

    def _start(self, event: Message) -> None:
        self._share.start(handle(self.bot, event), Event((self.bot_id, event)))

    def _passes(self, event: Message) -> bool:
        """Whether a message answers an API call; what the bot's own opinion raises is logged.

        Nothing waits in the handling of an answer, so that many at a time are no answers.
        """
        if self._answers >= self._max_answers:
            return False
        try:
            return self._is_answer(event)
        except Exception:
            logger.exception("bot %s: is_answer failed, the message is taken for an event", self)
            return False

    def _start_answer(self, event: Message) -> None:
        self._answers += 1
        cause = Event((self.bot_id, event))
        self._pending.start_beside(handle(self.bot, event), cause, self._answer_ended)

    def _answer_ended(self) -> None:
        self._answers -= 1

    # Parking.

    def _park(self, message: str) -> None:
        # As text: what is read from it may take many times the memory that was allowed.
        if not isinstance(self._parked, deque):
            self._parked = deque()
        self._parked.append(message)
        self._parked_size += sys.getsizeof(message)
        self._parking.connections.add(self)
        if self._parked_size > self._budget and not self.paused:
            self._pause()
        if len(self._parked) == 1:
            self._share.when_free(self._unpark)

    def _unpark(self) -> None:
        """Start what is parked, as far as there are places."""
        while isinstance(self._parked, deque) and self._parked and self._share.free:
            message = self._parked.popleft()
            self._parked_size -= sys.getsizeof(message)
            self._start(codec.loads_object(message))
        if self._parked:
            self._share.when_free(self._unpark)
        else:
            self._parked = ()
            self._parking.connections.discard(self)
        if self._parked_size <= self._parking.budget // 2:
            self._give_back()
            self._resume()
        elif self._deadline is not None:
            self._deadline.set(_STUCK)

    def drop_parked(self) -> None:
        """The time to stop is over: what has found no place will not be handled."""
        logger.warning("bot %s: %d parked events were not handled", self, len(self._parked))
        self._share.leave_line()
        self._parked = ()
        self._parked_size = 0
        self._unpark()

    def _pause(self) -> None:
        self.websocket.pause_reading()
        if self._deadline is None:
            self._deadline = self._clock.deadline(self._read_on)
        self._deadline.set(_STUCK)

    def _resume(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self.websocket.resume_reading()

    def _read_on(self) -> None:
        """Nothing has moved: what the handlers wait for may be an answer that was not read yet.

        So the budget grows, as far as the reserve goes; beyond that it is the time limits of the
        API calls that let things move.
        """
        more = min(self._parking.budget, self._parking.reserve)
        self._parking.reserve -= more
        self._budget += more
        if self._parked_size <= self._budget:
            logger.info("bot %s: no event has ended for %g s, reading on", self, _STUCK)
            self._resume()
        else:
            self._pause()

    def _give_back(self) -> None:
        self._parking.reserve += self._budget - self._parking.budget
        self._budget = self._parking.budget


def _is_answer(message: Message) -> bool:
    """Whether a message answers an API call, as OneBot's do."""
    return "echo" in message and "post_type" not in message


async def handle(bot: Bot, message: Message) -> None:
    """Give `bot` a message; whatever it raises, even at once, is the task's to log."""
    try:
        await bot.handle_message(message)
    except (WebSocketClosed, ConnectionLost) as error:
        # The peer has left while it was being answered: nothing that a traceback would explain.
        logger.warning("bot %s: an event got no answer, %s", escape(str(bot.self_id)), error)
    except (SystemExit, KeyboardInterrupt):
        # They are for the event loop. A task that was started eagerly would raise them in whatever
        # has brought the message, which may take them for an error of its own.
        await asyncio.sleep(0)
        raise
