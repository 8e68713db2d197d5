"""Whatever a server answers to a client's request."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from fuzz.answers import ANSWERS, METHODS, ask
from fuzz.conversation import Act
from fuzz.strategies import BOUNDED, changed, cuts, in_pieces, mostly
from nbdriver.errors import InvalidResponse, NetworkTimeout, TooManyRedirects

ENDS = st.sampled_from([None, Act.END, Act.RESET])

_STATUS_LINES = mostly(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 200 OK",
            b"HTTP/1.0 200 OK",
            b"HTTP/1.1 204 No Content",
            b"HTTP/1.1 304 Not Modified",
            b"HTTP/1.1 307 Temporary Redirect",
            b"HTTP/1.1 100 Continue",
            b"HTTP/1.1 103 Early Hints",
        ]
    ),
    st.sampled_from(
        [
            b"HTTP/1.1 101 Switching Protocols",
            b"HTTP/1.1 200",
            b"HTTP/1.1 099 x",
            b"HTTP/1.1 1000 x",
            b"HTTP/2.0 200 OK",
            b"http/1.1 200 OK",
            b"HTTP/1.1 200 \xff\x9b",
            b"HTTP/1.1  200 OK",
            b"ICY 200 OK",
            b"\x15\x03\x01",
        ]
    ),
)
_FIELDS = st.sampled_from(
    [
        b"Content-Length: 5",
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"Content-Length: 6",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding : chunked",
        b"Content-Encoding: gzip",
        b"Content-Encoding: deflate, gzip",
        b"Content-Encoding: br",
        b"Content-Type: text/plain; charset=\xff",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Location: /b",
        b"Location: http://other:0/\xff",
        b"Set-Cookie: a=b; Path=/; Domain=a; Expires=Thu, 99 Jan 1970 99:99:99 GMT",
        b"Set-Cookie: =\x01; ; ,",
        b"X-A: \x01",
        b"X-A: b\rc",
        b" folded",
        b"",
        b":",
        b"X-Long: " + b"x" * 2_500,
    ]
)
_BODIES = st.sampled_from(
    [
        b"",
        b"hello",
        b"hello!",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
        b"5 \r\nhello\r\n00\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"x" * 1_600,
        gzip.compress(b"hello"),
        gzip.compress(bytes(100_000)),
        zlib.compress(b"hello") * 2,
        b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
    ]
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """One to three answers, often such as a server gives."""
    wire = b""
    for _ in range(draw(st.integers(1, 3))):
        lines = [draw(_STATUS_LINES), *draw(st.lists(_FIELDS, max_size=3))]
        wire += b"\r\n".join([*lines, b"", b""]) + draw(_BODIES)
    return wire


@BOUNDED
@given(
    changed(answers()) | st.binary(max_size=60),
    cuts,
    st.sampled_from(METHODS),
    st.booleans(),
    ENDS,
)
def test_any_answer_is_read_as_others_read_it_or_is_an_error_of_ours(
    data: bytes, places: list[int], method: str, follow: bool, end: Act | None
) -> None:
    """Whatever its bytes, cut anywhere, on a connection that was used before: the connection holds
    no more than its limits, what is raised is a NetworkError without control characters, what is
    not raised http.client reads alike, no byte of it becomes an answer to the next request, and no
    task, deadline or connection is left.
    """
    ask(in_pieces(data, places), method=method, follow_redirects=follow, end=end)


def test_it_is_told_what_came_of_it() -> None:
    """Else nothing would be held of anything."""
    response = ask([ANSWERS[0][:30], ANSWERS[0][30:]]).response
    assert response is not None
    assert response.content == b"hello"
    assert isinstance(ask([b"xx"]).error, InvalidResponse)
    assert isinstance(ask([ANSWERS[0][:-1]]).error, NetworkTimeout)
    loop = ask([ANSWERS[-1].replace(b"//other", b"")], follow_redirects=True)
    assert isinstance(loop.error, TooManyRedirects)


def test_what_is_smuggled_is_answered_to_nobody() -> None:
    course = ask([ANSWERS[1]])
    assert [asked.connection for asked in course.asked] == [0, 0, 1]
