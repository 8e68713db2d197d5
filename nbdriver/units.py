"""What a person may write for a size, a time, a port, a set of names, and what it means.

A setting comes as text (from a file or the environment) or as a Python value (a keyword, or another
program's configuration). Its `Kind` reads either, and says in one phrase what it expects. Which
values are secrets stands here too, since every message about a value has to know.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple, cast

from .errors import ConfigError

__all__ = [
    "BACKLOG",
    "COUNT",
    "COUNT_OR_ZERO",
    "DURATION",
    "FLAG",
    "FORWARDED_HEADERS",
    "HEADER_VALUE",
    "HOST",
    "HOST_NAMES",
    "LOG_LEVEL",
    "NAMES",
    "ORIGINS",
    "PATH",
    "PEERS",
    "PORT",
    "SECONDS",
    "SECONDS_OR_ZERO",
    "SIZE",
    "TEXT",
    "TEXT_BY_TEXT",
    "TEXT_OR_UNSET",
    "Kind",
    "Row",
    "Setting",
    "json_or_text",
    "log_levels",
    "masked",
    "one_of",
    "optional",
    "parts_of",
]

_LONGEST_SHOWN = 80
_SECRET_WORDS = ("token", "secret", "password", "key")
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})
_BYTES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
#: Beyond these no clock and no library counts any more: thirty years, and what a 64-bit size holds.
_LONGEST = 1e9
_LARGEST = 2**62
_SIZE = re.compile(r"\s*([0-9]+)\s*([kmg]i?b)?\s*", re.IGNORECASE)

# The spellings that pydantic 1 reads, and so NoneBot: `[DD ][[HH:]MM:]SS[.ffffff]` and ISO 8601.
# Compiled when first met, which is hardly ever: a start should cost nothing for them.
_CLOCK_TIME = (
    r"(?:(?P<days>[0-9]+) (?:days?, )?)?"
    r"(?:(?:(?P<hours>[0-9]+):)?(?P<minutes>[0-9]+):)?"
    r"(?P<seconds>[0-9]+(?:\.[0-9]+)?)"
)
_ISO_8601 = (
    r"P(?=.)(?:(?P<days>[0-9]+(?:\.[0-9]+)?)D)?"
    r"(?:T(?=.)(?:(?P<hours>[0-9]+(?:\.[0-9]+)?)H)?"
    r"(?:(?P<minutes>[0-9]+(?:\.[0-9]+)?)M)?"
    r"(?:(?P<seconds>[0-9]+(?:\.[0-9]+)?)S)?)?"
)

# What a browser may send as Origin (RFC 6454, 7.1): a name, in Punycode if need be, or an address.
_ORIGIN = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://"
    r"(?:\[(?P<ipv6>[^\[\]%]+)\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?)(?::(?P<port>[0-9]*))?"
)

# The names that NoneBot's users know from loguru and that the standard library has no number for.
_LOGURU_LEVELS = {"TRACE": 5, "SUCCESS": 25}


def _as_text(value: object) -> str:
    """A default as one would write it in a `.env` file."""
    if isinstance(value, str):
        return value
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(sorted(value) if isinstance(value, set) else value)


def _as_size(value: object) -> str:
    size = _size(value)
    for unit in ("GiB", "MiB", "KiB"):
        if size % _BYTES[unit.lower()] == 0:
            return f"{size // _BYTES[unit.lower()]}{unit}"
    return str(size)


def _as_list(value: Any) -> str:
    return ",".join(value)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: `type` names it in a table, `expected` in an error message.

    `parse` gives the value that text or a Python value stands for and raises `ValueError` or
    `OverflowError` where it stands for none. What it gives, it accepts again. `as_text` writes a
    value as `parse` reads it.
    """

    type: str
    expected: str
    parse: Callable[[object], object]
    as_text: Callable[[object], str] = _as_text
    several: bool = False
    """Whether it may be a list, so that an option on the command line may be repeated."""


class Setting(NamedTuple):
    """A value, with the key and the source ("in .env") that a message about it has to name."""

    key: str
    value: object
    source: str

    def read(self, kind: Kind) -> Any:
        """What the value means; raises `ConfigError` if it means nothing."""
        try:
            return kind.parse(self.value)
        except (ValueError, OverflowError, RecursionError):
            came = _shown(self.key, self.value)
            message = f"{self.key} {self.source}: expected {kind.expected}; came {came}"
            raise ConfigError(message) from None


class Row(NamedTuple):
    """A setting in a table: its name, what may be written, the default as written, its purpose."""

    name: str
    type: str
    default: str
    doc: str


def optional(kind: Kind) -> Kind:
    """The same kind, or None, which as text is `null` or `none`."""

    def parse(value: object) -> object:
        if value is None or (isinstance(value, str) and value.strip().lower() in ("null", "none")):
            return None
        return kind.parse(value)

    def as_text(value: object) -> str:
        return "null" if value is None else kind.as_text(value)

    return Kind(f"{kind.type} or null", f"{kind.expected}, or null", parse, as_text)


def one_of(*words: str) -> Kind:
    """One of these words, in any case."""
    expected = f"{', '.join(words[:-1])} or {words[-1]}"

    def parse(value: object) -> str:
        word = _text(value).strip().lower()
        if word not in words:
            raise ValueError
        return word

    return Kind("text", expected, parse)


def json_or_text(text: str) -> object:
    """The value that `text` is in JSON (RFC 8259, so without NaN and infinities), else `text`."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if _is_number(value):  # SUPERUSERS=[123456] means the text, as it does for pydantic
        return str(value)
    raise ValueError


def _text_or_unset(value: object) -> str | None:
    return None if value is None else _text(value)


def _host(value: object) -> str:
    if isinstance(value, (IPv4Address, IPv6Address)):
        return str(value)
    text = value.strip() if isinstance(value, str) else ""
    # An empty host would make asyncio listen on every interface.
    if not text or re.search(r"[\s/\x00-\x1f\x7f-\x9f]", text):
        raise ValueError
    return text


def _path(value: object) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path:
        raise ValueError
    return path


def _header_value(value: object) -> str:
    text = _text(value)
    if not re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", text):  # RFC 9110 5.5, without obs-text
        raise ValueError
    return text


def _flag(value: object) -> bool:
    word = value.strip().lower() if isinstance(value, str) else str(value).lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _whole(value: object) -> int:
    if isinstance(value, str):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError
    return value


def _whole_between(least: int, most: int | None = None) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = _whole(value)
        if number < least or (most is not None and number > most):
            raise ValueError
        return number

    return parse


def _size(value: object) -> int:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is None:
            raise ValueError
        value = int(match[1]) * _BYTES[(match[2] or "").lower()]
    return _whole_between(1, _LARGEST)(value)


def _seconds_or_zero(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError
    number = float(value)
    if not 0 <= number <= _LONGEST:
        raise ValueError
    return number


def _seconds(value: object) -> float:
    number = _seconds_or_zero(value)
    if number == 0:
        raise ValueError
    return number


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, str):
        return timedelta(seconds=_seconds_or_zero(value))
    text = value.strip()
    match = re.fullmatch(_CLOCK_TIME, text) or re.fullmatch(_ISO_8601, text)
    if match is None:
        raise ValueError
    return timedelta(**{unit: float(part) for unit, part in match.groupdict("0").items()})


def _names(value: object) -> set[str]:
    items = json_or_text(value) if isinstance(value, str) else value
    if not isinstance(items, (list, tuple, set, frozenset)):
        raise ValueError
    return {_text(item) for item in items}


def parts_of(value: object) -> list[object]:
    """The parts of a list, of JSON's text for one, or of text with commas between them."""
    if isinstance(value, str):
        decoded = json_or_text(value)
        value = decoded if isinstance(decoded, list) else [value]
    if not isinstance(value, (list, tuple)):
        value = [value]
    parts: list[object] = []
    for item in value:
        parts += [part.strip() for part in item.split(",")] if isinstance(item, str) else [item]
    return parts


def _listed(each: Callable[[str], object]) -> Callable[[object], tuple[str, ...]]:
    """Texts, each of which `each` does not raise ValueError for."""

    def parse(value: object) -> tuple[str, ...]:
        parts = tuple(part for part in parts_of(value) if part != "")
        for part in parts:
            if not isinstance(part, str):
                raise ValueError
            each(part)
        return cast("tuple[str, ...]", parts)

    return parse


def _peer(text: str) -> object:
    return text in ("*", "unix") or ip_network(text)


def _origin(text: str) -> None:
    if text == "*":
        return
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError
    IPv6Address(match["ipv6"] or "::")
    PORT.parse(match["port"] or 0)


def _host_name(text: str) -> object:
    if ":" in text:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    if not re.fullmatch(r"\*|[A-Za-z0-9._-]+", text):
        raise ValueError
    return None


def _text_by_text(value: object) -> dict[str, str]:
    items = json_or_text(value) if isinstance(value, str) else value
    if not isinstance(items, dict):
        raise ValueError
    return {_text(key): _text(item) for key, item in items.items()}


def log_levels() -> dict[str, int]:
    """The number of every level that has a name, those of loguru included."""
    return _LOGURU_LEVELS | logging.getLevelNamesMapping()


def _log_level(value: object) -> str | int:
    name = value.strip().upper() if isinstance(value, str) else ""
    return name if name in log_levels() else _whole_between(0)(value)


def masked(key: str, value: object) -> object:
    """`value` as it may be shown: `***` if `key` names a secret; so too in lists and dicts."""
    if any(word in key.lower() for word in _SECRET_WORDS):
        return value if value is None or value == "" else "***"
    if isinstance(value, dict):
        return {name: masked(str(name), item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked("", item) for item in value]
    return value


def _shown(key: str, value: object) -> str:
    try:
        came = repr(masked(key, value))
    except (RecursionError, ValueError):  # Nested too deep, or a number of too many digits.
        name = type(value).__name__
        return f"an {name}" if name.startswith(tuple("aeiou")) else f"a {name}"
    return came if len(came) <= _LONGEST_SHOWN else f"{came[:_LONGEST_SHOWN]}..."


TEXT = Kind("text", "text", _text)
TEXT_OR_UNSET = Kind("text", "text", _text_or_unset, lambda value: _text_or_unset(value) or "")
HOST = Kind("text", "an IP address or a host name, such as 127.0.0.1", _host)
HEADER_VALUE = Kind("text", "printable ASCII text, not empty", _header_value)
PATH = Kind("text", "the path of a file", _path)
FLAG = Kind("true or false", "true or false", _flag)
PORT = Kind("number", "a whole number from 0 to 65535", _whole_between(0, 65535))
BACKLOG = Kind("number", "a whole number from 1 to 65535", _whole_between(1, 65535))
COUNT = Kind("number", "a whole number, 1 or more", _whole_between(1))
COUNT_OR_ZERO = Kind("number", "a whole number, 0 or more", _whole_between(0))
SIZE = Kind("bytes", "a number of bytes, 1 or more, such as 65536 or 16MiB", _size, _as_size)
SECONDS = Kind("seconds", "a number of seconds above 0, such as 30 or 0.5", _seconds)
SECONDS_OR_ZERO = Kind("seconds", "a number of seconds, 0 or more", _seconds_or_zero)
NAMES = Kind("JSON list", 'a JSON list of texts, such as ["a", "b"]', _names)
TEXT_BY_TEXT = Kind("JSON object", 'a JSON object of texts, such as {"a": "b"}', _text_by_text)
PEERS = Kind(
    "list",
    "IP addresses, networks such as 10.0.0.0/8, unix or *, separated by commas",
    _listed(_peer),
    _as_list,
    several=True,
)
ORIGINS = Kind(
    "list",
    "origins such as https://example.org, or *, separated by commas",
    _listed(_origin),
    _as_list,
    several=True,
)
HOST_NAMES = Kind(
    "list",
    "names of hosts such as bot.example.org, without a port, or *, separated by commas",
    _listed(_host_name),
    _as_list,
    several=True,
)
FORWARDED_HEADERS = one_of("x-forwarded", "forwarded")
LOG_LEVEL = Kind("level", "a level such as DEBUG, INFO or WARNING, or its number", _log_level)
DURATION = Kind(
    "duration", "seconds, [DD ][[HH:]MM:]SS[.ffffff] or ISO 8601 such as PT2M, 0 or more", _duration
)
