"""The jobs are what their names say."""

from __future__ import annotations

import pytest

from benchmarks import bodies
from benchmarks.clients import JOBS, LARGE


@pytest.mark.parametrize("name", JOBS)
def test_a_job_sends_events_of_its_size(name: str) -> None:
    event = JOBS[name].event(bodies.first_self_id, 1)
    size = len(bodies.dumps(event).encode())
    assert size == LARGE if name.endswith("-70kB") else 250 < size < 450


@pytest.mark.parametrize(("size", "distinct"), [(100, 16), (100_000, 10), (1_000_000, 2)])
def test_of_large_events_fewer_are_kept(size: int, distinct: int) -> None:
    job = JOBS["http"].sized(size)
    assert (job.size, job.distinct) == (size, distinct)
