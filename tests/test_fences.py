"""The fences of the design, held by reading every import of the package.

The layers are those of the table in docs/architecture.md: who moves a module changes the table, and
this test reads it. `if TYPE_CHECKING:` is no gate in a fence: a module that cannot be read without
another does not stand by itself, so what is imported for its type alone counts too.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nbdriver"
TABLE = ROOT / "docs" / "architecture.md"

#: What may be imported only in these places: a module, or a folder with everything in it.
ONLY_IN = {
    "h11": ("wire/",),
    "wsproto": ("wire/",),
    "socket": (
        "net/stream",
        "net/outgoing",
        "net/arrivals",
        "net/binding",
        "net/sockets",
        "net/server",
    ),
    # The client's settings hold a context, of which they know nothing but its type.
    "ssl": (
        "net/stream",
        "net/outgoing",
        "net/tls",
        "net/sockets",
        "net/server",
        "client/settings",
    ),
    "selectors": ("net/stream", "net/sockets", "net/server"),
    "asyncio transports": (
        "net/stream",
        "net/outgoing",
        "net/arrivals",
        "net/sockets",
        "net/server",
    ),
    "nonebot": ("nonebot/",),
    "pydantic": ("nonebot/",),
    "loguru": ("nonebot/",),
    "multidict": ("nonebot/",),
    "orjson": ("codec",),
}
#: `wire/` is bytes in, verdicts out: it has no sockets, no tasks and no clock.
NOT_IN_WIRE = {"asyncio", "concurrent", "selectors", "socket", "ssl", "threading", "time"}
THIRD_PARTY = {"h11", "loguru", "multidict", "nonebot", "orjson", "pydantic", "uvloop", "wsproto"}

#: The only module that sets timers of the event loop.
CLOCK = "net/clock"
#: The names by which asyncio hands out transports, and the loop's methods that make them.
TRANSPORTS = re.compile(
    r"transports|protocols|streams|selector_events|proactor_events|sslproto"
    r"|\w*Transport|\w*Protocol|StreamReader|StreamWriter"
    r"|open_(unix_)?connection|start_(unix_)?server"
)
TRANSPORT_MAKERS = re.compile(
    r"create_(unix_)?(connection|server)|create_datagram_endpoint|connect_accepted_socket"
    r"|start_tls|sock_\w+|(add|remove)_(reader|writer)"
)


@dataclass(frozen=True)
class Row:
    """One line of the table: a module, or a folder if the name ends in a slash."""

    layer: int
    name: str
    to_come: bool

    def covers(self, module: str) -> bool:
        return module == self.name or (self.name.endswith("/") and module.startswith(self.name))


@dataclass(frozen=True)
class Module:
    """A source file of the package, named by its path in it: `net/clock`, `wire/__init__`."""

    package: Path
    name: str
    tree: ast.Module

    @property
    def folder(self) -> list[str]:
        return self.name.split("/")[:-1]

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.name}:{getattr(node, 'lineno', 1)}: {what}"


def read_rows(text: str) -> list[Row]:
    """The rows of the first markdown table whose columns begin with layer and module."""
    _, _, table = text.partition("| layer | module |")
    rows = []
    for line in table.splitlines()[2:]:
        if not line.startswith("|"):
            break
        layer, name, job = (cell.strip() for cell in line.strip("| ").split(" | ", 2))
        rows.append(Row(int(layer), name.strip("`"), job.startswith("(to come)")))
    return rows


def read_modules(package: Path) -> list[Module]:
    return [
        Module(
            package,
            path.relative_to(package).with_suffix("").as_posix(),
            ast.parse(path.read_text(encoding="utf-8"), str(path)),
        )
        for path in sorted(package.rglob("*.py"))
    ]


def imports_inside(module: Module) -> Iterator[tuple[ast.AST, str | None]]:
    """The modules of the package that a module imports; None for an import out of the package."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        if node.level > len(module.folder) + 1:
            yield node, None
            continue
        base = module.folder[: len(module.folder) + 1 - node.level]
        base += node.module.split(".") if node.module else []
        for alias in node.names:
            yield node, locate(module.package, base, alias.name)


def locate(package: Path, base: list[str], name: str) -> str:
    """The module that `from base import name` reads: `name` if it is one, else `base` itself."""
    for parts in ([*base, name], base):
        path = package.joinpath(*parts)
        if parts and path.with_suffix(".py").is_file():
            return "/".join(parts)
        if path.is_dir():
            return "/".join([*parts, "__init__"])
    return "/".join([*base, name])


def imports_outside(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """The absolute imports of a module, each with its full dotted name."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def uses_of_transports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    for node, name in imports_outside(module):
        if name.startswith("asyncio.") and TRANSPORTS.fullmatch(name.split(".")[1]):
            yield node, name
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if TRANSPORT_MAKERS.fullmatch(node.attr) or (
            owner == "asyncio" and TRANSPORTS.fullmatch(node.attr)
        ):
            yield node, f"{owner or '...'}.{node.attr}"


def row_of(module: str, rows: list[Row]) -> int | None:
    return next((index for index, row in enumerate(rows) if row.covers(module)), None)


# The rules: each yields a line for every place in a module that breaks it.

Rule = Callable[[Module, list[Row]], Iterator[str]]


def stands_in_the_table(module: Module, rows: list[Row]) -> Iterator[str]:
    """An `__init__` of a folder without a row may hold its docstring and nothing else."""
    if row_of(module.name, rows) is not None:
        return
    if not module.folder or not module.name.endswith("/__init__"):
        yield module.at(module.tree, "has no row in the table")
    elif module.tree.body[1:]:
        yield module.at(module.tree.body[1], "holds more than the docstring of its folder")


def imports_only_rows_above(module: Module, rows: list[Row]) -> Iterator[str]:
    own = row_of(module.name, rows)
    for node, target in imports_inside(module):
        other = row_of(target, rows) if target else None
        if target is None:
            yield module.at(node, "imports from outside the package")
        elif other is None:
            yield module.at(node, f"imports {target}, which has no row in the table")
        elif own is not None and not (other < own or (other == own and rows[own].name[-1] == "/")):
            yield module.at(node, f"imports {target}, which is no row above its own")


def imports_what_it_may(module: Module, rows: list[Row]) -> Iterator[str]:
    found = [(node, name.partition(".")[0]) for node, name in imports_outside(module)]
    found += [(node, "asyncio transports") for node, _ in uses_of_transports(module)]
    for node, name in found:
        allowed = ONLY_IN.get(name)
        if allowed and not any(Row(0, place, False).covers(module.name) for place in allowed):
            yield module.at(node, f"uses {name}, which belongs in {', '.join(allowed)}")
        if module.folder == ["wire"] and name in NOT_IN_WIRE:
            yield module.at(node, f"uses {name} in wire/, which is pure")


def imports_known_packages(module: Module, rows: list[Row]) -> Iterator[str]:
    for node, name in imports_outside(module):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in THIRD_PARTY:
            yield module.at(node, f"imports {top}, which is no dependency of ours")


def sets_no_timer(module: Module, rows: list[Row]) -> Iterator[str]:
    """A deadline is filed with the one coarse clock, which tests can make a virtual one."""
    for node in ast.walk(module.tree) if module.name != CLOCK else ():
        if isinstance(node, ast.Attribute) and re.fullmatch(r"call_(later|at)", node.attr):
            yield module.at(node, f"sets a timer by {node.attr}, which is for {CLOCK} alone")


def says_its_own_name_nowhere(module: Module, rows: list[Row]) -> Iterator[str]:
    """The folder may be copied under another name: it finds itself by `__name__` and by dots."""
    own = re.compile(rf"{module.package.name}(\.|$)")
    for node, name in imports_outside(module):
        if own.match(name):
            yield module.at(node, f"imports {name} by its absolute name")
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rpartition(".")[2]
        if called not in ("getLogger", "getChild", "import_module", "__import__", "find_spec"):
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and own.match(str(part.value)):
                yield module.at(node, f"{called} with the literal name {part.value!r}")


def documents_what_is_public(module: Module, rows: list[Row]) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield module.at(module.tree, "the module has no docstring")
    yield from (
        module.at(node, f"{name} has no docstring")
        for name, node in public_definitions(module.tree.body)
        if not ast.get_docstring(node)
    )


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public_definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Classes, functions and methods by their qualified names, also those in an `if` or a `try`."""
    for node in body:
        if isinstance(node, Definition):
            if node.name.startswith("_"):
                continue
            if not speaks_for_another(node):
                yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")
        else:
            for name in ("body", "orelse", "finalbody"):
                yield from public_definitions(getattr(node, name, []), prefix)


def speaks_for_another(node: Definition) -> bool:
    """An overload and a setter are documented where the function and the property are."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(re.search(r"(^|\.)overload$|\.(setter|deleter)$", text) for text in decorators)


def problems(rule: Rule, package: Path, rows: list[Row]) -> list[str]:
    return [line for module in read_modules(package) for line in rule(module, rows)]


ROWS = read_rows(TABLE.read_text(encoding="utf-8"))


def assert_kept(rule: Rule) -> None:
    found = problems(rule, PACKAGE, ROWS)
    assert not found, "\n".join(["", *found])


def test_every_module_stands_in_the_table() -> None:
    assert_kept(stands_in_the_table)


def test_every_row_of_the_table_exists_unless_it_is_to_come() -> None:
    modules = read_modules(PACKAGE)
    there = {row for row in ROWS if any(row.covers(module.name) for module in modules)}
    to_come = {row for row in ROWS if row.to_come}
    assert [row.name for row in ROWS if row not in there | to_come] == []
    assert [row.name for row in ROWS if row in there & to_come] == []


def test_the_table_goes_upwards_layer_by_layer() -> None:
    layers = [row.layer for row in ROWS]
    assert layers == sorted(layers)
    assert layers[0] == 0
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_each_module_imports_only_from_rows_above_it() -> None:
    assert_kept(imports_only_rows_above)


def test_protocol_libraries_and_transports_are_used_only_where_they_belong() -> None:
    assert_kept(imports_what_it_may)


def test_nothing_is_imported_beyond_the_standard_library_and_the_declared_packages() -> None:
    assert_kept(imports_known_packages)


def test_only_the_clock_sets_timers_of_the_event_loop() -> None:
    assert_kept(sets_no_timer)


def test_the_package_says_its_own_name_in_no_import_and_no_logger() -> None:
    assert_kept(says_its_own_name_nowhere)


def test_every_module_and_everything_public_has_a_docstring() -> None:
    assert_kept(documents_what_is_public)


# The fences themselves: what each must see, and the look-alikes that it must not.

EXAMPLE_ROWS = read_rows(
    """
| layer | module | only job |
|---|---|---|
| 0 | `errors` | the exceptions |
| 1 | `wire/head` | heads |
| 2 | `net/stream` | transports |
| 3 | `nonebot/` | the guest room |
| 4 | `client/` | (to come) outwards |

| layer | module | of another table |
|---|---|---|
| 9 | `other` | not read |
"""
)

CROSSINGS = [
    (stands_in_the_table, "stray", "", "has no row"),
    (stands_in_the_table, "net/__init__", "'''Doc.'''\nfrom .stream import A", "more than the"),
    (imports_only_rows_above, "errors", "from .net import stream", "net/stream, which is no row"),
    (imports_only_rows_above, "wire/head", "from ..net.stream import A", "no row above"),
    (
        imports_only_rows_above,
        "wire/head",
        "def f():\n    from .. import nonebot",
        "nonebot/__init",
    ),
    (imports_only_rows_above, "errors", "from . import errors", "no row above its own"),
    (imports_only_rows_above, "errors", "from .. import other", "from outside the package"),
    (imports_only_rows_above, "net/stream", "from .. import Driver", "__init__, which has no row"),
    (imports_what_it_may, "errors", "if TYPE_CHECKING:\n    import h11", "uses h11"),
    (imports_what_it_may, "net/stream", "from wsproto.events import Ping", "uses wsproto"),
    (imports_what_it_may, "wire/head", "from asyncio import Event", "uses asyncio in wire/"),
    (imports_what_it_may, "wire/head", "import time", "uses time in wire/"),
    (imports_what_it_may, "errors", "from asyncio import StreamReader", "uses asyncio transports"),
    (imports_what_it_may, "errors", "asyncio.Protocol", "uses asyncio transports"),
    (imports_what_it_may, "errors", "self.loop.create_server(f)", "uses asyncio transports"),
    (imports_what_it_may, "errors", "import ssl", "uses ssl"),
    (imports_what_it_may, "net/stream", "from nonebot.log import logger", "uses nonebot"),
    (imports_known_packages, "errors", "import requests", "imports requests"),
    (sets_no_timer, "net/stream", "loop.call_later(1, f)", "sets a timer by call_later"),
    (sets_no_timer, "errors", "get_running_loop().call_at(1, f)", "sets a timer by call_at"),
    (says_its_own_name_nowhere, "errors", "import package.errors", "package.errors by its"),
    (says_its_own_name_nowhere, "errors", "from package import errors", "package.errors by its"),
    (says_its_own_name_nowhere, "errors", "getLogger('package.errors')", "literal name"),
    (says_its_own_name_nowhere, "errors", "importlib.import_module('package')", "literal name"),
    (documents_what_is_public, "errors", "x = 1", "the module has no docstring"),
    (documents_what_is_public, "errors", "'''D.'''\ndef f(): ...", "f has no docstring"),
    (
        documents_what_is_public,
        "errors",
        "'''D.'''\nclass A:\n  '''D.'''\n  def b(s): ...",
        "A.b has",
    ),
    (documents_what_is_public, "errors", "'''D.'''\nif x: pass\nelse:\n  class A: ...", "A has no"),
]

KEPT = [
    (stands_in_the_table, "wire/__init__", "'''Only a docstring.'''"),
    (stands_in_the_table, "nonebot/era/__init__", "from ..adapter import Bot"),
    (imports_only_rows_above, "net/stream", "from ..errors import A\nfrom ..wire import head"),
    (imports_only_rows_above, "nonebot/__init__", "from .era import Driver\nfrom .. import errors"),
    (imports_what_it_may, "wire/head", "import h11, wsproto"),
    (imports_what_it_may, "net/stream", "import asyncio, ssl, socket\nasyncio.Transport"),
    (imports_what_it_may, "errors", "import asyncio\nasyncio.Event\ntyping.Protocol"),
    (imports_what_it_may, "nonebot/__init__", "from nonebot.drivers import Driver"),
    (imports_known_packages, "errors", "import json, h11, uvloop"),
    (sets_no_timer, "net/stream", "loop.call_soon(f)\nclock.deadline(f).set(1)"),
    (sets_no_timer, "net/clock", "loop.call_at(1, f)"),
    (says_its_own_name_nowhere, "errors", "getLogger(__name__)\nprint('package')"),
    (says_its_own_name_nowhere, "errors", "import packages"),
    (documents_what_is_public, "errors", "'''D.'''\ndef _f(): ...\nclass _A:\n  def b(s): ..."),
    (
        documents_what_is_public,
        "errors",
        "'''D.'''\n@a.setter\ndef a(s): ...\n@overload\ndef b(): ...",
    ),
]


def example(folder: Path, name: str, source: str) -> Path:
    """A package with the modules of the example's table, where module `name` holds `source`."""
    package = folder / "package"
    sources = dict.fromkeys(
        ("__init__", "errors", "wire/head", "net/stream", "nonebot/__init__", "nonebot/era"), ""
    )
    for module, text in {**sources, name: source}.items():
        path = package / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


@pytest.mark.parametrize(("rule", "name", "source", "said"), CROSSINGS)
def test_a_fence_names_the_module_that_crosses_it(
    rule: Rule, name: str, source: str, said: str, tmp_path: Path
) -> None:
    found = problems(rule, example(tmp_path, name, source), EXAMPLE_ROWS)
    crossings = [line for line in found if line.startswith(f"{name}:")]
    assert len(crossings) == 1, found
    assert said in crossings[0]


@pytest.mark.parametrize(("rule", "name", "source"), KEPT)
def test_a_fence_lets_through_what_stays_inside_it(
    rule: Rule, name: str, source: str, tmp_path: Path
) -> None:
    found = problems(rule, example(tmp_path, name, source), EXAMPLE_ROWS)
    assert [line for line in found if line.startswith(f"{name}:")] == []


def test_a_table_is_read_row_by_row_to_its_end() -> None:
    assert [(row.layer, row.name, row.to_come) for row in EXAMPLE_ROWS] == [
        (0, "errors", False),
        (1, "wire/head", False),
        (2, "net/stream", False),
        (3, "nonebot/", False),
        (4, "client/", True),
    ]
