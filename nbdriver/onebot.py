"""A OneBot v11 bot, so that one can be written with nothing else installed.

    class EchoBot(onebot.Bot):
        async def on_message(self, event: onebot.Event) -> None:
            await self.send(event, event.text)

Events come by reverse WebSocket or are posted, API calls go over the WebSocket. This is an adapter
and no framework: there are no commands, no sessions and no plugins here, for that there is NoneBot.
The standard is OneBot v11: its parts `communication`, `message` and `event` are cited by name.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from . import abc, logs
from .errors import (
    ActionFailed,
    ApiNotAvailable,
    ConfigError,
    NetworkError,
    RequestDenied,
    WebSocketClosed,
)
from .model import Request
from .segments import (
    Message,
    Segment,
    at,
    data_of,
    escape,
    image,
    outgoing,
    parse,
    reply,
    text,
    unescape,
)

__all__ = [
    "Bot",
    "Event",
    "Message",
    "Segment",
    "at",
    "escape",
    "image",
    "parse",
    "reply",
    "text",
    "unescape",
]

logger = logging.getLogger(__name__)

# The account is a number in the standard; platforms that were bridged to it have names too. It
# becomes a key, stands in log lines and in refusals, so nothing else is let in.
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,63}")


class Event(Mapping[str, Any]):
    """An event, read by attribute. A view of the dict as it came: checks nothing, copies nothing.

    Attributes are None where the event has no such key; what has no attribute is read as from a
    dict: `event["sender"]["nickname"]`, `event.get("comment")`.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self._raw = raw

    def __getitem__(self, key: str) -> Any:
        return self._raw[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __repr__(self) -> str:
        return f"Event({self._raw!r})"

    @property
    def raw(self) -> dict[str, Any]:
        """The event as it came."""
        return self._raw

    @property
    def post_type(self) -> str:
        """What it is: "message", "notice", "request", "meta_event", or the platform's own."""
        return str(self._raw.get("post_type", ""))

    @property
    def message_type(self) -> str | None:
        """Of a message: "private" or "group"."""
        return self._raw.get("message_type")

    @property
    def sub_type(self) -> str | None:
        """A finer kind: of a private message "friend" or "group", and so on."""
        return self._raw.get("sub_type")

    @property
    def self_id(self) -> int | None:
        """The account of the bot."""
        return self._raw.get("self_id")

    @property
    def user_id(self) -> int | None:
        """Who sent the message, or whom the event is about."""
        return self._raw.get("user_id")

    @property
    def group_id(self) -> int | None:
        """The group in which it happened."""
        return self._raw.get("group_id")

    @property
    def message_id(self) -> int | None:
        """The message's id, as `reply` and `delete_msg` want it."""
        return self._raw.get("message_id")

    @property
    def message(self) -> list[Segment]:
        """The message as segments, in whichever of the two forms it came."""
        return parse(self._raw.get("message"))

    @property
    def text(self) -> str:
        """The text of the message, without its images, mentions and other segments."""
        texts = (data_of(each).get("text") for each in self.message if each.get("type") == "text")
        return "".join(str(each) for each in texts if each is not None)

    @property
    def to_me(self) -> bool:
        """Whether the bot is spoken to: the message is private, or mentions it."""
        return self.message_type == "private" or any(
            each.get("type") == "at" and str(data_of(each).get("qq")) == str(self.self_id)
            for each in self.message
        )


class Bot(abc.Bot):
    """An account on a OneBot v11 platform. Override `on_message`, or `on_event` for every event.

    Who may connect: with `ACCESS_TOKEN` set, whoever shows it; with `SECRET` set, an event that is
    posted must be signed with it. `ONEBOT_ACCESS_TOKEN` and `ONEBOT_SECRET`, where they are set, go
    before these two. `API_TIMEOUT` (seconds, 30 by default, null waits for ever) bounds API calls.
    """

    def __init__(
        self, connection_type: str, self_id: str, *, websocket: abc.WebSocket | None = None
    ) -> None:
        super().__init__(connection_type, self_id, websocket=websocket)
        # None as a result says that the connection went away before there was an answer.
        self._calls: dict[str, asyncio.Future[dict[str, Any] | None]] = {}
        self._echoes = count(1)
        self._lost: Exception | None = None

    @property
    def type(self) -> str:
        """The adapter's name."""
        return "onebot"

    # What a bot's author overrides.

    async def on_event(self, event: Event) -> None:
        """An event came. Override it to see every event, and call `super().on_event(event)`."""
        if event.post_type == "message":
            await self.on_message(event)

    async def on_message(self, event: Event) -> None:
        """A message came from somebody else. Does nothing; override it."""

    # Who may connect.

    @classmethod
    def register(cls, driver: abc.Driver, config: Any, **kwargs: Any) -> None:
        """See `abc.Bot.register`. Raises ConfigError for a token or a secret that is no text."""
        super().register(driver, config, **kwargs)
        for name in ("access_token", "secret"):
            _credential(config, name)

    @classmethod
    async def check_permission(
        cls,
        driver: abc.Driver,
        connection_type: str,
        headers: dict[str, str],
        body: dict[str, Any] | None,
    ) -> str:
        """Let in whoever knows the access token and, where events are posted, signs them.

        As communication/authorization has it: 401 if token or signature are missing, 403 if they
        are wrong. The id is that of the header `X-Self-ID`; 400 without one.
        """
        try:
            self_id = _self_id(headers)
            if connection_type == "http":
                _check_signature(headers, _credential(driver.config, "secret"))
            _check_token(headers, _credential(driver.config, "access_token"))
        except RequestDenied as error:
            logger.warning("a %s connection of a bot is refused: %s", connection_type, error)
            raise
        return self_id

    # Events in, answers in.

    @classmethod
    def is_answer(cls, message: dict[str, Any]) -> bool:
        """Whether a message answers an API call; the dispatcher lets it pass by waiting events.

        A platform that cannot read a call answers it without `echo`.
        """
        return "post_type" not in message and ("echo" in message or "retcode" in message)

    async def handle_message(self, message: dict[str, Any]) -> None:
        """See `abc.Bot.handle_message`; an answer wakes the API call that waits for it.

        A NetworkError that the bot's author lets pass is a warning of one line.
        """
        if "post_type" in message:
            try:
                await self.on_event(Event(message))
            except NetworkError as error:
                # No mistake of the bot's, so nobody needs the traceback.
                logger.warning("bot %s: an event is not handled further, %s", self.self_id, error)
        elif self.is_answer(message):
            self._take_answer(message)
        else:
            logger.warning(
                "bot %s: a message is ignored, expected an event (with post_type) or an answer"
                " (with echo), got the keys %.200s",
                self.self_id,
                sorted(message),
            )

    def _take_answer(self, answer: dict[str, Any]) -> None:
        call = self._calls.pop(str(answer.get("echo")), None)
        # A call whose time is over, or that was cancelled, may not have gone yet.
        if call is None or call.done():
            logger.debug("bot %s: an answer that no call waits for: %.200r", self.self_id, answer)
        else:
            call.set_result(answer)

    def connection_closed(self, error: Exception) -> None:
        """Called by the dispatcher when the WebSocket is gone: API calls that wait fail at once."""
        self._lost = error
        # An answer that came just before may be in a task that has not begun; that one comes first.
        asyncio.get_running_loop().call_soon(self._give_up)

    def _give_up(self) -> None:
        for call in self._calls.values():
            if not call.done():
                call.set_result(None)

    # Calls out.

    async def call_api(self, api: str, **params: Any) -> Any:
        """Call an API, `await bot.call_api("get_status")` or `await bot.get_status()`.

        Gives the answer's `data`. Raises ActionFailed if the platform says that it failed,
        NetworkError if no answer comes (the connection is lost, the time is over), ApiNotAvailable
        if the event came by HTTP, TypeError or ValueError for what JSON cannot hold.
        """
        if self.websocket is None:
            raise ApiNotAvailable(
                f"{api}: expected a WebSocket, but bot {self.self_id} posts its events, and"
                " API_ROOT is not called yet; let the OneBot client connect by reverse WebSocket"
            )
        echo = str(next(self._echoes))
        call = self._calls[echo] = asyncio.get_running_loop().create_future()
        timeout = getattr(self.config, "api_timeout", None)
        try:
            async with asyncio.timeout(timeout):
                await self.websocket.send({"action": api, "params": params, "echo": echo})
                answer = await call
        except WebSocketClosed as error:
            raise NetworkError(f"{api}: {logs.escape(str(error))}") from error
        except TimeoutError:
            raise NetworkError(f"{api}: no answer came within {timeout} s") from None
        finally:
            self._calls.pop(echo, None)
        if answer is None:
            lost = logs.escape(str(self._lost))
            raise NetworkError(f"{api}: the connection went before an answer ({lost})")
        if answer.get("status") == "failed":
            raise ActionFailed(answer)
        return answer.get("data")

    async def send(
        self,
        event: Mapping[str, Any],
        message: Message,
        *,
        at_sender: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Send `message` to where `event` (an Event, or the dict) came from, with `send_msg`.

        A string is plain text: nothing in it is read as a CQ code. `at_sender` mentions the sender
        first, in a group. `kwargs` go along; a `user_id` or a `group_id` among them is sent to
        instead. Raises ValueError if there is nobody to send to, and what `call_api` raises.
        """
        elsewhere = kwargs.get("user_id") or kwargs.get("group_id")
        params = {**_destination(kwargs if elsewhere else event), **kwargs}
        segments = outgoing(message)
        if at_sender and params["message_type"] == "group" and event.get("user_id"):
            segments = [at(event["user_id"]), text(" "), *segments]
        return await self.call_api("send_msg", **params, message=segments)


def _destination(place: Mapping[str, Any]) -> dict[str, Any]:
    """`send_msg`'s parameters for where an event came from, or for what was named instead."""
    ids = {key: place[key] for key in ("user_id", "group_id") if place.get(key)}
    if not ids:
        raise ValueError("expected an event with a user_id or a group_id to send to, got neither")
    kind = place.get("message_type")
    # A private message may name the group that it came by: the answer is for one person's eyes.
    if kind not in ("private", "group"):
        kind = "group" if "group_id" in ids else "private"
    return {"message_type": kind, **ids}


# Permission (communication/authorization, communication/http-post).


def _self_id(headers: Mapping[str, str]) -> str:
    self_id = headers.get("x-self-id")
    if not self_id:
        raise RequestDenied(400, "expected an X-Self-ID header with the bot's id, got none")
    if not _PLAIN_ID.fullmatch(self_id):
        raise RequestDenied(
            400, "expected a plain id in X-Self-ID: up to 64 letters, digits or ._:@+-"
        )
    return self_id


def _credential(config: Any, name: str) -> bytes | None:
    """The configured `ONEBOT_{name}`, else `{name}`; None if neither is set, or both are empty."""
    given = (getattr(config, key, None) for key in (f"onebot_{name}", name))
    value = next((each for each in given if each not in (None, "")), None)
    if value is None:
        return None
    # A key that the contract does not type is read as JSON, in which digits are still themselves.
    if not isinstance(value, str | int) or isinstance(value, bool):
        key = name.upper()
        raise ConfigError(
            f"ONEBOT_{key} in the configuration: expected text, but it reads as JSON of another"
            f" kind; set {key} instead, which always stays text"
        )
    # Bytes of the environment that are not UTF-8 are compared as they are.
    return str(value).encode("utf-8", "surrogateescape")


def _check_token(headers: Mapping[str, str], expected: bytes | None) -> None:
    if expected is None:
        return
    token = _token_of(headers)
    if token is None:
        raise _unauthenticated(
            "Bearer",
            "expected an access token, got none: Authorization: Bearer TOKEN, or"
            " access_token=TOKEN in the query",
        )
    if not hmac.compare_digest(token, expected):
        raise RequestDenied(403, "the access token is wrong")


def _token_of(headers: Mapping[str, str]) -> bytes | None:
    """The token that a caller shows, in the header or else in the query; as it was sent."""
    # RFC 9110, 11.1: the scheme's case does not matter; `Token` is what older clients say.
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "token") and token.strip(" \t"):
        # Not of what Unicode calls white space: a byte of a token in UTF-8 may look like it.
        return token.strip(" \t").encode("latin-1", "replace")
    request = _request(headers)
    token_in_query = request.query("access_token") if request is not None else None
    return token_in_query.encode() if token_in_query else None


def _check_signature(headers: Mapping[str, str], secret: bytes | None) -> None:
    if secret is None:
        return
    signature = headers.get("x-signature")
    if not signature:
        raise _unauthenticated(
            "X-Signature",
            "expected an X-Signature header, got none: sha1= and the HMAC-SHA1 of the body in hex",
        )
    request = _request(headers)
    body = request.body if request is not None else b""
    expected = f"sha1={hmac.new(secret, body, 'sha1').hexdigest()}"
    if not hmac.compare_digest(signature.lower().encode("latin-1", "replace"), expected.encode()):
        raise RequestDenied(
            403, "the signature is wrong: it is not the HMAC-SHA1 of this body with our secret"
        )


def _request(headers: Mapping[str, str]) -> Request | None:
    """The request behind the headers; another driver than ours may hand over a plain dict."""
    return getattr(headers, "request", None)


def _unauthenticated(challenge: str, reason: str) -> RequestDenied:
    """A 401, which has to say what would be accepted (RFC 9110, 15.5.2)."""
    denied = RequestDenied(401, reason)
    denied.headers = (("WWW-Authenticate", challenge),)
    return denied
