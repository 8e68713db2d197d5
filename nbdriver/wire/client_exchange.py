"""HTTP/1.1 as requests and answers: h11 behind our checks, the client's side, pure.

What is asked goes in and bytes come out; bytes go in and the answer's head and body come out. h11
writes what is sent, and reads each element that `response_head` and `body` have cut and let
through, so that the order of things is its law: what an answer that comes too early, too late or
twice means for the connection, it says.
"""

from __future__ import annotations

from collections.abc import Iterable

import h11

from ..errors import HTTPError, InvalidResponse
from .body import BodyCutter, ChunkedCutter, LengthCutter
from .head import HeadLimits
from .response_head import Framing, ResponseHead, ResponseHeadCutter, check_response_head

__all__ = ["ClientExchange"]

#: Interim responses before the answer; no server sends so many.
_MAX_INTERIM = 32
#: How much a client takes is for whoever keeps it to say; chunk sizes are of 16 digits at most.
_UNLIMITED = 1 << 64


class ClientExchange:
    """The requests of one connection and their answers, one after the other.

    Reading and writing are independent of each other: an answer may come before all is sent.
    """

    __slots__ = (
        "_begun",
        "_complete",
        "_cutter",
        "_h11",
        "_head",
        "_head_cutter",
        "_interim",
        "_limits",
        "_method",
    )

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._h11 = h11.Connection(h11.CLIENT)
        self._head_cutter = ResponseHeadCutter(limits)
        self._cutter: BodyCutter | None = None
        self._head: ResponseHead | None = None
        self._interim = 0
        self._begun = False
        self._complete = False
        self._method = ""

    # Asking.

    def ask(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
        """The head of a request, to be sent.

        Whether a body follows is for `headers` to say. Raises ValueError if it cannot be sent.
        """
        try:
            fields = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
            request = h11.Request(method=method, target=target, headers=fields)
        except (UnicodeEncodeError, h11.LocalProtocolError) as error:
            raise ValueError(f"expected a request that HTTP/1.1 can carry: {error}") from None
        self._head = self._cutter = None
        self._interim = 0
        self._begun = self._complete = False
        self._method = method
        return self._write(request)

    def data(self, data: bytes) -> bytes:
        """A piece of the request's body, to be sent.

        Raises ValueError if more comes than was announced.
        """
        return self._write(h11.Data(data=data))

    def end(self) -> bytes:
        """The end of the request, to be sent. Raises ValueError if less came than was announced."""
        return self._write(h11.EndOfMessage())

    def _write(self, event: h11.Event) -> bytes:
        try:
            return self._h11.send(event) or b""
        except h11.LocalProtocolError as error:
            raise ValueError(f"expected a request that HTTP/1.1 can carry: {error}") from None

    # Reading the answer.

    def read_head(self, buffer: bytearray) -> ResponseHead | None:
        """Take the answer's head from `buffer`; None if it is not all there.

        Interim responses (1xx) are passed over, but for the 101 after which nothing of HTTP comes;
        it is an answer only to a request with an Upgrade. Raises InvalidResponse.
        """
        while (raw := self._head_cutter.cut(buffer)) is not None:
            self._begun = True
            head = check_response_head(raw, self._method, max_headers=self._limits.max_headers)
            self._read(raw)
            if head.status_code >= 200 or head.status_code == 101:
                self._head = head
                self._cutter = _cutter(head)
                return head
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise InvalidResponse(
                    f"expected an answer after at most {_MAX_INTERIM} interim responses"
                )
        return None

    def read_body(self, buffer: bytearray) -> bytes | None:
        """Take the next piece of the body from `buffer`; None if nothing of it is there.

        To be called after the head, until `complete`. Raises InvalidResponse.
        """
        assert self._cutter is not None
        try:
            while element := self._cutter.cut(buffer):
                if data := self._read(element):
                    return data
        except HTTPError as error:
            raise InvalidResponse(error.reason) from None
        return None

    def read_end(self, buffer: bytearray) -> None:
        """No more will come than what is in `buffer`, of which all was taken that can be.

        That ends a body which ends with the connection. Raises InvalidResponse for any other that
        is not complete (RFC 9112, 8).
        """
        if self._complete:
            return
        if self._head is None:
            got = "nothing but " if not buffer and not self._interim else "only a part of it, then "
            raise InvalidResponse(f"expected an answer, got {got}the connection's end")
        if self._head.framing is not Framing.UNTIL_CLOSE:
            raise InvalidResponse("expected the rest of the body, got the connection's end")
        self._read(b"")

    @property
    def begun(self) -> bool:
        """Whether some of the answer was taken from the buffer, if only an interim response.

        One that was refused counts: the server has heard the request.
        """
        return self._begun

    @property
    def complete(self) -> bool:
        """Whether the answer's last byte was read."""
        return self._complete

    @property
    def reusable(self) -> bool:
        """Whether another request may follow: all is sent, all is read, and none is in doubt."""
        return (
            self._head is not None
            and self._head.keeps_alive
            and self._h11.our_state is h11.DONE
            and self._h11.their_state is h11.DONE
        )

    def start_next(self) -> None:
        """Go on to the next request; only if it is `reusable`."""
        self._h11.start_next_cycle()

    def _read(self, element: bytes) -> bytes:
        """Let h11 read one checked element; gives the data in it."""
        data = b""
        try:
            self._h11.receive_data(element)
            while not isinstance(event := self._h11.next_event(), type):
                if isinstance(event, h11.Data):
                    data += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._complete = True
                    break
        except h11.RemoteProtocolError as error:
            raise InvalidResponse(f"expected HTTP/1.1, {error}") from None
        return data


def _cutter(head: ResponseHead) -> BodyCutter:
    if head.framing is Framing.CHUNKED:
        return ChunkedCutter(_UNLIMITED, of_answer=True)
    length = _UNLIMITED if head.framing is Framing.UNTIL_CLOSE else head.content_length
    return LengthCutter(length, _UNLIMITED)
