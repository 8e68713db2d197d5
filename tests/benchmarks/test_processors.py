"""On which processors it is measured."""

from __future__ import annotations

import os

from benchmarks.processors import all_processors, one_processor


def test_one_processor_is_used_until_the_end() -> None:
    before = os.sched_getaffinity(0)
    with one_processor():
        (only,) = os.sched_getaffinity(0)
        assert only in before
    assert os.sched_getaffinity(0) == before


def test_what_needs_several_gets_all_back() -> None:
    before = os.sched_getaffinity(0)
    with one_processor():
        with all_processors():
            assert os.sched_getaffinity(0) == before
        assert len(os.sched_getaffinity(0)) == 1
    with all_processors():
        assert os.sched_getaffinity(0) == before
