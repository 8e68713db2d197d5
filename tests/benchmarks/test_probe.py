"""A server that does something else than the others is found out."""

from __future__ import annotations

import pytest
from support.measured import floor

from benchmarks.load import LoadError
from benchmarks.probe import probe


async def test_the_probe_sees_a_server_that_does_something_else() -> None:
    async with floor() as (address, _):
        with pytest.raises(LoadError, match="a wrong token: expected status 403"):
            await probe(address)
