"""What becomes of a handler's answer, and of requests that no handler is for, on every driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from conformance.serving import Server

REQUEST = "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n"


def request(server: Server, path: str, *lines: str, method: str = "GET") -> bytes:
    """The bytes of a request that is the last one of its connection."""
    text = "".join(f"{line}\r\n" for line in lines)
    return REQUEST.format(method=method, path=path, host=server.base, lines=text).encode()


@pytest.mark.parametrize("status", [200, 201, 202, 400, 401, 403, 404, 418, 429, 500, 503])
def test_the_status_is_the_handlers(server: Server, status: int) -> None:
    response = server.answer(status=status, text="text")
    assert (response.status_code, response.text) == (status, "text")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_sends_none(server: Server, status: int) -> None:
    response = server.answer(status=status)
    assert (response.status_code, response.content) == (status, b"")


def test_text_is_sent_as_utf_8(server: Server) -> None:
    assert server.answer(text="你好").content.decode() == "你好"


def test_bytes_are_sent_as_they_are(server: Server) -> None:
    assert server.answer(bytes=bytes(range(256))).content == bytes(range(256))


def test_no_content_is_an_empty_body(server: Server) -> None:
    response = server.answer()
    assert (response.content, response.headers["content-length"]) == (b"", "0")


def test_a_big_answer_arrives_whole(server: Server) -> None:
    assert server.answer(text="x" * 3_000_000).text == "x" * 3_000_000


def test_the_headers_are_the_handlers(server: Server) -> None:
    response = server.answer(headers=[["X-A", "1"], ["Content-Type", "image/png"]], bytes=b"PNG")
    assert (response.headers["x-a"], response.headers["content-type"]) == ("1", "image/png")


def test_no_content_type_is_made_up(server: Server) -> None:
    assert "content-type" not in server.answer(text="text").headers


def test_each_set_cookie_is_sent(server: Server) -> None:
    cookies = ["a=1; Path=/", "b=2; Path=/"]
    response = server.answer(headers=[["Set-Cookie", cookie] for cookie in cookies])
    assert response.headers.get_list("set-cookie") == cookies


def test_a_header_of_an_answer_may_repeat(server: Server) -> None:
    response = server.answer(headers=[["X-A", "1"], ["X-A", "2"]])
    assert response.headers.get_list("x-a") == ["1", "2"]


def test_the_length_is_told(server: Server) -> None:
    assert server.answer(text="你好").headers["content-length"] == "6"


def test_a_redirect_of_the_handlers_is_sent_as_it_is(server: Server) -> None:
    response = server.answer(status=302, headers=[["Location", "https://example.org/a?b=c"]])
    assert (response.status_code, response.headers["location"]) == (
        302,
        "https://example.org/a?b=c",
    )


def test_an_answer_has_a_date(server: Server) -> None:
    assert "date" in server.answer().headers


def test_head_is_answered_where_get_is(server: Server) -> None:
    head = server.http.head("/page")
    get = server.http.get("/page")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("x-page", "content-length"):
        assert head.headers[name] == get.headers[name]


def test_an_unknown_path_is_not_found(server: Server) -> None:
    assert server.http.get("/nowhere").status_code == 404


def test_another_method_is_not_allowed(server: Server) -> None:
    response = server.http.delete("/page")
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]


def test_the_methods_that_are_allowed_are_named(server: Server) -> None:
    allowed = server.http.request("TRACE", "/inspect").headers["allow"].split(", ")
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(allowed)


@pytest.mark.parametrize("path", ["/page/", "/slashed"])
def test_a_slash_too_much_or_too_few_leads_to_the_handler(server: Server, path: str) -> None:
    assert server.http.get(path, follow_redirects=True).text == "a page"


def test_a_path_is_matched_in_full(server: Server) -> None:
    for path in ("/pag", "/pages", "/PAGE", "/page/page"):
        assert server.http.get(f"http://{server.base}{path}").status_code == 404


def test_a_path_is_decoded_before_it_is_matched(server: Server) -> None:
    assert server.http.get("/p%61ge").status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_handler_that_fails_is_500(server: Server, method: str) -> None:
    response = server.http.request(method, "/fail")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "Traceback" not in response.text


def test_what_a_handler_failed_of_is_logged(server: Server) -> None:
    server.http.get("/fail")
    server.process.says("ZeroDivisionError")


def test_after_a_handler_that_fails_the_next_one_is_called(server: Server) -> None:
    assert [server.http.get(path).status_code for path in ("/fail", "/page")] == [500, 200]


def test_handlers_run_at_the_same_time(server: Server) -> None:
    runs = [server.run() for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(server.http.get, "/wait", params={"run": run.name}) for run in runs]
        for run in runs:
            run.has_begun()
        for run in reversed(runs):
            run.go_on()
        assert [answer.result().json() for answer in answers] == ["waited"] * 3


def test_a_handler_goes_on_when_its_client_leaves(server: Server) -> None:
    run = server.run()
    with server.raw() as connection:
        connection.sendall(request(server, f"/wait?run={run.name}"))
        run.has_begun()
    # What the server has heard since then, it has heard after the end of that connection.
    server.http.get("/page")
    run.go_on()
    assert run.outcomes() == ["went on"]


def test_a_connection_is_used_again(server: Server) -> None:
    with server.raw() as connection:
        for _ in range(3):
            connection.sendall(request(server, "/page").replace(b"Connection: close\r\n", b""))
            answer = b""
            while not answer.endswith(b"a page"):
                answer += connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")


def test_requests_may_be_sent_ahead(server: Server) -> None:
    ahead = request(server, "/page").replace(b"Connection: close\r\n", b"")
    answer = server.exchange(ahead + ahead + request(server, "/page"))
    assert answer.count(b"HTTP/1.1 200") == answer.count(b"a page") == 3


def test_a_client_that_asks_is_told_to_continue(server: Server) -> None:
    with server.raw() as connection:
        lines = ("Content-Length: 2", "Expect: 100-continue")
        connection.sendall(request(server, "/inspect", *lines, method="POST"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_what_is_no_http_is_refused(server: Server) -> None:
    assert server.exchange(b"no HTTP at all\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_two_lengths_are_refused(server: Server) -> None:
    lines = ("Content-Length: 2", "Transfer-Encoding: chunked")
    sent = request(server, "/inspect", *lines, method="POST")
    assert server.exchange(sent + b"0\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_request_names_its_host(server: Server) -> None:
    sent = b"GET /page HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert server.exchange(sent).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_is_too_big_is_refused_before_it_is_read(server: Server) -> None:
    with server.raw() as connection:
        lines = ("Content-Length: 10000000000",)
        connection.sendall(request(server, "/measure", *lines, method="POST"))
        connection.settimeout(2)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")
