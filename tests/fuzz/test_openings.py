"""Whatever a server answers to a client's opening handshake, and whatever frames it sends then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support import frames

from fuzz.conversation import Act
from fuzz.lanes import frame_pieces
from fuzz.openings import REDIRECTS, open_to
from fuzz.strategies import BOUNDED, changed, cuts, frame_lists, in_pieces, mostly
from nbdriver.errors import TooManyRedirects, UpgradeRefused

ENDS = st.sampled_from([None, Act.END, Act.RESET])

_STATUS_LINES = mostly(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 302 Found",
            b"HTTP/1.1 403 Forbidden",
            b"HTTP/1.1 101 Switching Protocols",
            b"HTTP/1.1 103 Early Hints",
        ]
    ),
    st.sampled_from(
        [b"HTTP/1.0 101 x", b"HTTP/2.0 200 OK", b"HTTP/1.1 99 x", b"HTTP/1.1 200", b"\x15\x03", b""]
    ),
)
_FIELDS = st.sampled_from(
    [
        b"Content-Length: 5",
        b"Content-Length: 5,5",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: xchunked",
        b"Location: /b",
        b"Location: wss://other/\xff?token=x",
        b"Location: //",
        b"Location: ftp://a/\x1b[31m",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Connection: close",
        b"Sec-WebSocket-Accept: x",
        b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99",
        b"Set-Cookie: a=b; Domain=.",
        b"X-A: \x01",
        b" folded",
        b"X-Long: " + b"x" * 2_500,
    ]
)
_BODIES = st.sampled_from(
    [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX", b"x" * 6_000, b"\xff" * 5]
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """One or two answers, often such as a server gives that opens no WebSocket."""
    wire = b""
    for _ in range(draw(st.integers(1, 2))):
        lines = [draw(_STATUS_LINES), *draw(st.lists(_FIELDS, max_size=3))]
        wire += b"\r\n".join([*lines, b"", b""]) + draw(_BODIES)
    return wire


@BOUNDED
@given(changed(answers()) | st.binary(max_size=60), cuts, ENDS)
def test_an_answer_that_does_not_open_is_an_error_of_ours_and_leaves_nothing(
    data: bytes, places: list[int], end: Act | None
) -> None:
    """Whatever its bytes, cut anywhere, however it ends: the connection holds no more than its
    limits, what is raised is a NetworkError without control characters, no task, deadline or
    connection is left, and the next opening works.
    """
    open_to(in_pieces(data, places), right=False, end=end)


@BOUNDED
@given(changed(frame_lists(masked=False)) | st.binary(max_size=60), cuts, ENDS, st.booleans())
def test_whatever_follows_a_101_is_messages_and_an_end(
    data: bytes, places: list[int], end: Act | None, deflate: bool
) -> None:
    """The same of frames; what is delivered, websockets reads too, and what we send, as a server:
    masked, each message once and in order, and nothing else but pongs and a Close.
    """
    open_to(in_pieces(data, places), right=True, deflate=deflate, end=end)


@BOUNDED
@given(frame_pieces(masked=False), st.booleans(), ENDS)
def test_whatever_servers_usually_send_is_echoed(
    pieces: list[bytes], deflate: bool, end: Act | None
) -> None:
    open_to(pieces, right=True, deflate=deflate, end=end)


def test_it_is_told_what_came_of_it() -> None:
    """Else nothing would be held of anything."""
    one, two = (frames.frame(each, key=None) for each in ("one", b"two"))
    course = open_to([one, two[:3], two[3:] + frames.close(4000, "bye", key=None)], right=True)
    assert (course.messages, course.closed) == (["one", "two"], (4000, "bye"))
    refused = open_to([b"HTTP/1.1 403 No\r\n\r\n"], right=False, end=Act.END)
    assert isinstance(refused.error, UpgradeRefused)
    loop = open_to([b"HTTP/1.1 302 x\r\nLocation: /\r\n\r\n"], right=False)
    assert isinstance(loop.error, TooManyRedirects)
    assert f"at most {REDIRECTS} redirects" in str(loop.error)


def test_a_101_with_another_key_opens_nothing() -> None:
    lines = [b"HTTP/1.1 101 x", b"Upgrade: websocket", b"Connection: Upgrade"]
    lines.append(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    course = open_to([b"\r\n".join([*lines, b"", b""])], right=False)
    assert "the Sec-WebSocket-Accept of our key" in str(course.error)
