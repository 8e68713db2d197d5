"""What the drivers of both contracts have in common; the ends of a run are in `test_driver.py`."""

from __future__ import annotations

from typing import Any

import pytest
from support.apps import App

from nbdriver import Config, abc
from nbdriver.errors import ConfigError
from nbdriver.net.server import Server
from nbdriver.serving import Serving


class Driver(Serving):
    """As little of a driver as can be served; keeps what depends on its settings."""

    def __init__(self, **config: Any) -> None:
        self.config = Config(**config)
        self._application: abc.Application = App()
        self.ports: list[int] = []
        self._configure(None, None, {})

    def _configured(self) -> None:
        self.ports.append(self._server_config.port)


def test_the_settings_are_the_configurations_until_others_are_given() -> None:
    driver = Driver(host="127.0.0.1", port=8123)
    driver.serve(port=8124)
    driver.serve()
    assert driver.ports == [8123, 8124, 8123]


async def test_what_is_given_beats_the_configuration() -> None:
    driver = Driver(host="127.0.0.1", port=1, nbdriver_max_body="1KiB")
    async with driver.serve(port=0, max_body="2KiB") as server:
        assert isinstance(server, Server)
        assert server.addresses[0][0] == "127.0.0.1"
        assert driver._server_config.max_body == 2_048


def test_what_cannot_be_used_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match="max_body"):
        Driver().serve(max_body="much")
    with pytest.raises(ConfigError, match="did you mean max_body"):
        Driver().serve(mux_body=1)


def test_without_anything_that_depends_on_the_settings_they_are_just_kept() -> None:
    class Bare(Driver):
        _configured = Serving._configured

    assert Bare(port=8125)._server_config.port == 8125
