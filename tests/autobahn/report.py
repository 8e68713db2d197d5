"""What is told of a run: the counts, what was not good, and the block in docs/autobahn.md.

No figure stands in the docs that this did not write there, between two marks that name the role,
the event loop and the lane, so that a run replaces its own figures and leaves the others alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

#: What a case may end in; anything else (NON-STRICT, FAILED, UNIMPLEMENTED, UNCLEAN, ...) is bad.
GOOD = ("OK", "INFORMATIONAL")

GROUPS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "large messages, many fragments",
    "10": "automatic fragmentation",
    "12": "compression, five kinds of payload",
    "13": "compression, seven sets of parameters",
}

_BLOCK = re.compile(r"<!-- figures: ([^\n]+) -->\n.*?<!-- end of figures -->\n", re.DOTALL)


def verdict(found: Mapping[str, Any]) -> str:
    """How a case ended, its close included: the worse of the two."""
    behaviour, close = str(found["behavior"]), str(found["behaviorClose"])
    return close if behaviour in GOOD and close not in GOOD else behaviour


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run: for each role the verdict on each case that it was to try."""

    began: date
    command: str
    facts: Mapping[str, str]
    on: str
    """The event loop, and the lane if it is the plain one."""
    verdicts: Mapping[str, Mapping[str, str]]
    """Of the roles, of the cases."""

    @property
    def bad(self) -> list[str]:
        """A line for every case that was not good, in their order."""
        return [
            f"as {role}, case {case}: {self.verdicts[role][case]}"
            for role in self.verdicts
            for case in sorted(self.verdicts[role], key=_numbers)
            if self.verdicts[role][case] not in GOOD
        ]


def _numbers(case: str) -> list[int]:
    return [int(number) for number in case.split(".")]


def _counts(verdicts: Mapping[str, str], group: str | None = None) -> Counter[str]:
    return Counter(
        ended for case, ended in verdicts.items() if group in (None, case.partition(".")[0])
    )


def _shown(counts: Counter[str]) -> str:
    """As in "36 OK, 1 INFORMATIONAL"."""
    words = [*GOOD, *sorted(set(counts) - set(GOOD))]
    return ", ".join(f"{counts[word]} {word}" for word in words if counts[word]) or "-"


def text(run: Run, seconds: float) -> str:
    """What a terminal is told; the last line is that of a test runner."""
    lines = [f"as {role}: {_shown(_counts(run.verdicts[role]))}" for role in run.verdicts]
    failed = len(run.bad)
    passed = sum(map(len, run.verdicts.values())) - failed
    closing = f"{failed} failed, " * bool(failed) + f"{passed} passed in {seconds:.1f}s"
    return "\n".join([*lines, *run.bad, closing])


def in_docs(run: Run, role: str) -> str:
    """The block of one role of a run for the docs."""
    facts = "; ".join(f"{name} {value}" for name, value in run.facts.items())
    lines = [
        f"<!-- figures: {_place(run, role)} -->",
        f"### As {_place(run, role)}",
        "",
        *_table(run.verdicts[role]),
        "",
        f"By `{run.command}` on {run.began}: {facts}.",
        "<!-- end of figures -->",
        "",
    ]
    return "\n".join(lines)


def _place(run: Run, role: str) -> str:
    return f"{role}, on {run.on}"


def _table(verdicts: Mapping[str, str]) -> Iterator[str]:
    yield "| cases | about | ended as |"
    yield "|---|---|---|"
    for group, about in GROUPS.items():
        yield f"| {group}.* | {about} | {_shown(_counts(verdicts, group))} |"
    yield f"| all | | {_shown(_counts(verdicts))} |"


def blocks(content: str) -> dict[str, str]:
    """The blocks that stand in the docs, by what they were run on, as in "client, on asyncio"."""
    return {block[1]: block[0] for block in _BLOCK.finditer(content)}


def write_docs(run: Run, path: Path) -> None:
    """Put the blocks of a run into the docs, each in the place of the same role's, loop's and
    lane's, or last.

    Raises ValueError if there is no block at all to put it beside.
    """
    for role in run.verdicts:
        content = path.read_text(encoding="utf-8")
        found = list(_BLOCK.finditer(content))
        if not found:
            raise ValueError(f"expected a block `<!-- figures: ... -->` in {path}, found none")
        own = next((block for block in found if block[1] == _place(run, role)), None)
        start, end = own.span() if own else (found[-1].end(), found[-1].end())
        between = "" if own else "\n"
        content = content[:start] + between + in_docs(run, role) + content[end:]
        path.write_text(content, encoding="utf-8")
