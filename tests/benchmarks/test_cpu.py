"""The clock and the memory of a process are its own."""

from __future__ import annotations

import os
import time

from benchmarks.cpu import process_clock, resident


def test_the_clock_of_a_process_is_its_own_cpu_time() -> None:
    clock = process_clock(os.getpid())
    before, seen, after = time.process_time_ns(), clock(), time.process_time_ns()
    assert before <= seen <= after


def test_memory_is_counted_that_a_process_has_in_use() -> None:
    before = resident(os.getpid())
    block = b"x" * 2**26
    assert 2**25 < resident(os.getpid()) - before < 2**27
    del block
