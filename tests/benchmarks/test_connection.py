"""A connection without an event loop checks its answers as the load does, and never hangs."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from benchmarks import bodies, wire
from benchmarks.clients import JOBS
from benchmarks.connection import Connection, undisturbed
from benchmarks.load import LoadError
from benchmarks.pace import Schedule, Sockets, keep_schedule, ping_pong

Serve = Callable[[socket.socket], None]
Address = tuple[str, int]

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def serving(serve: Serve, connections: int = 1) -> Iterator[Address]:
    """Serve so many connections, one after the other, on a thread that ends with the block."""

    def accept(listening: socket.socket) -> None:
        for _ in range(connections):
            peer, _ = listening.accept()
            with peer:
                peer.settimeout(30)
                serve(peer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        thread = threading.Thread(target=accept, args=[listening])
        thread.start()
        try:
            yield listening.getsockname()[:2]
        finally:
            thread.join()


def read_request(peer: socket.socket) -> bool:
    """Whether one more posted event came, whole."""
    read = b""
    while b"\r\n\r\n" not in read:
        if not (data := peer.recv(65_536)):
            return False
        read += data
    head, _, body = read.partition(b"\r\n\r\n")
    missing = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]) - len(body)
    while missing > 0:
        missing -= len(peer.recv(missing))
    return True


def shake_hands(peer: socket.socket) -> bytes:
    """Accept a WebSocket; gives the frame that answers its events."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(65_536)
    accept = wire.ws_accept().decode()
    peer.sendall(f"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    self_id = int(head.split(b"X-Self-ID: ")[1].split(b"\r\n")[0])
    call = bodies.action("send_msg", bodies.reply(bodies.event(self_id, 0)), str(self_id))
    return wire.server_frame(bodies.dumps(call).encode())


def test_an_event_is_answered_and_the_next_is_sent() -> None:
    def answer(peer: socket.socket) -> None:
        while read_request(peer):
            peer.sendall(NO_CONTENT)

    with serving(answer) as address, closing(Connection(JOBS["http"], address)) as connection:
        taken = [latency for _ in range(3) for latency in ping_pong(connection, 0)]
        assert len(taken) == connection.answered == 3
        assert min(taken) > 0
        assert not connection.awaiting


def test_an_answer_in_two_pieces_is_one() -> None:
    def answer(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(NO_CONTENT[:11])
        asked.wait(30)
        peer.sendall(NO_CONTENT[11:])

    asked = threading.Event()
    with serving(answer) as address, closing(Connection(JOBS["http"], address)) as connection:
        connection.send()
        connection.receive()
        assert connection.awaiting
        asked.set()
        connection.receive()
        assert not connection.awaiting


def test_pings_are_answered_before_and_between_events() -> None:
    def ping(peer: socket.socket) -> None:
        frame = shake_hands(peer)
        opened.wait(30)
        peer.sendall(b"\x89\x04abcd")
        read = peer.recv(65_536)
        assert read.startswith(b"\x8a\x84")
        peer.sendall(frame + b"\x89\x00")
        # The event comes before this pong, which is masked as all of a client's frames.
        while read[-6:-4] != b"\x8a\x80":
            read += peer.recv(65_536)
        pongs.append(read[-6:-4])

    pongs: list[bytes] = []
    opened = threading.Event()
    with serving(ping) as address, closing(Connection(JOBS["websocket"], address)) as connection:
        opened.set()
        sockets = Sockets([connection])
        # A ping comes while nothing is awaited, and is no answer.
        while connection.pinged == 0:
            assert list(sockets.wait(sockets.now())) == []
        connection.send()
        while connection.awaiting:
            connection.receive()
        assert connection.answered == 1
        while connection.pinged < 2:
            connection.receive()
        sockets.close()
    assert len(pongs) == 1


def test_a_schedule_is_kept_on_real_connections() -> None:
    def answer(peer: socket.socket) -> None:
        while read_request(peer):
            peer.sendall(NO_CONTENT)

    with serving(answer) as address, closing(Connection(JOBS["http"], address)) as connection:
        sockets = Sockets([connection])
        kept = keep_schedule(Schedule(2_000, 20, 1), sockets)
        sockets.close()
        assert len(kept.latencies) == connection.answered == 20
        assert min(kept.latencies) > 0
        assert min(kept.late) >= 0


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\n\r\n", NO_CONTENT + b"x", NO_CONTENT + NO_CONTENT]
)
def test_a_wrong_answer_is_an_error(answer: bytes) -> None:
    def wrong(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(answer)

    with (
        serving(wrong) as address,
        closing(Connection(JOBS["http"], address)) as connection,
        pytest.raises(LoadError, match="expected an answer 204 without a body"),
    ):
        ping_pong(connection, 0)


def test_a_websocket_that_is_refused_is_an_error() -> None:
    def refuse(peer: socket.socket) -> None:
        peer.recv(65_536)
        peer.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    with serving(refuse) as address, pytest.raises(LoadError, match="end of an opening handshake"):
        Connection(JOBS["websocket"], address)


def test_a_server_that_hangs_up_is_an_error() -> None:
    def hang_up(peer: socket.socket) -> None:
        read_request(peer)

    with (
        serving(hang_up) as address,
        closing(Connection(JOBS["http"], address)) as connection,
        pytest.raises(LoadError, match="the server ended a connection"),
    ):
        ping_pong(connection, 0)


def test_a_server_that_says_nothing_is_an_error() -> None:
    def say_nothing(peer: socket.socket) -> None:
        while peer.recv(65_536):
            pass

    with (
        serving(say_nothing) as address,
        closing(Connection(JOBS["http"], address, patience=0.01)) as connection,
        pytest.raises(LoadError, match=r"no answer came within 0\.01 s"),
    ):
        ping_pong(connection, 0)


def test_a_server_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()[:2]
    with pytest.raises(LoadError, match="could not connect"):
        Connection(JOBS["http"], address)


def test_nobody_looks_for_garbage_while_it_is_measured() -> None:
    assert gc.isenabled()
    with undisturbed():
        assert not gc.isenabled()
        with undisturbed():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
