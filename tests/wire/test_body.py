"""Bodies: where they end in the strictest reading of RFC 9112, and that h11 reads the same."""

from __future__ import annotations

from collections.abc import Iterable

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbdriver.errors import HTTPError
from nbdriver.wire.body import BodyCutter, ChunkedCutter, LengthCutter

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT = 1_000


def cut_all(cutter: BodyCutter, pieces: Iterable[bytes]) -> tuple[list[bytes], bytes]:
    """The elements that a cutter makes of bytes that come in pieces, and what it leaves."""
    buffer, elements = bytearray(), list[bytes]()
    for piece in pieces:
        buffer += piece
        while (element := cutter.cut(buffer)) is not None:
            elements.append(element)
    return elements, bytes(buffer)


def read_by_h11(elements: Iterable[bytes]) -> bytes | None:
    """The body that h11 reads from a chunked request; None if it is not complete."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(CHUNKED)
    assert isinstance(connection.next_event(), h11.Request)
    body = bytearray()
    for element in filter(None, elements):
        connection.receive_data(element)
        while not isinstance(event := connection.next_event(), type):
            if isinstance(event, h11.EndOfMessage):
                assert connection.trailing_data == (b"", False)
                return bytes(body)
            assert isinstance(event, h11.Data)
            body += event.data
    return None


def body_of(data: bytes, limit: int = LIMIT) -> bytes | None:
    """What h11 reads from a chunked body after the cutter has passed it."""
    return read_by_h11(cut_all(ChunkedCutter(limit), [data])[0])


def status_of(data: bytes, limit: int = LIMIT) -> int:
    """The status with which a chunked body is refused, whole and byte by byte alike."""
    statuses = []
    for pieces in ([data], one_by_one(data)):
        with pytest.raises(HTTPError) as caught:
            cut_all(ChunkedCutter(limit), pieces)
        assert caught.value.reason.startswith("expected ")
        assert caught.value.reason.isascii()
        assert caught.value.reason.isprintable()
        assert len(caught.value.reason) < 400
        statuses.append(caught.value.status_code)
    assert statuses[0] == statuses[1]
    return statuses[0]


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# A body of a known length.


def test_a_body_of_a_known_length_ends_there_and_what_follows_it_stays() -> None:
    assert cut_all(LengthCutter(5, LIMIT), [b"hello, world"]) == ([b"hello"], b", world")


def test_a_body_of_a_known_length_is_given_on_as_it_comes() -> None:
    assert cut_all(LengthCutter(5, LIMIT), [b"he", b"", b"lloGET", b" /"]) == (
        [b"he", b"llo"],
        b"GET /",
    )


def test_a_length_of_exactly_the_limit_is_taken_and_one_more_is_413() -> None:
    assert cut_all(LengthCutter(LIMIT, LIMIT), [b"x" * LIMIT]) == ([b"x" * LIMIT], b"")
    with pytest.raises(HTTPError) as caught:
        LengthCutter(LIMIT + 1, LIMIT)
    assert caught.value.status_code == 413


# A chunked body.


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", b"hello"),
        (b"00000A\r\n\r\n\r\n0\r\n\r\n\r\n000\r\n\r\n", b"\r\n\r\n0\r\n\r\n\r"),
        (b"5;name=value\r\nhello\r\n0;last\r\n\r\n", b"hello"),
        (b'5; a="b c" \t;\xff\r\nhello\r\n0\r\n\r\n', b"hello"),
        (b"5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"hello"),
    ],
)
def test_a_chunked_body_is_read_the_same_wherever_it_is_cut(data: bytes, body: bytes) -> None:
    if body.startswith(b"\r"):
        data = b"A\r\n" + body + b"\r\n0\r\n\r\n"
    follows = b"GET / HTTP/1.1\r\n"
    for pieces in (
        [data + follows],
        one_by_one(data + follows),
        *([data[:i], data[i:] + follows] for i in range(len(data))),
    ):
        elements, left = cut_all(ChunkedCutter(LIMIT), pieces)
        assert read_by_h11(elements) == body
        assert left == follows


@pytest.mark.parametrize("size", ["", "+5", "-5", "0x5", "5_0", " 5", "5 ", "G", "\xb2", "5" * 17])
def test_a_chunk_size_is_up_to_16_hex_digits_and_nothing_else(size: str) -> None:
    assert status_of(f"{size}\r\nhello\r\n".encode("latin-1")) == 400


@pytest.mark.parametrize("line", [b"5\n", b"5;a\n", b"5;a\nb\r\n", b"\n", b"\r\n"])
def test_a_bare_lf_in_a_chunk_line_is_400(line: bytes) -> None:
    assert status_of(line + b"hello\r\n0\r\n\r\n") == 400


@pytest.mark.parametrize("extension", [b";a\rb", b";\0", b";\x01", b";\x7f", b"\r", b"a=b", b" a"])
def test_a_bare_cr_or_a_control_character_in_a_chunk_extension_is_400(extension: bytes) -> None:
    assert status_of(b"5" + extension + b"\r\nhello\r\n") == 400


def test_a_chunk_line_that_does_not_end_is_400() -> None:
    assert status_of(b"5;" + b"a" * 254) == 400


def test_a_blank_before_an_extension_is_left_to_h11_which_refuses_it() -> None:
    """RFC 9112, 7.1.1 allows it for the sake of old senders; h11 is the stricter judge."""
    for data in (b"5 ;a\r\nhello\r\n", b"0\t;a\r\n\r\n"):
        elements, _ = cut_all(ChunkedCutter(LIMIT), [data])
        with pytest.raises(h11.RemoteProtocolError):
            read_by_h11(elements)


@pytest.mark.parametrize("end", [b"XX0\r\n\r\n", b"\n0\r\n\r\n", b"\rX", b"0\r\n\r\n"])
def test_data_of_a_chunk_that_is_not_followed_by_cr_lf_is_400_cve_2025_43859(end: bytes) -> None:
    assert status_of(b"1\r\na" + end) == 400


def test_every_element_is_given_as_soon_as_it_is_there() -> None:
    elements, _ = cut_all(ChunkedCutter(LIMIT), [b"2\r\na", b"b\r\n", b"0\r\n\r\n"])
    assert elements == [b"2\r\n", b"a", b"b", b"\r\n", b"0\r\n", b"\r\n"]
    assert cut_all(ChunkedCutter(LIMIT), [b"1\r\na\r\n"]) == ([b"1\r\n", b"a", b"\r\n"], b"")


def test_a_chunk_that_goes_over_the_limit_is_413_by_its_line_alone() -> None:
    assert status_of(b"3e9\r\n") == 413
    assert status_of(b"1\r\na\r\n3e8\r\n") == 413
    assert status_of(b"ffffffffffffffff\r\n") == 413
    exact = b"1\r\na\r\n3e7\r\n" + b"b" * 999 + b"\r\n0\r\n\r\n"
    assert body_of(exact) == b"a" + b"b" * 999


def test_a_blank_before_an_extension_is_no_reason_to_refuse_an_answer() -> None:
    elements, _ = cut_all(
        ChunkedCutter(LIMIT, of_answer=True), [b"5 ;a=b\r\nhello\r\n0\t; a\r\n\r\n"]
    )
    assert elements == [b"5\r\n", b"hello", b"\r\n", b"0\r\n", b"\r\n"]
    assert read_by_h11(elements) == b"hello"


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" " * 250])
def test_blanks_behind_a_size_are_passed_over_in_answers_alone(blanks: bytes) -> None:
    data = b"5" + blanks + b"\r\nhello\r\n0" + blanks + b"\r\n\r\n"
    assert status_of(data) == 400
    for pieces in ([data], one_by_one(data)):
        elements, _ = cut_all(ChunkedCutter(LIMIT, of_answer=True), pieces)
        assert read_by_h11(elements) == b"hello"


@pytest.mark.parametrize("line", [b" 5\r\n", b"5 5\r\n", b"5 \n", b"\r\n", b" \r\n", b"5\xa0\r\n"])
def test_blanks_elsewhere_are_400_in_answers_too(line: bytes) -> None:
    with pytest.raises(HTTPError, match="a chunk size in hex"):
        cut_all(ChunkedCutter(LIMIT, of_answer=True), [line])


# Trailers.


@pytest.mark.parametrize(
    "trailer", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: b"]
)
def test_trailers_change_nothing_cve_2025_53643(trailer: bytes) -> None:
    elements, left = cut_all(ChunkedCutter(LIMIT), [b"0\r\n" + trailer + b"\r\n\r\nhello"])
    assert elements == [b"0\r\n", b"\r\n"]
    assert read_by_h11(elements) == b""
    assert left == b"hello"


@pytest.mark.parametrize(
    "line", [b"a\r\n", b"a : b\r\n", b" a\r\n", b"a: \x01\r\n", b"a: b\n", b"\n"]
)
def test_a_malformed_trailer_is_400(line: bytes) -> None:
    assert status_of(b"0\r\n" + line) == 400


def test_trailers_of_8_kib_are_taken_and_more_are_431() -> None:
    def of_size(size: int) -> bytes:
        return b"0\r\n" + b"A: b\r\n" * 1_000 + b"B: " + b"x" * (size - 6_007) + b"\r\n\r\n"

    assert len(of_size(8_192)) == 8_192 + len(b"0\r\n")
    assert body_of(of_size(8_192)) == b""
    assert status_of(of_size(8_193)) == 431


def test_a_trailer_that_does_not_end_is_431() -> None:
    assert body_of(b"0\r\nA: " + b"x" * 8_188) is None
    assert status_of(b"0\r\nA: " + b"x" * 8_189) == 431


# For any bytes.

CHUNKS = st.lists(st.binary(min_size=1, max_size=20), max_size=6)
EXTENSIONS = st.sampled_from([b"", b"", b";a", b';a="b c"', b";\t \xff"])
NOISE = st.lists(
    st.sampled_from(
        [b"5", b"a", b"0", b"\r\n", b"\r\n", b"\n", b"\r", b";", b" ", b":", b"hello", b"X"]
    )
).map(b"".join)


@given(CHUNKS, EXTENSIONS, st.lists(st.integers(1, 30), min_size=1))
def test_any_chunks_in_any_pieces_give_the_body_that_was_sent(
    chunks: list[bytes], extension: bytes, sizes: list[int]
) -> None:
    """Whatever the chunks, wherever the cuts: the body comes out, and what follows it is left."""
    lines = [b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks]
    data = b"".join(lines) + b"0" + extension + b"\r\n\r\nnext"
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    elements, left = cut_all(ChunkedCutter(LIMIT), [*pieces, data[at:]])
    assert read_by_h11(elements) == b"".join(chunks)
    assert left == b"next"


@given(st.binary(max_size=100) | NOISE)
@example(b"5\r\nhello\r\n0\r\n\r\n")
@example(b"5\r\nhello\r\n0\r\nA: b\r\n\r\n")
def test_what_the_cutter_lets_pass_h11_reads_from_the_bytes_themselves(data: bytes) -> None:
    """For any bytes: a body that the cutter ends is the body that h11 finds in them by itself.

    Nothing but an HTTPError is raised, whole and in pieces alike.
    """
    try:
        elements, left = cut_all(ChunkedCutter(LIMIT), [data])
    except HTTPError:
        with pytest.raises(HTTPError):
            cut_all(ChunkedCutter(LIMIT), one_by_one(data))
        return
    assert cut_all(ChunkedCutter(LIMIT), one_by_one(data))[1] == left
    try:
        alone = read_by_h11([data[: len(data) - len(left)]])
    except h11.RemoteProtocolError:
        with pytest.raises(h11.RemoteProtocolError):
            read_by_h11(elements)
    else:
        assert read_by_h11(elements) == alone
