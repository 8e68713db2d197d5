"""A WebSocket as messages: RFC 6455, 5 to 8, in both roles, with bytes alone."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.deflate import bomb, compressed
from support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    ZEROS,
    Frame,
    close,
    fragments,
    frame,
    read_frames,
)
from websockets import frames as their_frames
from websockets.extensions.permessage_deflate import PerMessageDeflate as TheirDeflate
from websockets.protocol import CLIENT, SERVER, Protocol

from nbdriver.errors import ProtocolViolation
from nbdriver.wire.deflate import DeflateSettings, PerMessageDeflate, Window
from nbdriver.wire.frames import FrameLimits
from nbdriver.wire.session import Close, Event, Ping, Pong, Session

MAX = 1_000
LIMITS = FrameLimits(max_message=MAX, max_fragments=8)


@pytest.fixture(params=["server", "client"])
def client(request: pytest.FixtureRequest) -> bool:
    """Our role."""
    return bool(request.param == "client")


@pytest.fixture
def key(client: bool) -> bytes | None:
    """What the other role masks its frames with."""
    return None if client else b"\x01\x02\x03\x04"


@pytest.fixture
def session(client: bool) -> Session:
    return Session(LIMITS, client=client)


def deflating(*, client: bool = False, limits: FrameLimits = LIMITS) -> Session:
    options = DeflateSettings(max_message=limits.max_message, threshold=0)
    window = Window(15, True)
    return Session(limits, client=client, extension=PerMessageDeflate(window, window, options))


def receive(session: Session, *pieces: bytes) -> list[Event]:
    """The events of bytes that come in these pieces."""
    events: list[Event] = []
    collect(session, events, *pieces)
    return events


def collect(session: Session, events: list[Event], *pieces: bytes) -> None:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while (event := session.next_event(buffer)) is not None:
            events.append(event)


def violation(session: Session, *pieces: bytes) -> tuple[list[Event], ProtocolViolation]:
    """The events before a violation, and the violation."""
    events: list[Event] = []
    with pytest.raises(ProtocolViolation) as caught:
        collect(session, events, *pieces)
    return events, caught.value


def bytewise(data: bytes) -> Iterator[bytes]:
    return (bytes([byte]) for byte in data)


# Messages in.


@pytest.mark.parametrize("message", ["", "hello", "你好", "x" * 126, b"", b"\x00\xff", bytes(MAX)])
def test_a_message_is_text_or_bytes_as_its_frame_says(
    session: Session, key: bytes | None, message: str | bytes
) -> None:
    opcode = TEXT if isinstance(message, str) else BINARY
    wire = frame(message, opcode, key=key)
    assert receive(session, wire) == [message]
    assert receive(session, *bytewise(wire)) == [message]


@pytest.mark.parametrize("parts", [["a", "b"], ["", ""], ["", "你", "", "好\r\n", ""]])
def test_fragments_are_one_message(session: Session, key: bytes | None, parts: list[str]) -> None:
    wire = b"".join(fragments(*parts, key=key))
    assert receive(session, wire) == ["".join(parts)]
    assert receive(session, *bytewise(wire)) == ["".join(parts)]
    binary = [part.encode() for part in parts]
    wire = b"".join(fragments(*binary, opcode=BINARY, key=key))
    assert receive(session, wire) == [b"".join(binary)]


def test_a_character_may_be_cut_in_two_by_fragments(session: Session, key: bytes | None) -> None:
    text = "汉𝄞".encode()
    wire = fragments(text[:1], text[1:5], text[5:], key=key)
    assert receive(session, *wire) == ["汉𝄞"]


def test_control_frames_between_fragments_come_first(session: Session, key: bytes | None) -> None:
    first, last = fragments("a", "b", key=key)
    between = [frame(b"?", PING, key=key), frame(b"!", PONG, key=key)]
    assert receive(session, first, *between, last) == [Ping(b"?"), Pong(b"!"), "ab"]


def test_a_message_that_comes_byte_by_byte_takes_no_more_than_its_size() -> None:
    """An object for each character would be thirty times as much."""
    size = 6_000
    session = Session(FrameLimits(max_message=size))
    wire = frame("汉" * (size // 3))
    buffer = bytearray()
    tracemalloc.start()
    try:
        for byte in wire[:-1]:
            buffer.append(byte)
            assert session.next_event(buffer) is None
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 3 * size


# Violations.


@pytest.mark.parametrize("code", [1002, 1008, 1009])
def test_what_was_complete_before_a_violation_is_given(
    session: Session, key: bytes | None, code: int
) -> None:
    wrong = {
        1002: frame(b"", opcode=3, key=key),
        1008: b"".join(fragments(*["x"] * 9, key=key)),
        1009: frame(bytes(MAX + 1), BINARY, key=key),
    }
    wire = frame("one", key=key) + frame(b"?", PING, key=key) + frame("two", key=key) + wrong[code]
    events, error = violation(session, wire)
    assert events == ["one", Ping(b"?"), "two"]
    assert error.code == code


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"a\xc0", b"\xed\xa0\x80", b"\xf4\x90", b"\xe6\xb1a", b"\xf5"],
    ids=["never a byte", "overlong", "surrogate", "beyond Unicode", "cut short", "no such lead"],
)
def test_bad_utf_8_is_1007_at_its_first_bad_byte(
    session: Session, key: bytes | None, text: bytes
) -> None:
    """RFC 6455, 8.1: not at the end of the frame, nor of the message.

    (Of a surrogate Python's decoder looks at the third byte before it says what the second was.)
    """
    wire = frame(text + bytes(100), fin=False, key=key)
    events, error = violation(session, *bytewise(wire[:-100]))
    assert events == []
    assert error.code == 1007


def test_bad_utf_8_is_1007_across_fragments(session: Session, key: bytes | None) -> None:
    _, error = violation(session, *fragments(b"\xe6", b"a", key=key))
    assert error.code == 1007


def test_text_that_ends_within_a_character_is_1007(session: Session, key: bytes | None) -> None:
    _, error = violation(session, *fragments("a", b"\xe6\xb1", key=key))
    assert error.code == 1007
    _, error = violation(Session(LIMITS), frame(b"\xe6\xb1"))
    assert error.code == 1007


def test_binary_messages_need_not_be_utf_8(session: Session, key: bytes | None) -> None:
    assert receive(session, *fragments(b"\xff", b"\xfe", opcode=BINARY, key=key)) == [b"\xff\xfe"]


# Closing.


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1001, "bye"), (1013, "再见"), (3000, ""), (4999, "x" * 123)],
)
def test_a_close_is_read_with_its_code_and_reason(
    session: Session, key: bytes | None, code: int, reason: str
) -> None:
    assert receive(session, close(code, reason, key=key)) == [Close(code, reason)]


def test_a_close_without_a_code_is_1005(session: Session, key: bytes | None) -> None:
    assert receive(session, close(None, key=key)) == [Close(1005, "")]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_close_with_a_code_that_may_not_be_sent_is_1002(
    session: Session, key: bytes | None, code: int
) -> None:
    assert violation(session, close(code, key=key))[1].code == 1002


def test_a_close_of_one_byte_is_1002(session: Session, key: bytes | None) -> None:
    assert violation(session, frame(b"\x03", CLOSE, key=key))[1].code == 1002


def test_a_reason_that_is_not_utf_8_is_1007(session: Session, key: bytes | None) -> None:
    assert violation(session, frame(b"\x03\xe8\xff", CLOSE, key=key))[1].code == 1007


# Frames out.


def test_messages_and_control_frames_go_out_as_one_frame_each(
    session: Session, client: bool
) -> None:
    wire = [
        session.message("你好"),
        session.message(b"\xff"),
        session.ping(b"?"),
        session.ping(),
        session.pong(b"!"),
        session.close(1000, "bye"),
    ]
    assert read_frames(b"".join(wire)) == [
        Frame(TEXT, "你好".encode(), masked=client),
        Frame(BINARY, b"\xff", masked=client),
        Frame(PING, b"?", masked=client),
        Frame(PING, b"", masked=client),
        Frame(PONG, b"!", masked=client),
        Frame(CLOSE, b"\x03\xe8bye", masked=client),
    ]


def test_a_client_masks_each_frame_with_a_key_of_its_own() -> None:
    """RFC 6455, 5.3."""
    session = Session(LIMITS, client=True)
    keys = {session.message("hello")[2:6] for _ in range(100)}
    assert len(keys) == 100
    assert ZEROS not in keys


def test_a_close_may_go_out_without_a_code(session: Session, client: bool) -> None:
    assert read_frames(session.close(1005)) == [Frame(CLOSE, b"", masked=client)]


def test_a_long_reason_is_cut_between_characters(session: Session) -> None:
    (out,) = read_frames(session.close(1011, "汉" * 100))
    assert out.payload == b"\x03\xf3" + "汉".encode() * 41


def test_what_utf_8_cannot_carry_is_a_value_error_and_changes_nothing(
    session: Session, client: bool
) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        session.message("\ud800")
    with pytest.raises(ValueError, match="surrogates"):
        session.close(1000, "\ud800")
    assert read_frames(session.message("ok")) == [Frame(TEXT, b"ok", masked=client)]


def test_messages_can_be_sent_after_the_peers_close(session: Session, key: bytes | None) -> None:
    """RFC 6455, 5.5.1: our own Close may wait until what we are sending is sent."""
    assert receive(session, close(1000, key=key)) == [Close(1000, "")]
    assert read_frames(session.message("answer") + session.close(1000))[0].payload == b"answer"


# The two lanes.


LANES_APART = {
    "plain": ("one", "", b"\xff", "x" * 600, bytes(MAX)),
    "controls": (Ping(b"?"), "one", Pong(b""), b"two", Ping(b"")),
    "close": ("one", Close(1000, "bye")),
}


def wire_of(event: Event, key: bytes | None) -> bytes:
    match event:
        case str():
            return frame(event, TEXT, key=key)
        case bytes():
            return frame(event, BINARY, key=key)
        case Ping(payload):
            return frame(payload, PING, key=key)
        case Pong(payload):
            return frame(payload, PONG, key=key)
        case Close(code, reason):
            return close(code, reason, key=key)


def told(session: Session, *pieces: bytes) -> tuple[list[Event], str]:
    """The events, and the violation that they end with."""
    events: list[Event] = []
    try:
        collect(session, events, *pieces)
    except ProtocolViolation as error:
        return events, str(error)
    return events, ""


@pytest.mark.parametrize("name", LANES_APART)
def test_cut_in_two_anywhere_the_lanes_give_the_same_events(
    name: str, client: bool, key: bytes | None
) -> None:
    wire = b"".join(wire_of(event, key) for event in LANES_APART[name])
    for place in range(len(wire)):
        pieces = [wire[:place], wire[place:]]
        for fast in (True, False):
            session = Session(LIMITS, client=client, fast_lane=fast)
            assert receive(session, *pieces) == [*LANES_APART[name]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"payload": b"\xff"},
        {"payload": bytes(MAX + 1)},
        {"payload": b"a", "rsv": 0x40},
        {"payload": b"a", "opcode": 3},
        {"payload": b"a", "opcode": CONTINUATION},
        {"payload": bytes(126), "opcode": PING},
        {"payload": b"\x03", "opcode": CLOSE},
        {"payload": b"a", "opcode": PING, "fin": False},
    ],
)
def test_what_is_wrong_is_the_same_violation_in_both_lanes(
    wrong: dict[str, Any], client: bool, key: bytes | None
) -> None:
    right = frame("one", key=key)
    for wire in (right + frame(**wrong, key=key), right + frame(**wrong, key=key)[:8]):
        for pieces in (
            [wire],
            list(bytewise(wire)),
            [wire[: len(right) + 1], wire[len(right) + 1 :]],
        ):
            lanes = [Session(LIMITS, client=client, fast_lane=fast) for fast in (True, False)]
            ours, law = (told(session, *pieces) for session in lanes)
            assert ours == law
            assert ours[0] == ["one"]
    masked = [Session(LIMITS, client=not client, fast_lane=fast) for fast in (True, False)]
    ours, law = (told(session, right) for session in masked)
    assert ours == law
    assert "masked" in ours[1]


def test_a_plain_frame_within_a_fragmented_message_is_out_of_turn_in_both_lanes(
    client: bool, key: bytes | None
) -> None:
    """The fast lane takes what stands between messages alone."""
    first, last = fragments("a", "b", key=key)
    whole = frame("c", key=key)
    for fast in (True, False):
        session = Session(LIMITS, client=client, fast_lane=fast)
        assert told(session, first + whole) == ([], "1002: a new message came out of turn")
        session = Session(LIMITS, client=client, fast_lane=fast)
        assert receive(session, whole, first, last, whole) == ["c", "ab", "c"]


def test_with_compression_nothing_takes_the_fast_lane() -> None:
    """Whether a frame is compressed or not, and what is sent is compressed."""
    plain, theirs = frame("plain"), deflating(client=True).message("hello")
    options = DeflateSettings(max_message=MAX, threshold=0)
    window = Window(15, True)
    extension = PerMessageDeflate(window, window, options)
    session = Session(LIMITS, extension=extension, fast_lane=True)
    assert receive(session, plain, theirs, plain) == ["plain", "hello", "plain"]
    assert read_frames(session.message("hello"))[0].rsv == 0x40


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_a_message_goes_out_by_either_lane_as_the_same_frame(message: str | bytes) -> None:
    lanes = [Session(LIMITS, fast_lane=fast) for fast in (True, False)]
    ours, law = (session.message(message) for session in lanes)
    assert ours == law


def test_a_plain_frame_that_is_all_of_the_data_is_read_without_a_buffer(
    client: bool, key: bytes | None
) -> None:
    session = Session(LIMITS, client=client, fast_lane=True)
    for message, opcode in (("text", TEXT), (b"bytes", BINARY)):
        assert session.read_whole(frame(message, opcode, key=key)) == message


def test_of_data_that_is_anything_else_nothing_is_read(client: bool, key: bytes | None) -> None:
    whole, ping = frame("a", key=key), frame(b"b", PING, key=key)
    first, last = fragments("c", "d", key=key)
    for data in (b"", whole[:-1], whole + whole, whole + ping, ping, first):
        session, other = (Session(LIMITS, client=client, fast_lane=True) for _ in range(2))
        assert session.read_whole(data) is None
        assert receive(session, data) == receive(other, data)
    session = Session(LIMITS, client=client, fast_lane=True)
    assert receive(session, first) == []
    assert session.read_whole(whole) is None, "a message has begun"
    assert receive(session, last) == ["cd"]
    assert session.read_whole(whole) == "a"
    assert Session(LIMITS, client=client, fast_lane=False).read_whole(whole) is None


# permessage-deflate.


def test_a_message_may_come_and_go_compressed() -> None:
    ours, theirs = deflating(), deflating(client=True)
    for message in ("hello", "hello", b"hello" * 100, "", b""):
        wire = theirs.message(message)
        assert read_frames(wire)[0].rsv == 0x40
        assert receive(ours, wire) == [message]
        assert receive(theirs, ours.message(message)) == [message]


def test_control_frames_between_the_fragments_of_a_compressed_message_work(
    client: bool, key: bytes | None
) -> None:
    hello = bytes.fromhex("f248cdc9c90700")
    wire = [
        frame(hello[:3], fin=False, rsv=0x40, key=key),
        frame(b"?", PING, key=key),
        frame(hello[3:], CONTINUATION, key=key),
    ]
    assert receive(deflating(client=client), *wire) == [Ping(b"?"), "Hello"]


def test_the_limit_counts_what_comes_out_of_a_compressed_message(
    client: bool, key: bytes | None
) -> None:
    fits, over = compressed(b"x" * MAX), compressed(b"x" * (MAX + 1))
    assert receive(deflating(client=client), frame(fits, rsv=0x40, key=key)) == ["x" * MAX]
    _, error = violation(deflating(client=client), frame(over, rsv=0x40, key=key))
    assert str(error) == f"1009: a message of over {MAX} bytes once inflated"


def test_a_bomb_is_1009_in_bounded_memory(client: bool) -> None:
    """CVE-2018-1000518, CVE-2026-1526."""
    limits = FrameLimits(max_message=2**20)
    wire = frame(bomb(64_000_000), BINARY, rsv=0x40, key=None if client else ZEROS)
    session = deflating(client=client, limits=limits)
    tracemalloc.start()
    try:
        _, error = violation(session, wire)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.code == 1009
    assert peak < 4 * 2**20 + 4 * len(wire)


def test_a_message_that_cannot_be_compressed_is_taken_up_to_the_limit() -> None:
    """However it is packed: with Huffman codes alone, or in stored blocks of any size."""
    message = bytes(range(256)) * 3 + bytes(MAX - 768)
    for level in (0, 1, 9):
        for memory in (1, 8):
            options = DeflateSettings(level=level, memory_level=memory, max_message=MAX)
            window = Window(15, True)
            theirs = Session(
                LIMITS, client=True, extension=PerMessageDeflate(window, window, options)
            )
            assert receive(deflating(), theirs.message(message)) == [message]


@pytest.mark.parametrize(
    ("first", "rest"),
    [(b"\xf2\x48\xcd", b"\xff\xff"), (b"\xff\xff", b""), (compressed(b"\xff"), b"")],
    ids=["broken in a fragment", "broken", "not UTF-8"],
)
def test_what_is_not_deflate_or_not_utf_8_once_inflated_is_1007(
    first: bytes, rest: bytes, client: bool, key: bytes | None
) -> None:
    pieces = [frame(first, rsv=0x40, fin=not rest, key=key)]
    pieces += [frame(rest, CONTINUATION, key=key)] * bool(rest)
    assert violation(deflating(client=client), *pieces)[1].code == 1007


# Anything, by peers that we did not write.

message_lists = st.lists(st.text(max_size=200) | st.binary(max_size=200), max_size=5)
cut_lists = st.lists(st.integers(0, 4_000), max_size=8)


def in_pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    positions = [0, *sorted(min(each, len(wire)) for each in cuts), len(wire)]
    return [wire[a:b] for a, b in pairwise(positions)]


def their_protocol(*, client: bool, deflate: bool) -> Protocol:
    protocol = Protocol(CLIENT if client else SERVER)
    if deflate:
        protocol.extensions = [TheirDeflate(False, False, 15, 15)]
    return protocol


@given(message_lists, cut_lists, st.booleans(), st.booleans(), st.booleans())
@settings(deadline=None)
def test_any_messages_pass_between_us_and_websockets(
    messages: list[str | bytes], cuts: list[int], client: bool, deflate: bool, halved: bool
) -> None:
    """Whatever is sent, whole or in fragments, in either role, arrives unchanged both ways."""
    ours = deflating(client=client) if deflate else Session(LIMITS, client=client)
    theirs = their_protocol(client=not client, deflate=deflate)
    for message in messages:
        data = message.encode() if isinstance(message, str) else message
        send = theirs.send_text if isinstance(message, str) else theirs.send_binary
        if halved:
            send(data[: len(data) // 2], fin=False)
            theirs.send_ping(b"?")
            theirs.send_continuation(data[len(data) // 2 :], fin=True)
        else:
            send(data)
        theirs.receive_data(ours.message(message))
    wire = b"".join(theirs.data_to_send())
    events = [each for each in receive(ours, *in_pieces(wire, cuts)) if not isinstance(each, Ping)]
    assert events == messages
    received = [each for each in theirs.events_received() if isinstance(each, their_frames.Frame)]
    assert [bytes(each.data) for each in received] == [
        each.encode() if isinstance(each, str) else each for each in messages
    ]
    theirs.receive_data(ours.close(1001, "bye"))
    assert theirs.close_rcvd == their_frames.Close(1001, "bye")


@given(st.binary(max_size=400), cut_lists, st.booleans(), st.booleans())
@settings(deadline=None)
def test_whatever_the_bytes_nothing_but_a_violation_is_raised(
    data: bytes, cuts: list[int], client: bool, deflate: bool
) -> None:
    """Any bytes whatever, cut anywhere: events, and at the end perhaps a verdict to be sent."""
    session = deflating(client=client) if deflate else Session(LIMITS, client=client)
    try:
        receive(session, *in_pieces(data, cuts))
    except ProtocolViolation as error:
        closing = session.close(error.code, error.reason)
        assert len(read_frames(closing)) == 1
