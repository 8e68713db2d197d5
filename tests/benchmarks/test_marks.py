"""What is counted between marks belongs to the innermost step, less what the marks take."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import pytest

from benchmarks.marks import (
    OUTSIDE,
    Log,
    Marks,
    Overheads,
    attribute,
    calibrate,
    read_calibration,
)


class Shop:
    """Something whose functions can be marked."""

    def sell(self, what: str) -> str:
        return self.wrap(what)

    def wrap(self, what: str) -> str:
        return f"a wrapped {what}"

    async def deliver(self, what: str) -> str:
        await asyncio.sleep(0)
        return self.sell(what)

    def break_down(self) -> None:
        raise LookupError("the shop has broken down")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop in a module of its own, `shop`."""
    module = ModuleType("shop")
    module.Shop = Shop  # type: ignore[attr-defined]  # a module takes any name
    monkeypatch.setitem(sys.modules, "shop", module)
    return Shop()


async def test_marks_tell_which_step_begins_within_which(shop: Shop) -> None:
    called: list[int] = []
    marks = Marks(called.append)
    boundaries = [
        ("sale", "shop:Shop.sell"),
        ("paper", "shop:Shop.wrap"),
        ("van", "shop:Shop.deliver"),
    ]
    with marks.placed(boundaries):
        assert shop.sell("cup") == "a wrapped cup"
        assert marks.log == [("sale", False), ("paper", False), None, None]
        assert not called
        marks.begin()
        assert await shop.deliver("cup") == "a wrapped cup"
        marks.end()
        log = [("van", True), ("sale", False), ("paper", False), None, None, None]
        assert marks.log == log
        shop.sell("cup")
    assert len(called) == len(log)
    shop.sell("cup")
    assert len(called) == len(log)


def test_a_step_that_fails_has_ended(shop: Shop) -> None:
    marks = Marks()
    with marks.placed([("repair", "shop:Shop.break_down")]), pytest.raises(LookupError):
        shop.break_down()
    assert marks.log == [("repair", False), None]


def test_what_is_not_there_is_not_marked_nor_is_anything_else(shop: Shop) -> None:
    sell = Shop.sell
    boundaries = [("sale", "shop:Shop.sell"), ("rent", "shop:Shop.rent")]
    with pytest.raises(AttributeError, match="rent"), Marks().placed(boundaries):
        pass
    assert Shop.sell is sell


def test_a_step_has_what_was_counted_while_it_was_the_innermost() -> None:
    log: Log = [("sale", False), ("paper", False), None, ("paper", False), None, None]
    own = attribute(log, [100, 20, 7, 30, 5, 1_000])
    assert own == {"sale": 112, "paper": 50, OUTSIDE: 1_000}


def test_what_marks_take_is_subtracted_from_the_step_and_from_that_around_it() -> None:
    log: Log = [("sale", False), ("van", True), None, None]
    overheads = Overheads({False: 10, True: 20}, {False: 1, True: 2})
    own = attribute(log, [100, 200, 100, 50], overheads)
    assert own == {"sale": 200 - 10 - 2, "van": 200 - 20, OUTSIDE: 50 - 1}


def test_calibrating_finds_what_each_mark_takes() -> None:
    marks = Marks()
    calibrate(marks)
    counts = []
    under_way = [""]
    for begun in marks.log:
        if begun is None:
            under_way.pop()
        else:
            under_way.append(begun[0])
        # A mark in an empty function takes 9 there and 4 in the loop, of a coroutine twice as much.
        later = 2 if under_way[-1].endswith("later") else 1
        counts.append(later * (9 if under_way[-1].startswith("empty") else 4))
    overheads = read_calibration(marks.log, counts)
    assert overheads.inside == {False: 9, True: 18}
    assert overheads.outside == {False: 4, True: 8}
