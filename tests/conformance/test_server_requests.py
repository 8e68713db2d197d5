"""What a handler finds in its request, on every driver with a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conformance.serving import Server


def values(found: dict[str, Any], name: str) -> list[str]:
    """The values of a header, in their order."""
    return [value for key, value in found["headers"] if key.lower() == name.lower()]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_method_reaches_its_handler(server: Server, method: str) -> None:
    assert server.inspect(method)["method"] == method


def test_the_url_is_absolute(server: Server) -> None:
    found = server.inspect("GET", "/inspect?a=1&b=2")
    assert found["url"] == f"http://{server.base}/inspect?a=1&b=2"


def test_the_url_has_the_host_that_the_client_called(server: Server) -> None:
    found = server.inspect("GET", "/inspect", headers={"host": "localhost:1234"})
    assert found["url"] == "http://localhost:1234/inspect"


def test_a_parameter_may_repeat(server: Server) -> None:
    assert server.inspect("GET", "/inspect?a=1&a=2")["params"] == [["a", "1"], ["a", "2"]]


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("%E4%BD%A0%E5%A5%BD", "你好"),
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%26b%3Dc", "a&b=c"),
        ("%25", "%"),
        ("", ""),
    ],
)
def test_a_parameter_is_decoded_once(server: Server, query: str, value: str) -> None:
    assert server.inspect("GET", f"/inspect?q={query}")["params"] == [["q", value]]


def test_a_path_may_be_of_any_script(server: Server) -> None:
    found = server.inspect("GET", "/%E9%97%AE%E5%80%99")
    assert found["url"] == f"http://{server.base}/%E9%97%AE%E5%80%99"


def test_a_header_is_found_by_any_case_of_its_name(server: Server) -> None:
    found = server.inspect("GET", "/inspect", headers={"X-Self-ID": "1"})
    assert values(found, "x-self-id") == ["1"]


def test_a_header_may_repeat(server: Server) -> None:
    found = server.inspect("GET", "/inspect", headers=[("X-A", "1"), ("X-B", "b"), ("x-a", "2")])
    assert values(found, "x-a") == ["1", "2"]


def test_a_header_beyond_ascii_is_latin_1(server: Server) -> None:
    found = server.inspect("GET", "/inspect", headers=[(b"x-name", "é".encode("latin-1"))])
    assert values(found, "x-name") == ["é"]


def test_cookies_are_read(server: Server) -> None:
    found = server.inspect("GET", "/inspect", headers={"cookie": 'a=1; b="two"; c=x=y'})
    assert sorted(found["cookies"]) == [["a", "1"], ["b", "two"], ["c", "x=y"]]


def test_there_are_no_cookies_where_none_were_sent(server: Server) -> None:
    assert server.inspect("GET", "/inspect")["cookies"] == []


def test_json_is_read(server: Server) -> None:
    body = {"text": "你好", "list": [1, 2.5, None, True]}
    found = server.inspect(json=body)
    assert found["json"] == body
    assert json.loads(found["content"]) == body


def test_json_is_read_whatever_the_content_type(server: Server) -> None:
    found = server.inspect(content=b'{"a": 1}', headers={"content-type": "text/plain"})
    assert found["json"] == {"a": 1}


def test_json_is_read_without_a_content_type(server: Server) -> None:
    assert server.inspect(content=b'{"a": 1}')["json"] == {"a": 1}


@pytest.mark.parametrize(
    "content_type", ["application/vnd.github+json", "application/json; charset=utf-8"]
)
def test_json_is_read_by_each_of_its_content_types(server: Server, content_type: str) -> None:
    assert server.inspect(content=b"[1]", headers={"content-type": content_type})["json"] == [1]


@pytest.mark.parametrize("body", [b"{", b"no JSON", b"\xff\xfe\xff", b""], ids=repr)
def test_what_is_no_json_reaches_the_handler(server: Server, body: bytes) -> None:
    found = server.inspect(content=body, headers={"content-type": "application/json"})
    assert (found["json"], found["content"]) == (None, body)


def test_the_content_is_the_bytes_that_were_sent(server: Server) -> None:
    body = bytes(range(256))
    found = server.inspect(content=body, headers={"content-type": "application/octet-stream"})
    assert (found["content"], found["kind of content"]) == (body, "bytes")


def test_without_a_body_there_is_no_content(server: Server) -> None:
    found = server.inspect("GET")
    assert (found["content"], found["json"]) == (b"", None)
    assert not found["data"]
    assert not found["files"]


def test_a_body_in_chunks_is_one_content(server: Server) -> None:
    assert server.inspect(content=iter([b"one ", b"two ", b"three"]))["content"] == b"one two three"


def test_a_big_body_arrives_whole(server: Server) -> None:
    assert server.http.post("/measure", content=b"x" * 5_000_000).json() == 5_000_000


def test_a_form_is_read(server: Server) -> None:
    found = server.inspect(data={"a": "1", "name": "小明", "empty": "", "sum": "1+1=2 & more"})
    assert found["data"] == {"a": "1", "name": "小明", "empty": "", "sum": "1+1=2 & more"}
    assert not found["files"]


def test_the_content_of_a_form_is_kept(server: Server) -> None:
    assert server.inspect(data={"a": "1"})["content"] == b"a=1"


def test_of_a_field_that_repeats_the_last_one_is_kept(server: Server) -> None:
    assert server.inspect(data={"a": ["1", "2"]})["data"] == {"a": "2"}


def test_no_form_leaves_no_data(server: Server) -> None:
    found = server.inspect(json={"a": 1})
    assert not found["data"]
    assert not found["files"]


def test_a_multipart_form_is_read(server: Server) -> None:
    found = server.inspect(
        data={"说明": "一只猫"}, files={"image": ("cat.png", b"PNG", "image/png")}
    )
    assert found["data"] == {"说明": "一只猫"}
    assert found["files"] == [["image", "cat.png", "PNG", "image/png"]]


def test_the_content_of_a_multipart_form_is_kept(server: Server) -> None:
    found = server.inspect(data={"a": "1"}, files={"f": ("f.txt", b"text", "text/plain")})
    (length,) = values(found, "content-length")
    assert len(found["content"]) == int(length)
    assert b"text" in found["content"]


@pytest.mark.parametrize("name", ["猫.png", "a b.png", "a;b.png", "a%20b.png", "ü.png"])
def test_a_file_may_have_any_name(server: Server, name: str) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n'
        b"Content-Type: image/png\r\n\r\nPNG\r\n--x--\r\n"
    ) % name.encode()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    (file,) = server.inspect(content=body, headers=headers)["files"]
    assert file == ["f", name, "PNG", "image/png"]


def test_several_files_may_have_one_name(server: Server) -> None:
    files = [("f", (name, name.encode(), "text/plain")) for name in ("a.txt", "b.txt")]
    assert server.inspect(files=files)["files"] == [
        ["f", "a.txt", "a.txt", "text/plain"],
        ["f", "b.txt", "b.txt", "text/plain"],
    ]


def test_a_broken_form_reaches_the_handler(server: Server) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    found = server.inspect(content=b"--y\r\nno form", headers=headers)
    assert found["content"] == b"--y\r\nno form"
    assert not found["data"]
    assert not found["files"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_version_is_that_of_the_request(server: Server, version: str) -> None:
    head = f"GET /inspect HTTP/{version}\r\nHost: {server.base}\r\nConnection: close\r\n\r\n"
    answer = server.exchange(head.encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["version"] == version
