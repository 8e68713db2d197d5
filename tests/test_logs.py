"""Log lines: readable, one line an event, no secrets, and nothing that a peer can inject."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdriver import logs
from nbdriver.logs import configure, escape, mask_secrets


@contextmanager
def unconfigured() -> Iterator[logging.Logger]:
    """A program that has not set up logging: its root logger. Everything is put back at the end.

    No fixture, since pytest gives the root logger handlers of its own for the call of a test.
    """
    root = logging.getLogger()
    before = [(logger, logger.handlers[:], logger.level) for logger in (root, logs.package)]
    root.handlers.clear()
    logs.package.handlers.clear()
    try:
        yield root
    finally:
        for logger, handlers, level in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)


# How the package logs.


def test_the_package_logs_under_its_own_name() -> None:
    assert logs.package.name == logs.__name__.rpartition(".")[0]


def test_configure_logs_readable_lines_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with unconfigured():
        configure()
        logging.getLogger(f"{logs.package.name}.net").info("Listening")
        logs.package.debug("not at this level")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(" INFO    Listening\n")
    assert err.count("\n") == 1


def test_configure_sets_the_level_that_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        configure("DEBUG")
        logs.package.debug("details")
        configure(logging.ERROR)
        logs.package.warning("less")
    assert "details" in (err := capsys.readouterr().err)
    assert "less" not in err


def test_configure_twice_logs_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        configure()
        configure()
        logs.package.info("once")
    assert capsys.readouterr().err.count("once") == 1


@pytest.mark.parametrize("whose", ["root", "package"])
def test_configure_leaves_the_handlers_of_a_program_that_has_set_up_logging(whose: str) -> None:
    with unconfigured() as root:
        logger = root if whose == "root" else logs.package
        logger.addHandler(handler := logging.StreamHandler())
        configure()
        assert [*root.handlers, *logs.package.handlers] == [handler]


def test_a_null_handler_is_no_set_up() -> None:
    with unconfigured():
        logs.package.addHandler(logging.NullHandler())
        configure()
        assert len(logs.package.handlers) == 2


# What comes from outside.


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("GET /%1b[31m%0a", "GET /%1b[31m%0a"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\r\nb\0", "a\\r\\nb\\x00"),
        ("\x7f\x85\x9b", "\\x7f\\x85\\x9b"),
        ("你\u2028\U0001f600\ud800", "\\u4f60\\u2028\\U0001f600\\ud800"),
        ("\\x1b", "\\\\x1b"),
        ('a" 200', 'a\\" 200'),
        ("it's", "it's"),
    ],
)
def test_what_no_terminal_should_see_is_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@given(st.text())
def test_an_escaped_text_is_printable_ascii_and_tells_what_it_was(text: str) -> None:
    """For any text: nothing else comes out, and nothing of it is lost."""
    escaped = escape(text)
    assert escaped.isascii()
    assert escaped == "" or escaped.isprintable()
    assert escaped.encode().decode("unicode_escape") == text


@pytest.mark.parametrize(
    ("target", "masked"),
    [
        ("/a?access_token=s", "/a?access_token=***"),
        ("/a?b=c&TOKEN=s&d=e", "/a?b=c&TOKEN=***&d=e"),
        ("/a?my_secret=s;password=s", "/a?my_secret=***;password=***"),
        ("/?signature=s=s&key=s?s", "/?signature=***&key=***"),
        ("/?access%5Ftok%65n=s", "/?access%5Ftok%65n=***"),
        ("/?authorization=Bearer%20s", "/?authorization=***"),
        ("/?pwd=s&sign=s&sig=s", "/?pwd=***&sign=***&sig=***"),
        ("/?token=", "/?token=***"),
        ("/token=s", "/token=s"),
        ("/a?token&b=c", "/a?token&b=c"),
        ("/a?b=token", "/a?b=token"),
        ("/a", "/a"),
        ("", ""),
    ],
)
def test_values_of_tokens_and_the_like_are_masked(target: str, masked: str) -> None:
    assert mask_secrets(target) == masked


def test_a_long_query_made_of_nothing_but_names_is_read_once() -> None:
    """A pattern that looks for the name anywhere takes cubic time here: hours for this one."""
    target = "/" + "?token" * 100_000
    assert mask_secrets(target) == target
    assert mask_secrets(target + "=s") == target + "=***"


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_everything_but_the_values_of_secrets_is_left_as_it_is(
    parameters: list[tuple[str, str]],
) -> None:
    """For any query without a telling name: nothing is changed; a token among it is masked."""
    pairs = [(quote(name).lower(), quote(value)) for name, value in parameters]
    plain = "&".join(f"x{ord(name[0]) if name else 0}={value}" for name, value in pairs)
    assert mask_secrets(f"/?{plain}") == f"/?{plain}"
    assert mask_secrets(f"/?{plain}&token=s3cret&{plain}") == f"/?{plain}&token=***&{plain}"
