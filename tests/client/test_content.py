"""What a request carries: content, JSON, forms and files, and never two of them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from fuzz.strategies import BOUNDED
from hypothesis import given
from hypothesis import strategies as st

from nbdriver import codec
from nbdriver.client.content import Content, content_of


async def body(content: Content | None) -> bytes:
    assert content is not None
    return b"".join([piece async for piece in content.pieces()])


def content_type(content: Content | None) -> str | None:
    assert content is not None
    return dict(content.headers).get("content-type")


def test_a_request_may_carry_nothing() -> None:
    assert content_of() is None
    assert content_of(content=None, json=None, data=None, files=None) is None
    assert content_of(files={}) is None
    assert content_of(files=[]) is None


@pytest.mark.parametrize("argument", ["content", "data"])
@pytest.mark.parametrize(
    ("given_as", "sent", "type_"),
    [
        (b"\xff", b"\xff", None),
        (bytearray(b"a"), b"a", None),
        ("中文", "中文".encode(), "text/plain; charset=utf-8"),
        ("", b"", "text/plain; charset=utf-8"),
        (b"", b"", None),
        (io.BytesIO(b"ab"), b"ab", None),
        ([b"a", b"b"], b"ab", None),
    ],
)
async def test_content_is_sent_as_it_is(
    argument: str, given_as: Any, sent: bytes, type_: str | None
) -> None:
    if isinstance(given_as, io.BytesIO):
        given_as.seek(0)
    arguments: Any = {argument: given_as}
    content = content_of(**arguments)
    assert content is not None
    assert (await body(content), content_type(content)) == (sent, type_)
    assert (content.length, content.replayable) == (len(sent), True)


@pytest.mark.parametrize("argument", ["content", "data"])
async def test_content_may_come_piece_by_piece(argument: str) -> None:
    async def generated() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    arguments: Any = {argument: generated()}
    content = content_of(**arguments)
    assert content is not None
    assert (content.length, content.replayable, content.headers) == (None, False, ())
    assert await body(content) == b"ab"


def test_a_mapping_is_no_content() -> None:
    given_as: Any = {"a": 1}
    with pytest.raises(TypeError, match="expected bytes, text, a file or an iterable of bytes"):
        content_of(content=given_as)


# JSON.


@pytest.mark.parametrize("value", [{"键": ["值", 1, None]}, [], {}, "", 0, False, 1.5])
async def test_json_is_written_by_the_codec(value: Any) -> None:
    content = content_of(json=value)
    assert await body(content) == codec.dumps(value).encode()
    assert content_type(content) == "application/json"
    assert content is not None
    assert content.replayable


@pytest.mark.parametrize("value", [float("nan"), object(), {1j: 1}])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        content_of(json=value)


# Forms.


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        ({"a": "b c", "é": "&=+"}, b"a=b+c&%C3%A9=%26%3D%2B"),
        ({"a": ["1", 2], "b": (True, None), "c": None}, b"a=1&a=2&b=true"),
        ([("a", "1"), ["a", 2.5]], b"a=1&a=2.5"),
        ({"a": b"\xff", "b": [b"c d"]}, b"a=%FF&b=c+d"),
        ({}, b""),
        ([], b""),
    ],
)
async def test_a_form_is_urlencoded(data: Any, sent: bytes) -> None:
    content = content_of(data=data)
    assert await body(content) == sent
    assert content_type(content) == "application/x-www-form-urlencoded"


def test_httpx_writes_a_form_alike() -> None:
    data = {"a": ["b c", "é&=+#~*-._"], "键": "值", "n": 1, "t": True}
    request = httpx.Request("POST", "http://a/", data=data)
    content = content_of(data=data)
    assert content_type(content) == request.headers["content-type"]
    assert content is not None
    assert content._source._data == request.content  # type: ignore[attr-defined]  # in memory


@pytest.mark.parametrize(
    "data",
    [{"a": {}}, {"a": bytearray()}, [("a",)], [("a", "b", "c")], {1: "a"}, [("a", object())]],
)
def test_what_no_form_can_hold_is_refused(data: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        content_of(data=data)


@BOUNDED
@given(st.lists(st.tuples(st.text(), st.text())))
def test_a_form_is_read_as_it_was_written(pairs: list[tuple[str, str]]) -> None:
    content = content_of(data=pairs)
    assert content is not None
    text = content._source._data.decode()  # type: ignore[attr-defined]  # in memory
    assert parse_qsl(text, keep_blank_values=True) == pairs


def test_half_of_a_pair_is_no_text() -> None:
    for data in ({"a": "\ud800"}, {"\ud800": "a"}):
        with pytest.raises(ValueError, match="expected text, got half of a pair"):
            content_of(data=data)
        with pytest.raises(ValueError, match="expected text"):
            content_of(data=data, files={"a": b""})


# Files.


async def test_a_form_with_files_has_its_fields_first() -> None:
    content = content_of(data={"a": 1}, files={"f": ("b.png", b"c")})
    assert content is not None
    kind = content_type(content)
    assert kind is not None
    media_type, _, boundary = kind.partition("; boundary=")
    assert media_type == "multipart/form-data"
    assert (
        await body(content)
        == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="b.png"\r\n'
            f"Content-Type: image/png\r\n\r\nc\r\n--{boundary}--\r\n"
        ).encode()
    )
    assert content.length == len(await body(content))


async def test_files_need_no_fields() -> None:
    assert b'name="f"; filename="f"' in await body(content_of(files=[("f", b"c")]))


def test_files_need_a_form_beside_them() -> None:
    for data in (b"a", "a", io.BytesIO(), [b"a"]):
        with pytest.raises(TypeError, match="expected the form beside files as a mapping or pairs"):
            content_of(data=data, files={"f": b"c"})


# One thing.


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ({"content": b"", "json": {}}, "content and json"),
        ({"content": "", "data": {}}, "content and data"),
        ({"json": [], "data": {}}, "json and data"),
        ({"json": [], "files": {"a": b""}}, "json and files"),
        ({"content": b"a", "data": {}, "files": {"a": b""}}, "content and data and files"),
    ],
)
def test_a_request_does_not_carry_two_things(arguments: Any, got: str) -> None:
    with pytest.raises(
        TypeError, match=f"expected one of content, json, data and files, got {got}$"
    ):
        content_of(**arguments)
