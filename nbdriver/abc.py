"""The contracts: what an adapter, a driver, an application and a connection owe each other.

`Driver`, `WebSocket` and `Bot` are those of NoneBot 2.0.0a10 (`nonebot.drivers` and
`nonebot.adapters`), name by name. `Application` is the waist between the network and the bots, and
`WebSocketConnection` the message level under the contract's JSON `WebSocket`. The concrete classes
stand elsewhere.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import new_class
from typing import Any, ClassVar, Protocol, TypeVar

from .hooks import HookRunner
from .model import Request, Response

__all__ = [
    "Application",
    "Bot",
    "Driver",
    "WebSocket",
    "WebSocketConnection",
    "WebSocketListener",
]

Hook = TypeVar("Hook", bound=Callable[..., Any])

_NONE: Any = None
"""An adapter that was not given: NoneBot 2.2 and newer gives one, and no name."""


class Bot(ABC):
    """The adapter's side: one for each reverse WebSocket connection, one for each HTTP event.

    An attribute that does not exist is an API call: `await bot.send_msg(message="hi")`.

    Two methods are optional, and therefore looked up on the class. `is_answer(message) -> bool`, a
    class method, says whether a message answers an API call: it is then handled at once, while
    events may have to wait; without it, one with `echo` and without `post_type` does.
    `connection_closed(error)`, a plain function, is called as soon as the bot's WebSocket is gone,
    before the disconnect hooks, so that whoever waits for an answer need not wait any longer.
    """

    driver: Driver
    config: Any

    @abstractmethod
    def __init__(
        self, connection_type: str, self_id: str, *, websocket: WebSocket | None = None
    ) -> None:
        """`connection_type` is "http" or "websocket", `self_id` what `check_permission` gave."""
        self.connection_type = connection_type
        self.self_id = self_id
        self.websocket = websocket

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        # Python asks for such names on its own account (copy, pickle); they are never an API.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return partial(self.call_api, name)

    @property
    @abstractmethod
    def type(self) -> str:
        """The adapter's name."""

    @classmethod
    def register(cls, driver: Driver, config: Any, **kwargs: Any) -> None:
        """Called by `Driver.register_adapter`: take what the adapter needs from `config`."""
        cls.driver = driver
        cls.config = config

    @classmethod
    @abstractmethod
    async def check_permission(
        cls,
        driver: Driver,
        connection_type: str,
        headers: dict[str, str],
        body: dict[str, Any] | None,
    ) -> str:
        """Say who is calling: the id of the bot, usually the account.

        `headers` have lower-case keys; `body` is the event, None for a WebSocket. Raises
        RequestDenied to refuse.
        """

    @abstractmethod
    async def handle_message(self, message: dict[str, Any]) -> None:
        """Handle one event, a JSON object as received."""

    @abstractmethod
    async def call_api(self, api: str, **data: Any) -> Any:
        """Call an API of the chat platform and give its result."""

    @abstractmethod
    async def send(self, event: Any, message: Any, **kwargs: Any) -> Any:
        """Send `message` to where `event` came from."""


class WebSocket(ABC):
    """The contract's WebSocket: JSON objects over a connection. Wraps a message-level one."""

    @abstractmethod
    def __init__(self, websocket: Any) -> None:
        """`websocket` is the connection that is wrapped."""
        self._websocket = websocket

    @property
    def websocket(self) -> Any:
        """The connection that is wrapped."""
        return self._websocket

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the connection is gone, and all that was received before has been handed over."""

    @abstractmethod
    async def accept(self) -> None:
        """Accept the connection. Raises WebSocketClosed if the peer has left."""

    @abstractmethod
    async def close(self, code: int = 1000) -> None:
        """Close the connection; does nothing if it is closed.

        Raises ValueError for a code that must not be sent (RFC 6455, 7.4).
        """

    @abstractmethod
    async def receive(self) -> dict[str, Any] | None:
        """The next JSON object; None for a message that is none, and once `closed` is true."""

    @abstractmethod
    async def send(self, data: dict[str, Any]) -> None:
        """Send `data` as JSON, dataclasses as their fields. Raises WebSocketClosed."""


class Driver(ABC):
    """The contract's driver: adapters, bots and hooks. How it reaches the network is left open.

    In NoneBot `_adapters` and the two sets of hooks are attributes of the class, shared by all
    drivers of a process. Here each driver has its own, made in `__init__`: in a program with one
    driver nobody can tell, and with two nothing is shared by accident.
    """

    _adapters: dict[str, type[Bot]]
    _ws_connection_hook: set[Callable[[Bot], Any]]
    _ws_disconnection_hook: set[Callable[[Bot], Any]]

    @abstractmethod
    def __init__(self, env: Any, config: Any) -> None:
        """`env.environment` names the environment, `config` holds the settings."""
        self._adapters = {}
        self._ws_connection_hook = set()
        self._ws_disconnection_hook = set()
        self._clients: dict[str, Bot] = {}
        self._bot_hooks = HookRunner()
        self.env: str = env.environment
        self.config: Any = config

    def register_adapter(self, name: str, adapter: type[Bot] = _NONE, **kwargs: Any) -> None:
        """Serve `adapter` under `/{name}/`; `kwargs` go to its `register`.

        An adapter keeps what it is registered with on its class. One that another driver has too is
        therefore registered as a subclass of its own, so that neither driver's tokens and settings
        become the other's. Raises TypeError for what is no name or no class.
        """
        if not isinstance(name, str):
            raise TypeError(
                f"expected a name and an adapter, got {name!r}; inside NoneBot 2.2 or newer it is"
                " DRIVER=nbdriver.nonebot, not DRIVER=nbdriver"
            )
        if not isinstance(adapter, type):
            raise TypeError(f"expected an adapter for {name!r}, which is a class, got {adapter!r}")
        if vars(adapter).get("driver", self) is not self:
            names = {"__module__": adapter.__module__, "__qualname__": adapter.__qualname__}
            adapter = new_class(adapter.__name__, (adapter,), {}, lambda own: own.update(names))
        self._adapters[name] = adapter
        adapter.register(self, self.config, **kwargs)
        self.logger.debug('Loaded adapter "%s"', name)

    @property
    @abstractmethod
    def type(self) -> str:
        """The driver's name."""

    @property
    @abstractmethod
    def server_app(self) -> Any:
        """The object that is served."""

    @property
    @abstractmethod
    def asgi(self) -> Any:
        """The driver as an ASGI application."""

    @property
    @abstractmethod
    def logger(self) -> logging.Logger:
        """The driver's own logger."""

    @property
    def bots(self) -> dict[str, Bot]:
        """The bots that are connected by WebSocket, by id."""
        return self._clients

    @abstractmethod
    def on_startup(self, func: Hook) -> Hook:
        """Run `func` before the server listens; a plain or an async function. A decorator."""

    @abstractmethod
    def on_shutdown(self, func: Hook) -> Hook:
        """Run `func` after the server has stopped; a plain or an async function. A decorator."""

    def on_bot_connect(self, func: Hook) -> Hook:
        """Run `func(bot)` when a bot has connected by WebSocket. A decorator."""
        self._ws_connection_hook.add(func)
        return func

    def on_bot_disconnect(self, func: Hook) -> Hook:
        """Run `func(bot)` when a bot's WebSocket is gone. A decorator."""
        self._ws_disconnection_hook.add(func)
        return func

    def _bot_connect(self, bot: Bot) -> None:
        """Make `bot` known, and run the connect hooks beside whatever goes on."""
        self._clients[bot.self_id] = bot
        self._bot_hooks.start("connect", self._ws_connection_hook, bot)

    def _bot_disconnect(self, bot: Bot) -> None:
        """Forget `bot`, if it is still the one that is known, and run the disconnect hooks."""
        if self._clients.get(bot.self_id) is bot:
            del self._clients[bot.self_id]
        self._bot_hooks.start("disconnect", self._ws_disconnection_hook, bot)

    @abstractmethod
    def run(
        self, host: str | None = None, port: int | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Serve until the process is told to stop."""

    @abstractmethod
    async def _handle_http(self, *args: Any, **kwargs: Any) -> Any:
        """Handle an HTTP request; each driver passes what it has."""

    @abstractmethod
    async def _handle_ws_reverse(self, *args: Any, **kwargs: Any) -> Any:
        """Handle a WebSocket connection; each driver passes what it has."""


class WebSocketListener(Protocol):
    """Whom a connection delivers to (`WebSocketConnection.deliver_to`). None may block or raise."""

    def message_received(self, message: str | bytes) -> None:
        """A whole message came: text, or bytes."""

    def connection_closed(self, error: Exception) -> None:
        """The connection is gone, `error` (a WebSocketClosed) says how; nothing comes after it."""


class WebSocketConnection(ABC):
    """The message level: a WebSocket's text and bytes, below the contract's JSON.

    What the server's own protocol, ASGI and a client implement alike. Messages are either asked for
    (`receive`) or delivered (`deliver_to`), which needs no task that waits.
    """

    request: Request

    #: Whether `ping` can be used: an ASGI server pings for itself.
    can_ping: ClassVar[bool] = True

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the connection is gone, and all that was received before has been handed over."""

    @abstractmethod
    async def accept(self, subprotocol: str | None = None) -> None:
        """Complete the opening handshake (RFC 6455, 4.2.2).

        Raises ValueError for a subprotocol that was not offered, WebSocketClosed if the peer has
        left, RuntimeError if the connection was accepted or closed before.
        """

    @abstractmethod
    async def receive(self) -> str | bytes:
        """The next message. Raises WebSocketClosed. Safe to cancel: no message is lost."""

    async def receive_text(self) -> str:
        """The next message as text. Raises WebSocketClosed, and TypeError for a binary message."""
        message = await self.receive()
        if not isinstance(message, str):
            raise TypeError(f"expected a text message, got a binary one of {len(message)} bytes")
        return message

    async def receive_bytes(self) -> bytes:
        """The next message as bytes. Raises WebSocketClosed, and TypeError for a text message."""
        message = await self.receive()
        if not isinstance(message, bytes):
            raise TypeError(f"expected a binary message, got text of {len(message)} characters")
        return message

    @abstractmethod
    async def send(self, message: str | bytes) -> None:
        """Send a message, and wait while the peer is slow to read.

        Raises WebSocketClosed, and ValueError for text that UTF-8 cannot carry.
        """

    @abstractmethod
    async def ping(self) -> None:
        """Ping the peer and wait for its pong (RFC 6455, 5.5.2). Raises WebSocketClosed."""

    @abstractmethod
    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the peer's Close for a bounded time; does nothing if it is closed.

        Before `accept` it refuses the connection with status 403. Raises ValueError for a code that
        must not be sent (RFC 6455, 7.4).
        """

    @abstractmethod
    def abort(self) -> None:
        """End the connection at once, without a closing handshake."""

    @abstractmethod
    def deliver_to(self, listener: WebSocketListener) -> None:
        """From now on deliver each message to `listener`, those first that wait already."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Deliver no more for now, so that the peer is slowed down; safe to repeat."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Deliver again; safe to repeat."""


class Application(ABC):
    """The waist: what a server calls, whoever the server is and whatever answers."""

    @abstractmethod
    def lifespan(self) -> AbstractAsyncContextManager[None]:
        """Start up on entering, shut down on leaving; both in one task.

        Entering raises StartupError if the application cannot start.
        """

    @abstractmethod
    async def handle_http(self, request: Request) -> Response:
        """Answer a request. Raises HTTPError to refuse it."""

    @abstractmethod
    async def handle_websocket(self, websocket: WebSocketConnection) -> None:
        """Take a WebSocket that wants to be accepted. Raises HTTPError before that to refuse it.

        The connection lives on after the return if a listener was given; otherwise it is closed.
        """

    @abstractmethod
    async def drain(self) -> None:
        """Accept no further events, and wait until those that were accepted have been handled.

        Called again once all connections are gone, it waits for what follows from that as well.
        """
