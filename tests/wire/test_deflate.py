"""permessage-deflate: RFC 7692 clause by clause, our limits, and peers that we did not write."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import NegotiationError
from websockets.extensions import permessage_deflate as websockets_deflate
from websockets.frames import Frame
from websockets.frames import Opcode as WebsocketsOpcode
from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate
from wsproto.frame_protocol import FrameDecoder, Opcode, RsvBits

from nbdriver.errors import HTTPError, ProtocolViolation
from nbdriver.wire.deflate import (
    DeflateSettings,
    PerMessageDeflate,
    Window,
    accept,
    negotiate,
    offer,
)

TAIL = b"\x00\x00\xff\xff"
UNLIMITED = DeflateSettings(server_max_window_bits=15, client_max_window_bits=15, threshold=0)
HELLO = bytes.fromhex("f248cdc9c90700")


def frame(payload: bytes, opcode: int = 1, *, fin: bool = True, rsv: int = 0x40) -> bytes:
    """A client's frame, masked with a key of zeros."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 2**16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([0x80 * fin | rsv | opcode]) + length + bytes(4) + payload


def serving(extension: PerMessageDeflate) -> Connection:
    return Connection(ConnectionType.SERVER, extensions=[extension])


def extension(
    *, takeover: bool = True, bits: int = 15, options: DeflateSettings = UNLIMITED
) -> PerMessageDeflate:
    return PerMessageDeflate(Window(bits, takeover), Window(bits, takeover), options)


@dataclass
class Received:
    """What came out of a connection: whole messages, pings, and the code and words of its end."""

    messages: list[str | bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    close: tuple[int, str] | None = None


def receive(connection: Connection, *pieces: bytes) -> Received:
    received, parts = Received(), []
    for piece in pieces:
        connection.receive_data(piece)
        for event in connection.events():
            match event:
                case events.Message():
                    parts.append(event.data)
                    if event.message_finished:
                        empty = "" if isinstance(event.data, str) else b""
                        received.messages.append(empty.join(parts))
                        parts = []
                case events.Ping():
                    received.pings.append(bytes(event.payload))
                case events.CloseConnection():
                    received.close = (int(event.code), event.reason or "")
    return received


def fragments(message: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`message` cut at the given positions, modulo its length."""
    positions = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
    return [message[a:b] for a, b in pairwise(positions)]


def compressed(message: bytes, stream: zlib._Compress | None = None) -> bytes:
    """A message as the RFC has a sender make it (7.2.1), by zlib alone."""
    stream = stream or zlib.compressobj(wbits=-15)
    return (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def outgoing(peer: PerMessageDeflate, parts: list[bytes]) -> Iterator[tuple[bool, bytes]]:
    """The frames of a message as the extension makes them: RSV1 and payload."""
    decoder = FrameDecoder(client=False)
    for number, part in enumerate(parts):
        opcode = Opcode.CONTINUATION if number else Opcode.BINARY
        fin = number == len(parts) - 1
        rsv, payload = peer.frame_outbound(decoder, opcode, RsvBits(False, False, False), part, fin)
        yield rsv.rsv1, payload


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


def bomb(size: int) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    block = bytes(1_000_000)
    parts = [stream.compress(block) for _ in range(size // len(block))]
    return b"".join(parts) + compressed(b"", stream)


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


# RFC 7692, 5 and 7.1: negotiation, the server's half.

TWELVE = DeflateSettings()
FIFTEEN = DeflateSettings(server_max_window_bits=15, client_max_window_bits=15)


@pytest.mark.parametrize(
    ("options", "offered", "response"),
    [
        (FIFTEEN, "", ""),
        (FIFTEEN, "client_max_window_bits", ""),
        (FIFTEEN, "client_max_window_bits=10", "client_max_window_bits=10"),
        (FIFTEEN, "server_max_window_bits=15", "server_max_window_bits=15"),
        (FIFTEEN, "server_max_window_bits=8", "server_max_window_bits=8"),
        (FIFTEEN, "server_no_context_takeover", "server_no_context_takeover"),
        (FIFTEEN, "client_no_context_takeover", "client_no_context_takeover"),
        (FIFTEEN, 'client_max_window_bits="10"', "client_max_window_bits=10"),
        (FIFTEEN, r'server_max_window_bits="1\0"', "server_max_window_bits=10"),
        (FIFTEEN, "\tclient_max_window_bits = 9 ", "client_max_window_bits=9"),
        (TWELVE, "", "server_max_window_bits=12"),
        (
            TWELVE,
            "client_max_window_bits",
            "server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            TWELVE,
            "client_max_window_bits=9; server_max_window_bits=15",
            "server_max_window_bits=12; client_max_window_bits=9",
        ),
        (
            TWELVE,
            "server_no_context_takeover; client_no_context_takeover",
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
        ),
        (
            DeflateSettings(
                server_max_window_bits=15,
                server_no_context_takeover=True,
                client_no_context_takeover=True,
            ),
            "",
            "server_no_context_takeover; client_no_context_takeover",
        ),
    ],
)
def test_what_is_offered_is_granted_and_our_own_wish_added(
    options: DeflateSettings, offered: str, response: str
) -> None:
    header = "permessage-deflate" + (f";{offered}" if offered else "")
    agreed = negotiate([header], options)
    assert agreed is not None
    assert agreed[1] == "permessage-deflate" + (f"; {response}" if response else "")


@pytest.mark.parametrize(
    "offered",
    [
        "client_max_window_bits=abc",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=010",
        'client_max_window_bits="abc"',
        "server_max_window_bits",
        "server_max_window_bits=99",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "unheard_of",
        "Server_no_context_takeover",
    ],
)
def test_an_offer_that_cannot_be_accepted_is_declined_and_the_next_one_taken(offered: str) -> None:
    """RFC 7692, 7: each of these a server must decline."""
    header = f"permessage-deflate; {offered}"
    assert negotiate([header], FIFTEEN) is None
    agreed = negotiate([f"{header}, permessage-deflate"], FIFTEEN)
    assert agreed is not None
    assert agreed[1] == "permessage-deflate"


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [", ,"],
        ["permessage-bzip2"],
        ["x-webkit-deflate-frame", 'foo; bar="baz"; permessage-deflate'],
    ],
)
def test_where_nothing_is_offered_nothing_is_agreed(values: list[str]) -> None:
    assert negotiate(values, FIFTEEN) is None


@pytest.mark.parametrize(
    "values",
    [
        ["foo; a=b", ", ,permessage-deflate; server_max_window_bits=10,, bar"],
        ["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
        ["permessage-deflate; server_max_window_bits=10", "permessage-deflate"],
    ],
)
def test_all_lines_are_one_list_and_the_first_offer_wins(values: list[str]) -> None:
    agreed = negotiate(values, FIFTEEN)
    assert agreed is not None
    assert agreed[1] == "permessage-deflate; server_max_window_bits=10"


@pytest.mark.parametrize(
    "value",
    [
        "permessage-deflate;",
        "permessage-deflate; =10",
        "permessage-deflate; client_max_window_bits=",
        'permessage-deflate; client_max_window_bits="10',
        'permessage-deflate; client_max_window_bits=""',
        'permessage-deflate; client_max_window_bits="1,0"',
        "permessage-deflate client_max_window_bits",
        "foo/1, permessage-deflate",
        "; client_max_window_bits",
        '"permessage-deflate"',
        "permessage-d\xe9flate",
        "permessage-deflate\n",
    ],
)
def test_a_header_outside_the_grammar_is_400(value: str) -> None:
    """RFC 6455, 9.1: whoever receives one fails the connection."""
    with pytest.raises(HTTPError, match="as Sec-WebSocket-Extensions") as caught:
        negotiate([value], FIFTEEN)
    assert caught.value.status_code == 400
    assert caught.value.reason.isascii()
    assert caught.value.reason.isprintable()


def test_a_long_header_is_quoted_in_part() -> None:
    with pytest.raises(HTTPError) as caught:
        negotiate(["/" * 10_000], FIFTEEN)
    assert len(caught.value.reason) < 250


HEADER_PIECES = [
    *("permessage-deflate", "server_max_window_bits", "client_max_window_bits", "8", "15", "99"),
    *("server_no_context_takeover", "client_no_context_takeover", "foo"),
    *(";", "; ", ",", ", ", "=", '"', "\\", " ", "\t", "\xe9", "\r\n"),
]
any_header = st.text(st.characters(max_codepoint=255)) | st.lists(
    st.sampled_from(HEADER_PIECES), max_size=12
).map("".join)


T = TypeVar("T")


def outcome(call: Callable[[], T]) -> T | HTTPError | ProtocolViolation:
    try:
        return call()
    except (HTTPError, ProtocolViolation) as error:
        return error


@given(st.lists(any_header, max_size=3))
@settings(deadline=None)
def test_no_header_raises_anything_but_a_refusal(values: list[str]) -> None:
    """Whatever stands in the header: an agreement, none, or a refusal of ours, in either role."""
    agreed = outcome(lambda: negotiate(values, TWELVE))
    if isinstance(agreed, HTTPError):
        assert agreed.status_code == 400
    else:
        assert agreed is None or agreed[1].startswith("permessage-deflate")
    accepted = outcome(lambda: accept(", ".join(values), TWELVE))
    assert isinstance(accepted, PerMessageDeflate) or accepted.code == 1002


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [None, 8, 9, 15])
def test_the_parameters_of_the_autobahn_cases_13_are_accepted(
    bits: int | None, takeover: bool
) -> None:
    """Its client asks the server for a window and for no context, and lets the server ask too."""
    wishes = "" if takeover else "; server_no_context_takeover"
    wishes += "" if bits is None else f"; server_max_window_bits={bits}"
    agreed = negotiate(
        [f"permessage-deflate; client_no_context_takeover; client_max_window_bits{wishes}"],
        FIFTEEN,
    )
    assert agreed is not None
    assert agreed[0].sends == Window(bits or 15, takeover)
    assert agreed[0].receives == Window(15, False)


# The client's half.


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (FIFTEEN, "client_max_window_bits"),
        (TWELVE, "client_max_window_bits=12; server_max_window_bits=12"),
        (
            DeflateSettings(
                server_max_window_bits=15,
                client_max_window_bits=8,
                server_no_context_takeover=True,
                client_no_context_takeover=True,
            ),
            "client_max_window_bits=8; client_no_context_takeover; server_no_context_takeover",
        ),
    ],
)
def test_a_client_offers_what_it_is_set_to(options: DeflateSettings, value: str) -> None:
    assert offer(options) == f"permessage-deflate; {value}"


@pytest.mark.parametrize(
    ("options", "response", "sends", "receives"),
    [
        (FIFTEEN, "", Window(15, True), Window(15, True)),
        (FIFTEEN, "; client_max_window_bits=8", Window(8, True), Window(15, True)),
        (FIFTEEN, '; server_max_window_bits="9"', Window(15, True), Window(9, True)),
        (FIFTEEN, "; server_no_context_takeover", Window(15, True), Window(15, False)),
        (FIFTEEN, "; client_no_context_takeover", Window(15, False), Window(15, True)),
        # A server that overlooks what we wished for.
        (TWELVE, "", Window(12, True), Window(15, True)),
        (TWELVE, "; client_max_window_bits=15", Window(12, True), Window(15, True)),
        (
            DeflateSettings(client_no_context_takeover=True, server_no_context_takeover=True),
            "; server_max_window_bits=12",
            Window(12, False),
            Window(12, True),
        ),
    ],
)
def test_a_client_takes_the_answer_for_both_directions(
    options: DeflateSettings, response: str, sends: Window, receives: Window
) -> None:
    ours = accept(f"permessage-deflate{response}", options)
    assert (ours.sends, ours.receives) == (sends, receives)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ("", "permessage-deflate as the one extension"),
        ("permessage-bzip2", "permessage-deflate as the one extension"),
        ("permessage-deflate, permessage-deflate", "permessage-deflate as the one extension"),
        ("permessage-deflate; server_max_window_bits=99", "from 8 to 15"),
        ("permessage-deflate; server_max_window_bits=13", "at most 12, as offered, got 13"),
        ("permessage-deflate; client_max_window_bits", "from 8 to 15"),
        ("permessage-deflate; client_max_window_bits=abc", "from 8 to 15"),
        ("permessage-deflate; unheard_of", "a parameter of permessage-deflate"),
        ("permessage-deflate; server_no_context_takeover=1", "without a value"),
        (
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "client_no_context_takeover once",
        ),
        ("permessage-deflate;", "RFC 6455, 9.1"),
    ],
)
def test_a_client_fails_on_an_answer_that_it_cannot_have_offered(response: str, words: str) -> None:
    with pytest.raises(ProtocolViolation, match=words) as caught:
        accept(response, TWELVE)
    assert caught.value.code == 1002


# Any messages, in any pieces, by any parameters.

option_sets = st.builds(
    DeflateSettings,
    threshold=st.sampled_from([0, 64]),
    server_max_window_bits=st.integers(8, 15),
    client_max_window_bits=st.integers(8, 15),
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    level=st.integers(-1, 9),
    memory_level=st.integers(1, 9),
)
texts = st.text(max_size=50) | st.builds(str.__mul__, st.text(max_size=20), st.integers(0, 3000))
blobs = st.binary(max_size=50) | st.builds(
    bytes.__mul__, st.binary(max_size=20), st.integers(0, 3000)
)
cuts = st.lists(st.integers(0, 2**16), max_size=4)
messages = st.lists(st.tuples(texts | blobs, cuts), max_size=6)
sizes = st.lists(st.integers(1, 2**12), min_size=1, max_size=4)


def sent(connection: Connection, message: str | bytes, cuts: list[int], ping: bytes) -> bytes:
    """A message in fragments, with a Ping after each but the last."""
    event = events.TextMessage if isinstance(message, str) else events.BytesMessage
    positions = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
    wire = b""
    for start, end in pairwise(positions[:-1]):
        wire += connection.send(event(message[start:end], message_finished=False))
        wire += connection.send(events.Ping(ping)) if ping else b""
    return wire + connection.send(event(message[positions[-2] :]))


def in_pieces(wire: bytes, sizes: list[int]) -> Iterator[bytes]:
    position = number = 0
    while position < len(wire):
        size = sizes[number % len(sizes)]
        yield wire[position : position + size]
        position, number = position + size, number + 1


def passes(
    here: Connection,
    there: Connection,
    exchange: list[tuple[str | bytes, list[int]]],
    sizes: list[int],
    ping: bytes,
) -> None:
    """All messages go from here to there, and what is sent back comes back."""
    for sender, receiver in ((here, there), (there, here), (here, there)):
        wire = b"".join(sent(sender, message, cuts, ping) for message, cuts in exchange)
        received = receive(receiver, *in_pieces(wire, sizes))
        assert received.close is None
        assert received.messages == [message for message, _ in exchange]
        assert set(received.pings) <= {ping}


def agree(
    client_options: DeflateSettings, server_options: DeflateSettings
) -> tuple[PerMessageDeflate, PerMessageDeflate]:
    agreed = negotiate([offer(client_options)], server_options)
    assert agreed is not None
    server, response = agreed
    return accept(response, client_options), server


@given(option_sets, option_sets, messages, sizes)
@settings(deadline=None)
def test_any_messages_pass_between_two_of_us(
    client_options: DeflateSettings,
    server_options: DeflateSettings,
    exchange: list[tuple[str | bytes, list[int]]],
    sizes: list[int],
) -> None:
    """Whatever is sent, by whatever parameters, cut as it may be, arrives unchanged, both ways."""
    client, server = agree(client_options, server_options)
    # What one side sends fits into the window that the other keeps for it.
    assert client.sends.bits <= server.receives.bits
    assert server.sends.bits <= client.receives.bits
    assert client.sends.takeover <= server.receives.takeover
    assert server.sends.takeover <= client.receives.takeover
    there = Connection(ConnectionType.CLIENT, extensions=[client])
    passes(there, serving(server), exchange, sizes, b"there?")


@given(st.booleans(), st.booleans(), st.integers(9, 15), st.integers(9, 15), messages, sizes)
@settings(deadline=None)
def test_any_messages_pass_between_us_and_wsproto(
    server_resets: bool,
    client_resets: bool,
    server_bits: int,
    client_bits: int,
    exchange: list[tuple[str | bytes, list[int]]],
    sizes: list[int],
) -> None:
    """The extension of wsproto is right where no control frame comes between fragments."""
    response = f"server_max_window_bits={server_bits}; client_max_window_bits={client_bits}"
    response += "; server_no_context_takeover" * server_resets
    response += "; client_no_context_takeover" * client_resets
    theirs = WsprotoDeflate()
    theirs.finalize(f"permessage-deflate; {response}")
    ours = PerMessageDeflate(
        Window(server_bits, not server_resets),
        Window(client_bits, not client_resets),
        DeflateSettings(threshold=0),
    )
    peer = Connection(ConnectionType.CLIENT, extensions=[theirs])
    passes(peer, serving(ours), exchange, sizes, b"")


def theirs_of(sends: Window, receives: Window) -> websockets_deflate.PerMessageDeflate:
    return websockets_deflate.PerMessageDeflate(
        remote_no_context_takeover=not receives.takeover,
        local_no_context_takeover=not sends.takeover,
        remote_max_window_bits=receives.bits,
        local_max_window_bits=sends.bits,
    )


windows = st.builds(Window, st.integers(9, 15), st.booleans())


@given(windows, windows, st.lists(st.tuples(blobs, cuts), max_size=6))
@settings(deadline=None)
def test_any_messages_pass_between_us_and_websockets(
    sends: Window, receives: Window, exchange: list[tuple[bytes, list[int]]]
) -> None:
    """Frame by frame the codec of websockets reads what we send, and we what it sends."""
    ours = PerMessageDeflate(sends, receives, UNLIMITED)
    theirs = theirs_of(receives, sends)
    connection = serving(ours)
    for message, cuts in exchange:
        parts = fragments(message, cuts)
        last = len(parts) - 1
        read = b""
        for number, (rsv1, payload) in enumerate(outgoing(ours, parts)):
            opcode = WebsocketsOpcode.CONT if number else WebsocketsOpcode.BINARY
            read += theirs.decode(Frame(opcode, payload, number == last, rsv1)).data
        assert read == message
        wire = b""
        for number, part in enumerate(parts):
            opcode = WebsocketsOpcode.CONT if number else WebsocketsOpcode.BINARY
            made = theirs.encode(Frame(opcode, part, number == last))
            wire += frame(bytes(made.data), made.opcode, fin=made.fin, rsv=0x40 * made.rsv1)
        assert receive(connection, wire).messages == [message]


flushes = st.sampled_from(
    [zlib.Z_NO_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH]
)
strategies = st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED])
parts = st.lists(st.tuples(blobs, flushes), min_size=1, max_size=4)


@given(st.lists(parts, max_size=4), st.integers(9, 15), st.integers(0, 9), strategies, sizes)
@settings(deadline=None)
def test_any_blocks_that_zlib_can_make_are_read(
    exchange: list[list[tuple[bytes, int]]],
    bits: int,
    level: int,
    strategy: int,
    sizes: list[int],
) -> None:
    """Blocks of every kind, flushed in every way, BFINAL among and after them, with takeover.

    After a BFINAL the peer goes on with all that it sent before as its window.
    """
    connection = serving(extension(bits=bits))
    history = b""
    stream: zlib._Compress | None = None
    for message in exchange:
        payload = b""
        for part, flush in message:
            if stream is None:
                zdict = history[-(1 << bits) :]
                memory = 8
                stream = zlib.compressobj(level, zlib.DEFLATED, -bits, memory, strategy, zdict)
            payload += stream.compress(part)
            payload += stream.flush(flush) if flush != zlib.Z_NO_FLUSH else b""
            stream = None if flush == zlib.Z_FINISH else stream
            history += part
        payload = payload + b"\x00" if stream is None else payload + compressed(b"", stream)
        received = receive(connection, *in_pieces(frame(payload, opcode=2), sizes))
        assert received == Received([b"".join(part for part, _ in message)])


@given(option_sets, option_sets)
@settings(deadline=None)
def test_websockets_as_a_client_agrees_with_us(
    client_options: DeflateSettings, server_options: DeflateSettings
) -> None:
    """Its client reads our answer to its offer as we meant it, save 8 bits, which it cannot do."""
    factory = websockets_deflate.ClientPerMessageDeflateFactory(
        server_no_context_takeover=client_options.server_no_context_takeover,
        client_no_context_takeover=client_options.client_no_context_takeover,
        server_max_window_bits=client_options.server_max_window_bits,
        client_max_window_bits=max(9, client_options.client_max_window_bits),
    )
    offered = "; ".join(
        name if value is None else f"{name}={value}" for name, value in factory.get_request_params()
    )
    agreed = negotiate([f"permessage-deflate; {offered}"], server_options)
    assert agreed is not None
    ours, response = agreed
    parameters = [
        (name, value or None)
        for name, _, value in (part.partition("=") for part in response.split("; ")[1:])
    ]
    try:
        theirs = factory.process_response_params(parameters, [])
    except NegotiationError:
        assert ours.receives.bits == 8
    else:
        assert theirs.remote_max_window_bits == ours.sends.bits
        assert theirs.remote_no_context_takeover is not ours.sends.takeover
        assert theirs.local_max_window_bits == ours.receives.bits
        assert theirs.local_no_context_takeover is not ours.receives.takeover
