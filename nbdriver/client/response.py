"""An answer as a caller has it: read whole, or piece by piece while it comes.

Where the bytes come from is for the client to know; here they are decoded, counted, and turned into
text. What is kept whole has a limit, which is looked at before it is kept.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from .. import codec
from ..errors import InvalidResponse
from ..model import Headers
from ..wire.charsets import charset_of
from ..wire.content_coding import PIECE, ContentDecoder
from ..wire.response_head import Framing, ResponseHead
from .urls import URL

__all__ = ["ClientResponse"]

# RFC 9110, 8.3.1 and 5.6.6
_CHARSET: Final = re.compile(
    r""";[ \t]*charset[ \t]*=[ \t]*"?([0-9a-z_.:+-]{1,40})[ \t]*(?:["';,]|$)""", re.IGNORECASE
)
#: What is called by the name of a smaller set often has characters of the larger one, for which
#: browsers take it (Encoding standard, 4.2).
_WIDER: Final = {"gb2312": "gb18030", "gbk": "gb18030"}
#: Pieces that are inflated before others have their turn.
_SHARE: Final = 16
_BOM: Final = b"\xef\xbb\xbf"


class ClientResponse:
    """An answer, whatever its status.

    - `status_code`, `reason`, `http_version`: its status line.
    - `headers`: see `Headers`; names are case-insensitive and may repeat.
    - `method`, `url`: what it is the answer to, after all redirects.
    - `history`: the answers that led here, without their bodies.

    What `Client.request` gives is read; of what `Client.stream` gives, the body comes by `read`,
    `pieces` or `chunks`.
    """

    __slots__ = (
        "_announced",
        "_came",
        "_content",
        "_decoder",
        "_kept",
        "_max_body",
        "_next",
        "_turns",
        "headers",
        "history",
        "http_version",
        "method",
        "reason",
        "status_code",
        "url",
    )

    def __init__(
        self,
        method: str,
        url: URL,
        head: ResponseHead,
        next_piece: Callable[[], Awaitable[bytes]],
        *,
        max_body: int | None = None,
        history: tuple[ClientResponse, ...] = (),
    ) -> None:
        """`next_piece` gives the body as it comes, b"" at its end; `max_body` is for `read`."""
        self.method = method
        self.url = url
        self.status_code = head.status_code
        self.reason = head.reason
        self.http_version = head.http_version
        self.headers: Headers = head.headers
        self.history = history
        self._next = next_piece
        self._max_body = max_body
        self._announced = head.content_length if head.framing is Framing.LENGTH else None
        self._came = 0
        self._turns = 0
        self._decoder: ContentDecoder | None = None
        self._kept = bytearray()
        """What is decoded and was given to nobody yet."""
        self._content: bytes | None = None

    def __repr__(self) -> str:
        # Without what may be secret in a path or a query.
        return f"<ClientResponse {self.status_code} {self.reason} from {self.url.host_header}>"

    # Piece by piece.

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, decoded; no piece is empty, or of more than some 256 KiB.

        Raises NetworkTimeout, InvalidResponse, NetworkError; RuntimeError outside of the block in
        which it comes. Cancelled while it waits, it can be gone on with.
        """
        if self._content:
            yield self._content
        elif self._kept:
            piece = bytes(self._kept)
            self._kept.clear()
            yield piece
        while self._content is None and (piece := await self._take(None)):
            yield piece

    async def chunks(self, size: int) -> AsyncIterator[bytes]:
        """The body in chunks of `size` bytes, the last one of what is left; see `pieces`.

        What was not given when somebody stops asking is kept for whoever asks next.
        """
        if size < 1:
            raise ValueError(f"expected a size of at least 1 byte, got {size}")
        kept = self._kept if self._content is None else bytearray(self._content)
        more = True
        while more:
            while len(kept) >= size:
                chunk = bytes(kept[:size])
                del kept[:size]
                yield chunk
            piece = await self._take(None) if self._content is None else b""
            kept += piece
            more = bool(piece)
        if kept:
            chunk = bytes(kept)
            kept.clear()
            yield chunk

    # As a whole.

    async def read(self) -> bytes:
        """The body, decoded: all of it that was not taken by pieces before.

        Raises as `pieces` does, and InvalidResponse for more than `max_body` bytes. Cancelled, it
        can be asked for again, and what had come is still there.
        """
        if self._content is None:
            self._check_size(max(self._announced or 0, len(self._kept)))
            while piece := await self._take(self._max_body):
                self._kept += piece
                self._check_size(len(self._kept))
            self._content = bytes(self._kept)
            self._kept.clear()
        return self._content

    def _check_size(self, size: int) -> None:
        if self._max_body is not None and size > self._max_body:
            raise self._too_large(self._max_body)

    @property
    def content(self) -> bytes:
        """The body. Raises RuntimeError if it was not read."""
        if self._content is None:
            raise RuntimeError("expected `await response.read()` before its content is asked for")
        return self._content

    @property
    def encoding(self) -> str:
        """How the body stands for text, as Python calls it: what the answer says, else UTF-8."""
        match = _CHARSET.search(self.headers.get("content-type") or "")
        name = (charset_of(match[1]) if match else None) or "utf-8"
        return _WIDER.get(name, name)

    @property
    def text(self) -> str:
        """The body as text; what cannot be decoded is replaced. Raises RuntimeError if unread."""
        return self.content.removeprefix(_BOM).decode(self.encoding, "replace")

    def json(self) -> Any:
        """The body as JSON (RFC 8259). Raises ValueError if it is none, RuntimeError if unread."""
        return codec.loads(self.content.removeprefix(_BOM))

    # Decoding.

    async def _take(self, limit: int | None) -> bytes:
        """The next decoded piece, b"" at the end; `limit` is on what is decoded."""
        self._turns += 1
        if self._turns % _SHARE == 0:
            await asyncio.sleep(0)
        while not (piece := self._decoded(limit)):
            came = await self._next()
            self._feed(came, limit)
            if not came:
                return b""
        return piece

    def _decoded(self, limit: int | None) -> bytes:
        """What can be decoded of what has come."""
        try:
            if self._decoder is None:
                self._decoder = ContentDecoder.of(self.headers.get("content-encoding"), limit)
            return self._decoder.take()
        except InvalidResponse as error:
            raise error.of(self.url.host_header) from None

    def _feed(self, came: bytes, limit: int | None) -> None:
        """More came, or b"" for the end."""
        assert self._decoder is not None
        self._came += len(came)
        if limit is not None and self._came > 2 * limit + PIECE:
            # There may be any number of bytes in which there is nothing.
            raise self._too_large(limit)
        if came:
            self._decoder.feed(came)
            return
        try:
            self._decoder.end()
        except InvalidResponse as error:
            raise error.of(self.url.host_header) from None

    def _too_large(self, limit: int) -> InvalidResponse:
        error = InvalidResponse(f"expected a body of at most {limit} bytes")
        return error.of(self.url.host_header)
