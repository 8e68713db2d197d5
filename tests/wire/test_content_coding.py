"""Content codings (RFC 9110, 8.4.1): whole, cut anywhere, cut short, and larger than allowed."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterable
from itertools import pairwise
from random import Random

import pytest
from fuzz.strategies import BOUNDED
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.errors import InvalidResponse
from nbdriver.wire.content_coding import ACCEPT_ENCODING, PIECE, ContentDecoder

TEXT = b"What is said twice is said twice. " * 40 + Random(1).randbytes(5_000)


def raw(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "raw": raw}


def encoded(data: bytes, *codings: str) -> bytes:
    for coding in codings:
        data = ENCODERS[coding](data)
    return data


def name_of(*codings: str) -> str:
    return ", ".join("deflate" if coding == "raw" else coding for coding in codings)


def decoded(coding: str | None, pieces: Iterable[bytes], limit: int | None = None) -> bytes:
    decoder = ContentDecoder.of(coding, limit)
    body = bytearray()
    for piece in pieces:
        decoder.feed(piece)
        while out := decoder.take():
            assert len(out) <= PIECE or not decoder.decodes
            body += out
    decoder.end()
    return bytes(body)


CODINGS = [("gzip",), ("deflate",), ("raw",), ("deflate", "gzip"), ("gzip", "raw", "gzip")]


@pytest.mark.parametrize("codings", CODINGS)
@pytest.mark.parametrize("size", [1, 2, 3, 100, 10**6])
def test_a_body_is_decoded_however_it_is_cut(codings: tuple[str, ...], size: int) -> None:
    data = encoded(TEXT, *codings)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert decoded(name_of(*codings), pieces) == TEXT


@pytest.mark.parametrize("codings", CODINGS)
@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_a_body_of_many_pieces_is_decoded_to_its_end(codings: tuple[str, ...], size: int) -> None:
    assert decoded(name_of(*codings), [encoded(bytes(size), *codings)]) == bytes(size)


@BOUNDED
@given(
    data=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 400)),
    codings=st.sampled_from(CODINGS),
)
def test_what_was_encoded_comes_out_again(
    data: bytes, cuts: list[int], codings: tuple[str, ...]
) -> None:
    body = encoded(data, *codings)
    ends = [0, *sorted(cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(ends)]
    assert decoded(name_of(*codings), pieces) == data


@pytest.mark.parametrize("coding", [None, "", "identity", " , identity"])
def test_a_body_without_coding_is_as_it_came(coding: str | None) -> None:
    assert not ContentDecoder.of(coding, 10).decodes
    assert decoded(coding, [b"ab", b"", b"c"], 3) == b"abc"


@pytest.mark.parametrize("coding", ["GZIP", "x-gzip", " gzip ", "identity, gzip", ",gzip,"])
def test_a_coding_has_its_names(coding: str) -> None:
    assert decoded(coding, [gzip.compress(b"abc")]) == b"abc"


@pytest.mark.parametrize("coding", ["br", "gzip, br", "br, gzip", "zstd", "gzip gzip"])
def test_a_body_with_a_coding_that_was_not_asked_for_is_as_it_came(coding: str) -> None:
    assert not ContentDecoder.of(coding, None).decodes
    assert decoded(coding, [gzip.compress(b"a")]) == gzip.compress(b"a")


def test_every_coding_that_is_asked_for_is_decoded() -> None:
    for coding in ACCEPT_ENCODING.split(", "):
        assert ContentDecoder.of(coding, None).decodes


def test_more_codings_than_anybody_has_a_use_for_are_refused() -> None:
    assert decoded("gzip,gzip,gzip,gzip", [encoded(b"a", *["gzip"] * 4)]) == b"a"
    with pytest.raises(InvalidResponse, match="at most 4 content codings, got 'gzip, gzip, gzip"):
        ContentDecoder.of("gzip,gzip,gzip,gzip,gzip", None)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, deflate"])
def test_nothing_at_all_is_a_whole_body(coding: str) -> None:
    assert decoded(coding, []) == b""
    assert decoded(coding, [b""]) == b""


@pytest.mark.parametrize("codings", CODINGS)
def test_a_body_of_nothing_encoded_is_empty(codings: tuple[str, ...]) -> None:
    assert decoded(name_of(*codings), [encoded(b"", *codings)]) == b""


# RFC 1952, 2.2


@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_a_body_in_gzip_may_have_several_members(size: int) -> None:
    data = gzip.compress(b"ab") + gzip.compress(b"") + gzip.compress(b"cd" * PIECE)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert decoded("gzip", pieces) == b"ab" + b"cd" * PIECE


def test_members_that_hold_something_may_be_as_many_as_there_are() -> None:
    member = gzip.compress(bytes(2_048))
    assert decoded("gzip", [member * 3_000]) == bytes(2_048 * 3_000)


def test_members_without_content_are_not_without_number() -> None:
    member = gzip.compress(b"")
    assert decoded("gzip", [member * 1_024]) == b""
    with pytest.raises(InvalidResponse, match="expected fewer than 1025 members in gzip"):
        decoded("gzip", [member * 1_025])


@pytest.mark.parametrize("garbage", [b"\x00", b"\x1f", b"garbage", b"\x1f\x8b\x00", bytes(600)])
@pytest.mark.parametrize("cut", [True, False])
def test_what_stands_behind_a_body_in_gzip_and_is_none_is_refused(
    garbage: bytes, cut: bool
) -> None:
    data = gzip.compress(b"abc")
    with pytest.raises(InvalidResponse, match=r"expected (a|the rest of a) body in gzip"):
        decoded("gzip", [data, garbage] if cut else [data + garbage])


@pytest.mark.parametrize("coding", ["deflate", "raw"])
@pytest.mark.parametrize("cut", [True, False])
def test_what_stands_behind_a_body_in_deflate_is_refused(coding: str, cut: bool) -> None:
    data = encoded(b"abc", coding)
    with pytest.raises(InvalidResponse, match="expected nothing after the end of a body in deflat"):
        decoded("deflate", [data, b"x"] if cut else [data + b"x"])


# Cut short, or another thing altogether.


@pytest.mark.parametrize("codings", CODINGS)
def test_a_body_cut_short_anywhere_is_no_body(codings: tuple[str, ...]) -> None:
    data = encoded(b"What is said twice is said twice.", *codings)
    for end in range(1, len(data)):
        with pytest.raises(
            InvalidResponse, match=r"expected the rest of a body in \w+, got its en"
        ):
            decoded(name_of(*codings), [data[:end]])


def test_a_checksum_that_is_wrong_is_seen() -> None:
    data = bytearray(gzip.compress(b"abc"))
    data[-8] ^= 1
    with pytest.raises(
        InvalidResponse, match=r"expected a body in gzip, got .*incorrect data check"
    ):
        decoded("gzip", [bytes(data)])


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate, gzip"])
@pytest.mark.parametrize("data", [b"<html>", b"\xff" * 100, b"null"])
def test_what_is_in_no_such_coding_is_refused(coding: str, data: bytes) -> None:
    with pytest.raises(InvalidResponse, match=r"expected a body in \w+, got"):
        decoded(coding, [data])


@BOUNDED
@given(coding=st.sampled_from(["gzip", "deflate", "gzip, deflate"]), pieces=st.lists(st.binary()))
def test_any_bytes_are_decoded_or_refused(coding: str, pieces: list[bytes]) -> None:
    try:
        decoded(coding, pieces, 1_000)
    except InvalidResponse as error:
        assert "expected" in str(error)  # noqa: PT017 # most are refused, not all


# Limits and memory.


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "identity"])
def test_the_limit_is_that_of_the_body_once_decoded(coding: str) -> None:
    body = bytes(1_000) if coding == "identity" else encoded(bytes(1_000), coding)
    named = "deflate" if coding == "raw" else coding
    assert decoded(named, [body], 1_000) == bytes(1_000)
    with pytest.raises(InvalidResponse, match="a body of at most 999 bytes once it is decoded"):
        decoded(named, [body], 999)


def bomb(size: int, coding: str) -> bytes:
    wbits = {"gzip": 31, "deflate": 15, "raw": -15}[coding]
    stream = zlib.compressobj(9, wbits=wbits)
    return b"".join([*(stream.compress(bytes(2**20)) for _ in range(size >> 20)), stream.flush()])


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw"])
@pytest.mark.parametrize("size", [8 * 2**20, 64 * 2**20])
def test_a_bomb_stops_at_the_limit_in_bounded_memory(coding: str, size: int) -> None:
    payload = bomb(size, coding)
    assert len(payload) < size // 900
    tracemalloc.start()
    try:
        with pytest.raises(InvalidResponse, match="at most 1048576 bytes"):
            decoded(name_of(coding), [payload], 2**20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20 + 4 * len(payload)


@pytest.mark.parametrize("coding", ["gzip", "raw", "gzip, gzip"])
def test_without_a_limit_nothing_is_inflated_before_it_is_taken(coding: str) -> None:
    payload = bomb(64 * 2**20, coding.partition(",")[0])
    payload = gzip.compress(payload) if "," in coding else payload
    decoder = ContentDecoder.of(coding.replace("raw", "deflate"), None)
    tracemalloc.start()
    try:
        decoder.feed(payload)
        size = 0
        while piece := decoder.take():
            size += len(piece)
        decoder.end()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 64 * 2**20
    assert peak < 20 * PIECE


def test_what_is_between_two_codings_has_a_limit_too() -> None:
    """Or there could be any number of it with nothing inside."""
    inner = zlib.compressobj(0, wbits=31)
    empty = inner.compress(b"") + b"".join(inner.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    padding = b"\x00\x00\x00\xff\xff" * 10**6  # stored blocks of nothing
    with pytest.raises(InvalidResponse, match=r"at most .* bytes once it is decoded"):
        decoded("gzip, gzip", [gzip.compress(empty + padding)], 1_000)


def test_what_cannot_be_compressed_may_be_larger_between_two_codings() -> None:
    data = Random(2).randbytes(100_000)
    assert decoded("gzip, deflate", [encoded(data, "gzip", "deflate")], len(data)) == data


NOTHING = b"\x00\x00\x00\xff\xff"  # a stored block without content (RFC 1951, 3.2.4)
NAMED = b"\x1f\x8b\x08\x08" + bytes(6)  # a header of gzip in which a name begins (RFC 1952, 2.3)
FREE = 2**20


@pytest.mark.parametrize("beginning", ["", "gzip"])
@pytest.mark.parametrize("limit", [None, 64 * FREE])
def test_what_holds_nothing_is_not_inflated_without_end(beginning: str, limit: int | None) -> None:
    body, coding = (NAMED + b"x" * FREE, "gzip") if beginning else (NOTHING * FREE, "deflate")
    said = f"expected a body in {coding}, got 10[0-9]+ bytes of it which hold 0$"
    for codings in ([coding], [coding, "gzip"], [coding, "deflate", "gzip"]):
        with pytest.raises(InvalidResponse, match=said):
            decoded(", ".join(codings), [encoded(body, *codings[1:])], limit)


def test_a_server_may_flush_after_each_byte() -> None:
    stream = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    text = bytes(range(256)) * 700
    flushed = (
        stream.compress(text[n : n + 1]) + stream.flush(zlib.Z_SYNC_FLUSH) for n in range(len(text))
    )
    data = b"".join(flushed) + stream.flush()
    assert len(data) > FREE
    assert decoded("gzip", [data]) == text
