"""Whole connections, whatever the peer sends and does: the invariants of the server."""

from __future__ import annotations

from hypothesis import given

from fuzz.conversation import Conversation, Setting, converse, run
from fuzz.judgement import Verdict, judge
from fuzz.strategies import BOUNDED, any_bytes, cuts, in_pieces, scripts, settings_of_a_server


def held_with(steps: list, setting: Setting) -> tuple[Conversation, Verdict]:
    said = run(converse(steps, setting))
    return said, judge(said)


@BOUNDED
@given(scripts(), settings_of_a_server)
def test_whatever_a_peer_does_nothing_breaks_and_every_answer_is_right(
    steps: list, setting: Setting
) -> None:
    """For any bytes, cut anywhere, with any end, reset, pause and passing of time between them:

    no exception reaches the transport or the event loop, no failure is logged, and no log line has
    a control character; http.client and websockets find every answer valid; what is refused is
    closed; the connection holds no more than its limits; nothing is left of it; the next one works.
    """
    held_with(steps, setting)


@BOUNDED
@given(any_bytes, cuts, settings_of_a_server)
def test_the_same_bytes_mean_the_same_wherever_they_are_cut(
    data: bytes, places: list[int], setting: Setting
) -> None:
    """The answers, the requests and messages that reach the application, and the end are those of
    the bytes in one piece, whether they come in a few pieces or, where they are few, byte by byte.
    """
    whole, verdict = held_with([data], setting)
    every = range(len(data)) if len(data) <= 400 else places
    for pieces in (in_pieces(data, places), in_pieces(data, list(every))):
        said, same = held_with(pieces, setting)
        assert same == verdict
        assert list(map(str, said.requests)) == list(map(str, whole.requests))
        assert [each.body for each in said.requests] == [each.body for each in whole.requests]
        assert said.messages == whole.messages
        assert said.closed == whole.closed
        assert said.eof == whole.eof
