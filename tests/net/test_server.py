"""How a server begins and ends: each line of the life cycle, over real sockets."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.apps import (
    CLOSE_1001,
    CLOSE_FROM_PEER,
    App,
    Gate,
    accept,
    ask,
    connect,
    hang_up,
    held_by,
    open_websocket,
    serving,
    settings,
)
from support.leaks import nothing_left
from support.peer import PATIENCE, Peer, settle

from nbdriver import HTTPError, Request, Response, StartupError, abc
from nbdriver.net.server import Server

# Starting.


async def test_it_starts_up_then_binds_then_logs_one_line(
    lines: Callable[[], list[str]],
) -> None:
    started: list[list[str]] = []

    async def start(app: App) -> None:
        started.append(lines())

    app = App(start=start)
    async with serving(app) as server:
        ((host, port),) = server.addresses
        assert (host, started) == ("127.0.0.1", [[]])
        assert lines() == [f"Listening on http://127.0.0.1:{port}"]
        assert app.order == ["start"]


async def test_an_address_of_ipv6_is_logged_as_it_stands_in_a_url(
    lines: Callable[[], list[str]],
) -> None:
    async with serving(App(), host="::1") as server:
        ((_, port),) = server.addresses
        assert lines() == [f"Listening on http://[::1]:{port}"]
        peer = await ask(server)
        assert b"200 OK" in await peer.read(b"GET /")
        hang_up(peer)


class TwoAddresses(asyncio.SelectorEventLoop):
    """Where localhost is ::1 and 127.0.0.1, as on most machines."""

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        assert host == "localhost"
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]


def test_every_address_of_a_name_is_served_at_one_port(lines: Callable[[], list[str]]) -> None:
    async def main() -> None:
        async with serving(App(), host="localhost") as server:
            (first, port), (second, same_port) = server.addresses
            assert (first, second, same_port) == ("::1", "127.0.0.1", port)
            assert lines() == [f"Listening on http://[::1]:{port}, http://127.0.0.1:{port}"]
            for host, _ in server.addresses:
                reader, writer = await asyncio.open_connection(
                    sock=socket.create_connection((host, port))
                )
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
                writer.close()
                await writer.wait_closed()

    with asyncio.Runner(loop_factory=TwoAddresses) as runner:
        runner.run(main())


async def test_every_place_is_told_and_served_and_a_unix_peer_has_no_address(
    tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    clients = []

    async def note(request: Request) -> Response:
        clients.append(request.client)
        return Response(200, str(request.client))

    path = f"{tmp_path}/s"
    places = [f"unix:{path}", "127.0.0.2:0", "127.0.0.1:0"]
    async with serving(App(http=note), listen=places, access_log=True) as server:
        unix, (host, port), (second, second_port) = server.addresses
        assert (unix, host, second) == ((path, None), "127.0.0.2", "127.0.0.1")
        urls = f"http://127.0.0.2:{port}, http://127.0.0.1:{second_port}"
        assert lines() == [f"Listening on unix:{path}, {urls}"]
        _, peer = await asyncio.get_running_loop().create_unix_connection(Peer, path)
        peer.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b"200 OK" in await peer.read(b"None")
        assert (clients, lines()[1][:22]) == ([None], '- "GET / HTTP/1.1" 200')
        hang_up(peer)
    assert list(tmp_path.iterdir()) == []


async def test_a_port_that_is_taken_is_one_clear_error_and_what_had_started_is_shut_down() -> None:
    app = App()
    async with serving(App()) as server, asyncio.timeout(PATIENCE):
        (address,) = server.addresses
        with pytest.raises(StartupError) as caught:
            async with Server(app, settings(port=address[1])):
                raise AssertionError("it listens")
    assert str(caught.value).startswith(
        f"cannot listen on 127.0.0.1, port {address[1]}: Address al"
    )
    assert app.order == ["start", "stop"]


async def test_a_proxy_protocol_that_nobody_is_trusted_to_speak_is_an_error_of_the_start() -> None:
    with pytest.raises(StartupError, match="needs trusted_proxies, which names nobody"):
        async with serving(App(), proxy_protocol=True):
            pass


async def test_a_start_that_fails_passes_its_error_on_and_listens_nowhere(
    lines: Callable[[], list[str]],
) -> None:
    async def fail(app: App) -> None:
        raise StartupError("no")

    app = App(start=fail)
    with pytest.raises(StartupError, match=r"^no$"):
        async with serving(app):
            raise AssertionError("it listens")
    assert (app.order, lines()) == (["start", "stop"], [])


async def test_a_server_that_is_closed_while_it_starts_up_does_not_listen() -> None:
    async def close(app: App) -> None:
        await server.close()

    app = App(start=close)
    server = Server(app, settings())
    with pytest.raises(StartupError, match=r"^the server was closed before it listened$"):
        async with nothing_left(), asyncio.timeout(PATIENCE), server:
            raise AssertionError("it listens")
    assert app.order[-1] == "stop"


async def test_a_server_that_is_closed_while_it_looks_for_its_address_does_not_listen() -> None:
    closing: list[asyncio.Task[None]] = []

    async def close_soon(_: App) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: closing.append(loop.create_task(server.close())))

    async with nothing_left(), asyncio.timeout(PATIENCE):
        server = Server(App(start=close_soon), settings(host="localhost"))
        with pytest.raises(StartupError, match="the server was closed before it listened"):
            async with server:
                pass
        await asyncio.wait(closing)


async def test_a_start_can_be_cancelled() -> None:
    gate, app = Gate(), App()
    app.start = gate
    async with nothing_left():
        starting = asyncio.create_task(Server(app, settings()).__aenter__())
        await gate.reached.wait()
        starting.cancel()
        await asyncio.wait([starting], timeout=PATIENCE)
    assert starting.cancelled()
    assert app.order == ["start", "stop"]


async def test_two_servers_run_at_once_and_one_after_the_other() -> None:
    async with serving(App()) as one, serving(App()) as other:
        for server in (one, other):
            peer = await ask(server)
            await peer.read(b"GET /")
            hang_up(peer)
        assert one.addresses != other.addresses
    async with serving(App(), port=one.addresses[0][1]) as again:
        assert again.addresses == one.addresses


async def test_signal_handlers_are_not_touched() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with serving(App()):
        during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert before == during == after


# Stopping.


async def test_it_serves_until_it_is_asked_to_stop() -> None:
    async with serving(App()) as server:
        waiting = asyncio.create_task(server.wait())
        await settle()
        assert not waiting.done()
        server.ask_to_stop()
        await waiting
    assert not server.forced


async def test_connections_beyond_max_connections_get_503_and_those_that_are_there_live_on(
    lines: Callable[[], list[str]],
) -> None:
    gate = Gate()
    async with serving(App(http=held_by(gate)), max_connections=2) as server:
        held = [await ask(server) for _ in range(2)]
        for _ in range(2):
            refused = await connect(server)
            answer = await refused.read_to_end()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: 5\r\n" in answer
            assert b"\r\nConnection: close\r\n" in answer
            hang_up(refused)
        gate.opened.set()
        for peer in held:
            await peer.read(b"GET /")
            hang_up(peer)
        # The server learns of it in its own time.
        while b" 503 " in await (peer := await ask(server)).read(b"\n"):
            hang_up(peer)
        hang_up(peer)
    full = "2 connections, as many as max_connections allows: more are refused"
    assert lines().count(full) == 1


async def test_a_server_that_stays_nearly_full_says_once_that_it_is_full(
    lines: Callable[[], list[str]],
) -> None:
    async with serving(App(), max_connections=5) as server:
        held = [await ask(server) for _ in range(5)]
        for peer in held:
            await peer.read(b"GET /")
        for _ in range(2):
            refused = await connect(server)
            assert b" 503 " in await refused.read_to_end()
            hang_up(refused, held.pop())
            while b" 503 " in await (peer := await ask(server)).read(b"\n"):
                hang_up(peer)
            held.append(peer)
        hang_up(*held)
    assert len([line for line in lines() if "as many as max_connections allows" in line]) == 1


async def test_those_that_are_refused_take_no_place() -> None:
    async with serving(App(), max_connections=1) as server:
        first = await ask(server)
        await first.read(b"GET /")
        lingering = [await connect(server) for _ in range(5)]
        for peer in lingering:
            assert b" 503 " in await peer.read_to_end()
        hang_up(first)
        # Those that were refused have not hung up.
        while b" 503 " in await (peer := await ask(server)).read(b"\n"):
            hang_up(peer)
        hang_up(peer, *lingering)


async def test_only_so_many_are_told_that_the_server_is_full_and_the_others_are_cut_off() -> None:
    async with serving(App(), max_connections=1) as server:
        # They do not read, so that those that are refused linger.
        peers = [await connect(server) for _ in range(70)]
        for peer in peers:
            await peer.until(lambda peer=peer: peer.lost or peer.eof or peer is peers[0])
        told = [peer for peer in peers if b" 503 " in peer.received]
        assert (len(told), len(peers)) == (64, 70)
        hang_up(*peers)


async def test_listening_ends_first_while_requests_that_have_begun_are_finished() -> None:
    gate = Gate()
    async with serving(App(http=held_by(gate))) as server:
        peer = await ask(server)
        await gate.reached.wait()
        closing_it = asyncio.create_task(server.close())
        while True:
            try:
                hang_up(await connect(server))
            except ConnectionRefusedError:
                break
        assert not closing_it.done()
        gate.opened.set()
        response = await peer.read_to_end()
        assert response.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in response
        assert response.endswith(b"GET /")
        hang_up(peer)
        await closing_it


async def test_a_request_of_which_a_part_has_come_is_finished_too() -> None:
    async with serving(App()) as server:
        peer = await connect(server)
        peer.send(
            b"POST / HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        await peer.read(b"100 Continue\r\n\r\n")
        closing_it = asyncio.create_task(server.close())
        await settle()
        peer.send(b"body")
        assert b"POST /" in await peer.read_to_end()
        hang_up(peer)
        await closing_it


async def test_connections_on_which_nothing_has_begun_end_at_once() -> None:
    async with serving(App()) as server:
        fresh, idle = await connect(server), await ask(server)
        await idle.read(b"GET /")
        await server.close()
        assert (await fresh.read_to_end(), await idle.read_to_end()) == (b"", b"")
        hang_up(fresh, idle)


async def test_accepted_events_run_to_their_end_before_the_websockets_are_closed() -> None:
    gate = Gate()
    app = App(drain=gate)
    async with serving(app) as server:
        peer = await open_websocket(server)
        await peer.read(b"\r\n\r\n")
        closing_it = asyncio.create_task(server.close())
        await gate.reached.wait()
        await settle()
        assert (bytes(peer.received), app.order) == (b"", ["start", "WebSocket /", "drain"])
        gate.opened.set()
        await peer.read(CLOSE_1001)
        # The peer's Close is waited for.
        await settle()
        assert not closing_it.done()
        peer.send(CLOSE_FROM_PEER)
        await peer.read_to_end()
        hang_up(peer)
        await closing_it
        # What follows from the end of the connections is waited for as well.
        assert app.order == ["start", "WebSocket /", "drain", "drain"]
    assert app.order[-1] == "stop"


async def test_a_websocket_that_is_accepted_during_the_stop_is_closed_with_the_others() -> None:
    gate = Gate()

    async def late(websocket: abc.WebSocketConnection) -> None:
        await gate()
        await accept(websocket)

    async with serving(App(websocket=late)) as server:
        peer = await open_websocket(server)
        await gate.reached.wait()
        closing_it = asyncio.create_task(server.close())
        await settle()
        gate.opened.set()
        await peer.read(b"101 Switching Protocols")
        await peer.read(CLOSE_1001)
        peer.send(CLOSE_FROM_PEER)
        await peer.read_to_end()
        hang_up(peer)
        await closing_it


async def test_a_websocket_that_is_refused_during_the_stop_is_no_obstacle() -> None:
    gate = Gate()

    async def refuse(websocket: abc.WebSocketConnection) -> None:
        await gate()
        raise HTTPError(403, "not you")

    async with serving(App(websocket=refuse)) as server:
        peer = await open_websocket(server)
        await gate.reached.wait()
        closing_it = asyncio.create_task(server.close())
        await settle()
        gate.opened.set()
        assert (await peer.read_to_end()).startswith(b"HTTP/1.1 403 not you\r\n")
        hang_up(peer)
        await closing_it


async def test_a_handler_of_a_websocket_that_does_not_listen_is_waited_for() -> None:
    gate = Gate()

    async def talk(websocket: abc.WebSocketConnection) -> None:
        await websocket.accept()
        try:
            await websocket.receive()
        finally:
            await gate()

    async with serving(App(websocket=talk)) as server:
        peer = await open_websocket(server)
        await peer.read(b"\r\n\r\n")
        closing_it = asyncio.create_task(server.close())
        await peer.read(CLOSE_1001)
        peer.send(CLOSE_FROM_PEER)
        await peer.read_to_end()
        hang_up(peer)
        await gate.reached.wait()
        await settle()
        assert not closing_it.done()
        gate.opened.set()
        await closing_it


async def test_closing_can_be_repeated_and_awaited_by_many(lines: Callable[[], list[str]]) -> None:
    app = App()
    async with serving(app) as server:
        await asyncio.gather(server.close(), server.close())
        await server.close()
        await server.wait()
    assert app.order == ["start", "drain", "drain", "stop"]
    assert lines()[1:] == ["Stopping; what has begun has 30 s to end", "Stopped"]
    assert server.addresses


async def test_a_handler_can_close_the_server_that_waits_for_it() -> None:
    async def close(request: Request) -> Response:
        await server.close()
        return Response(200, "closing")

    async with serving(App(http=close)) as server:
        peer = await ask(server)
        assert (await peer.read_to_end()).endswith(b"closing")
        hang_up(peer)
        await server.wait()
    assert not server.forced


async def test_what_a_handler_starts_can_close_the_server_too() -> None:
    closing_it: list[asyncio.Task[None]] = []

    async def close(request: Request) -> Response:
        closing_it.append(asyncio.create_task(server.close()))
        await asyncio.wait(closing_it)
        return Response(200, "closing")

    async with serving(App(http=close)) as server:
        peer = await ask(server)
        assert (await peer.read_to_end()).endswith(b"closing")
        hang_up(peer)
    assert not server.forced


async def test_a_handler_can_wait_for_another_server_to_close() -> None:
    async def close(request: Request) -> Response:
        await other.close()
        return Response(200, f"{len(app.order)}")

    app = App()
    async with serving(app) as other, serving(App(http=close)) as server:
        peer = await ask(server)
        assert (await peer.read(b"3")).endswith(b"3")  # start, drain, drain
        hang_up(peer)


async def test_a_block_that_is_cancelled_stops_like_one_that_ends() -> None:
    gate, serve_gate, servers = Gate(), Gate(), []
    app = App(http=held_by(gate))

    async def serve() -> None:
        async with Server(app, settings()) as server:
            servers.append(server)
            await serve_gate()

    async with nothing_left():
        task = asyncio.create_task(serve())
        await serve_gate.reached.wait()
        peer = await ask(servers[0])
        await gate.reached.wait()
        task.cancel()
        await settle()
        gate.opened.set()
        assert (await peer.read_to_end()).endswith(b"GET /")
        hang_up(peer)
        await asyncio.wait([task], timeout=PATIENCE)
    assert task.cancelled()
    assert not servers[0].forced
    assert app.order == ["start", "GET /", "drain", "drain", "stop"]


async def test_a_stop_that_is_cancelled_ends_at_once_and_still_shuts_down() -> None:
    gate, serve_gate, servers = Gate(), Gate(), []
    app = App(http=held_by(gate))

    async def serve() -> None:
        async with Server(app, settings()) as server:
            servers.append(server)
            await serve_gate()

    async with nothing_left():
        task = asyncio.create_task(serve())
        await serve_gate.reached.wait()
        peer = await ask(servers[0])
        await gate.reached.wait()
        task.cancel()
        await settle()
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        hang_up(peer)
    assert task.cancelled()
    assert servers[0].forced
    assert app.order == ["start", "GET /", "stop"]


# When the time is over.


async def test_what_has_not_ended_in_time_is_cancelled_and_named_and_the_rest_goes_on(
    lines: Callable[[], list[str]],
) -> None:
    gate, ended = Gate(), []

    async def stop(app: App) -> None:
        await asyncio.sleep(0)
        ended.append(True)

    async with serving(App(http=held_by(gate), stop=stop), shutdown_timeout=0.3) as server:
        peer = await ask(server, "/slow?token=1")
        silent = await open_websocket(server, "/silent")
        await silent.read(b"\r\n\r\n")
        await gate.reached.wait()
        await server.close()
        response = await peer.read_to_end()
        await silent.read(CLOSE_1001)
        hang_up(peer, silent)
    assert (server.forced, ended) == (True, [True])
    assert response.startswith(b"HTTP/1.1 500 ")
    assert "Not everything has ended in time; what is left is cut off" in lines()
    assert "GET /slow: cancelled, it had not ended in time" in lines()
    assert any(re.fullmatch(r".*WebSocket /silent.*: cut off", line) for line in lines())


async def test_a_handler_that_goes_on_although_it_is_cancelled_does_not_stop_the_stop(
    lines: Callable[[], list[str]],
) -> None:
    gate = Gate()

    async def stubborn(request: Request) -> Response:
        while not gate.opened.is_set():
            try:
                await gate()
            except asyncio.CancelledError:
                continue
        return Response(200)

    app = App(http=stubborn)
    try:
        async with nothing_left(), asyncio.timeout(PATIENCE):
            async with Server(app, settings(shutdown_timeout=0)) as server:
                peer = await ask(server)
                await gate.reached.wait()
            assert app.order == ["start", "GET /", "stop"]
            assert "1 handlers go on although they were cancelled" in lines()
            gate.opened.set()
            hang_up(peer)
    finally:
        gate.opened.set()


async def test_a_shut_down_that_takes_too_long_is_cut_short() -> None:
    gate = Gate()
    async with serving(App(stop=gate), shutdown_timeout=0.1) as server:
        pass
    assert gate.reached.is_set()
    assert server.forced


async def test_a_second_request_to_stop_waits_for_nothing(lines: Callable[[], list[str]]) -> None:
    gate = Gate()
    app = App(drain=gate)
    async with serving(app) as server:
        peer = await open_websocket(server)
        await peer.read(b"\r\n\r\n")
        server.ask_to_stop()
        closing_it = asyncio.create_task(server.close())
        await gate.reached.wait()
        server.ask_to_stop()
        await closing_it
        await peer.read_to_end()
        hang_up(peer)
    assert server.forced
    assert app.order == ["start", "WebSocket /", "drain", "stop"]
    assert "Stopping at once" in lines()


async def test_a_second_request_that_comes_before_the_stop_has_begun_counts_too() -> None:
    gate = Gate()
    async with serving(App(drain=gate)) as server:
        server.ask_to_stop()
        server.ask_to_stop()
    assert server.forced


async def test_requests_to_stop_during_the_shut_down_cut_it_short_and_do_no_harm() -> None:
    gate, cleaning = Gate(), Gate()

    async def stop(app: App) -> None:
        try:
            await gate()
        finally:
            await cleaning()

    async with nothing_left(), asyncio.timeout(PATIENCE):
        server = await Server(App(stop=stop), settings()).__aenter__()
        leaving = asyncio.create_task(server.__aexit__(None, None, None))
        await gate.reached.wait()
        for _ in range(3):
            server.ask_to_stop()
            await settle()
        assert cleaning.reached.is_set()
        assert not leaving.done()
        cleaning.opened.set()
        await leaving
        server.ask_to_stop()
    assert server.forced


async def test_an_application_that_fails_to_drain_is_logged_and_stopped_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(app: App) -> None:
        raise RuntimeError("cannot drain")

    app = App(drain=fail)
    async with serving(app) as server:
        peer = await open_websocket(server)
        await peer.read(b"\r\n\r\n")
        closing_it = asyncio.create_task(server.close())
        await peer.read(CLOSE_1001)
        hang_up(peer)
        await closing_it
    assert server.forced
    assert app.order[-1] == "stop"
    assert "The application cannot stop; what is left is cut off" in caplog.text
    assert "RuntimeError: cannot drain" in caplog.text


async def test_an_error_of_the_block_and_one_of_the_shut_down_are_passed_on() -> None:
    async def fail(app: App) -> None:
        raise RuntimeError("cannot shut down")

    with pytest.raises(ZeroDivisionError):
        async with serving(App()):
            raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="cannot shut down"):
        async with serving(App(stop=fail)):
            pass


# The settings reach those who need them.


async def test_the_settings_are_handed_on() -> None:
    app = App()
    limits = {"max_target": 100, "max_body": 5, "server_header": "me", "deflate": True}
    async with serving(app, **limits) as server:
        peer = await ask(server, "/" + "x" * 100)
        assert (await peer.read_to_end()).startswith(b"HTTP/1.1 414 ")
        hang_up(peer)
        peer = await connect(server)
        peer.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n")
        response = await peer.read_to_end()
        assert response.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nServer: me\r\n" in response
        hang_up(peer)
        peer = await connect(server)
        peer.send(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        )
        assert b"permessage-deflate" in await peer.read(b"\r\n\r\n")
        peer.transport.abort()
