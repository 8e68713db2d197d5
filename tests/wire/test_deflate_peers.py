"""permessage-deflate with any messages, pieces and parameters, and peers that we did not write."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.deflate import (
    UNLIMITED,
    Received,
    compressed,
    extension,
    fragments,
    frame,
    outgoing,
    receive,
    serving,
)
from websockets.exceptions import NegotiationError
from websockets.extensions import permessage_deflate as websockets_deflate
from websockets.frames import Frame
from websockets.frames import Opcode as WebsocketsOpcode
from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate

from nbdriver.wire.deflate import DeflateSettings, PerMessageDeflate, Window
from nbdriver.wire.extensions import accept, negotiate, offer

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
    event: Any = events.TextMessage if isinstance(message, str) else events.BytesMessage
    positions = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
    wire = b""
    for start, end in pairwise(positions[:-1]):
        wire += connection.send(event(message[start:end], message_finished=False))
        wire += connection.send(events.Ping(ping)) if ping else b""
    return wire + connection.send(event(message[positions[-2] :]))


def in_pieces(wire: bytes, sizes: list[int]) -> Iterator[bytes]:
    """`wire` in pieces of those sizes in turn, or larger ones where it would be too many."""
    position = number = 0
    while position < len(wire):
        size = max(sizes[number % len(sizes)], len(wire) // 256)
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
