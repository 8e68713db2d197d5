"""Settings are checked before anything is sent; 0 and None are two things; no secret is shown."""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest

import nbdriver
from nbdriver.client.settings import USER_AGENT, ClientOptions, ClientSettings, Timeouts
from nbdriver.errors import ConfigError
from nbdriver.wire.deflate import DeflateSettings


def test_a_client_may_be_given_each_field_in_each_way_that_its_type_says() -> None:
    """And a type checker, which knows the options alone, finds whatever is no field."""
    kept, given = get_type_hints(ClientSettings), get_type_hints(ClientOptions)
    assert list(kept) == list(given)
    for name in kept.keys() - {"headers", "params"}:  # pairs, of a mapping or of any iterable
        assert set(kinds(kept[name])) <= set(kinds(given[name])), name


def kinds(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or what stands for itself."""
    return get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)


def test_the_defaults_are_those_of_nonebot() -> None:
    times = Timeouts()
    assert (times.total, times.connect, times.read, times.close) == (None, 5.0, 30.0, 10.0)
    assert ClientSettings().timeouts == times


def test_one_number_is_the_limit_of_connecting_of_each_read_and_of_closing() -> None:
    assert Timeouts.of(2) == Timeouts(total=None, connect=2.0, read=2.0, close=2.0)
    assert Timeouts.of(0) == Timeouts(total=None, connect=0.0, read=0.0, close=0.0)


def test_none_is_no_limit_at_all() -> None:
    assert Timeouts.of(None) == Timeouts(total=None, connect=None, read=None, close=None)


def test_timeouts_stand_for_themselves() -> None:
    times = Timeouts(total=1)
    assert Timeouts.of(times) is times


def test_a_number_of_a_client_is_what_it_is_of_a_request() -> None:
    settings = ClientSettings(timeouts=3)  # type: ignore[arg-type]  # as Client's option it may
    assert settings.timeouts == Timeouts.of(3)


def test_zero_and_none_are_two_things() -> None:
    times = Timeouts(total=0, connect=None)
    assert (times.total, times.connect) == (0.0, None)
    assert times != Timeouts(total=None, connect=0)


def test_some_limits_are_replaced_and_the_others_stay() -> None:
    assert Timeouts(read=1).replace(total=60, connect=None) == Timeouts(
        total=60.0, connect=None, read=1.0
    )


@pytest.mark.parametrize("value", [-1, "soon", True, float("nan"), float("inf"), 1e10])
def test_a_limit_that_is_no_time_is_refused_by_name(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^read as .*: expected a number of seconds, 0 or more"):
        Timeouts(read=value)
    with pytest.raises(ConfigError, match=r"^timeout as .*: expected a number of seconds"):
        Timeouts.of(value)
    with pytest.raises(ConfigError, match=r"^total as"):
        Timeouts().replace(total=value)


def test_headers_and_params_are_a_mapping_or_pairs() -> None:
    given: Any = {"X-A": "1", "x-b": ""}
    settings = ClientSettings(headers=given, params=given)
    assert settings.headers == settings.params == (("X-A", "1"), ("x-b", ""))
    repeated: Any = [["a", "1"], ("a", 2), ("b", None), ("c", [True])]
    assert ClientSettings(params=repeated).params == (("a", "1"), ("a", "2"), ("c", "true"))


def test_everything_is_taken_in_its_own_form() -> None:
    jar, tls, deflate = CookieJar(), ssl.create_default_context(), DeflateSettings(threshold=1)
    settings = ClientSettings(
        cookies=jar,
        tls=tls,
        deflate=deflate,
        auth=("me", "s:ecret"),
        max_body=None,
        max_redirects=0,
        idle_timeout=0,
        ping_interval=None,
        user_agent=None,
        timeouts=Timeouts.of(1),
    )
    assert settings.cookies is jar
    assert settings.tls is tls
    assert settings.auth == ("me", "s:ecret")
    assert (settings.max_body, settings.ping_interval, settings.user_agent) == (None, None, None)
    assert (settings.max_redirects, settings.idle_timeout) == (0, 0.0)


def test_text_is_read_as_in_a_file() -> None:
    given: Any = {
        "max_body": "1MiB",
        "follow_redirects": "no",
        "ping_timeout": "null",
        "deflate": "true",
    }
    settings = ClientSettings(**given)
    assert (settings.max_body, settings.follow_redirects) == (2**20, False)
    assert (settings.ping_timeout, settings.deflate) == (None, True)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("timeouts", "5", r"expected Timeouts, such as Timeouts\(total=60.0\), or .*; came '5'"),
        ("timeouts", True, "expected Timeouts, .*; came True"),
        ("timeouts", -1, "expected Timeouts, .*; came -1"),
        ("timeouts", None, "expected Timeouts, .*; came None"),
        ("max_connections", 0, "a whole number, 1 or more; came 0"),
        ("max_redirects", -1, "a whole number, 0 or more; came -1"),
        ("max_body", 0, "a number of bytes, 1 or more"),
        ("tls", True, "an ssl.SSLContext, or None; came True"),
        ("unix", "", "the path of a file, or None"),
        ("deflate", 9, "True, False or DeflateSettings; came 9"),
        ("user_agent", "a\r\nb", "printable ASCII text, not empty"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} as a keyword argument: .*{expected}"):
        ClientSettings(**{name: value})  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("headers", {"a": "hunter2\r\nb: c"}),
        ("headers", {"a b": "hunter2"}),
        ("headers", "hunter2"),
        ("headers", None),
        ("headers", [("a", 1)]),
        ("headers", ["ab"]),
        ("params", [("a", "hunter2", "b")]),
        ("params", 1),
        ("params", "a=hunter2"),
        ("params", {"a": object()}),
        ("auth", ("hunter2",)),
        ("auth", ("a:b", "hunter2")),
        ("auth", ("a", "hunter2\n")),
        ("auth", "hunter2"),
        ("cookies", {"a": "hunter2"}),
        ("proxy", object()),
    ],
)
def test_what_may_be_secret_is_refused_without_being_shown(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} as a keyword argument: expected .*; ") as e:
        ClientSettings(**{name: value})  # type: ignore[arg-type]  # wrong on purpose
    assert str(e.value).endswith("not shown since it may be secret")
    assert "hunter2" not in str(e.value)


def test_what_may_be_secret_is_not_printed() -> None:
    settings = ClientSettings(
        headers=(("authorization", "hunter2"),),
        params=(("q", "hunter2"),),
        auth=("hunter2", "hunter2"),
        proxy="http://hunter2@localhost",
        cookies=CookieJar(),
    )
    assert "hunter2" not in repr(settings)
    assert repr(settings).count("***") == 5
    assert "***" not in repr(ClientSettings())
    assert "max_redirects=20" in repr(settings)


def test_the_limit_of_a_message_is_that_of_its_inflation() -> None:
    assert ClientSettings().deflate_settings is None
    assert ClientSettings(deflate=True, max_message=10).deflate_settings == DeflateSettings(
        max_message=10
    )
    assert ClientSettings(
        deflate=DeflateSettings(threshold=1), max_message=10
    ).deflate_settings == DeflateSettings(threshold=1, max_message=10)


def test_the_version_in_the_user_agent_is_the_package_s() -> None:
    assert f"nbdriver/{nbdriver.__version__}" == USER_AGENT
