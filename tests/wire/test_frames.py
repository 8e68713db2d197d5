"""The verdict on a frame's header: RFC 6455, 5.2 to 5.5, and our limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close,
    fragments,
    frame,
    header,
)

from nbdriver.errors import ProtocolViolation
from nbdriver.wire.frames import (
    FrameCutter,
    FrameHeader,
    FrameLimits,
    build_plain,
    read_header,
    read_plain,
)


def cutter(*, masked: bool = True, compressed: bool = False, **limits: int) -> FrameCutter:
    return FrameCutter(FrameLimits(**limits), masked=masked, compressed=compressed)


def cut(cutter: FrameCutter, *pieces: bytes) -> list[bytes]:
    """What is cut from a buffer that these pieces come into."""
    buffer, cuts = bytearray(), []
    for piece in pieces:
        buffer += piece
        while (one := cutter.cut(buffer)) is not None:
            cuts.append(one)
    return cuts


def violation(cutter: FrameCutter, *pieces: bytes) -> ProtocolViolation:
    with pytest.raises(ProtocolViolation) as caught:
        cut(cutter, *pieces)
    return caught.value


def bytewise(data: bytes) -> Iterator[bytes]:
    return (bytes([byte]) for byte in data)


# 5.2: the header.


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    ("length", "size"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (2**63 - 1, 10)]
)
def test_a_header_is_read_as_soon_as_its_length_is_there(
    length: int, size: int, masked: bool
) -> None:
    data = header(length, BINARY, fin=False, rsv=0x50, masked=masked)
    assert len(data) == size
    for end in range(size):
        assert read_header(data[:end]) is None
    expected = FrameHeader(False, 0x50, BINARY, masked, length, size + 4 * masked)
    assert read_header(data) == expected
    assert read_header(bytearray(data) + b"more") == expected


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x7e\x00\x00",
        b"\x81\x7e\x00\x7d",
        b"\x81\x7f" + bytes(8),
        b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
    ],
)
def test_a_length_that_is_not_in_its_shortest_form_is_1002(data: bytes) -> None:
    with pytest.raises(ProtocolViolation, match=r"^1002: .* shortest form$"):
        read_header(data)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1])
def test_a_length_beyond_63_bits_is_1002(length: int) -> None:
    with pytest.raises(ProtocolViolation, match=r"^1002: .* highest bit"):
        read_header(b"\x82\x7f" + length.to_bytes(8, "big"))


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF])
def test_a_reserved_opcode_is_1002(opcode: int) -> None:
    assert str(violation(cutter(), frame(b"", opcode))) == f"1002: opcode 0x{opcode:x} is reserved"


@pytest.mark.parametrize("rsv", [0x10, 0x20, 0x40, 0x70])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_a_reserved_bit_without_an_extension_is_1002(opcode: int, rsv: int) -> None:
    assert violation(cutter(), frame(b"", opcode, rsv=rsv)).code == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_first_bit_is_for_the_first_frame_of_a_compressed_message(opcode: int) -> None:
    first = frame(b"a", opcode, fin=False, rsv=0x40)
    last = frame(b"b", CONTINUATION)
    assert cut(cutter(compressed=True), first, last) == [first, last]


@pytest.mark.parametrize(
    "data",
    [
        frame(b"a", fin=False) + frame(b"b", CONTINUATION, rsv=0x40),
        frame(b"a", rsv=0x20),
        frame(b"a", rsv=0x50),
        frame(b"a", PING, rsv=0x40),
        frame(b"", CLOSE, rsv=0x40),
    ],
    ids=["continuation", "second bit", "third bit", "ping", "close"],
)
def test_no_other_bit_is_allowed_by_compression(data: bytes) -> None:
    assert violation(cutter(compressed=True), data).code == 1002


# 5.1: masking.


def test_a_client_must_mask() -> None:
    got = violation(cutter(masked=True), frame(b"a", key=None))
    assert str(got) == "1002: frames from this side must be masked"


def test_a_server_must_not_mask() -> None:
    got = violation(cutter(masked=False), frame(b"a"))
    assert str(got) == "1002: frames from this side must not be masked"


# 5.4: fragments.


def test_control_frames_come_between_fragments() -> None:
    frames = fragments("a", "", "b")
    order = [frames[0], frame(b"", PING), frames[1], frame(b"", PONG), frames[2], frame("c")]
    assert cut(cutter(), *order) == order


@pytest.mark.parametrize("before", [b"", frame("whole")], ids=["at first", "after a message"])
def test_a_continuation_of_nothing_is_1002(before: bytes) -> None:
    got = violation(cutter(), before + frame("b", CONTINUATION))
    assert str(got) == "1002: a continuation came out of turn"


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_new_message_within_another_is_1002(opcode: int) -> None:
    got = violation(cutter(), frame("a", fin=False) + frame("b", opcode))
    assert str(got) == "1002: a new message came out of turn"


# 5.5: control frames.


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_control_frame_in_fragments_is_1002(opcode: int) -> None:
    assert violation(cutter(), frame(b"", opcode, fin=False)).code == 1002


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_control_frame_over_125_bytes_is_1002_from_its_header_alone(opcode: int) -> None:
    assert cut(cutter(), frame(bytes(125), opcode)) == [frame(bytes(125), opcode)]
    assert violation(cutter(), header(126, opcode)).code == 1002


# Limits.


@pytest.mark.parametrize("length", [11, 2**62])
def test_a_message_over_the_limit_is_1009_from_its_header_alone(length: int) -> None:
    got = violation(cutter(max_message=10), header(length))
    assert str(got) == f"1009: a message of {length} bytes, at most 10 are taken"


def test_the_limit_counts_all_fragments_of_a_message_and_begins_anew_with_the_next() -> None:
    ours = cutter(max_message=10)
    wire = [*fragments("12345", "", "67890"), frame("1234567890"), frame("123", fin=False)]
    assert cut(ours, *wire) == wire
    assert violation(ours, header(8, CONTINUATION)).code == 1009


def test_control_frames_do_not_count() -> None:
    wire = [frame("1", fin=False), *[frame(bytes(125), PING)] * 9, frame("2", CONTINUATION)]
    assert cut(cutter(max_message=2, max_fragments=2), *wire) == wire


@pytest.mark.parametrize("payload", ["", "x"])
def test_a_message_of_too_many_frames_is_1008_even_of_empty_ones(payload: str) -> None:
    wire = fragments(*[payload] * 8)
    assert cut(cutter(max_fragments=8), *wire, *wire) == [*wire, *wire]
    got = violation(cutter(max_fragments=7), *wire)
    assert str(got) == f"1008: a message of 8 frames that hold {8 * len(payload)} bytes"


def test_a_long_message_may_have_more_frames_if_there_is_something_in_them() -> None:
    """Autobahn 9.3.1: 4 MiB in frames of 64 bytes."""
    wire = fragments(*["x" * 64] * 65_536)
    assert len(cut(cutter(), b"".join(wire))) == 65_536
    wire = fragments(*["x" * 31] * 200)
    assert violation(cutter(max_fragments=1), *wire).code == 1008


def test_a_compressed_message_may_be_longer_than_what_comes_out_of_it() -> None:
    """What is random grows by an eighth at the worst, and by the flush of each frame."""
    worst = 900 + 900 // 8 + 2 * 16
    wire = [
        frame(bytes(worst - 1), BINARY, fin=False, rsv=0x40),
        frame(b"\x00", CONTINUATION),
        frame(bytes(900), BINARY),
    ]
    ours = cutter(max_message=900, compressed=True)
    assert cut(ours, *wire) == wire
    assert violation(ours, header(901, BINARY)).code == 1009
    ours = cutter(max_message=900, compressed=True)
    assert violation(ours, header(2 * 900, BINARY, rsv=0x40)).code == 1009


# Cutting.


def test_a_frame_is_given_as_it_comes_but_its_header_whole() -> None:
    data = frame("hello", key=b"abcd")
    assert cut(cutter(), *bytewise(data)) == [data[:6], *bytewise(data[6:])]


def test_an_empty_frame_is_its_header() -> None:
    assert cut(cutter(), *bytewise(frame(""))) == [frame("")]
    assert cut(cutter(masked=False), frame("", key=None)) == [frame("", key=None)]


def test_a_header_is_judged_before_its_masking_key_is_there() -> None:
    assert violation(cutter(), b"\x83\x80").code == 1002


def test_what_follows_a_frame_stays_in_the_buffer() -> None:
    buffer = bytearray(frame("a") + frame("b") + b"\x81")
    ours = cutter()
    assert ours.cut(buffer) == frame("a")
    assert buffer == frame("b") + b"\x81"
    assert ours.cut(buffer) == frame("b")
    assert ours.cut(buffer) is None
    assert buffer == b"\x81"


messages = st.lists(st.lists(st.binary(max_size=200), min_size=1, max_size=4), max_size=4)


def on_the_wire(parts: Iterable[list[bytes]], key: bytes | None) -> bytes:
    wire = b"".join(b"".join(fragments(*each, opcode=BINARY, key=key)) for each in parts)
    return wire + close(key=key)


@given(messages, st.none() | st.binary(min_size=4, max_size=4), st.lists(st.integers(0, 2000)))
def test_wherever_the_bytes_are_cut_all_come_out_in_order(
    parts: list[list[bytes]], key: bytes | None, cuts: list[int]
) -> None:
    """No byte is lost, doubled or moved, and none waits for one that is not of its header."""
    wire = on_the_wire(parts, key)
    positions = [0, *sorted(min(each, len(wire)) for each in cuts), len(wire)]
    pieces = [wire[a:b] for a, b in pairwise(positions)]
    assert b"".join(cut(cutter(masked=key is not None), *pieces)) == wire


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_whatever_the_bytes_nothing_but_a_violation_is_raised(
    data: bytes, masked: bool, compressed: bool
) -> None:
    """Any bytes whatever: pieces, or a verdict with one of the codes for it."""
    ours = cutter(masked=masked, compressed=compressed, max_message=100, max_fragments=3)
    try:
        cuts = cut(ours, *bytewise(data))
    except ProtocolViolation as error:
        code = error.code
    else:
        assert data.startswith(b"".join(cuts))
        code = 1002
    assert code in (1002, 1008, 1009)


# What nearly every frame is.

MAX = 70_000
KEY = b"\x01\x80\xff\x00"
#: About the edges of the three forms of a length, and of the two ways to unmask.
SIZES = [0, 1, 3, 4, 5, 125, 126, 127, 511, 512, 513, 514, 65_535, 65_536, MAX]


def key_of(masked: bool) -> bytes | None:
    return KEY if masked else None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("masked", [True, False])
def test_a_plain_frame_is_read_with_its_message_and_its_size_whatever_follows_it(
    masked: bool, size: int
) -> None:
    text = ("a\x00\x7f" * size)[:size]
    binary = (bytes(range(256)) * (size // 256 + 1))[:size]
    for message in (text, binary):
        opcode = TEXT if isinstance(message, str) else BINARY
        wire = frame(message, opcode, key=key_of(masked))
        for follows in (b"", b"\x81", wire):
            for kind in (bytes, bytearray):
                plain = read_plain(kind(wire + follows), MAX, masked=masked)
                assert plain == (message, len(wire))
                assert type(plain[0]) is type(message)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("masked", [True, False])
def test_a_frame_that_is_not_all_there_is_not_read(masked: bool, size: int) -> None:
    wire = frame(bytes(size), BINARY, key=key_of(masked))
    for end in {*range(min(16, len(wire))), len(wire) - 1}:
        assert read_plain(wire[:end], MAX, masked=masked) is None


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    ("payload", "bits"),
    [
        ("a", {"fin": False}),
        ("a", {"opcode": CONTINUATION}),
        ("a", {"opcode": PING}),
        ("a", {"opcode": PONG}),
        (b"\x03\xe8", {"opcode": CLOSE}),
        ("a", {"opcode": 3}),
        ("a", {"rsv": 0x40}),
        ("a", {"rsv": 0x20}),
        ("a", {"rsv": 0x10}),
        (b"\xff", {}),
        (b"a\xc3", {}),
        (b"\xed\xa0\x80", {}),
        (bytes(600) + b"\xff", {}),
        ("x" * (MAX + 1), {}),
    ],
)
def test_no_other_frame_is_read(payload: str | bytes, bits: dict[str, int], masked: bool) -> None:
    wire = frame(payload, key=key_of(masked), **bits)  # type: ignore[arg-type]  # by their names
    assert read_plain(wire, MAX, masked=masked) is None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("masked", [True, False])
def test_a_frame_that_is_masked_and_must_not_be_or_the_reverse_is_not_read(
    masked: bool, size: int
) -> None:
    wire = frame("a" * size, key=key_of(not masked)) + bytes(10)
    assert read_plain(wire, MAX, masked=masked) is None


@pytest.mark.parametrize("masked", [True, False])
def test_a_frame_whose_length_could_be_shorter_or_is_beyond_63_bits_is_not_read(
    masked: bool,
) -> None:
    bit = 0x80 * masked
    lengths = [bytes([126 | bit]) + size.to_bytes(2, "big") for size in (0, 5, 125)]
    lengths += [bytes([127 | bit]) + size.to_bytes(8, "big") for size in (0, 5, 65_535, 2**63)]
    for length in lengths:
        wire = b"\x82" + length + bytes(4 + 65_535)
        assert read_plain(wire, 2**64, masked=masked) is None


@pytest.mark.parametrize("message", ["", "你好", b"", b"\xff", *(bytes(size) for size in SIZES)])
def test_a_frame_is_built_as_a_server_sends_it(message: str | bytes) -> None:
    opcode = TEXT if isinstance(message, str) else BINARY
    assert build_plain(message) == frame(message, opcode, key=None)
    assert build_plain("x" * len(message)) == frame("x" * len(message), key=None)


def test_text_that_utf_8_cannot_carry_makes_no_frame() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        build_plain("\ud800")


@given(st.binary(max_size=200), st.booleans(), st.integers(0, 300))
def test_whatever_the_bytes_what_is_read_is_what_is_there_and_allowed(
    data: bytes, masked: bool, max_message: int
) -> None:
    """Any bytes behind the beginnings of plain frames: nothing, or what the cutter lets pass."""
    for first in (b"", b"\x81", b"\x82", b"\x81\x83" + KEY, b"\x82\x05", b"\x81\xfe\x00\x7e"):
        wire = first + data
        plain = read_plain(wire, max_message, masked=masked)
        if plain is None:
            continue
        message, size = plain
        taken = wire[:size]
        ours = cutter(masked=masked, max_message=max_message)
        assert b"".join(cut(ours, taken)) == taken
        assert ours.idle
        key = taken[-len(raw) - 4 :][:4] if (raw := as_bytes(message)) and masked else None
        opcode = TEXT if isinstance(message, str) else BINARY
        if raw:
            assert frame(raw, opcode, key=key) == taken


def as_bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message
