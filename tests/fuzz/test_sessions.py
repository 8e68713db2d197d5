"""WebSocket sessions of either role: what frames mean, to us and to two others."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from support.frames import take_frame

from fuzz.lanes import frame_pieces
from fuzz.sessions import agree_with_websockets, agree_with_wsproto, lanes_agree, means_the_same
from fuzz.strategies import BOUNDED, changed, cuts, frame_lists, in_pieces


@st.composite
def sessions(draw: st.DrawFn) -> tuple[bytes, bool]:
    """What a peer sends, and whether our role is the client's, whose peer does not mask."""
    client = draw(st.booleans())
    return draw(changed(frame_lists(masked=not client)) | st.binary(max_size=60)), client


common_frames = st.booleans().flatmap(
    lambda client: st.tuples(frame_pieces(masked=not client).map(b"".join), st.just(client))
)


@BOUNDED
@given(sessions(), cuts, st.booleans())
def test_frames_mean_the_same_wherever_they_are_cut(
    session: tuple[bytes, bool], places: list[int], deflate: bool
) -> None:
    """In either role: the same messages, pings, pongs, Close, or violation with its code."""
    data, client = session
    for pieces in (in_pieces(data, places), [data[i : i + 1] for i in range(len(data))]):
        means_the_same(data, pieces, client=client, deflate=deflate)


@BOUNDED
@given(sessions(), st.booleans())
def test_frames_that_are_accepted_mean_the_same_to_websockets(
    session: tuple[bytes, bool], deflate: bool
) -> None:
    """In either role, compressed or not, what we give it gives, message for message."""
    data, client = session
    agree_with_websockets(data, client=client, deflate=deflate)


@BOUNDED
@given(sessions())
def test_frames_that_are_accepted_mean_the_same_to_wsproto(session: tuple[bytes, bool]) -> None:
    """In either role, without compression, as its own has bugs that ours is there for."""
    data, client = session
    agree_with_wsproto(data, client=client)


@BOUNDED
@given(sessions() | common_frames, cuts)
def test_frames_mean_the_same_in_both_lanes(session: tuple[bytes, bool], places: list[int]) -> None:
    """In either role: whole, in pieces, frame by frame and byte by byte the same events, after the
    same byte; and what was read is written as the same frames.
    """
    data, client = session
    ways = [[data], in_pieces(data, places), [data[i : i + 1] for i in range(len(data))]]
    for pieces in (*ways, list(frame_by_frame(data))):
        lanes_agree(pieces, client=client)


def frame_by_frame(data: bytes) -> Iterator[bytes]:
    """Pieces that are a frame each, but for the last, which may be whatever is no whole one."""
    while take_frame(rest := bytearray(data)) is not None:
        yield data[: len(data) - len(rest)]
        data = bytes(rest)
    yield data
