"""stub"""

from __future__ import annotations

from typing import NamedTuple

from .urls import Origin


class Route(NamedTuple):
    """stub"""

    origin: Origin
    proxy: None = None
    unix: str | None = None
    tunnel: bool = False
