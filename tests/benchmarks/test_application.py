"""The bare app does what the driver and its bot do, with any ASGI server."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import bodies
from benchmarks.application import BareApp, Tally, json_library


@pytest.mark.parametrize(
    ("status", "changed"),
    [
        (204, {}),
        (404, {"path": "/"}),
        (405, {"method": "PUT"}),
        (400, {"body": b"["}),
        (400, {"body": b"[]"}),
        (400, {"headers": [(b"authorization", bodies.AUTHORIZATION)]}),
        (403, {"headers": [(b"x-self-id", b"1"), (b"authorization", b"Bearer x")]}),
    ],
)
async def test_the_bare_app_does_the_checks_of_the_driver(
    status: int, changed: dict[str, Any]
) -> None:
    body = changed.pop("body", b'{"post_type": "message"}')
    scope = {
        "type": "http",
        "path": "/onebot/http",
        "method": "POST",
        "headers": [(b"x-self-id", b"1"), (b"authorization", bodies.AUTHORIZATION)],
    } | changed
    parts = [{"body": body[:1], "more_body": True}, {"body": body[1:], "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    tally = Tally()
    await BareApp(tally)(scope, receive, send)
    assert sent[0]["status"] == status
    assert tally.events == (status == 204)


async def test_the_bare_app_knows_the_lifespan_of_a_server() -> None:
    parts = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await BareApp(Tally())({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_the_standard_library_reads_json_unless_another_is_asked_for() -> None:
    assert json_library == "json"
