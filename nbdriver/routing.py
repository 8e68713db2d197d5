"""Which adapter a path belongs to, and how it is talked to there."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

__all__ = ["Route", "match"]


class Route(NamedTuple):
    """An adapter's name, and whether its path is the WebSocket one."""

    adapter: str
    websocket: bool


@lru_cache(64)
def match(path: str) -> Route | None:
    """The route of a path: `/{adapter}/`, `/{adapter}/http` or `/{adapter}/ws`.

    Each with or without a slash at the end; None for any other path. The name is percent-decoded,
    as UTF-8.
    """
    _, *segments = path.removesuffix("/").split("/")
    if not segments or not segments[0]:
        return None
    adapter = unquote(segments[0])
    match segments[1:]:
        case [] | ["http"]:
            return Route(adapter, websocket=False)
        case ["ws"]:
            return Route(adapter, websocket=True)
    return None
