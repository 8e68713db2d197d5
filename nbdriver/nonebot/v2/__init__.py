"""The driver for NoneBot 2.3 and later."""

from __future__ import annotations

from .clients import Mixin
from .driver import Driver

__all__ = ["Driver", "Mixin"]
