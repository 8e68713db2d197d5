"""What the errors say and are: they are read by people, and caught by their kind."""

from __future__ import annotations

import pytest

from nbdriver.errors import ConnectError, DriverError, NetworkError, NetworkTimeout, WebSocketClosed


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WebSocketClosed(1000), "the WebSocket is closed: 1000"),
        (WebSocketClosed(4000, "bye"), "the WebSocket is closed: 4000: bye"),
    ],
)
def test_a_closed_websocket_says_what_is_closed_and_with_which_code(
    error: WebSocketClosed, said: str
) -> None:
    assert str(error) == said


@pytest.mark.parametrize("error", [ConnectError("no way"), NetworkTimeout("read", 1.0, "for it")])
def test_where_there_is_no_connection_or_no_time_whoever_catches_os_errors_has_it(
    error: NetworkError,
) -> None:
    assert isinstance(error, OSError)
    assert isinstance(error, DriverError)


def test_a_connect_error_says_its_words_as_an_os_error_too() -> None:
    error = ConnectError("expected a connection to a:1, got none")
    assert str(error) == "expected a connection to a:1, got none"
    assert error.errno is None
