"""WebSocket sessions of either role beside two others' reading of the same frames."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from hypothesis import assume, given
from hypothesis import strategies as st
from support import frames
from support.deflate import TAIL
from websockets.extensions.permessage_deflate import PerMessageDeflate as TheirDeflate
from websockets.protocol import CLIENT, SERVER, Protocol
from wsproto import events
from wsproto.connection import Connection, ConnectionType

from fuzz.strategies import BOUNDED, changed, cuts, frame_lists, in_pieces
from nbdriver.errors import ProtocolViolation
from nbdriver.wire.deflate import DeflateSettings, PerMessageDeflate, Window
from nbdriver.wire.frames import FrameLimits
from nbdriver.wire.session import Close, Ping, Pong, Session

MAX = 100_000
WINDOW = Window(15, True)


@dataclass
class Reading:
    """What somebody makes of frames; `stopped` is the code with which reading ended, if it did."""

    messages: list[str | bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    close: int | None = None
    stopped: int | None = None
    begun: bool = field(default=False, compare=False)
    """Whether a frame's header has begun that is not all there."""


def our_extension() -> PerMessageDeflate:
    return PerMessageDeflate(WINDOW, WINDOW, DeflateSettings(max_message=MAX, threshold=0))


def read_by_us(pieces: list[bytes], *, client: bool, deflate: bool) -> Reading:
    limits = FrameLimits(max_message=MAX, max_fragments=64)
    session = Session(limits, client=client, extension=our_extension() if deflate else None)
    reading, buffer = Reading(), bytearray()
    try:
        for piece in pieces:
            buffer += piece
            while reading.close is None and (event := session.next_event(buffer)) is not None:
                match event:
                    case Ping(payload):
                        reading.pings.append(payload)
                    case Pong(payload):
                        reading.pongs.append(payload)
                    case Close(code, _):
                        reading.close = code
                    case message:
                        reading.messages.append(message)
    except ProtocolViolation as error:
        reading.stopped = error.code
    reading.begun = bool(buffer)
    return reading


def read_by_websockets(data: bytes, *, client: bool, deflate: bool) -> Reading:
    protocol = Protocol(CLIENT if client else SERVER, max_size=None)
    if deflate:
        protocol.extensions = [TheirDeflate(False, False, 15, 15)]
    protocol.receive_data(data)
    reading = Reading()
    parts, text = bytearray(), False
    for frame in protocol.events_received():
        payload = bytes(frame.data)
        match int(frame.opcode):
            case frames.PING:
                reading.pings.append(payload)
            case frames.PONG:
                reading.pongs.append(payload)
            case frames.CLOSE:
                reading.close = protocol.close_rcvd.code
            case opcode:
                text = opcode == frames.TEXT or (text and opcode == frames.CONTINUATION)
                parts += payload
                if frame.fin:
                    try:
                        reading.messages.append(parts.decode() if text else bytes(parts))
                    except UnicodeDecodeError:
                        reading.stopped = 1007
                        return reading
                    parts.clear()
    if protocol.parser_exc is not None:
        reading.stopped = protocol.close_sent.code
    return reading


def read_by_wsproto(data: bytes, *, client: bool) -> Reading:
    connection = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER)
    reading, parts = Reading(), []
    connection.receive_data(data)
    for event in connection.events():
        match event:
            case events.Message():
                parts.append(event.data)
                if event.message_finished:
                    empty = "" if isinstance(event.data, str) else b""
                    reading.messages.append(empty.join(parts))
                    parts = []
            case events.Ping():
                reading.pings.append(bytes(event.payload))
            case events.Pong():
                reading.pongs.append(bytes(event.payload))
            case events.CloseConnection():
                reading.close = int(event.code)
    return reading


def has_final_block(data: bytes) -> bool:
    """Whether a compressed message has a block with BFINAL set (RFC 7692, 7.2.3.4).

    websockets loses what follows in the same message.
    """
    stream, compressed, buffer = zlib.decompressobj(-15), False, bytearray(data)
    try:
        while not stream.eof and (frame := frames.take_frame(buffer)) is not None:
            if frame.opcode in (frames.TEXT, frames.BINARY):
                compressed = bool(frame.rsv)
            if frame.opcode < frames.CLOSE and compressed:
                stream.decompress(frame.payload + TAIL * frame.fin)
    except zlib.error:
        pass
    return stream.eof


ROLES = st.booleans()
"""Whether our role is that of the client, whose peer does not mask its frames."""


@st.composite
def sessions(draw: st.DrawFn) -> tuple[bytes, bool]:
    client = draw(ROLES)
    return draw(changed(frame_lists(masked=not client)) | st.binary(max_size=60)), client


@BOUNDED
@given(sessions(), cuts, st.booleans())
def test_frames_mean_the_same_wherever_they_are_cut(
    session: tuple[bytes, bool], places: list[int], deflate: bool
) -> None:
    """In either role: the same messages, pings, pongs, Close, or violation with its code."""
    data, client = session
    whole = read_by_us([data], client=client, deflate=deflate)
    for pieces in (in_pieces(data, places), [data[i : i + 1] for i in range(len(data))]):
        assert read_by_us(pieces, client=client, deflate=deflate) == whole


@BOUNDED
@given(sessions(), st.booleans())
def test_frames_that_are_accepted_mean_the_same_to_websockets(
    session: tuple[bytes, bool], deflate: bool
) -> None:
    """What we give, in either role, websockets gives too, message for message and code for code.

    It may give more, as we stop earlier (at a bad byte, at a limit). It stops earlier itself in one
    case, a Close between fragments, which RFC 6455, 5.4 allows: that may be any control frame.
    """
    data, client = session
    assume(not (deflate and has_final_block(data)))
    ours = read_by_us([data], client=client, deflate=deflate)
    theirs = read_by_websockets(data, client=client, deflate=deflate)
    assert theirs.messages[: len(ours.messages)] == ours.messages
    assert theirs.pings[: len(ours.pings)] == ours.pings
    assert theirs.pongs[: len(ours.pongs)] == ours.pongs
    if ours.stopped is None:
        assert theirs.messages == ours.messages
        if theirs.stopped is None:
            assert theirs.close == ours.close
        else:
            assert ours.close is not None


@BOUNDED
@given(sessions())
def test_frames_that_are_accepted_mean_the_same_to_wsproto(session: tuple[bytes, bool]) -> None:
    """Without compression wsproto, given all at once, gives what we give, who cut it in pieces.

    It looks at the first byte of a header before the rest is there.
    """
    data, client = session
    ours = read_by_us([data], client=client, deflate=False)
    theirs = read_by_wsproto(data, client=client)
    assert theirs.messages[: len(ours.messages)] == ours.messages
    assert theirs.pings[: len(ours.pings)] == ours.pings
    if ours.stopped is None and not ours.begun:
        assert theirs == ours
