"""What may be written for where to listen, and what it means."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdriver import addresses
from nbdriver.addresses import HOSTS, LISTEN, MODE, TCP, Inherited, Unix
from nbdriver.errors import ConfigError
from nbdriver.units import Kind, Setting


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("127.0.0.1:8080", TCP(("127.0.0.1",), 8080)),
        ("[::1]:0", TCP(("::1",), 0)),
        ("[0:0::1]:1", TCP(("::1",), 1)),
        ("localhost:65535", TCP(("localhost",), 65535)),
        ("unix:/run/bot.sock", Unix("/run/bot.sock")),
        ("unix:机器人 1:2.sock", Unix("机器人 1:2.sock")),
        ("unix:@bot", Unix("@bot")),
        ("fd:3", Inherited(3)),
    ],
)
def test_an_address_is_read_as_what_it_means(text: str, meaning: addresses.Address) -> None:
    read = addresses.read(text)
    assert read == meaning
    assert type(read) is type(meaning)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:80 80",
        "a b:80",
        "http://127.0.0.1:80",
        "::1:8080",
        "[::1]",
        "[::1]8080",
        "[]:8080",
        "[127.0.0.1]:8080",
        "[::1",
        "unix:",
        "unix:@",
        "unix:a\nb",
        "unix:a\x00b",
        "unix:a\udcffb",
        "fd:",
        "fd:-1",
        "fd:x",
        "fd:1234567890",
        "fd:٣",
        "127.0.0.1:٣",
    ],
)
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is that of the setting
        addresses.read(text)


PIECES = ["unix:", "fd:", ":", "::1", "[", "]", "127.0.0.1", "a", "8", "99999", "@", "/", " ", "\n"]


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    """Nothing but ValueError is raised, and what is read is of one of the three kinds."""
    try:
        read = addresses.read(text)
    except ValueError:
        return
    assert isinstance(read, (TCP, Unix, Inherited))


@pytest.mark.parametrize("address", [Unix("/run/bot.sock"), Unix("@bot"), Inherited(3)])
def test_an_address_is_written_as_it_is_read(address: addresses.Address) -> None:
    assert addresses.read(str(address)) == address


READ = [
    (HOSTS, " localhost ", "localhost"),
    (HOSTS, "::1", "::1"),
    (HOSTS, IPv4Address("0.0.0.0"), "0.0.0.0"),
    (HOSTS, IPv6Address("::"), "::"),
    (HOSTS, "123", "123"),
    (HOSTS, "127.0.0.1, ::1", "127.0.0.1,::1"),
    (HOSTS, ("::1", IPv4Address("127.0.0.1"), "::1"), "::1,127.0.0.1"),
    (HOSTS, ["a,b", "c"], "a,b,c"),
    (HOSTS, '["a", "b"]', "a,b"),
    (LISTEN, "", ()),
    (LISTEN, (), ()),
    (LISTEN, [], ()),
    (LISTEN, "[]", ()),
    (LISTEN, "fd:3", ("fd:3",)),
    (LISTEN, "[::1]:80", ("[::1]:80",)),
    (LISTEN, "127.0.0.1:80, unix:a b", ("127.0.0.1:80", "unix:a b")),
    (LISTEN, ["fd:3,fd:4", "fd:5"], ("fd:3", "fd:4", "fd:5")),
    (LISTEN, '["fd:3", "unix:/s"]', ("fd:3", "unix:/s")),
    (LISTEN, ("fd:3", "fd:3"), ("fd:3",)),
    (MODE, "0660", "0660"),
    (MODE, " 0o600 ", "0600"),
    (MODE, "0000", "0000"),
]

REFUSED = [
    (HOSTS, ""),
    (HOSTS, []),
    (HOSTS, "a b"),
    (HOSTS, "a,"),
    (HOSTS, "a,,b"),
    (HOSTS, "http://a"),
    (HOSTS, None),
    (HOSTS, 127),
    (HOSTS, [127]),
    (HOSTS, {"a"}),
    (LISTEN, None),
    (LISTEN, 3),
    (LISTEN, "8080"),
    (LISTEN, ["fd:3", 4]),
    (LISTEN, ["fd:3", ""]),
    (LISTEN, "fd:3,"),
    (LISTEN, "127.0.0.1:80,127.0.0.1"),
    (LISTEN, IPv4Address("127.0.0.1")),
    (MODE, "660"),
    (MODE, "00660"),
    (MODE, "0668"),
    (MODE, "04755"),
    (MODE, "0x1b0"),
    (MODE, "rw-rw----"),
    (MODE, 0o660),
    (MODE, 660),
    (MODE, None),
]


@pytest.mark.parametrize(("kind", "value", "meaning"), READ)
def test_a_value_is_read_as_what_it_means(kind: Kind, value: object, meaning: object) -> None:
    read = kind.parse(value)
    assert read == meaning
    assert type(read) is type(meaning)


@pytest.mark.parametrize(("kind", "value", "meaning"), READ)
def test_what_was_read_is_read_again_as_itself(kind: Kind, value: object, meaning: object) -> None:
    assert kind.parse(meaning) == meaning
    assert kind.parse(kind.as_text(meaning)) == meaning


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_what_means_nothing_is_an_error_that_says_what_was_expected(
    kind: Kind, value: object
) -> None:
    with pytest.raises(ConfigError) as caught:
        Setting("NAME", value, "in .env").read(kind)
    assert str(caught.value) == f"NAME in .env: expected {kind.expected}; came {value!r}"


def test_the_hosts_of_a_value_are_each_by_itself() -> None:
    assert addresses.hosts_of("127.0.0.1,::1") == ("127.0.0.1", "::1")
    assert addresses.hosts_of("localhost") == ("localhost",)
