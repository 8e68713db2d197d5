"""The verdict on a response head: invalid, or where its body ends. Bytes in, a verdict out.

Whoever sends us two answers in the place of one has the second believed to be that of the next
request. So a head that two readers could read in two ways (both lengths, two lengths, a line end of
another kind, ...) is refused here, each check beside its clause in RFC 9112, and with it goes the
connection. What a client may mend is not mended, but for what it must: folded lines (5.2), where
they decide nothing.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from ..errors import HTTPError, InvalidResponse
from ..model import Headers
from .grammar import is_token, quote
from .head import FIELD, HeadCutter, explain_fields

__all__ = ["Framing", "ResponseHead", "ResponseHeadCutter", "check_response_head"]

# RFC 9112, 4: version, status code, reason phrase. The blank before a phrase that is empty is
# missing in the answers of many servers, and nothing depends on it.
_STATUS_LINE = re.compile(
    rb"HTTP/([0-9])\.([0-9]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n"
)
_FIELDS = re.compile(rb"(?:" + FIELD.pattern + rb")*+\r\n")
_LENGTH = re.compile(r"[0-9]{1,19}")
_FOLD = re.compile(rb"\r\n[ \t]++")
#: A fold in a field by which somebody else may find another end of the body than we do.
_FOLD_THAT_DECIDES = re.compile(
    rb"\n(?:content-length|transfer-encoding|connection|upgrade):[^\r\n]*+\r\n[ \t]", re.IGNORECASE
)
_BEGINNING = b"HTTP/"
#: The content types of TLS with which a server would begin (RFC 8446, 5.1): alert, handshake.
_TLS = (0x15, 0x16)


class Framing(enum.Enum):
    """Where the body of an answer ends (RFC 9112, 6.3)."""

    NONE = enum.auto()
    """There is none, whatever the fields say of one."""
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    UNTIL_CLOSE = enum.auto()
    """Where the connection ends."""


class ResponseHead(NamedTuple):
    """A head that was not refused.

    `content_length` is how many bytes the body has, 0 unless `framing` is LENGTH. `keeps_alive` is
    whether the connection may be used for another request once the body is read.
    """

    status_code: int
    reason: str
    http_version: str
    headers: Headers
    framing: Framing
    content_length: int
    keeps_alive: bool


class ResponseHeadCutter(HeadCutter):
    """Cuts head after head from what a server sends, without looking at a byte twice."""

    __slots__ = ()

    def cut(self, buffer: bytearray) -> bytes | None:
        """Take the first head from `buffer`, its empty line included; None if it is not all there.

        Raises InvalidResponse as soon as it is clear that what is there cannot become a head.
        """
        try:
            return super().cut(buffer)
        except HTTPError as error:
            raise InvalidResponse(error.reason) from None

    def _begin(self, buffer: bytearray) -> bool:
        if not _BEGINNING.startswith(buffer[: len(_BEGINNING)]):
            tls = buffer[0] in _TLS
            got = "TLS: is it https?" if tls else quote(buffer[:60].decode("latin-1"))
            raise InvalidResponse(f'expected "HTTP/1.1" and a status, got {got}')
        return len(buffer) >= len(_BEGINNING)

    def _check_size(self, buffer: bytearray, size: int) -> None:
        if size > self._limits.max_head:
            raise InvalidResponse(
                f"expected a response head of at most {self._limits.max_head} bytes"
            )


def check_response_head(raw: bytes, method: str, *, max_headers: int = 100) -> ResponseHead:
    """The verdict on a whole head, the answer to a request with that `method`.

    Raises InvalidResponse to refuse it.
    """
    line = _STATUS_LINE.match(raw)
    if line is not None and not _FIELDS.fullmatch(raw, line.end()):
        raw = _unfolded(raw, line.end())
    if line is None or not _FIELDS.fullmatch(raw, line.end()):
        raise _explain(raw)
    if line[1] != b"1":
        raise InvalidResponse(f"expected HTTP/1.1, got HTTP/{line[1].decode()}.{line[2].decode()}")
    fields = [(name, value.rstrip(b" \t")) for name, value in FIELD.findall(raw, line.end())]
    if len(fields) > max_headers:
        raise InvalidResponse(f"expected at most {max_headers} headers, got {len(fields)}")
    version = "1.0" if line[2] == b"0" else "1.1"
    status_code = int(line[3])
    headers = Headers.from_bytes(fields)
    framing, length = _framing(status_code, method, version, headers)
    return ResponseHead(
        status_code,
        (line[4] or b"").decode("latin-1").strip(),
        version,
        headers,
        framing,
        length,
        _keeps_alive(status_code, version, headers, framing),
    )


def _unfolded(raw: bytes, start: int) -> bytes:
    """A head whose fields begin at `start`, without the folds that may be there (RFC 9112, 5.2)."""
    if _FOLD_THAT_DECIDES.search(raw):
        return raw
    return raw[:start] + _FOLD.sub(b" ", raw[start:])


def _explain(raw: bytes) -> InvalidResponse:
    """What is wrong with a head: the first line of it that is none. Values may be secrets."""
    line, *fields = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not _STATUS_LINE.fullmatch(line + b"\r\n"):
        got = quote(line.decode("latin-1"))
        return InvalidResponse(f'expected "HTTP/1.1", a status and a reason, got {got}')
    return InvalidResponse(explain_fields(fields))


def _framing(status_code: int, method: str, version: str, headers: Headers) -> tuple[Framing, int]:
    """Where the body ends, and how many bytes it has if that is known (RFC 9112, 6.3)."""
    if method == "CONNECT" and 200 <= status_code <= 299:
        # RFC 9110, 9.3.6: what such an answer says of a body is not to be looked at.
        return Framing.NONE, 0
    length = _content_length(headers.get_all("content-length"))
    chunked = _is_chunked(headers.get_all("transfer-encoding"))
    if chunked and length is not None:
        raise InvalidResponse("expected Content-Length or Transfer-Encoding, got both")
    if chunked and version == "1.0":
        raise InvalidResponse("expected no Transfer-Encoding in HTTP/1.0")
    if status_code < 200:
        if chunked or length:
            raise InvalidResponse(f"expected no body with the status {status_code}")
        return Framing.NONE, 0
    if method == "HEAD" or status_code in (204, 304):
        return Framing.NONE, 0
    if chunked:
        return Framing.CHUNKED, 0
    return (Framing.UNTIL_CLOSE, 0) if length is None else (Framing.LENGTH, length)


def _content_length(values: list[str]) -> int | None:
    """RFC 9112, 6.3: one whole number; a list of equal ones may be mended, and is not."""
    if not values:
        return None
    if len(values) != 1 or not _LENGTH.fullmatch(values[0]):
        got = ", ".join(map(quote, values[:4]))
        raise InvalidResponse(f"expected one whole number as Content-Length, got {got}")
    return int(values[0])


def _is_chunked(values: list[str]) -> bool:
    """RFC 9112, 6.1: we ask for no other coding (TE), so that no other may come."""
    if values and (len(values) != 1 or values[0].lower() != "chunked"):
        got = ", ".join(map(quote, values[:4]))
        raise InvalidResponse(f"expected Transfer-Encoding: chunked, got {got}")
    return bool(values)


def _keeps_alive(status_code: int, version: str, headers: Headers, framing: Framing) -> bool:
    """RFC 9112, 9.3, and what is not quite right: a connection in doubt is not used again."""
    if version == "1.0" or framing is Framing.UNTIL_CLOSE:
        return False
    if status_code == 204 and (
        "transfer-encoding" in headers or (headers.get("content-length") or "0").strip("0")
    ):
        # RFC 9110, 8.6: a body was announced where none can be, and may well come.
        return False
    options = ",".join(headers.get_all("connection")).split(",")
    tokens = [option.strip(" \t") for option in options]
    return all(is_token(token) and token.lower() != "close" for token in filter(None, tokens))
