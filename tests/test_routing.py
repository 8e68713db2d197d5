"""Paths belong to adapters as in NoneBot: `/{adapter}/`, `/{adapter}/http`, `/{adapter}/ws`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.routing import Route, match


@pytest.mark.parametrize("path", ["/echo", "/echo/", "/echo/http", "/echo/http/"])
def test_an_event_is_posted_to_the_adapters_path_or_to_its_http(path: str) -> None:
    assert match(path) == Route("echo", websocket=False)


@pytest.mark.parametrize("path", ["/echo/ws", "/echo/ws/"])
def test_a_websocket_is_opened_at_ws(path: str) -> None:
    assert match(path) == Route("echo", websocket=True)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "//ws",
        "*",
        "echo",
        "/echo//",
        "/echo//http",
        "/echo/http//",
        "/echo/http/ws",
        "/echo/HTTP",
        "/echo/other",
        "/echo/ws/1",
        "/echo/%77s",
    ],
)
def test_any_other_path_belongs_to_no_adapter(path: str) -> None:
    assert match(path) is None


@pytest.mark.parametrize(
    ("path", "adapter"),
    [
        ("/ws", "ws"),
        ("/http/ws", "http"),
        ("/OneBot%20V11/ws", "OneBot V11"),
        ("/%E6%9C%BA%E5%99%A8%E4%BA%BA/", "机器人"),
        ("/a%2Fb/", "a/b"),
        ("/a%/", "a%"),
        ("/%ff/", "\ufffd"),
    ],
)
def test_the_name_of_the_adapter_is_percent_decoded(path: str, adapter: str) -> None:
    route = match(path)
    assert route is not None
    assert route.adapter == adapter


@given(st.text("/%0fachtpws"))
def test_no_path_raises(path: str) -> None:
    """Whatever the path, there is a verdict: a route with a name, or None."""
    route = match(path)
    assert route is None or route.adapter
