"""Where drivers differ, and so what changes for those who come from another.

`differences.py --write-docs` puts them into docs/nonebot.md.

Each row is a behaviour that a test holds all drivers to, the best that there is among them; the
test is expected to fail on a driver that stands in the row. So a row cannot be wrong for long.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OURS = "nbdriver.nonebot"
PAGE = Path(__file__).parents[2] / "docs" / "nonebot.md"
BLOCK = re.compile(r"(<!-- differences: [^\n]*-->\n).*?(<!-- end -->\n)", re.DOTALL)


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
    Behaviour(
        "test_after_a_failed_start_the_shutdown_hooks_run",
        "after a start-up hook that failed the shut-down hooks run",
        {"~fastapi": "they do not", "~quart": "they do not"},
    ),
    Behaviour(
        "test_after_a_task_that_fails_others_can_be_started",
        "after a task of `driver.task_group` that failed others can be started, and bots connect",
        {"~fastapi": "no more of them", "~quart": "no more of them"},
    ),
    Behaviour(
        "test_compression_is_agreed_on_if_it_is_asked_for",
        "a server compresses the messages of a WebSocket if the client asks for it",
        {OURS: "only with `NBDRIVER_DEFLATE=true`, since it takes time"},
    ),
)
"""Of what a server does."""

HTTP_CLIENT = (
    Behaviour(
        "test_a_parameter_may_be_without_a_value",
        "a parameter without a value stays without (`?a`)",
        {"~httpx": "`?a=` is sent"},
    ),
    Behaviour(
        "test_a_sessions_parameters_may_repeat",
        "a session's parameters may repeat",
        {"~aiohttp": "one of each name"},
    ),
    Behaviour(
        "test_parameters_that_repeat_are_kept_beside_the_sessions",
        "a request's parameters may repeat in a session that has its own",
        {"~aiohttp": "one of each name"},
    ),
    Behaviour(
        "test_a_session_keeps_the_cookies_of_an_address",
        "a session keeps the cookies of a server that is called by its address",
        {"~aiohttp": "none"},
    ),
    Behaviour(
        "test_a_cookie_of_another_host_is_not_sent",
        "a cookie with a domain is sent there alone",
        {"~aiohttp": "it is sent to every host"},
    ),
    Behaviour(
        "test_the_type_of_a_file_is_guessed_from_its_name",
        "a file's type is guessed from its name where none is given",
        {"~aiohttp": "`application/octet-stream`"},
    ),
    Behaviour(
        "test_a_files_name_breaks_no_form[line end]",
        "a line end in a file's name is sent as `%0D%0A`",
        {"~aiohttp": "`ValueError`"},
    ),
    Behaviour(
        "test_a_files_type_breaks_no_form[LF]",
        "a line end in a file's type is an error",
        {"~httpx": "a line feed is sent, and what is behind it becomes content (CVE-2026-34514)"},
    ),
    Behaviour(
        "test_a_broken_answer_is_an_error[half a gzip]",
        "a compressed answer that is cut off is an error",
        {"~httpx": "it is taken for whole", "~aiohttp": "it is taken for whole"},
    ),
    Behaviour(
        "test_a_broken_answer_is_an_error[both framings]",
        "an answer with both `Content-Length` and `Transfer-Encoding` is an error",
        {"~httpx": "the length is passed over"},
    ),
    Behaviour(
        "test_a_redirect_is_followed_by_its_rules[302-PUT-PUT]",
        "a 302 leaves methods other than POST as they are",
        {"~httpx": "they become GET"},
    ),
    Behaviour(
        "test_what_was_said_of_content_that_is_dropped_is_dropped",
        "where a redirect drops the content, its `Content-Type` goes with it",
        {"~httpx": "it is sent"},
    ),
    Behaviour(
        "test_redirects_are_followed[10]",
        "20 redirects are followed",
        {"~aiohttp": "9"},
    ),
    Behaviour(
        "test_redirects_are_followed[20]",
        "20 redirects are followed, and no more",
        {"~aiohttp": "9"},
    ),
    Behaviour(
        "test_an_answer_that_does_not_come_is_not_waited_for[read]",
        "`Timeout(read=...)` alone limits each wait for an answer",
        {"~httpx": "`ValueError`"},
    ),
    Behaviour(
        "test_a_connection_that_does_not_come_is_not_waited_for[connect]",
        "`Timeout(connect=...)` alone limits the wait for a connection",
        {"~httpx": "`ValueError`"},
    ),
    Behaviour(
        "test_each_limit_is_of_what_it_says",
        "each field of `Timeout` may be given alone",
        {"~httpx": "`ValueError` where `total` is not given"},
    ),
    Behaviour(
        "test_what_is_not_given_is_the_default",
        "the fields of `Timeout` that are not given are those of `DEFAULT_TIMEOUT`",
        {"~httpx": "`ValueError` where `total` is not given"},
    ),
    Behaviour(
        "test_a_sessions_limits_are_those_of_its_requests[read]",
        "a session's `Timeout(read=...)` holds for its requests",
        {"~httpx": "`ValueError`"},
    ),
    Behaviour(
        "test_a_requests_limits_beat_the_sessions[read]",
        "a request's `Timeout(read=...)` beats the session's limits",
        {"~httpx": "`ValueError`"},
    ),
    Behaviour(
        "test_a_requests_limits_beat_the_sessions[no read]",
        "a request's `Timeout(read=None)` beats the session's limits",
        {"~httpx": "`ValueError`"},
    ),
    Behaviour(
        "test_what_a_request_does_not_say_is_the_sessions",
        "what a request's `Timeout` does not give is the session's",
        {"~httpx": "`ValueError`", "~aiohttp": "there is no limit then"},
    ),
    Behaviour(
        "test_the_total_is_of_all_pieces",
        "`Timeout.total` is for all of a request",
        {"~httpx": "a quarter of it is for each step"},
    ),
    Behaviour(
        "test_the_total_is_of_all_redirects",
        "`Timeout.total` is for all redirects together",
        {"~httpx": "a quarter of it is for each step"},
    ),
    Behaviour(
        "test_a_time_out_is_a_timeout_error",
        "a time-out is a `TimeoutError`",
        {"~httpx": "httpx's own"},
    ),
    Behaviour(
        "test_0_is_over_at_once",
        "a limit of 0 is over at once",
        {"~aiohttp": "there is no limit then"},
    ),
    Behaviour(
        "test_a_requests_proxy_beats_the_sessions",
        "a request's proxy beats the session's",
        {"~httpx": "it is passed over"},
    ),
    Behaviour(
        "test_a_header_value_beyond_ascii_is_sent",
        "a header's value may have any text, which is sent as UTF-8",
        {"~httpx": "`UnicodeEncodeError`"},
    ),
    Behaviour(
        "test_blanks_around_a_headers_value_are_no_part_of_it",
        'blanks around a header\'s value are left out, as in `f"Bearer {token}"` without a token',
        {"~httpx": "`LocalProtocolError`"},
    ),
    Behaviour(
        "test_a_session_can_speak_http_1_0",
        "a session may speak HTTP/1.0",
        {"~httpx": "it speaks 1.1", OURS: "it speaks 1.1"},
    ),
    Behaviour(
        "test_a_session_of_http_2_is_answered",
        "a session may speak HTTP/2",
        {
            "~aiohttp": "`RuntimeError`",
            OURS: "`RuntimeError`; a plain request speaks 1.1, as with `~aiohttp`",
        },
    ),
)
"""Of what an HTTP client does."""

WEBSOCKET_CLIENT = (
    Behaviour(
        "test_messages_have_any_size[4000000]",
        "a message may have 16 MiB",
        {"~websockets": "1 MiB, then it closes with 1009"},
    ),
    Behaviour(
        "test_pings_are_answered_while_nobody_receives",
        "a ping is answered while nobody receives",
        {"~aiohttp": "only during a receive"},
    ),
    Behaviour(
        "test_a_header_may_repeat",
        "a header of the handshake may repeat",
        {"~websockets": "one of its lines alone"},
    ),
    Behaviour(
        "test_cookies_are_sent",
        "a request's cookies are sent with the handshake",
        {"~aiohttp": "none"},
    ),
    Behaviour(
        "test_a_subprotocol_is_asked_for_in_a_header",
        "a subprotocol may be asked for in `Sec-WebSocket-Protocol`",
        {"~websockets": "an error when the server agrees"},
    ),
    Behaviour(
        "test_it_goes_through_its_proxy_by_connect",
        "a WebSocket goes through an HTTP proxy by CONNECT (RFC 6455, 4.1)",
        {"~aiohttp": "by `GET ws://...`, except for `wss`"},
    ),
    Behaviour(
        "test_the_servers_reason_is_what_a_receive_raises",
        "`WebSocketClosed` has the server's reason",
        {"~aiohttp": "none"},
    ),
    Behaviour(
        "test_leaving_the_block_by_an_error_closes_with_1011",
        "leaving the block by an error closes with 1011",
        {"~aiohttp": "with 1000"},
    ),
    Behaviour(
        "test_to_send_after_the_end_is_websocket_closed",
        "sending after the end raises `WebSocketClosed`",
        {"~websockets": "websockets' own error", "~aiohttp": "aiohttp's own error"},
    ),
    Behaviour(
        "test_what_breaks_the_protocol_ends_it",
        "a frame that breaks the protocol ends the WebSocket with `WebSocketClosed`",
        {"~aiohttp": "`TypeError`"},
    ),
    Behaviour(
        "test_a_handshake_that_is_not_answered_is_given_up",
        "`Timeout.connect` is for the handshake too",
        {"~aiohttp": "it waits"},
    ),
    Behaviour(
        "test_a_number_is_no_limit_to_receive",
        "a number, or no `timeout` at all, does not limit how long a receive waits",
        {"~aiohttp": "it does: after 30 s without a message by default"},
    ),
    Behaviour(
        "test_a_limit_to_read_is_one_to_receive",
        "`Timeout(read=...)` limits how long a receive waits",
        {"~websockets": "it does not"},
    ),
    Behaviour(
        "test_a_close_without_a_code_is_1005",
        "`WebSocketClosed` has 1005 where the server gave no code",
        {"~aiohttp": "1006"},
    ),
)
"""Of what a WebSocket client does."""

BEHAVIOURS: Mapping[str, tuple[Behaviour, ...]] = {
    "server_driver": SERVER,
    "http_driver": HTTP_CLIENT,
    "websocket_driver": WEBSOCKET_CLIENT,
}
"""By the fixture that gives a test the name of its driver."""

TITLES = {
    "server_driver": "Server",
    "http_driver": "HTTP client",
    "websocket_driver": "WebSocket client",
}


def as_markdown() -> str:
    """The differences as tables, first those in which ours is the one that does less."""
    lacks = [(row.what, (row.instead[OURS],)) for row in _all() if OURS in row.instead]
    parts = [_table("other drivers", ["here"], lacks)]
    for fixture, rows in BEHAVIOURS.items():
        better = [row for row in rows if OURS not in row.instead]
        drivers = sorted({driver for row in better for driver in row.instead})
        cells = [(row.what, tuple(row.instead.get(each, "") for each in drivers)) for row in better]
        names = [f"`{driver}`" for driver in drivers]
        parts.append(f"### {TITLES[fixture]}\n\n{_table('here', names, cells)}")
    return "\n".join(parts)


def _all() -> Iterator[Behaviour]:
    return (row for rows in BEHAVIOURS.values() for row in rows)


def _table(first: str, others: list[str], rows: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    lines = [(first, *others), ("---",) * (1 + len(others)), *((what, *row) for what, row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("|  |", "| |")


def with_tables(page: str) -> str:
    """The page with the tables in their place."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{as_markdown()}\n{match[2]}", page)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write-docs"]:
        sys.exit("expected --write-docs")
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
