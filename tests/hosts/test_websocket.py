"""Reverse WebSocket inside NoneBot: the same on our driver and on NoneBot's own."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hosts.clients import connected, text_of
from hosts.hosting import TOKEN, BotProcess
from websockets.exceptions import InvalidStatus

LONG = "长" * 23_500


@pytest.mark.parametrize("text", ["你好，世界", LONG], ids=["chinese", "70 kB"])
def test_an_event_is_echoed_over_the_same_socket(bot: BotProcess, self_id: str, text: str) -> None:
    with connected(bot, self_id) as platform:
        platform.report(f"/echo {text}")
        assert text_of(platform.next_call()) == text


def test_an_api_call_and_its_result_cross_the_same_socket(bot: BotProcess, self_id: str) -> None:
    with connected(bot, self_id) as platform:
        platform.report("/whoami")
        assert platform.next_call() == ("get_login_info", {})
        assert text_of(platform.next_call()) == "我是小明"


def test_events_that_come_together_are_each_answered(bot: BotProcess, self_id: str) -> None:
    with connected(bot, self_id) as platform:
        for number in range(50):
            platform.report(f"/echo {number}")
        texts = {text_of(platform.next_call()) for _ in range(50)}
    assert texts == {str(number) for number in range(50)}


@pytest.mark.parametrize("path", ["/cqhttp/ws", "/cqhttp/ws/"])
def test_a_slash_at_the_end_makes_no_difference(bot: BotProcess, self_id: str, path: str) -> None:
    with connected(bot, self_id, path) as platform:
        platform.report("/echo /")
        assert text_of(platform.next_call()) == "/"


def test_the_hooks_run_when_a_bot_connects_and_when_it_has_gone(
    bot: BotProcess, self_id: str
) -> None:
    with connected(bot, self_id):
        # The hook sees a bot of the adapter's type, which is in NoneBot's list by then.
        assert bot.says(f"MARK connect {self_id} ").endswith("cqhttp True")
        assert f"MARK disconnect {self_id} " not in bot.output
    assert bot.says(f"MARK disconnect {self_id} ").endswith("False")


def test_a_bot_that_has_gone_may_come_again(bot: BotProcess, self_id: str) -> None:
    with connected(bot, self_id):
        pass
    bot.says(f"MARK disconnect {self_id} ")
    with connected(bot, self_id) as platform:
        platform.report("/echo again")
        assert text_of(platform.next_call()) == "again"


class Case(NamedTuple):
    """A handshake, and the status and reason of our refusal. FastAPI's is always a bare 403."""

    headers: dict[str, str]
    status: int
    reason: str
    path: str = "/cqhttp/ws"


REFUSED = {
    "no token": Case({"Authorization": ""}, 403, "Missing Authorization Header"),
    "a wrong token": Case({"Authorization": "Bearer no"}, 403, "Authorization Header is invalid"),
    "another scheme": Case({"Authorization": f"Basic {TOKEN}"}, 401, "Not authenticated"),
    "no id": Case({"X-Self-ID": ""}, 400, "Missing X-Self-ID Header"),
    "an unknown adapter": Case({}, 404, "expected the path of an adapter", "/nobody/ws"),
    "the path of events": Case({}, 405, "expected POST", "/cqhttp/"),
    "half of the connection": Case({"X-Client-Role": "Event"}, 400, "X-Client-Role: Universal"),
}


def assert_refused(bot: BotProcess, caught: InvalidStatus, status: int, reason: str) -> None:
    response = caught.response
    if bot.host.name == "fastapi":
        assert (response.status_code, response.body) == (403, b"")
    else:
        assert response.status_code == status
        assert reason in response.reason_phrase
        assert response.body is not None
        assert reason in response.body.decode()


#: OneBot's split connections: FastAPI takes the first, and refuses the second as a double.
FASTAPI_TAKES = {"half of the connection"}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_connection_is_told_why_in_plain_http(
    bot: BotProcess, self_id: str, name: str
) -> None:
    case = REFUSED[name]
    if bot.host.name == "fastapi" and name in FASTAPI_TAKES:
        with connected(bot, self_id, case.path, case.headers):
            return
    with (
        pytest.raises(InvalidStatus) as caught,
        connected(bot, self_id, case.path, case.headers),
    ):
        pass
    assert_refused(bot, caught.value, case.status, case.reason)


def test_a_second_connection_is_refused_while_the_first_one_lives(
    bot: BotProcess, self_id: str
) -> None:
    with connected(bot, self_id) as first:
        with pytest.raises(InvalidStatus) as caught, connected(bot, self_id):
            pass
        assert_refused(bot, caught.value, 409, "that connection is alive")
        first.report("/echo still here")
        assert text_of(first.next_call()) == "still here"


@pytest.mark.parametrize("message", ["{", "[1]", '"text"', ""], ids=["cut", "list", "text", "nil"])
def test_a_message_that_is_no_json_object_is_logged_and_skipped(
    bot: BotProcess, self_id: str, message: str
) -> None:
    with connected(bot, self_id) as platform:
        platform.connection.send(message)
        platform.report("/echo on")
        assert text_of(platform.next_call()) == "on"
    ours = f"bot {self_id}: a message is ignored, expected a JSON object, got "
    bot.says({"nbdriver": ours, "fastapi": "Received an invalid json message."}[bot.host.name])


def test_a_binary_message_is_logged_and_skipped_by_us(our_bot: BotProcess, self_id: str) -> None:
    with connected(our_bot, self_id) as platform:
        platform.connection.send(b"{}")
        platform.report("/echo on")
        assert text_of(platform.next_call()) == "on"
    our_bot.says(f"bot {self_id}: a binary message is ignored")
