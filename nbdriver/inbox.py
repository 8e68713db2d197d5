"""Messages on their way to whoever takes them: a task that receives, or a listener.

What every message-level WebSocket owes whoever uses it, whatever brings its messages: their order,
none lost to a cancellation, the end only after the last of them, and no recursion when a listener
pauses, resumes, sends or closes from inside a delivery.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque

from .abc import WebSocketListener
from .errors import WebSocketClosed

__all__ = ["Inbox"]


class Inbox:
    """A connection puts messages in, and its `end`. `len()` of it is how many wait."""

    __slots__ = (
        "_delivering",
        "_end",
        "_listener",
        "_messages",
        "_receiver",
        "paused",
        "size",
        "starving",
    )

    def __init__(self) -> None:
        self._messages: deque[str | bytes] | tuple[str | bytes, ...] = ()
        """A deque only while several may wait, which is seldom: empty it would take 760 bytes."""
        self._receiver: asyncio.Future[None] | None = None
        self._listener: WebSocketListener | None = None
        self._delivering = False
        self._end: tuple[int, str] | None = None
        self.paused = False
        """Whether nothing is to be delivered for now; the connection should not read on then."""
        self.size = 0
        """Bytes of memory that the waiting messages take, but for one that is on its way."""
        self.starving = False
        """Whether a task waits for a message and there is none."""

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def listening(self) -> bool:
        """Whether there is a listener; none is any more once it was told of the end."""
        return self._listener is not None

    @property
    def exhausted(self) -> bool:
        """Whether the connection has ended, and every message was handed over."""
        return self._end is not None and not self._messages

    def put(self, message: str | bytes) -> None:
        """A message came."""
        if self.starving:
            # As nearly always where a task receives, and it is taken before another comes.
            self._messages = (message,)
            self._wake()
            return
        if self._listener is not None and not (self._messages or self.paused or self._delivering):
            self._deliver(self._listener, message)
            return
        if not isinstance(self._messages, deque):
            # What was on its way waits with the others from now on.
            self.size = sum(map(sys.getsizeof, self._messages))
            self._messages = deque(self._messages)
        self._messages.append(message)
        # Not its length: of tiny messages the objects are what takes the room.
        self.size += sys.getsizeof(message)
        self.flush()

    def _deliver(self, listener: WebSocketListener, message: str | bytes) -> None:
        """Deliver what need not wait, and then what has come meanwhile."""
        self._delivering = True
        try:
            listener.message_received(message)
        finally:
            self._delivering = False
        if self._messages or self._end is not None:
            self.flush()

    def end(self, code: int, reason: str) -> None:
        """The connection is gone: what waits is still handed over, nothing is put in any more."""
        self._end = code, reason
        self._wake()
        self.flush()

    async def take(self) -> str | bytes:
        """The next message; a cancellation leaves it where it is.

        Raises WebSocketClosed at the end, RuntimeError if another task or a listener takes them.
        """
        if self._receiver is not None or self._listener is not None:
            raise self._taken()
        while not self._messages:
            if self._end is not None:
                raise WebSocketClosed(*self._end)
            receiver = self._receiver = asyncio.get_running_loop().create_future()
            self.starving = True
            try:
                await receiver
            finally:
                self._receiver = None
                self.starving = False
        return self._pop()

    def deliver_to(self, listener: WebSocketListener) -> None:
        """From the next `flush` on, messages go to `listener`. Raises RuntimeError, as `take`."""
        if self._receiver is not None or self._listener is not None:
            raise self._taken()
        self._listener = listener

    def flush(self) -> None:
        """Deliver what waits, as far as the listener lets it.

        Once the connection is gone, pausing has no meaning: all goes out, and the end after it.
        """
        if self._listener is None or self._delivering:
            return
        if not self._messages and self._end is None:
            return
        self._delivering = True
        try:
            while self._messages and (not self.paused or self._end is not None):
                self._listener.message_received(self._pop())
        finally:
            self._delivering = False
        if self._end is not None:
            listener, self._listener = self._listener, None
            listener.connection_closed(WebSocketClosed(*self._end))

    def _taken(self) -> RuntimeError:
        return RuntimeError("expected one receiver, but messages are already being received")

    def _pop(self) -> str | bytes:
        messages = self._messages
        if isinstance(messages, tuple):
            self._messages = ()
            return messages[0]
        message = messages.popleft()
        if not messages:
            self._messages = ()
        self.size -= sys.getsizeof(message)
        return message

    def _wake(self) -> None:
        self.starving = False
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)
