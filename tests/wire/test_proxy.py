"""What a proxy says of the client behind it: believed from trusted proxies, and no further."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nbdriver.errors import HTTPError
from nbdriver.model import Address, Headers, Request
from nbdriver.wire.proxy import Family, TrustedProxies, believe, parse_address

PEER = ("10.0.0.1", 40_000)
X_FORWARDED = TrustedProxies(["10.0.0.0/8"])
FORWARDED = TrustedProxies(["10.0.0.0/8"], Family.FORWARDED)
Lines = list[tuple[str, str]]


def seen(
    *lines: tuple[str, str],
    proxies: TrustedProxies = X_FORWARDED,
    peer: Address | None = PEER,
    scheme: str = "http",
) -> Request:
    """The request that an application sees."""
    headers = Headers([("Host", "inside"), ("X-Other", "1"), *lines])
    request = Request("GET", "/", headers, scheme=scheme, client=peer)
    believe(request, proxies)
    return request


def client_of(value: str, *, family: Family = Family.X_FORWARDED) -> Address | None:
    if family is Family.FORWARDED:
        return seen(("Forwarded", value), proxies=FORWARDED).client
    return seen(("X-Forwarded-For", value)).client


# Who is trusted.


@pytest.mark.parametrize(
    ("names", "peer", "trusted"),
    [
        ([], ("127.0.0.1", 1), False),
        ([], None, False),
        (["127.0.0.1"], ("127.0.0.1", 1), True),
        (["127.0.0.1"], ("127.0.0.2", 1), False),
        (["127.0.0.1"], None, False),
        (["10.0.0.0/8", "192.168.1.1"], ("10.255.0.1", 1), True),
        (["10.0.0.0/8", "192.168.1.1"], ("192.168.1.1", 1), True),
        (["10.0.0.0/8", "192.168.1.1"], ("11.0.0.1", 1), False),
        (["10.0.0.0/8"], ("::ffff:10.0.0.1", 1), True),
        (["10.0.0.0/8"], ("::ffff:11.0.0.1", 1), False),
        (["::1", "fd00::/8"], ("::1", 1), True),
        (["::1", "fd00::/8"], ("fd12::1", 1), True),
        (["fe80::/10"], ("fe80::1%eth0", 1), True),
        (["::1", "fd00::/8"], ("fe80::1", 1), False),
        (["::ffff:10.0.0.1"], ("10.0.0.1", 1), True),
        (["::ffff:10.0.0.0/104"], ("10.255.0.1", 1), True),
        (["::ffff:10.0.0.0/104"], ("11.0.0.1", 1), False),
        (["::/0"], ("127.0.0.1", 1), False),
        (["unix"], None, True),
        (["unix"], ("127.0.0.1", 1), False),
        (["*"], ("192.0.2.1", 1), True),
        (["*"], None, True),
        (["0.0.0.0/0"], ("no address", 1), False),
    ],
)
def test_a_peer_is_trusted_if_it_is_listed(
    names: list[str], peer: Address | None, trusted: bool
) -> None:
    assert TrustedProxies(names).is_trusted(peer) is trusted


def test_a_name_that_is_no_address_and_no_network_cannot_be_trusted() -> None:
    with pytest.raises(ValueError, match="localhost"):
        TrustedProxies(["localhost"])


def test_an_address_is_read_and_one_of_ipv4_is_one_however_it_is_written() -> None:
    assert parse_address("127.0.0.1") == IPv4Address("127.0.0.1")
    assert parse_address("::ffff:127.0.0.1") == IPv4Address("127.0.0.1")
    assert parse_address("::1") == IPv6Address("::1")
    assert parse_address("localhost") is None
    # A zone could hold whatever a log should not.
    assert parse_address("fe80::1%\x9b2J") is None


def test_a_client_with_a_zone_or_a_port_that_is_none_is_not_known() -> None:
    assert client_of("fe80::1%25eth0") is None
    assert client_of('for="[fe80::1%25eth0]:80"', family=Family.FORWARDED) is None
    assert client_of("192.0.2.1:65535") == ("192.0.2.1", 65535)
    assert client_of("192.0.2.1:65536") is None


def test_a_list_of_proxies_without_end_is_refused_before_it_is_read() -> None:
    everybody = TrustedProxies(["*"])
    assert seen(("X-Forwarded-For", ",".join(["::1"] * 64)), proxies=everybody).client == ("::1", 0)
    with pytest.raises(HTTPError, match=r"^400: expected at most 64 proxies"):
        seen(("X-Forwarded-For", ",".join(["::1"] * 65)), proxies=everybody)


# X-Forwarded-For, -Proto and -Host.


def test_what_the_proxy_says_is_what_the_application_sees() -> None:
    request = seen(
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "bot.example.org:8443"),
    )
    assert request.client == ("192.0.2.1", 0)
    assert request.scheme == "https"
    assert request.headers.get_all("host") == ["bot.example.org:8443"]
    assert request.headers.get("x-forwarded-for") == "192.0.2.1"
    assert request.headers.get("x-other") == "1"


def test_a_proxy_that_says_nothing_is_itself_the_client() -> None:
    request = seen()
    assert (request.client, request.scheme, request.headers.get("host")) == (PEER, "http", "inside")
    assert seen(peer=None, proxies=TrustedProxies(["unix"])).client is None


def test_a_client_behind_a_unix_socket_is_known_by_its_proxy() -> None:
    request = seen(("X-Forwarded-For", "192.0.2.1"), peer=None, proxies=TrustedProxies(["unix"]))
    assert request.client == ("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:1234", ("192.0.2.1", 1234)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:DB8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:1234", ("2001:db8::1", 1234)),
        ("::ffff:192.0.2.1", ("192.0.2.1", 0)),
        ("6.6.6.6, 192.0.2.1", ("192.0.2.1", 0)),
        ("6.6.6.6, 192.0.2.1, 10.0.0.2", ("192.0.2.1", 0)),
        ("10.6.6.6, 192.0.2.1, 10.0.0.2,10.0.0.3", ("192.0.2.1", 0)),
        ("10.0.0.4, 10.0.0.3", ("10.0.0.4", 0)),
        (" , 192.0.2.1 ,, ", ("192.0.2.1", 0)),
        ("", PEER),
        (",", PEER),
        ("garbage, 192.0.2.1", ("192.0.2.1", 0)),
        ("unknown", None),
        ("192.0.2.1, unknown", None),
        ("192.0.2.1, garbage, 10.0.0.2", None),
        ("192.0.2.256", None),
        ("192.0.2.1:port", None),
        ("192.0.2.1:123456", None),
        ("unix:", None),
        ("[192.0.2.1]", ("192.0.2.1", 0)),
        ("[::1", None),
        ("9" * 5_000, None),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(
    value: str, client: Address | None
) -> None:
    assert client_of(value) == client


def test_several_lines_are_one_list() -> None:
    lines = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.1, 10.0.0.2")]
    assert seen(*lines).client == ("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("clients", "schemes", "scheme"),
    [
        ("192.0.2.1", "https", "https"),
        ("192.0.2.1", "HTTPS", "https"),
        ("192.0.2.1", "wss", "https"),
        ("192.0.2.1", "ws", "http"),
        ("192.0.2.1", "ftp", "http"),
        # The nearest proxy says http; what stands before is the client's own.
        ("192.0.2.1", "https, http", "http"),
        # The client is two proxies away, and the outer one says https.
        ("192.0.2.1, 10.0.0.2", "https, http", "https"),
        ("192.0.2.1, 10.0.0.2", "http, https, http", "https"),
        # The nearest proxy passes on what the outer one says.
        ("192.0.2.1, 10.0.0.2", "https", "https"),
        ("", "https", "https"),
        ("", "https, http", "http"),
    ],
)
def test_the_scheme_is_what_the_proxy_says_that_saw_the_client(
    clients: str, schemes: str, scheme: str
) -> None:
    assert seen(("X-Forwarded-For", clients), ("X-Forwarded-Proto", schemes)).scheme == scheme


def test_a_scheme_that_is_none_leaves_that_of_the_connection() -> None:
    assert seen(("X-Forwarded-Proto", "gopher"), scheme="https").scheme == "https"


def test_the_host_is_what_the_proxy_says_that_saw_the_client() -> None:
    lines = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Host", "evil.example, bot.example")]
    assert seen(*lines).headers.get_all("host") == ["bot.example"]


@pytest.mark.parametrize("host", ["a/b", "a b", "a@b", "a?b", "ä\u2028", "[::1", '"a"'])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(HTTPError, match=r"^400: expected a host and a port from the proxy, got "):
        seen(("X-Forwarded-Host", host))


def test_a_request_without_a_host_gets_that_of_the_proxy() -> None:
    request = Request(
        "GET", "/", Headers([("X-Forwarded-Host", "a")]), http_version="1.0", client=PEER
    )
    believe(request, X_FORWARDED)
    assert request.headers.get("host") == "a"


# Forwarded (RFC 7239).


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=192.0.2.1", ("192.0.2.1", 0)),
        ('For="192.0.2.1:1234";by=10.0.0.1', ("192.0.2.1", 1234)),
        ('for="[2001:db8::1]"', ("2001:db8::1", 0)),
        ('for="[2001:db8::1]:1234"', ("2001:db8::1", 1234)),
        ('for="[2001:db8::1]:_port"', ("2001:db8::1", 0)),
        (r'for="192.0.2\.1"', ("192.0.2.1", 0)),
        ("for=6.6.6.6, for=192.0.2.1", ("192.0.2.1", 0)),
        ("for=6.6.6.6, for=192.0.2.1,for=10.0.0.2", ("192.0.2.1", 0)),
        ("for=192.0.2.1;proto=http ; host=a , ;, ", ("192.0.2.1", 0)),
        ('for=192.0.2.1;x="a, for=6.6.6.6"', ("192.0.2.1", 0)),
        ("for=unknown", None),
        ("for=_hidden", None),
        ("for=192.0.2.1, for=_hidden", None),
        ("for=192.0.2.1, for=unknown, for=10.0.0.2", None),
        ("proto=https", PEER),
        ("for=192.0.2.1, proto=https", PEER),
        ("", PEER),
    ],
)
def test_forwarded_is_walked_from_the_right_too(value: str, client: Address | None) -> None:
    assert client_of(value, family=Family.FORWARDED) == client


def test_forwarded_tells_scheme_and_host_as_well() -> None:
    value = 'for=192.0.2.1;proto=https;host="bot.example:8443", for=10.0.0.2;proto=http'
    request = seen(("Forwarded", value), proxies=FORWARDED)
    assert (request.scheme, request.headers.get("host")) == ("https", "bot.example:8443")


@pytest.mark.parametrize(
    "value",
    [
        "192.0.2.1",
        "for",
        "for=",
        "for= 192.0.2.1",
        "for=[::1]",
        'for="a',
        'for="a"b',
        "for=a b",
        "for=a;for=b",
        "for=ä",
        "for=a, =b",
        # What a client leaves open would take in what the proxy has added.
        'for="6.6.6.6, for=192.0.2.1',
        'for=6.6.6.6;x=", for="[2001:db8::1]"',
        'for=6.6.6.6;x="\\, for="[2001:db8::1]"',
    ],
)
def test_a_forwarded_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(HTTPError, match=r"^400: expected ") as caught:
        client_of(value, family=Family.FORWARDED)
    assert caught.value.reason.isascii()


# What must not be believed.


def test_the_family_that_the_proxy_does_not_write_is_not_believed() -> None:
    x_forwarded = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https")]
    forwarded = ("Forwarded", "for=192.0.2.1")
    request = seen(*x_forwarded, ("X-Forwarded-Host", "evil"), forwarded, proxies=FORWARDED)
    assert request.client == ("192.0.2.1", 0)
    assert (request.scheme, request.headers.get("host")) == ("http", "inside")
    request = seen(("Forwarded", "for=6.6.6.6;proto=https;host=evil"))
    assert (request.client, request.scheme) == (PEER, "http")
    assert request.headers.get("host") == "inside"


texts = st.text(st.characters(max_codepoint=0xFF), max_size=60) | st.from_regex(
    re.compile(r"([,;= \"\\]|for|proto|host|\[::1\]|10\.0\.0\.2|192\.0\.2\.1|unknown|_a|:|1)*"),
    fullmatch=True,
)
NAMES = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
lines = st.lists(st.tuples(st.sampled_from(NAMES), texts), max_size=5)


@given(lines, st.sampled_from([X_FORWARDED, FORWARDED]))
@example([("forwarded", 'for="' + "\\" * 9)], FORWARDED)
def test_whatever_is_forwarded_is_read_or_refused(lines: Lines, proxies: TrustedProxies) -> None:
    """Invariant: 400 or a request whose client is an address, whose Host is one, or no change."""
    try:
        request = seen(*lines, proxies=proxies)
    except HTTPError as error:
        refusal = error
    else:
        assert_well_formed(request)
        return
    assert refusal.status_code == 400
    assert refusal.reason.isascii()


def assert_well_formed(request: Request) -> None:
    assert request.scheme in ("http", "https")
    assert len(request.headers.get_all("host")) == 1
    if request.client is not None:
        host, port = request.client
        assert str(parse_address(host)) == host
        assert 0 <= port <= 99_999


@given(lines)
def test_what_a_client_sends_before_the_proxy_adds_to_it_changes_nothing(lines: Lines) -> None:
    """Invariant: with a proxy that adds to X-Forwarded-For, sets Proto and Host, it alone is heard.

    Of a proxy that sets a field nothing of the client's is left; here all are kept, in front.
    """
    said = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "bot.example"),
    ]
    request = seen(*lines, *said)
    assert request.client == ("192.0.2.1", 0)
    assert (request.scheme, request.headers.get("host")) == ("https", "bot.example")


@given(texts)
def test_what_a_client_sends_before_the_proxy_adds_to_forwarded_is_refused_or_changes_nothing(
    sent: str,
) -> None:
    """Invariant: the proxy's element is never taken for a part of the client's."""
    try:
        request = seen(
            ("Forwarded", sent),
            ("Forwarded", 'for="[2001:db8::1]";proto=https;host="bot.example:1"'),
            proxies=FORWARDED,
        )
    except HTTPError:
        return
    assert request.client == ("2001:db8::1", 0)
    assert (request.scheme, request.headers.get("host")) == ("https", "bot.example:1")


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=6))
def test_both_families_lead_to_the_same_client(chain: list[str]) -> None:
    """Invariant: the same chain of addresses, written either way, has the same client."""
    nodes = [f'for="[{node}]"' if ":" in node else f"for={node}" for node in chain]
    client = client_of(", ".join(chain))
    assert client_of(", ".join(nodes), family=Family.FORWARDED) == client
    assume(client is not None)
    assert client is not None
    assert client[0] in {str(parse_address(node)) for node in chain}
