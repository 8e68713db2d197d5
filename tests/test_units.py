"""Each kind of value reads text and Python values alike, and refuses what stands for none."""

from __future__ import annotations

import logging
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdriver import units
from nbdriver.errors import ConfigError
from nbdriver.units import Kind, Setting

READ = [
    (units.TEXT, "", ""),
    (units.TEXT, " 007 ", " 007 "),
    (units.TEXT, 123, "123"),
    (units.TEXT, 1.5, "1.5"),
    (units.TEXT_OR_UNSET, None, None),
    (units.TEXT_OR_UNSET, "null", "null"),
    (units.HOST, " localhost ", "localhost"),
    (units.HOST, "::1", "::1"),
    (units.HOST, IPv4Address("0.0.0.0"), "0.0.0.0"),
    (units.HOST, IPv6Address("::"), "::"),
    (units.HEADER_VALUE, "me/1.0 (a b)", "me/1.0 (a b)"),
    (units.HEADER_VALUE, 1, "1"),
    (units.FLAG, True, True),
    (units.FLAG, " Off ", False),
    (units.FLAG, 1, True),
    (units.FLAG, "n", False),
    (units.PORT, 0, 0),
    (units.PORT, " 65535 ", 65535),
    (units.COUNT, 1, 1),
    (units.COUNT_OR_ZERO, "0", 0),
    (units.SIZE, "1", 1),
    (units.SIZE, "16MiB", 16 * 1024 * 1024),
    (units.SIZE, " 64 kib ", 65536),
    (units.SIZE, "2GiB", 2 * 1024**3),
    (units.SIZE, "3KB", 3000),
    (units.SIZE, "4mb", 4_000_000),
    (units.SIZE, "5GB", 5_000_000_000),
    (units.SIZE, 7, 7),
    (units.SECONDS, "0.5", 0.5),
    (units.SECONDS, 3, 3.0),
    (units.SECONDS_OR_ZERO, "0", 0.0),
    (units.NAMES, '["a", 123, 1.5]', {"a", "123", "1.5"}),
    (units.NAMES, ("a", "a"), {"a"}),
    (units.NAMES, frozenset({1}), {"1"}),
    (units.NAMES, "[]", set()),
    (units.TEXT_BY_TEXT, '{"1": "a", "2": 3}', {"1": "a", "2": "3"}),
    (units.TEXT_BY_TEXT, {1: "a"}, {"1": "a"}),
    (units.PEERS, "", ()),
    (units.PEERS, "127.0.0.1, 10.0.0.0/8,::1 ,unix", ("127.0.0.1", "10.0.0.0/8", "::1", "unix")),
    (units.PEERS, '["fd00::/8"]', ("fd00::/8",)),
    (units.PEERS, ["*"], ("*",)),
    (units.ORIGINS, "https://a.example:8443, http://b", ("https://a.example:8443", "http://b")),
    (
        units.ORIGINS,
        "http://127.0.0.1:80, http://[::1], http://[::1]:8080, https://xn--bcher-kva.example.",
        (
            "http://127.0.0.1:80",
            "http://[::1]",
            "http://[::1]:8080",
            "https://xn--bcher-kva.example.",
        ),
    ),
    (units.ORIGINS, ("chrome-extension://abc", "*"), ("chrome-extension://abc", "*")),
    (
        units.HOST_NAMES,
        "bot.example, 10.0.0.1,::1,[::2]",
        ("bot.example", "10.0.0.1", "::1", "[::2]"),
    ),
    (units.HOST_NAMES, ["*"], ("*",)),
    (units.FORWARDED_HEADERS, " Forwarded ", "forwarded"),
    (units.FORWARDED_HEADERS, "x-forwarded", "x-forwarded"),
    (units.LOG_LEVEL, "debug", "DEBUG"),
    (units.LOG_LEVEL, "Success", "SUCCESS"),
    (units.LOG_LEVEL, "15", 15),
    (units.LOG_LEVEL, 0, 0),
    (units.DURATION, timedelta(days=1), timedelta(days=1)),
    (units.DURATION, 90, timedelta(seconds=90)),
    (units.DURATION, "1.5", timedelta(seconds=1.5)),
    (units.DURATION, "2:00", timedelta(minutes=2)),
    (units.DURATION, "01:02:03.5", timedelta(hours=1, minutes=2, seconds=3.5)),
    (units.DURATION, "3 04:05:06", timedelta(days=3, hours=4, minutes=5, seconds=6)),
    (units.DURATION, str(timedelta(days=1, hours=2)), timedelta(days=1, hours=2)),
    (units.DURATION, str(timedelta(days=2)), timedelta(days=2)),
    (units.DURATION, "PT2M", timedelta(minutes=2)),
    (units.DURATION, "P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
    (units.optional(units.SECONDS), None, None),
    (units.optional(units.SECONDS), " NULL ", None),
    (units.optional(units.SECONDS), "none", None),
    (units.optional(units.SECONDS), "1", 1.0),
]

REFUSED = [
    (units.TEXT, None),
    (units.TEXT, True),
    (units.TEXT, ["a"]),
    (units.TEXT_OR_UNSET, False),
    (units.HOST, ""),
    (units.HOST, "a b"),
    (units.HOST, "http://a"),
    (units.HOST, "localhost\0"),
    (units.HOST, "a\x1b[31mb"),
    (units.HOST, "a\x7f"),
    (units.HOST, "a\x9fb"),
    (units.HOST, None),
    (units.HOST, 127),
    (units.HEADER_VALUE, ""),
    (units.HEADER_VALUE, "a\r\nX: y"),
    (units.HEADER_VALUE, " a"),
    (units.HEADER_VALUE, "ä"),
    (units.FLAG, ""),
    (units.FLAG, "maybe"),
    (units.FLAG, 2),
    (units.FLAG, None),
    (units.PORT, -1),
    (units.PORT, "65536"),
    (units.PORT, "80.0"),
    (units.PORT, 80.0),
    (units.PORT, True),
    (units.PORT, ""),
    (units.BACKLOG, 0),
    (units.BACKLOG, 2**31),
    (units.COUNT, 0),
    (units.COUNT, "1KiB"),
    (units.SIZE, "0"),
    (units.SIZE, 2**62 + 1),
    (units.SECONDS, 1e308),
    (units.SECONDS_OR_ZERO, "1e10"),
    (units.SIZE, -1),
    (units.SIZE, "16 M"),
    (units.SIZE, "1.5MiB"),
    (units.SIZE, "9" * 5000),
    (units.SIZE, None),
    (units.SECONDS, 0),
    (units.SECONDS, "-1"),
    (units.SECONDS, "nan"),
    (units.SECONDS, float("inf")),
    (units.SECONDS, 10**400),
    (units.SECONDS, True),
    (units.SECONDS, "null"),
    (units.SECONDS, None),
    (units.SECONDS_OR_ZERO, -0.1),
    (units.NAMES, "abc"),
    (units.NAMES, "123"),
    (units.NAMES, "[null]"),
    (units.NAMES, {"a": "b"}),
    (units.NAMES, [["a"]]),
    (units.TEXT_BY_TEXT, "[]"),
    (units.TEXT_BY_TEXT, '{"a": null}'),
    (units.PEERS, "localhost"),
    (units.PEERS, "10.0.0.1/8"),
    (units.PEERS, "127.0.0.1 10.0.0.1"),
    (units.PEERS, [127]),
    (units.PEERS, "1"),
    (units.PEERS, None),
    (units.PEERS, {"*"}),
    (units.ORIGINS, "example.org"),
    (units.ORIGINS, "https://example.org/"),
    (units.ORIGINS, "https://user@example.org"),
    (units.ORIGINS, "null"),
    (units.ORIGINS, "https://*.example.org"),
    (units.ORIGINS, "https://exa[mple"),
    (units.ORIGINS, "https://a..b"),
    (units.ORIGINS, "https://b\u00fccher.example"),
    (units.ORIGINS, "https://::1"),
    (units.ORIGINS, "https://[::1"),
    (units.ORIGINS, "https://[::g]"),
    (units.ORIGINS, "https://[127.0.0.1]"),
    (units.ORIGINS, "https://[fe80::1%eth0]"),
    (units.ORIGINS, "https://a:b"),
    (units.ORIGINS, "https://a:65536"),
    (units.HOST_NAMES, "example.org:80"),
    (units.HOST_NAMES, "https://example.org"),
    (units.HOST_NAMES, "example.org/a"),
    (units.FORWARDED_HEADERS, "both"),
    (units.FORWARDED_HEADERS, None),
    (units.LOG_LEVEL, "loud"),
    (units.LOG_LEVEL, -1),
    (units.LOG_LEVEL, None),
    (units.DURATION, "P"),
    (units.DURATION, "PT"),
    (units.DURATION, "P1DT"),
    (units.DURATION, "1:2:3:4"),
    (units.DURATION, "-1"),
    (units.DURATION, ""),
    (units.DURATION, "9" * 400),
    (units.DURATION, timedelta(seconds=-1)),
    (units.DURATION, None),
    (units.optional(units.SECONDS), "nothing"),
]


@pytest.mark.parametrize(("kind", "value", "meaning"), READ)
def test_a_value_is_read_as_what_it_means(kind: Kind, value: object, meaning: object) -> None:
    read = kind.parse(value)
    assert read == meaning
    assert type(read) is type(meaning)


@pytest.mark.parametrize(("kind", "value", "meaning"), READ)
def test_what_was_read_is_read_again_as_itself(kind: Kind, value: object, meaning: object) -> None:
    assert kind.parse(meaning) == meaning


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_what_means_nothing_is_an_error_that_says_what_was_expected(
    kind: Kind, value: object
) -> None:
    with pytest.raises(ConfigError) as caught:
        Setting("NAME", value, "in .env").read(kind)
    message = str(caught.value)
    assert message.startswith(f"NAME in .env: expected {kind.expected}; came {value!r}"[:80])
    assert len(message) < 250


def test_a_value_that_is_read_is_a_copy() -> None:
    names, texts = {"a"}, {"a": "b"}
    assert units.NAMES.parse(names) is not names
    assert units.TEXT_BY_TEXT.parse(texts) is not texts


@given(st.integers(min_value=1, max_value=2**50) | st.sampled_from([2**10, 2**20, 3 * 2**30]))
def test_a_size_is_written_as_it_is_read(size: int) -> None:
    """Reading what a size is written as gives that size."""
    assert units.SIZE.parse(units.SIZE.as_text(size)) == size


def test_a_size_is_written_in_the_largest_unit_that_fits_exactly() -> None:
    written = [units.SIZE.as_text(size) for size in (1000, 1024, 3 * 2**20, 2**30 + 2**20, 2**31)]
    assert written == ["1000", "1KiB", "3MiB", "1025MiB", "2GiB"]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (units.TEXT, "a", "a"),
        (units.TEXT_OR_UNSET, None, ""),
        (units.FLAG, True, "true"),
        (units.SECONDS, 10.0, "10"),
        (units.SECONDS, 0.5, "0.5"),
        (units.optional(units.SIZE), 1024, "1KiB"),
        (units.optional(units.SIZE), None, "null"),
        (units.NAMES, {"b", "a"}, '["a", "b"]'),
        (units.TEXT_BY_TEXT, {"a": "b"}, '{"a": "b"}'),
        (units.DURATION, timedelta(minutes=2), "120"),
    ],
)
def test_a_value_is_written_as_in_a_file(kind: Kind, value: object, text: str) -> None:
    assert kind.as_text(value) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (" [1, 2] ", [1, 2]),
        ('{"a": null}', {"a": None}),
        ('"1"', "1"),
        ("true", True),
        ("True", "True"),
        ("", ""),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("007", "007"),
    ],
)
def test_text_is_its_json_value_or_itself(text: str, value: object) -> None:
    assert units.json_or_text(text) == value


def test_json_nested_too_deep_to_read_stays_text() -> None:
    deep = "[" * 200_000
    assert units.json_or_text(deep) is deep


def test_every_level_with_a_name_has_its_number() -> None:
    logging.addLevelName(7, "WHISPER")
    levels = units.log_levels()
    assert levels.items() >= {"TRACE": 5, "WHISPER": 7, "DEBUG": 10, "SUCCESS": 25}.items()


@pytest.mark.parametrize("key", ["ACCESS_TOKEN", "secret", "db_password", "ApiKey"])
def test_a_secret_is_not_shown(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Setting(key, ["hunter2"], "in .env").read(units.TEXT)
    assert str(caught.value) == f"{key} in .env: expected text; came '***'"


def test_secrets_within_lists_and_dicts_are_not_shown() -> None:
    value = {"name": "a", "token": "b", "more": [{"key": 1}], "rest": ({"secret": 2}, 3)}
    assert units.masked("bots", value) == {
        "name": "a",
        "token": "***",
        "more": [{"key": "***"}],
        "rest": [{"secret": "***"}, 3],
    }


@pytest.mark.parametrize("value", [None, ""])
def test_a_secret_that_is_not_set_is_seen_to_be_unset(value: object) -> None:
    assert units.masked("token", value) is value


def test_a_long_value_is_cut_in_a_message() -> None:
    with pytest.raises(ConfigError, match=r"came '9{79}\.\.\.$"):
        Setting("PORT", "9" * 1000, "in .env").read(units.PORT)


@pytest.mark.parametrize("kind", [units.PORT, units.FLAG, units.NAMES, units.TEXT_BY_TEXT])
def test_a_value_that_cannot_be_shown_is_told_by_its_type(kind: Kind) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value, came in ((deep, "a list"), (10**5000, "an int"), ({"a": 10**5000}, "a dict")):
        with pytest.raises(ConfigError) as caught:
            Setting("NAME", value, "in .env").read(kind)
        assert str(caught.value) == f"NAME in .env: expected {kind.expected}; came {came}"
