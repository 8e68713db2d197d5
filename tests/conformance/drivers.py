"""The drivers that are held to the same behaviour: NoneBot's own, and ours."""

from __future__ import annotations

from conformance.differences import OURS
from nonebot.config import Config, Env
from nonebot.drivers import Driver, Mixin, combine_driver
from nonebot.drivers.none import Driver as NoneDriver
from nonebot.utils import resolve_dot_notation

SERVERS = ("~fastapi", "~quart", OURS)
HTTP_CLIENTS = ("~httpx", "~aiohttp", OURS)
WEBSOCKET_CLIENTS = ("~websockets", "~aiohttp", OURS)

#: By the fixture that gives a test the name of its driver.
DRIVERS = {
    "server_driver": SERVERS,
    "http_driver": HTTP_CLIENTS,
    "websocket_driver": WEBSOCKET_CLIENTS,
}

_PLACE = "nonebot.drivers."


def type_of(name: str) -> str:
    """What a driver calls itself."""
    return "nbdriver" if name == OURS else name.removeprefix("~")


def make_server(name: str) -> Driver:
    """A driver with a server, in this process: the class that `name` is in a DRIVER setting."""
    kind: type[Driver] = resolve_dot_notation(name, "Driver", default_prefix=_PLACE)
    return kind(Env(environment="prod"), Config())


def make_client(name: str) -> Driver:
    """A driver that is nothing but a client: the mixin that `name` is in a DRIVER setting."""
    mixin: type[Mixin] = resolve_dot_notation(name, "Mixin", default_prefix=_PLACE)
    return combine_driver(NoneDriver, mixin)(Env(environment="prod"), Config())
