"""The verdict on a request head: refused, plain, or special. Bytes in, a verdict out.

h11 parses what passes here. It is lenient where request smuggling lives (bare LF, obs-fold, a
Content-Length beside a Transfer-Encoding, ...), so one strict pass over the raw head comes first,
and everything that RFC 9112 lets a server refuse is refused in this file, each check beside its
clause. A head that is `plain` holds nothing that needs a second look.

`check` is the law. `recognise` and `Familiar` are short cuts to its verdict, since a client's heads
hardly differ from event to event: what each line means is remembered for all connections, and of
each connection the last head, which most often is the next one but for its Content-Length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from ..errors import HTTPError
from ..model import Headers

__all__ = [
    "FIELD",
    "Familiar",
    "Head",
    "HeadCutter",
    "HeadLimits",
    "check",
    "explain_fields",
    "is_host",
    "recognise",
]

# RFC 9110, 5.6.2: token; RFC 9112, 3: the request line; RFC 9110, 5.5: field values. Obs-fold
# (RFC 9112, 5.2) and blanks before the colon (5.1) do not match, nor does a lone CR or LF (2.2).
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_LINE = rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e]++) HTTP/([0-9])\.([0-9])\r\n"
_FIELD = rb"(" + _TOKEN + rb"):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)\r\n"
_HEAD = re.compile(_LINE + rb"((?:" + _FIELD + rb")*+)\r\n")
_REQUEST_LINE = re.compile(_LINE)
FIELD = re.compile(_FIELD)
"""One field line: its name and its value (which may have blanks at its end)."""

_BARE_LF = re.compile(rb"(?<!\r)\n")
_NAME = re.compile(_TOKEN)
_LENGTH = re.compile(rb"[0-9]{1,19}")
# RFC 3986, 3.2.2 and 3.2.3: an IPv6 literal or a registered name, and a port. A user name before
# them is refused, as RFC 9110, 4.2.4 advises.
_NAMED_HOST = rb"(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+"
_AUTHORITY = rb"(?:\[[0-9A-Fa-f:.]+\]|" + _NAMED_HOST + rb")(?::[0-9]*)?"
_HOST = re.compile(_AUTHORITY)
_ABSOLUTE = re.compile(rb"https?://(" + _AUTHORITY + rb")(/[^?]*)?(\?.*)?", re.IGNORECASE)

_LENGTH_LINE = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)

#: The first byte of a TLS connection (RFC 8446, 5.1: the content type of a handshake).
_TLS_HANDSHAKE = 0x16
#: Bytes of a request line that are there for method and version.
_BESIDE_TARGET = 64

#: Fields that decide how a request is read.
_SPECIAL = frozenset(
    [b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"]
)
#: What HTTP/1.1 does anyway (RFC 9112, 9.3), and many clients say all the same.
_KEEP_ALIVE = b"keep-alive"

#: Bytes of a head that is looked up line by line, and so of any line that is remembered.
_MAX_RECOGNISED = 4_096
#: Lines that are remembered: those of some hundred clients.
_REMEMBERED = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLimits:
    """Sizes in bytes."""

    max_head: int = 65_536
    max_target: int = 8_192
    max_headers: int = 100


class Head(NamedTuple):
    """A head that was not refused.

    `target` is in origin form. `content_length` is 0 without a body, and None for a chunked one.
    `plain` is whether its fields hold nothing but what every request has, so that h11's verdict on
    them is known.
    """

    method: str
    target: str
    http_version: str
    headers: Headers
    content_length: int | None
    plain: bool


class HeadCutter:
    """Cuts head after head from a connection's buffer, without looking at a byte twice."""

    __slots__ = ("_limits", "_scanned", "_skipped")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._scanned = 0
        self._skipped = False

    @property
    def idle(self) -> bool:
        """Whether nothing of a head was seen yet."""
        return not self._scanned and not self._skipped

    def cut(self, buffer: bytearray) -> bytes | None:
        """Take the first head from `buffer`, its empty line included; None if it is not all there.

        Raises HTTPError as soon as it is clear that what is there cannot become a head.
        """
        if self._scanned == 0 and not self._begin(buffer):
            return None
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._check_size(buffer, len(buffer))
            if _BARE_LF.search(buffer, self._scanned):
                raise HTTPError(400, "expected lines that end in CR LF, got a bare LF")
            self._scanned = len(buffer)
            return None
        end += 4
        self._check_size(buffer, end)
        head = bytes(buffer[:end])
        del buffer[:end]
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
        if not _NAME.match(buffer):
            tls = buffer[0] == _TLS_HANDSHAKE
            got = "TLS, which is not spoken here" if tls else f"the byte 0x{buffer[0]:02x}"
            raise HTTPError(400, f"expected a method, got {got}")
        return True

    def _check_size(self, buffer: bytearray, size: int) -> None:
        """Keep the limits on the first `size` bytes, whether or not they are a whole head."""
        line = self._limits.max_target + _BESIDE_TARGET
        if size > line and buffer.find(b"\r\n", 0, line) < 0:
            raise _target_too_long(self._limits)
        if size > self._limits.max_head:
            raise HTTPError(
                431, f"expected a request head of at most {self._limits.max_head} bytes"
            )


def check(raw: bytes, limits: HeadLimits) -> Head:
    """The verdict on a whole head. Raises HTTPError to refuse it."""
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise _explain(raw)
    method, target, major, minor, lines = match.group(1, 2, 3, 4, 5)
    if major != b"1":
        # RFC 9110, 15.6.6
        raise HTTPError(505, f"expected HTTP/1.1, got HTTP/{major.decode()}.{minor.decode()}")
    if len(target) > limits.max_target:
        raise _target_too_long(limits)
    fields = [(name.lower(), value.rstrip(b" \t")) for name, value in FIELD.findall(lines)]
    if len(fields) > limits.max_headers:
        raise HTTPError(431, f"expected at most {limits.max_headers} headers, got {len(fields)}")
    special = _special(fields)
    version = "1.0" if minor == b"0" else "1.1"
    host = _check_host(special.get(b"host", []), version)
    _check_connection(special.get(b"connection", []))
    _check_expectation(special.get(b"expect", []))
    return Head(
        method.decode(),
        _origin_form(method, target, host).decode(),
        version,
        Headers.from_bytes(fields),
        _body_length(special, version),
        plain=version == "1.1" and _is_plain(special),
    )


def recognise(lines: bytes, limits: HeadLimits) -> Head | None:
    """What `check` says of a plain head, looked up; None for a head to be checked.

    `lines` are all of it but the empty line at its end.
    """
    if len(lines) > _MAX_RECOGNISED:
        return None
    request_line, *field_lines = lines.split(b"\r\n")
    asked = _plain_request(request_line)
    if asked is None or len(asked[1]) > limits.max_target or len(field_lines) > limits.max_headers:
        return None
    if len(request_line) + 2 > limits.max_target + _BESIDE_TARGET:  # as the cutter has it
        return None
    try:
        values = dict(map(_plain_field, field_lines))
    except TypeError:  # a None among them
        return None
    if len(values) < len(field_lines) or "host" not in values:
        return None
    length = int(values.get("content-length", 0))
    return Head(*asked, "1.1", Headers.from_unique(values), length, plain=True)


class Familiar:
    """A plain head by which others are recognised that differ in their Content-Length alone."""

    __slots__ = ("_after", "_before", "_digits", "_head")

    def __init__(self, head: Head, before: bytes, digits: bytes, after: bytes) -> None:
        """`before` and `after` are what stands around the digits, the empty line included."""
        self._head = head
        self._before = before
        self._digits = digits
        self._after = after

    @classmethod
    def of(cls, raw: bytes, head: Head) -> Familiar | None:
        """What a plain head is recognised by; None for one without a length."""
        match = _LENGTH_LINE.search(raw)
        return match and cls(head, raw[: match.start(1)], match[1], raw[match.end(1) :])

    def match(self, data: bytes) -> tuple[Head, int] | None:
        """The head at the beginning of `data` and its size, if it is such a one."""
        if not data.startswith(self._before):
            return None
        start = len(self._before)
        end = data.find(b"\r", start, start + 20)
        digits = data[start:end]
        if not digits.isdigit() or not data.startswith(self._after, end):
            return None
        head = self._head
        if digits != self._digits:  # not their numbers: zeros may stand before one
            values = {**head.headers.joined(), "content-length": digits.decode()}
            head = head._replace(headers=Headers.from_unique(values), content_length=int(digits))
        return head, end + len(self._after)


@lru_cache(_REMEMBERED)
def _plain_request(line: bytes) -> tuple[str, str] | None:
    """Method and target of a request line with a target in origin form; None for any other."""
    match = _REQUEST_LINE.fullmatch(line + b"\r\n")
    if match is None or match[1] == b"CONNECT" or match.group(3, 4) != (b"1", b"1"):
        return None
    return (match[1].decode(), match[2].decode()) if match[2].startswith(b"/") else None


@lru_cache(_REMEMBERED)
def _plain_field(line: bytes) -> Any:
    """Name and value of a field line that every request may have; None for any other."""
    match = FIELD.fullmatch(line + b"\r\n")
    if match is None:
        return None
    name, value = match[1].lower(), match[2].rstrip(b" \t")
    plain = _PLAIN[name](value) if name in _PLAIN else name not in _SPECIAL
    return (name.decode(), value.decode("latin-1")) if plain else None


def _target_too_long(limits: HeadLimits) -> HTTPError:
    return HTTPError(414, f"expected a request target of at most {limits.max_target} bytes")


def _explain(raw: bytes) -> HTTPError:
    """What is wrong with a head: the first line of it that is none. Values may be secrets."""
    line, *fields = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not _REQUEST_LINE.fullmatch(line + b"\r\n"):
        return HTTPError(400, f'expected "METHOD target HTTP/1.1", got {_quote(line)}')
    return HTTPError(400, explain_fields(fields))


def explain_fields(fields: list[bytes]) -> str:
    """What is wrong with the field lines of a head, without their line ends: with the first."""
    field = next((field for field in fields if not FIELD.fullmatch(field + b"\r\n")), b"")
    if field.startswith((b" ", b"\t")):
        return "expected no folded header lines (RFC 9112, 5.2)"
    name, colon, _ = field.partition(b":")
    if colon and _NAME.fullmatch(name):
        return f"expected no control characters in the header {_quote(name)}"
    return f'expected a header "Name: value", got the name {_quote(name)}'


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


def is_host(text: str) -> bool:
    """Whether `text` may stand as Host: a name or an address, and perhaps a port."""
    return _HOST.fullmatch(text.encode("latin-1", "replace")) is not None


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


def _body_length(special: dict[bytes, list[bytes]], version: str) -> int | None:
    """How long the body is, None for a chunked one (RFC 9112, 6.1 to 6.3)."""
    lengths = special.get(b"content-length", [])
    codings = special.get(b"transfer-encoding", [])
    if codings:
        if lengths:
            raise HTTPError(400, "expected Content-Length or Transfer-Encoding, got both")
        if version == "1.0":
            raise HTTPError(400, "expected no Transfer-Encoding in HTTP/1.0")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            got = ", ".join(map(_quote, codings))
            raise HTTPError(501, f"expected Transfer-Encoding: chunked, got {got}")
        return None
    if not lengths:
        return 0
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        got = ", ".join(map(_quote, lengths))
        raise HTTPError(400, f"expected one whole number as Content-Length, got {got}")
    return int(lengths[0])


def _check_connection(values: list[bytes]) -> None:
    """RFC 9110, 7.6.1: a list of tokens, whose empty elements are passed over (5.6.1.2)."""
    for value in values:
        for option in value.split(b","):
            if not _NAME.fullmatch(option := option.strip(b" \t")) and option:
                raise HTTPError(400, f"expected tokens as Connection, got {_quote(value)}")


def _check_expectation(values: list[bytes]) -> None:
    """RFC 9110, 10.1.1: there is one expectation that a server can meet."""
    for value in values:
        if value.lower() != b"100-continue":
            raise HTTPError(417, f"expected Expect: 100-continue, got {_quote(value)}")


def _is_keep_alive(connection: bytes) -> bool:
    return connection.lower() == _KEEP_ALIVE


def _is_plain(special: dict[bytes, list[bytes]]) -> bool:
    """Whether fields that were found to be right decide nothing that is not so in any request."""
    connection = special.get(b"connection", [])
    return special.keys() <= _PLAIN.keys() and all(map(_is_keep_alive, connection))


#: Of the fields that decide something, those that every request may have, and with what values.
_PLAIN: dict[bytes, Callable[[bytes], object]] = {
    b"connection": _is_keep_alive,
    b"content-length": _LENGTH.fullmatch,
    b"host": _HOST.fullmatch,
}
