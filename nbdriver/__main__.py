"""The command line, for whoever wants to see the driver work, or to serve a bot in another way.

`demo` serves an echo bot and says how to talk to it; `run` serves the driver in a module. Every
setting of the server is an option, made from `ServerConfig`, so that the two cannot differ.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from . import __version__, abc, codec, onebot, units
from .config import ServerConfig, load
from .driver import Driver
from .errors import ConfigError, DriverError
from .net.server import Server
from .units import Setting

__all__ = ["main"]

UNUSABLE = 2
"""Exit code if the command line, the configuration or the module it names cannot be used."""
INTERRUPTED = 130
"""Exit code of a Ctrl-C before there was a server that could stop, as shells have it."""

_PROGRAM = f"python -m {__package__}"

_EXIT_CODES = """\
exit codes:
  0  stopped, as it was asked to by Ctrl-C (SIGINT) or SIGTERM
  1  the stop was forced: asked twice, or not everything had ended in time
  2  the command line, the configuration or the module cannot be used
  3  the server could not start: a start-up hook failed, a port is taken, a file
     that a setting names cannot be used
"""


#: What argparse says of an option that there is none of.
_UNKNOWN = re.compile("unrecognized arguments: (--[^ ]+)")


class _Unusable(Exception):
    """What the command line names cannot be used; the message is one line for the person there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what `arguments` (those of the process, if None) say, and give the exit code.

    Raises SystemExit with the code where argparse or the driver end the program.
    """
    options = _parser().parse_args(arguments)
    try:
        options.obey(options)
    except (ConfigError, _Unusable) as error:
        print(f"{_PROGRAM}: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


# What can be said on the command line.


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, without the usage, in which that line would not be seen."""

    def error(self, message: str) -> NoReturn:
        """Exit with the message and UNUSABLE."""
        if option := _UNKNOWN.match(message):
            message += _closest(option[1])
        self.exit(UNUSABLE, f"{self.prog}: {message} ({self.prog} --help)\n")


def _closest(option: str) -> str:
    """The setting that may have been meant, as the end of a message."""
    known = [_option(item.name) for item in fields(ServerConfig)]
    close = difflib.get_close_matches(option.partition("=")[0], known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _parser() -> _Parser:
    parser = _Parser(
        prog=_PROGRAM,
        usage="%(prog)s [--help] [--version] COMMAND ...",
        description="The driver of a chat bot: an HTTP and WebSocket server for its adapters.",
        epilog=f"{_PROGRAM} COMMAND --help lists the options of a command.\n\n{_EXIT_CODES}",
        formatter_class=_help_formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{__package__} {__version__}")
    commands = parser.add_subparsers(
        prog=_PROGRAM, title="commands", dest="command", metavar="COMMAND", required=True
    )
    _add_demo(commands)
    _add_run(commands)
    return parser


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="serve an echo bot, to see how it works",
        usage="%(prog)s [options]",
        description=(
            "Serve a OneBot v11 bot that says again what it is told, and say how to talk to it.\n"
            "It lets everybody in, whatever ACCESS_TOKEN and SECRET are."
        ),
        epilog=_EXIT_CODES,
        formatter_class=_help_formatter,
        allow_abbrev=False,
    )
    _add_settings(parser)
    parser.set_defaults(obey=_demo)


def _add_run(commands: Any) -> None:
    parser = commands.add_parser(
        "run",
        help="serve the driver in a module of yours",
        usage="%(prog)s [options] MODULE[:NAME]",
        description=(
            "Serve the driver in a module of yours. An option wins over .env and the environment,\n"
            "where --max-body 1MiB is called NBDRIVER_MAX_BODY=1MiB. If the module serves on its\n"
            'own too, its driver.run() has to stand below `if __name__ == "__main__":`.'
        ),
        epilog=(
            "examples:\n"
            f"  {_PROGRAM} run bot                 `driver` in bot.py, or in the package bot\n"
            f"  {_PROGRAM} run bots/echo.py:app    a file by its path, and another name in it\n"
            f"  {_PROGRAM} run bot --port 9000 --no-access-log\n"
            f"\n{_EXIT_CODES}"
        ),
        formatter_class=_help_formatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "target",
        metavar="MODULE[:NAME]",
        help="a module or the path of a .py file, and what the driver is called in it (driver)",
    )
    _add_settings(parser)
    parser.set_defaults(obey=_run)


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=34, width=100)


#: Under which heading an option stands, by the type of its value.
_HEADINGS = {
    "bytes": "sizes in bytes, such as 65536, 64KiB or 16MiB, and other limits",
    "number": "sizes in bytes, such as 65536, 64KiB or 16MiB, and other limits",
    "seconds": "times in seconds",
    "seconds or null": "times in seconds",
}
_METAVARS = {
    "addresses": "ADDRESS",
    "bytes": "BYTES",
    "list": "LIST",
    "number": "N",
    "octal": "MODE",
    "seconds": "SECONDS",
    "text": "TEXT",
}


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Every setting of the server as an option; one that is not given is not in the result."""
    general = parser.add_argument_group("the server")
    groups = {
        title: parser.add_argument_group(title) for title in dict.fromkeys(_HEADINGS.values())
    }
    for item in fields(ServerConfig):
        kind: units.Kind = item.metadata["kind"]
        place = item.metadata["shared"]
        heading = None if place else _HEADINGS.get(kind.type)
        keywords: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        if kind is not units.FLAG:
            metavar = item.name.upper() if place else _METAVARS[kind.type.removesuffix(" or null")]
            keywords = {
                "metavar": metavar,
                "action": "append" if kind.several else "store",
            }
        (general if heading is None else groups[heading]).add_argument(
            _option(item.name),
            default=argparse.SUPPRESS,
            help=f"{item.metadata['doc']} (default: {kind.as_text(item.default) or 'none'})",
            **keywords,
        )
    general.add_argument(
        "--log-level",
        metavar="LEVEL",
        default=argparse.SUPPRESS,
        help=f"expects {units.LOG_LEVEL.expected} (default: LOG_LEVEL, else INFO)",
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given, read. Raises ConfigError that names the option."""
    kinds = {item.name: item.metadata["kind"] for item in fields(ServerConfig)}
    kinds["log_level"] = units.LOG_LEVEL
    return {
        name: Setting(_option(name), getattr(options, name), "on the command line").read(kind)
        for name, kind in kinds.items()
        if hasattr(options, name)
    }


# demo

#: Seconds for an answer to an API call: somebody who plays the platform by hand gives none.
_DEMO_API_TIMEOUT = 5.0
#: What the demo does without, so that the commands it shows work as they are.
_CREDENTIALS = ("access_token", "secret", "onebot_access_token", "onebot_secret")


class _EchoBot(onebot.Bot):
    """Says again what it is told, and shows what comes."""

    async def on_event(self, event: onebot.Event) -> None:
        # Heartbeats come every few seconds.
        if event.post_type != "meta_event":
            print(f"Event of bot {self.self_id}: {_brief(codec.dumps(event.raw))}", flush=True)
        await super().on_event(event)

    async def on_message(self, event: onebot.Event) -> None:
        if self.websocket is None:
            print("  (posted, so no answer goes back: that takes a WebSocket)", flush=True)
            return
        try:
            await self.send(event, event.message)
        except (DriverError, ValueError) as error:
            print(f"  (the echo failed: {_brief(str(error))})", flush=True)


def _brief(text: str, limit: int = 300) -> str:
    """Text from outside as one line, in which nothing can move a terminal's cursor."""
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:limit])
    return shown if len(text) <= limit else f"{shown}... ({len(text)} characters)"


def _demo(options: argparse.Namespace) -> None:
    # A terminal that lacks a character shows its number.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    values: dict[str, Any] = dict.fromkeys(_CREDENTIALS, "")
    driver = Driver(*load(api_timeout=_DEMO_API_TIMEOUT, **values))
    driver.register_adapter("onebot", _EchoBot)
    driver.run(**_settings(options), ready=_invite)


def _invite(server: Server) -> None:
    """Say how to talk to the demo, now that it listens."""
    host, port = server.addresses[0]
    socket = _unix_option(host) if port is None else []
    place = "localhost" if port is None else _reachable(host, port)
    event = '{"post_type": "message", "message_type": "private", "user_id": 42, "message": "hello"}'
    fields = ["-H", "X-Self-ID: 10001", "-H", "Content-Type: application/json"]
    # A certificate need not be for this address, and not from somebody whom curl knows.
    options = ["-i", *socket] if server.scheme == "http" else ["-i", "--insecure", *socket]
    post = ["curl", *options, f"{server.scheme}://{place}/onebot/", *fields, "-d", event]
    print(
        "\nAn echo bot is listening. Post it an event, from another terminal (it answers 204):\n\n"
        f"  {_command_line(post, sys.platform)}\n\n"
        "or let a OneBot v11 client connect to it by reverse WebSocket (Universal):\n\n"
        f"  {server.scheme.replace('http', 'ws')}://{place}/onebot/ws"
        f"{f', over unix:{host}' if socket else ''}\n\n"
        "A web page from elsewhere is refused, unless --allowed-origins names it.\n"
        "Ctrl-C ends it.\n",
        flush=True,
    )


def _reachable(host: str, port: int) -> str:
    """Where a client on this machine finds what listens on `host`, which may mean every address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unix_option(path: str) -> list[str]:
    """What lets curl connect to a Unix socket."""
    name = path.removeprefix("@")
    return ["--unix-socket", path] if name == path else ["--abstract-unix-socket", name]


def _command_line(arguments: list[str], platform: str) -> str:
    """`arguments` quoted for the shell of that platform."""
    return subprocess.list2cmdline(arguments) if platform == "win32" else shlex.join(arguments)


# run

_TARGET = re.compile(r"(?P<module>.+?)(?::(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*))?")


def _run(options: argparse.Namespace) -> None:
    settings = _settings(options)
    _find_driver(options.target).run(**settings)


def _find_driver(target: str) -> abc.Driver:
    """The driver that MODULE[:NAME] names. Raises _Unusable, and the module's own ConfigError."""
    match = _TARGET.fullmatch(target)
    if match is None:
        raise _no_target(target)
    where, name = match["module"], match["name"] or "driver"
    module = _import(where)
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise _Unusable(f"{where} holds no {name}{_others(module, where)}")
        found = getattr(found, part)
    if not isinstance(found, abc.Driver):
        got = "the class itself" if found is Driver else f"one of {type(found).__name__}"
        raise _Unusable(
            f"{where}:{name} is no driver: expected an instance of Driver, got {got}"
            f"{_others(module, where)}"
        )
    return found


def _no_target(target: str) -> _Unusable:
    return _Unusable(f"expected MODULE[:NAME] or a file, PATH.py[:NAME], got {target!r}")


def _others(module: ModuleType, where: str) -> str:
    """The drivers that a module does hold, as the end of a message."""
    names = [key for key, value in vars(module).items() if isinstance(value, abc.Driver)]
    return f"; did you mean {' or '.join(f'{where}:{name}' for name in names)}?" if names else ""


def _import(where: str) -> ModuleType:
    """A module by its name, or by the path of its file. Raises _Unusable, and ConfigError."""
    try:
        if where.endswith(".py"):
            return _import_file(Path(where))
        return _import_module(where)
    except (ConfigError, _Unusable):
        raise
    except Exception as error:
        _print_traceback(error)
        raise _Unusable(f"{where} cannot be imported, see above") from None


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise _no_target(name)
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself, or a package it would be in; another is one that it tried to import.
        if f"{name}.".startswith(f"{error.name}."):
            raise _Unusable(
                f"there is no module {error.name}, neither in {Path.cwd()} nor where Python looks"
            ) from None
        raise


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise _Unusable(f"there is no file {path} in {Path.cwd()}")
    sys.path.insert(0, str(path.resolve().parent))
    # A file may have the name of a module that is in use already.
    name = path.stem if path.stem not in sys.modules else f"{path.stem}_"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _print_traceback(error: Exception) -> None:
    """The traceback from the module's own first line on: how we got there is nobody's concern."""
    trace = error.__traceback__
    while trace is not None and _is_ours(str(trace.tb_frame.f_globals.get("__name__"))):
        trace = trace.tb_next
    traceback.print_exception(error.with_traceback(trace))


def _is_ours(module: str) -> bool:
    return module == __name__ or module.startswith(("importlib", "_frozen_importlib"))


if __name__ == "__main__":
    sys.exit(main())
