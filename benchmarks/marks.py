"""Marks at the calls and returns of functions, and what is counted between them.

The functions at which a step begins are wrapped: each call and each return is a mark, where a
counter such as callgrind begins anew, and what was counted belongs to the innermost step that was
under way. So the steps neither overlap nor leave anything out. What a mark itself takes is measured
on functions that do nothing, see `calibrate`, and subtracted.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["OUTSIDE", "Log", "Marks", "Overheads", "attribute", "calibrate", "read_calibration"]

Log = list[tuple[str, bool] | None]
"""For each mark the step that begins there and whether it is a coroutine's; None where one ends."""

OUTSIDE = "outside"
"""The step of what is counted while none is under way."""

_CALLS = 100


class Marks:
    """Wraps functions, and keeps a log of the marks."""

    def __init__(self, mark: Callable[[int], object] = os.getsid) -> None:
        """`mark` is what is called at each, with 0: a function that the counter knows."""
        self._mark = mark
        # The same as far as Python is concerned, and no counter cares for it.
        self.call: Callable[[int], object] = os.getpgid
        """What a mark calls: before `begin` and after `end` not yet, or no more, the counter's."""
        self.log: Log = []

    def begin(self) -> None:
        """From now on the marks count."""
        self.log.clear()
        self.call = self._mark

    def end(self) -> None:
        """From now on they do not; the log stays as it is."""
        self.log = self.log.copy()
        self.call = os.getpgid

    def wrap(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, also one that makes a coroutine, with a mark at both its ends.

        It takes no arguments by name, which would take longer than all the rest.
        """
        # As short as it can be: what a mark takes can only be subtracted about.
        begun = (step, inspect.iscoroutinefunction(function))
        append = self.log.append

        @functools.wraps(function)
        def marked(*args: Any) -> Any:
            append(begun)
            self.call(0)
            try:
                return function(*args)
            finally:
                append(None)
                self.call(0)

        @functools.wraps(function)
        async def marked_coroutine(*args: Any) -> Any:
            append(begun)
            self.call(0)
            try:
                return await function(*args)
            finally:
                append(None)
                self.call(0)

        return marked_coroutine if begun[1] else marked

    @contextmanager
    def placed(self, boundaries: Iterable[tuple[str, str]]) -> Iterator[None]:
        """Wrap functions while a block runs: pairs of a step and a `module:Class.function`.

        Raises AttributeError for a function that is not there, or not any more.
        """
        undo = []
        try:
            for step, path in boundaries:
                module, _, names = path.partition(":")
                *outer, name = names.split(".")
                owner: Any = functools.reduce(getattr, outer, importlib.import_module(module))
                function = getattr(owner, name)
                setattr(owner, name, self.wrap(step, function))
                undo.append((owner, name, function))
            yield
        finally:
            for owner, name, function in reversed(undo):
                setattr(owner, name, function)


# What was counted between them.


@dataclass(frozen=True, slots=True)
class Overheads:
    """Instructions that the two marks of a call take, for a function and for a coroutine."""

    inside: Mapping[bool, float]
    """Counted for the step that begins; by whether it is a coroutine's."""
    outside: Mapping[bool, float]
    """Counted for the step that it begins in."""


NONE = Overheads({False: 0.0, True: 0.0}, {False: 0.0, True: 0.0})
"""Where marks take nothing, or what they take is wanted."""


def attribute(
    log: Sequence[tuple[str, bool] | None], counts: Sequence[int], overheads: Overheads = NONE
) -> dict[str, float]:
    """What each step takes by itself, without those that begin in it and without the marks.

    `counts` has for each mark of `log` what was counted from there to the next.
    """
    own: dict[str, float] = defaultdict(float)
    under_way = [OUTSIDE]
    for begun, count in zip(log, counts, strict=True):
        if begun is None:
            under_way.pop()
        else:
            step, is_coroutine = begun
            own[under_way[-1]] -= overheads.outside[is_coroutine]
            own[step] -= overheads.inside[is_coroutine]
            under_way.append(step)
        own[under_way[-1]] += count
    return own


# What marks take.


def _nothing() -> None:
    pass


async def _nothing_later() -> None:
    pass


def calibrate(marks: Marks) -> None:
    """Call what does nothing, with marks and without; for `read_calibration`."""
    empty, empty_later = marks.wrap("empty", _nothing), marks.wrap("empty later", _nothing_later)
    loops = [
        marks.wrap("marked", lambda: _call(empty)),
        marks.wrap("bare", lambda: _call(_nothing)),
        marks.wrap("marked later", lambda: _run(_call_later(empty_later))),
        marks.wrap("bare later", lambda: _run(_call_later(_nothing_later))),
    ]
    for counting in (False, True):
        if counting:
            marks.begin()
        for loop in loops:
            loop()
    marks.end()


def _call(function: Callable[[], object]) -> None:
    for _ in range(_CALLS):
        function()


async def _call_later(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    for _ in range(_CALLS):
        await function()


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("expected a coroutine that waits for nothing")


def read_calibration(log: Sequence[tuple[str, bool] | None], counts: Sequence[int]) -> Overheads:
    """What the marks take, by what was counted between those of `calibrate`."""
    own = attribute(log, counts)
    inside: dict[bool, float] = {}
    outside: dict[bool, float] = {}
    for is_coroutine, suffix in ((False, ""), (True, " later")):
        inside[is_coroutine] = own[f"empty{suffix}"] / _CALLS
        outside[is_coroutine] = (own[f"marked{suffix}"] - own[f"bare{suffix}"]) / _CALLS
    return Overheads(inside, outside)
