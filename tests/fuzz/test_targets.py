"""What `make fuzz` starts from holds, and what it finds can be kept; atheris is not needed here."""

from __future__ import annotations

from itertools import islice

import pytest
from support import frames

from fuzz import corpus
from fuzz.__main__ import dictionary_line
from fuzz.targets import TARGETS, in_steps, words


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_and_whatever_else(name: str) -> None:
    """The corpus has its own test, so a few of it do; each setting and end is tried."""
    target = TARGETS[name]
    for number, seed in enumerate([b"", b"\x00", *islice(target.seeds(), 0, None, 9)]):
        target.check(seed)
        target.check(bytes([number * 5 % 32, number]) + seed[2:])


@pytest.mark.parametrize("flags", [0, 2, 7])
@pytest.mark.parametrize("name", ["http", "websocket"])
def test_a_find_becomes_a_case_with_what_it_sent_and_the_verdict_of_today(
    name: str, flags: int
) -> None:
    sent = frames.frame("汉𝄞\x7f") + frames.frame(b"\x7f\xff", frames.PING) + frames.header(0, 3)
    odd = bytes(range(256)) if name == "http" else sent
    folder, text = TARGETS[name].case(bytes([flags, 3]) + odd)
    case = corpus.read(f"{folder}/found", text)
    assert case.sent.endswith(odd)
    assert case.answers == [400 if name == "http" else 101]
    assert case.close == (None if name == "http" else 1002)
    assert case.pongs == (None if name == "http" else [b"\x7f\xff"])
    assert case.messages == (None if name == "http" else ["汉𝄞\x7f"])


def test_a_find_that_is_no_bytes_of_a_peer_is_no_case() -> None:
    with pytest.raises(ValueError, match="write this one as a test"):
        TARGETS["grammar"].case(b"")


def test_a_case_with_a_key_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="got anwsers"):
        corpus.read("http/x", 'why = ""\nsend = []\nanswers = []\nanwsers = [200]')


def test_the_dictionary_is_one_that_libfuzzer_reads() -> None:
    assert dictionary_line(b'a"\xff') == '"\\x61\\x22\\xff"\n'
    assert b"Content-Length" in words()
    assert b"\r\n\r\n" in words()


def test_an_input_says_where_it_is_cut() -> None:
    assert in_steps(b"abc", 0) == [b"abc"]
    assert in_steps(b"abc", 2) == [b"ab", b"c"]
    assert in_steps(b"", 0) == []
