"""`docs/security.md` claims nothing without a test: each row has one, and each one exists."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import NamedTuple

import pytest

DOCUMENT = Path(__file__).parent.parent / "docs" / "security.md"
#: Where the inputs stand that several files of tests share, by their ids.
SHARED = Path(__file__).parent / "support" / "hazards.py"
#: A link to a test, and the ids of its cases, if only some are meant.
LINK = re.compile(r"\[`(\w+)`\]\(([^)]+)\)((?::|,)? ?(?:\*[^*]+\*(?:, )?)*)")
#: The tables, by their headings; what each must have at least is what its source has.
TABLES = {
    "What is defended": 1,
    "HTTP": 17,
    "WebSocket": 13,
    "Life cycle": 6,
    "Where it listens, and to whom": 17,
    "Hazards: HTTP framing": 14,
    "Hazards: responses and logs": 3,
    "Hazards: WebSocket": 17,
    "Hazards: load and time": 6,
    "Hazards: client": 6,
    "Hazards: a client's proxies": 6,
    "Hazards: a client's WebSocket": 11,
}


class Named(NamedTuple):
    """A test that a row names."""

    name: str
    file: str
    ids: tuple[str, ...]


class Row(NamedTuple):
    what: str
    tests: list[Named]


def read_rows(text: str) -> dict[str, list[Row]]:
    """The rows of each table whose last column holds tests, by the heading that it stands under."""
    tables: dict[str, list[Row]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|") and line.endswith("| tests |"):
            tables[heading] = []
        elif line.startswith("| ") and heading in tables:
            what, *_, tests = (cell.strip() for cell in line.strip("|").split("|"))
            tables[heading].append(Row(what, read_tests(tests)))
    return tables


def read_tests(text: str) -> list[Named]:
    return [
        Named(name, file, tuple(re.findall(r"\*([^*]+)\*", ids)))
        for name, file, ids in LINK.findall(text)
    ]


@functools.cache
def definitions(path: Path) -> tuple[set[str], set[str]]:
    """The functions at the top of a module, and all the texts in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.name for node in functions}, {text for text in texts if isinstance(text, str)}


def problems(tables: dict[str, list[Row]], folder: Path) -> list[str]:
    """What is wrong with the rows of a document in `folder`."""
    found = []
    for heading, rows in tables.items():
        for row in rows:
            where = f"{heading}: {row.what}"
            if not row.tests:
                found.append(f"{where}: has no test")
            for test in row.tests:
                found += [f"{where}: {wrong}" for wrong in wrong_with(test, folder)]
    return found


def wrong_with(test: Named, folder: Path) -> list[str]:
    path = (folder / test.file).resolve()
    if not path.is_file():
        return [f"no file {test.file}"]
    functions, texts = definitions(path)
    if test.name not in functions or not test.name.startswith("test_"):
        return [f"no test {test.name} in {test.file}"]
    texts = texts | definitions(SHARED)[1]
    return [f"no case {each!r} of {test.name}" for each in test.ids if each not in texts]


def test_every_row_has_a_test_and_every_test_that_is_named_exists() -> None:
    tables = read_rows(DOCUMENT.read_text(encoding="utf-8"))
    assert problems(tables, DOCUMENT.parent) == []


def test_every_table_is_there_with_a_row_for_each_of_its_sources() -> None:
    tables = read_rows(DOCUMENT.read_text(encoding="utf-8"))
    assert list(tables) == list(TABLES)
    assert [name for name, rows in tables.items() if len(rows) < TABLES[name]] == []


def test_every_test_of_a_hazard_stands_in_the_document() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    files = sorted((DOCUMENT.parent.parent / "tests" / "end_to_end").glob("test_hazards_*.py"))
    assert files
    tests = [name for path in files for name in definitions(path)[0] if name.startswith("test_")]
    assert [name for name in tests if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", "has no test"),
        ("see below", "has no test"),
        ("[`test_none`](../tests/test_security.py)", "no test test_none"),
        ("[`read_rows`](../tests/test_security.py)", "no test read_rows"),
        ("[`test_none`](../tests/test_none.py)", "no file ../tests/test_none.py"),
        (
            "[`test_a_row_that_is_wrong_is_told`](../tests/test_security.py): *see below*, *n*",
            "no case 'n'",
        ),
    ],
)
def test_a_row_that_is_wrong_is_told(cell: str, said: str) -> None:
    tables = read_rows(f"# A\n\n| what | tests |\n|---|---|\n| row | {cell} |\n")
    (problem,) = problems(tables, DOCUMENT.parent)
    assert problem.startswith(f"A: row: {said}")
