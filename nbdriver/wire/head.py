"""The verdict on a request head: refused, plain, or special. Bytes in, a verdict out.

h11 parses what passes here. It is lenient where request smuggling lives (bare LF, obs-fold, a
Content-Length beside a Transfer-Encoding, ...), so one strict pass over the raw head comes first, and
everything that RFC 9112 lets a server refuse is refused in this file, each check beside its clause.
A head that is `plain` holds nothing that needs a second look.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from ..errors import HTTPError

__all__ = ["FIELD", "Head", "HeadCutter", "HeadLimits", "check"]

# RFC 9110, 5.6.2: token; RFC 9112, 3: the request line; RFC 9110, 5.5: field values. Obs-fold
# (RFC 9112, 5.2) and blanks before the colon (5.1) do not match, nor does a CR or LF of its own (2.2).
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_LINE = rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e]++) HTTP/([0-9])\.([0-9])\r\n"
_FIELD = rb"(" + _TOKEN + rb"):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)\r\n"
_HEAD = re.compile(_LINE + rb"((?:" + _FIELD + rb")*+)\r\n")
FIELD = re.compile(_FIELD)
"""One field line: its name and its value (which may have blanks at its end)."""

_BARE_LF = re.compile(rb"(?<!\r)\n")
_TOKEN_CHARACTER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]")
_TOKENS = re.compile(rb"[ \t,]*+" + _TOKEN + rb"(?:[ \t]*+,[ \t]*+(?:" + _TOKEN + rb")?)*+")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_ABSOLUTE = re.compile(rb"https?://([^/?]+)(/[^?]*)?(\?.*)?", re.IGNORECASE)
# RFC 3986, 3.2.2 and 3.2.3: an IPv6 literal or a registered name, and a port.
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::[0-9]*)?"
)

_SPECIAL = frozenset(
    [b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLimits:
    """Sizes in bytes."""

    max_head: int = 65_536
    max_target: int = 8_192
    max_headers: int = 100


@dataclass(slots=True)
class Head:
    """A head that was not refused.

    `target` is in origin form. `content_length` is 0 without a body, and None for a chunked one.
    `plain` is whether its fields hold nothing but what every request has: h11's verdict is known.
    """

    method: str
    target: str
    http_version: str
    fields: list[tuple[bytes, bytes]]
    content_length: int | None = 0
    expect_continue: bool = False
    keep_alive: bool = True
    plain: bool = True


class HeadCutter:
    """Cuts head after head from a connection's buffer, without looking at a byte twice."""

    __slots__ = ("_limits", "_scanned", "_skipped")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._scanned = 0
        self._skipped = False

    def cut(self, buffer: bytearray) -> bytes | None:
        """Take the first head from `buffer`, its empty line included; None if it is not all there.

        Raises HTTPError as soon as it is clear that what is there cannot become a head.
        """
        if self._scanned == 0 and not self._begin(buffer):
            return None
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._check_unfinished(buffer)
            self._scanned = len(buffer)
            return None
        if end + 4 > self._limits.max_head:
            self._too_large(buffer)
        head = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        self._scanned = 0
        self._skipped = False
        return head

    def _begin(self, buffer: bytearray) -> bool:
        """Skip one empty line (RFC 9112, 2.2); see whether the first byte can begin a method."""
        if not self._skipped and buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._skipped = True
        if not buffer or (not self._skipped and buffer == b"\r"):
            return False
        if not _TOKEN_CHARACTER.match(buffer):
            raise HTTPError(400, f"expected a method, got the byte 0x{buffer[0]:02x}")
        return True

    def _check_unfinished(self, buffer: bytearray) -> None:
        if _BARE_LF.search(buffer, self._scanned):
            raise HTTPError(400, "expected lines that end in CR LF, got a bare LF")
        if len(buffer) > self._limits.max_head:
            self._too_large(buffer)

    def _too_large(self, buffer: bytearray) -> NoReturn:
        if buffer.find(b"\r\n", 0, self._limits.max_head) < 0:
            raise HTTPError(414, f"expected a target of at most {self._limits.max_target} bytes")
        raise HTTPError(431, f"expected a request head of at most {self._limits.max_head} bytes")


def check(raw: bytes, limits: HeadLimits) -> Head:
    """The verdict on a whole head. Raises HTTPError to refuse it."""
    match = _HEAD.fullmatch(raw)
    if match is None:
        _explain(raw)
    method, target, major, minor, lines = match.group(1, 2, 3, 4, 5)
    if major != b"1":
        # RFC 9110, 15.6.6
        raise HTTPError(505, f"expected HTTP/1.1, got HTTP/{major.decode()}.{minor.decode()}")
    if len(target) > limits.max_target:
        raise HTTPError(
            414, f"expected a target of at most {limits.max_target} bytes, got {len(target)}"
        )
    fields = [(name.lower(), value.rstrip(b" \t")) for name, value in FIELD.findall(lines)]
    if len(fields) > limits.max_headers:
        raise HTTPError(431, f"expected at most {limits.max_headers} headers, got {len(fields)}")
    special = _special(fields)
    version = "1.0" if minor == b"0" else "1.1"
    head = Head(method.decode(), "", version, fields)
    host = _check_host(special.get(b"host", []), version)
    head.target = _origin_form(method, target, host).decode()
    _frame(head, special)
    _connect(head, special)
    return head


def _explain(raw: bytes) -> NoReturn:
    """Find the line for which a head was refused."""
    line, *lines = raw[:-4].split(b"\r\n")
    if not re.fullmatch(_LINE, line + b"\r\n"):
        raise HTTPError(400, f'expected "METHOD target HTTP/1.1", got {_quote(line)}')
    for line in lines:
        if not FIELD.fullmatch(line + b"\r\n"):
            if line[:1] in (b" ", b"\t"):
                raise HTTPError(400, f"expected no folded header lines, got {_quote(line)}")
            raise HTTPError(400, f'expected a header "Name: value", got {_quote(line)}')
    raise AssertionError("every line of the head matches, but not the whole")


def _quote(line: bytes) -> str:
    text = ascii(line[:60].decode("latin-1"))
    return f"{text}..." if len(line) > 60 else text


def _special(fields: list[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """The values of the fields that decide how the request is read."""
    special: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if name in _SPECIAL:
            special.setdefault(name, []).append(value)
    return special


def _check_host(hosts: list[bytes], version: str) -> bytes | None:
    """RFC 9112, 3.2: one well-formed Host, which HTTP/1.0 may leave out."""
    if not hosts and version == "1.0":
        return None
    if len(hosts) != 1:
        raise HTTPError(400, f"expected one Host header, got {len(hosts)}")
    if not _HOST.fullmatch(hosts[0]):
        raise HTTPError(400, f"expected a host and a port as Host, got {_quote(hosts[0])}")
    return hosts[0]


def _origin_form(method: bytes, target: bytes, host: bytes | None) -> bytes:
    """The target as path and query, in whichever form it came (RFC 9112, 3.2)."""
    if method == b"CONNECT":
        raise HTTPError(501, "expected a method for a server, CONNECT is one for proxies")
    if target.startswith(b"/"):
        return target
    if target == b"*" and method == b"OPTIONS":
        return target
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise HTTPError(400, f'expected a target that begins with "/", got {_quote(target)}')
    # RFC 9112, 3.2.2 has the target's host win; two hosts that differ are refused instead, since
    # whoever stands before us may have looked at the other one.
    if host is not None and match[1].lower() != host.lower():
        raise HTTPError(400, f"expected the target's host {_quote(match[1])} as Host")
    return (match[2] or b"/") + (match[3] or b"")


def _frame(head: Head, special: dict[bytes, list[bytes]]) -> None:
    """How long the body is (RFC 9112, 6.1 to 6.3)."""
    lengths = special.get(b"content-length", [])
    codings = special.get(b"transfer-encoding", [])
    if codings:
        head.plain = False
        if lengths:
            raise HTTPError(400, "expected Content-Length or Transfer-Encoding, got both")
        if head.http_version == "1.0":
            raise HTTPError(400, "expected no Transfer-Encoding in HTTP/1.0")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            got = ", ".join(map(_quote, codings))
            raise HTTPError(501, f"expected Transfer-Encoding: chunked, got {got}")
        head.content_length = None
    elif lengths:
        if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
            got = ", ".join(map(_quote, lengths))
            raise HTTPError(400, f"expected one whole number as Content-Length, got {got}")
        head.content_length = int(lengths[0])


def _connect(head: Head, special: dict[bytes, list[bytes]]) -> None:
    """What the head asks of the connection (RFC 9110, 7.6.1, 7.8 and 10.1.1)."""
    head.keep_alive = head.http_version == "1.1"
    for value in special.get(b"connection", []):
        head.plain = False
        if value and not _TOKENS.fullmatch(value):
            raise HTTPError(400, f"expected tokens as Connection, got {_quote(value)}")
        if b"close" in [token.strip() for token in value.lower().split(b",")]:
            head.keep_alive = False
    for value in special.get(b"expect", []):
        head.plain = False
        if value.lower() != b"100-continue":
            raise HTTPError(417, f"expected Expect: 100-continue, got {_quote(value)}")
        head.expect_continue = head.http_version == "1.1"
    if b"upgrade" in special or head.http_version == "1.0":
        head.plain = False
