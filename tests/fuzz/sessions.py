"""WebSocket sessions of either role, and how two others read the same frames."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from support import frames
from support.deflate import TAIL, receive
from websockets.extensions.permessage_deflate import PerMessageDeflate as TheirDeflate
from websockets.protocol import CLIENT, SERVER, Protocol
from wsproto.connection import Connection, ConnectionType

from nbdriver.errors import ProtocolViolation
from nbdriver.net.websocket import WebSocketLimits
from nbdriver.wire.deflate import DeflateSettings, PerMessageDeflate, Window
from nbdriver.wire.frames import FrameLimits
from nbdriver.wire.session import Close, Event, Ping, Pong, Session

MAX = 100_000
FAST = WebSocketLimits().fast_lane
"""Whether the lane of the suite is the fast one."""
WINDOW = Window(15, True)


@dataclass
class Reading:
    """What somebody makes of frames; `stopped` is the code with which reading ended, if it did."""

    messages: list[str | bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    close: int | None = None
    stopped: int | None = None
    words: str = field(default="", compare=False)
    """Why it ended, if it did."""
    begun: bool = field(default=False, compare=False)
    """Whether a frame's header has begun that is not all there."""


def our_extension() -> PerMessageDeflate:
    return PerMessageDeflate(WINDOW, WINDOW, DeflateSettings(max_message=MAX, threshold=0))


def new_session(*, client: bool, deflate: bool = False, fast_lane: bool) -> Session:
    limits = FrameLimits(max_message=MAX, max_fragments=64)
    extension = our_extension() if deflate else None
    return Session(limits, client=client, extension=extension, fast_lane=fast_lane)


def read_by_us(
    pieces: list[bytes], *, client: bool, deflate: bool, fast_lane: bool = FAST
) -> Reading:
    session = new_session(client=client, deflate=deflate, fast_lane=fast_lane)
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
        reading.stopped, reading.words = error.code, error.reason
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
    received = receive(connection, data)
    close = None if received.close is None else received.close[0]
    return Reading(received.messages, received.pings, received.pongs, close)


def means_the_same(data: bytes, pieces: list[bytes], *, client: bool, deflate: bool) -> None:
    """See that frames that come in pieces are read as they are in one piece.

    A compressed message may be too long and no UTF-8 either: which is seen first depends on how
    much is inflated at once.
    """
    whole = read_by_us([data], client=client, deflate=deflate)
    cut = read_by_us(pieces, client=client, deflate=deflate)
    if deflate and {cut.stopped, whole.stopped} == {1007, 1009}:
        cut.stopped = whole.stopped
    assert cut == whole


def lanes_agree(pieces: list[bytes], *, client: bool) -> None:
    """See that both lanes read the same events, and write what was read as the same frames.

    After each piece, in the same order and of the same types, up to the same words of a violation;
    a frame that a client writes has a random key.
    """
    sessions = [new_session(client=client, fast_lane=fast) for fast in (True, False)]
    buffers = [bytearray(), bytearray()]
    for piece in pieces:
        heard = []
        for session, buffer in zip(sessions, buffers, strict=True):
            heard.append(_hear(session, buffer, piece))
        (fast, ended), (law, ended_too) = heard
        assert fast == law
        assert [*map(type, fast)] == [*map(type, law)]
        assert ended == ended_too
        if ended:
            return
        for event in fast:
            if isinstance(event, str | bytes):
                written = [bytearray(session.message(event)) for session in sessions]
                assert frames.take_frame(written[0]) == frames.take_frame(written[1])
                assert written == [b"", b""]


def _hear(session: Session, buffer: bytearray, piece: bytes) -> tuple[list[Event], str]:
    """What can be read, and the Close or the violation after which nothing more can."""
    if not buffer and (message := session.read_whole(piece)) is not None:
        return [message], ""
    buffer += piece
    events: list[Event] = []
    try:
        while (event := session.next_event(buffer)) is not None:
            events.append(event)
            if isinstance(event, Close):
                return events, "closed"
    except ProtocolViolation as error:
        return events, str(error)
    return events, ""


def websockets_inflates_otherwise(data: bytes) -> bool:
    """Whether a message has a block with BFINAL set, or is compressed to nothing at all.

    After the first (RFC 7692, 7.2.3.4) websockets loses what follows in the same message. Of the
    second (which should be one byte, 7.2.3.6) it makes an empty message too, but is out of step
    from then on.
    """
    stream, compressed, size, buffer = zlib.decompressobj(-15), False, 0, bytearray(data)
    try:
        while not stream.eof and (frame := frames.take_frame(buffer)) is not None:
            if frame.opcode in (frames.TEXT, frames.BINARY):
                compressed, size = bool(frame.rsv), 0
            if frame.opcode < frames.CLOSE and compressed:
                size += len(frame.payload)
                if frame.fin and not size:
                    return True
                stream.decompress(frame.payload + TAIL * frame.fin)
    except zlib.error:
        pass
    return stream.eof


def agree_with_websockets(data: bytes, *, client: bool, deflate: bool) -> None:
    """See that what we give, websockets gives too, message for message and code for code.

    It may give more, as we stop earlier (at a bad byte, at a limit). It stops earlier itself in one
    case, a Close between fragments, which RFC 6455, 5.4 allows: that may be any control frame.
    """
    if deflate and websockets_inflates_otherwise(data):
        return
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
            assert ours.begun or ours.close is not None


def agree_with_wsproto(data: bytes, *, client: bool) -> None:
    """See that wsproto, given all at once, gives what we give, who cut it in pieces for it.

    It looks at the first byte of a header before the rest is there.
    """
    ours = read_by_us([data], client=client, deflate=False)
    theirs = read_by_wsproto(data, client=client)
    assert theirs.messages[: len(ours.messages)] == ours.messages
    assert theirs.pings[: len(ours.pings)] == ours.pings
    if ours.stopped is None and not ours.begun:
        assert theirs == ours
