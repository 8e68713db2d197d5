"""Reads `.env` files as python-dotenv does, because NoneBot's users have such files already.

The grammar is that of python-dotenv 1.2, `${NAME}` and `${NAME:-default}` included. One thing
differs: a line that cannot be read is an error that names the file and the line, where
python-dotenv warns and goes on without it. Such a line is never quoted, since it may hold a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from .errors import ConfigError

__all__ = ["parse", "read"]

_NEWLINE = re.compile(r"\r\n|\n|\r")

# One statement or none, and the end of its line. `[^\S\r\n]` is white space within a line. After a
# quoted value comes a comment or nothing, else the line cannot be read; hence the look-ahead before
# a plain value. Nothing that captures stands inside a possessive quantifier, which older CPythons
# answer with a SystemError (python/cpython#101955).
_LINE = re.compile(
    r"""
    [^\S\r\n]*+
    (?:
        (?: export [^\S\r\n]++ )?+
        (?: '(?P<quoted_key> [^']+ )' | (?P<key> (?!') [^=\#\s]++ ) )
        [^\S\r\n]*+
        (?P<assigned> =
            (?: [^\S\r\n]++ (?=\#)
              | [^\S\r\n]*+
                (?: '(?P<single> (?: \\. | [^'\\] )*+ )'
                  | "(?P<double> (?: \\. | [^"\\] )*+ )"
                  | (?P<plain> (?!['"]) [^\r\n]*+ )
                )
            )
        )?
    )?
    [^\S\r\n]*+ (?: \# [^\r\n]*+ )?+ (?: \r\n | \n | \r | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)

_INLINE_COMMENT = re.compile(r"\s+#.*")
_SINGLE_ESCAPE = re.compile(r"\\([\\'])")
_DOUBLE_ESCAPE = re.compile(r"\\([\\'\"abfnrtv])")
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_VARIABLE = re.compile(r"\$\{(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?\}")


def read(path: str | os.PathLike[str], environ: Mapping[str, str]) -> dict[str, str | None]:
    """The statements of the file at `path`, which is UTF-8, with or without a byte order mark.

    A file that is not there is an empty one, and so is a folder (some people's virtual environment
    is called `.env`). Raises `ConfigError` when it cannot be read.
    """
    data = _content(Path(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: expected UTF-8; save the file as UTF-8") from None
    return parse(_NEWLINE.sub("\n", text), environ, str(path))


def parse(text: str, environ: Mapping[str, str], source: str = ".env") -> dict[str, str | None]:
    """The statements in `text`, the last of a name winning; a name without `=` has None.

    A `${NAME}` is what the text says above it, else what `environ` says, else its default, else
    empty. Raises `ConfigError` that names `source` and the line that cannot be read.
    """
    values: dict[str, str | None] = {}
    for key, value in _statements(text.removeprefix("\ufeff"), source):
        values[key] = None if value is None else _expanded(value, {**environ, **values})
    return values


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError) or path.is_dir():
            return b""
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None


def _statements(text: str, source: str) -> Iterator[tuple[str, str | None]]:
    position = 0
    while position < len(text):
        match = _LINE.match(text, position)
        if match is None:
            line = len(_NEWLINE.findall(text, 0, position)) + 1
            raise ConfigError(
                f"{source}, line {line}: expected NAME=value (a quoted value has its closing "
                "quote, and only a comment after it), a comment or an empty line"
            )
        if key := match["quoted_key"] or match["key"]:
            yield key, _value(match)
        position = match.end()


def _value(match: re.Match[str]) -> str | None:
    if match["assigned"] is None:
        return None
    if match["single"] is not None:
        return _SINGLE_ESCAPE.sub(r"\1", match["single"])
    if match["double"] is not None:
        return _DOUBLE_ESCAPE.sub(
            lambda escape: _CONTROL.get(escape[1], escape[1]), match["double"]
        )
    return _INLINE_COMMENT.sub("", match["plain"] or "").rstrip()


def _expanded(value: str, names: Mapping[str, str | None]) -> str:
    def resolved(variable: re.Match[str]) -> str:
        return names.get(variable["name"], variable["default"]) or ""

    return _VARIABLE.sub(resolved, value)
