"""HTTP/1.1 as requests and answers: h11 behind our checks, the server's side, pure.

Bytes in, heads and bodies out; answers in, bytes out. h11 reads each element that `head` and `body`
have cut and let through, and writes what is sent, so that the order of things is its law. Of a
request whose head is plain it knows nothing that the checks have not seen, so on the fast lane it
is not asked: neither for the request, nor for the answer to it.
"""

from __future__ import annotations

from collections.abc import Iterable

import h11

from ..errors import HTTPError
from ..model import Response
from . import answer
from .body import BodyCutter, ChunkedCutter, LengthCutter
from .head import Familiar, Head, HeadCutter, HeadLimits, check, recognise

__all__ = ["Exchange"]


class Exchange:
    """The requests of one connection and their answers, one after the other.

    What may be read when is for whoever uses it to know.
    """

    __slots__ = (
        "_body",
        "_body_cutter",
        "_familiar",
        "_fast_lane",
        "_h11",
        "_head_cutter",
        "_last",
        "_limits",
        "_max_body",
        "_plain",
        "repeated",
    )

    def __init__(self, limits: HeadLimits, max_body: int, *, fast_lane: bool = True) -> None:
        """`max_body` is in bytes; without the `fast_lane` h11 reads and writes everything."""
        self._limits = limits
        self._max_body = max_body
        self._fast_lane = fast_lane
        self._plain = False
        """Whether the request at hand is one that h11 does not know of."""
        self._last = False
        """Whether the answer to it was the connection's last."""
        self._familiar: Familiar | None = None
        self.repeated = False
        """Whether the head at hand is that of the request before, but for its length."""
        self._h11: h11.Connection | None = None
        self._head_cutter = HeadCutter(limits)
        self._body_cutter: BodyCutter | None = None
        self._body = bytearray()

    @property
    def _law(self) -> h11.Connection:
        """h11, from the first request on that is not plain."""
        if self._h11 is None:
            self._h11 = h11.Connection(h11.SERVER)
        return self._h11

    # Reading.

    def read_whole(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head and the body of a plain request, if `data` is just that.

        None if it is not, and nothing was read of it then. To be called where a request is
        expected, and none has begun.
        """
        if not self._fast_lane or not self._head_cutter.idle:
            return None
        familiar = self._familiar and self._familiar.match(data)
        self.repeated = familiar is not None
        found = familiar or self._recognise(data)
        if found is None:
            return None
        head, size = found
        length = len(data) - size
        if length != head.content_length or length > self._max_body or size > self._limits.max_head:
            return None
        self._plain = True
        return head, data[size:]

    def _recognise(self, data: bytes) -> tuple[Head, int] | None:
        """A plain head at the beginning of `data`, and its size."""
        end = data.find(b"\r\n\r\n")
        head = recognise(data[:end], self._limits) if end >= 0 else None
        if head is None:
            return None
        self._familiar = Familiar.of(data[: end + 4], head)
        return head, end + 4

    def read_head(self, buffer: bytearray) -> Head | None:
        """Take a request's head from `buffer`; None if it is not all there.

        Raises HTTPError to refuse it.
        """
        raw = self._head_cutter.cut(buffer)
        if raw is None:
            return None
        head = recognise(raw[:-4], self._limits) if self._fast_lane else None
        head = head or check(raw, self._limits)
        self._plain = head.plain and self._fast_lane
        if not self._plain:
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
        if self._plain:
            self._body += element
        else:
            for event in self._read(element):
                if isinstance(event, h11.Data):
                    self._body += event.data
        return len(element)

    def take_body(self) -> bytes | None:
        """The body, once it is complete."""
        assert self._body_cutter is not None
        if not self._body_cutter.complete:
            return None
        body = bytes(self._body)
        self._body.clear()
        return body

    def _read(self, element: bytes) -> list[h11.Event]:
        """Let h11 read one checked element; what it does not like is a refusal of ours."""
        events = []
        self._law.receive_data(element)
        try:
            while not isinstance(event := self._law.next_event(), type):
                events.append(event)
        except h11.RemoteProtocolError as error:
            raise HTTPError(error.error_status_hint, f"expected HTTP/1.1, {error}") from error
        return events

    # Answering.

    @property
    def continue_is_awaited(self) -> bool:
        """Whether the client sends no body before it is told to go on (RFC 9110, 10.1.1)."""
        return not self._plain and self._law.they_are_waiting_for_100_continue

    def inform(self, status_code: int, reason: str, headers: Iterable[tuple[str, str]]) -> bytes:
        """An answer before the answer: 100, or the 101 after which nothing of HTTP comes."""
        fields = [(name.encode(), value.encode()) for name, value in headers]
        return self._law.send(
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
        if self._plain:
            self._last = close
            return answer.write(response, date=date, server=server, close=close, to_head=to_head)
        fields = answer.fields_of(response, date=date, server=server, close=close)
        event = h11.Response(
            status_code=response.status_code,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in fields],
            reason=response.reason.encode(),
        )
        parts = [self._law.send(event)]
        if answer.has_body(response) and not to_head:
            parts.append(self._law.send(h11.Data(data=response.body)))
        parts.append(self._law.send(h11.EndOfMessage()))
        return b"".join(parts)

    def start_next(self) -> bool:
        """The answer is sent: expect the next request, and give whether one may follow.

        None may after the last answer (RFC 9112, 9.3).
        """
        if self._plain:
            self._plain = False
            return not self._last
        if self._law.our_state is h11.MUST_CLOSE:
            return False
        self._law.start_next_cycle()
        return True

    def forget(self) -> None:
        """Drop what has been read of a body."""
        self._body.clear()
