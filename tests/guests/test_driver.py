"""What our driver tells somebody who expects another one, or another's settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbdriver.config import ServerConfig

Lines = Callable[[str], list[str]]
WITHOUT_EFFECT = "Settings without effect inside NoneBot, where adapters see to bots and events: "


def test_settings_that_only_our_own_dispatching_minds_are_warned_of_once(
    make_driver: Callable[..., Any], lines: Lines
) -> None:
    driver = make_driver(nbdriver_max_pending=1, nbdriver_hook_timeout=5, nbdriver_max_body=1)
    assert lines("WARNING") == [f"{WITHOUT_EFFECT}NBDRIVER_HOOK_TIMEOUT, NBDRIVER_MAX_PENDING"]
    driver.serve(pending_timeout=1)
    driver.serve(max_pending=2)
    assert lines("WARNING")[1:] == [f"{WITHOUT_EFFECT}NBDRIVER_PENDING_TIMEOUT"]


def test_the_page_names_the_settings_without_effect() -> None:
    page = (Path(__file__).parents[2] / "docs" / "nonebot.md").read_text("utf-8")
    _, _, text = page.partition("are without effect")
    named = re.findall(r"`(NBDRIVER_[A-Z_]+)`", text.partition("\n\n")[0])
    assert set(named) == set(ServerConfig.dispatching())


def test_settings_that_count_are_not_warned_of(
    make_driver: Callable[..., Any], lines: Lines
) -> None:
    make_driver(nbdriver_max_parked=1, nbdriver_shutdown_timeout=1, nbdriver_max_connections=1)
    assert lines("WARNING") == []


def test_a_plugin_that_takes_the_application_for_fastapis_is_told_the_way_out(driver: Any) -> None:
    assert not hasattr(driver.server_app, "mount")
    with pytest.raises(AttributeError, match=r"no FastAPI.*docs/nonebot\.md.*~fastapi\+nbdriver"):
        driver.server_app.get("/")
