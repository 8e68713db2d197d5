"""Where drivers differ, and so what changes for those who come from another.

Each row is a behaviour that a test holds all drivers to, the best that there is among them; the
test is expected to fail on a driver that stands in the row. So a row cannot be wrong for long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """What a test holds the drivers to, and what some do instead."""

    test: str
    what: str
    instead: Mapping[str, str]


SERVER = (
    Behaviour(
        "test_a_method_reaches_its_handler[OPTIONS]",
        "a handler for `OPTIONS` is called",
        {"~quart": "Quart answers `OPTIONS` by itself"},
    ),
    Behaviour(
        "test_json_is_read_whatever_the_content_type",
        "`request.json` is filled from any body that is JSON, whatever its content type",
        {"~quart": "`None` unless the content type is JSON's"},
    ),
    Behaviour(
        "test_json_is_read_without_a_content_type",
        "`request.json` is filled from any body that is JSON, without a content type too",
        {"~quart": "`None` unless the content type is JSON's"},
    ),
    Behaviour(
        "test_what_is_no_json_reaches_the_handler",
        "a body that is no JSON reaches the handler, with `request.json` `None`",
        {"~quart": "answers 400 or 500 itself where the content type is JSON's"},
    ),
    Behaviour(
        "test_of_a_field_that_repeats_the_last_one_is_kept",
        "of a form's field that repeats, `request.data` has the last value",
        {"~quart": "the first one"},
    ),
    Behaviour(
        "test_a_multipart_form_is_read",
        "files of a multipart form are in `request.files`",
        {
            "~fastapi": "they are Starlette's `UploadFile` objects in `request.data`; without"
            " python-multipart, which `nonebot2[fastapi]` does not install, no form is read"
        },
    ),
    Behaviour(
        "test_a_file_may_have_any_name",
        "files of a multipart form are in `request.files`, with their names in any script",
        {"~fastapi": "they stand in `request.data`"},
    ),
    Behaviour(
        "test_several_files_may_have_one_name",
        "several files may have one field's name",
        {
            "~fastapi": "they stand in `request.data`, the last one alone",
            "~quart": "the first one alone",
        },
    ),
    Behaviour(
        "test_the_content_of_a_multipart_form_is_kept",
        "`request.content` has the body of a multipart form too",
        {
            "~fastapi": "it has, but there are `UploadFile` objects in `request.data`",
            "~quart": "empty",
        },
    ),
    Behaviour(
        "test_a_broken_form_reaches_the_handler",
        "`request.content` has the body of a form that cannot be read",
        {"~quart": "empty"},
    ),
    Behaviour(
        "test_no_content_type_is_made_up",
        "an answer has the `Content-Type` that the handler gave, or none",
        {"~quart": "`text/html; charset=utf-8` where the handler gave none"},
    ),
    Behaviour(
        "test_each_set_cookie_is_sent",
        "each `Set-Cookie` of an answer is sent",
        {"~fastapi": "one of them alone", "~quart": "one of them alone"},
    ),
    Behaviour(
        "test_a_header_of_an_answer_may_repeat",
        "a header of an answer may repeat",
        {"~fastapi": "one of its lines alone", "~quart": "one of its lines alone"},
    ),
    Behaviour(
        "test_head_is_answered_where_get_is",
        "`HEAD` is answered wherever `GET` is",
        {"~fastapi": "405"},
    ),
    Behaviour(
        "test_the_methods_that_are_allowed_are_named",
        "`Allow` of a 405 names every method of the path",
        {"~fastapi": "that of the first route alone"},
    ),
    Behaviour(
        "test_a_slash_too_much_or_too_few_leads_to_the_handler[/page/]",
        "a path with a slash too many leads to the handler",
        {"~quart": "404"},
    ),
    Behaviour(
        "test_a_handler_goes_on_when_its_client_leaves",
        "a handler goes on when its client leaves",
        {"~quart": "it is cancelled"},
    ),
    Behaviour(
        "test_a_request_names_its_host",
        "a request without `Host` is answered 400 (RFC 9112, 3.2)",
        {"~fastapi": "it reaches the handler", "~quart": "it reaches the handler"},
    ),
    Behaviour(
        "test_a_body_that_is_too_big_is_refused_before_it_is_read",
        "a body of more than 16 MiB is answered 413",
        {"~fastapi": "there is no limit"},
    ),
    Behaviour(
        "test_a_receive_that_is_given_up_loses_nothing",
        "`asyncio.wait_for(websocket.receive(), ...)` may be given up and tried again",
        {"~quart": "the time-out is a `WebSocketClosed`"},
    ),
    Behaviour(
        "test_the_peers_code_is_what_a_receive_raises",
        "`WebSocketClosed` has the peer's code",
        {"~quart": "always 1000"},
    ),
    Behaviour(
        "test_the_peers_reason_is_what_a_receive_raises",
        "`WebSocketClosed` has the peer's reason",
        {"~fastapi": "none", "~quart": "none"},
    ),
    Behaviour(
        "test_a_close_without_a_code_is_1005",
        "`WebSocketClosed` has 1005 where the peer gave no code",
        {"~quart": "1000"},
    ),
    Behaviour(
        "test_a_lost_connection_is_1006",
        "`WebSocketClosed` has 1006 where the connection was lost",
        {"~fastapi": "1005", "~quart": "1000"},
    ),
    Behaviour(
        "test_what_came_before_the_end_is_received_before_it",
        "what came before the end of a WebSocket is received before it",
        {"~quart": "the handler is cancelled at the end"},
    ),
    Behaviour(
        "test_each_receive_after_the_end_raises_too",
        "each receive after the end of a WebSocket raises the same `WebSocketClosed`",
        {
            "~fastapi": "the second one raises Starlette's error",
            "~quart": "the second one waits for ever",
        },
    ),
    Behaviour(
        "test_to_send_after_the_end_is_websocket_closed",
        "sending after the end of a WebSocket raises `WebSocketClosed`",
        {"~fastapi": "an error of Starlette's or uvicorn's", "~quart": "an error of uvicorn's"},
    ),
    Behaviour(
        "test_it_is_not_closed_before",
        "`websocket.closed` is false while it is open",
        {"~quart": "always true"},
    ),
    Behaviour(
        "test_a_second_close_does_nothing",
        "a second `close` does nothing",
        {"~fastapi": "an error of Starlette's", "~quart": "an error"},
    ),
    Behaviour(
        "test_a_handler_that_returns_closes_with_1000",
        "a handler that returns closes its WebSocket with 1000",
        {"~fastapi": "the connection ends without a Close"},
    ),
    Behaviour(
        "test_a_handler_that_fails_closes_with_1011",
        "a handler that fails closes its WebSocket with 1011",
        {"~fastapi": "the connection ends without a Close", "~quart": "with 1000"},
    ),
    Behaviour(
        "test_a_close_before_accepting_tells_its_reason",
        "the 403 of a WebSocket that is closed before it is accepted has the reason in its body",
        {"~fastapi": "an empty body", "~quart": "an empty body"},
    ),
    Behaviour(
        "test_to_accept_twice_is_an_error",
        "to accept a WebSocket twice is an error",
        {"~quart": "the second time does nothing"},
    ),
    Behaviour(
        "test_nothing_is_received_or_sent_before_accepting",
        "to receive or send before accepting is an error",
        {"~quart": "`receive` waits, and `send` accepts"},
    ),
    Behaviour(
        "test_an_unknown_path_is_404",
        "a WebSocket on an unknown path is answered 404",
        {"~fastapi": "403"},
    ),
    Behaviour(
        "test_a_plain_request_is_told_to_upgrade",
        "a plain request on the path of a WebSocket is answered 426 (RFC 9110, 15.5.22)",
        {"~fastapi": "404", "~quart": "400"},
    ),
    Behaviour(
        "test_a_handler_is_not_disturbed_when_its_peer_leaves",
        "a handler is not disturbed when its peer leaves: the next receive tells it",
        {"~quart": "it is cancelled"},
    ),
    Behaviour(
        "test_at_the_stop_websockets_are_closed_with_1001",
        "at the stop WebSockets are closed with 1001 (going away)",
        {"~fastapi": "1012 (service restart)", "~quart": "1012 (service restart)"},
    ),
    Behaviour(
        "test_sigterm_is_a_clean_exit",
        "the exit code is 0 after SIGTERM",
        {"~fastapi": "it dies of the signal", "~quart": "it dies of the signal"},
    ),
)
"""Of what a server does."""

HTTP_CLIENT: tuple[Behaviour, ...] = ()
"""Of what an HTTP client does."""

WEBSOCKET_CLIENT: tuple[Behaviour, ...] = ()
"""Of what a WebSocket client does."""

BEHAVIOURS = (*SERVER, *HTTP_CLIENT, *WEBSOCKET_CLIENT)
