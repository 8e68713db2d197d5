"""permessage-deflate: RFC 7692 clause by clause, and our limits."""

from __future__ import annotations

import tracemalloc
import zlib
from random import Random

import pytest
from support.deflate import (
    HELLO,
    TAIL,
    Received,
    bomb,
    compressed,
    extension,
    fragments,
    frame,
    outgoing,
    receive,
    serving,
)
from wsproto import events

from nbdriver.wire.deflate import DeflateSettings

# RFC 7692, 7.2.3: the examples.


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        pytest.param("f248cdc9c90700", "Hello", id="7.2.3.1, one block"),
        pytest.param("000500faff48656c6c6f00", "Hello", id="7.2.3.3, no compression"),
        pytest.param("f348cdc9c9070000", "Hello", id="7.2.3.4, BFINAL"),
        pytest.param("f248050000" + "00ffff" + "cac9c90700", "Hello", id="7.2.3.5, two blocks"),
        pytest.param("00", "", id="7.2.3.6, empty"),
    ],
)
def test_the_examples_of_the_rfc_are_read(payload: str, text: str) -> None:
    assert receive(serving(extension()), frame(bytes.fromhex(payload))).messages == [text]


def test_a_fragmented_message_is_inflated_as_one() -> None:
    received = receive(
        serving(extension()),
        frame(HELLO[:3], fin=False),
        frame(HELLO[3:], opcode=0, rsv=0),
    )
    assert received.messages == ["Hello"]


def test_the_window_carries_over_to_the_next_message() -> None:
    again = bytes.fromhex("f200110000")
    received = receive(serving(extension()), frame(HELLO), frame(again))
    assert received.messages == ["Hello", "Hello"]


def test_we_compress_as_the_rfc_shows() -> None:
    ours = extension()
    assert list(outgoing(ours, [b"Hello"])) == [(True, HELLO)]
    assert list(outgoing(ours, [b"Hello"])) == [(True, bytes.fromhex("f200110000"))]


def test_without_takeover_every_message_is_compressed_alone() -> None:
    ours = extension(takeover=False)
    assert list(outgoing(ours, [b"Hello"])) == [(True, HELLO)]
    assert list(outgoing(ours, [b"Hello"])) == [(True, HELLO)]


def test_without_takeover_a_message_cannot_refer_to_the_one_before() -> None:
    again = bytes.fromhex("f200110000")
    received = receive(serving(extension(takeover=False)), frame(HELLO), frame(again))
    assert received.messages == ["Hello"]
    assert received.close is not None
    assert received.close[0] == 1007


def test_an_empty_message_has_a_payload_however_often_it_is_sent() -> None:
    ours = extension()
    for _ in range(3):
        assert list(outgoing(ours, [b"", b""]))[-1] == (False, b"\x00")


# BFINAL.


def finished(message: bytes, history: bytes = b"") -> bytes:
    """A message whose last block has BFINAL set, as from a compressor that cannot flush."""
    stream = zlib.compressobj(wbits=-15, zdict=history) if history else zlib.compressobj(wbits=-15)
    return stream.compress(message) + stream.flush(zlib.Z_FINISH)


@pytest.mark.parametrize("end", [b"\x00", b""], ids=["as in 7.2.3.4", "without its last octet"])
def test_a_message_whose_last_block_is_final_disturbs_no_other(end: bytes) -> None:
    connection = serving(extension())
    received = receive(
        connection,
        frame(finished(b"one") + end),
        frame(finished(b"two") + end),
        frame(compressed(b"three")),
    )
    assert received == Received(["one", "two", "three"])


def test_the_window_carries_over_a_final_block() -> None:
    text = bytes(range(0x20, 0x7F))
    assert len(finished(text, history=text)) < 10
    received = receive(
        serving(extension()),
        frame(compressed(text)),
        frame(finished(text, history=text) + b"\x00"),
        frame(finished(text, history=text + text) + b"\x00"),
    )
    assert received.messages == [text.decode()] * 3


def test_a_final_block_within_a_message_does_not_end_it() -> None:
    payload = finished(b"one ") + finished(b"two ", history=b"one ") + compressed(b"three")
    for takeover in (True, False):
        received = receive(serving(extension(takeover=takeover)), frame(payload), frame(payload))
        assert received.messages == ["one two three"] * 2


def test_final_blocks_are_bounded() -> None:
    empty = finished(b"")
    assert len(empty) == 2
    assert receive(serving(extension()), frame(empty * 1024)).messages == [""]
    received = receive(serving(extension()), frame(empty * 1025))
    assert received.close == (1008, "a message of over 1024 final blocks")


def test_a_frame_without_payload_leaves_the_stream_in_step() -> None:
    received = receive(serving(extension()), frame(HELLO), frame(b""), frame(HELLO))
    assert received.messages == ["Hello", "", "Hello"]


# Frames around and between.


def test_a_ping_between_the_fragments_of_a_compressed_message_is_a_ping() -> None:
    received = receive(
        serving(extension()),
        frame(HELLO[:3], fin=False),
        frame(b"there?", opcode=9, rsv=0),
        frame(HELLO[3:], opcode=0, rsv=0),
    )
    assert received == Received(["Hello"], [b"there?"])


def test_a_message_without_rsv1_is_taken_as_it_is() -> None:
    received = receive(
        serving(extension()),
        frame(HELLO),
        frame(b"pl", fin=False, rsv=0),
        frame(b"ain", opcode=0, rsv=0),
        frame(HELLO),
    )
    assert received.messages == ["Hello", "plain", "Hello"]


@pytest.mark.parametrize("opcode", [0, 8, 9, 10])
def test_rsv1_is_for_the_first_frame_of_a_message_alone(opcode: int) -> None:
    received = receive(serving(extension()), frame(HELLO[:3], fin=False), frame(b"", opcode=opcode))
    assert received.close == (1002, f"RSV1 is set on a frame with opcode 0x{opcode:x}")


@pytest.mark.parametrize("rsv", [0x20, 0x10])
def test_the_other_reserved_bits_stay_forbidden(rsv: int) -> None:
    received = receive(serving(extension()), frame(HELLO, rsv=0x40 | rsv))
    assert received.close is not None
    assert received.close[0] == 1002


@pytest.mark.parametrize("before", [[], [frame(HELLO)]], ids=["first", "after a message"])
def test_a_continuation_of_nothing_is_a_protocol_error_whatever_it_holds(
    before: list[bytes],
) -> None:
    received = receive(serving(extension()), *before, frame(b"\xff\xff", opcode=0, rsv=0))
    assert received.close is not None
    assert received.close[0] == 1002


def test_what_is_not_deflate_is_1007() -> None:
    received = receive(serving(extension()), frame(b"\xff\xff"))
    assert received.close is not None
    code, words = received.close
    assert code == 1007
    assert words.startswith("expected compressed data (RFC 1951), got ")


def test_a_short_message_is_sent_as_it_is() -> None:
    options = DeflateSettings(threshold=10)
    ours = extension(options=options)
    assert list(outgoing(ours, [b"x" * 9])) == [(False, b"x" * 9)]
    ((rsv1, payload),) = outgoing(ours, [b"x" * 10])
    assert rsv1
    assert payload == compressed(b"x" * 10, zlib.compressobj(memLevel=5, wbits=-15))


def test_a_message_begun_in_fragments_is_compressed_whatever_its_length() -> None:
    ours = extension(options=DeflateSettings(threshold=100))
    assert [rsv1 for rsv1, _ in outgoing(ours, [b"a", b"b"])] == [True, False]


def test_the_level_is_the_one_that_was_set() -> None:
    message = b"x" * 100
    stored = outgoing(extension(options=DeflateSettings(level=0)), [message])
    assert [message in payload for _, payload in stored] == [True]


def test_control_frames_are_never_compressed() -> None:
    connection = serving(extension())
    assert connection.send(events.Ping(b"there?")) == b"\x89\x06there?"
    assert connection.send(events.CloseConnection(1000)) == b"\x88\x02\x03\xe8"


def test_wsproto_is_offered_nothing_to_negotiate() -> None:
    ours = extension()
    assert ours.enabled() is True
    assert ours.offer() is False


# Limits and memory.


@pytest.mark.parametrize("cuts", [[], [5], [1, 2, 3]])
@pytest.mark.parametrize("takeover", [True, False])
def test_the_limit_counts_all_fragments_of_a_message_once_inflated(
    cuts: list[int], takeover: bool
) -> None:
    options = DeflateSettings(max_message=1000)
    connection = serving(extension(options=options, takeover=takeover))

    def message(size: int) -> list[bytes]:
        parts = fragments(compressed(b"x" * size), cuts)
        last = len(parts) - 1
        return [
            frame(part, opcode=0 if n else 2, fin=n == last, rsv=0 if n else 0x40)
            for n, part in enumerate(parts)
        ]

    for _ in range(2):
        assert receive(connection, *message(1000)).messages == [b"x" * 1000]
    assert receive(connection, *message(1001)).close == (
        1009,
        "a message of over 1000 bytes once inflated",
    )


@pytest.mark.parametrize("size", [8_000_000, 64_000_000])
def test_a_bomb_stops_at_the_limit_in_bounded_memory(size: int) -> None:
    payload = frame(bomb(size), opcode=2)
    assert len(payload) < size // 900
    connection = serving(extension(options=DeflateSettings(max_message=2**20)))
    tracemalloc.start()
    try:
        close = receive(connection, payload).close
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert close is not None
    assert close[0] == 1009
    assert peak < 4 * 2**20 + 4 * len(payload)


def test_a_connection_holds_no_compressor_until_it_needs_one() -> None:
    tracemalloc.start()
    try:
        idle = [extension() for _ in range(100)]
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < len(idle) * 2048


def test_without_takeover_nothing_is_held_between_messages() -> None:
    ours = extension(takeover=False)
    message = bytes(100_000)
    tracemalloc.start()
    try:
        connection = serving(ours)
        before, _ = tracemalloc.get_traced_memory()
        assert len(receive(connection, frame(compressed(message), opcode=2)).messages) == 1
        assert len(list(outgoing(ours, [message]))) == 1
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4096


def test_with_takeover_no_more_is_held_than_the_window() -> None:
    connection = serving(extension(bits=9))
    messages = [frame(compressed(bytes(1000)), opcode=2)] * 100
    tracemalloc.start()
    try:
        assert len(receive(connection, *messages).messages) == 100
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 32_768


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_message", -1),
        ("server_max_window_bits", 7),
        ("server_max_window_bits", 16),
        ("client_max_window_bits", 7),
        ("level", 10),
        ("memory_level", 0),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"expected {name} from .* to .*, got {value}"):
        DeflateSettings(**{name: value})


# Windows.


@pytest.mark.parametrize("bits", range(8, 16))
def test_what_we_send_needs_no_larger_window_than_agreed(bits: int) -> None:
    """Given out byte by byte, zlib refers to nothing but the window that it was given."""
    size = 1 << bits
    block = bytes((n * n >> 3) % 251 for n in range(size // 2 + 300))
    message = block * 2 + bytes(size)
    ((_, payload),) = outgoing(extension(bits=bits), [message])
    assert len(payload) < len(message)
    peer = zlib.decompressobj(-bits)
    inflated = bytearray(peer.decompress(payload + TAIL, 1))
    while peer.unconsumed_tail or len(inflated) < len(message):
        inflated += peer.decompress(peer.unconsumed_tail, 1)
    assert inflated == message


def test_in_the_smallest_window_only_runs_are_compressed() -> None:
    """What zlib cannot do with a window of 256 bytes; a run refers to the byte before alone."""
    ((rsv1, run),) = outgoing(extension(bits=8), [b"a" * 800])
    assert rsv1
    assert len(run) < 50
    ((rsv1, other),) = outgoing(extension(bits=8), [b"abcdefgh" * 100])
    assert rsv1
    assert len(other) > 200


def test_a_reference_beyond_the_agreed_window_is_refused() -> None:
    text = Random(0).randbytes(700)
    stream = zlib.compressobj(wbits=-15)
    wire = [frame(compressed(text, stream), 2), frame(compressed(text[:100], stream), 2)]
    assert receive(serving(extension(bits=10)), *wire).messages == [text, text[:100]]
    received = receive(serving(extension(bits=9)), *wire)
    assert received.messages == [text]
    assert received.close is not None
    assert received.close[0] == 1007
