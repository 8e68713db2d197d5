"""What a peer may send, by the grammar of the RFCs and of the mistakes that have been made with it.

Random bytes stop at the first line. So pieces are drawn that are right, or wrong in one thing, put
together in any order, and the whole is then changed a little and cut anywhere.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from support import frames
from support.deflate import TAIL

from .conversation import Act, Manner, Setting, Step

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))

BOUNDED = settings(deadline=None, derandomize=not _EXAMPLES, max_examples=_EXAMPLES or 60)
"""In the suite: few examples, and always the same, so that red means that something has changed.

`FUZZ_EXAMPLES=10000 make test ARGS=tests/fuzz` looks for new ones, as `make fuzz` does.
"""

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def mostly(usual: st.SearchStrategy, unusual: st.SearchStrategy) -> st.SearchStrategy:
    """The usual thing about five times of six, so that a whole is wrong in one part, not in all."""
    return st.integers(0, 5).flatmap(lambda number: unusual if number == 5 else usual)


def _among(*lists: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([each for some in lists for each in some])


# HTTP

_METHODS = mostly(
    st.sampled_from([b"GET", b"POST", b"POST", b"HEAD"]),
    st.sampled_from([b"OPTIONS", b"CONNECT", b"get", b"PRI", b"G\xe9T", b"", b" GET", b"\x16\x03"]),
)
_TARGETS = mostly(
    st.sampled_from([b"/", b"/a?b=c", b"/a/ws"]),
    _among(
        [b"*", b"http://a/x", b"HTTP://A", b"http://b/", b"//x", b"/%1b[31m%0a", b"/\xff", b"a"],
        [b"", b"/#x", b"/ x", b"/" + b"x" * 400, b"http://a@b/", b"/?token=x&\x1b"],
    ),
)
_VERSIONS = mostly(
    st.just(b"HTTP/1.1"),
    st.sampled_from(
        [b"HTTP/1.0", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.9", b"http/1.1", b"HTTP/1.1 ", b"HTTP/11"]
    ),
)
_HOSTS = mostly(
    st.just([b"Host: a"]),
    _among(
        [[], [b"Host: a", b"Host: a"], [b"Host: a/b"], [b"Host: [::1]:8080"], [b"Host: b@a"]],
        [[b"Host: "], [b"Host: \xff"], [b"Host:\ta\t"]],
    ),
)
_FIELDS = mostly(
    _among(
        [b"X-A: b", b"x-a:", b"Cookie: a=b", b"Connection: close", b"Connection: keep-alive"],
        [b"Content-Type: application/json", b"Expect: 100-continue", b"Accept: */*"],
    ),
    _among(
        [b"Expect: 200-ok", b"Connection: a b", b"Connection: upgrade", b"Upgrade: websocket"],
        [b"X-A : b", b"X-A: \x01", b"X-A: b\rc", b"X-A: \rContent-Length: 5", b" folded", b":"],
        [b"Content-Length: 5,5", b"Content-Length: +5", b"Content-Length: 0x5", b"X\xe9: a"],
        [b"Content-Length: 99999999999999999999", b"Content-Length: ", b"Content-Length: 5"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"X-A: b\x00"],
        [b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\r\n chunked", b"TE: trailers"],
        [b"Trailer: Content-Length", b"X-Long: " + b"x" * 2_500, b"\r\n".join([b"X: a"] * 20)],
    ),
)
_LINE_ENDS = st.integers(0, 40).map(
    lambda number: {38: b"\n", 39: b"\r", 40: b"\r\r\n"}.get(number, b"\r\n")
)
_BODIES = mostly(
    st.sampled_from([b"", b"{}", b"hello", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"0\r\n\r\n"]),
    st.sampled_from([b"x" * 1_499, b"x" * 1_600, b"\r\n", b"\x00\xff"]),
)
_CHUNK_LINES = mostly(
    st.just(b""),
    st.sampled_from([b";a=b", b';a="b"', b" ;a", b";\r", b";\nX", b"\t", b"x", b";" + b"x" * 300]),
)
_TRAILERS = mostly(
    st.just(b""),
    st.sampled_from([b"X-T: a\r\n", b"Content-Length: 5\r\n", b"X-T : a\r\n", b" a\r\n", b"\n"]),
)


@st.composite
def _chunked(draw: st.DrawFn) -> bytes:
    body = draw(_BODIES)
    coded = bytearray()
    at = 0
    while at < len(body):
        size = draw(st.integers(1, len(body) - at))
        told = size + draw(mostly(st.just(0), st.sampled_from([-1, 1, 2**40])))
        coded += b"%x" % max(told, 0) + draw(_CHUNK_LINES) + b"\r\n"
        coded += body[at : at + size] + draw(
            mostly(st.just(b"\r\n"), st.sampled_from([b"", b"XX"]))
        )
        at += size
    return bytes(coded) + b"0" + draw(_CHUNK_LINES) + b"\r\n" + draw(_TRAILERS) + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request, often right."""
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    fields = [*draw(_HOSTS), *draw(st.lists(_FIELDS, max_size=2))]
    body = b""
    if framing == "length":
        body = draw(_BODIES)
        wrong = draw(mostly(st.just(0), st.sampled_from([-1, 1, 10_000])))
        fields.append(b"Content-Length: %d" % max(0, len(body) + wrong))
    elif framing == "chunked":
        body = draw(_chunked())
        fields.append(b"Transfer-Encoding: chunked")
    line = draw(_METHODS) + b" " + draw(_TARGETS) + b" " + draw(_VERSIONS)
    head = b"".join(each + draw(_LINE_ENDS) for each in [line, *draw(st.permutations(fields))])
    return head + draw(_LINE_ENDS) + body


# The opening handshake

_OPENING = [
    (b"Host: a", [b"", b"Host: \xff", b"Host: a\r\nHost: a"]),
    (b"Upgrade: websocket", [b"", b"Upgrade: WebSocket, x", b"Upgrade: h2c", b"Upgrade: \xff"]),
    (
        b"Connection: Upgrade",
        [b"", b"Connection: keep-alive\r\nConnection: x, upgrade", b"Connection: notupgrade"],
    ),
    (
        b"Sec-WebSocket-Key: " + KEY,
        [b"", b"Sec-WebSocket-Key: x", b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Key: x"],
    ),
    (b"Sec-WebSocket-Version: 13", [b"", b"Sec-WebSocket-Version: 8, 13"]),
]
_OFFERS = _among(
    [b"permessage-deflate", b"permessage-deflate; client_max_window_bits"] * 3,
    [b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"] * 2,
    [b"permessage-deflate; client_max_window_bits=9; server_max_window_bits=9"],
    [
        b"permessage-deflate; server_max_window_bits=8",
        b"permessage-deflate; client_max_window_bits=abc",
    ],
    [
        b'permessage-deflate; server_max_window_bits="10"',
        b"x-webkit-deflate-frame, ,",
        b"\xff",
        b";",
    ],
)
_OPENING_EXTRAS = _among(
    [b"Sec-WebSocket-Protocol: a, b", b"Sec-WebSocket-Protocol: a, a", b"Origin: http://b"],
    [b"Sec-WebSocket-Protocol: \xff", b"Content-Length: 0", b"Content-Length: 2", b"X-A: b"],
    [b"Transfer-Encoding: chunked", b"Connection: close", b"Expect: 100-continue"],
)


@st.composite
def openings(draw: st.DrawFn, right: bool = False) -> bytes:
    """A request to become a WebSocket, mostly right; always if `right`."""
    wrong = -1 if right else draw(st.integers(-12, len(_OPENING) - 1))
    lines = [b"GET /a/ws HTTP/1.1"]
    for number, (usual, unusual) in enumerate(_OPENING):
        lines.append(draw(st.sampled_from(unusual)) if number == wrong else usual)
    if draw(st.booleans()):
        lines.append(b"Sec-WebSocket-Extensions: " + draw(_OFFERS if not right else _RIGHT_OFFERS))
    if not right:
        lines += draw(st.lists(_OPENING_EXTRAS, max_size=1))
    return b"\r\n".join([line for line in lines if line] + [b"", b""])


_RIGHT_OFFERS = _among(
    [b"permessage-deflate", b"permessage-deflate; client_max_window_bits"],
    [b"permessage-deflate; client_no_context_takeover; server_max_window_bits=9"],
)


# Frames

_PAYLOADS = mostly(
    st.sampled_from(
        [b"", b"hello", "汉𝄞".encode(), b"x" * 125, b"x" * 126, b"x" * 700, b'{"a":1}']
    ),
    st.sampled_from(
        [
            b"\xff",
            b"a\xc0",
            b"\xed\xa0\x80",
            "汉".encode()[:2],
            b"\x80",
            b"x" * 1_600,
            bytes(66_000),
        ]
    ),
)
_CLOSES = mostly(
    st.sampled_from([b"", b"\x03\xe8", b"\x03\xe9bye", b"\x0b\xb8" + "再见".encode()]),
    st.sampled_from([b"\x03", b"\x00\x00", b"\x03\xed", b"\x03\xee", b"\xff\xff", b"\x03\xe8\xff"])
    | st.just(b"\x03\xe8" + b"x" * 124),
)


class _Compressor:
    """Compresses as a peer does that keeps its window from message to message."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(wbits=-9)

    def __call__(self, data: bytes) -> bytes:
        return (self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(
            TAIL
        )


def _final(data: bytes) -> bytes:
    """A stream that ends: its last block has BFINAL set (RFC 7692, 7.2.3.4)."""
    stream = zlib.compressobj(wbits=-9)
    return stream.compress(data) + stream.flush()


@st.composite
def frame_lists(draw: st.DrawFn, *, masked: bool = True) -> bytes:
    """Some messages and control frames, whole or in fragments, some of them broken."""
    compress = _Compressor()
    wire = bytearray()
    for _ in range(draw(st.integers(0, 6))):
        match draw(st.sampled_from(["message", "message", "message", "control", "close", "odd"])):
            case "message":
                wire += draw(_messages(compress, masked))
            case "control":
                opcode = draw(st.sampled_from([frames.PING, frames.PING, frames.PONG]))
                wire += _frame(draw, draw(_PAYLOADS)[:130], opcode, masked)
            case "close":
                wire += _frame(draw, draw(_CLOSES), frames.CLOSE, masked)
            case "odd":
                wire += draw(_odd(masked))
    return bytes(wire)


@st.composite
def _messages(draw: st.DrawFn, compress: _Compressor, masked: bool) -> bytes:
    data = draw(_PAYLOADS)
    coding = draw(st.sampled_from(["none", "none", "kept", "final", "final", "broken"]))
    if coding == "kept":
        data = compress(data)
    elif coding == "final":
        data = b"".join(map(_final, draw(st.lists(_PAYLOADS, min_size=1, max_size=3))))
    rsv = 0 if coding == "none" else 0x40
    opcode = draw(st.sampled_from([frames.TEXT, frames.BINARY]))
    wire = bytearray()
    for number in range(fragments := draw(st.sampled_from([1, 1, 1, 2, 3, 20]))):
        size = len(data) // (fragments - number)
        part, data = data[:size], data[size:]
        wire += _frame(draw, part, opcode, masked, fin=number == fragments - 1, rsv=rsv)
        opcode, rsv = frames.CONTINUATION, 0
        if draw(st.integers(0, 9)) == 9:
            wire += _frame(draw, b"between", frames.PING, masked)
    return bytes(wire)


@st.composite
def _odd(draw: st.DrawFn, masked: bool) -> bytes:
    """A header such as no RFC allows, or one that announces what never comes."""
    header = frames.header(
        draw(st.sampled_from([0, 1, 125, 126, 65_536, 2**62, 2**63])),
        draw(st.integers(0, 15)),
        fin=draw(st.booleans()),
        rsv=draw(st.sampled_from([0, 0x10, 0x20, 0x40, 0x70])),
        masked=draw(mostly(st.just(masked), st.just(not masked))),
    )
    long = b"\x81" + draw(st.sampled_from([b"\xfe\x00\x05", b"\xff" + bytes(7) + b"\x7f"]))
    return draw(st.sampled_from([header, header, long])) + bytes(draw(st.sampled_from([0, 4, 8])))


def _frame(
    draw: st.DrawFn, data: bytes, opcode: int, masked: bool, *, fin: bool = True, rsv: int = 0
) -> bytes:
    key = draw(st.sampled_from([frames.ZEROS, b"\x01\x02\x03\x04", b"\xff\x00\xff\x80"]))
    return frames.frame(data, opcode, fin=fin, rsv=rsv, key=key if masked else None)


# What is made of the pieces

_EDITS = st.lists(
    st.tuples(
        st.sampled_from(["delete", "insert", "change", "double"]),
        st.integers(0, 3_000),
        st.integers(1, 12),
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\x00", b"\xff", b":", b"0", b"\x80"]
        ),
    ),
    max_size=2,
)


@st.composite
def changed(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """`whole`, at times with one or two small changes."""
    data = bytearray(draw(whole))
    for edit, at, size, new in draw(mostly(st.just([]), _EDITS)):
        place = at % (len(data) + 1)
        match edit:
            case "delete":
                del data[place : place + size]
            case "insert":
                data[place:place] = new
            case "change":
                data[place : place + 1] = new
            case "double":
                data[place:place] = data[place : place + size]
    return bytes(data)


@st.composite
def _many(draw: st.DrawFn) -> bytes:
    """Requests, the first of them perhaps very often."""
    times = draw(st.sampled_from([1, 1, 1, 1, 2, 60, 400]))
    return draw(requests()) * times + b"".join(draw(st.lists(requests(), max_size=3)))


http_bytes = changed(_many()) | st.binary(max_size=100)
"""What a peer says that speaks HTTP, or nearly."""

websocket_bytes = st.builds(
    lambda before, opening, after: before + opening + after,
    st.sampled_from([b"", b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]),
    openings(),
    changed(frame_lists()),
) | st.builds(bytes.__add__, openings(right=True), changed(frame_lists()))
"""What a peer says that opens a WebSocket, or nearly, and then speaks frames."""

any_bytes = http_bytes | websocket_bytes

cuts = st.lists(st.integers(0, 3_000), max_size=6)

settings_of_a_server = st.builds(
    Setting,
    manner=st.sampled_from(Manner),
    deflate=st.booleans(),
    max_parked=st.sampled_from([0, 300, 4_000]),
)

slow_settings = settings_of_a_server.flatmap(
    lambda setting: st.sampled_from([setting, replace(setting, slow=True)])
)


def in_pieces(data: bytes, places: list[int]) -> list[bytes]:
    """`data`, cut at the given places."""
    edges = [0, *sorted(place for place in places if place < len(data)), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """Any bytes in any pieces, between which anything may happen."""
    steps: list[Step] = []
    happening = st.sampled_from([Act.STOP_READING, Act.READ_ON, 0.5, 11.0, 25.0, 40.0, 100.0])
    for piece in in_pieces(draw(any_bytes), draw(cuts)):
        steps.append(piece)
        steps += draw(st.lists(happening, max_size=1))
    steps += draw(
        st.sampled_from([[], [Act.END], [Act.RESET], [Act.END, 100.0], [100.0, Act.RESET]])
    )
    return steps
