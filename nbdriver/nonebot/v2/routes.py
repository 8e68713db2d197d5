"""Which set-up a path belongs to, read as NoneBot's FastAPI driver reads it.

Adapters and plugins write paths for that driver, the default one, so that what they may write here
is what Starlette makes of it: plain text, with `{name}` or `{name:kind}` for a part that may vary.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

__all__ = ["RouteTable"]

Handler = TypeVar("Handler", bound=Callable[..., object])

#: What a variable part may be, by its kind; `str` is the one that need not be named.
_KINDS = {
    "str": "[^/]+",
    "path": ".*",
    "int": "[0-9]+",
    "float": r"[0-9]+(?:\.[0-9]+)?",
    "uuid": "[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}",
}
_VARIABLE = re.compile(r"\{[a-zA-Z_][a-zA-Z0-9_]*(?::([a-zA-Z_][a-zA-Z0-9_]*))?\}")


class _Route(NamedTuple, Generic[Handler]):
    pattern: re.Pattern[str]
    method: str | None
    handler: Handler


class RouteTable(Generic[Handler]):
    """Handlers by path and method; None in the place of a method is a WebSocket's."""

    def __init__(self) -> None:
        self._routes: list[_Route[Handler]] = []

    def add(self, path: str, method: str | None, handler: Handler) -> None:
        """Serve a path; of several handlers for the same the first one counts.

        Raises ValueError for a path that does not begin with a slash, or has a part of a kind that
        does not exist.
        """
        if not path.startswith("/"):
            raise ValueError(f'expected a path that begins with "/", got {path!r}')
        self._routes.append(_Route(_compile(path), method, handler))

    def at(self, path: str) -> dict[str | None, Handler]:
        """The handlers of a path, percent-decoded, by their methods; empty if nobody serves it."""
        found: dict[str | None, Handler] = {}
        for route in self._routes:
            if route.pattern.fullmatch(path):
                found.setdefault(route.method, route.handler)
        return found


def _compile(path: str) -> re.Pattern[str]:
    pattern, end = "", 0
    for variable in _VARIABLE.finditer(path):
        kind = variable[1] or "str"
        if kind not in _KINDS:
            known = ", ".join(_KINDS)
            raise ValueError(f"expected a part of a kind that exists ({known}), got {variable[0]}")
        pattern += re.escape(path[end : variable.start()]) + _KINDS[kind]
        end = variable.end()
    return re.compile(pattern + re.escape(path[end:]))
