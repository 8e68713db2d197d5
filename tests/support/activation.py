"""Starts a program as systemd does that has listened for it: `activation.py PLACE... -- ARGUMENTS`

Each PLACE, `HOST:PORT` or `unix:PATH`, is listened on and passed as a file descriptor from 3 on;
then Python with the ARGUMENTs takes this process over. LISTEN_PID and LISTEN_FDS say so
(sd_listen_fds(3)), unless the environment has its own.
"""

from __future__ import annotations

import os
import socket
import sys

FIRST = 3


def listening(place: str) -> socket.socket:
    scheme, _, path = place.partition(":")
    if scheme == "unix":
        it = socket.socket(socket.AF_UNIX)
        it.bind(path)
    else:
        it = socket.socket()
        it.bind((scheme, int(path)))
    it.listen()
    return it


def main() -> None:
    end = sys.argv.index("--")
    sockets = [listening(place) for place in sys.argv[1:end]]
    # Out of the way of each other: none of them is to be overwritten before it has moved.
    copies = [os.dup2(it.fileno(), 100 + number) for number, it in enumerate(sockets)]
    for number, copy in enumerate(copies):
        os.dup2(copy, FIRST + number)
        os.close(copy)
    os.environ.setdefault("LISTEN_PID", str(os.getpid()))
    os.environ.setdefault("LISTEN_FDS", str(len(sockets)))
    os.environ.setdefault("LISTEN_FDNAMES", ":".join("bot" for _ in sockets))
    os.execv(sys.executable, [sys.executable, *sys.argv[end + 1 :]])


if __name__ == "__main__":
    main()
