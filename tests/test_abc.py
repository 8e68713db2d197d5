"""What the contracts themselves do: adapters, bots and hooks are kept apart, driver by driver."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import pytest
from support.bots import RecordingBot, recording_bot

from nbdriver import Bot, Driver
from nbdriver.config import Config, Env


def make_driver(**settings: Any) -> Driver:
    env = Env(_env_file=None, _environ={}, environment="test")
    return Driver(env, Config(_environ={}, **settings))


class WithSettings(RecordingBot):
    """An adapter that keeps a setting of its own on the class, as NoneBot's adapters do."""

    token: str

    @classmethod
    def register(cls, driver: Any, config: Any, **kwargs: Any) -> None:
        super().register(driver, config)
        cls.token = kwargs.get("token", config.access_token)


def test_a_driver_knows_its_environment_and_its_configuration() -> None:
    driver = make_driver(port=1)
    assert (driver.env, driver.config.port) == ("test", 1)


def test_registering_an_adapter_hands_it_driver_configuration_and_keywords(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver, adapter = make_driver(), type("Adapter", (WithSettings,), {})
    with caplog.at_level(logging.DEBUG):
        driver.register_adapter("echo", adapter, token="t")
    assert driver._adapters == {"echo": adapter}
    assert (adapter.driver, adapter.config, adapter.token) == (driver, driver.config, "t")
    assert 'Loaded adapter "echo"' in caplog.text


def test_registered_as_nonebot_does_it_names_the_driver_to_take_there() -> None:
    driver: Any = make_driver()
    with pytest.raises(TypeError, match=r"it is DRIVER=nbdriver\.nonebot, not DRIVER=nbdriver$"):
        driver.register_adapter(RecordingBot)


@pytest.mark.parametrize("adapter", [(), (None,), ("some",)])
def test_what_is_no_adapter_is_not_registered(adapter: tuple[Any, ...]) -> None:
    driver: Any = make_driver()
    with pytest.raises(TypeError, match=r"^expected an adapter for 'some', which is a class, got "):
        driver.register_adapter("some", *adapter)
    assert driver._adapters == {}


def test_an_adapter_may_have_two_names() -> None:
    driver, adapter = make_driver(), recording_bot()
    driver.register_adapter("one", adapter)
    driver.register_adapter("two", adapter)
    assert driver._adapters == {"one": adapter, "two": adapter}


def test_an_adapter_of_two_drivers_has_the_driver_and_the_settings_of_each() -> None:
    adapter = type("Adapter", (WithSettings,), {})
    drivers = [make_driver(access_token=f"token {number}") for number in range(3)]
    for driver in drivers:
        driver.register_adapter("echo", adapter)
    for number, driver in enumerate(drivers):
        own = driver._adapters["echo"]
        bot = own("http", "1")
        assert isinstance(bot, adapter)
        assert (bot.driver, bot.config, bot.token) == (driver, driver.config, f"token {number}")
        assert (own.__name__, own.__module__) == ("Adapter", adapter.__module__)
        assert own.__qualname__ == adapter.__qualname__
    assert drivers[0]._adapters["echo"] is adapter


def test_adapters_that_derive_from_one_another_can_serve_two_drivers() -> None:
    one, other, base = make_driver(), make_driver(), recording_bot()
    derived = type("Derived", (base,), {})
    one.register_adapter("base", base)
    other.register_adapter("derived", derived)
    assert (base.driver, derived.driver) == (one, other)


def test_the_decorators_of_hooks_give_the_function_back() -> None:
    driver = make_driver()

    def hook(bot: Bot) -> None: ...

    assert driver.on_bot_connect(hook) is hook
    assert driver.on_bot_disconnect(hook) is hook
    assert (driver._ws_connection_hook, driver._ws_disconnection_hook) == ({hook}, {hook})


async def test_a_connected_bot_is_known_and_its_hooks_run() -> None:
    driver, told = make_driver(), []
    driver.register_adapter("echo", recording_bot())
    driver.on_bot_connect(lambda bot: told.append(("connect", bot)))
    driver.on_bot_disconnect(lambda bot: told.append(("disconnect", bot)))
    bot = driver._adapters["echo"]("websocket", "1")
    driver._bot_connect(bot)
    assert driver.bots == {"1": bot}
    driver._bot_disconnect(bot)
    assert driver.bots == {}
    await driver._bot_hooks.join()
    assert told == [("connect", bot), ("disconnect", bot)]


async def test_a_bot_that_goes_takes_no_other_of_its_id_along() -> None:
    driver, gone = make_driver(), []
    driver.on_bot_disconnect(gone.append)
    adapter = recording_bot()
    old, new = adapter("websocket", "1"), adapter("websocket", "1")
    driver._bot_connect(new)
    driver._bot_disconnect(old)
    assert driver.bots == {"1": new}
    await driver._bot_hooks.join()
    assert gone == [old]


async def test_an_attribute_that_does_not_exist_is_an_api_call() -> None:
    bot = recording_bot()("http", "1")
    assert await bot.send_msg(message="hi") == {"api": "send_msg", "message": "hi"}
    assert await bot._private(a=1) == {"api": "_private", "a": 1}


def test_what_python_asks_for_on_its_own_account_is_no_api() -> None:
    bot = RecordingBot("http", "1")
    assert not hasattr(bot, "__length_hint__")
    assert copy.copy(bot).self_id == "1"
    assert pickle.loads(pickle.dumps(bot)).self_id == "1"
