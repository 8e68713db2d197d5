"""Messages of OneBot v11: segments, and the CQ codes that they are written as in text.

Text that a bot sends is plain text and is never read as codes; only what comes is. The standard's
part `message` is cited by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

__all__ = [
    "Message",
    "Segment",
    "at",
    "data_of",
    "escape",
    "image",
    "outgoing",
    "parse",
    "reply",
    "text",
    "unescape",
]

Segment: TypeAlias = Mapping[str, Any]
"""A piece of a message, `{"type": ..., "data": {...}}` (message/array)."""

Message: TypeAlias = str | Segment | Iterable[str | Segment]
"""What can be sent: plain text, a segment, or several of them."""

# message/string: a bracket or a comma that is meant is escaped, so none stands inside a code.
_CQ_CODE = re.compile(r"\[CQ:([^,\[\]]++)((?:,[^,\[\]]*+)*+)\]")


def text(content: str) -> Segment:
    """Plain text."""
    return {"type": "text", "data": {"text": content}}


def at(user_id: int | str) -> Segment:
    """A mention of somebody; "all" mentions everybody."""
    return {"type": "at", "data": {"qq": str(user_id)}}


def image(file: str) -> Segment:
    """A picture: a URL (`https:`, `file:`), `base64://...`, or a name that was received."""
    return {"type": "image", "data": {"file": file}}


def reply(message_id: int | str) -> Segment:
    """Makes the message a reply; stands first in it."""
    return {"type": "reply", "data": {"id": str(message_id)}}


def escape(content: str, *, comma: bool = False) -> str:
    """`content` as it stands in a message of CQ codes; inside of a code also the `comma`."""
    content = content.replace("&", "&amp;").replace("[", "&#91;").replace("]", "&#93;")
    return content.replace(",", "&#44;") if comma else content


def unescape(content: str) -> str:
    """What `escape` was given."""
    content = content.replace("&#44;", ",").replace("&#91;", "[").replace("&#93;", "]")
    return content.replace("&amp;", "&")


def parse(message: object) -> list[Segment]:
    """A message that came, as segments: it is a list of these, or text with CQ codes."""
    if isinstance(message, str):
        return list(_read_codes(message))
    segments = message if isinstance(message, list) else ()
    return [each for each in segments if isinstance(each, dict)]


def _read_codes(message: str) -> Iterator[Segment]:
    end = 0
    for code in _CQ_CODE.finditer(message):
        if code.start() > end:
            yield text(unescape(message[end : code.start()]))
        pairs = (pair.partition("=") for pair in code[2].split(",")[1:])
        yield {"type": code[1], "data": {key.strip(): unescape(value) for key, _, value in pairs}}
        end = code.end()
    if end < len(message):
        yield text(unescape(message[end:]))


def data_of(segment: Segment) -> Segment:
    """What a segment holds; a segment of a peer's may hold nothing, or nonsense."""
    data = segment.get("data")
    return data if isinstance(data, dict) else {}


def outgoing(message: Message) -> list[Segment]:
    """What can be sent, as segments."""
    parts = [message] if isinstance(message, str | Mapping) else message
    return [text(part) if isinstance(part, str) else part for part in parts]
