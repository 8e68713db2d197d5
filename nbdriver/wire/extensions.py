"""Agreeing on permessage-deflate in the opening handshake (RFC 6455, 9; RFC 7692, 5 and 7.1).

wsproto reads parameters so loosely that `client_max_window_bits=abc` ends in a ValueError. Here
`negotiate` is the server's half of the agreement, `offer` and `accept` are the client's; what both
end up with is a `deflate.PerMessageDeflate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import HTTPError, ProtocolViolation
from .closing import PROTOCOL_ERROR
from .deflate import MAX_WINDOW_BITS, NAME, DeflateSettings, PerMessageDeflate, Window
from .grammar import TOKEN, TOKEN_CHARACTER, quote

__all__ = ["accept", "negotiate", "offer"]


def negotiate(
    header_values: Iterable[str], settings: DeflateSettings
) -> tuple[PerMessageDeflate, str] | None:
    """A server's choice among a client's offers: the first that can be accepted (RFC 7692, 5.1).

    `header_values` are the values of every Sec-WebSocket-Extensions line of the request. Returns
    the extension and the value of that header in the response, or None where nothing is offered or
    all is declined: an unknown, doubled or impossible parameter declines its offer (7). Raises
    HTTPError 400 for a value outside the grammar (RFC 6455, 9.1).
    """
    try:
        extensions = _parse(header_values)
    except ValueError as error:
        raise HTTPError(400, str(error)) from None
    for name, parameters in extensions:
        if name == NAME:
            try:
                return _agree(_read(parameters, is_offer=True), settings)
            except ValueError:
                continue
    return None


def _agree(offered: dict[str, int], settings: DeflateSettings) -> tuple[PerMessageDeflate, str]:
    """RFC 7692, 7.1: what was asked for is granted, and what we want ourselves is added."""
    server = Window(
        min(settings.server_max_window_bits, offered.get("server_max_window_bits", 15)),
        not (settings.server_no_context_takeover or "server_no_context_takeover" in offered),
    )
    client = Window(
        # 7.1.2.2: a client that does not offer it cannot be told to keep to a smaller window.
        min(settings.client_max_window_bits, offered["client_max_window_bits"])
        if "client_max_window_bits" in offered
        else MAX_WINDOW_BITS,
        not (settings.client_no_context_takeover or "client_no_context_takeover" in offered),
    )
    response = [NAME]
    if not server.takeover:
        response.append("server_no_context_takeover")
    if not client.takeover:
        response.append("client_no_context_takeover")
    # 7.1.2.1: an offer that has it is accepted by naming it, 15 included.
    if server.bits < MAX_WINDOW_BITS or "server_max_window_bits" in offered:
        response.append(f"server_max_window_bits={server.bits}")
    if client.bits < MAX_WINDOW_BITS:
        response.append(f"client_max_window_bits={client.bits}")
    return PerMessageDeflate(server, client, settings), "; ".join(response)


def offer(settings: DeflateSettings) -> str:
    """A client's offer: the value of Sec-WebSocket-Extensions in its request (RFC 7692, 7.1)."""
    bits = settings.client_max_window_bits
    # 7.1.2.2: without a value it says that the server may choose one; with one, also ours.
    parameters = [NAME, f"client_max_window_bits={bits}" if bits < 15 else "client_max_window_bits"]
    if settings.server_max_window_bits < MAX_WINDOW_BITS:
        parameters.append(f"server_max_window_bits={settings.server_max_window_bits}")
    if settings.client_no_context_takeover:
        parameters.append("client_no_context_takeover")
    if settings.server_no_context_takeover:
        parameters.append("server_no_context_takeover")
    return "; ".join(parameters)


def accept(response: str, settings: DeflateSettings) -> PerMessageDeflate:
    """What a server's answer to `offer(settings)` makes of it.

    `response` is the value of Sec-WebSocket-Extensions. A server that overlooks our wish for a
    smaller window, or for none between messages, is taken as it is: we can inflate either way.
    Raises ProtocolViolation for an answer that was not offered, or that is none (RFC 7692, 7).
    """
    try:
        extensions = _parse([response])
        if [name for name, _ in extensions] != [NAME]:
            raise ValueError(f"expected {NAME} as the one extension, got {quote(response)}")
        answered = _read(extensions[0][1], is_offer=False)
        server_bits = answered.get("server_max_window_bits")
        if server_bits is not None and server_bits > settings.server_max_window_bits:
            raise ValueError(
                f"expected server_max_window_bits of at most {settings.server_max_window_bits},"
                f" as offered, got {server_bits}"
            )
    except ValueError as error:
        raise ProtocolViolation(PROTOCOL_ERROR, str(error)) from None
    client = Window(
        min(settings.client_max_window_bits, answered.get("client_max_window_bits", 15)),
        not (settings.client_no_context_takeover or "client_no_context_takeover" in answered),
    )
    server = Window(server_bits or MAX_WINDOW_BITS, "server_no_context_takeover" not in answered)
    return PerMessageDeflate(client, server, settings)


# RFC 6455, 9.1: a list of extension-token *( ";" token [ "=" ( token | quoted-string ) ] ), where
# a quoted value has to be a token once its quotes and backslashes are gone.
_VALUE = rf'(?:{TOKEN}|"(?:\\?{TOKEN_CHARACTER})++")'
_PARAMETER = re.compile(rf"[ \t]*+;[ \t]*+({TOKEN})(?:[ \t]*+=[ \t]*+({_VALUE}))?+")
_EXTENSION = re.compile(rf"({TOKEN})((?:{_PARAMETER.pattern})*+)[ \t]*+(?:,[ \t,]*+|\Z)")

_FLAGS = frozenset(["server_no_context_takeover", "client_no_context_takeover"])
_SIZES = frozenset(["server_max_window_bits", "client_max_window_bits"])
# RFC 7692, 7.1.2: a decimal number without leading zeroes.
_BITS = {str(bits): bits for bits in range(8, MAX_WINDOW_BITS + 1)}


def _parse(header_values: Iterable[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each extension with its parameters; one without a value has "" in its place.

    Raises ValueError for what is no list of extensions.
    """
    text = ", ".join(header_values).strip(" \t,")
    extensions = []
    position = 0
    while position < len(text):
        match = _EXTENSION.match(text, position)
        if match is None:
            raise ValueError(
                'expected "name; parameter=value, ..." as Sec-WebSocket-Extensions (RFC 6455, 9.1),'
                f" got {quote(text[position:])}"
            )
        parameters = [found.group(1, 2) for found in _PARAMETER.finditer(match[2])]
        extensions.append((match[1], [(name, value or "") for name, value in parameters]))
        position = match.end()
    return extensions


def _read(parameters: list[tuple[str, str]], *, is_offer: bool) -> dict[str, int]:
    """The parameters of permessage-deflate, flags as 1 (RFC 7692, 7.1).

    Raises ValueError for one that is unknown, doubled, or has a value that it cannot have.
    """
    read: dict[str, int] = {}
    for name, value in parameters:
        if name in read:
            raise ValueError(f"expected {name} once, got it again")
        if name in _FLAGS:
            if value:
                raise ValueError(f"expected {name} without a value, got {quote(value)}")
            read[name] = 1
        elif name in _SIZES:
            read[name] = _read_bits(name, value, is_offer=is_offer)
        else:
            raise ValueError(f"expected a parameter of {NAME}, got {quote(name)}")
    return read


def _read_bits(name: str, value: str, *, is_offer: bool) -> int:
    if is_offer and name == "client_max_window_bits" and not value:
        # 7.1.2.2: in an offer it may stand alone, and asks for nothing.
        return MAX_WINDOW_BITS
    bits = _BITS.get(value.replace("\\", "").strip('"'))
    if bits is None:
        raise ValueError(f"expected a number from 8 to 15 as {name}, got {quote(value)}")
    return bits
