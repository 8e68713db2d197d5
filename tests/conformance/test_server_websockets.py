"""A WebSocket that a handler is given, on every driver with a server.

A handler takes the steps that the test tells it (`server_bot.take_steps`), and reports what became
of each: what it gave, or the name of the error, with a code and a reason if it was WebSocketClosed.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

import pytest
from conformance.serving import Server
from websockets import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection


def refusal(server: Server, *steps: object, **options: Any) -> InvalidStatus:
    """How a handshake is refused."""
    with pytest.raises(InvalidStatus) as caught, server.websocket(server.run(), *steps, **options):
        pass
    return caught.value


def end_of(peer: ClientConnection) -> tuple[int, str]:
    """The code and the reason with which the server closes."""
    with pytest.raises(ConnectionClosed) as caught:
        peer.recv(10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def test_text_and_bytes_are_received_as_they_were_sent(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive", "receive") as peer:
        peer.send("你好")
        peer.send(b"bytes")
        assert run.outcomes() == [None, "你好", {"bytes": "bytes"}]


def test_text_and_bytes_are_sent(server: Server) -> None:
    run = server.run()
    steps = ["accept", ["send", "你好"], ["send_text", "text"], ["send bytes", "bytes"]]
    with server.websocket(run, *steps) as peer:
        assert [peer.recv(), peer.recv(), peer.recv()] == ["你好", "text", b"bytes"]


def test_what_is_neither_text_nor_bytes_is_not_sent(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", ["send", 1]):
        assert run.outcomes() == [None, ["TypeError"]]


def test_each_kind_can_be_received_by_its_name(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive_text", "receive_bytes") as peer:
        peer.send("text")
        peer.send(b"bytes")
        assert run.outcomes() == [None, "text", {"bytes": "bytes"}]


@pytest.mark.parametrize(
    ("step", "message"), [("receive_text", b"bytes"), ("receive_bytes", "text")]
)
def test_the_wrong_kind_is_a_type_error(server: Server, step: str, message: str | bytes) -> None:
    run = server.run()
    with server.websocket(run, "accept", step, "receive") as peer:
        peer.send(message)
        peer.send("next")
        assert run.outcomes() == [None, ["TypeError"], "next"]


def test_the_request_is_that_of_the_handshake(server: Server) -> None:
    run = server.run()
    headers = [("X-Self-ID", "1"), ("X-A", "1"), ("X-A", "2"), ("Cookie", "a=1; b=2")]
    with server.websocket(run, "request", "accept", additional_headers=headers):
        found = run.outcomes()[0]
    sent = [(name.lower(), value) for name, value in found["headers"]]
    assert (found["method"], found["version"]) == ("GET", "1.1")
    assert found["url"].startswith(f"ws://{server.base}/websocket?")
    assert found["params"][0] == ["run", run.name]
    assert ("x-self-id", "1") in sent
    assert [value for name, value in sent if name == "x-a"] == ["1", "2"]
    assert sorted(found["cookies"]) == [["a", "1"], ["b", "2"]]


def test_a_path_can_take_both_kinds_of_requests(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", ["send", "a WebSocket"], path="/page") as peer:
        assert peer.recv() == "a WebSocket"
    assert server.http.get("/page").text == "a page"


def test_no_subprotocol_is_chosen(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "request", "accept", subprotocols=["12.1"]) as peer:
        assert peer.subprotocol is None
        sent = {name.lower(): value for name, value in run.outcomes()[0]["headers"]}
        assert sent["sec-websocket-protocol"] == "12.1"


def test_compression_is_agreed_on_if_it_is_asked_for(server: Server) -> None:
    with server.websocket(server.run(), "accept", compression="deflate") as peer:
        assert [extension.name for extension in peer.protocol.extensions] == ["permessage-deflate"]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 1_000_000])
def test_messages_have_any_size(server: Server, size: int) -> None:
    run = server.run()
    with server.websocket(run, "accept", "measure", ["send much", size]) as peer:
        peer.send("x" * size)
        assert len(peer.recv()) == size
        assert run.outcomes() == [None, size, None]


def test_a_message_in_pieces_is_one_message(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive") as peer:
        peer.send(["你", "好", "!"])
        assert run.outcomes() == [None, "你好!"]


def test_a_ping_is_answered_while_the_handler_is_busy(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "wait") as peer:
        run.has_begun()
        assert peer.ping(b"still there?").wait(10)
        run.go_on()


def test_messages_are_received_in_their_order(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", *["receive"] * 50) as peer:
        for number in range(50):
            peer.send(str(number))
        assert run.outcomes() == [None, *map(str, range(50))]


def test_a_receive_that_is_given_up_loses_nothing(server: Server) -> None:
    run = server.run()
    steps = ["accept", ["receive within", 0.01], ["receive within", 0.01], "wait", "receive"]
    with server.websocket(run, *steps) as peer:
        run.has_begun()
        peer.send("late")
        run.go_on()
        assert run.outcomes() == [None, ["TimeoutError"], ["TimeoutError"], None, "late"]


@pytest.mark.parametrize("step", ["receive", "receive_text", "receive_bytes"])
def test_the_peers_code_is_what_a_receive_raises(server: Server, step: str) -> None:
    run = server.run()
    with server.websocket(run, "accept", step) as peer:
        peer.close(3001, "bye")
    ((error, code, _),) = run.outcomes()[1:]
    assert (error, code) == ("WebSocketClosed", 3001)


@pytest.mark.parametrize("step", ["receive", "receive_text", "receive_bytes"])
def test_the_peers_reason_is_what_a_receive_raises(server: Server, step: str) -> None:
    run = server.run()
    with server.websocket(run, "accept", step) as peer:
        peer.close(3001, "再见")
    assert run.outcomes()[1:] == [["WebSocketClosed", 3001, "再见"]]


def send_close(peer: ClientConnection) -> None:
    """A Close without a code, whose answer nobody waits for."""
    peer.protocol.send_close()
    peer.socket.sendall(b"".join(peer.protocol.data_to_send()))


def test_a_close_without_a_code_is_1005(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive") as peer:
        send_close(peer)
        assert run.outcomes() == [None, ["WebSocketClosed", 1005, ""]]


def lose(peer: ClientConnection) -> None:
    """The connection ends without a Close."""
    peer.socket.shutdown(2)


def test_a_lost_connection_is_1006(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive") as peer:
        lose(peer)
        ((error, code, _),) = run.outcomes()[1:]
        assert (error, code) == ("WebSocketClosed", 1006)


def test_what_came_before_the_end_is_received_before_it(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", ["sleep", 0.3], "receive", "receive") as peer:
        peer.send("one")
        peer.send("two")
        send_close(peer)
        assert run.outcomes() == [None, None, "one", "two"]


def test_each_receive_after_the_end_raises_too(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive", ["receive within", 0.5]) as peer:
        peer.close(3001)
    assert [outcome[:2] for outcome in run.outcomes()[1:]] == [["WebSocketClosed", 3001]] * 2


@pytest.mark.parametrize("end", [ClientConnection.close, lose], ids=["closed", "lost"])
def test_to_send_after_the_end_is_websocket_closed(
    server: Server, end: Callable[[ClientConnection], None]
) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive", ["send", "late"], ["send bytes", "l"]) as peer:
        end(peer)
        assert [outcome[0] for outcome in run.outcomes()[2:]] == ["WebSocketClosed"] * 2


def test_to_send_after_the_end_does_not_succeed(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive", ["send", "late"]) as peer:
        peer.close()
        assert run.outcomes()[2] is not None


def test_it_is_closed_once_it_has_ended(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive", "closed") as peer:
        peer.close()
        assert run.outcomes()[2] is True


def test_it_is_not_closed_before(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "closed"):
        assert run.outcomes() == [None, False]


def test_it_is_closed_after_its_own_close(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", ["close", 1000], "closed"):
        assert run.outcomes() == [None, None, True]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [((), 1000, ""), ((1001,), 1001, ""), ((3001, "再见"), 3001, "再见"), ((4999, "x"), 4999, "x")],
)
def test_a_close_has_its_code_and_its_reason(
    server: Server, arguments: tuple[object, ...], code: int, reason: str
) -> None:
    run = server.run()
    with server.websocket(run, "accept", ["close", *arguments]) as peer:
        assert end_of(peer) == (code, reason)
        assert run.outcomes() == [None, None]


def test_a_second_close_does_nothing(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", ["close", 3001], ["close", 3002]) as peer:
        assert end_of(peer)[0] == 3001
        assert run.outcomes() == [None, None, None]


def test_a_receive_after_its_own_close_is_websocket_closed(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", ["close", 3001], "receive"):
        assert run.outcomes()[2][0] == "WebSocketClosed"


def test_a_handler_that_returns_closes_with_1000(server: Server) -> None:
    with server.websocket(server.run(), "accept") as peer:
        assert end_of(peer) == (1000, "")


def test_a_handler_that_fails_closes_with_1011(server: Server) -> None:
    with server.websocket(server.run(), "accept", "fail") as peer:
        code, reason = end_of(peer)
        assert code == 1011
        assert "secret" not in reason


def test_what_a_handler_failed_of_is_logged(server: Server) -> None:
    with server.websocket(server.run(), "accept", "fail"):
        server.process.says("ZeroDivisionError")


def test_a_close_before_accepting_is_403(server: Server) -> None:
    assert refusal(server, ["close", 1008, "no token"]).response.status_code == 403


def test_a_close_before_accepting_tells_its_reason(server: Server) -> None:
    assert "no token" in refusal(server, ["close", 1008, "no token"]).response.body.decode()


def test_a_handler_that_fails_before_accepting_is_500(server: Server) -> None:
    response = refusal(server, "fail").response
    assert response.status_code == 500
    assert b"secret" not in (response.body or b"")


def test_a_handler_that_neither_accepts_nor_closes_refuses(server: Server) -> None:
    assert refusal(server).response.status_code in (403, 500)


def test_to_accept_twice_is_an_error(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "accept"):
        assert run.outcomes()[1] is not None


@pytest.mark.parametrize(
    "step", [["receive within", 0.5], ["send", "early"]], ids=["receive", "send"]
)
def test_nothing_is_received_or_sent_before_accepting(server: Server, step: list[object]) -> None:
    run = server.run()
    with server.websocket(run, step, "accept"):
        # Of what it ought to be: neither success, nor what a time-out is.
        assert len(run.outcomes()[0]) == 1
        assert run.outcomes()[0] != ["TimeoutError"]


def test_an_unknown_path_is_404(server: Server) -> None:
    assert refusal(server, path="/nowhere").response.status_code == 404


def test_a_path_of_requests_is_no_websocket(server: Server) -> None:
    assert refusal(server, path="/inspect").response.status_code >= 400


def test_a_plain_request_is_told_to_upgrade(server: Server) -> None:
    response = server.http.get("/websocket")
    assert (response.status_code, response.headers.get("upgrade")) == (426, "websocket")


def test_a_plain_request_is_no_websocket(server: Server) -> None:
    assert 400 <= server.http.get("/websocket").status_code < 500


def handshake(server: Server, *changed: tuple[str, str]) -> bytes:
    """A handshake of which some lines are others."""
    lines = {
        "Host": server.base,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **dict(changed),
    }
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET /websocket?run=none&steps=[] HTTP/1.1\r\n{fields}\r\n".encode()


@pytest.mark.parametrize(
    "changed",
    [("Sec-WebSocket-Key", "short"), ("Sec-WebSocket-Version", "12")],
    ids=["key", "version"],
)
def test_a_broken_handshake_is_refused(server: Server, changed: tuple[str, str]) -> None:
    status = int(server.exchange(handshake(server, changed)).split(b" ")[1])
    assert 400 <= status < 500


def test_several_handlers_run_at_the_same_time(server: Server) -> None:
    first, second = server.run(), server.run()
    with (
        server.websocket(first, "accept", "echo") as one,
        server.websocket(second, "accept", "echo") as two,
    ):
        for peer in (one, two, one, two):
            peer.send("hello")
            assert peer.recv() == "hello"


def test_a_handler_is_not_disturbed_when_its_peer_leaves(server: Server) -> None:
    run = server.run()
    with server.websocket(run, "accept", "wait") as peer:
        run.has_begun()
        peer.close()
    run.go_on()
    assert run.outcomes() == [None, None]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x81\x00\x00\x00\x00\xff", 1007),
        (b"\xc1\x80\x00\x00\x00\x00", 1002),
        (b"\x81\x01a", 1002),
    ],
    ids=["UTF-8", "reserved bit", "no mask"],
)
def test_what_breaks_the_protocol_is_closed_with_its_code(
    server: Server, frame: bytes, code: int
) -> None:
    run = server.run()
    with server.websocket(run, "accept", "receive") as peer:
        peer.socket.sendall(frame)
        assert end_of(peer)[0] == code
        assert run.outcomes()[1][0] == "WebSocketClosed"
