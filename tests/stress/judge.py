"""Whether a run went as it has to: what was promised to the clients against what the bot did."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from .clients import Seen
from .plan import Moment, Plan

_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) +\S")
_CANCELLED = re.compile(r"'number': (\d+).*: cancelled, it had not ended in time$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left of a run."""

    code: int
    written: list[str]
    """The lines of the bot's file."""
    errors: str
    """What the process said on standard error."""
    seen: Seen

    @property
    def ended(self) -> list[int]:
        """The events that were handled to their end."""
        return [int(line.split()[1]) for line in self.written if line.startswith("ended ")]

    def __str__(self) -> str:
        replied = sum(len(held.replied) for held in self.seen.held)
        return (
            f"exit code {self.code}, {len(self.seen.answered)} posts answered,"
            f" {replied} events of {len(self.seen.held)} WebSockets"
        )


def complaints(plan: Plan, outcome: Outcome) -> list[str]:
    """What is wrong with a run; nothing, if it went as it has to."""
    if plan.moment is Moment.PYTHON and not outcome.written:
        # Python itself had not come as far as our handler of the signal.
        gone = outcome.code in (0, -signal.SIGTERM) and not outcome.errors.count("Traceback")
        return [] if gone else [f"it ended with {outcome.code} before it had begun to start"]
    forced = plan.second is not None and outcome.code == 1
    found = [*_of_the_process(plan, outcome), *_of_the_log(outcome, forced=forced)]
    found += _of_posts(outcome, forced=forced)
    if not forced:
        found += [*_of_websockets(outcome), *_of_hooks(outcome)]
    return found


def _of_the_process(plan: Plan, outcome: Outcome) -> Iterator[str]:
    allowed = [0]
    if plan.second is not None:
        allowed.append(1)
        # The second signal came when all was over, and the handlers were put back.
        if "Stopped" in outcome.errors:
            allowed.append(-signal.SIGTERM)
    if outcome.code not in allowed:
        yield f"it ended with {outcome.code}, expected one of {allowed}"
    # Who is forced to stop gives its hooks a moment, and names those that need more.
    cut_off = plan.second is not None and "Shut-down hooks cut off: " in outcome.errors
    if outcome.written[-1:] != ["shut down"] and not cut_off:
        yield f"its last line was {outcome.written[-1:]}, expected 'shut down'"


def _of_the_log(outcome: Outcome, *, forced: bool) -> Iterator[str]:
    for line in outcome.errors.splitlines():
        level = _LOG_LINE.match(line)
        if level is None or (level[1] == "ERROR" and not forced):
            yield f"it said: {line}"


def _of_posts(outcome: Outcome, *, forced: bool) -> Iterator[str]:
    seen, ended = outcome.seen, outcome.ended
    if len(ended) != len(set(ended)):
        yield "it handled an event twice"
    lost = set(seen.answered) - set(ended)
    if forced:
        lost -= {int(number) for number in _CANCELLED.findall(outcome.errors)}
    if lost:
        yield f"it answered 204 to {sorted(lost)}, and did not handle them"
    if seen.refused and not forced:
        yield f"it refused with {dict(seen.refused)}"
    if seen.cut:
        yield f"its answers broke off: {seen.cut}"


def _of_websockets(outcome: Outcome) -> Iterator[str]:
    ended = set(outcome.ended)
    for held in outcome.seen.held:
        handled = [number for number in held.sent if number in ended]
        # What came after the stop is not handled; nothing that came before it may be missing.
        if left_out := set(held.sent[: len(handled)]) - ended:
            yield f"it left out {sorted(left_out)}, and handled what came later"
        if wrong := held.replied ^ set(handled):
            yield f"it handled or replied to {sorted(wrong)}, and not both"
        if held.code not in (1000, 1001):
            yield f"it ended a WebSocket with the code {held.code}, expected 1001 (or 1000)"


def _of_hooks(outcome: Outcome) -> Iterator[str]:
    by_id: dict[str, list[str]] = {}
    for line in outcome.written:
        what, _, self_id = line.partition(" ")
        if what in ("connected", "disconnected"):
            by_id.setdefault(self_id, []).append(what)
    for self_id, hooks in by_id.items():
        if hooks != ["connected", "disconnected"] * (len(hooks) // 2):
            yield f"the hooks of {self_id} ran as {hooks}"
