"""HTTP/1.1 as requests and answers: h11 behind our checks, the server's side, pure.

Bytes in, heads and bodies out; answers in, bytes out. h11 reads each element that `head` and `body`
have cut and let through, and writes what is sent, so that the order of things is its law.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import h11

from ..errors import HTTPError
from ..model import Response
from .body import BodyCutter, ChunkedCutter, LengthCutter
from .head import Head, HeadCutter, HeadLimits, check

__all__ = ["Exchange"]

#: What the server alone decides, whatever an application says.
_OURS = frozenset(["connection", "content-length", "date", "server", "transfer-encoding"])
#: Statuses of answers without a body (RFC 9110, 6.4.1), and so without a length (8.6).
_NO_BODY = frozenset([204, 304])


class Exchange:
    """The requests of one connection and their answers, one after the other.

    What may be read when is for whoever uses it to know.
    """

    __slots__ = ("_body", "_body_cutter", "_h11", "_head_cutter", "_limits", "_max_body")

    def __init__(self, limits: HeadLimits, max_body: int) -> None:
        """`max_body` is in bytes."""
        self._limits = limits
        self._max_body = max_body
        self._h11 = h11.Connection(h11.SERVER)
        self._head_cutter = HeadCutter(limits)
        self._body_cutter: BodyCutter | None = None
        self._body = bytearray()

    # Reading.

    def read_head(self, buffer: bytearray) -> Head | None:
        """Take a request's head from `buffer`; None if it is not all there.

        Raises HTTPError to refuse it.
        """
        raw = self._head_cutter.cut(buffer)
        if raw is None:
            return None
        head = check(raw, self._limits)
        self._read(raw)
        return head

    def begin_body(self, length: int | None) -> None:
        """Expect a body of that many bytes, or a chunked one. Raises HTTPError if it is too long.

        To be called after a head whose `content_length` is not 0.
        """
        limit = self._max_body
        self._body_cutter = ChunkedCutter(limit) if length is None else LengthCutter(length, limit)

    def read_body(self, buffer: bytearray) -> int:
        """Take an element of the body from `buffer`; gives its size, 0 if none is all there.

        Raises HTTPError for what is malformed or too large.
        """
        assert self._body_cutter is not None
        element = self._body_cutter.cut(buffer)
        if element is None:
            return 0
        for event in self._read(element):
            if isinstance(event, h11.Data):
                self._body += event.data
        return len(element)

    def take_body(self) -> bytes | None:
        """The body, once it is complete."""
        if self._h11.their_state is h11.SEND_BODY:
            return None
        body = bytes(self._body)
        self._body.clear()
        return body

    def _read(self, element: bytes) -> list[h11.Event]:
        """Let h11 read one checked element; what it does not like is a refusal of ours."""
        events = []
        self._h11.receive_data(element)
        try:
            while not isinstance(event := self._h11.next_event(), type):
                events.append(event)
        except h11.RemoteProtocolError as error:
            raise HTTPError(error.error_status_hint, f"expected HTTP/1.1, {error}") from error
        return events

    # Answering.

    @property
    def continue_is_awaited(self) -> bool:
        """Whether the client sends no body before it is told to go on (RFC 9110, 10.1.1)."""
        return self._h11.they_are_waiting_for_100_continue

    def inform(self, status_code: int, reason: str, headers: Iterable[tuple[str, str]]) -> bytes:
        """An answer before the answer: 100, or the 101 after which nothing of HTTP comes."""
        fields = [(name.encode(), value.encode()) for name, value in headers]
        return self._h11.send(
            h11.InformationalResponse(
                status_code=status_code, headers=fields, reason=reason.encode()
            )
        )

    def answer(
        self, response: Response, *, date: str, server: str | None, close: bool, to_head: bool
    ) -> bytes:
        """The answer to the request that was read, or was refused while it was read.

        `date` and `server` are the values of these headers, `close` says that the connection ends,
        and `to_head` that the request was a HEAD. What cannot be sent raises an exception before
        h11 changes its state, so that another answer can still be sent.
        """
        bodiless = response.status_code in _NO_BODY
        fields = [("Date", date), *([] if server is None else [("Server", server)])]
        fields += _headers(response, close=close, bodiless=bodiless)
        event = h11.Response(
            status_code=response.status_code,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in fields],
            reason=response.reason.encode(),
        )
        parts = [self._h11.send(event)]
        if not bodiless and not to_head:
            parts.append(self._h11.send(h11.Data(data=response.body)))
        parts.append(self._h11.send(h11.EndOfMessage()))
        return b"".join(parts)

    @property
    def over(self) -> bool:
        """Whether nothing may follow the answer that was sent (RFC 9112, 9.3)."""
        return self._h11.our_state is h11.MUST_CLOSE

    def start_next(self) -> None:
        """The answer is sent: expect the next request."""
        self._h11.start_next_cycle()

    def forget(self) -> None:
        """Drop what has been read of a body."""
        self._body.clear()


def _headers(response: Response, *, close: bool, bodiless: bool) -> Iterator[tuple[str, str]]:
    options = ["close"] if close else []
    for name, value in response.headers:
        if name.lower() not in _OURS:
            yield name, value
        if name.lower() == "upgrade":
            options.append("Upgrade")  # RFC 9110, 7.8
    if not bodiless:
        yield "Content-Length", str(len(response.body))
    if options:
        yield "Connection", ", ".join(options)
