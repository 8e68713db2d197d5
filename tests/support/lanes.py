"""The lanes in which the suite runs: `make test ARGS='--lane plain'` is the one without short cuts.

What a plain request or frame is read by must change nothing but the speed, so every test has to
pass in both. A test that is about one of them says which, by `fast_lane`; all others take the
default, and this is the one place where that is changed.
"""

from __future__ import annotations

import os

from nbdriver.client.settings import ClientSettings
from nbdriver.config import ServerConfig
from nbdriver.net.context import Context, HTTPLimits
from nbdriver.net.websocket import WebSocketLimits
from nbdriver.wire.exchange import Exchange
from nbdriver.wire.session import Session

__all__ = ["LANES", "SETTING", "take_lane"]

LANES = ("fast", "plain")
SETTING = "NBDRIVER_FAST_LANE"


def take_lane(lane: str) -> None:
    """Make that lane the default of this process, and of those that it starts."""
    fast = lane == "fast"
    for each in (HTTPLimits, WebSocketLimits, ServerConfig, ClientSettings, Exchange, Session):
        _change_defaults(each, fast_lane=fast)
    _change_defaults(Context, http=HTTPLimits(), websocket=WebSocketLimits())
    os.environ[SETTING] = str(fast).lower()


def _change_defaults(kind: type, **values: object) -> None:
    defaults = kind.__init__.__kwdefaults__  # type: ignore[misc]  # of this very class
    assert defaults.keys() >= values.keys()
    defaults.update(values)
