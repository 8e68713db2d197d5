"""What is listened on, and what is said when it cannot be; with real sockets, over loopback."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support.leaks import nothing_left
from support.peer import answers
from support.program import PATIENCE, ROOT, clean_environment

from nbdriver.config import ServerConfig
from nbdriver.errors import StartupError
from nbdriver.net.binding import Endpoint, address_of, bind, listen

ACTIVATION = str(ROOT / "tests" / "support" / "activation.py")

V4 = socket.AF_INET
#: Addresses that no machine has: they are kept for documentation (RFC 5737, RFC 3849).
ABSENT: Endpoint = (V4, ("192.0.2.1", 0))
ABSENT_V6: Endpoint = (socket.AF_INET6, ("2001:db8::1", 0, 0, 0))


def has_ipv6() -> bool:
    """Whether the machine has an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


async def bound(**settings: Any) -> list[socket.socket]:
    """What the settings ask for, at a free port of 127.0.0.1 if they say nothing of that."""
    return await bind(ServerConfig(**{"port": 0, "backlog": 5, **settings}))


async def refused(**settings: Any) -> str:
    """Why the settings cannot be listened on; nothing is left over."""
    async with nothing_left():
        with pytest.raises(StartupError) as caught:
            await bound(**settings)
        return str(caught.value)


@contextmanager
def audited(*wanted: str) -> Iterator[list[tuple[Any, ...]]]:
    """The arguments of those of Python's audit events that happen in the block."""
    seen: list[tuple[Any, ...]] = []
    watching = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        # Such a hook stays for as long as the process does.
        if watching and event in wanted:
            seen.append(arguments)

    sys.addaudithook(note)
    yield seen
    watching = False


@contextmanager
def profiled(note: Callable[[str, str], None]) -> Iterator[None]:
    """Tells of the calls of built-in functions in the block: `c_call` or `c_return`, the name."""

    def profile(_: FrameType, event: str, function: Any) -> None:
        if event in ("c_call", "c_return"):
            note(event, function.__name__)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


# TCP.


async def test_a_bound_socket_listens_and_does_not_block() -> None:
    (listening,) = await bound()
    with listening:
        assert listening.gettimeout() == 0
        host, port = address_of(listening)
        assert host == "127.0.0.1"
        assert port
        assert await answers((host, port))


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST"])
async def test_localhost_is_both_loopback_addresses_with_one_port(name: str) -> None:
    sockets = await bound(host=name)
    addresses = [address_of(each) for each in sockets]
    assert {host for host, _ in addresses} >= {"127.0.0.1", *(["::1"] if has_ipv6() else [])}
    assert len({port for _, port in addresses}) == 1
    for address in addresses:
        assert await answers(address)
    close(sockets)


@pytest.mark.parametrize("host", ["::", "0::0"])
async def test_two_colons_are_every_address_of_both_families(host: str) -> None:
    sockets = await bound(host=host)
    addresses = dict(map(address_of, sockets))
    assert set(addresses) == {"0.0.0.0", *(["::"] if has_ipv6() else [])}
    assert await answers(("127.0.0.1", addresses["0.0.0.0"]))
    assert len(set(addresses.values())) == 1
    close(sockets)


async def test_several_hosts_have_one_port_and_each_address_once() -> None:
    sockets = await bound(host="127.0.0.3, 127.0.0.2")
    assert [address_of(each)[0] for each in sockets] == ["127.0.0.3", "127.0.0.2"]
    assert len({address_of(each)[1] for each in sockets}) == 1
    close(sockets)
    sockets = await bound(host=["127.0.0.1", "localhost"])
    hosts = [address_of(each)[0] for each in sockets]
    assert hosts[0] == "127.0.0.1"
    assert len(set(hosts)) == len(hosts)
    close(sockets)


async def test_port_0_picks_one_port_for_all_addresses() -> None:
    endpoints: list[Endpoint] = [(V4, (f"127.0.0.{number}", 0)) for number in range(1, 6)]
    sockets = listen([endpoints], 5)
    assert [each.getsockname()[0] for each in sockets] == [address[0] for _, address in endpoints]
    (port,) = {each.getsockname()[1] for each in sockets}
    assert port > 0
    close(sockets)


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 on this machine")
async def test_an_ipv6_socket_takes_ipv6_only_so_that_ipv4_can_have_the_port_too() -> None:
    (v6,) = await bound(host="::1")
    port = v6.getsockname()[1]
    assert v6.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    assert await answers(("::1", port))
    wild = listen([[(socket.AF_INET6, ("::", 0, 0, 0)), (V4, ("0.0.0.0", 0))]], 5)
    assert len({each.getsockname()[1] for each in wild}) == 1
    close([v6, *wild])


async def test_a_port_can_be_taken_again_as_soon_as_it_was_given_back() -> None:
    (first,) = await bound()
    address = first.getsockname()
    # A connection that was closed by the server keeps its port for a while (TIME_WAIT).
    with socket.create_connection(address):
        accepted, _ = first.accept()
        accepted.close()
    first.close()
    (second,) = await bound(port=address[1])
    assert second.getsockname() == address
    second.close()


async def test_a_port_that_is_taken_is_named_with_what_can_be_done() -> None:
    (taken,) = await bound()
    port = taken.getsockname()[1]
    with pytest.raises(StartupError) as caught:
        await bound(port=port)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1, port {port}: Address already in use;"
        " choose another port (PORT, NBDRIVER_LISTEN, or --port on the command line),"
        " 0 takes a free one"
    )
    assert isinstance(caught.value.__cause__, OSError)
    taken.close()


async def test_if_one_address_cannot_be_had_none_is_kept() -> None:
    (taken,) = await bound(host="127.0.0.2")
    port = taken.getsockname()[1]
    said = await refused(host="127.0.0.1,127.0.0.2", port=port)
    assert said.startswith(f"cannot listen on 127.0.0.2, port {port}: Address already in use")
    assert not await answers(("127.0.0.1", port))
    taken.close()


async def test_a_port_that_is_picked_and_taken_elsewhere_is_picked_anew_not_for_ever() -> None:
    # The second of these is the first once more, so that no port can be free at both.
    endpoints: list[Endpoint] = [(V4, ("127.0.0.1", 0)), (V4, ("127.1", 0))]
    reason = r"127\.1, port [1-9]\d*: Address already in use"
    with audited("socket.bind") as tried, pytest.raises(StartupError, match=reason):
        listen([endpoints], 5)
    assert len({port for _, (host, port) in tried if host == "127.1"}) > 1


async def test_a_port_that_was_asked_for_is_tried_once() -> None:
    (taken,) = await bound()
    address = taken.getsockname()
    with audited("socket.bind") as tried, pytest.raises(StartupError):
        listen([[(V4, address)]], 5)
    assert [tried_at for _, tried_at in tried] == [address]
    taken.close()


async def test_addresses_of_a_host_that_the_machine_does_not_have_are_left_out() -> None:
    sockets = listen([[ABSENT, ABSENT_V6, (V4, ("127.0.0.1", 0)), ABSENT]], 5)
    assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1"]
    close(sockets)


async def test_a_host_of_which_the_machine_has_no_address_cannot_be_listened_on() -> None:
    with pytest.raises(StartupError) as caught:
        listen([[ABSENT, ABSENT_V6]], 5)
    assert str(caught.value) == (
        "cannot listen on 192.0.2.1, port 0: Cannot assign requested address;"
        " this machine has no such address"
    )
    # Who names an address means it, whatever others there are.
    assert (await refused(host="127.0.0.1,192.0.2.1")).startswith("cannot listen on 192.0.2.1, ")


async def test_an_address_that_is_found_twice_is_listened_on_once() -> None:
    (listening,) = listen([[(V4, ("127.0.0.1", 0))] * 2, [(V4, ("127.0.0.1", 0))]], 5)
    listening.close()


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("no-such-host.invalid", "Name or service not known|Temporary failure"),
        ("a..b", "label"),
        ("x" * 64, "label"),
    ],
)
async def test_a_host_that_is_none_is_named(host: str, reason: str) -> None:
    with pytest.raises(StartupError, match=reason) as caught:
        await bound(host=host)
    assert str(caught.value).startswith(f"cannot listen on {host!r}: ")


async def test_an_address_that_is_none_of_its_family_is_told() -> None:
    endpoints: list[Endpoint] = [(V4, ("127.0.0.1", 0)), (V4, ("x y", 0))]
    reason = r"cannot listen on x y, port [1-9]\d*: "
    with audited("socket.bind") as tried, pytest.raises(StartupError, match=reason):
        listen([endpoints], 5)
    assert [address for _, address in tried] == [("127.0.0.1", 0)]


# Several processes on one port.


async def test_with_reuse_port_a_port_can_be_listened_on_by_several() -> None:
    (first,) = await bound(reuse_port=True)
    port = first.getsockname()[1]
    (second,) = await bound(reuse_port=True, port=port)
    assert second.getsockname() == first.getsockname()
    assert "Address already in use" in await refused(port=port)
    close([first, second])


async def test_a_platform_without_reuse_port_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT")  # as on Windows
    assert await refused(reuse_port=True) == (
        "cannot listen with reuse_port: this platform has no SO_REUSEPORT,"
        " by which several processes could share a port"
    )


# Several addresses.


async def test_listen_takes_the_place_of_host_and_port(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with nothing_left():
        sockets = await bound(listen=["127.0.0.2:0", f"unix:{path}", "127.0.0.3:0"], host="x.y")
        addresses = [address_of(each) for each in sockets]
        assert [host for host, _ in addresses] == ["127.0.0.2", str(path), "127.0.0.3"]
        for address in addresses:
            assert await answers(address)
        close(sockets)


async def test_if_one_of_several_cannot_be_had_none_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "s"
    said = await refused(listen=[f"unix:{path}", "127.0.0.1:0", "fd:9999"])
    assert (
        said == "cannot listen on fd:9999: Bad file descriptor; the process was started without it"
    )
    assert not path.exists()


# Unix sockets.


@pytest.mark.parametrize("umask", [0o000, 0o077])
@pytest.mark.parametrize(("mode", "rights"), [(None, 0o660), ("0600", 0o600), ("0666", 0o666)])
async def test_a_unix_socket_has_the_rights_that_are_set_whatever_the_umask(
    tmp_path: Path, umask: int, mode: str | None, rights: int
) -> None:
    before = os.umask(umask)
    try:
        given = {"unix_socket_mode": mode} if mode else {}
        (listening,) = await bound(listen=f"unix:{tmp_path}/s", **given)
    finally:
        after = os.umask(before)
    with listening:
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == rights
        assert listening.gettimeout() == 0
    assert after == umask


async def test_nobody_can_connect_before_the_file_has_its_rights(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    results = []
    watching = True

    def connect(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "os.chmod" and str(arguments[0]) == path:
            with socket.socket(socket.AF_UNIX) as client:
                results.append(client.connect_ex(path))

    sys.addaudithook(connect)
    (listening,) = await bound(listen=f"unix:{path}")
    watching = False
    assert results == [errno.ECONNREFUSED]
    listening.close()


async def test_a_unix_socket_takes_its_file_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (listening,) = await bound(listen="unix:s")
    assert address_of(listening) == ("s", None)
    assert await answers(("s", None))
    # The path is that of the start, wherever the program goes afterwards.
    monkeypatch.chdir("/")
    listening.close()
    assert list(tmp_path.iterdir()) == []
    listening.close()


@pytest.mark.parametrize("kind", ["nothing", "file", "socket"])
async def test_a_file_that_is_no_longer_its_own_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    (listening,) = await bound(listen=f"unix:{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "socket":
            other.bind(str(path))
        elif kind == "file":
            path.touch()
        listening.close()
        assert path.exists() == (kind != "nothing")


async def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.is_socket()
    (listening,) = await bound(listen=f"unix:{path}")
    assert await answers((str(path), None))
    listening.close()


async def test_the_directory_is_locked_from_before_bind_until_after_listen(tmp_path: Path) -> None:
    seen = []

    def look(event: str, name: str) -> None:
        if (event, name) in {("c_call", "bind"), ("c_return", "listen")}:
            seen.append((name, is_locked(tmp_path)))

    async with nothing_left():
        with profiled(look):
            (listening,) = await bound(listen=f"unix:{tmp_path}/s")
        assert seen == [("bind", True), ("listen", True)]
        assert not is_locked(tmp_path)
        listening.close()


def is_locked(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


async def test_of_two_servers_that_start_together_the_first_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "s"
    waits_or_ended = threading.Event()
    outcome: list[object] = []
    second: list[threading.Thread] = []

    def start() -> None:
        try:
            outcome.append(asyncio.run(bound(listen=f"unix:{path}")))
        except StartupError as error:
            outcome.append(str(error))
        waits_or_ended.set()

    def at_lock(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "fcntl.flock" and second and threading.current_thread() is second[0]:
            waits_or_ended.set()

    def start_before_listen(event: str, name: str) -> None:
        if (event, name) == ("c_call", "listen"):
            second.append(threading.Thread(target=start))
            second[0].start()
            assert waits_or_ended.wait(PATIENCE)

    sys.addaudithook(at_lock)
    with profiled(start_before_listen):
        (first,) = await bound(listen=f"unix:{path}")
    second[0].join(PATIENCE)
    assert outcome == [
        f"cannot listen on unix:{path}: Address already in use; another server is listening there"
    ]
    assert await answers((str(path), None))
    first.close()


async def test_a_server_that_lives_keeps_its_socket_also_with_a_full_backlog(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    in_use = f"cannot listen on unix:{path}: Address already in use; another server is listening"
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as waiting:
        living.bind(str(path))
        living.listen(0)
        assert (await refused(listen=f"unix:{path}")).startswith(in_use)
        living.accept()[0].close()
        waiting.connect(str(path))
        assert (await refused(listen=f"unix:{path}")).startswith(in_use)
        assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
async def test_what_is_no_socket_is_never_removed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("dear to somebody")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    assert await refused(listen=f"unix:{path}") == (
        f"cannot listen on unix:{path}: there is a file already, which is no socket;"
        " remove it, or choose another path"
    )
    assert path.lstat()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no/s", "No such file or directory; the directory of the socket has to exist"),
        ("file/s", "Not a directory"),
        ("s" * 200, "AF_UNIX path too long; choose a path of about 100 bytes at most"),
    ],
)
async def test_a_path_where_no_socket_can_be_is_told_in_a_line(
    tmp_path: Path, path: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    said = await refused(listen=f"unix:{tmp_path}/{path}")
    assert said == f"cannot listen on unix:{tmp_path}/{path}: {reason}"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has an abstract namespace")
async def test_a_unix_socket_in_the_abstract_namespace_has_no_file() -> None:
    name = f"@nbdriver-{os.getpid()}"
    (listening,) = await bound(listen=f"unix:{name}")
    assert address_of(listening) == (name, None)
    assert await answers((name, None))
    said = await refused(listen=f"unix:{name}")
    assert said.startswith(f"cannot listen on unix:{name}: Address already in use")
    listening.close()
    assert not await answers((name, None))


async def test_a_platform_without_unix_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")  # as in Python for Windows
    with pytest.raises(StartupError) as caught:
        await bound(listen="unix:s")
    assert str(caught.value) == "cannot listen on unix:s: this platform has no Unix sockets"


# Inherited file descriptors.


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=lambda it: it.name)
async def test_an_inherited_socket_is_listened_on_and_stays_its_owners(
    tmp_path: Path, family: socket.AddressFamily
) -> None:
    place: Any = ("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "s")
    async with nothing_left():
        with socket.socket(family) as owners:
            owners.bind(place)
            owners.listen()
            (listening,) = await bound(listen=f"fd:{owners.fileno()}")
            assert listening.gettimeout() == 0
            assert not listening.get_inheritable()
            address = address_of(listening)
            assert address == address_of(owners)
            # By the number of TCP asyncio knows that Nagle's algorithm is to be turned off.
            assert listening.proto == (socket.IPPROTO_TCP if family == socket.AF_INET else 0)
            listening.close()
            assert await answers(address)
            if family == socket.AF_UNIX:
                assert Path(place).is_socket()


async def test_what_is_no_listening_socket_is_told_and_left_as_it_is() -> None:
    said = "cannot listen on fd:{}: expected a stream socket that listens, got one {}"
    with socket.socket() as silent, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        number = silent.fileno()
        assert await refused(listen=f"fd:{number}") == said.format(
            number, "that does not listen (of systemd: Accept=no is needed)"
        )
        number = datagrams.fileno()
        assert await refused(listen=f"fd:{number}") == said.format(number, "of another type")
        assert silent.getsockname()
        assert datagrams.getsockname()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has netlink sockets")
async def test_an_inherited_socket_of_another_family_is_told() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as kernels:
        number = kernels.fileno()
        assert await refused(listen=f"fd:{number}") == (
            f"cannot listen on fd:{number}: expected a stream socket that listens,"
            " got one of another family than IPv4, IPv6 and Unix sockets"
        )
        assert kernels.getsockname()


async def test_a_file_descriptor_of_a_file_is_no_socket(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        said = await refused(listen=f"fd:{file.fileno()}")
        assert said.endswith("Socket operation on non-socket")
        file.write("still open")


# Passed by systemd.

#: Tells what it listens on with the settings that it is given, and what it has left of that.
TELL = """
import asyncio, json, os, socket, stat, sys
from nbdriver.config import ServerConfig
from nbdriver.errors import StartupError
from nbdriver.net.binding import address_of, bind

config = ServerConfig(port=0, **json.loads(sys.argv[1]))
def told(sockets):
    return [address_of(each) for each in sockets]
def sockets_open():
    return sum(stat.S_ISSOCK(os.fstat(fd).st_mode) for fd in range(3, 64) if is_open(fd))
def is_open(fd):
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False
async def main():
    before = sockets_open()
    try:
        first = await bind(config)
    except StartupError as error:
        return {"error": str(error), "environment": environment()}
    second = await bind(config) if not config.listen else []
    result = {
        "first": told(first),
        "second": told(second),
        "environment": environment(),
        "inheritable": [each.get_inheritable() for each in first],
    }
    for each in first + second:
        each.close()
    return result | {"given back": before - sockets_open()}
def environment():
    return sorted(name for name in os.environ if name.startswith("LISTEN_"))
print(json.dumps(asyncio.run(main())))
"""


def activated(
    *places: str, settings: dict[str, Any] | None = None, **variables: str
) -> dict[str, Any]:
    """What a program tells that was started with sockets at `places`, as systemd does it."""
    command = [sys.executable, ACTIVATION, *places, "--", "-c", TELL, json.dumps(settings or {})]
    done = subprocess.run(
        command,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stderr == ""
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_sockets_that_systemd_passed_are_taken_once_and_kept_from_other_programs(
    tmp_path: Path,
) -> None:
    told = activated("127.0.0.2:0", f"unix:{tmp_path}/s")
    (host, port), unix = told["first"]
    assert (host, unix) == ("127.0.0.2", [f"{tmp_path}/s", None])
    assert port
    assert told["environment"] == []
    assert told["inheritable"] == [False, False]
    # What comes later listens on host and port, and what was passed is given back.
    assert [host for host, _ in told["second"]] == ["127.0.0.1"]
    assert told["given back"] == 2
    # The file is systemd's, which starts the program again when somebody connects.
    assert (tmp_path / "s").is_socket()


def test_sockets_that_systemd_passed_to_another_process_are_not_taken() -> None:
    told = activated("127.0.0.2:0", LISTEN_PID="1")
    assert [host for host, _ in told["first"]] == ["127.0.0.1"]
    assert told["environment"] == []


def test_who_listens_elsewhere_leaves_what_systemd_passed_to_others() -> None:
    told = activated("127.0.0.2:0", settings={"listen": "127.0.0.3:0"})
    assert [host for host, _ in told["first"]] == ["127.0.0.3"]
    assert told["environment"] == ["LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID"]
    told = activated("127.0.0.2:0", settings={"listen": "fd:3"})
    assert [host for host, _ in told["first"]] == ["127.0.0.2"]


def test_what_systemd_passed_and_cannot_be_listened_on_is_told() -> None:
    told = activated("127.0.0.2:0", LISTEN_FDS="2")
    assert told["error"].startswith("cannot listen on fd:4: ")
    told = activated("127.0.0.2:0", LISTEN_FDS="many")
    assert told["error"] == "LISTEN_FDS in the environment: expected a number, got 'many'"
    assert told["environment"] == []
