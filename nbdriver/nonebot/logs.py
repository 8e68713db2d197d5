"""Our log lines in NoneBot's log, which is loguru's.

NoneBot has a handler for that. That of 2.0.0a10 looks for the module that logged where it stood on
the stack up to Python 3.10: from 3.11 on every line would bear the name `logging`. So there is one
here for that release.
"""

from __future__ import annotations

import logging
import sys

from nonebot.log import logger

__all__ = ["LoguruHandler", "attach"]


class LoguruHandler(logging.Handler):
    """Hands what is logged through the standard library to loguru, as if it were logged there.

    Messages stay as they are: braces and what looks like a colour tag of loguru's mean nothing.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Log `record` with loguru."""
        # Loguru formats only what has arguments, and reads tags only with `colors`.
        logger.opt(depth=_depth_of_caller(), exception=record.exc_info).log(
            _level(record), record.getMessage()
        )


def attach(package: logging.Logger, handler: type[logging.Handler] = LoguruHandler) -> None:
    """Let what `package` logs stand in NoneBot's log, once, whatever else is set up.

    Safe to repeat. All levels are handed over, for NoneBot's filter to choose from, unless the
    program has set a level of its own.
    """
    if not any(isinstance(each, handler) for each in package.handlers):
        package.addHandler(handler())
    # The root logger may lead to the same log, where each line would then stand twice.
    package.propagate = False
    if package.level == logging.NOTSET:
        package.setLevel(logging.DEBUG)


def _level(record: logging.LogRecord) -> str | int:
    """The level by the name that gives it its colour, by its number if loguru has no such name."""
    try:
        return logger.level(record.levelname).name
    except ValueError:
        return record.levelno


def _depth_of_caller() -> int:
    """How many frames above `emit` the first one outside of `logging` is."""
    depth, frame = 1, sys._getframe(2)
    while frame.f_code.co_filename == logging.__file__ and frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth
