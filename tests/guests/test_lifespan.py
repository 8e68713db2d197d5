"""NoneBot's lifespan: its hooks, its background tasks, and what of them does not end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from anyio import CancelScope
from support.peer import PATIENCE, settle

from nbdriver.errors import StartupError
from nbdriver.nonebot.v2.lifespan import NoneBotLifespan

Lines = Callable[[str], list[str]]


class Story(list[str]):
    """What has happened, as hooks and tasks tell it."""

    def hook(self, name: str, error: BaseException | None = None) -> Callable[[], Any]:
        async def run() -> None:
            self.append(name)
            if error is not None:
                raise error

        return run

    def task(self, driver: Any, work: Callable[[], Any]) -> Callable[[], Any]:
        """A hook that starts a background task."""

        async def start() -> None:
            driver.task_group.start_soon(work)
            await settle()

        return start

    async def work(self) -> None:
        """A background task, which goes on until it is cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            self.append("the work has ended")


@pytest.fixture
def story() -> Story:
    return Story()


async def test_what_started_first_is_shut_down_last(driver: Any, story: Story) -> None:
    for name in ("a", "b"):
        driver.on_startup(story.hook(f"start {name}"))
        driver.on_shutdown(story.hook(f"stop {name}"))
    driver.on_startup(lambda: story.append("start in a thread"))
    async with NoneBotLifespan(driver).run():
        driver.task_group.start_soon(story.work)
        await settle()
        story.append("running")
    assert story == [
        *("start a", "start b", "start in a thread", "running"),
        *("stop b", "stop a", "the work has ended"),
    ]


async def test_it_can_be_run_again_but_not_twice_at_a_time(driver: Any) -> None:
    lifespan = NoneBotLifespan(driver)
    for _ in range(2):
        async with lifespan.run():
            with pytest.raises(StartupError, match="being served already"):
                async with lifespan.run():
                    pass


async def test_a_start_up_hook_that_fails_stops_the_start_and_what_had_begun(
    driver: Any, story: Story, lines: Lines
) -> None:
    driver.on_startup(story.task(driver, story.work))
    driver.on_startup(story.hook("first"))
    driver.on_startup(story.hook("second", LookupError("no database")))
    driver.on_startup(story.hook("third"))
    driver.on_shutdown(story.hook("shut down"))
    with pytest.raises(StartupError, match=r"start-up hook failed: LookupError\('no database'\)"):
        async with NoneBotLifespan(driver).run():
            pass
    assert story == ["first", "second", "shut down", "the work has ended"]
    assert lines("ERROR") == ["A start-up hook failed"]


async def test_a_start_up_hook_that_is_cancelled_by_itself_stops_the_start(
    driver: Any, story: Story
) -> None:
    driver.on_startup(story.hook("start", asyncio.CancelledError()))
    driver.on_shutdown(story.hook("shut down"))
    with pytest.raises(StartupError, match="awaited what was cancelled"):
        async with NoneBotLifespan(driver).run():
            pass
    assert story == ["start", "shut down"]


async def test_a_start_that_is_cancelled_ends_after_the_shut_down_hooks(
    driver: Any, story: Story
) -> None:
    driver.on_startup(story.work)
    driver.on_shutdown(story.hook("shut down"))
    starting = asyncio.create_task(NoneBotLifespan(driver).run().__aenter__())
    await settle()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert story == ["the work has ended", "shut down"]


async def test_a_shut_down_hook_that_fails_is_logged_and_leaves_nothing_running(
    driver: Any, story: Story, lines: Lines
) -> None:
    driver.on_shutdown(story.hook("not reached"))
    driver.on_shutdown(story.hook("failing", LookupError("no database")))
    lifespan = NoneBotLifespan(driver)
    for _ in range(2):
        async with lifespan.run():
            driver.task_group.start_soon(story.work)
            await settle()
    assert story == ["failing", "the work has ended"] * 2
    assert lines("ERROR") == ["A shut-down hook failed; those after it have not run"] * 2


async def test_a_background_task_that_fails_ends_the_others_and_not_the_bot(
    driver: Any, story: Story, lines: Lines
) -> None:
    driver.on_shutdown(story.hook("shut down"))
    async with NoneBotLifespan(driver).run():
        driver.task_group.start_soon(story.work)
        driver.task_group.start_soon(story.hook("failing", LookupError("no database")))
        await settle()
        assert lines("ERROR") == ["A background task failed, which ends the others"]
        # Bots that connect from now on have their hooks run.
        driver.task_group.start_soon(story.hook("a hook"))
        await settle()
    assert story == ["failing", "the work has ended", "a hook", "shut down"]


async def test_background_tasks_that_are_ended_by_their_owner_are_no_failure(
    driver: Any, story: Story, lines: Lines
) -> None:
    async with NoneBotLifespan(driver).run():
        driver.task_group.start_soon(story.work)
        await settle()
        driver.task_group.cancel_scope.cancel()
        await settle()
        driver.task_group.start_soon(story.hook("a hook"))
        await settle()
    assert story == ["the work has ended", "a hook"]
    assert lines("ERROR") == []


async def test_cancelled_meanwhile_it_shuts_down(driver: Any, story: Story) -> None:
    driver.on_shutdown(story.hook("shut down"))

    async def run() -> None:
        async with NoneBotLifespan(driver).run():
            await story.work()

    running = asyncio.create_task(run())
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert story == ["the work has ended", "shut down"]


async def test_an_event_loop_that_ends_all_its_tasks_ends_this_one_too(
    driver: Any, story: Story
) -> None:
    driver.on_shutdown(story.hook("shut down"))
    async with NoneBotLifespan(driver).run():
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await settle()
        assert story == ["shut down"]
    assert story == ["shut down"]


async def cut_off(driver: Any) -> None:
    """Leave the lifespan, for as long as a moment."""
    running = NoneBotLifespan(driver).run()
    await running.__aenter__()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await running.__aexit__(None, None, None)


async def test_a_shut_down_hook_that_does_not_end_is_cut_off(
    driver: Any, story: Story, lines: Lines
) -> None:
    driver.on_shutdown(story.work)
    driver.on_startup(story.task(driver, story.work))
    await cut_off(driver)
    assert story == ["the work has ended", "the work has ended"]
    assert lines("ERROR") == []


@pytest.mark.parametrize(
    ("as_hook", "what"),
    [
        (True, "The shut-down hooks"),
        (False, "Background tasks, or handlers of events, which NoneBot shields,"),
    ],
)
async def test_what_ignores_its_cancellation_is_left_behind_and_named(
    driver: Any, story: Story, lines: Lines, as_hook: bool, what: str
) -> None:
    let_go = asyncio.Event()

    async def shielded() -> None:
        with CancelScope(shield=True):
            await let_go.wait()
        story.append("ended")

    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await let_go.wait()
        await shielded()

    if as_hook:
        driver.on_shutdown(stubborn)
    else:
        driver.on_startup(story.task(driver, shielded))
    await cut_off(driver)
    assert lines("ERROR") == [f"{what} go on although cancelled"]
    assert story == []
    let_go.set()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.wait(left), PATIENCE)
    assert story == ["ended"]
