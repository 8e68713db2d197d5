"""What the driver's log looks like: one line an event, no secrets, nothing that a peer can inject.

The package logs through the standard library and is silent unless the program configures logging;
`configure` is the readable default that `Driver.run` falls back on.
"""

from __future__ import annotations

import logging
import re

__all__ = ["configure", "escape", "mask_secrets"]

package = logging.getLogger(__package__)

_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
_SECRET = re.compile(r"(?i)([?&;][^=&;]*(?:token|secret|password|signature|key)[^=&;]*=)[^&;#]*")
_UNSAFE = re.compile(r"[^\x20-\x7e]|\\")


def configure(level: int | str | None = None) -> None:
    """Log to standard error, at `level` (INFO if None), unless the program has configured logging."""
    package.setLevel(level if level is not None else logging.INFO)
    if not logging.getLogger().handlers and not any(
        not isinstance(handler, logging.NullHandler) for handler in package.handlers
    ):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%d %H:%M:%S"))
        package.addHandler(handler)


def escape(text: str) -> str:
    """`text` from outside as printable ASCII, so that no terminal and no log file is led astray."""
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], text)


def mask_secrets(target: str) -> str:
    """A request target without the values of tokens and the like in its query."""
    return _SECRET.sub(r"\1***", target)
