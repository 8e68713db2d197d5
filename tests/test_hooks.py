"""Hooks are the users' code: whatever it does, the other hooks and the next connection go on."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from support.jumping import jumping
from support.peer import settle

from nbdriver.hooks import HookRunner, call_hook, name_of

HOUR = 3600.0


class FakeBot:
    def __init__(self, self_id: str = "1") -> None:
        self.self_id = self_id


class Diary:
    """What happened, in its order, and hooks that write into it."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def hook(self, name: str, seconds: float = 0.0) -> Callable[[FakeBot], Awaitable[None]]:
        """A hook that takes so long; it notes when it begins, ends, or is cancelled."""

        async def hook(bot: FakeBot) -> None:
            self.entries.append(f"{name} begins")
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.entries.append(f"{name} is cancelled")
                raise
            self.entries.append(f"{name} ends")

        hook.__qualname__ = name
        return hook

    def take(self) -> list[str]:
        """What happened since the last time of asking."""
        taken = self.entries[:]
        self.entries.clear()
        return taken


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """What was logged so far; asyncio itself must have nothing to tell."""
    yield lambda: [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [record for record in caplog.records if record.name == "asyncio"] == []


Log = Callable[[], list[tuple[str, str]]]


async def nothing_runs(runner: HookRunner) -> None:
    """See that the runner has come to its end, and no task is left of it."""
    await runner.join()
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Calling a hook.


async def test_a_plain_hook_is_called_and_what_an_async_one_gives_is_awaited() -> None:
    calls: list[tuple[object, ...]] = []

    async def async_hook(*args: object) -> None:
        await asyncio.sleep(0)
        calls.append(("async", *args))

    def plain_hook(*args: object) -> str:
        calls.append(("plain", *args))
        return "a result that nobody wants"

    def hook_that_gives_a_future(*args: object) -> asyncio.Future[None]:
        return asyncio.ensure_future(async_hook("future", *args))

    await call_hook(async_hook, 1, 2)
    await call_hook(plain_hook)
    await call_hook(hook_that_gives_a_future, 3)
    assert calls == [("async", 1, 2), ("plain",), ("async", "future", 3)]


def some_hook(bot: FakeBot) -> None: ...


class Greeter:
    def __call__(self, bot: FakeBot) -> None: ...

    def __repr__(self) -> str:
        return "<a greeter>"

    def method(self, bot: FakeBot) -> None: ...


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        (some_hook, "some_hook"),
        (Greeter().method, "Greeter.method"),
        (Greeter(), "<a greeter>"),
        (functools.partial(Greeter()), "functools.partial(<a greeter>)"),
        (lambda bot: None, "<lambda>"),
    ],
)
def test_a_hook_is_called_by_the_name_that_its_author_knows(hook: Any, name: str) -> None:
    assert name_of(hook) == name


# The hooks of one event.


@jumping
async def test_each_hook_gets_the_bot_on_the_next_turn_of_the_loop(diary: Diary) -> None:
    bots = []
    runner = HookRunner()
    bot = FakeBot()
    runner.start("connect", [bots.append, bots.append], bot)
    assert bots == []
    await runner.join()
    assert bots == [bot, bot]
    await nothing_runs(runner)


@jumping
async def test_the_hooks_of_an_event_run_side_by_side() -> None:
    first, second = asyncio.Event(), asyncio.Event()

    async def wait_for_the_second(bot: FakeBot) -> None:
        first.set()
        await second.wait()

    async def wait_for_the_first(bot: FakeBot) -> None:
        await first.wait()
        second.set()

    runner = HookRunner()
    runner.start("disconnect", [wait_for_the_second, wait_for_the_first], FakeBot())
    await nothing_runs(runner)
    assert second.is_set()


async def fail(bot: FakeBot) -> None:
    raise ZeroDivisionError("a mistake")


def fail_at_once(bot: FakeBot) -> None:
    raise ZeroDivisionError("a mistake")


def cannot_be_called() -> None: ...


@pytest.mark.parametrize("kind", ["connect", "disconnect"])
@pytest.mark.parametrize("hook", [fail, fail_at_once, cannot_be_called])
@jumping
async def test_what_a_hook_raises_is_logged_and_stops_no_other(
    hook: Any, kind: str, diary: Diary, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    runner = HookRunner()
    runner.start(kind, [diary.hook("before", 1), hook, diary.hook("after", 1)], FakeBot())
    await runner.join()
    assert diary.take() == ["before begins", "after begins", "before ends", "after ends"]
    assert log() == [("ERROR", f"the {kind} hooks of bot 1: {hook.__qualname__}: failed")]
    assert caplog.records[0].exc_info is not None
    await nothing_runs(runner)


async def raise_cancelled(bot: FakeBot) -> None:
    raise asyncio.CancelledError


def raise_cancelled_at_once(bot: FakeBot) -> None:
    raise asyncio.CancelledError


async def await_a_cancelled_task(bot: FakeBot) -> None:
    task = asyncio.ensure_future(asyncio.sleep(HOUR))
    task.cancel()
    await task


@pytest.mark.parametrize("hook", [raise_cancelled, raise_cancelled_at_once, await_a_cancelled_task])
@jumping
async def test_a_hook_that_raises_cancelled_error_itself_fails_alone(
    hook: Any, diary: Diary, log: Log
) -> None:
    runner, name = HookRunner(), name_of(hook)
    runner.start("connect", [hook, diary.hook("other", 1)], FakeBot())
    await runner.join()
    assert diary.take() == ["other begins", "other ends"]
    assert log() == [
        (
            "ERROR",
            f"the connect hooks of bot 1: {name}: failed with a CancelledError of its own",
        )
    ]
    await nothing_runs(runner)


@jumping
async def test_a_hook_that_cancels_itself_ends_alone(diary: Diary) -> None:
    async def cancel_itself(bot: FakeBot) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(HOUR)

    runner = HookRunner()
    runner.start("connect", [cancel_itself, diary.hook("other", 1)], FakeBot())
    await runner.join()
    assert diary.take() == ["other begins", "other ends"]
    await nothing_runs(runner)


@jumping
async def test_the_hooks_are_those_there_were_when_the_event_happened(diary: Diary) -> None:
    hooks = {diary.hook("early")}
    runner = HookRunner()
    runner.start("connect", hooks, FakeBot())
    hooks.add(diary.hook("late"))
    await runner.join()
    assert diary.take() == ["early begins", "early ends"]


@jumping
async def test_an_event_without_hooks_costs_no_task() -> None:
    runner = HookRunner()
    runner.start("connect", [], FakeBot())
    runner.start("disconnect", [], FakeBot())
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(StopIteration):
        runner.settled("1").send(None)


@jumping
async def test_a_bots_id_cannot_lead_a_log_astray(log: Log) -> None:
    runner = HookRunner()
    runner.timeout = 1
    runner.start("disconnect", [lambda bot: asyncio.sleep(HOUR)], FakeBot("\x1b[31m\n1"))
    await runner.join()
    for _, line in log():
        assert line.isprintable()
        assert r"of bot \x1b[31m\n1" in line


@jumping
async def test_a_bot_whose_id_is_changed_meanwhile_is_still_known(diary: Diary) -> None:
    runner = HookRunner()
    bot = FakeBot("1")
    runner.start("connect", [diary.hook("connect", 1)], bot)
    bot.self_id = "2"
    await runner.settled("1")
    assert diary.take() == ["connect begins", "connect ends"]
    await nothing_runs(runner)


# The order of events.


@jumping
async def test_events_of_one_bot_id_follow_one_another(diary: Diary) -> None:
    runner = HookRunner()
    for number in range(3):
        bot = FakeBot()
        runner.start("connect", [diary.hook(f"connect {number}", 3 - number)], bot)
        runner.start("disconnect", [diary.hook(f"disconnect {number}", number)], bot)
    await runner.join()
    assert diary.take() == [
        f"{kind} {number} {what}"
        for number in range(3)
        for kind in ("connect", "disconnect")
        for what in ("begins", "ends")
    ]
    await nothing_runs(runner)


@pytest.mark.parametrize("turns", range(10))
@jumping
async def test_what_follows_may_come_in_any_turn_of_the_loop(turns: int, diary: Diary) -> None:
    runner = HookRunner()
    runner.start("connect", [diary.hook("connect")], FakeBot())
    for _ in range(turns):
        await asyncio.sleep(0)
    runner.start("disconnect", [diary.hook("disconnect")], FakeBot())
    await runner.join()
    assert diary.take() == [
        "connect begins",
        "connect ends",
        "disconnect begins",
        "disconnect ends",
    ]


@jumping
async def test_events_of_different_bot_ids_do_not_wait_for_one_another(diary: Diary) -> None:
    runner = HookRunner()
    runner.start("connect", [diary.hook("slow", 2)], FakeBot("1"))
    runner.start("connect", [diary.hook("quick", 1)], FakeBot("2"))
    await runner.join()
    assert diary.take() == ["slow begins", "quick begins", "quick ends", "slow ends"]


@jumping
async def test_thousands_of_events_of_one_bot_id_are_worked_off_and_forgotten() -> None:
    numbers: list[int] = []
    runner = HookRunner()
    for number in range(2_000):
        kind = "disconnect" if number % 2 else "connect"
        runner.start(kind, [lambda bot, number=number: numbers.append(number)], FakeBot())
    await runner.settled("1")
    assert numbers == list(range(2_000))
    await nothing_runs(runner)


@jumping
async def test_nothing_is_kept_of_a_bot_whose_hooks_have_ended() -> None:
    runner = HookRunner()
    bot = FakeBot()
    runner.start("connect", [lambda bot: asyncio.sleep(1)], bot)
    runner.start("disconnect", [lambda bot: asyncio.sleep(1)], bot)
    await runner.join()
    gone = weakref.ref(bot)
    del bot
    gc.collect()
    assert gone() is None


# Time.


@jumping
async def test_a_connect_hook_may_go_on_for_as_long_as_its_bot_is_there(
    diary: Diary, log: Log
) -> None:
    runner = HookRunner()
    bot = FakeBot()
    runner.start("connect", [diary.hook("endless", 100 * HOUR)], bot)
    await asyncio.sleep(99 * HOUR)
    assert diary.take() == ["endless begins"]
    assert log() == []
    runner.start("disconnect", [], bot)
    await runner.join()


@pytest.mark.parametrize("has_disconnect_hook", [True, False])
@jumping
async def test_an_endless_connect_hook_is_cut_off_when_its_bot_has_been_gone_for_a_while(
    has_disconnect_hook: bool, diary: Diary, log: Log
) -> None:
    runner = HookRunner()
    runner.timeout = 10
    bot = FakeBot()
    runner.start("connect", [diary.hook("endless", HOUR), diary.hook("short", 1)], bot)
    await asyncio.sleep(60)
    runner.start("disconnect", [diary.hook("disconnect")] if has_disconnect_hook else [], bot)
    await asyncio.sleep(9.9)
    assert diary.take() == ["endless begins", "short begins", "short ends"]
    await asyncio.sleep(0.2)
    assert diary.take() == [
        "endless is cancelled",
        *(["disconnect begins", "disconnect ends"] if has_disconnect_hook else []),
    ]
    assert log() == [
        ("ERROR", "the connect hooks of bot 1: cancelled, they still ran after 10 s: endless"),
    ]
    await nothing_runs(runner)


@jumping
async def test_disconnect_hooks_begin_as_soon_as_the_connect_hooks_have_ended(
    diary: Diary, log: Log
) -> None:
    runner = HookRunner()
    bot = FakeBot()
    runner.start("connect", [diary.hook("connect", 5)], bot)
    await asyncio.sleep(2)
    runner.start("disconnect", [diary.hook("disconnect")], bot)
    await asyncio.sleep(2.9)
    assert diary.take() == ["connect begins"]
    await asyncio.sleep(0.2)
    assert diary.take() == ["connect ends", "disconnect begins", "disconnect ends"]
    assert log() == []


@jumping
async def test_a_disconnect_hook_over_its_time_is_cut_off(diary: Diary, log: Log) -> None:
    runner = HookRunner()
    runner.timeout = 10
    runner.start("disconnect", [diary.hook("slow", HOUR)], FakeBot())
    await asyncio.sleep(9.9)
    assert diary.take() == ["slow begins"]
    await asyncio.sleep(0.2)
    assert diary.take() == ["slow is cancelled"]
    assert log() == [
        ("ERROR", "the disconnect hooks of bot 1: cancelled, they still ran after 10 s: slow")
    ]
    await nothing_runs(runner)


@jumping
async def test_the_time_of_hooks_that_wait_for_others_begins_with_themselves(diary: Diary) -> None:
    runner = HookRunner()
    runner.timeout = 10
    bot = FakeBot()
    runner.start("connect", [diary.hook("connect", HOUR)], bot)
    runner.start("disconnect", [diary.hook("disconnect", 9)], bot)
    runner.start("connect", [diary.hook("connect again", 9)], FakeBot())
    runner.start("disconnect", [diary.hook("disconnect again", 9)], FakeBot())
    await runner.join()
    assert diary.take() == [
        "connect begins",
        "connect is cancelled",
        "disconnect begins",
        "disconnect ends",
        "connect again begins",
        "connect again ends",
        "disconnect again begins",
        "disconnect again ends",
    ]


@pytest.mark.parametrize("kind", ["connect", "disconnect"])
@jumping
async def test_what_follows_does_not_give_hooks_more_time(kind: str, diary: Diary) -> None:
    runner = HookRunner()
    runner.timeout = 10
    runner.start(kind, [diary.hook("slow", HOUR)], FakeBot())
    runner.start("disconnect", [], FakeBot())
    await asyncio.sleep(9)
    runner.start("connect", [diary.hook("next")], FakeBot())
    await asyncio.sleep(1.1)
    assert diary.take() == ["slow begins", "slow is cancelled", "next begins", "next ends"]


def stubborn(released: asyncio.Event) -> Callable[[FakeBot], Awaitable[None]]:
    """A hook that does not let itself be cancelled: `except:` in a loop is all it takes."""

    async def hook(bot: FakeBot) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                pass

    hook.__qualname__ = "stubborn"
    return hook


@jumping
async def test_a_hook_that_ignores_a_cancel_lets_the_next_go_ahead_and_is_not_forgotten(
    diary: Diary, log: Log
) -> None:
    runner = HookRunner()
    runner.timeout = 10
    released = asyncio.Event()
    bot = FakeBot()
    runner.start("connect", [stubborn(released)], bot)
    runner.start("disconnect", [diary.hook("disconnect")], bot)
    async with asyncio.timeout(20):
        await runner.settled("1")
    assert diary.take() == ["disconnect begins", "disconnect ends"]
    runner.start("connect", [diary.hook("connect again")], FakeBot())
    async with asyncio.timeout(20):
        await runner.settled("1")
    assert diary.take() == ["connect again begins", "connect again ends"]
    assert log()[-1] == (
        "ERROR",
        "the connect hooks of bot 1: they go on although they were cancelled: stubborn",
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(HOUR):
            await runner.join()
    released.set()
    await nothing_runs(runner)


@jumping
async def test_after_hooks_that_ignore_a_cancel_nobody_has_to_wait(diary: Diary) -> None:
    runner = HookRunner()
    runner.timeout = 10
    released = asyncio.Event()
    runner.start("disconnect", [stubborn(released)], FakeBot())
    async with asyncio.timeout(20):
        await runner.settled("1")
    # It goes on, but is over as far as others are concerned.
    with pytest.raises(StopIteration):
        runner.settled("1").send(None)
    runner.start("connect", [diary.hook("connect")], FakeBot())
    await settle()
    assert diary.take() == ["connect begins", "connect ends"]
    released.set()
    await nothing_runs(runner)


# Waiting and cancelling.


@jumping
async def test_settled_waits_for_the_last_event_of_that_bot_id_only(diary: Diary) -> None:
    runner = HookRunner()
    bot = FakeBot("1")
    runner.start("connect", [diary.hook("connect", 1)], bot)
    runner.start("disconnect", [diary.hook("disconnect", 1)], bot)
    runner.start("connect", [diary.hook("other", HOUR)], FakeBot("2"))
    waiting = [asyncio.create_task(runner.settled("1")) for _ in range(3)]
    await settle()
    # What comes while it is waited is waited for as well.
    runner.start("connect", [diary.hook("again", 1)], FakeBot("1"))
    waiting[0].cancel()
    await asyncio.gather(*waiting[1:])
    assert diary.take()[-1] == "again ends"
    assert waiting[0].cancelled()
    with pytest.raises(StopIteration):
        runner.settled("nobody").send(None)
    await runner.cancel()


@jumping
async def test_cancel_ends_every_hook_and_names_it(diary: Diary, log: Log) -> None:
    runner = HookRunner()
    bot = FakeBot()
    runner.start("connect", [diary.hook("endless", HOUR), diary.hook("other", HOUR)], bot)
    runner.start("disconnect", [diary.hook("disconnect")], bot)
    await settle()
    await runner.cancel()
    assert diary.take() == [
        "endless begins",
        "other begins",
        "endless is cancelled",
        "other is cancelled",
    ]
    ended = "cancelled, it had not ended in time"
    assert sorted(log()) == [
        ("WARNING", f"the connect hooks of bot 1: {ended}"),
        ("WARNING", f"the disconnect hooks of bot 1: {ended}"),
    ]
    with pytest.raises(StopIteration):
        runner.settled("1").send(None)
    await nothing_runs(runner)


@jumping
async def test_cancel_waits_for_what_hooks_do_at_their_end_and_cancels_them_once(
    diary: Diary, log: Log
) -> None:
    async def tidy(bot: FakeBot) -> None:
        try:
            await asyncio.sleep(HOUR)
        finally:
            await asyncio.sleep(5)
            diary.entries.append("tidied up")

    runner = HookRunner()
    runner.start("connect", [tidy], FakeBot())
    runner.start("disconnect", [diary.hook("disconnect")], FakeBot())
    await settle()
    await runner.cancel()
    assert diary.take() == ["tidied up"]
    assert [level for level, _ in log()] == ["WARNING"] * 2
    await nothing_runs(runner)


@jumping
async def test_what_was_cancelled_before_it_began_keeps_nobody_waiting(log: Log) -> None:
    runner = HookRunner()
    runner.start("connect", [lambda bot: None], FakeBot())
    await runner.cancel()
    with pytest.raises(StopIteration):
        runner.settled("1").send(None)
    assert log() == [("WARNING", "the connect hooks of bot 1: cancelled, it had not ended in time")]
    await nothing_runs(runner)


@pytest.mark.parametrize("seconds", [0, 5, 10, 10.5, 11, 12])
@jumping
async def test_cancelled_at_any_time_it_leaves_nothing(
    seconds: float, diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    runner = HookRunner()
    runner.timeout = 10
    released = asyncio.Event()
    bot = FakeBot()
    hooks = [diary.hook("slow", HOUR), stubborn(released), fail]
    runner.start("connect", hooks, bot)
    runner.start("disconnect", hooks, bot)
    runner.start("connect", hooks, bot)
    await asyncio.sleep(seconds)
    cancelling = asyncio.create_task(runner.cancel())
    await asyncio.sleep(HOUR)
    assert not cancelling.done() or seconds == 0
    released.set()
    await cancelling
    await nothing_runs(runner)


@jumping
async def test_a_hook_may_tell_of_an_event_of_its_own_bot(diary: Diary) -> None:
    runner = HookRunner()

    def disconnect(bot: FakeBot) -> None:
        diary.entries.append("connect")
        runner.start("disconnect", [diary.hook("disconnect")], bot)

    runner.start("connect", [disconnect], FakeBot())
    await runner.settled("1")
    assert diary.take() == ["connect", "disconnect begins", "disconnect ends"]
    await nothing_runs(runner)
