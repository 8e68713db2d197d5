"""What has gone wrong with HTTP in servers like this one, sent to a driver over a socket.

Each test ends with the next connections, of either kind, which work as if nothing had been.
"""

from __future__ import annotations

import logging

import pytest
from support.bots import RecordingBot
from support.echo import make_driver, serving
from support.hazards import CHUNKED, REQUESTS_REFUSED
from support.loops import on_each_loop
from support.peer import Peer
from support.raw import connect, event, exchange, head, still_works, upgrade

from nbdriver import Driver, Request, RequestDenied, Response


@on_each_loop
@pytest.mark.parametrize("name", REQUESTS_REFUSED)
async def test_what_smuggles_or_confuses_is_refused_and_the_connection_closed(name: str) -> None:
    data, status = REQUESTS_REFUSED[name]
    async with serving() as echo:
        # What is smuggled behind it must be no request.
        answer = await exchange(echo, data + event({"smuggled": True}))
        first, _, body = answer.partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nConnection: close" in first
        assert body.startswith(b"expected ")
        assert body.count(b"\n") == 1
        assert echo.messages == []
        await still_works(echo)


@on_each_loop
async def test_a_minor_version_that_we_do_not_know_is_read_as_1_1() -> None:
    async with serving() as echo:
        peer = await connect(echo, Peer())
        peer.send(event({"n": 1}).replace(b"HTTP/1.1", b"HTTP/1.9") + event({"n": 2}))
        for _ in range(2):
            assert (await peer.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        peer.transport.close()
        assert echo.messages == [{"n": 1}, {"n": 2}]
        await still_works(echo)


@on_each_loop
async def test_trailers_with_framing_change_no_framing_cve_2025_53643() -> None:
    trailers = b"Content-Length: 500\r\nTransfer-Encoding: gzip\r\n"
    async with serving() as echo:
        peer = await connect(echo, Peer())
        peer.send(CHUNKED + b"2\r\n{}\r\n0\r\n" + trailers + b"\r\n" + event({"n": 2}))
        for _ in range(2):
            assert (await peer.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        peer.transport.close()
        assert echo.messages == [{}, {"n": 2}]
        await still_works(echo)


@on_each_loop
async def test_a_connection_option_that_only_ends_like_upgrade_is_none() -> None:
    async with serving() as echo:
        answer = await exchange(echo, upgrade(connection="Connection: notupgrade"))
        assert answer.startswith(b"HTTP/1.1 426 ")
        assert b"\r\nUpgrade: websocket\r\n" in answer
        assert echo.driver.bots == {}
        await still_works(echo)


# Responses and logs.


@on_each_loop
async def test_a_header_with_cr_lf_is_a_500_and_injects_nothing_cve_2020_7695(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Injects(Driver):
        async def _handle_http(self, request: Request) -> Response:
            if request.path == "/inject":
                return Response(200, "", [("X-A", "b\r\nX-Injected: c")])
            return await super()._handle_http(request)

    async with serving(make_driver(Injects)) as echo:
        answer = await exchange(echo, head(line="GET /inject HTTP/1.1"))
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"injected" not in answer.lower()
        (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
        assert record.exc_info is not None
        assert record.exc_info[0] is ValueError
        # It holds the connection.
        caplog.clear()
        await still_works(echo)


@on_each_loop
async def test_a_reason_with_cr_lf_is_one_clean_line_cve_2025_67724() -> None:
    class Denies(RecordingBot):
        @classmethod
        async def check_permission(
            cls, driver: object, kind: str, headers: object, _: object
        ) -> str:
            raise RequestDenied(403, "a\r\nX-Injected: y\r\n\r\nHTTP/1.1 200 OK")

    async with serving(make_driver(adapter=Denies)) as echo:
        for data in (event({}), upgrade()):
            first, _, body = (await exchange(echo, data)).partition(b"\r\n\r\n")
            status_line, *lines = first.split(b"\r\n")
            assert status_line == b"HTTP/1.1 403 a X-Injected: y HTTP/1.1 200 OK"
            assert not [line for line in lines if line.startswith(b"X-Injected")]
            assert body == b"a X-Injected: y HTTP/1.1 200 OK\n"


@on_each_loop
async def test_a_target_with_escapes_is_escaped_in_the_access_log_cve_2020_7694(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as echo:
        for target in ("/%1b[31m%0a", "/\\x1b[31m"):
            await exchange(echo, head(line=f"GET {target} HTTP/1.1"))
            # As it is, it is no target (RFC 9112, 3.2).
            answer = await exchange(echo, head(line=f"GET {target}\x1b[31m HTTP/1.1"))
            assert answer.startswith(b"HTTP/1.1 400 ")
        lines = [each.getMessage() for each in caplog.records]
        assert any('"GET /%1b[31m%0a HTTP/1.1" 404' in line for line in lines)
        assert any('"GET /\\\\x1b[31m HTTP/1.1" 404' in line for line in lines)
        assert all(line.isprintable() for line in lines)
        await still_works(echo)
