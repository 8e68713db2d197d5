"""Paths of set-ups, as Starlette reads them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.routing import compile_path

from nbdriver.nonebot.v2.routes import RouteTable

Table = RouteTable[Callable[[], str]]


def handler(name: str) -> Callable[[], str]:
    return lambda: name


def found(table: Table, path: str) -> dict[str | None, str]:
    return {method: handler() for method, handler in table.at(path).items()}


@pytest.mark.parametrize(
    ("route", "matching", "other"),
    [
        ("/", ["/"], ["", "//", "/a"]),
        ("/a.b/c+d", ["/a.b/c+d"], ["/axb/c+d", "/a.b/c+d/", "/a.b/c+d\n"]),
        ("/你好", ["/你好"], ["/"]),
        ("/a/{name}", ["/a/b", "/a/你 好"], ["/a/", "/a/b/c", "/a"]),
        ("/a/{name}/b", ["/a/x/b"], ["/a/x/y/b", "/a//b"]),
        ("/a/{name:str}.json", ["/a/x.json"], ["/a/.json", "/a/xjson"]),
        ("/a/{rest:path}", ["/a/", "/a/b/c"], ["/a", "/b"]),
        ("/a/{n:int}", ["/a/12"], ["/a/-1", "/a/x", "/a/1.5"]),
        ("/a/{n:float}", ["/a/12", "/a/1.5"], ["/a/.5", "/a/x"]),
        ("/{u:uuid}", ["/123e4567-e89b-12d3-a456-426614174000"], ["/123e4567", "/x"]),
        ("/{a}/{b:int}", ["/x/1"], ["/x/y"]),
        ("/{1}/{a-b}/{}", ["/{1}/{a-b}/{}"], ["/x/y/z"]),
    ],
)
def test_a_path_matches_what_it_matches_in_starlette(
    route: str, matching: list[str], other: list[str]
) -> None:
    table: Table = RouteTable()
    table.add(route, "POST", handler("it"))
    theirs = compile_path(route)[0]
    for path in matching:
        assert found(table, path) == {"POST": "it"}
        assert theirs.fullmatch(path)
    for path in other:
        assert found(table, path) == {}
        assert not theirs.fullmatch(path)


def test_a_path_has_a_handler_for_each_method_and_for_websockets() -> None:
    table: Table = RouteTable()
    for method in ("POST", "GET", None):
        table.add("/a", method, handler(f"of {method}"))
    assert found(table, "/a") == {"POST": "of POST", "GET": "of GET", None: "of None"}


def test_of_two_for_the_same_the_first_one_counts() -> None:
    table: Table = RouteTable()
    table.add("/a/{name}", "POST", handler("first"))
    table.add("/a/b", "POST", handler("second"))
    table.add("/a/b", "GET", handler("third"))
    assert found(table, "/a/b") == {"POST": "first", "GET": "third"}


@pytest.mark.parametrize(
    ("path", "said"),
    [("a", "begins with \"/\", got 'a'"), ("", 'begins with "/"'), ("/{a:b}", r"got \{a:b\}")],
)
def test_a_path_that_starlette_would_not_take_is_refused(path: str, said: str) -> None:
    table: Table = RouteTable()
    with pytest.raises(ValueError, match=said):
        table.add(path, "POST", handler("it"))
