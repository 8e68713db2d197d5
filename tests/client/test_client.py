"""A client's life: where it can be used, what can be said, and that nothing is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.cancelling import WAYS, Way
from support.client import Asked, MemoryClient, answer
from support.jumping import JumpingLoop, jumping
from support.leaks import nothing_left
from support.peer import settle

import nbdriver.client
from nbdriver.client import Client, ClientSettings
from nbdriver.client.cookies import new_jar
from nbdriver.errors import ConfigError, InvalidResponse, InvalidURL, NetworkError, UpgradeRefused

HERE = "http://a.example/"


def hello(asked: Asked) -> bytes:
    return answer(b"hello", "Set-Cookie: a=b")


def silence(asked: Asked) -> None:
    return None


def test_what_programs_need_is_imported_from_one_place() -> None:
    for name in nbdriver.client.__all__:
        assert hasattr(nbdriver.client, name)


# Settings.


def test_settings_are_given_as_one_or_by_their_names() -> None:
    settings = ClientSettings(max_redirects=3)
    assert Client(settings).settings is settings
    assert Client(max_redirects=3).settings == settings
    with pytest.raises(TypeError, match="got both: max_redirects"):
        Client(settings, max_redirects=3)
    with pytest.raises(ConfigError, match="max_redirects"):
        Client(max_redirects=-1)


def test_a_setting_that_is_none_is_told_with_the_one_that_may_be_meant() -> None:
    given: Any = {"timeout": 3}
    with pytest.raises(TypeError, match=r"^expected settings of a client, got timeout: did you"):
        Client(**given)
    given = {"verify": False}
    with pytest.raises(TypeError, match=r"got verify: there are timeouts, follow_redirects, "):
        Client(**given)


@jumping
async def test_an_option_that_is_none_is_told_with_the_one_that_may_be_meant() -> None:
    given: Any = {"header": {}}
    async with MemoryClient(hello) as client:
        with pytest.raises(TypeError, match=r"of a request, got header: did you mean headers\?$"):
            await client.request("GET", "http://a", **given)
        with pytest.raises(TypeError, match=r"of a WebSocket, got header: did you mean headers\?$"):
            client.websocket("ws://a", **given)
        given = {"json": {}}
        with pytest.raises(TypeError, match=r"of a WebSocket, got json: there are proxy, params, "):
            client.websocket("ws://a", **given)


def test_the_jar_is_the_one_of_the_settings_even_if_it_is_empty() -> None:
    jar = new_jar()
    assert Client(cookies=jar).cookies is jar
    assert len(Client().cookies) == 0


@jumping
async def test_a_request_may_have_a_jar_of_its_own() -> None:
    async with MemoryClient(hello) as client:
        jar = new_jar()
        for _ in range(2):
            await client.request("GET", HERE, jar=jar)
        assert [asked.headers.get("cookie") for asked in client.asked] == [None, "a=b"]
        assert (len(jar), len(client.cookies)) == (1, 0)


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        ("nowhere", {}, InvalidURL),
        (HERE, {"colour": "red"}, TypeError),
        (HERE, {"json": 1, "content": b"2"}, TypeError),
        (HERE, {"headers": {"A": "b\r\nC: d"}}, ValueError),
        (HERE, {"timeout": -1}, ConfigError),
        (HERE, {"proxy": "gopher://proxy"}, ConfigError),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_sent(
    url: str, options: Any, error: type[Exception]
) -> None:
    @jumping
    async def run() -> None:
        async with MemoryClient(hello) as client:
            with pytest.raises(error):
                await client.request("GET", url, **options)
            assert client.servers == []

    run()


# Where it can be used.


@jumping
async def test_it_is_used_inside_of_its_block_alone() -> None:
    client = MemoryClient(hello)
    with pytest.raises(RuntimeError, match='expected "async with client:"'):
        await client.request("GET", HERE)
    async with client:
        await client.request("GET", HERE)
        with pytest.raises(RuntimeError, match="entered once"):
            await client.__aenter__()
    with pytest.raises(RuntimeError, match="whose block has not been left"):
        await client.request("GET", HERE)
    with pytest.raises(RuntimeError, match="entered once"):
        async with client:
            pass


def test_it_is_used_in_its_own_event_loop_alone() -> None:
    client = MemoryClient(hello)
    with (
        asyncio.Runner(loop_factory=JumpingLoop) as first,
        asyncio.Runner(loop_factory=JumpingLoop) as second,
    ):
        first.run(client.__aenter__())
        with pytest.raises(RuntimeError, match="in the event loop that it was entered in"):
            second.run(client.request("GET", HERE))
        first.run(client.__aexit__(None, None, None))


# WebSockets.


@jumping
async def test_a_websocket_is_opened_with_the_cookies_the_jar_and_the_proxy_of_whoever_asks() -> (
    None
):
    def refuse(asked: Asked) -> bytes:
        return answer(b"no", "Set-Cookie: a=b", status="403 Forbidden")

    async with nothing_left(), MemoryClient(refuse) as client:
        with pytest.raises(RuntimeError, match="expected"):
            Client().websocket("ws://a/")
        jar = new_jar()
        for proxy, cookie in ((None, None), ("socks5://proxy.example", "a=b")):
            with pytest.raises(UpgradeRefused) as caught:
                async with client.websocket("ws://a.example/", proxy=proxy, jar=jar):
                    pass
            assert (caught.value.status_code, caught.value.body) == (403, b"no")
            asked = client.asked[-1]
            assert asked.headers.get("cookie") == cookie
            assert (asked.route.proxy is None) is (proxy is None)
        assert len(client.cookies) == 0


# The end.


@jumping
async def test_at_its_end_whatever_is_under_way_is_ended() -> None:
    async with nothing_left():
        async with MemoryClient(silence, max_connections=1) as client:
            tasks = [asyncio.create_task(client.request("GET", HERE)) for _ in range(3)]
            await settle()
            assert len(client.asked) == 1
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in ended] == [NetworkError] * 3


@jumping
async def test_a_stream_that_outlives_its_client_is_ended() -> None:
    def much(asked: Asked) -> bytes:
        return answer(b"x" * 900_000)

    async with nothing_left():
        async with MemoryClient(much) as client:
            stream = client.stream("GET", HERE)
            response = await stream.__aenter__()
        with pytest.raises(NetworkError):
            await response.read()
        await stream.__aexit__(None, None, None)


@jumping
async def test_a_body_that_does_not_stop_to_come_is_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    released = asyncio.Event()

    async def stubborn() -> AsyncIterator[bytes]:
        yield b"x"
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                pass

    async with nothing_left():
        began = loop.time()
        async with MemoryClient(silence) as client:
            task = asyncio.create_task(client.request("POST", HERE, content=stubborn()))
            await settle()
        with pytest.raises(NetworkError):
            await task
        assert loop.time() - began == pytest.approx(1.0)
        released.set()


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_its_end_may_be_cancelled_anywhere(way: Way) -> None:
    @jumping
    async def run() -> None:
        number, reached = 0, True
        while reached:
            number += 1
            async with nothing_left():
                client = MemoryClient(hello)
                await client.__aenter__()
                await client.request("GET", HERE)
                async with client.stream("GET", HERE):
                    outcome = await way(client.__aexit__(None, None, None), number)
                reached = outcome.reached
        assert number > 1

    run()


@jumping
async def test_what_is_wrong_with_an_answer_is_told_with_its_origin_as_it_stands_in_a_url() -> None:
    async with MemoryClient(lambda _: b"nonsense") as client:
        for url, origin in [("http://[::1]/bot:secret", r"\[::1\]:80"), ("http://a:81", "a:81")]:
            with pytest.raises(InvalidResponse, match=rf"^http://{origin}: expected ") as caught:
                await client.request("GET", url)
            assert "secret" not in str(caught.value)
