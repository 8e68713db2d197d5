"""What a peer would make of our answers: http.client reads the HTTP, websockets the frames.

Neither has a line in common with h11 and wsproto, which wrote what is read here.
"""

from __future__ import annotations

import http.client
import io
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from support import frames
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame as TheirFrame
from websockets.uri import parse_uri

from nbdriver.model import Request

from .conversation import Act, Conversation, Manner, Setting, Step, converse, echo, run

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EXPECTED_HEADERS = frozenset(
    """allow connection content-length content-type date retry-after sec-websocket-accept
    sec-websocket-extensions sec-websocket-protocol sec-websocket-version upgrade""".split()
)


@dataclass
class Answer:
    """A final answer, or the 101."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Verdict:
    """What came back, as a peer sees it; two conversations with equal ones were the same to it."""

    statuses: list[int] = field(default_factory=list)
    messages: list[str | bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    pings: int = 0
    close: int | None = None
    """The code of our Close; 1005 for one without."""


class _Bytes(io.BytesIO):
    """Stands for the socket that http.client reads from, which it must not close."""

    def makefile(self, mode: str) -> _Bytes:
        return self

    def close(self) -> None:
        pass


def hear(steps: Sequence[Step], setting: Setting) -> tuple[Conversation, Verdict]:
    """Hold a conversation and judge it."""
    said = run(converse(steps, setting))
    return said, judge(said)


def means_the_same(data: bytes, cut: Iterable[list[bytes]], setting: Setting) -> None:
    """See that bytes that come in pieces are answered as they are in one piece.

    A compressed message may be too long and no UTF-8 either: which is seen first depends on how
    much is inflated at once.
    """
    whole, verdict = hear([data], setting)
    for pieces in cut:
        said, same = hear(pieces, setting)
        if setting.deflate and {same.close, verdict.close} == {1007, 1009}:
            continue
        assert same == verdict
        assert list(map(str, said.requests)) == list(map(str, whole.requests))
        assert [each.body for each in said.requests] == [each.body for each in whole.requests]
        assert said.messages == whole.messages
        # The words of a reason may say where in a piece the bad byte was.
        assert (said.closed or (0, ""))[0] == (whole.closed or (0, ""))[0]
        assert said.eof == whole.eof


_DATE = re.compile(rb"\r\nDate: \w{3}, [0-9]{2} \w{3} [0-9]{4} [0-9:]{8} GMT\r\n")


def lanes_agree(steps: Sequence[Step], setting: Setting) -> Conversation:
    """See that the short cuts change nothing that anybody could see; gives what was said by them.

    The same requests and messages, to the last byte the same answers (but for the time on them),
    each after the same step, the same lines in the log, and the same end.
    """
    fast, verdict = hear(steps, replace(setting, fast_lane=True))
    law, same = hear(steps, replace(setting, fast_lane=False))
    assert verdict == same
    assert _DATE.sub(b"", fast.received) == _DATE.sub(b"", law.received)
    assert [*map(_facts, fast.requests)] == [*map(_facts, law.requests)]
    assert (fast.opening and _facts(fast.opening)) == (law.opening and _facts(law.opening))
    assert [(type(each), each) for each in fast.messages] == [
        (type(each), each) for each in law.messages
    ]
    assert (fast.closed, fast.eof, fast.lost) == (law.closed, law.eof, law.lost)
    assert fast.course == law.course
    assert fast.logged == law.logged
    return fast


def _facts(request: Request) -> tuple[object, ...]:
    """All that an application may read in a request; `body` is to be bytes, not just equal them."""
    return (
        request.method,
        request.target,
        list(request.headers.items()),
        (type(request.body), request.body),
        request.http_version,
        request.scheme,
        request.client,
        str(request),
    )


def judge(said: Conversation) -> Verdict:
    """See that what was answered is right and whole; gives it without what no rule fixes."""
    verdict = Verdict()
    cut_short = (said.lost and not said.eof) or Act.STOP_READING in said.steps
    data = _Bytes(said.received)
    try:
        while (at := data.tell()) < len(said.received):
            if said.received.startswith(CONTINUE, at):
                data.seek(at + len(CONTINUE))
                continue
            answer = _read_answer(data, said, len(verdict.statuses))
            verdict.statuses.append(answer.status)
            _check_answer(answer, said, verdict)
            if answer.status == 101:
                _judge_frames(said, said.received[at:], data.read(), verdict, cut_short)
            elif answer.headers.get("connection", "").startswith("close"):
                assert data.tell() == len(said.received), "nothing follows the last answer"
                assert said.eof or said.lost, "the last answer ends the connection"
    except (http.client.IncompleteRead, http.client.RemoteDisconnected):
        assert cut_short, "an answer is not complete"
    _check_counts(said, verdict, cut_short)
    return verdict


def _read_answer(data: _Bytes, said: Conversation, number: int) -> Answer:
    methods = [request.method for request in said.requests]
    method = methods[number] if number < len(methods) else "GET"
    response = http.client.HTTPResponse(data, method=method)  # type: ignore[arg-type]
    response.begin()
    assert response.version == 11
    assert response.msg.defects == []
    assert response.reason.isprintable()
    start = data.tell()
    try:
        body = response.read()
    except http.client.IncompleteRead:
        # A refusal may be that of a HEAD, which is nowhere written down.
        if not (response.status >= 400 and start == len(said.received) and b"HEAD " in said.sent):
            raise
        body = b""
    headers = {name.lower(): value for name, value in response.headers.items()}
    # A list may stand in several lines (RFC 9110, 5.3), as h11 writes the options of a connection.
    options = response.headers.get_all("connection", [])
    headers |= {"connection": ", ".join(options)} if options else {}
    single = len(response.headers) - max(0, len(options) - 1)
    assert len(headers) == single, "no other header comes twice"
    assert headers.keys() <= _EXPECTED_HEADERS
    return Answer(response.status, headers, body)


def _check_answer(answer: Answer, said: Conversation, verdict: Verdict) -> None:
    """An echo for each request, in order; then a refusal or a WebSocket, at the most."""
    handled = len(verdict.statuses) <= len(said.requests)
    if handled:
        request = said.requests[len(verdict.statuses) - 1]
        assert answer.status == 200
        assert answer.body == (b"" if request.method == "HEAD" else echo(request))
    elif answer.status == 101:
        assert said.opening is not None
    else:
        assert 400 <= answer.status <= 599
        assert answer.status != 500
        assert answer.headers["connection"].startswith("close"), "what is refused is closed"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert re.fullmatch(rb"([ -~]+\n)?", answer.body)


def _check_counts(said: Conversation, verdict: Verdict, cut_short: bool) -> None:
    final = [status for status in verdict.statuses if status != 200]
    assert len(final) <= 1
    assert verdict.statuses[: len(verdict.statuses) - len(final)].count(200) <= len(said.requests)
    if Act.RESET not in said.steps and not cut_short:
        assert verdict.statuses.count(200) == len(said.requests), "each request has its answer"
        # Before Python 3.12 a handler begins a turn later, and the peer may have ended by then.
        too_late = sys.version_info < (3, 12) and Act.END in said.steps and 101 not in final
        assert too_late or (101 in final) == (said.opening is not None)


def _judge_frames(
    said: Conversation, answer: bytes, after: bytes, verdict: Verdict, cut_short: bool
) -> None:
    """What websockets, as the client, makes of the 101 and all that follows it."""
    client = _client(said, answer)
    client.receive_data(answer)
    assert client.handshake_exc is None
    assert client.parser_exc is None
    buffer = bytearray(after)
    raw = list(iter(lambda: frames.take_frame(buffer), None))
    assert cut_short or not buffer, "frames are whole"
    assert frames.CLOSE not in [frame.opcode for frame in raw[:-1]], "a Close is the last frame"
    for event in client.events_received():
        if isinstance(event, TheirFrame):
            assert event.fin
            _note(int(event.opcode), bytes(event.data), verdict)
    known = len(verdict.messages) + len(verdict.pongs) + verdict.pings
    assert len(raw) == known + (verdict.close is not None)
    if said.setting.manner is Manner.RECEIVE:
        assert verdict.messages == said.messages[: len(verdict.messages)], "echoed in their order"
    if said.eof and not said.lost and Act.END not in said.steps:
        assert verdict.close is not None, "who is still there is told why"


def _client(said: Conversation, answer: bytes) -> ClientProtocol:
    """A client that has sent the request which was answered so."""
    assert said.opening is not None
    granted = re.search(rb"(?i)\r\nSec-WebSocket-Extensions: (.*)\r\n", answer)
    assert granted is None or said.setting.deflate
    offers = [_offer(granted[1])] if granted else []
    client = ClientProtocol(parse_uri("ws://a/"), extensions=offers, max_size=None)
    request = client.connect()
    client.key = said.opening.headers.get("sec-websocket-key", "")
    client.send_request(request)
    return client


def _offer(granted: bytes) -> ClientPerMessageDeflateFactory:
    """The widest offer to which the answer can be one (RFC 7692, 7.1)."""
    bits = re.search(rb"server_max_window_bits=([0-9]+)", granted)
    return ClientPerMessageDeflateFactory(
        server_max_window_bits=int(bits[1]) if bits else None,
        client_max_window_bits=b"client_max_window_bits" in granted or None,
    )


def _note(opcode: int, data: bytes, verdict: Verdict) -> None:
    match opcode:
        case frames.TEXT:
            verdict.messages.append(data.decode())
        case frames.BINARY:
            verdict.messages.append(data)
        case frames.PING:
            verdict.pings += 1
        case frames.PONG:
            verdict.pongs.append(data)
        case frames.CLOSE:
            verdict.close = int.from_bytes(data[:2], "big") if data else 1005
