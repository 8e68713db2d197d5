"""Our driver inside NoneBot 2.5, in the process of the tests: `make hosts` runs them there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nonebot.config import Config, Env
from nonebot.log import logger

from nbdriver.nonebot import Driver


@pytest.fixture
def make_driver() -> Callable[..., Any]:
    """Makes a driver of its own, as `nonebot.init` makes the one of a program."""

    def make(**settings: Any) -> Any:
        return Driver(Env(_env_file=None), Config(_env_file=None, **settings))

    return make


@pytest.fixture
def driver(make_driver: Callable[..., Any]) -> Any:
    return make_driver()


@pytest.fixture
def lines() -> Iterator[Callable[[str], list[str]]]:
    """Gives the lines of NoneBot's log from a level upwards."""
    records: list[Any] = []
    number = logger.add(lambda message: records.append(message.record), level=0)
    yield lambda level="WARNING": [
        record["message"] for record in records if record["level"].no >= logger.level(level).no
    ]
    logger.remove(number)
