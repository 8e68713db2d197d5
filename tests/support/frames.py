"""WebSocket frames as bytes, built and read by the letter of RFC 6455, 5.2, and nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
ZEROS = bytes(4)


class Frame(NamedTuple):
    """What a test sees of a frame."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False


def frame(
    payload: bytes | str = b"",
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = ZEROS,
) -> bytes:
    """A frame; `key` masks it, as a client's, and None leaves it as a server's."""
    data = payload.encode() if isinstance(payload, str) else payload
    start = header(len(data), opcode, fin=fin, rsv=rsv, masked=key is not None)
    if key is None:
        return start + data
    return start + key + mask(data, key)


def header(
    length: int, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """The beginning of a frame, up to its length."""
    first = bytes([0x80 * fin | rsv | opcode])
    bit = 0x80 * masked
    if length < 126:
        return first + bytes([bit | length])
    if length < 2**16:
        return first + bytes([bit | 126]) + length.to_bytes(2, "big")
    return first + bytes([bit | 127]) + length.to_bytes(8, "big")


def mask(data: bytes, key: bytes) -> bytes:
    """`data` with every byte combined with that of `key` whose turn it is (5.3)."""
    if not any(key):
        return data
    return bytes(byte ^ key[number % 4] for number, byte in enumerate(data))


def fragments(*parts: bytes | str, opcode: int = TEXT, key: bytes | None = ZEROS) -> list[bytes]:
    """A message in several frames."""
    last = len(parts) - 1
    return [
        frame(part, CONTINUATION if number else opcode, fin=number == last, key=key)
        for number, part in enumerate(parts)
    ]


def close(code: int | None = 1000, reason: str = "", *, key: bytes | None = ZEROS) -> bytes:
    """A Close, without a code if that is None."""
    payload = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
    return frame(payload, CLOSE, key=key)


def take_frame(buffer: bytearray) -> Frame | None:
    """Take the frame at the beginning of `buffer`; None if it is not all there."""
    if len(buffer) < 2:
        return None
    length = buffer[1] & 0x7F
    size = {126: 4, 127: 10}.get(length, 2)
    if length > 125:
        length = int.from_bytes(buffer[2:size], "big")
    masked = bool(buffer[1] & 0x80)
    end = size + 4 * masked + length
    if len(buffer) < max(size, end):
        return None
    payload = bytes(buffer[end - length : end])
    if masked:
        payload = mask(payload, bytes(buffer[size : size + 4]))
    taken = Frame(buffer[0] & 0x0F, payload, bool(buffer[0] & 0x80), buffer[0] & 0x70, masked)
    del buffer[:end]
    return taken


def read_frames(data: bytes) -> list[Frame]:
    """All frames of `data`, which ends where a frame does."""
    buffer = bytearray(data)
    frames = list(_take_all(buffer))
    assert not buffer, f"expected whole frames, got {bytes(buffer)!r} after {frames}"
    return frames


def _take_all(buffer: bytearray) -> Iterator[Frame]:
    while (taken := take_frame(buffer)) is not None:
        yield taken
