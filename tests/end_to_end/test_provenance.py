"""Where a request comes from, from the settings to the bot: web pages, names of hosts, proxies."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from support.bots import RecordingBot
from support.echo import make_driver, serving
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from nbdriver.errors import RequestDenied
from nbdriver.model import RequestHeaders


class Teller(RecordingBot):
    """Tells who sent a request, by refusing it."""

    @classmethod
    async def check_permission(
        cls, driver: Any, connection_type: str, headers: Any, body: Any
    ) -> str:
        assert isinstance(headers, RequestHeaders)
        request = headers.request
        assert request.client is not None
        raise RequestDenied(418, f"{request.client[0]} {request.scheme} {headers['host']}")


async def post(url: str, **headers: str) -> httpx.Response:
    """Post an event; the underscores in names of headers stand for dashes."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"{url}/", json={}, headers={"X-Self-ID": "1", **fields})


async def test_no_web_page_drives_a_local_bot() -> None:
    async with serving() as echo:
        answer = await post(echo.http, origin="https://evil.example")
        assert answer.status_code == 403
        assert "NBDRIVER_ALLOWED_ORIGINS" in answer.text
        answer = await post(echo.http, origin="http://evil.example", host="evil.example")
        assert answer.status_code == 403
        assert "NBDRIVER_ALLOWED_HOSTS" in answer.text
        with pytest.raises(InvalidStatus, match="403"):
            await connect(echo.ws, origin=Origin("https://evil.example"))
        assert echo.messages == []
        assert (await post(echo.http, origin=echo.http.removesuffix("/echo"))).status_code == 204


async def test_the_pages_and_names_that_are_listed_are_let_in() -> None:
    settings = {"allowed_origins": "https://page.example", "allowed_hosts": "bot.example"}
    async with serving(**settings) as echo:
        assert (await post(echo.http, origin="https://page.example")).status_code == 204
        assert (await post(echo.http, host="bot.example")).status_code == 204
        assert (await post(echo.http, host="bot.example", origin="http://evil")).status_code == 403


@pytest.mark.parametrize(
    ("family", "headers"),
    [
        ("x-forwarded", {"x_forwarded_for": "192.0.2.1", "x_forwarded_proto": "https"}),
        ("forwarded", {"forwarded": "for=192.0.2.1;proto=https"}),
    ],
)
async def test_a_bot_sees_the_client_behind_a_trusted_proxy(
    family: str, headers: dict[str, str]
) -> None:
    settings = {"forwarded_headers": family, "trusted_proxies": "127.0.0.0/8"}
    async with serving(make_driver(adapter=Teller), **settings) as echo:
        answer = await post(echo.http, host="localhost", **headers)
        assert answer.text == "192.0.2.1 https localhost\n"
    async with serving(make_driver(adapter=Teller)) as echo:
        answer = await post(echo.http, host="localhost", **headers)
        assert answer.text == "127.0.0.1 http localhost\n"
