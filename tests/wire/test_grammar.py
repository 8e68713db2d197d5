"""Tokens and quotations."""

from __future__ import annotations

import re

import pytest

from nbdriver.wire.grammar import TOKEN, TOKEN_CHARACTER, is_token, quote

#: RFC 9110, 5.6.2: tchar.
TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_the_characters_of_a_token_are_those_of_the_rfc_and_no_others() -> None:
    every = map(chr, range(0x250))
    assert {each for each in every if re.fullmatch(TOKEN_CHARACTER, each)} == set(TCHARS)
    assert re.fullmatch(TOKEN, TCHARS)


@pytest.mark.parametrize("text", ["chat", "v1.chat+json", "!"])
def test_a_token_is_one(text: str) -> None:
    assert is_token(text)


@pytest.mark.parametrize("text", ["", "a b", "a\n", "a,b", "é", '"a"'])
def test_what_is_not_all_a_token_is_none(text: str) -> None:
    assert not is_token(text)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", "'plain'"),
        ("a\r\nX: é\x1b", r"'a\r\nX: \xe9\x1b'"),
        ("x" * 60, repr("x" * 60)),
        ("x" * 61, repr("x" * 60) + "..."),
    ],
)
def test_a_quotation_is_short_and_of_printable_ascii(text: str, quoted: str) -> None:
    assert quote(text) == quoted
