"""multipart/form-data: RFC 7578, as parsers that others wrote read it."""

from __future__ import annotations

import asyncio
import email
import email.message
import email.policy
import io
import json
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp.test_utils
import pytest
import python_multipart
from aiohttp import web
from fuzz.strategies import BOUNDED
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.client.multipart import Field, Multipart, fields_of, files_of
from nbdriver.client.sources import source_of
from nbdriver.wire import form_data

Part = tuple[str, str | None, str | None, bytes]
"""Field name, file name, content type, content."""


async def written(multipart: Multipart) -> bytes:
    return b"".join([piece async for piece in multipart.pieces()])


def form(data: Any = (), files: Any = ()) -> Multipart:
    return Multipart([*fields_of(data), *files_of(files)])


def by_email(content_type: str, body: bytes) -> list[Part]:
    """As the standard library reads it."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    assert isinstance(message, email.message.EmailMessage)
    return [
        (
            part.get_param("name", header="content-disposition"),  # type: ignore[misc]  # it is text
            part.get_filename(),
            part.get_content_type() if "content-type" in part else None,
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]


def by_python_multipart(content_type: str, body: bytes) -> list[Part]:
    """As FastAPI reads it."""
    parts: list[Part] = []

    def on_field(field: Any) -> None:
        parts.append((field.field_name.decode(), None, None, field.value or b""))

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        content = file.file_object.read()
        name = file.file_name.decode()
        parts.append((file.field_name.decode(), name, file.content_type, content))

    python_multipart.parse_form(
        {"Content-Type": content_type.encode()}, io.BytesIO(body), on_field, on_file
    )
    return parts


def by_ours(content_type: str, body: bytes) -> list[Part]:
    """As our own server reads it."""
    return [
        (name, None, None, it.encode())
        if isinstance(it, str)
        else (name, it.filename, it.content_type, it.content)
        for name, it in form_data.parse(content_type, body) or []
    ]


PARSERS = [by_email, by_python_multipart, by_ours]


@pytest.mark.parametrize("parse", PARSERS)
async def test_fields_and_files_arrive(parse: Any) -> None:
    multipart = form(
        {"a": "1", "键": "值\r\n"}, {"f": ("图 片.png", b"\x00\r\n--\xff"), "g": ("b", b"", "a/b")}
    )
    assert parse(multipart.content_type, await written(multipart)) == [
        ("a", None, None, b"1"),
        ("键", None, None, "值\r\n".encode()),
        ("f", "图 片.png", "image/png", b"\x00\r\n--\xff"),
        ("g", "b", "a/b", b""),
    ]


NAMES = [
    ("图片.png", "图片.png"),
    ("😀 (1).png", "😀 (1).png"),
    ('a"b.txt', "a%22b.txt"),
    ('"; filename="evil.txt', "%22; filename=%22evil.txt"),
    ("a\r\nContent-Type: text/html\r\n\r\nevil", "a%0D%0AContent-Type: text/html%0D%0A%0D%0Aevil"),
    ("a\rb\nc", "a%0Db%0Ac"),
    ("a\x00\tb\x7f", "a%00%09b%7F"),
    ("a\\", "a%5C"),
    ('a\\"\\\\', "a\\%22%5C%5C"),
    ("a\\\\b\\c", "a\\\\b\\c"),
    ("a';b=c, d*=e", "a';b=c, d*=e"),
    ("a%22", "a%22"),
    ("a/../b", "a/../b"),
    ("é", "é"),
]


@pytest.mark.parametrize(("name", "arrives"), NAMES)
@pytest.mark.parametrize("parse", PARSERS)
async def test_no_name_ends_its_header_or_is_one(parse: Any, name: str, arrives: str) -> None:
    """CVE-2026-34514."""
    multipart = form({name: "1"}, {name: (name, b"2", "a/b")})
    body = await written(multipart)
    assert parse(multipart.content_type, body) == [
        (arrives, None, None, b"1"),
        (arrives, arrives, "a/b", b"2"),
    ]
    assert body.count(b"\r\n") == 4 + 5 + 1


@pytest.mark.parametrize(
    "content_type",
    [
        "a/b\r\nX: y",
        "a/b\n",
        "a/b\x00",
        "a",
        "",
        "a/",
        "/b",
        "a /b",
        "a/b\r\n\r\n",
        "文/本",
        "a/\u2028",
    ],
)
def test_a_content_type_that_could_be_more_than_one_is_refused(content_type: str) -> None:
    with pytest.raises(ValueError, match="expected a content type such as text/plain"):
        form(files={"a": ("b", b"c", content_type)})


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="expected text as a name in a form"):
        form(files={"a": ("\ud800", b"")})


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.png", "image/png"),
        ("图.JPG", "image/jpeg"),
        ("a.json", "application/json"),
        ("a", "application/octet-stream"),
        ("a.unheard", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("data:text/html,a", "application/octet-stream"),
    ],
)
def test_a_content_type_is_guessed_by_the_file_name(name: str, content_type: str) -> None:
    (field,) = files_of({"a": (name, b"")})
    assert f"\r\nContent-Type: {content_type}\r\n\r\n".encode() in field.head


# Shapes of files and of fields.


def heads(fields: Iterable[Field]) -> list[str]:
    return [field.head.decode().split("\r\n")[0].partition("; ")[2] for field in fields]


async def test_a_file_has_its_own_name_or_that_of_its_field(tmp_path: Path) -> None:
    path = tmp_path / "图.png"
    path.write_bytes(b"a")
    number = os.open(path, os.O_RDONLY)
    with path.open("rb") as file, open(number, "rb") as other:  # noqa: PTH123 # a descriptor
        shapes = {"a": file, "b": other, "c": b"1", "d": "text", "e": io.BytesIO(b"2")}
        assert heads(files_of(shapes)) == [
            'name="a"; filename="图.png"',
            *(f'name="{name}"; filename="{name}"' for name in "bcde"),
        ]


def test_a_file_may_have_no_name_and_is_a_field_then() -> None:
    (one, two) = files_of([("a", (None, b"b")), ("a", (None, b"b", "c/d"))])
    assert one.head == b'Content-Disposition: form-data; name="a"\r\n\r\n'
    assert two.head == b'Content-Disposition: form-data; name="a"\r\nContent-Type: c/d\r\n\r\n'


def test_several_files_may_have_one_field() -> None:
    assert heads(files_of([("a", ("1", b"")), ["a", ["2", b"", None]]])) == [
        'name="a"; filename="1"',
        'name="a"; filename="2"',
    ]


@pytest.mark.parametrize(
    "spec", [("a",), (), (1, b""), ("a", b"", 1), ("a", b"", "b/c", {}), ("a", b"", b"a/b")]
)
def test_a_file_of_another_shape_is_refused(spec: Any) -> None:
    with pytest.raises(TypeError, match=r"expected \(file name, content\) or \(file name, conten"):
        form(files={"a": spec})


@pytest.mark.parametrize("spec", [1, None, ("a", None), ("a", 1), ("a", {})])
def test_a_file_of_no_bytes_is_refused(spec: Any) -> None:
    with pytest.raises(TypeError, match="expected bytes, text, a file or an iterable of bytes"):
        form(files={"a": spec})


@pytest.mark.parametrize("items", [["ab"], [1], {1: b""}, [("a", b"b", "c")], ["a"]])
def test_what_is_no_form_is_refused(items: Any) -> None:
    with pytest.raises(TypeError, match="expected pairs whose names are text"):
        form(items)
    with pytest.raises(TypeError, match="expected files as a mapping or pairs, names as text"):
        form(files=items)


async def test_fields_have_all_the_values_that_a_query_has_and_bytes() -> None:
    data = {"a": ["1", 2, None, 2.5], "b": None, "c": True, "d": b"\xff", "e": (b"1", ""), "f": []}
    multipart = form(data)
    parts = by_email(multipart.content_type, await written(multipart))
    assert [(name, content) for name, _, _, content in parts] == [
        ("a", b"1"), ("a", b"2"), ("a", b"2.5"), ("c", b"true"), ("d", b"\xff"), ("e", b"1"),
        ("e", b""),
    ]  # fmt: skip
    with pytest.raises(TypeError, match="expected text, a number, a bool or None"):
        form({"a": {}})


async def test_a_form_of_nothing_is_a_form() -> None:
    multipart = Multipart([], "x")
    assert await written(multipart) == b"--x--\r\n"


# Boundaries, lengths, again.


async def test_nobody_knows_the_boundary_beforehand() -> None:
    assert form().boundary != form().boundary
    assert len(form().boundary) >= 32


async def test_the_length_is_known_if_that_of_each_part_is() -> None:
    known = form({"a": "中"}, {"b": io.BytesIO(b"cd"), "e": b"f"})
    assert known.length == len(await written(known))
    assert known.replayable
    assert await written(known) == await written(known)


async def test_the_length_is_not_known_if_that_of_a_part_is_not() -> None:
    async def generated() -> AsyncIterator[bytes]:
        yield b"cd"

    multipart = form(files={"a": b"b", "c": ("c", generated())})
    assert (multipart.length, multipart.replayable) == (None, False)
    assert b"\r\n\r\ncd\r\n--" in await written(multipart)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1)


@BOUNDED
@given(st.lists(st.tuples(TEXT, TEXT, st.binary())))
def test_what_was_written_is_read(files: list[tuple[str, str, bytes]]) -> None:
    multipart = form(files=[(name, (filename, data)) for name, filename, data in files])
    # In memory, so nothing has to be waited for.
    body = b"".join(source._data for source in multipart._sources)  # type: ignore[attr-defined]
    for parse in (by_ours, by_python_multipart) if files else ():
        parts = parse(multipart.content_type, body)
        assert [(name, content) for name, _, _, content in parts] == [
            (name, content) for name, _, content in files
        ]


async def test_aiohttp_s_server_reads_it_from_a_socket() -> None:
    async def answer(request: web.Request) -> web.Response:
        parts = []
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                parts.append((name, value.filename, value.content_type, value.file.read().hex()))
            else:
                parts.append((name, None, None, str(value)))
        return web.json_response(parts)

    app = web.Application()
    app.router.add_post("/", answer)
    content = os.urandom(300_000)
    multipart = form({"键": ["一", "二"]}, {"f": ('图"\\片.png', io.BytesIO(content))})
    async with aiohttp.test_utils.TestServer(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {multipart.length}"
            f"\r\nContent-Type: {multipart.content_type}\r\n\r\n".encode()
        )
        async for piece in multipart.pieces():
            writer.write(piece)
            await writer.drain()
        got = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert json.loads(got.partition(b"\r\n\r\n")[2]) == [
        ["键", None, None, "一"],
        ["键", None, None, "二"],
        ["f", "图%22\\片.png", "image/png", content.hex()],
    ]


def test_a_part_is_written_as_rfc_7578_shows() -> None:
    field = Field("file1", source_of(b""), "a.txt", "text/plain")
    assert field.head == (
        b'Content-Disposition: form-data; name="file1"; filename="a.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n"
    )
