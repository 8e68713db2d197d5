"""A process is taken for the server at an address only if it listens there."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.listening import check_listens, spoken
from benchmarks.load import LoadError


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a socket of this process that listens, on any address."""
    with socket.create_server(("", 0)) as made:
        yield made.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_one_that_listens_at_every_address_does_at_each(listening: int, host: str) -> None:
    check_listens(os.getpid(), (host, listening))


def test_one_that_listens_at_another_address_does_not() -> None:
    with socket.create_server(("127.0.0.2", 0)) as made:
        port = made.getsockname()[1]
        check_listens(os.getpid(), ("127.0.0.2", port))
        with pytest.raises(LoadError, match=f"does not listen at 127.0.0.1:{port}; "):
            check_listens(os.getpid(), ("127.0.0.1", port))


def test_where_nobody_listens_the_command_that_tells_is_named() -> None:
    # Port 0 stands for any, so it is the one at which nobody can.
    with pytest.raises(LoadError, match="`ss -ltnp 'sport = :0'` tells which does"):
        check_listens(os.getpid(), ("127.0.0.1", 0))


def test_a_connection_from_there_is_not_a_socket_that_listens(listening: int) -> None:
    with socket.create_connection(("127.0.0.1", listening)) as connected:
        own = connected.getsockname()
        with pytest.raises(LoadError, match=re.escape(f"does not listen at 127.0.0.1:{own[1]}")):
            check_listens(os.getpid(), own)


def test_another_process_is_told_which_one_does(listening: int) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        expected = (
            f"process {other.pid} does not listen at 127.0.0.1:{listening};"
            f" process {os.getpid()} does"
        )
        with pytest.raises(LoadError) as caught:
            check_listens(other.pid, ("127.0.0.1", listening))
        other.communicate(b"\n")
    assert str(caught.value) == expected


def test_a_process_that_has_gone_is_told(listening: int) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(LoadError, match=f"expected a process {gone.pid} on this machine"):
        check_listens(gone.pid, ("127.0.0.1", listening))


def test_an_address_is_written_as_people_do() -> None:
    assert spoken(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert spoken(("::1", 80)) == "[::1]:80"
