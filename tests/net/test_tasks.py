"""`Tasks` keeps its promises whether tasks start at once (Python 3.12) or on the next turn."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import weakref
from collections.abc import Iterator

import pytest
from support.jumping import jumping
from support.peer import settle

from nbdriver.net.tasks import Tasks

#: Whether a task that is to start at once does.
EAGER = sys.version_info >= (3, 12)

either_kind = pytest.mark.parametrize("eager", [True, False])


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log of the module; of asyncio's own, which hears of what nobody else does, not a line."""
    yield caplog
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def lines(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in log.records]


class Calls:
    """Counts how often each task was told to be done."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


async def return_at_once() -> str:
    return "result"


async def wait_a_turn() -> str:
    await asyncio.sleep(0)
    return "result"


async def fail_at_once() -> None:
    raise ZeroDivisionError("a mistake")


async def fail_after_a_turn() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError("a mistake")


async def cancel_itself_at_once() -> None:
    raise asyncio.CancelledError


async def await_what_is_cancelled() -> None:
    other = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    other.cancel()
    await other


# Starting and ending.


@either_kind
@pytest.mark.parametrize("work", [return_at_once, wait_a_turn])
async def test_a_task_that_ends_is_done_once_and_leaves_nothing(work, eager, log) -> None:
    tasks, done = Tasks(eager=eager), Calls()
    task = tasks.start(work(), "work", done)
    await tasks.join()
    assert task.result() == "result"
    assert done.count == 1
    assert len(tasks) == 0
    assert lines(log) == []


@either_kind
@pytest.mark.parametrize("work", [fail_at_once, fail_after_a_turn])
async def test_what_a_task_raises_is_logged_with_its_cause(work, eager, log) -> None:
    tasks, done = Tasks(eager=eager), Calls()
    tasks.start(work(), {"event": "of an hour"}, done)
    await tasks.join()
    assert lines(log) == [("ERROR", "{'event': 'of an hour'}: failed")]
    exc_info = log.records[0].exc_info
    assert exc_info is not None
    assert isinstance(exc_info[1], ZeroDivisionError)
    assert done.count == 1
    assert len(tasks) == 0


@either_kind
@pytest.mark.parametrize("work", [cancel_itself_at_once, await_what_is_cancelled])
async def test_a_task_that_ends_as_cancelled_by_itself_is_logged(work, eager, log) -> None:
    tasks, done = Tasks(eager=eager), Calls()
    tasks.start(work(), "work", done)
    await tasks.join()
    assert lines(log) == [("ERROR", "work: failed with a CancelledError of its own")]
    assert done.count == 1


@either_kind
async def test_a_task_that_is_cancelled_by_whoever_started_it_is_not_logged(eager, log) -> None:
    tasks, done = Tasks(eager=eager), Calls()
    started = tasks.start(asyncio.Event().wait(), "work", done)
    await settle()
    started.cancel()
    not_started = tasks.start(asyncio.Event().wait(), "work", done)
    not_started.cancel()
    await tasks.join()
    assert started.cancelled()
    assert not_started.cancelled()
    assert done.count == 2
    assert lines(log) == []


@either_kind
@pytest.mark.parametrize("work", [return_at_once, fail_at_once, wait_a_turn, fail_after_a_turn])
async def test_what_is_done_at_the_end_may_raise_and_is_logged(work, eager, log) -> None:
    def done() -> None:
        raise KeyError("done")

    tasks = Tasks(eager=eager)
    tasks.start(work(), "work", done)
    await tasks.join()
    assert len(tasks) == 0
    assert lines(log)[-1] == ("ERROR", "work: what was to be done at its end failed")


async def test_an_eager_task_runs_at_once_up_to_its_first_wait_from_python_3_12_on() -> None:
    steps = []

    async def work() -> None:
        steps.append("before the wait")
        await asyncio.sleep(0)
        steps.append("after the wait")

    tasks = Tasks()
    tasks.start(work(), "work")
    assert steps == (["before the wait"] if EAGER else [])
    await tasks.join()
    assert steps == ["before the wait", "after the wait"]


async def test_a_task_that_is_not_eager_runs_on_the_next_turn_on_any_python() -> None:
    steps = []

    async def work() -> None:
        steps.append("started")

    tasks = Tasks(eager=False)
    tasks.start(work(), "work")
    assert steps == []
    assert len(tasks) == 1
    await tasks.join()
    assert steps == ["started"]


@either_kind
async def test_a_timeout_works_before_and_after_the_first_wait(eager) -> None:
    outcomes = []

    async def work() -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            outcomes.append(asyncio.current_task())

    tasks = Tasks(eager=eager)
    task = tasks.start(work(), "work")
    await tasks.join()
    assert outcomes == [task]


@either_kind
async def test_running_tasks_are_held_even_if_nobody_else_holds_them(eager) -> None:
    class Waiting:
        """A future that only its task knows."""

        def __init__(self) -> None:
            self.future = asyncio.get_running_loop().create_future()

        def __await__(self) -> Iterator[object]:
            return self.future.__await__()

    async def wait_for_it(waiting: Waiting) -> None:
        await waiting

    tasks = Tasks(eager=eager)
    waiting = Waiting()
    future = weakref.ref(waiting.future)
    tasks.start(wait_for_it(waiting), "work")
    await settle()
    del waiting
    gc.collect()
    kept = future()
    assert kept is not None
    assert len(tasks) == 1
    kept.set_result(None)
    await tasks.join()
    assert len(tasks) == 0


# Waiting for all.


@either_kind
async def test_join_waits_also_for_what_tasks_start_meanwhile(eager) -> None:
    ended = []

    async def start_another(left: int) -> None:
        await asyncio.sleep(0)
        if left:
            tasks.start(start_another(left - 1), left)
        ended.append(left)

    tasks = Tasks(eager=eager)
    tasks.start(start_another(5), "the first")
    await tasks.join()
    assert sorted(ended) == [0, 1, 2, 3, 4, 5]
    assert len(tasks) == 0


@either_kind
async def test_join_waits_also_for_what_is_started_when_a_task_is_done(eager) -> None:
    ended = []

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        ended.append(name)

    tasks = Tasks(eager=eager)
    tasks.start(work("first"), "first", lambda: tasks.start(work("second"), "second"))
    await tasks.join()
    assert ended == ["first", "second"]


@either_kind
async def test_join_of_one_of_the_tasks_waits_for_the_others(eager) -> None:
    steps = []

    async def work() -> None:
        await asyncio.sleep(0)
        steps.append("work")

    async def wait_for_the_others() -> None:
        await tasks.join()
        steps.append("joined")

    tasks = Tasks(eager=eager)
    tasks.start(work(), "work")
    tasks.start(wait_for_the_others(), "join")
    await tasks.join()
    assert steps == ["work", "joined"]


@either_kind
async def test_join_can_be_cancelled_without_harm_to_the_tasks(eager) -> None:
    gate = asyncio.Event()
    tasks = Tasks(eager=eager)
    task = tasks.start(gate.wait(), "work")
    joining = asyncio.create_task(tasks.join())
    await settle()
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    assert not task.done()
    assert len(tasks) == 1
    gate.set()
    await tasks.join()
    assert task.result() is True


async def test_join_of_no_tasks_returns_at_once() -> None:
    joining = Tasks().join()
    with pytest.raises(StopIteration):
        joining.send(None)


# Cancelling.


@either_kind
async def test_cancel_names_each_task_and_waits_until_it_has_ended(eager, log) -> None:
    ended = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    tasks, done = Tasks(eager=eager), Calls()
    for name in ("one", "two"):
        tasks.start(work(name), name, done)
    await settle()
    await tasks.cancel()
    assert ended == ["one", "two"]
    assert lines(log) == [
        ("WARNING", "one: cancelled, it had not ended in time"),
        ("WARNING", "two: cancelled, it had not ended in time"),
    ]
    assert done.count == 2
    assert len(tasks) == 0


@either_kind
async def test_cancel_says_nothing_of_a_task_that_has_just_ended(eager, log) -> None:
    gate = asyncio.Event()
    tasks = Tasks(eager=eager)
    task = tasks.start(gate.wait(), "work")
    await settle()
    gate.set()
    while not task.done():
        await asyncio.sleep(0)
    await tasks.cancel()
    assert lines(log) == []
    assert len(tasks) == 0


@either_kind
async def test_cancel_ends_also_what_was_not_started_yet(eager, log) -> None:
    tasks, done = Tasks(eager=eager), Calls()
    tasks.start(asyncio.Event().wait(), "work", done)
    await tasks.cancel()
    assert done.count == 1
    assert lines(log) == [("WARNING", "work: cancelled, it had not ended in time")]


@either_kind
async def test_cancel_ends_also_what_is_started_meanwhile(eager, log) -> None:
    tasks = Tasks(eager=eager)

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.start(asyncio.Event().wait(), "started at the end")

    tasks.start(
        work(), "work", lambda: tasks.start(asyncio.Event().wait(), "started when it was done")
    )
    await settle()
    await tasks.cancel()
    assert len(tasks) == 0
    assert sorted(lines(log)) == [
        ("WARNING", "started at the end: cancelled, it had not ended in time"),
        ("WARNING", "started when it was done: cancelled, it had not ended in time"),
        ("WARNING", "work: cancelled, it had not ended in time"),
    ]


@either_kind
async def test_a_task_that_fails_when_it_is_cancelled_is_logged(eager, log) -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    tasks = Tasks(eager=eager)
    tasks.start(work(), "work")
    await settle()
    await tasks.cancel()
    assert lines(log) == [
        ("WARNING", "work: cancelled, it had not ended in time"),
        ("ERROR", "work: failed"),
    ]


@either_kind
@jumping
async def test_cancel_waits_for_a_task_that_will_not_end_for_as_long_as_its_caller_does(
    eager, log
) -> None:
    released = asyncio.Event()

    async def work() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                pass

    tasks = Tasks(eager=eager)
    tasks.start(work(), "work")
    await settle()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await tasks.cancel()
    assert len(tasks) == 1
    released.set()
    await tasks.join()


@either_kind
async def test_cancel_called_by_one_of_the_tasks_ends_the_others(eager, log) -> None:
    steps = []

    async def cancel_the_others() -> None:
        await tasks.cancel()
        steps.append("the others are cancelled")

    tasks = Tasks(eager=eager)
    other = tasks.start(asyncio.Event().wait(), "other")
    tasks.start(cancel_the_others(), "work")
    await tasks.join()
    assert steps == ["the others are cancelled"]
    assert other.cancelled()
    assert lines(log) == [("WARNING", "other: cancelled, it had not ended in time")]


# What is logged as the cause.


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("GET /", "GET /"),
        ({"message": "你好\n"}, r"{'message': '你好\n'}"),
        ("你好", "你好"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x1b[31mred\x9b0m\x7f", r"\x1b[31mred\x9b0m\x7f"),
        ("line\u2028separator\u2029", r"line\u2028separator\u2029"),
        ("right to \u202eleft", r"right to \u202eleft"),
        ("half a pair \ud800", r"half a pair \ud800"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "... (201 characters)"),
        ("\n" * 201, r"\n" * 200 + "... (201 characters)"),
    ],
)
async def test_a_cause_is_logged_as_one_line_that_cannot_lead_astray(cause, text, log) -> None:
    tasks = Tasks()
    tasks.start(fail_at_once(), cause)
    await tasks.join()
    assert lines(log) == [("ERROR", f"{text}: failed")]
    assert logging.Formatter().format(log.records[0]).splitlines()[0] == f"{text}: failed"
