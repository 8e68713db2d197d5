"""The guest room: what NoneBot imports when its configuration says `DRIVER=nbdriver.nonebot`.

NoneBot takes this module's `Driver`. Releases after 2.0.0a10 have another contract for drivers, and
the two cannot be imported or typed together, so there is a module for each era. Which era it is can
be seen by what `nonebot.drivers` holds; a version number says only what somebody wrote down.
"""

from __future__ import annotations

from nonebot import drivers

# In 2.0.0a10 the driver itself handles what comes for an adapter; later, adapters set up routes.
if hasattr(drivers.Driver, "_handle_ws_reverse"):
    from .v2_0_0a10 import Driver
elif hasattr(drivers, "HTTPClientSession"):
    from .v2 import Driver
    from .v2 import Mixin as Mixin
else:
    raise ImportError(
        "expected NoneBot 2.3 or later, or 2.0.0a10, got a NoneBot of another era: its"
        " nonebot.drivers has no HTTPClientSession; install a newer nonebot2, or let DRIVER name a"
        " driver of NoneBot's own",
        name=__name__,
    )

__all__ = ["Driver"]
