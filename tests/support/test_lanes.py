"""The lane that the suite was started in is the one that its servers take."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from nbdriver.config import ServerConfig
from nbdriver.net.context import Context, HTTPLimits
from nbdriver.net.websocket import WebSocketLimits
from nbdriver.wire.exchange import Exchange
from nbdriver.wire.frames import FrameLimits
from nbdriver.wire.head import HeadLimits
from nbdriver.wire.session import Session
from support.echo import serving
from support.lanes import LANES, SETTING
from support.program import clean_environment

NOTHING: Any = None


@pytest.fixture
def fast(request: pytest.FixtureRequest) -> bool:
    """Whether the fast lane was asked for."""
    return bool(request.config.getoption("lane") == "fast")


def test_what_does_not_say_otherwise_takes_that_lane(fast: bool) -> None:
    context = Context(application=NOTHING, clock=NOTHING, tasks=NOTHING)
    taken = [
        HTTPLimits().fast_lane,
        WebSocketLimits().fast_lane,
        context.http.fast_lane,
        context.websocket.fast_lane,
        ServerConfig().fast_lane,
        ServerConfig.from_config().fast_lane,
        ServerConfig.from_config(environ={}).fast_lane,
        Exchange(HeadLimits(), 0)._fast_lane,
        Session(FrameLimits())._fast_lane,
    ]
    assert taken == [fast] * len(taken)


async def test_so_does_a_server(fast: bool) -> None:
    async with serving() as echo:
        context = echo.server._context
        assert context.http.fast_lane is context.websocket.fast_lane is fast


def test_so_does_another_process(fast: bool) -> None:
    script = "from nbdriver.config import *; print(ServerConfig.from_config().fast_lane)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean_environment(), capture_output=True, check=True
    )
    assert done.stdout.split() == [str(fast).encode()]


@pytest.mark.parametrize("lane", LANES)
def test_what_says_which_takes_that(lane: str) -> None:
    fast = lane == "fast"
    assert HTTPLimits(fast_lane=fast).fast_lane is fast
    assert Session(FrameLimits(), fast_lane=fast)._fast_lane is fast
    assert ServerConfig.from_config(environ={SETTING: str(fast)}).fast_lane is fast
