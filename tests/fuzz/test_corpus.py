"""Every input that once broke something has the verdict that the corpus says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fuzz.conversation import converse, run
from fuzz.corpus import FOLDER, Case, cases
from fuzz.judgement import judge

#: More pieces than this take their time and show nothing new.
MANY = 1_000


def whole(data: bytes) -> list[bytes]:
    return [data]


def in_halves(data: bytes) -> list[bytes]:
    return [data[: len(data) // 2], data[len(data) // 2 :]]


def byte_by_byte(data: bytes) -> list[bytes]:
    """Single bytes, at both ends and between them; in the midst of what is long, larger pieces."""
    size = max(1, len(data) // MANY)
    edge = min(len(data), MANY // 4)
    singles = [data[i : i + 1] for i in range(edge)]
    return singles + [data[i : i + size] for i in range(edge, len(data), size)]


@pytest.mark.parametrize("cut", [whole, in_halves, byte_by_byte])
@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_what_once_broke_has_its_verdict(case: Case, cut: Callable[[bytes], list[bytes]]) -> None:
    """Whole, in halves and byte by byte, and with all that holds for any conversation."""
    said = run(converse(cut(case.sent), case.setting))
    verdict = judge(said)
    assert verdict.statuses == case.answers
    if case.messages is not None:
        assert said.messages == case.messages
        assert verdict.messages == case.messages
    if case.pongs is not None:
        assert verdict.pongs == case.pongs
    if case.close is not None:
        assert (verdict.close or 0) == case.close


def test_every_file_of_the_corpus_is_a_case() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert len(files) == len(list(cases()))
    assert len(files) > 50
