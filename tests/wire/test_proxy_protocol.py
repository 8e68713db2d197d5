"""The header of the PROXY protocol, by bytes alone; 'section' is one of proxy-protocol.txt."""

from __future__ import annotations

import socket
import struct
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbdriver.wire.proxy_protocol import Announcement, MalformedProxyHeader, ProxyHeaderReader

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + b"\x1f\x90\x01\xbb"
TCP6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + b"\x00\x00\xff\xff"
)
UNIX = b"/run/client".ljust(108, b"\0") + b"/run/proxy".ljust(108, b"\0")


def block(content: bytes, family: int = 0x11, command: int = PROXY) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(content)) + content


def read(data: bytes) -> tuple[int, bool, Announcement | None]:
    """How much of `data` the header takes, whether it is complete, and what it says."""
    reader = ProxyHeaderReader()
    taken = reader.take(data)
    return taken, reader.complete, reader.announcement


V4_CLIENT = Announcement(("192.0.2.1", 8080), ("198.51.100.2", 443))
V6_CLIENT = Announcement(("2001:db8::1", 0), ("::1", 65535))

HEADERS = {
    "TCP4": (b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n", V4_CLIENT),
    "TCP6": (b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", V6_CLIENT),
    "TCP6 in full": (
        b"PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 0:0:0:0:0:0:0:1 0 65535\r\n",
        V6_CLIENT,
    ),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", None),
    "UNKNOWN with what is not looked at": (b"PROXY UNKNOWN a b 99999 c d e\r\n", None),
    "the longest line": (b"PROXY UNKNOWN ".ljust(105, b"f") + b"\r\n", None),
    "version 2, TCP4": (block(TCP4), V4_CLIENT),
    "version 2, TCP6": (block(TCP6, 0x21), V6_CLIENT),
    "version 2, a Unix socket": (block(UNIX, 0x31), Announcement(None, None)),
    "version 2, extensions": (block(TCP4 + b"\x04\x00\x03abc"), V4_CLIENT),
    "version 2, the most extensions": (block(TCP4.ljust(16_384, b"\0")), V4_CLIENT),
    "version 2, UDP4": (block(TCP4, 0x12), None),
    "version 2, datagrams to a Unix socket": (block(UNIX, 0x32), None),
    "version 2, nothing said": (block(b"", 0x00), None),
    "version 2, nothing said in many bytes": (block(b"?" * 99, 0x00), None),
    "version 2, LOCAL": (block(b"", 0x00, LOCAL), None),
    "version 2, LOCAL with addresses": (block(TCP4, 0x11, LOCAL), None),
    "version 2, LOCAL of an unknown family": (block(b"??", 0xFF, LOCAL), None),
}

MALFORMED = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01",
    "another case": b"proxy TCP4 192.0.2.1 198.51.100.2 8080 443\r\n",
    "nearly a signature": SIGNATURE[:-1] + b"\r",
    "a signature behind an empty line": b"\r\n" + SIGNATURE,
    "two blanks": b"PROXY TCP4  192.0.2.1 198.51.100.2 8080 443\r\n",
    "a tab": b"PROXY TCP4\t192.0.2.1 198.51.100.2 8080 443\r\n",
    "a blank at the end": b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443 \r\n",
    "a bare LF": b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\n",
    "a bare CR": b"PROXY UNKNOWN a\rb\r\n",
    "a bare CR before the end": b"PROXY UNKNOWN a\r\r\n",
    "a NUL": b"PROXY UNKNOWN \0\r\n",
    "no ASCII": b"PROXY UNKNOWN \xc3\xa4\r\n",
    "a line that is too long": b"PROXY UNKNOWN ".ljust(106, b"f") + b"\r\n",
    "a line without an end": b"PROXY UNKNOWN ".ljust(107, b"f"),
    "no protocol": b"PROXY \r\n",
    "another protocol": b"PROXY UDP4 192.0.2.1 198.51.100.2 8080 443\r\n",
    "nearly UNKNOWN": b"PROXY UNKNOWNS\r\n",
    "too little": b"PROXY TCP4 192.0.2.1 198.51.100.2 8080\r\n",
    "too much": b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 443 1\r\n",
    "a name": b"PROXY TCP4 localhost 198.51.100.2 8080 443\r\n",
    "the other family": b"PROXY TCP4 ::1 ::1 8080 443\r\n",
    "the other family of the two": b"PROXY TCP6 192.0.2.1 198.51.100.2 8080 443\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0 ::1 8080 443\r\n",
    "an address with heading zeroes": b"PROXY TCP4 192.0.2.01 198.51.100.2 8080 443\r\n",
    "a port with a heading zero": b"PROXY TCP4 192.0.2.1 198.51.100.2 08080 443\r\n",
    "a port with a sign": b"PROXY TCP4 192.0.2.1 198.51.100.2 +8080 443\r\n",
    "a port beyond 65535": b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 65536\r\n",
    "version 1 in the form of 2": block(TCP4, 0x11, 0x11),
    "version 3": block(TCP4, 0x11, 0x31),
    "another command": block(TCP4, 0x11, 0x22),
    "another family": block(UNIX, 0x41),
    "another transport": block(TCP4, 0x13),
    "half an address": block(TCP4[:-1]),
    "an IPv4 address as one of IPv6": block(TCP4, 0x21),
    "a short path": block(UNIX[:-1], 0x31),
    "extensions without an end": block(TCP4.ljust(16_385, b"\0")),
}


@pytest.mark.parametrize(("header", "said"), HEADERS.values(), ids=HEADERS)
def test_a_header_is_read_and_nothing_of_what_follows(
    header: bytes, said: Announcement | None
) -> None:
    assert read(header) == (len(header), True, said)
    for behind in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\r\n", b"\n", header):
        assert read(header + behind) == (len(header), True, said)


@pytest.mark.parametrize("header", [header for header, _ in HEADERS.values()], ids=HEADERS)
def test_a_header_that_is_not_all_there_is_waited_for(header: bytes) -> None:
    for end in {0, *range(1, min(len(header), 300)), len(header) - 1}:
        assert read(header[:end]) == (end, False, None)


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedProxyHeader, match=r"^expected "):
        read(data)


def test_what_is_no_header_is_refused_at_its_first_byte() -> None:
    for data in (
        b"G",
        b"\x16",
        b"PROXX",
        b"\r\n\r\r",
        b"PROXY UNKNOWN \n",
        b"PROXY UNKNOWN a\r\r",
        SIGNATURE + b"\x31\0\0\0",
    ):
        reader = ProxyHeaderReader()
        assert reader.take(data[:-1]) == len(data) - 1
        with pytest.raises(MalformedProxyHeader):
            reader.take(data[-1:])


def test_a_length_is_refused_before_what_it_announces_has_come() -> None:
    with pytest.raises(MalformedProxyHeader, match="at most 16384 bytes of content, got 65535"):
        read(SIGNATURE + b"\x21\x11\xff\xff")


Outcome = tuple[bool, Announcement | None, bytes] | None


def outcome(pieces: list[bytes]) -> Outcome:
    """What comes of bytes that come in these pieces; None if they are malformed.

    Holds the reader to its word: it never takes more than it was given, and leaves nothing of what
    it was given as long as it waits for more.
    """
    reader = ProxyHeaderReader()
    header = b""
    for piece in pieces:
        try:
            taken = reader.take(piece)
        except MalformedProxyHeader:
            assert not reader.complete
            return None
        assert 0 <= taken <= len(piece)
        header += piece[:taken]
        if reader.complete:
            break
        assert taken == len(piece)
    return reader.complete, reader.announcement, header


def cut(data: bytes, where: list[int]) -> list[bytes]:
    places = sorted({0, *(min(place, len(data)) for place in where), len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def short(*headers: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([header for header in headers if len(header) < 300])


headers = short(*(header for header, _ in HEADERS.values()))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A header of which some bytes are others."""
    data = bytearray(draw(headers))
    for _ in range(draw(st.integers(1, 3))):
        data[draw(st.integers(0, min(len(data), 60) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@given(
    st.one_of(st.binary(max_size=300), headers, damaged(), short(*MALFORMED.values())),
    st.binary(max_size=20),
    st.lists(st.integers(0, 400), max_size=8),
)
@example(b"PROXY UNKNOWN\r\n", b"\n", [14])
@example(b"PROXY UNKNOWN a\r\r\n", b"", [])
@example(b"PROXY UNKNOWN ".ljust(106, b"f") + b"\r\n", b"", [107])
def test_bytes_mean_the_same_wherever_they_are_cut(
    data: bytes, behind: bytes, where: list[int]
) -> None:
    whole = outcome([data + behind])
    assert outcome(cut(data + behind, where)) == whole
    assert outcome([bytes([byte]) for byte in data + behind]) == whole


addresses = st.tuples(
    st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)), st.integers(0, 65535)
)


@given(st.data())
def test_what_a_proxy_writes_in_either_version_is_what_is_read(data: st.DataObject) -> None:
    version = data.draw(st.sampled_from([4, 6]))
    hosts = st.ip_addresses(v=version)
    client, server = data.draw(hosts), data.draw(hosts)
    ports = data.draw(st.tuples(st.integers(0, 65535), st.integers(0, 65535)))
    said = Announcement((str(client), ports[0]), (str(server), ports[1]))
    line = f"PROXY TCP{version} {client} {server} {ports[0]} {ports[1]}\r\n".encode()
    content = client.packed + server.packed + struct.pack("!HH", *ports)
    assert read(line) == (len(line), True, said)
    header = block(content, 0x11 if version == 4 else 0x21)
    assert read(header) == (len(header), True, said)
