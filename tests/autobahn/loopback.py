"""Autobahn's `wstest`, but it listens on the loopback address alone; runs on Python 2.7.

By itself its fuzzing server listens on every address of the machine, whatever its specification
says, and on a port that somebody has to choose. Here the system chooses, and one line of the output
tells what.

Most cases give up on a connection that has not ended after a second. On a busy machine a process
may not be run for as long, so here they have more patience; what ends in time is not changed by it.

    python2.7 loopback.py FOLDER -m fuzzingserver -u 0 -s spec.json

FOLDER is where `pip install --target` has put autobahntestsuite.
"""

import site
import sys

folder = sys.argv.pop(1)
# Ahead of what this Python has of its own; and only `site` reads a folder's .pth files.
sys.path.insert(0, folder)
site.addsitedir(folder)

# The first of the suite's modules, since it chooses the reactor.
from autobahntestsuite import wstest  # noqa: E402  # isort: skip
from autobahntestsuite import fuzzing  # noqa: E402  # isort: skip

PATIENCE = 30

listen_anywhere = fuzzing.listenWS
kill_after = fuzzing.FuzzingProtocol.killAfter


def listen(factory, context=None):
    """`autobahn.twisted.websocket.listenWS`, on an address and a port of our choice."""
    factory.port = 0
    listening = listen_anywhere(factory, context, interface="127.0.0.1")
    # `externalPort` is what it expects in the Host header.
    factory.port = factory.externalPort = listening.getHost().port
    sys.stdout.write("listening on port " + str(factory.port) + "\n")
    return listening


def kill_later(self, delay):
    """`FuzzingProtocol.killAfter`: fail the connection unless it has ended by then."""
    kill_after(self, delay * PATIENCE)


fuzzing.listenWS = listen
fuzzing.FuzzingProtocol.killAfter = kill_later
sys.exit(wstest.run())
