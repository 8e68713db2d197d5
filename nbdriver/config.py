"""What a person may set, read and checked before anything starts.

`Env` and `Config` are what NoneBot's users know, without pydantic and python-dotenv; `load` reads
both as `nonebot.init` does. `ServerConfig` holds the server's own limits and times: one frozen
object, made from any configuration, ours or NoneBot's of any era. A value that cannot be used is a
`ConfigError` that names the key, where it came from, what was expected and what came.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from . import addresses, dotenv, units
from .errors import ConfigError
from .units import Kind, Row, Setting

__all__ = ["PREFIX", "Config", "Env", "ServerConfig", "load", "log_level_number"]

# A constant: a copy of this package under another name reads the same settings.
PREFIX = "NBDRIVER_"

_FilePath = str | os.PathLike[str]
_FilePaths = _FilePath | Iterable[_FilePath] | None
_Dict = dict[str, Any]
_Fields = Mapping[str, Field[Any]]
_MIB = 2**20


class _Known(NamedTuple):
    """A key that the contract types."""

    kind: Kind
    default: object
    doc: str


_ENV = {
    "environment": _Known(units.TEXT, "prod", "names the file `.env.{environment}` that is read"),
}

_CONFIG = {
    "host": _Known(addresses.HOSTS, "127.0.0.1", "the address to listen on, or several"),
    "port": _Known(units.PORT, 8080, "the port to listen on; 0 takes a free one"),
    "debug": _Known(units.FLAG, False, "logs more"),
    "log_level": _Known(
        units.optional(units.LOG_LEVEL), None, "what is logged; null is DEBUG with `DEBUG`, or INFO"
    ),
    "api_root": _Known(units.TEXT_BY_TEXT, {}, "the address of a bot's HTTP API, by the bot's id"),
    "api_timeout": _Known(units.optional(units.SECONDS), 30.0, "how long an API call may take"),
    "access_token": _Known(units.TEXT_OR_UNSET, None, "what a platform has to show to be let in"),
    "secret": _Known(units.TEXT_OR_UNSET, None, "the key of the signature of posted events"),
    "superusers": _Known(units.NAMES, set(), "the ids of those who may do everything"),
    "nickname": _Known(units.NAMES, set(), "what the bot is called"),
    "command_start": _Known(units.NAMES, {"/"}, "what a command begins with"),
    "command_sep": _Known(units.NAMES, {"."}, "what stands between the words of a command"),
    "session_expire_timeout": _Known(
        units.DURATION, timedelta(minutes=2), "how long a conversation waits for an answer"
    ),
}

_TEXT_KEYS = {key for key, it in (_ENV | _CONFIG).items() if it.kind.type == units.TEXT.type}


class _Settings:
    """Checked values under lower-case names, read as attributes; one that is not there is None."""

    _known: ClassVar[Mapping[str, _Known]]

    def __init__(self, given: Mapping[str, Setting]) -> None:
        values = {key: item.kind.parse(item.default) for key, item in self._known.items()}
        values |= {key: self._read(key, setting) for key, setting in given.items()}
        self.__dict__["_values"] = values
        self.__dict__["_sources"] = {key: setting.source for key, setting in given.items()}

    def _read(self, key: str, setting: Setting) -> object:
        return setting.read(self._known[key].kind) if key in self._known else setting.value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy, pickle and inspect ask whether such names are there
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.__dict__.get("_values", {}).get(name.lower())

    def __setattr__(self, name: str, value: object) -> None:
        """Sets a value, checked like one given at the start. Copies made before do not see it."""
        setting, key = Setting(name, value, "set as an attribute"), name.lower()
        self.__dict__["_values"] = {**self._values, key: self._read(key, setting)}
        self.__dict__["_sources"] = {**self._sources, key: setting.source}

    def __repr__(self) -> str:
        """All values, secrets as `***`."""
        shown = (f"{key}={units.masked(key, value)!r}" for key, value in self._values.items())
        return f"{type(self).__name__}({', '.join(shown)})"

    def dict(self) -> _Dict:
        """All values, in a new dict."""
        return {**self._values}

    model_dump = dict


class Env(_Settings):
    """Which environment the bot runs in, and what else `.env` says.

    A value is a keyword argument, else what the process environment says (for `environment` and for
    the keys in the file), else what the file at `_env_file` says. `_environ` is the process
    environment, `os.environ` if None. Raises `ConfigError`.
    """

    _known = _ENV

    environment: str

    def __init__(
        self,
        /,
        *,
        _env_file: _FilePath | None = ".env",
        _environ: Mapping[str, str] | None = None,
        **values: Any,
    ) -> None:
        super().__init__(_layered(_ENV, {}, _env_file, _environ, values))


class Config(_Settings):
    """The configuration as adapters and plugins see it.

    A value is a keyword argument, else what the process environment says (for the known keys and
    for those in a file), else what the files at `_env_file` say (a later one overrides an earlier
    one), else what stands in `_common_config`, else its default. Case does not matter. Keys that
    are not known are kept; as text they are read as JSON where they are. Raises `ConfigError`.
    """

    _known = _CONFIG

    host: str
    port: int
    debug: bool
    log_level: str | int | None
    api_root: dict[str, str]
    api_timeout: float | None
    access_token: str | None
    secret: str | None
    superusers: set[str]
    nickname: set[str]
    command_start: set[str]
    command_sep: set[str]
    session_expire_timeout: timedelta

    def __init__(
        self,
        /,
        *,
        _env_file: _FilePaths = None,
        _common_config: Mapping[str, object] | None = None,
        _environ: Mapping[str, str] | None = None,
        **values: Any,
    ) -> None:
        super().__init__(_layered(_CONFIG, _common_config or {}, _env_file, _environ, values))

    @staticmethod
    def describe() -> tuple[Row, ...]:
        """Every known key, with its default as it would stand in a `.env` file."""
        return tuple(
            Row(key.upper(), item.kind.type, item.kind.as_text(item.default), item.doc)
            for key, item in _CONFIG.items()
        )


def load(
    directory: _FilePath = ".",
    *,
    _env_file: _FilePath | None = None,
    _environ: Mapping[str, str] | None = None,
    **values: Any,
) -> tuple[Env, Config]:
    """Reads `.env` and `.env.{environment}` in `directory`, as `nonebot.init` does.

    `_env_file` is read in the place of the second. Keyword arguments win over the process
    environment (`_environ`), which wins over the second file, which wins over `.env`. Raises
    `ConfigError`.
    """
    first = Path(directory, ".env")
    values = {key.lower(): value for key, value in values.items()}
    chosen = {key: value for key, value in values.items() if key in _ENV}
    env = Env(_env_file=first, _environ=_environ, **chosen)
    second = _env_file or Path(directory, f".env.{env.environment}")
    values["environment"] = env.environment
    return env, Config(_env_file=(first, second), _environ=_environ, **values)


def log_level_number(level: object, *, debug: bool = False) -> int:
    """The number that `logging` knows a `LOG_LEVEL` by; None is DEBUG with `debug` on, else INFO.

    `level` may come from NoneBot's configuration too. Raises `ConfigError` when it is neither the
    name of a level nor a number.
    """
    if level is None:
        return logging.DEBUG if debug else logging.INFO
    read = Setting("LOG_LEVEL", level, "in the configuration").read(units.LOG_LEVEL)
    return read if isinstance(read, int) else units.log_levels()[read]


def _layered(
    known: Mapping[str, _Known],
    common: Mapping[str, object],
    files: _FilePaths,
    environ: Mapping[str, str] | None,
    keywords: Mapping[str, object],
) -> dict[str, Setting]:
    """What is set, by lower-case key, each from the place that wins."""
    environ = os.environ if environ is None else environ
    given = {key.lower(): Setting(key, value, "in _common_config") for key, value in common.items()}
    mentioned = set(known)
    for path in _paths(files):
        for name, text in dotenv.read(path, environ).items():
            key = name.lower()
            mentioned.add(key)
            given.pop(key, None)  # a name without `=` takes back what was said before
            if text is not None:
                given[key] = Setting(name, _decoded(key, text, known), f"in {path}")
    for name, text in environ.items():
        if (key := name.lower()) in mentioned:
            given[key] = Setting(name, _decoded(key, text, known), "in the environment")
    for name, value in keywords.items():
        given[name.lower()] = Setting(name, value, "as a keyword argument")
    return given


def _paths(files: _FilePaths) -> Iterable[_FilePath]:
    if files is None:
        return ()
    return (files,) if isinstance(files, (str, os.PathLike)) else files


def _decoded(key: str, text: str, known: Mapping[str, _Known]) -> object:
    """Known keys are read by their kind, and what the contract types as text stays text."""
    return text if key in known or key in _TEXT_KEYS else units.json_or_text(text)


def _setting(
    default: object, kind: Kind, doc: str, *, shared: bool = False, dispatching: bool = False
) -> Any:
    """A field of `ServerConfig`; a `shared` one is also a setting of `Config`, without prefix.

    A `dispatching` one is about bots and their events: where another dispatches them, as NoneBot
    2.x does, it is without effect.
    """
    metadata = {"kind": kind, "doc": doc, "shared": shared, "dispatching": dispatching}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The server's settings. Sizes are in bytes, times in seconds; `describe()` lists all of them.

    Each value may be given as text, as in a file. Raises `ConfigError` when one cannot be used.
    """

    host: str = _setting(
        "127.0.0.1", addresses.HOSTS, "the address to listen on, or several", shared=True
    )
    port: int = _setting(8080, units.PORT, "the port to listen on; 0 takes a free one", shared=True)
    listen: tuple[str, ...] = _setting(
        (),
        addresses.LISTEN,
        "in place of `HOST` and `PORT`: `HOST:PORT`, `unix:PATH` or `fd:N`, or several",
    )
    unix_socket_mode: str = _setting(
        "0660", addresses.MODE, "the rights of a Unix socket; to connect takes that to write"
    )
    reuse_port: bool = _setting(
        False, units.FLAG, "lets several processes listen on one port (SO_REUSEPORT)"
    )
    uvloop: bool = _setting(True, units.FLAG, "runs on uvloop where it is installed")
    access_log: bool = _setting(True, units.FLAG, "logs a line for every request")
    server_header: str | None = _setting(
        "nbdriver", units.optional(units.HEADER_VALUE), "the Server header; null sends none"
    )
    fast_lane: bool = _setting(
        True, units.FLAG, "reads plain requests and frames without h11 and wsproto"
    )
    backlog: int = _setting(2048, units.BACKLOG, "connections that the system keeps waiting")

    tls_certificate: str | None = _setting(
        None, units.optional(units.PATH), "file with the certificate chain (PEM); null: no TLS"
    )
    tls_key: str | None = _setting(
        None, units.optional(units.PATH), "file with its private key; null: it stands there too"
    )
    tls_key_password: str | None = _setting(
        None, units.optional(units.TEXT), "what opens the private key, if it is encrypted"
    )
    tls_client_ca: str | None = _setting(
        None, units.optional(units.PATH), "file with who may sign clients' certificates (PEM)"
    )
    tls_client_certificates: str = _setting(
        "none",
        units.one_of("none", "optional", "required"),
        "of clients: none, optional or required",
    )
    proxy_protocol: bool = _setting(
        False, units.FLAG, "each connection must begin with a header of the PROXY protocol"
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (), units.PEERS, "who is believed about clients: addresses, networks, `unix` or `*`"
    )
    forwarded_headers: str = _setting(
        "x-forwarded", units.FORWARDED_HEADERS, "what they write: `x-forwarded` or `forwarded`"
    )
    allowed_origins: tuple[str, ...] = _setting(
        (), units.ORIGINS, "web pages that may connect beside the host's own; 403 for others"
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (), units.HOST_NAMES, "names beside localhost by which it is called; 403 for others"
    )

    max_head: int = _setting(65536, units.SIZE, "a request line with its headers; 431 above it")
    max_headers: int = _setting(100, units.COUNT, "headers of one request; 431 above it")
    max_target: int = _setting(8192, units.SIZE, "a request target; 414 above it")
    max_body: int = _setting(16 * _MIB, units.SIZE, "a request body; 413 above it")
    max_message: int = _setting(
        16 * _MIB, units.SIZE, "a WebSocket message, decompressed; close code 1009 above it"
    )
    max_fragments: int = _setting(
        4096, units.COUNT, "frames of one WebSocket message; close code 1008 above it"
    )
    read_ahead: int = _setting(65536, units.SIZE, "pipelined requests kept while one is answered")
    write_buffer: int = _setting(65536, units.SIZE, "unsent output from which on a writer waits")

    head_timeout: float = _setting(10.0, units.SECONDS, "for a whole request head; then 408")
    body_timeout: float = _setting(30.0, units.SECONDS, "for the next piece of a body; then 408")
    idle_timeout: float = _setting(75.0, units.SECONDS, "for the next request of a connection")
    write_timeout: float = _setting(30.0, units.SECONDS, "for a peer to go on reading")
    linger_timeout: float = _setting(
        2.0, units.SECONDS_OR_ZERO, "for which unread input is drained after a refusal"
    )
    ping_interval: float | None = _setting(
        20.0, units.optional(units.SECONDS), "between WebSocket pings; null sends none"
    )
    ping_timeout: float | None = _setting(
        20.0, units.optional(units.SECONDS), "for the pong; null waits for ever"
    )
    close_timeout: float = _setting(
        10.0, units.SECONDS_OR_ZERO, "for the peer's WebSocket Close after ours"
    )
    shutdown_timeout: float = _setting(
        30.0, units.SECONDS_OR_ZERO, "for everything at the stop; what is left is cancelled"
    )
    takeover_timeout: float = _setting(
        2.0,
        units.SECONDS,
        "for an old connection to answer when its bot connects anew",
        dispatching=True,
    )
    hook_timeout: float = _setting(
        10.0, units.SECONDS, "for the hooks of one bot, each time", dispatching=True
    )
    pending_timeout: float = _setting(
        30.0,
        units.SECONDS_OR_ZERO,
        "for a posted event to find a free place; then 503",
        dispatching=True,
    )

    max_pending: int = _setting(8192, units.COUNT, "events being handled, in all", dispatching=True)
    max_pending_per_connection: int = _setting(
        1024, units.COUNT, "the same, of one connection", dispatching=True
    )
    max_parked: int = _setting(
        4 * _MIB, units.SIZE, "events of one WebSocket waiting for a place; then reading pauses"
    )
    parked_reserve: int = _setting(
        64 * _MIB,
        units.SIZE,
        "the same beyond that, of all WebSockets whose handlers are stuck",
        dispatching=True,
    )
    max_connections: int = _setting(16384, units.COUNT, "connections at a time; 503 above it")
    deflate: bool = _setting(
        False, units.FLAG, "accepts permessage-deflate on WebSockets, which is slower"
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            setting = Setting(item.name, getattr(self, item.name), "as a keyword argument")
            object.__setattr__(self, item.name, setting.read(item.metadata["kind"]))

    def __repr__(self) -> str:
        """All settings, secrets as `***`."""
        values = ((item.name, getattr(self, item.name)) for item in fields(self))
        shown = (f"{name}={units.masked(name, value)!r}" for name, value in values)
        return f"{type(self).__name__}({', '.join(shown)})"

    @classmethod
    def from_config(
        cls,
        config: object = None,
        environ: Mapping[str, str] | None = None,
        **overrides: object,
    ) -> ServerConfig:
        """The settings as `overrides` say, else the process environment, else `config`.

        `config` is any object: its `nbdriver_<name>` are read, and its `host` and `port`. Of the
        process environment (`environ`, `os.environ` if None) every `NBDRIVER_<NAME>` is read, which
        NoneBot would hand to no one. None is a value like any other: it turns off what it can turn
        off. A `host` or `port` among `overrides` beats a `listen` that is not. Raises `ConfigError`
        when a value cannot be used or a name is not known.
        """
        known = {item.name: item for item in fields(cls)}
        given = dict(_configured(config, known))
        items = (os.environ if environ is None else environ).items()
        given.update(_prefixed((key, value, "in the environment") for key, value in items))
        if overrides.keys() & {"host", "port"}:
            given.pop("listen", None)
        for name, value in overrides.items():
            given[name] = Setting(name, value, "as a keyword argument")
        return cls(**{name: _read(name, setting, known) for name, setting in given.items()})

    @classmethod
    def describe(cls) -> tuple[Row, ...]:
        """Every setting under the name that it has in a `.env` file or the environment."""
        rows = []
        for item in fields(cls):
            kind: Kind = item.metadata["kind"]
            name = item.name.upper() if item.metadata["shared"] else f"{PREFIX}{item.name.upper()}"
            rows.append(Row(name, kind.type, kind.as_text(item.default), item.metadata["doc"]))
        return tuple(rows)

    @classmethod
    def dispatching(cls) -> tuple[str, ...]:
        """The settings about bots and their events, without effect where NoneBot dispatches them.

        They are named as `describe` names them.
        """
        return tuple(
            f"{PREFIX}{item.name.upper()}" for item in fields(cls) if item.metadata["dispatching"]
        )

    def changed(self) -> frozenset[str]:
        """The settings that are not what they are by default, named as the fields are."""
        return frozenset(
            item.name for item in fields(self) if getattr(self, item.name) != item.default
        )


def _prefixed(settings: Iterable[tuple[str, object, str]]) -> Iterator[tuple[str, Setting]]:
    """Those that bear our prefix, under their field's name."""
    for key, value, source in settings:
        if key.upper().startswith(PREFIX):
            yield key[len(PREFIX) :].lower(), Setting(key.upper(), value, source)


def _configured(config: object, known: _Fields) -> Iterator[tuple[str, Setting]]:
    """What a configuration of any make says about the server."""
    values = _listed(config)
    shared = [name for name, item in known.items() if item.metadata["shared"]]
    # A configuration that cannot be listed is asked for each name; None says that it has no such.
    for key in (*shared, *(f"{PREFIX}{name}".lower() for name in known)):
        if key not in values and (value := getattr(config, key, None)) is not None:
            values[key] = value
    sources = config._sources if isinstance(config, _Settings) else {}
    settings = [(key, it, sources.get(key, "in the configuration")) for key, it in values.items()]
    for key, value, source in settings:
        if key in shared and value is not None:
            yield key, Setting(key.upper(), value, source)
    yield from _prefixed(settings)


def _listed(config: Any) -> _Dict:
    """The values of a configuration that can be listed: ours, pydantic's 1 or 2, a mapping, any."""
    if isinstance(config, Mapping):
        listed = config
    # Asked of the class, since the instances of NoneBot 2.0.0a10 answer to every name.
    elif hasattr(type(config), "model_dump"):  # before `dict`, about which pydantic 2 warns
        listed = config.model_dump()
    elif hasattr(type(config), "dict"):
        listed = config.dict()
    else:
        listed = getattr(config, "__dict__", {})
    return {str(key).lower(): value for key, value in listed.items()}


def _read(name: str, setting: Setting, known: _Fields) -> Any:
    if name in known:
        return setting.read(known[name].metadata["kind"])
    import difflib  # here, since it is imported for a mistake alone

    names = difflib.get_close_matches(name.lower(), known, 1)
    if setting.key.startswith(PREFIX):
        names = [f"{PREFIX}{close}".upper() for close in names]
    guess = f"; did you mean {names[0]}?" if names else ""
    raise ConfigError(f"{setting.key} {setting.source}: no such setting{guess}")
