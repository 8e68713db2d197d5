"""What NoneBot's time limits mean to our client, in NoneBot 2.5, before it and after."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import nonebot.drivers
import nonebot.utils
import pytest
from nonebot.drivers import DEFAULT_TIMEOUT, Request, Timeout

from nbdriver.client.settings import UNSET, Timeouts
from nbdriver.errors import ConfigError
from nbdriver.nonebot.v2 import timeouts
from nbdriver.nonebot.v2.timeouts import (
    DEFAULT,
    NOT_SET,
    Pings,
    opening_timeouts,
    receive_limit,
    request_timeouts,
)


def test_the_default_is_nonebots() -> None:
    expected = (
        DEFAULT_TIMEOUT.total,
        DEFAULT_TIMEOUT.connect,
        DEFAULT_TIMEOUT.read,
        DEFAULT_TIMEOUT.close,
    )
    assert (DEFAULT.total, DEFAULT.connect, DEFAULT.read, DEFAULT.close) == expected


def test_what_is_not_set_is_the_default() -> None:
    assert request_timeouts(nonebot.utils.UNSET) == request_timeouts(NOT_SET) == DEFAULT
    assert request_timeouts(Timeout()) == DEFAULT
    session = Timeouts(read=1.0)
    assert request_timeouts(NOT_SET, session) == session


def test_a_number_is_for_each_step() -> None:
    assert request_timeouts(7) == Timeouts(total=None, connect=7.0, read=7.0, close=7.0)
    assert request_timeouts(0, Timeouts(total=1.0)).total is None


def test_none_is_no_limit() -> None:
    assert request_timeouts(None) == Timeouts(total=None, connect=None, read=None, close=None)


def test_each_field_counts_by_itself() -> None:
    given = request_timeouts(Timeout(total=0, read=None), Timeouts(connect=1.0, close=2.0))
    assert given == Timeouts(total=0.0, connect=1.0, read=None, close=2.0)


def test_what_is_no_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="timeout"):
        request_timeouts("soon")
    with pytest.raises(ConfigError, match="read"):
        request_timeouts(Timeout(read=-1))


@pytest.mark.parametrize(
    ("timeout", "total"),
    [
        (NOT_SET, DEFAULT.connect),
        (None, None),
        (7, 7.0),
        (Timeout(connect=7), 7.0),
        (Timeout(connect=7, total=3), 3.0),
        (Timeout(connect=None, total=3), 3.0),
        (Timeout(connect=0), 0.0),
    ],
)
def test_the_opening_of_a_websocket_has_the_limit_of_connecting(
    timeout: Any, total: float | None
) -> None:
    assert opening_timeouts(timeout).total == total


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(NOT_SET, None), (None, None), (7, None), (Timeout(), None), (Timeout(read=7), 7)],
)
def test_receiving_is_limited_where_that_is_said(timeout: Any, seconds: float | None) -> None:
    assert receive_limit(timeout) == seconds


def test_pings_are_ours_where_nothing_is_said() -> None:
    request = Request("GET", "ws://localhost", timeout=Timeout())
    assert Pings.of(request) == (UNSET, UNSET)


def test_pings_are_those_that_a_later_release_asks_for() -> None:
    request: Any = Request("GET", "ws://localhost", timeout=Timeout())
    request.ping_interval = 7
    request.timeout.ping = None
    assert Pings.of(request) == (7, None)


@dataclass
class TimeoutOf24:
    """As NoneBot 2.4 has it."""

    total: float | None = None
    connect: float | None = None
    read: float | None = None


@pytest.fixture
def before_2_5(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the module as it is in a NoneBot whose `nonebot.drivers` has this Timeout, or none."""

    def load(timeout: type | None) -> ModuleType:
        monkeypatch.delattr(nonebot.utils, "UNSET")
        monkeypatch.delattr(nonebot.drivers, "DEFAULT_TIMEOUT")
        monkeypatch.delattr(nonebot.drivers, "Timeout")
        if timeout is not None:
            monkeypatch.setattr(nonebot.drivers, "Timeout", timeout, raising=False)
        return importlib.reload(timeouts)

    yield load
    monkeypatch.undo()
    importlib.reload(timeouts)


def test_before_2_5_none_is_not_set_and_no_limit(before_2_5: Any) -> None:
    module = before_2_5(TimeoutOf24)
    found = module.request_timeouts(None)
    assert found == Timeouts(total=None, connect=None, read=None, close=10.0)
    assert module.request_timeouts(TimeoutOf24(read=7)) == Timeouts(
        total=None, connect=None, read=7.0, close=10.0
    )
    assert module.receive_limit(TimeoutOf24(read=7)) == 7


def test_before_2_4_a_limit_is_a_number(before_2_5: Any) -> None:
    module = before_2_5(None)
    assert module.request_timeouts(7) == Timeouts(connect=7.0, read=7.0, close=7.0)
    assert module.receive_limit(7) is None
