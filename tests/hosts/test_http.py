"""Events that come by HTTP POST, inside NoneBot: the same on our driver and on NoneBot's own."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hosts.clients import message_event, post, text_of
from hosts.hosting import TOKEN, BotProcess, PlatformAPI

LONG = "长" * 23_500


@pytest.mark.parametrize("text", ["你好，世界", LONG], ids=["chinese", "70 kB"])
def test_a_posted_text_is_repeated_through_the_api_root(
    bot: BotProcess, platform: PlatformAPI, self_id: str, text: str
) -> None:
    event = message_event(self_id, f"/repeat {text}")
    answer = post(bot, "/cqhttp/", event, {"X-Self-ID": self_id})
    assert (answer.status_code, answer.content) == (204, b"")
    assert text_of(platform.next_call(self_id)) == text


def test_a_posted_event_makes_an_api_call_whose_result_is_used(
    bot: BotProcess, platform: PlatformAPI, self_id: str
) -> None:
    answer = post(bot, "/cqhttp/", message_event(self_id, "/whoami"), {"X-Self-ID": self_id})
    assert answer.status_code == 204
    assert platform.next_call(self_id) == ("get_login_info", {})
    assert text_of(platform.next_call(self_id)) == "我是小明"


def test_a_post_makes_no_bot_known_and_runs_no_hook(
    bot: BotProcess, platform: PlatformAPI, self_id: str
) -> None:
    post(bot, "/cqhttp/", message_event(self_id, "/repeat 1"), {"X-Self-ID": self_id})
    assert text_of(platform.next_call(self_id)) == "1"
    assert f"connect {self_id}" not in bot.output


class Case(NamedTuple):
    """A request, and what each driver answers: the status, and what stands in the body."""

    content: Any
    headers: dict[str, str]
    nbdriver: tuple[int, str]
    fastapi: tuple[int, str]
    path: str = "/cqhttp/"
    method: str = "POST"


NO_TOKEN = (403, "Missing Authorization Header")
WRONG_TOKEN = (403, "Authorization Header is invalid")
NO_SCHEME = (401, "Not authenticated")
NO_ID = (400, "Missing X-Self-ID Header")
REFUSED = {
    # An adapter's refusal: the same status and reason, in FastAPI's case within JSON.
    "no token": Case({}, {"Authorization": ""}, NO_TOKEN, NO_TOKEN),
    "a wrong token": Case({}, {"Authorization": "Bearer wrong"}, WRONG_TOKEN, WRONG_TOKEN),
    "another scheme": Case({}, {"Authorization": f"Basic {TOKEN}"}, NO_SCHEME, NO_SCHEME),
    "no id": Case({}, {"X-Self-ID": ""}, NO_ID, NO_ID),
    "an unknown adapter": Case(
        {}, {}, (404, "expected the path of an adapter"), (404, "adapter not found"), "/nobody/"
    ),
    # FastAPI calls a body that it cannot use 'unprocessable'.
    "what is no JSON": Case("{", {}, (400, "expected a JSON object"), (422, "property name")),
    "a list": Case([1], {}, (400, "a JSON object, got a list"), (422, "not a valid dict")),
    "a string": Case('"1"', {}, (400, "a JSON object, got a string"), (422, "not a valid dict")),
    "nothing": Case("", {}, (400, "the text is empty"), (422, "field required")),
    # FastAPI tells no Allow with its 405, and finds no WebSocket path for a plain request.
    "GET": Case("", {}, (405, "expected POST, got GET"), (405, "Method Not"), method="GET"),
    "PUT": Case({}, {}, (405, "expected POST, got PUT"), (405, "Method Not"), method="PUT"),
    "GET of a WebSocket": Case(
        "", {}, (426, "expected a WebSocket"), (404, "Not Found"), "/cqhttp/ws", "GET"
    ),
    "POST to a WebSocket": Case(
        {}, {}, (405, "expected a WebSocket"), (404, "Not Found"), "/cqhttp/ws"
    ),
    "another path": Case({}, {}, (404, "expected the path"), (404, "Not Found"), "/cqhttp/a/b"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_refused_request_gets_the_answer_of_its_driver(
    bot: BotProcess, self_id: str, case: Case
) -> None:
    headers = {"X-Self-ID": self_id} | case.headers
    answer = post(bot, case.path, case.content, headers, case.method)
    status, text = getattr(case, bot.host.name)
    assert answer.status_code == status
    assert text in answer.text


def test_our_refusal_tells_the_reason_on_one_line_of_text(our_bot: BotProcess) -> None:
    answer = post(our_bot, "/cqhttp/", {}, {})
    assert (answer.status_code, answer.reason_phrase) == NO_ID
    assert answer.text == f"{NO_ID[1]}\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(("method", "path"), [("GET", "/cqhttp/"), ("POST", "/cqhttp/ws")])
def test_our_405_says_what_is_allowed(our_bot: BotProcess, method: str, path: str) -> None:
    answer = post(our_bot, path, "", {"X-Self-ID": "1"}, method)
    assert answer.headers["allow"] == {"GET": "POST", "POST": "GET"}[method]


#: Where FastAPI sends a client on instead of taking the event.
REDIRECTS = {"/cqhttp": "/cqhttp/", "/cqhttp/http/": "/cqhttp/http"}


@pytest.mark.parametrize("path", ["/cqhttp", "/cqhttp/", "/cqhttp/http", "/cqhttp/http/"])
def test_a_slash_at_the_end_makes_no_difference_to_us(
    bot: BotProcess, platform: PlatformAPI, self_id: str, path: str
) -> None:
    answer = post(bot, path, message_event(self_id, "/repeat /"), {"X-Self-ID": self_id})
    if bot.host.name == "fastapi" and path in REDIRECTS:
        assert answer.status_code == 307
        assert answer.headers["location"] == f"http://{bot.base}{REDIRECTS[path]}"
    else:
        assert answer.status_code == 204
        assert text_of(platform.next_call(self_id)) == "/"
