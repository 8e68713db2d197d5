"""The contract cannot erode: each name of NoneBot 2.0.0a10's drivers, its kind, and its signature.

The headings are those of the contract's reference document, word for word, and the adapter's side
as it stands in NoneBot 2.0.0a10 in the same notation.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.bots import RecordingBot, recording_bot
from support.websockets import MemoryWebSocket

import nbdriver
from nbdriver import abc
from nbdriver.config import Config, Env

HEADINGS = """
_class_ `Driver`
`_adapters`
`_ws_connection_hook`
`_ws_disconnection_hook`
_abstract_ `__init__(env, config)`
`env`
`config`
`_clients`
`register_adapter(name, adapter, **kwargs)`
_abstract property_ `type`
_abstract property_ `server_app`
_abstract property_ `asgi`
_abstract property_ `logger`
_property_ `bots`
_abstract_ `on_startup(func)`
_abstract_ `on_shutdown(func)`
`on_bot_connect(func)`
`on_bot_disconnect(func)`
`_bot_connect(bot)`
`_bot_disconnect(bot)`
_abstract_ `run(host=None, port=None, *args, **kwargs)`
_abstract async_ `_handle_http()`
_abstract async_ `_handle_ws_reverse()`
_class_ `WebSocket`
_abstract_ `__init__(websocket)`
_property_ `websocket`
_abstract property_ `closed`
_abstract async_ `accept()`
_abstract async_ `close(code)`
_abstract async_ `receive()`
_abstract async_ `send(data)`
_class_ `Bot`
`driver`
`config`
_abstract_ `__init__(connection_type, self_id, *, websocket=None)`
`connection_type`
`self_id`
`websocket`
`__getattr__(name)`
_abstract property_ `type`
_classmethod_ `register(driver, config)`
_abstract async classmethod_ `check_permission(driver, connection_type, headers, body)`
_abstract async_ `handle_message(message)`
_abstract async_ `call_api(api, **data)`
_abstract async_ `send(event, message, **kwargs)`
"""

_HEADING = re.compile(r"(?:_(?P<kinds>[a-z ]+)_ )?`(?P<name>\w+)(?P<call>\(.*\))?`")


@dataclass(frozen=True)
class Heading:
    """One name of the contract; `call` is its signature as written, None if it is no function."""

    owner: str
    kinds: frozenset[str]
    name: str
    call: str | None

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}"


def read_headings() -> Iterator[Heading]:
    owner = ""
    for line in HEADINGS.strip().splitlines():
        match = _HEADING.fullmatch(line)
        assert match, line
        kinds = frozenset((match["kinds"] or "").split())
        if kinds == {"class"}:
            owner = match["name"]
        else:
            yield Heading(owner, kinds, match["name"], match["call"])


def make_driver() -> nbdriver.Driver:
    return nbdriver.Driver(Env(_env_file=None, _environ={}), Config(_environ={}))


ALL = list(read_headings())
FUNCTIONS = [heading for heading in ALL if heading.call is not None]
PROPERTIES = [heading for heading in ALL if "property" in heading.kinds]
ATTRIBUTES = [heading for heading in ALL if heading.call is None and heading not in PROPERTIES]

#: For each class of the contract: one of ours that can be used, and an object of it.
CONCRETE: dict[str, tuple[type, Callable[[], object]]] = {
    "Driver": (nbdriver.Driver, make_driver),
    "WebSocket": (nbdriver.WebSocket, lambda: nbdriver.WebSocket(MemoryWebSocket())),
    "Bot": (RecordingBot, lambda: registered_bot()("websocket", "1", websocket=None)),
}


def registered_bot() -> type[RecordingBot]:
    bot = recording_bot()
    make_driver().register_adapter("recording", bot)
    return bot


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """What a caller of the bound function passes."""
    first, *others = inspect.signature(function).parameters.values()
    assert first.name in ("self", "cls")
    return others


def written(call: str) -> list[inspect.Parameter]:
    """The parameters of a signature as the contract writes it."""
    namespace: dict[str, Any] = {}
    exec(f"def function(self, {call[1:]}: ...", namespace)
    return parameters(namespace["function"])


def assert_callable_as(ours: list[inspect.Parameter], theirs: list[inspect.Parameter]) -> None:
    """Whoever calls as the contract says can call ours: what we add has a default."""
    named = {parameter.name: parameter for parameter in ours}
    positional = [p.name for p in theirs if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in ours][: len(positional)] == positional
    for parameter in theirs:
        assert named[parameter.name].kind is parameter.kind
        if parameter.default is not parameter.empty:
            assert named[parameter.name].default == parameter.default
    known = {parameter.name for parameter in theirs}
    for parameter in ours:
        optional = parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        assert parameter.name in known or optional, parameter


def contract(heading: Heading) -> type:
    owner = getattr(abc, heading.owner)
    assert isinstance(owner, type)
    return owner


def test_the_contract_has_every_heading() -> None:
    assert len(ALL) == len(HEADINGS.strip().splitlines()) - 3
    assert sorted(map(str, FUNCTIONS + PROPERTIES + ATTRIBUTES)) == sorted(map(str, ALL))


@pytest.mark.parametrize("heading", FUNCTIONS, ids=str)
def test_a_function_can_be_called_as_the_contract_writes_it(heading: Heading) -> None:
    assert heading.call is not None
    ours = inspect.getattr_static(contract(heading), heading.name)
    assert isinstance(ours, classmethod) == ("classmethod" in heading.kinds)
    function = ours.__func__ if isinstance(ours, classmethod) else ours
    assert inspect.isfunction(function)
    assert_callable_as(parameters(function), written(heading.call))


@pytest.mark.parametrize("heading", FUNCTIONS, ids=str)
def test_a_function_of_the_concrete_class_can_be_called_so_too(heading: Heading) -> None:
    assert heading.call is not None
    concrete, _ = CONCRETE[heading.owner]
    ours = inspect.getattr_static(concrete, heading.name)
    function = ours.__func__ if isinstance(ours, classmethod) else ours
    assert inspect.iscoroutinefunction(function) == ("async" in heading.kinds)
    # What a driver passes to its own handlers is its own affair.
    if heading.name not in ("_handle_http", "_handle_ws_reverse"):
        assert_callable_as(parameters(function), written(heading.call))


@pytest.mark.parametrize("heading", FUNCTIONS + PROPERTIES, ids=str)
def test_what_is_abstract_or_async_is_so_where_the_contract_says_it(heading: Heading) -> None:
    ours = inspect.getattr_static(contract(heading), heading.name)
    assert getattr(ours, "__isabstractmethod__", False) == ("abstract" in heading.kinds)
    function = ours.__func__ if isinstance(ours, classmethod) else ours
    assert inspect.iscoroutinefunction(function) == ("async" in heading.kinds)
    assert isinstance(ours, property) == ("property" in heading.kinds)


@pytest.mark.parametrize("heading", PROPERTIES, ids=str)
def test_a_property_is_one_in_the_concrete_class_too(heading: Heading) -> None:
    concrete, make = CONCRETE[heading.owner]
    assert isinstance(inspect.getattr_static(concrete, heading.name), property)
    assert hasattr(make(), heading.name)


@pytest.mark.parametrize("heading", ATTRIBUTES, ids=str)
def test_an_attribute_is_there_and_is_no_function(heading: Heading) -> None:
    _, make = CONCRETE[heading.owner]
    made = make()
    assert heading.name in {*vars(made), *vars(type(made))}


@pytest.mark.parametrize("owner", CONCRETE)
def test_the_concrete_class_derives_from_the_contract_and_leaves_nothing_abstract(
    owner: str,
) -> None:
    concrete, _ = CONCRETE[owner]
    assert issubclass(concrete, getattr(abc, owner))
    assert not inspect.isabstract(concrete)
    assert inspect.isabstract(getattr(abc, owner))


def test_the_attributes_have_the_types_of_the_contract() -> None:
    driver = make_driver()
    assert (driver._adapters, driver._clients, driver.bots) == ({}, {}, {})
    assert (driver._ws_connection_hook, driver._ws_disconnection_hook) == (set(), set())
    assert driver.env == "prod"
    assert driver.config.port == 8080
    assert driver.bots is driver._clients


def test_two_drivers_share_neither_adapters_nor_hooks_nor_bots() -> None:
    one, other = make_driver(), make_driver()
    one.register_adapter("recording", recording_bot())
    one.on_bot_connect(print)
    one.on_bot_disconnect(print)
    one._clients["1"] = registered_bot()("websocket", "1")
    assert (other._adapters, other.bots) == ({}, {})
    assert (other._ws_connection_hook, other._ws_disconnection_hook) == (set(), set())
