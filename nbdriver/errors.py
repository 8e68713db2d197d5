"""Every exception that crosses the package's API, in one tree.

Whoever embeds the driver catches `DriverError` and has them all; exceptions of h11, wsproto, the
transports or a framework around us never leave the module that met them.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ActionFailed",
    "ApiNotAvailable",
    "ConfigError",
    "ConnectError",
    "ConnectionLost",
    "DriverError",
    "HTTPError",
    "InvalidResponse",
    "InvalidURL",
    "NetworkError",
    "NetworkTimeout",
    "ProtocolViolation",
    "RequestDenied",
    "StartupError",
    "TooManyRedirects",
    "UpgradeRefused",
    "WebSocketClosed",
]


class DriverError(Exception):
    """The root of the tree."""


class ConfigError(DriverError, ValueError):
    """A setting cannot be used: the message names the key, its source, and what was expected."""


class StartupError(DriverError):
    """The server could not start: a start-up hook failed, or an address could not be bound."""


class ConnectionLost(DriverError):
    """The peer's connection is gone, so nothing more can be written to it."""


class HTTPError(DriverError):
    """A request is refused with a status and a reason.

    `reason` is for the person at the other end: one line that says what was expected and what came.
    `headers` are added to the answer (`Allow`, `Retry-After`, ...).
    """

    def __init__(
        self, status_code: int, reason: str, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        super().__init__(status_code, reason)
        self.status_code = status_code
        self.reason = reason
        self.headers = tuple(headers)

    def __str__(self) -> str:
        return f"{self.status_code}: {self.reason}"


class RequestDenied(HTTPError):
    """An adapter does not let this caller in; raised by `Bot.check_permission`.

    `status_code` is an HTTP status from 400 to 599, `reason` is told to the caller.
    """

    def __init__(self, status_code: int, reason: str) -> None:
        super().__init__(status_code, reason)


class ProtocolViolation(DriverError):
    """A WebSocket peer broke RFC 6455 or a limit; `code` is the close code it is told (7.4)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class WebSocketClosed(DriverError):
    """The WebSocket is closed; `code` and `reason` are the peer's, or 1006 if it just left.

    It is no NetworkError, since a WebSocket that ends in good order (1000, 1001) ends so too.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        why = f"{self.code}: {self.reason}" if self.reason else f"{self.code}"
        return f"the WebSocket is closed: {why}"


class NetworkError(DriverError):
    """What was asked of another machine got no answer, whatever the reason.

    So it is with an API call whose connection went away or whose time was over, and with each
    request and each connection of a client's that failed; the classes below say more.
    """


class ConnectError(NetworkError, OSError):
    """No connection: the name, the address, TLS, or the proxy on the way did not let us through.

    An OSError too, as what the standard library raises there; it has no `errno`, since more than
    one address may have been tried.
    """


class NetworkTimeout(NetworkError, TimeoutError):
    """A time limit was over; `limit` is its name ("total", "connect", "read"), `seconds` it."""

    def __init__(self, limit: str, seconds: float, doing: str) -> None:
        """`doing` says what took too long, as in "for the answer's head from example.org"."""
        super().__init__(limit, seconds, doing)
        self.limit = limit
        self.seconds = seconds
        self.doing = doing

    def __str__(self) -> str:
        return f"waited {self.seconds:g} s (the {self.limit} limit) {self.doing}"


class InvalidResponse(NetworkError):
    """A server's answer breaks HTTP or a limit; what it would have meant is not guessed at."""

    def of(self, place: str) -> InvalidResponse:
        """The same, and whose answer it was: a host, or an origin (RFC 6454), never a path."""
        return InvalidResponse(f"{place}: {self}")


class TooManyRedirects(NetworkError):
    """Each answer led on to another place, and there were more of them than are followed."""


class UpgradeRefused(NetworkError):
    """A server did not open the WebSocket: it answered as to any request, with this status.

    `headers` are its header fields as pairs, names in lower case. `body` is the beginning of what
    stood in the answer, which may say why; the message has none of it, since servers repeat there
    what they were asked for, and that may be secret. `place` is who answered.
    """

    def __init__(
        self,
        status_code: int,
        reason: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        place: str = "",
    ) -> None:
        super().__init__(status_code, reason)
        self.status_code = status_code
        self.reason = reason
        self.headers = tuple(headers)
        self.body = body
        self.place = place

    def __str__(self) -> str:
        # The reason may hold what no terminal should see.
        reason = ascii(self.reason)[1:-1]
        place = f" from {self.place}" if self.place else ""
        return f"expected 101 Switching Protocols{place}, got {self.status_code} {reason}".rstrip()


class InvalidURL(DriverError, ValueError):
    """A URL cannot be used: the message says what was expected and what came."""


class ApiNotAvailable(NetworkError):
    """An API was called on a bot that has no way to carry the call."""


class ActionFailed(DriverError):
    """The chat platform answered an API call with a failure; `info` is its whole answer."""

    def __init__(self, info: dict[str, object]) -> None:
        super().__init__(info)
        self.info = info

    @property
    def retcode(self) -> object:
        """The platform's own number for what went wrong, or None."""
        return self.info.get("retcode")

    def __str__(self) -> str:
        return ", ".join(f"{key}={value!r}" for key, value in self.info.items())
