"""The two lanes: whatever a peer does, nobody can tell which of them a server has taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import frames

from fuzz.conversation import (
    Conversation,
    Manner,
    Server,
    Setting,
    Step,
    Witness,
    converse,
    everything_happens,
    run,
)
from fuzz.corpus import OPENING, Case, cases
from fuzz.judgement import lanes_agree
from fuzz.lanes import SEEDS, common_pieces, common_scripts, pieces_of, saying
from fuzz.strategies import BOUNDED, in_pieces, scripts, slow_settings
from nbdriver.net.http11 import HTTPConnection
from nbdriver.net.tasks import Tasks
from nbdriver.wire.head import HeadLimits, check


@BOUNDED
@given(common_scripts(), slow_settings)
def test_what_clients_send_means_the_same_in_both_lanes(
    steps: list[Step], setting: Setting
) -> None:
    """For heads that repeat with other lengths and plain frames, and what breaks them, cut, joined,
    with pauses and any end: the same requests, messages, answers, log lines and ends, step by step.
    """
    lanes_agree(steps, setting)


@BOUNDED
@given(scripts(), slow_settings)
def test_whatever_a_peer_sends_means_the_same_in_both_lanes(
    steps: list[Step], setting: Setting
) -> None:
    """The same, for all that is made up for a connection, which is odd for the most part."""
    lanes_agree(steps, setting)


@BOUNDED
@given(common_pieces(), st.integers(0, 3_000), st.integers(0, 3_000), st.sampled_from(Manner))
def test_what_clients_send_means_the_same_wherever_it_is_cut(
    pieces: list[bytes], first: int, second: int, manner: Manner
) -> None:
    """In one piece, in three, and byte by byte if it is short."""
    data = b"".join(pieces)
    setting = Setting(manner=manner)
    lanes_agree([data], setting)
    lanes_agree([*in_pieces(data, [first % (len(data) + 1), second % (len(data) + 1)])], setting)
    if len(data) <= 300:
        lanes_agree([data[i : i + 1] for i in range(len(data))], setting)


POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CONVERSATIONS = {
    "requests": [POST % (1, b"a"), POST % (1, b"b"), POST % (2, b"cd"), POST % (0, b"")],
    "plain and not": [POST % (1, b"a"), CHUNKED, POST % (1, b"b"), CLOSING],
    "refused": [POST % (1, b"a"), POST % (1, b"b") + b"?", POST % (1, b"c")],
    "frames": [OPENING + b"\r\n", frames.frame("one"), frames.frame(b"\xff", frames.BINARY)],
    "fragments": [
        OPENING + b"\r\n" + frames.frame("one"),
        *frames.fragments("t", "w", "o", key=b"abcd"),
        frames.frame("three", key=b"abcd"),
        frames.close(),
    ],
    "controls": [
        POST % (1, b"a"),
        OPENING + b"\r\n",
        frames.frame(b"?", frames.PING),
        frames.frame("one", key=b"abcd"),
        frames.frame(b"!", frames.PONG),
        frames.frame(b"\xff", key=b"abcd"),
    ],
}


@pytest.mark.parametrize("manner", Manner)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_cut_in_two_at_every_point_it_means_the_same_in_both_lanes(
    name: str, manner: Manner
) -> None:
    """Each piece of a conversation is cut once, everywhere, and all others are whole."""
    pieces, setting = CONVERSATIONS[name], Setting(manner=manner)
    lanes_agree(pieces, setting)
    lanes_agree([b"".join(pieces)], setting)
    for number, piece in enumerate(pieces):
        for place in range(1, len(piece)):
            parts = [piece[:place], piece[place:]]
            lanes_agree([*pieces[:number], *parts, *pieces[number + 1 :]], setting)


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_what_once_broke_means_the_same_in_both_lanes(case: Case) -> None:
    lanes_agree([case.sent], case.setting)
    head, end, rest = case.sent.partition(b"\r\n\r\n")
    lanes_agree([head + end, *([rest] if rest else [])], case.setting)


# What it is that is compared


async def asks_h11(pieces: list[bytes], setting: Setting) -> bool:
    """Whether h11 has read or written anything by the end of these pieces."""
    said, tasks = Conversation(setting, pieces), Tasks()
    server = Server(setting, Witness(said, tasks), tasks)
    stream, peer = server.connect()
    async for _ in server.follow(peer, [*pieces]):
        pass
    connection = server.context.connections[stream]
    assert isinstance(connection, HTTPConnection)
    asked = connection._exchange._h11 is not None
    peer.transport.abort()
    await everything_happens()
    return asked


def test_what_clients_send_takes_the_fast_lane() -> None:
    """Else both would be the same lane."""
    fast, plain = Setting(fast_lane=True), Setting(fast_lane=False)
    pieces = [POST % (1, b"a"), POST % (2, b"bc"), *in_pieces(POST % (3, b"def"), [5, 50])]
    assert not run(asks_h11(pieces, fast))
    assert run(asks_h11(pieces, plain))
    assert run(asks_h11([*pieces, CHUNKED], fast))


@pytest.mark.parametrize(
    ("data", "pieces"),
    [
        (b"", []),
        (b"=\x03abc=\x09de", [b"abc", b"de"]),
        (b"=\x00a=\x01x", [b"x"]),
        (b"=\x03abca", [b"abc", b"abc"]),
        (b"=\x03abcc\x04X", [b"abc", b"aXc"]),
        (b"j=\x03abcj=\x01dja", [b"abcdabcd"]),
        (b"=\x03abcx\x01j=\x01d", [b"a", b"bcd"]),
        (b"x\x01c\x05=", [b"="]),
        (b"t\x01a", [frames.frame("a", key=b"\x01\x80\xff\x00")]),
        (b"b\x01\xff", [frames.frame(b"\xff", frames.BINARY, key=b"\x01\x80\xff\x00")]),
        (b"f\x89\x01?", [frames.frame(b"?", frames.PING)]),
        (b"u", [OPENING + b"\r\n"]),
        (b"h", [b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"]),
    ],
)
def test_bytes_say_which_pieces_are_sent(data: bytes, pieces: list[bytes]) -> None:
    assert pieces_of(data) == pieces


def test_a_usual_head_announces_the_body_behind_it() -> None:
    for letter in (b"p", b"q"):
        (piece,) = pieces_of(letter + b"\x04body")
        head, _, body = piece.partition(b"\r\n\r\n")
        assert b"ength:" in head
        assert check(head + b"\r\n\r\n", HeadLimits()).content_length == len(body) == 4


@given(st.lists(st.binary(min_size=1, max_size=600)))
def test_any_pieces_can_be_said(pieces: list[bytes]) -> None:
    assert pieces_of(saying(pieces)) == pieces


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_is_a_conversation(seed: bytes) -> None:
    said = run(converse(pieces_of(seed[1:]), Setting()))
    assert said.requests or said.messages
