"""A machine that has something else to do is told of before it is measured."""

from __future__ import annotations

import pytest

from benchmarks.machine import busy


def test_a_load_of_over_half_of_the_processors_is_told() -> None:
    assert busy(6.7, 2) == (
        "The machine is busy (load 6.7, 2 processors): the figures will be noisy"
    )


@pytest.mark.parametrize(("load", "processors"), [(0.0, 1), (1.0, 2), (3.9, 8)])
def test_a_quiet_machine_is_not(load: float, processors: int) -> None:
    assert busy(load, processors) is None
