"""permessage-deflate for tests: messages compressed by zlib, and what wsproto makes of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.frame_protocol import FrameDecoder, Opcode, RsvBits

from nbdriver.wire.deflate import DeflateSettings, PerMessageDeflate, Window

from . import frames

TAIL = b"\x00\x00\xff\xff"
UNLIMITED = DeflateSettings(server_max_window_bits=15, client_max_window_bits=15, threshold=0)
HELLO = bytes.fromhex("f248cdc9c90700")


def frame(payload: bytes, opcode: int = 1, *, fin: bool = True, rsv: int = 0x40) -> bytes:
    """A client's frame, of a compressed message unless `rsv` says otherwise."""
    return frames.frame(payload, opcode, fin=fin, rsv=rsv)


def serving(extension: PerMessageDeflate) -> Connection:
    return Connection(ConnectionType.SERVER, extensions=[extension])


def extension(
    *, takeover: bool = True, bits: int = 15, options: DeflateSettings = UNLIMITED
) -> PerMessageDeflate:
    return PerMessageDeflate(Window(bits, takeover), Window(bits, takeover), options)


@dataclass
class Received:
    """What came out of a connection: whole messages, pings, pongs, and how it ended."""

    messages: list[str | bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
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
                case events.Pong():
                    received.pongs.append(bytes(event.payload))
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


def bomb(size: int) -> bytes:
    """Zeros, as few bytes as zlib can make of them."""
    stream = zlib.compressobj(wbits=-15)
    block = bytes(1_000_000)
    parts = [stream.compress(block) for _ in range(size // len(block))]
    return b"".join(parts) + compressed(b"", stream)


def outgoing(peer: PerMessageDeflate, parts: list[bytes]) -> Iterator[tuple[bool, bytes]]:
    """The frames of a message as the extension makes them: RSV1 and payload."""
    decoder = FrameDecoder(client=False)
    for number, part in enumerate(parts):
        opcode = Opcode.CONTINUATION if number else Opcode.BINARY
        fin = number == len(parts) - 1
        rsv, payload = peer.frame_outbound(decoder, opcode, RsvBits(False, False, False), part, fin)
        yield rsv.rsv1, payload
