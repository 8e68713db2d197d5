"""What servers like this one have stumbled over: the bytes, and how they are to be answered."""

from __future__ import annotations

from .frames import CONTINUATION, PING, ZEROS, close, frame, header
from .raw import KEY, head, upgrade

RSV1 = 0x40
CHUNKED = head("X-Self-ID: 1", "Transfer-Encoding: chunked")

#: Requests, and the status of the answer; after each the connection is closed.
REQUESTS_REFUSED: dict[str, tuple[bytes, int]] = {
    "CVE-2025-43859": (CHUNKED + b"1\r\naXX0\r\n\r\n", 400),
    "hypercorn #279": (head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "Transfer-Encoding in HTTP/1.0": (
        head("Transfer-Encoding: chunked", line="POST /echo/ HTTP/1.0") + b"0\r\n\r\n",
        400,
    ),
    "HTTP/2.0": (head(line="GET / HTTP/2.0"), 505),
    "bare LF": (b"POST /echo/ HTTP/1.1\nHost: a\n\n", 400),
    "bare LF in one line": (head("A: b\nContent-Length: 2"), 400),
    "obs-fold": (head("A: b", " c"), 400),
    "obs-fold of a coding": (head("Transfer-Encoding:", " chunked"), 400),
    "control character": (head("A: \x01"), 400),
    "bare CR in a chunk extension": (CHUNKED + b"2;a\rb\r\n{}\r\n0\r\n\r\n", 400),
    "listed lengths": (head("Content-Length: 5,5") + b"12345", 400),
    "3,000 headers": (head(*["a:"] * 3_000), 431),
    "CVE-2023-37276": (head("X-Abc: \rxTransfer-Encoding: chunked"), 400),
    "CVE-2024-52304": (CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n", 400),
    "CVE-2024-1135, xchunked": (head("Transfer-Encoding: xchunked") + b"0\r\n\r\n", 501),
    "CVE-2024-1135, gzip": (head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    "CVE-2024-6827": (head(*["Transfer-Encoding: chunked"] * 2) + b"0\r\n\r\n", 501),
    "length +5": (head("Content-Length: +5") + b"12345", 400),
    "length 1_0": (head("Content-Length: 1_0") + b"1234567890", 400),
    "length 0x5": (head("Content-Length: 0x5") + b"12345", 400),
    "length of 5,000 digits": (head("Content-Length: " + "5" * 5_000), 400),
    "length -1": (head("Content-Length: -1"), 400),
    "empty length": (head("Content-Length:"), 400),
    "CVE-2026-69243": (upgrade("Content-Length: 2") + b"{}", 400),
    "CVE-2026-69243, chunked": (upgrade("Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "CVE-2026-48710, slash": (head(host="Host: a/b"), 400),
    "CVE-2026-48710, question mark": (head(host="Host: a?b"), 400),
    "CVE-2026-48710, blank": (head(host="Host: a b"), 400),
    "CVE-2026-48710, at": (head(host="Host: a@b"), 400),
}

#: Opening handshakes, and the status of the answer.
HANDSHAKES_REFUSED: dict[str, tuple[bytes, int]] = {
    "key x": (upgrade(key="Sec-WebSocket-Key: x"), 400),
    "key of 15 bytes": (upgrade(key="Sec-WebSocket-Key: " + "A" * 20), 400),
    "two keys": (upgrade(KEY), 400),
    "no key": (upgrade(key=None), 400),
    "version 8": (upgrade(version="Sec-WebSocket-Version: 8"), 426),
    "HTTP/1.0": (upgrade(line="GET /echo/ws HTTP/1.0"), 400),
    "POST": (upgrade(line="POST /echo/ws HTTP/1.1"), 405),
    "Host beyond ASCII": (upgrade(host="Host: b\xf6t"), 400),
    "Connection beyond ASCII": (upgrade(connection="Connection: Upgrade, \xe9"), 400),
    "protocol beyond ASCII": (upgrade("Sec-WebSocket-Protocol: \xff"), 400),
    "extension out of shape": (upgrade("Sec-WebSocket-Extensions: permessage-deflate;;="), 400),
}


def violations(*, masked: bool) -> dict[str, tuple[bytes, int]]:
    """Frames of a client, which masks them, or of a server, and the code of our Close."""
    key, other = (ZEROS, None) if masked else (None, ZEROS)
    return {
        "reserved opcode": (frame("", 3, key=key), 1002),
        "RSV1 without an extension, CVE-2026-59881": (frame("a", rsv=RSV1, key=key), 1002),
        "RSV2": (frame("a", rsv=0x20, key=key), 1002),
        "length 2^63, CVE-2026-1528": (header(2**63, masked=masked), 1002),
        "length 2^62, CVE-2026-1528": (header(2**62, masked=masked), 1009),
        "not masked" if masked else "masked": (frame("a", key=other), 1002),
        "a continuation of nothing": (frame("a", CONTINUATION, key=key), 1002),
        "a message within another": (frame("a", fin=False, key=key) + frame("b", key=key), 1002),
        "a control frame in fragments": (frame("a", PING, fin=False, key=key), 1002),
        "a long control frame": (header(126, PING, masked=masked), 1002),
        "bad UTF-8": (frame(b"\xff", key=key), 1007),
        "bad UTF-8 in a message that is not complete": (frame(b"\xff", fin=False, key=key), 1007),
        "a Close of one byte": (frame(b"\x03", 8, key=key), 1002),
        "a Close with 1005": (close(1005, key=key), 1002),
    }


def floods(*, masked: bool) -> list[bytes]:
    """The fragments of a message that never ends (GHSA-96hv-2xvq-fx4p)."""
    key = ZEROS if masked else None
    return [
        frame(payload, fin=False, key=key)
        + frame(payload, CONTINUATION, fin=False, key=key) * 131_000
        for payload in ("x", "")
    ]


VIOLATIONS, FLOODS = violations(masked=True), floods(masked=True)
SERVERS_VIOLATIONS, SERVERS_FLOODS = violations(masked=False), floods(masked=False)
