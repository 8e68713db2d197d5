"""What the driver's log looks like: one line an event, no secrets, nothing that a peer can inject.

The package logs through the standard library and is silent unless the program configures logging;
`configure` is the readable default that `Driver.run` falls back on.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import unquote

__all__ = ["configure", "escape", "mask_secrets", "name_peer"]

package = logging.getLogger(__package__)

_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
_SECRET = re.compile(r"(?i)token|secret|passw|pwd|passphrase|sig|key|auth|credential")
_UNSAFE = re.compile(r"[^\x20-\x7e]|[\\\"]")


def configure(level: int | str | None = None) -> None:
    """Log at `level` (INFO if None); to standard error, unless the program has set up logging."""
    package.setLevel(level if level is not None else logging.INFO)
    handlers = logging.getLogger().handlers + package.handlers
    if all(isinstance(handler, logging.NullHandler) for handler in handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%d %H:%M:%S"))
        package.addHandler(handler)


def escape(text: str) -> str:
    """`text` from outside as printable ASCII, so that no terminal and no log file is led astray.

    A quotation mark is escaped too, so that what stands between two of them stays there.
    """
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1].replace('"', '\\"'), text)


def mask_secrets(target: str) -> str:
    """A request target without the values of tokens and the like in its query."""
    path, mark, query = target.partition("?")
    return path + mark + "".join(map(_mask, re.split("([&;])", query)))


def _mask(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}=***" if equals and _SECRET.search(unquote(name)) else parameter


def name_peer(client: tuple[str, int] | None) -> str:
    """A peer as the log names it."""
    if client is None:
        return "-"
    host, port = client
    # A proxy tells no port, which is then 0.
    return host if not port else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
