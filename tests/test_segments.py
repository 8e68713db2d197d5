"""Messages of OneBot v11: codes and segments say the same."""

from __future__ import annotations

from typing import Any

import hypothesis
from hypothesis import strategies as st

from nbdriver import onebot

Json = dict[str, Any]


def test_codes_are_read_as_segments_with_their_parameters_unescaped() -> None:
    assert onebot.parse("[CQ:image,file=a&#44;b.png, url=x?a=1&amp;b=2]&#91;CQ:x&#93;[CQ:rps]") == [
        {"type": "image", "data": {"file": "a,b.png", "url": "x?a=1&b=2"}},
        onebot.text("[CQ:x]"),
        {"type": "rps", "data": {}},
    ]


def test_what_only_looks_like_a_code_is_text() -> None:
    for message in ("[CQ:]", "[CQ:a", "[cq:a]", "[CQ:a[CQ:"):
        assert onebot.parse(message) == [onebot.text(message)]


def test_openings_of_codes_without_an_end_are_read_in_one_pass() -> None:
    message = "[CQ:a,b" * 100_000
    assert onebot.parse(message) == [onebot.text(message)]


@hypothesis.settings(deadline=None)
@hypothesis.given(st.text(), st.booleans())
def test_unescaping_undoes_escaping(content: str, comma: bool) -> None:
    """Whatever is escaped reads as itself, and holds nothing that could begin or end a code."""
    escaped = onebot.escape(content, comma=comma)
    assert onebot.unescape(escaped) == content
    assert not set("[]") & set(escaped)
    assert not (comma and "," in escaped)


names = st.text("abcdefghijklmnopqrstuvwxyz_-.0123456789", min_size=1)
texts = st.text(min_size=1).map(onebot.text)
codes = st.builds(
    lambda kind, data: {"type": kind, "data": data}, names, st.dictionaries(names, st.text())
)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(st.tuples(texts, codes)))
def test_a_message_written_as_codes_reads_as_its_segments(pairs: list[tuple[Json, Json]]) -> None:
    """Segments, written in the string form of the standard, are read as they were."""
    written = "".join(onebot.escape(text["data"]["text"]) + code(**each) for text, each in pairs)
    assert onebot.parse(written) == [segment for pair in pairs for segment in pair]


def code(type: str, data: dict[str, str]) -> str:
    pairs = (f",{key}={onebot.escape(value, comma=True)}" for key, value in data.items())
    return f"[CQ:{type}{''.join(pairs)}]"
