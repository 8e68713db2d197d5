"""The configuration is what NoneBot's users know, and the server's is made from any of them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbdriver.config import Config, Env, ServerConfig, load, log_level_number
from nbdriver.errors import ConfigError


def write(folder: Path, **files: str) -> Path:
    """Writes `.env` (as `env`) and `.env.prod` (as `prod`) and so on."""
    for name, text in files.items():
        path = folder / (".env" if name == "env" else f".env.{name}")
        path.write_text(text, encoding="utf-8")
    return folder


# Env


def test_the_environment_is_prod_unless_something_names_it(tmp_path: Path) -> None:
    assert Env(_env_file=tmp_path / ".env", _environ={}).environment == "prod"


def test_a_keyword_beats_the_process_environment_beats_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, env="ENVIRONMENT=file") / ".env"
    assert Env(_env_file=path, _environ={}).environment == "file"
    environ = {"Environment": "process"}
    assert Env(_env_file=path, _environ=environ).environment == "process"
    assert Env(_env_file=path, _environ=environ, environment="keyword").environment == "keyword"


def test_env_reads_dotenv_and_the_process_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, env="ENVIRONMENT=dev\nOTHER=file")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    monkeypatch.setenv("OTHER", "process")
    assert Env().dict() == {"environment": "dev", "other": "process"}
    assert Env(_env_file=None).environment == "prod"


def test_env_keeps_the_other_keys_of_its_file(tmp_path: Path) -> None:
    text = "ENVIRONMENT=1\nACCESS_TOKEN=0123\nSECRET=1e5\nLIST=[1]\nBARE\nTEXT=a b"
    env = Env(_env_file=write(tmp_path, env=text) / ".env", _environ={"UNNAMED": "1"})
    assert env.dict() == {
        "environment": "1",
        "access_token": "0123",
        "secret": "1e5",
        "list": [1],
        "text": "a b",
    }


# Config


def test_the_defaults_are_those_of_nonebot() -> None:
    assert Config(_environ={}).dict() == {
        "host": "127.0.0.1",
        "port": 8080,
        "debug": False,
        "log_level": None,
        "api_root": {},
        "api_timeout": 30.0,
        "access_token": None,
        "secret": None,
        "superusers": set(),
        "nickname": set(),
        "command_start": {"/"},
        "command_sep": {"."},
        "session_expire_timeout": timedelta(minutes=2),
    }


def test_every_known_key_is_read_from_text_by_its_type(tmp_path: Path) -> None:
    text = """
        HOST=0.0.0.0
        PORT=8081
        DEBUG=yes
        LOG_LEVEL=trace
        API_ROOT={"123": "http://127.0.0.1:5700"}
        API_TIMEOUT=null
        ACCESS_TOKEN=123
        SECRET=true
        SUPERUSERS=[123, "456"]
        NICKNAME=["小明"]
        COMMAND_START=["/", ""]
        COMMAND_SEP=[]
        SESSION_EXPIRE_TIMEOUT=01:00  # a comment
    """
    path = write(tmp_path, prod=text) / ".env.prod"
    assert Config(_env_file=path, _environ={}).dict() == {
        "host": "0.0.0.0",
        "port": 8081,
        "debug": True,
        "log_level": "TRACE",
        "api_root": {"123": "http://127.0.0.1:5700"},
        "api_timeout": None,
        "access_token": "123",
        "secret": "true",
        "superusers": {"123", "456"},
        "nickname": {"小明"},
        "command_start": {"/", ""},
        "command_sep": set(),
        "session_expire_timeout": timedelta(minutes=1),
    }


def test_a_default_is_nobody_elses() -> None:
    Config(_environ={}).superusers.add("me")
    assert Config(_environ={}).superusers == set()


def test_case_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path, prod="Port=1\nfoo=1\nFOO=2") / ".env.prod"
    config = Config(_env_file=path, _environ={"nickName": '["a"]'}, API_Timeout=3)
    assert (config.port, config.foo, config.nickname, config.api_timeout) == (1, 2, {"a"}, 3.0)
    assert config.PORT == 1


def test_keys_that_are_not_known_are_kept_and_absent_ones_are_none(tmp_path: Path) -> None:
    text = 'TEXT=a b\nJSON={"a": [1, null]}\nNUMBER=007\nEMPTY=\nQUOTED="1"\nBARE'
    config = Config(_env_file=write(tmp_path, prod=text) / ".env.prod", _environ={}, database=set)
    assert config.text == "a b"
    assert config.json == {"a": [1, None]}
    assert config.number == "007"
    assert config.empty == ""
    assert config.quoted == 1
    assert config.database is set
    assert config.bare is None
    assert config.absent is None


def test_files_are_overridden_by_later_ones_the_process_and_keywords(tmp_path: Path) -> None:
    write(tmp_path, env="A=1\nB=1\nC=1\nD=1\nE=1", prod="B=2\nC=2\nD=2\nE")
    config = Config(
        _env_file=[tmp_path / ".env", str(tmp_path / ".env.prod")],
        _common_config={"A": 0, "Z": 0},
        _environ={"C": "3", "D": "3", "F": "3", "Z": "3"},
        d=4,
    )
    given = [getattr(config, key) for key in "abcdefz"]
    # E is taken back by a name without a value; the process has no say on F and Z, in no file.
    assert given == [1, 2, 3, 4, None, None, 0]


def test_the_process_says_what_a_name_without_a_value_is(tmp_path: Path) -> None:
    path = write(tmp_path, prod="A") / ".env.prod"
    assert Config(_env_file=path, _environ={"A": "[1]"}).a == [1]


def test_config_reads_no_file_by_default_but_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path, env="DEBUG=true", prod="DEBUG=true"))
    monkeypatch.delenv("DEBUG", raising=False)
    monkeypatch.setenv("PORT", "1234")
    config = Config()
    assert (config.port, config.debug) == (1234, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"_env_file": ".env.prod"},
            r"^Port in \.env\.prod: expected a whole number from 0 to 65535; came 'abc'$",
        ),
        ({"_environ": {"PORT": "-1"}}, "^PORT in the environment: expected .* came '-1'$"),
        ({"port": None}, "^port as a keyword argument: expected .* came None$"),
        ({"_common_config": {"port": []}}, r"^port in _common_config: expected .* came \[\]$"),
        ({"_environ": {"SUPERUSERS": "123"}}, "expected a JSON list of texts, .* came '123'$"),
        ({"access_token": ["hunter2"]}, r"^access_token as .* came '\*\*\*'$"),
    ],
)
def test_an_unusable_value_is_an_error_that_names_key_place_and_expectation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(write(tmp_path, prod="Port=abc"))
    with pytest.raises(ConfigError, match=message) as caught:
        Config(**{"_environ": {}, **arguments})
    assert "hunter2" not in str(caught.value)


def test_an_attribute_that_is_set_is_checked_and_kept() -> None:
    config = Config(_environ={})
    config.port = "1234"  # type: ignore[assignment]  # text is read here as it is in a file
    config.Other = {"a": 1}
    assert (config.port, config.other) == (1234, {"a": 1})
    with pytest.raises(ConfigError, match=r"^port set as an attribute: expected .* came 'x'$"):
        config.port = "x"  # type: ignore[assignment]
    assert config.port == 1234


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_a_configuration_can_be_copied_and_pickled(duplicate: Any) -> None:
    config = Config(_environ={}, port=1, other=[1])
    other = duplicate(config)
    assert type(other) is Config
    assert other.dict() == config.dict()
    other.port = 2
    other.more = 3
    assert (config.port, config.more) == (1, None)


def test_special_names_that_are_not_there_are_missing_as_in_any_object() -> None:
    assert not hasattr(Config(_environ={}), "__len__")


def test_the_methods_are_not_hidden_by_keys_of_their_name() -> None:
    config = Config(_environ={}, dict=1)
    assert config.dict()["dict"] == 1
    assert config.model_dump() == config.dict()


def test_the_dict_is_a_new_one() -> None:
    config = Config(_environ={})
    config.dict()["port"] = 1
    assert config.port == 8080


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path, env="CQHTTP_ACCESS_TOKEN=hunter2\nNAME=a") / ".env"
    assert repr(Env(_env_file=path, _environ={})) == (
        "Env(environment='prod', cqhttp_access_token='***', name='a')"
    )
    config = Config(_environ={}, secret="hunter2", bots=[{"api_key": "hunter2"}])
    assert "secret='***', " in repr(config)
    assert "bots=[{'api_key': '***'}])" in repr(config)
    assert "access_token=None" in repr(config)
    assert "hunter2" not in f"{config} {config!r}"


def test_each_described_default_of_config_is_what_an_empty_configuration_has() -> None:
    rows = Config.describe()
    written = {row.name: row.default for row in rows if row.default}
    read, default = Config(_environ=written).dict(), Config(_environ={}).dict()
    assert read == default
    assert [row.name.lower() for row in rows] == list(default)
    assert all(row.type and row.doc for row in rows)


# load


def test_load_reads_both_files_as_nonebot_does(tmp_path: Path) -> None:
    write(
        tmp_path,
        env="ENVIRONMENT=dev\nPORT=1\nA=1\nACCESS_TOKEN=0123",
        dev="PORT=2\nB=2\nENVIRONMENT=other",
        prod="PORT=3",
    )
    env, config = load(tmp_path, _environ={})
    assert env.environment == config.environment == "dev"
    assert (config.port, config.a, config.b, config.access_token) == (2, 1, 2, "0123")


def test_load_takes_the_environment_from_the_process_and_from_a_keyword(tmp_path: Path) -> None:
    write(tmp_path, env="ENVIRONMENT=dev", prod="A=1", test="A=2")
    environ = {"ENVIRONMENT": "prod"}
    assert load(tmp_path, _environ=environ)[1].a == 1
    env, config = load(tmp_path, _environ=environ, Environment="test", Port="5")
    assert (env.environment, config.environment, config.a, config.port) == ("test", "test", 2, 5)
    assert "port" not in env.dict()


def test_load_can_be_given_another_file(tmp_path: Path) -> None:
    write(tmp_path, env="A=1\nB=1", prod="B=2", other="B=3")
    _, config = load(tmp_path, _env_file=tmp_path / ".env.other", _environ={})
    assert (config.a, config.b) == (1, 3)


def test_load_reads_the_working_directory_and_the_process_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path, env="ENVIRONMENT=dev\nA=1", dev="B=[]"))
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    monkeypatch.setenv("A", "2")
    _, config = load()
    assert (config.a, config.b) == (2, [])


def test_an_error_of_load_names_the_file_that_is_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path, env="PORT=x", prod="DEBUG=x"))
    with pytest.raises(ConfigError, match=r"^PORT in \.env: "):
        load(_environ={"DEBUG": "1"})
    with pytest.raises(ConfigError, match=r"^DEBUG in \.env\.prod: "):
        load(_environ={"PORT": "1"})


# The level of the log


@pytest.mark.parametrize(
    ("level", "debug", "number"),
    [
        (None, False, 20),
        (None, True, 10),
        ("WARNING", True, 30),
        ("trace", False, 5),
        ("SUCCESS", False, 25),
        ("15", False, 15),
        (0, False, 0),
    ],
)
def test_a_log_level_has_the_number_that_logging_knows(
    level: str | int | None, debug: bool, number: int
) -> None:
    assert log_level_number(level, debug=debug) == number


def test_a_log_level_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match=r"^LOG_LEVEL in the configuration: expected a level such"
    ):
        log_level_number("LOUD")


# ServerConfig


class NoneBotA10:
    """As the configuration of NoneBot 2.0.0a10: lists itself, answers None to any other name."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def __getattr__(self, name: str) -> None:
        return None


class Pydantic2:
    """As a model of pydantic 2: extra values stand apart, and `dict` is deprecated."""

    def __init__(self, host: object, port: int, **extra: Any) -> None:
        self.host = host
        self.port = port
        self.__pydantic_extra__ = extra

    def model_dump(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, **self.__pydantic_extra__}

    def dict(self) -> dict[str, Any]:
        raise DeprecationWarning("use model_dump")


class Unlisted:
    """A configuration of someone's own that can only be asked, name by name."""

    __slots__ = ()
    host = "10.0.0.1"
    port = "1234"
    nbdriver_max_body = "1KiB"


VALUES: dict[str, Any] = {"host": IPv4Address("10.0.0.1"), "port": 1234, "nbdriver_max_body": 1024}


@pytest.mark.parametrize(
    "config",
    [
        Config(_environ={}, **VALUES),
        NoneBotA10(**VALUES),
        Pydantic2(**VALUES),
        SimpleNamespace(**VALUES),
        VALUES,
        {key.upper(): value for key, value in VALUES.items()},
        Unlisted(),
    ],
    ids=lambda config: type(config).__name__,
)
def test_the_server_is_configured_by_a_configuration_of_any_make(config: object) -> None:
    server = ServerConfig.from_config(config, {})
    assert server == ServerConfig(host="10.0.0.1", port=1234, max_body=1024)


@pytest.mark.parametrize(
    "config", [None, NoneBotA10(), SimpleNamespace(host=None, port=None)], ids=repr
)
def test_without_a_configuration_the_defaults_hold(config: object) -> None:
    assert ServerConfig.from_config(config, {}) == ServerConfig()


def test_overrides_beat_the_process_environment_beats_the_configuration() -> None:
    config = SimpleNamespace(port=1, nbdriver_port=2, nbdriver_max_head=2, nbdriver_max_headers=2)
    environ = {"nbdriver_max_head": "3", "NBDRIVER_MAX_HEADERS": "3", "PORT": "3", "PATH": "x"}
    server = ServerConfig.from_config(config, environ, max_headers=4)
    assert (server.port, server.max_head, server.max_headers) == (2, 3, 4)
    assert ServerConfig.from_config(config, {"NBDRIVER_PORT": "3"}).port == 3


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDRIVER_MAX_BODY", "2KiB")
    assert ServerConfig.from_config().max_body == 2048


def test_a_host_or_port_as_a_keyword_beats_a_configured_listen() -> None:
    config, environ = {"host": "x", "nbdriver_listen": "fd:3"}, {"NBDRIVER_LISTEN": "fd:4"}
    assert ServerConfig.from_config(config, {}).listen == ("fd:3",)
    assert ServerConfig.from_config(config, environ).listen == ("fd:4",)
    assert ServerConfig.from_config(config, environ, listen=["fd:5"]).listen == ("fd:5",)
    for place in ({"host": "::"}, {"port": 0}):
        assert ServerConfig.from_config(config, environ, **place).listen == ()
        server = ServerConfig.from_config(config, environ, **place, listen="fd:5,fd:6")
        assert server.listen == ("fd:5", "fd:6")


def test_where_it_listens_is_read_from_a_file(tmp_path: Path) -> None:
    text = """
        HOST=127.0.0.1,::1
        NBDRIVER_LISTEN=["unix:bot.sock", "[::1]:80"]
        NBDRIVER_UNIX_SOCKET_MODE=0600
        NBDRIVER_REUSE_PORT=true
    """
    config = Config(_env_file=write(tmp_path, prod=text) / ".env.prod", _environ={})
    assert config.host == "127.0.0.1,::1"
    server = ServerConfig.from_config(config, {})
    assert (server.host, server.listen) == ("127.0.0.1,::1", ("unix:bot.sock", "[::1]:80"))
    assert (server.unix_socket_mode, server.reuse_port) == ("0600", True)


def test_a_mode_that_a_file_made_a_number_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, prod="NBDRIVER_UNIX_SOCKET_MODE=660") / ".env.prod"
    with pytest.raises(ConfigError, match=r"expected three octal digits after a 0.* came 660$"):
        ServerConfig.from_config(Config(_env_file=path, _environ={}), {})


def test_null_turns_off_what_none_turns_off(tmp_path: Path) -> None:
    path = write(tmp_path, prod="NBDRIVER_PING_INTERVAL=null") / ".env.prod"
    config = Config(_env_file=path, _environ={})
    environ = {"NBDRIVER_PING_TIMEOUT": "None"}
    server = ServerConfig.from_config(config, environ, server_header="null")
    assert (server.ping_interval, server.ping_timeout, server.server_header) == (None, None, None)


def test_an_override_of_none_turns_off_what_none_turns_off() -> None:
    server = ServerConfig.from_config(None, {"NBDRIVER_PING_INTERVAL": "3"}, ping_interval=None)
    assert server.ping_interval is None
    with pytest.raises(
        ConfigError, match=r"^max_body as a keyword argument: expected .* came None$"
    ):
        ServerConfig.from_config(None, {}, max_body=None)


def test_a_value_of_the_server_that_is_unusable_names_its_key_and_place(tmp_path: Path) -> None:
    path = write(tmp_path, prod="NBDRIVER_MAX_BODY=16M") / ".env.prod"
    config = Config(_env_file=path, _environ={})
    with pytest.raises(ConfigError) as caught:
        ServerConfig.from_config(config, {})
    assert str(caught.value) == (
        f"NBDRIVER_MAX_BODY in {path}: "
        "expected a number of bytes, 1 or more, such as 65536 or 16MiB; came '16M'"
    )
    with pytest.raises(
        ConfigError, match=r"^NBDRIVER_DEFLATE in the environment: expected true or"
    ):
        ServerConfig.from_config(None, {"Nbdriver_Deflate": "2"})
    with pytest.raises(ConfigError, match=r"^HOST in the configuration: expected an IP address"):
        ServerConfig.from_config(SimpleNamespace(host=""), {})
    with pytest.raises(ConfigError, match=r"^max_head as a keyword argument: expected .* came -1$"):
        ServerConfig.from_config(None, {}, max_head=-1)


def test_an_unknown_name_is_an_error_that_names_the_closest_known_one() -> None:
    with pytest.raises(ConfigError) as caught:
        ServerConfig.from_config(None, {"NBDRIVER_MAX_BDY": "1"})
    assert str(caught.value) == (
        "NBDRIVER_MAX_BDY in the environment: no such setting; did you mean NBDRIVER_MAX_BODY?"
    )
    with pytest.raises(
        ConfigError, match=r"^NBDRIVER_PINGTIMEOUT .* mean NBDRIVER_PING_TIMEOUT\?$"
    ):
        ServerConfig.from_config({"nbdriver_pingtimeout": 1}, {})
    with pytest.raises(ConfigError, match=r"^MaxHead as a keyword .* did you mean max_head\?$"):
        ServerConfig.from_config(None, {}, MaxHead=1)


def test_an_unknown_name_that_is_like_no_other_suggests_none() -> None:
    with pytest.raises(ConfigError) as caught:
        ServerConfig.from_config(None, {}, log_levell=1)
    assert str(caught.value) == "log_levell as a keyword argument: no such setting"


def test_what_is_not_as_by_default_is_told_by_its_name() -> None:
    # The lane is said, since in the other one a test's default is another (`--lane plain`).
    assert ServerConfig(fast_lane=True).changed() == frozenset()
    changed = ServerConfig(fast_lane=True, max_pending=1, hook_timeout=10).changed()
    assert changed == {"max_pending"}


def test_settings_of_dispatching_are_named_as_they_are_described() -> None:
    names = ServerConfig.dispatching()
    assert "NBDRIVER_TAKEOVER_TIMEOUT" in names
    assert set(names) < {row.name for row in ServerConfig.describe()}


def test_a_server_configuration_is_checked_however_it_is_made() -> None:
    server: Any = ServerConfig(max_body="1MiB")  # type: ignore[arg-type]  # as in a file
    assert server.max_body == 2**20
    with pytest.raises(ConfigError, match=r"^max_headers as a keyword argument: expected "):
        ServerConfig(max_headers=0)
    with pytest.raises(FrozenInstanceError):
        server.max_body = 1


@pytest.mark.parametrize(
    "name",
    [item.name for item in fields(ServerConfig) if item.name.endswith(("_timeout", "_interval"))],
)
def test_a_time_is_positive_and_zero_where_that_means_at_once(name: str) -> None:
    at_once = {"linger_timeout", "close_timeout", "shutdown_timeout", "pending_timeout"}
    assert getattr(ServerConfig.from_config(None, {}, **{name: "0.5"}), name) == 0.5
    for value in ["-1", "inf", "nan"] + ["0"] * (name not in at_once):
        with pytest.raises(ConfigError, match=f"^{name} as a keyword argument: expected a number"):
            ServerConfig.from_config(None, {}, **{name: value})


def test_each_described_default_of_the_server_is_read_as_that_default() -> None:
    rows = ServerConfig.describe()
    shared = {row.name.lower(): row.default for row in rows if not row.name.startswith("NBDRIVER_")}
    environ = {row.name: row.default for row in rows if row.name.startswith("NBDRIVER_")}
    assert shared == {"host": "127.0.0.1", "port": "8080"}
    # The lane is said, since the suite may run in another.
    assert ServerConfig.from_config(shared, environ) == ServerConfig(fast_lane=True)
    assert len(rows) == len(fields(ServerConfig))
    assert all(row.type and row.doc for row in rows)


def test_a_path_may_be_text_or_a_path_but_not_empty() -> None:
    for value in (Path("a/b.pem"), "a/b.pem"):
        assert ServerConfig.from_config(None, {}, tls_key=value).tls_key == str(Path("a/b.pem"))
    for wrong in ("", 1, b"a", PathOfBytes()):
        with pytest.raises(ConfigError, match="expected the path of a file, or null; came "):
            ServerConfig.from_config(None, {}, tls_certificate=wrong)


class PathOfBytes:
    """A path of bytes, which would be no text in a message."""

    def __fspath__(self) -> bytes:
        return b"a"


def test_a_choice_is_one_of_its_words_in_any_case() -> None:
    config = ServerConfig.from_config(None, {"NBDRIVER_TLS_CLIENT_CERTIFICATES": " Optional "})
    assert config.tls_client_certificates == "optional"
    with pytest.raises(ConfigError, match="expected none, optional or required; came 'always'"):
        ServerConfig.from_config(None, {}, tls_client_certificates="always")


def test_a_server_configuration_does_not_show_its_secrets() -> None:
    shown = repr(ServerConfig(tls_certificate="cert.pem", tls_key_password="sesame"))
    assert shown.startswith("ServerConfig(host='127.0.0.1', port=8080, ")
    assert "tls_certificate='cert.pem'" in shown
    assert "tls_key_password='***'" in shown
    assert "sesame" not in shown


def test_a_row_says_name_kind_default_and_purpose() -> None:
    rows = {row.name: row for row in ServerConfig.describe()}
    assert rows["NBDRIVER_MAX_BODY"] == (
        "NBDRIVER_MAX_BODY",
        "bytes",
        "16MiB",
        "a request body; 413 above it",
    )
    assert rows["NBDRIVER_PING_INTERVAL"][1:3] == ("seconds or null", "20")
