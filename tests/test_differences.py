"""What docs/nonebot.md tells of other drivers is what the conformance tests hold them to.

`python tests/test_differences.py` writes its tables anew.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from conformance.differences import BEHAVIOURS, as_markdown

PAGE = Path(__file__).parent.parent / "docs" / "nonebot.md"
TABLES = re.compile(r"(<!-- differences: [^\n]*-->\n).*(<!-- end -->\n)", re.DOTALL)


def with_tables(text: str) -> str:
    return TABLES.sub(lambda match: f"{match[1]}\n{as_markdown()}\n{match[2]}", text)


def test_the_page_has_the_differences_that_are_tested() -> None:
    text = PAGE.read_text("utf-8")
    assert len(TABLES.findall(text)) == 1
    assert text == with_tables(text), "python tests/test_differences.py writes them anew"


def test_each_row_is_of_another_test() -> None:
    for rows in BEHAVIOURS.values():
        names = [row.test for row in rows]
        assert len(names) == len(set(names))


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
