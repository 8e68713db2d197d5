"""Whole connections, whatever the peer sends and does: the invariants of the server."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import frames
from support.echo import make_driver

from fuzz.conversation import (
    Act,
    Server,
    Setting,
    Step,
    everything_happens,
    nothing_goes_wrong,
    run,
)
from fuzz.corpus import OPENING
from fuzz.judgement import hear, means_the_same
from fuzz.strategies import (
    BOUNDED,
    any_bytes,
    cuts,
    in_pieces,
    scripts,
    settings_of_a_server,
    slow_settings,
)
from nbdriver.net.tasks import Tasks


@BOUNDED
@given(scripts(), slow_settings)
def test_whatever_a_peer_does_nothing_breaks_and_every_answer_is_right(
    steps: list[Step], setting: Setting
) -> None:
    """For any bytes, cut anywhere, with any end, reset, pause and passing of time between them:

    no exception reaches the transport or the event loop, no failure is logged, and no log line has
    a control character; http.client and websockets find every answer valid; what is refused is
    closed; the connection holds no more than its limits; nothing is left of it; the next one works.
    """
    hear(steps, setting)


@BOUNDED
@given(any_bytes, cuts, settings_of_a_server)
def test_the_same_bytes_mean_the_same_wherever_they_are_cut(
    data: bytes, places: list[int], setting: Setting
) -> None:
    """The answers, the requests and messages that reach the application, and the end are those of
    the bytes in one piece, whether they come in a few pieces or, where they are few, byte by byte.
    """
    every = range(len(data)) if len(data) <= 400 else places
    means_the_same(data, [in_pieces(data, places), in_pieces(data, list(every))], setting)


@BOUNDED
@given(any_bytes, settings_of_a_server)
def test_what_is_accepted_means_the_same_to_h11_alone(data: bytes, setting: Setting) -> None:
    """Each request that reaches the application is the one that h11 reads from the raw bytes.

    So where we are stricter than h11 we refuse, and never understand something else. (The target
    is compared where it came in origin form, which ours is always brought to.)
    """
    said, _ = hear([data], setting)
    ours = [*said.requests, *([said.opening] if said.opening else [])]
    theirs = read_by_h11(data)
    assert len(theirs) >= len(ours)
    for request, (other, body) in zip(ours, theirs, strict=False):
        assert request.method == other.method.decode()
        assert request.body == body
        fields = [
            (name.encode(), value.encode("latin-1")) for name, value in request.headers.items()
        ]
        # h11 gives a coding in lower case.
        codings = {b"transfer-encoding"}
        lowered = [(n, v.lower() if n in codings else v) for n, v in fields]
        assert lowered == list(other.headers)
        if other.target.startswith(b"/"):
            assert request.target == other.target.decode()


def read_by_h11(data: bytes) -> list[tuple[h11.Request, bytes]]:
    """The requests that h11 finds, with their bodies."""
    found = []
    while data:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
        # One empty line is skipped (RFC 9112, 2.2), which h11 does not.
        connection.receive_data(data.removeprefix(b"\r\n"))
        try:
            request, body = connection.next_event(), b""
            if not isinstance(request, h11.Request):
                break
            while isinstance(event := connection.next_event(), h11.Data):
                body += event.data
        except h11.RemoteProtocolError:
            break
        if not isinstance(event, h11.EndOfMessage):
            break
        found.append((request, body))
        data = connection.trailing_data[0]
    return found


@pytest.mark.parametrize("fast", [True, False], ids=["fast lane", "plain lane"])
def test_a_peer_that_ends_while_its_opening_waits_is_judged_too(fast: bool) -> None:
    """Read together with the end, an opening is answered only where its task begins at once."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nX-A: " + b"x" * 1_900 + b"\r\n\r\n"
    setting = Setting(slow=True, max_parked=0, fast_lane=fast)
    steps = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", head, OPENING + b"\r\n", Act.END]
    said, verdict = hear(steps, setting)
    assert said.opening is not None
    assert verdict.statuses[:2] == [200, 200]


# What waits


FLOODS = {
    "requests": [b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1_000 + b"\r\n\r\n"],
    "messages": [OPENING + b"\r\n", frames.frame(b"x" * 500)],
    "fragments": [
        OPENING + b"\r\n" + frames.frame(fin=False),
        frames.frame(b"x" * 90, 0, fin=False),
    ],
    "pings": [OPENING + b"\r\n", frames.frame(b"x" * 100, frames.PING)],
    "bytes of a head": [b"GET / HTTP/1.1\r\n", b"X: a\r\n"],
    "bytes of a body": [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1400\r\n\r\n", b"x"],
}


@pytest.mark.parametrize("pausing", [False, True], ids=["reads", "does not read"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_not_held_though_the_application_is_slow(name: str, pausing: bool) -> None:
    """Four times what a connection may hold, and not more of it than that."""
    *first, again = FLOODS[name]
    setting = Setting(slow=True, max_parked=300, write_buffer=1_000)
    flood = again * (4 * setting.bound // len(again))
    steps: list[Step] = [*first, *([Act.STOP_READING] if pausing else [])]
    said, _ = hear([*steps, *in_pieces(flood, list(range(0, len(flood), 4_000)))], setting)
    assert said.held <= setting.bound or (name == "pings" and pausing)


# Events, by the driver that people use


@st.composite
def events(draw: st.DrawFn) -> tuple[list[int], list[int], bytes]:
    """The numbers of events by HTTP and by WebSocket, and what a peer sends for them."""
    posted = list(range(draw(st.integers(0, 4))))
    pushed = [100 + number for number in range(draw(st.integers(0, 4)))]
    wire = b"".join(draw(post(b'{"id": %d}' % number)) for number in posted)
    if pushed:
        lines = [b"GET /echo/ws HTTP/1.1", *OPENING.splitlines()[1:], b"X-Self-ID: 1", b"", b""]
        wire += b"\r\n".join(lines)
    for number in pushed:
        body = b'{"id": %d}' % number
        at = draw(st.integers(0, len(body)))
        wire += b"".join(frames.fragments(body[:at], body[at:])) if at else frames.frame(body)
    return posted, pushed, wire


@st.composite
def post(draw: st.DrawFn, body: bytes) -> bytes:
    start = b"POST /echo/ HTTP/1.1\r\nHost: a\r\nX-Self-ID: 1\r\n"
    if draw(st.booleans()):
        return start + b"Content-Length: %d\r\n\r\n" % len(body) + body
    coding = b"Transfer-Encoding: chunked\r\n"
    return start + coding + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@BOUNDED
@given(events(), cuts, st.integers(0, 2_000), st.sampled_from([None, Act.END, Act.RESET]))
def test_an_accepted_event_is_handled_exactly_once(
    sent: tuple[list[int], list[int], bytes], places: list[int], end_at: int, end: Act | None
) -> None:
    """Wherever the bytes are cut and the peer ends, its events are handled in order and once each,
    those that were answered 204 in any case, and all of them unless it has ended amidst.
    """
    posted, pushed, data = sent
    amidst = end is not None and end_at < len(data)
    pieces = in_pieces(data[:end_at] if amidst else data, places)
    steps: list[Step] = [*pieces, *([] if end is None else [end])]
    handled, received = run(handle(steps))
    assert handled == [*posted, *pushed][: len(handled)]
    answered = received.count(b"HTTP/1.1 204")
    assert answered <= len(handled)
    if not amidst:
        assert len(handled) == len(posted) + len(pushed)
    if end is None:
        assert answered == len(posted)
        assert received.count(b'{"got":') == len(pushed)


async def handle(steps: list[Step]) -> tuple[list[int], bytes]:
    """The numbers of the events that a driver's bots got, and what the peer got."""
    driver, tasks = make_driver(), Tasks()
    with nothing_goes_wrong():
        async with driver.server_app.lifespan():
            server = Server(Setting(), driver.server_app, tasks)
            _, peer = server.connect()
            async for _ in server.follow(peer, steps):
                pass
            received = bytes(peer.received)
            peer.transport.abort()
            await everything_happens()
            await driver.server_app.drain()
            assert driver.bots == {}
            assert len(tasks) == 0
            assert server.clock.pending == 0
            assert server.context.connections == {}
    messages: Any = driver._adapters["echo"]
    return [message["id"] for message in messages.messages], received
