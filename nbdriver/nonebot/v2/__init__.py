"""The driver for NoneBot 2.2 and later."""

from __future__ import annotations

from .driver import Driver

__all__ = ["Driver"]
