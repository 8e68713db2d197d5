"""What takes the fast lane, and what breaks it: inputs that lead from one lane to the other.

Most of what a peer sends in `strategies` is odd, and goes the plain way. Here most is what clients
send all day: the same head again with another length, plain frames, each in a piece of its own; and
among that, what is not quite the same, or is cut, or stands together with the next.
"""

from __future__ import annotations

from hypothesis import strategies as st
from support import frames

from .conversation import Act, Step
from .corpus import OPENING
from .strategies import cuts, frame_lists, in_pieces, mostly, openings, requests

# Requests

_JSON = b"Content-Type: application/json\r\nX-Self-ID: 1\r\nUser-Agent: OneBot/11\r\n"
_KEPT = b"Connection: Keep-Alive\r\nCookie: a=b\r\n"
_USUAL = [
    b"POST /a HTTP/1.1\r\nHost: a:8080\r\n" + _JSON + b"Content-Length: %b\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-length:%b\r\nhost: [::1]\r\n" + _KEPT + b"\r\n",
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
]
"""Heads as clients send them; where one says a length, it is yet to be put in."""

_ODD_LINES = [
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: keep-alive, x",
    b"Connection: upgrade",
    b"Connection:",
    b"Connection: a b",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
    b"Host: a",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked",
    b"X-A: b",
    b"x-self-id: 2",
    b"Cookie: c=d",
    b"Origin: http://evil",
    b"X-A:\xff \t ",
    b"X-A: \x00",
    b"X-A : b",
    b" folded",
    b"X-A: " + b"x" * 1_900,
    b"\r\n".join(b"X-%d: a" % number for number in range(9)),
]
_LENGTHS = ["+{}", "{} ", "{}\t", "0{}", "000000000000000000{}", "00000000000000000000{}", "{},{}"]
_LENGTHS += ["{}\r\nContent-Length: {}", "-{}", "0x{}", "", "{}.0", "{} {}", "{}a"]

#: About the limit on a target, and on the line that it stands in.
_LONG_LINES = st.builds(
    lambda method, target: b"M" * method + b" /" + b"x" * target + b" HTTP/1.1",
    st.sampled_from([1, 51, 52, 53, 54, 55, 70]),
    st.sampled_from([1, 297, 298, 299, 300]),
)


@st.composite
def _usual_requests(draw: st.DrawFn) -> bytes:
    """A request of those that nearly all are, at times with one thing that is not so usual."""
    head = draw(st.sampled_from(_USUAL))
    body = b""
    if b"%b" in head:
        size = draw(st.integers(0, 12) | st.sampled_from([99, 100, 1_499, 1_500, 1_501]))
        body = b"x" * size
        digits = str(size + draw(mostly(st.just(0), st.sampled_from([-1, 1, 5]))))
        written = draw(mostly(st.just("{}"), st.sampled_from(_LENGTHS)))
        head %= written.format(digits, digits).encode()
    request_line = draw(mostly(st.none(), _LONG_LINES))
    if request_line is not None:
        head = request_line + head[head.index(b"\r\n") :]
    line = draw(mostly(st.none(), st.sampled_from(_ODD_LINES)))
    if line is not None:
        lines = head.split(b"\r\n")
        lines.insert(draw(st.integers(1, len(lines) - 2)), line)
        head = b"\r\n".join(lines)
    size = draw(mostly(st.none(), st.sampled_from([1_999, 2_000, 2_001])))
    if size is not None:  # about the limit on a head
        head = head[:-2] + b"X-A: ".ljust(size - len(head) - 2, b"x") + b"\r\n\r\n"
    return head + body


@st.composite
def _changed(draw: st.DrawFn, request: bytes) -> bytes:
    """The request before, with one byte changed, one more or one less."""
    place = draw(st.integers(0, len(request) - 1))
    new = draw(st.sampled_from([b"", b" ", b"\r", b"\n", b"\t", b":", b"0", b"9", b"\xff", b"A"]))
    return request[:place] + new + request[place + draw(st.integers(0, 1)) :]


@st.composite
def _request_pieces(draw: st.DrawFn) -> list[bytes]:
    pieces: list[bytes] = []
    for _ in range(draw(st.integers(1, 6))):
        match draw(st.sampled_from(["usual", "usual", "again", "again", "changed", "any"])):
            case "again" if pieces:
                pieces.append(pieces[-1])
            case "changed" if pieces:
                pieces.append(draw(_changed(pieces[-1])))
            case "any":
                pieces.append(draw(requests()))
            case _:
                pieces.append(draw(_usual_requests()))
    return pieces


# Frames

_MESSAGES = st.sampled_from(
    [b"", b"{}", b'{"a": 1}', "汉𝄞".encode(), b"\xff", b"a\xc3"]
) | st.builds(
    bytes.__mul__,
    st.sampled_from([b"x", b"\x00"]),
    st.sampled_from([1, 125, 126, 511, 513, 1_500, 1_501]),
)
_KEYS = st.sampled_from([frames.ZEROS, b"\x01\x02\x03\x04", b"\xff\x00\xff\x80"])


@st.composite
def frame_pieces(draw: st.DrawFn, *, masked: bool = True) -> list[bytes]:
    """Frames, most of them plain."""
    pieces: list[bytes] = []
    for _ in range(draw(st.integers(0, 8))):
        match draw(st.sampled_from(["plain", "plain", "plain", "again", "changed", "any"])):
            case "again" if pieces:
                pieces.append(pieces[-1])
            case "changed" if pieces and pieces[-1]:
                pieces.append(draw(_changed(pieces[-1])))
            case "any":
                pieces.append(draw(frame_lists(masked=masked)))
            case _:
                opcode = draw(st.sampled_from([frames.TEXT, frames.TEXT, frames.BINARY]))
                key = draw(mostly(_KEYS, st.none()) if masked else mostly(st.none(), _KEYS))
                pieces.append(frames.frame(draw(_MESSAGES), opcode, key=key))
    return pieces


# Both, and how they come


@st.composite
def _pieces(draw: st.DrawFn) -> list[bytes]:
    if draw(st.booleans()):
        return draw(_request_pieces())
    before = draw(_request_pieces()) if draw(st.booleans()) else []
    return [*before, draw(openings(right=True)), *draw(frame_pieces())]


@st.composite
def common_pieces(draw: st.DrawFn) -> list[bytes]:
    """What a client says, piece by piece; some of them cut, or together with the next."""
    said: list[bytes] = []
    for piece in draw(_pieces()):
        match draw(st.sampled_from(["alone", "alone", "alone", "joined", "cut"])):
            case "joined" if said:
                said[-1] += piece
            case "cut":
                said += in_pieces(piece, draw(cuts))
            case _:
                said.append(piece)
    return [piece for piece in said if piece]


@st.composite
def common_scripts(draw: st.DrawFn) -> list[Step]:
    """The same, with what may happen in between and at the end."""
    steps: list[Step] = []
    happening = st.sampled_from([Act.STOP_READING, Act.READ_ON, 0.5, 11.0, 25.0, 40.0, 100.0])
    for piece in draw(common_pieces()):
        steps.append(piece)
        steps += draw(mostly(st.just([]), st.lists(happening, min_size=1, max_size=1)))
    ends: list[list[Step]] = [[], [Act.END], [Act.RESET], [Act.END, 100.0], [100.0, Act.RESET]]
    return steps + draw(st.sampled_from(ends))


# The same from bytes, for who is guided by what they lead to


def pieces_of(data: bytes) -> list[bytes]:
    """The pieces that such bytes say to send: a letter for how each is made, and what of.

    `p`, `q`, `g`, `h`: a usual head, and behind it as many bytes as the next one says, of which it
    tells; `t`, `b`: a text or a binary frame with so many; `f`: a frame whose first byte stands
    before them; `u`: the opening of a WebSocket; `a`: the piece before, again; `c`: the same with
    the byte at a place exchanged; `j`: the next belongs to the one before; `x`: that one is cut at
    a place. Any other letter: as many bytes as it is followed by the number of, as they stand.
    """
    source, pieces, joined = _Source(data), list[bytes](), False
    while source:
        letter = chr(source.number())
        before = pieces[-1] if pieces else b""
        match letter:
            case "p" | "q" | "g" | "h":
                head, body = _USUAL["pqgh".index(letter)], source.take(source.number())
                piece = head % str(len(body)).encode() + body if b"%b" in head else head
            case "t" | "b":
                opcode = frames.TEXT if letter == "t" else frames.BINARY
                piece = frames.frame(source.take(source.number()), opcode, key=b"\x01\x80\xff\x00")
            case "f":
                first = source.take(1)
                piece = first + frames.frame(source.take(source.number()))[1:]
            case "u":
                piece = OPENING + b"\r\n"
            case "a":
                piece = before
            case "c":
                place = source.number() % (len(before) or 1)
                piece = before[:place] + source.take(1) + before[place + 1 :]
            case "j":
                joined = bool(pieces)
                continue
            case "x":
                place = source.number() % (len(before) or 1)
                pieces[-1:] = [before[:place], before[place:]]
                continue
            case _:
                piece = source.take(source.number())
        pieces[-1:] = [before + piece] if joined else [*pieces[-1:], piece]
        joined = False
    return [piece for piece in pieces if piece]


#: Behind the byte for the setting: the same head with other lengths, cut, doubled and joined; plain
#: frames between others.
SEEDS = [
    b"\x00p\x04bodyap\x05body5p\x00aq\x02{}aap\x04bodyghgh",
    b"\x01p\x04bodyx\x20p\x04bodyjap\x04bodyc\x10Xp\x04body",
    b"\x02p\x04bodyp\x04bodyg=\x10GET / HTTP/1.1\r\nj=\x0bHost: a\r\n\r\na",
    b"\x00p\x01{p\x02{}ut\x02{}at\x05helloab\x03abcf\x89\x01?t\x01af\x01\x01af\x80\x01bt\x01cf\x88\x02\x03\xe8",
    b"\x01gut\x05hellojt\x05hellox\x03f\xc1\x01at\x01a",
    b"\x05ut\x7eaaf\x02\x01at\x01a",
]


def saying(pieces: list[bytes]) -> bytes:
    """Bytes that say to send these pieces, as they stand."""
    said = bytearray()
    for piece in pieces:
        parts = [piece[start : start + 255] for start in range(0, len(piece), 255)]
        said += b"j".join(b"=" + bytes([len(part)]) + part for part in parts)
    return bytes(said)


class _Source:
    """Bytes that are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """So many bytes, as far as they are there."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def number(self) -> int:
        """The next byte; 0 at the end."""
        return int.from_bytes(self.take(1), "big")
