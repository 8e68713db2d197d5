"""Bytes as a client puts them on the wire, built once and sent many times.

Nothing here comes from h11, wsproto or the package under measure: a mistake there must not be made
here too.
"""

from __future__ import annotations

import base64
import hashlib
import itertools

__all__ = ["client_frame", "http_request", "mask", "server_frame", "ws_accept", "ws_request"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = base64.b64encode(bytes(range(16)))


def http_request(
    body: bytes,
    self_id: str,
    authorization: bytes,
    *,
    path: str = "/onebot/http",
    method: str = "POST",
    close: bool = False,
) -> bytes:
    """A posted event with the header lines that OneBot clients send."""
    lines = [
        f"{method} {path} HTTP/1.1".encode(),
        b"Host: 127.0.0.1:8080",
        b"User-Agent: OneBot/11",
        b"Content-Length: %d" % len(body),
        b"Authorization: " + authorization,
        b"Content-Type: application/json",
        b"Accept-Encoding: gzip",
    ]
    if self_id:
        lines.append(b"X-Self-ID: " + self_id.encode())
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join([*lines, b"", body])


def ws_request(self_id: str, authorization: bytes, *, path: str = "/onebot/ws") -> bytes:
    """The opening of a reverse WebSocket, as OneBot clients send it (RFC 6455, 4.1)."""
    lines = [
        f"GET {path} HTTP/1.1".encode(),
        b"Host: 127.0.0.1:8080",
        b"User-Agent: OneBot/11",
        b"Authorization: " + authorization,
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: " + _KEY,
        b"Sec-WebSocket-Version: 13",
        b"Upgrade: websocket",
        b"X-Client-Role: Universal",
        b"X-Self-ID: " + self_id.encode(),
    ]
    return b"\r\n".join([*lines, b"", b""])


def ws_accept(key: bytes = _KEY) -> bytes:
    """The value of Sec-WebSocket-Accept for a key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())


def mask(payload: bytes, key: bytes) -> bytes:
    """A payload masked, or unmasked, by a key of four bytes (RFC 6455, 5.3)."""
    size = len(payload)
    whole = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")


def _head(opcode: int, size: int, masked: int) -> bytes:
    """The header of a final frame without its key (RFC 6455, 5.2)."""
    if size < 126:
        return bytes([0x80 | opcode, masked | size])
    if size < 2**16:
        return bytes([0x80 | opcode, masked | 126]) + size.to_bytes(2, "big")
    return bytes([0x80 | opcode, masked | 127]) + size.to_bytes(8, "big")


_keys = itertools.cycle(number.to_bytes(4, "big") for number in (0x9F3C71A8, 0x4B06D25E))


def client_frame(payload: bytes, opcode: int = 0x1) -> bytes:
    """A masked frame, of text unless `opcode` says otherwise."""
    key = next(_keys)
    return _head(opcode, len(payload), 0x80) + key + mask(payload, key)


def server_frame(payload: bytes) -> bytes:
    """An unmasked text frame."""
    return _head(0x1, len(payload), 0) + payload
