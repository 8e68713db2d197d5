"""Forms in request bodies: RFC 7578, and what browsers and clients make of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.wire.form_data import MAX_FIELD, MAX_PARTS, File, parse

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"


def multipart(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


def field(name: bytes, value: bytes = b"1", *headers: bytes) -> bytes:
    lines = [b'Content-Disposition: form-data; name="' + name + b'"', *headers, b"", value]
    return b"\r\n".join(lines)


# What is a form.


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/mixed; boundary=b", "form-data", URLENCODED + "x", "a b/c"],
)
def test_what_is_of_another_type_is_no_form(content_type: str) -> None:
    assert parse(content_type, b"a=1") is None


@pytest.mark.parametrize(
    "content_type",
    [URLENCODED, URLENCODED.upper(), f"{URLENCODED};charset=utf-8", f" {URLENCODED} ; a=b"],
)
def test_a_type_is_known_in_any_case_and_with_any_parameters(content_type: str) -> None:
    assert parse(content_type, b"a=1") == [("a", "1")]


# application/x-www-form-urlencoded


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b"", []),
        (b"a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        (b"a+b=%E4%BD%A0+%2B", [("a b", "你 +")]),
        (b"a&=b&c=&=", [("a", ""), ("", "b"), ("c", ""), ("", "")]),
        (b"&&a=1&&", [("a", "1")]),
        (b"a=b=c;d", [("a", "b=c;d")]),
        (b"a=%zz%E4", [("a", "%zz\ufffd")]),
        (b"\xe4=\xe4", [("ä", "ä")]),
    ],
)
def test_urlencoded_fields_are_read_as_whatwg_says(body: bytes, items: Any) -> None:
    assert parse(URLENCODED, body) == items


def test_urlencoded_fields_are_bounded_in_number_and_size() -> None:
    assert len(parse(URLENCODED, b"a&" * MAX_PARTS) or ()) == MAX_PARTS
    with pytest.raises(ValueError, match="at most 1000 fields"):
        parse(URLENCODED, b"a&" * (MAX_PARTS + 1))
    assert parse(URLENCODED, b"a" * MAX_FIELD) == [("a" * MAX_FIELD, "")]
    with pytest.raises(ValueError, match="at most 1048576 bytes in a field"):
        parse(URLENCODED, b"a" * (MAX_FIELD + 1))


# multipart/form-data


def test_fields_and_files_come_in_their_order() -> None:
    body = multipart(
        field(b"a"),
        field(b'f"; filename="1.txt', b"x\r\n\r\ny", b"Content-Type: text/plain"),
        field(b"a", b""),
        field(b'g"; filename="', b"\x00\xff"),
    )
    assert parse(MULTIPART, body) == [
        ("a", "1"),
        ("f", File("1.txt", b"x\r\n\r\ny", "text/plain")),
        ("a", ""),
        ("g", File("", b"\x00\xff", None)),
    ]


@pytest.mark.parametrize("content_type", [MULTIPART.replace("=b", ' = "b"'), f"{MULTIPART} ; x=y"])
def test_the_boundary_may_be_quoted_and_have_blanks_around_it(content_type: str) -> None:
    assert parse(content_type, multipart(field(b"a"))) == [("a", "1")]


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b"--b--", []),
        (b"\r\n\r\n" + multipart(field(b"a")), [("a", "1")]),
        (multipart(field(b"a")) + b"an epilogue", [("a", "1")]),
        (multipart(field(b"a")).replace(b"--b\r\n", b"--b \t\r\n"), [("a", "1")]),
        (multipart(field(b"a", b"--b\r\n--bc\r\n--b.")), [("a", "--b\r\n--bc\r\n--b.")]),
        (multipart(field(b"a", b"1\r\n-")), [("a", "1\r\n-")]),
    ],
)
def test_what_may_stand_around_a_boundary_is_no_content(body: bytes, items: Any) -> None:
    assert parse(MULTIPART, body) == items


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b"form-data; name=a", "a"),
        (b'form-data;name="a;b=c"', "a;b=c"),
        (rb'form-data; name="a\"b\\c\d"', 'a"b\\c\\d'),
        (b'form-data; name="%22%0D%0A"', "%22%0D%0A"),
        ('form-data; name="你好"'.encode(), "你好"),
        (b'form-data; name="\xff"', "ÿ"),
        (b"form-data; NAME=a; name*=utf-8''b", "a"),
        (b"form-data; ; name=a b ;", "a b"),
        (b'form-data; name=a"b', 'a"b'),
    ],
)
def test_names_are_read_as_browsers_write_them(disposition: bytes, name: str) -> None:
    part = b"content-disposition: " + disposition + b"\r\n\r\n1"
    assert parse(MULTIPART, multipart(part)) == [(name, "1")]


@pytest.mark.parametrize(
    ("charset", "text"), [("gbk", "你好"), ("latin-1", "äö"), ("utf-8", "你好"), ("", "ä")]
)
def test_the_charset_of_the_form_is_that_of_its_fields(charset: str, text: str) -> None:
    value = text.encode(charset or "latin-1")
    body = multipart(field(b"a", value))
    assert parse(f"{MULTIPART}; charset={charset or 'nonsense'}", body) == [("a", text)]


def test_a_charset_that_is_none_of_text_is_not_used() -> None:
    assert parse(f"{MULTIPART}; charset=base64", multipart(field(b"a", b"MQ=="))) == [("a", "MQ==")]
    assert parse(f"{MULTIPART}; charset=punycode", multipart(field(b"a", b"b-a"))) == [("a", "b-a")]
    assert parse(f'{MULTIPART}; charset="\x00"', multipart(field(b"a"))) == [("a", "1")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "begin with its boundary"),
        (b"a preamble\r\n" + multipart(field(b"a")), "begin with its boundary"),
        (b"--bx" + multipart(field(b"a")), "line end after a boundary"),
        (multipart(field(b"a"), end=b""), "complete"),
        (multipart(field(b"a"), end=b"--b\r\n"), "complete"),
        (multipart(field(b"a"), end=b"--b-"), "complete"),
        (b"--b\r\n" + field(b"a"), "complete"),
        (multipart(b"\r\n1"), "complete"),
        (multipart(b"A: b\r\n\r\n1"), "a name"),
        (multipart(b"Content-Disposition: form-data\r\n\r\n1"), "a name"),
        (multipart(b"no colon\r\n\r\n1"), "a header"),
        (multipart(field(b"a", b"1", b"A: b\nC: d")), "a header"),
        (multipart(field(b"a", b"1", b" folded: b")), "a header"),
        (multipart(field(b"a", b"1", b"A : b")), "a header"),
        (multipart(field(b"a", b"1", *[b"A%d: b" % n for n in range(8)])), "at most 8 headers"),
        (multipart(field(b"a", b"1", b"A: b", b"a: b")), "one header a of a part, got two"),
        (multipart(field(b"a", b"1", b"content-disposition: form-data; name=b")), "got two"),
        (multipart(field(b'a"; name="b')), "one parameter name of a form, got two"),
        (multipart(field(b'a"; NAME=b; x="')), "one parameter name of a form, got two"),
        (multipart(field(b'a"b')), "a parameter of a form, got"),
        (multipart(field(b'a"; filename="b\\')), "a parameter of a form, got"),
        (multipart(field(b'a"; x y="; filename=z')), "a parameter of a form, got"),
        (multipart(field(b"a", b"1", b"A: " + b"b" * 5_000)), "a header"),
        (multipart(field(b"a", b"1" * (MAX_FIELD + 1))), "at most 1048576 bytes in a field"),
        (multipart(*[field(b"a")] * (MAX_PARTS + 1)), "at most 1000 fields and"),
        (multipart(*[field(b'a"; filename="b')] * (MAX_PARTS + 1)), "at most 1000 fields and"),
    ],
)
def test_a_form_that_is_malformed_cut_off_or_too_much_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(MULTIPART, body)


@pytest.mark.parametrize("boundary", ["", '""', "b" * 257])
def test_a_form_needs_a_boundary_of_a_bounded_length(boundary: str) -> None:
    with pytest.raises(ValueError, match="a boundary of 1 to 256 bytes"):
        parse(f"multipart/form-data; boundary={boundary}", multipart(field(b"a")))


@pytest.mark.parametrize(
    "parameters",
    ['boundary="b', 'boundary="b"c', "boundary=c; boundary=b", 'x y="; boundary=b', "boundary"],
)
def test_a_form_whose_boundary_is_a_guess_is_refused(parameters: str) -> None:
    with pytest.raises(ValueError, match=r"expected (one|a) parameter"):
        parse(f"multipart/form-data; {parameters}", multipart(field(b"a")))


def test_fields_and_files_are_bounded_each_by_itself() -> None:
    parts = [field(b"a"), field(b'a"; filename="b')] * MAX_PARTS
    assert len(parse(MULTIPART, multipart(*parts)) or ()) == 2 * MAX_PARTS


# What a client writes, comes back.

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1
)
FILES = st.tuples(NAMES, st.tuples(NAMES, st.binary(max_size=50), st.just("text/x")))


@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_what_httpx_writes_as_a_form_is_read_as_it_was(data: dict[str, str]) -> None:
    request = httpx.Request("POST", "http://a", data=data)
    assert parse(URLENCODED, request.content) == list(data.items())


@given(st.dictionaries(NAMES, TEXT, max_size=3), st.lists(FILES, min_size=1, max_size=3))
def test_what_httpx_writes_with_files_is_read_as_it_was(data: Any, files: Any) -> None:
    request = httpx.Request("POST", "http://a", data=data, files=files)
    assert parse(request.headers["content-type"], request.read()) == [
        *data.items(),
        *((name, File(*file)) for name, file in files),
    ]


def verdict(content_type: str, body: bytes) -> object:
    try:
        return parse(content_type, body)
    except ValueError as error:
        return str(error)


@given(st.binary(), st.binary())
def test_whatever_comes_it_is_a_form_or_a_valueerror(begin: bytes, end: bytes) -> None:
    body = begin + multipart(field(b"a", b"--b")) + end
    for content_type in (URLENCODED, MULTIPART):
        found = verdict(content_type, body)
        assert isinstance(found, list) or str(found).startswith("expected ")
