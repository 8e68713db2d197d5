"""What a URL means to a client: where to connect, what to ask for, and as whom; pure.

The standard library's `urlsplit` takes line ends and tabs out of what it is given, and `urljoin`
has rules of its own for some references, so text is taken apart here by RFC 3986 itself (appendix
B, and 5.2 for references). What two programs could read as two different hosts is refused.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from encodings.idna import nameprep
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, unquote_plus

from ..errors import InvalidURL
from ..wire import grammar

__all__ = ["URL", "Origin", "Params", "Scalar", "items_of", "pairs_of", "text_of"]

Scalar = str | int | float | None
"""One value of a parameter. A bool is written as JSON does; None leaves the parameter out."""

Params = str | Mapping[str, Scalar | Sequence[Scalar]] | Iterable[tuple[str, Scalar]]
"""Parameters of a query or a form: pairs, a mapping (whose lists repeat a name), or a query."""

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_BENEATH: Final = {"ws": "http", "wss": "https"}

# RFC 3986, appendix B.
_PARTS: Final = re.compile(
    r"(?:(?P<scheme>[^:/?#]+):)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_AUTHORITY: Final = re.compile(
    r"(?:(?P<userinfo>[^@\[\]\\\s]*)@)?(?P<host>\[[^\[\]@]*\]|[^:@\[\]\\\s]*)(?::(?P<port>[0-9]*))?"
)
#: Scheme, credentials, host and the rest of whatever was given as a URL.
_ROUGHLY: Final = re.compile(r"([^/?#@]*//)?(.*@)?([^/?#\\]*)(.*)", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
# RFC 3986, 3.3 and 3.4: pchar, "/" and "?"; letters, digits and "_.-~" are always safe to `quote`.
_IN_PATH: Final = "/:@!$&'()*+,;=%"
_IN_QUERY: Final = _IN_PATH + "?"
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

# RFC 1123, 2.1, and underscores, which names of services have.
_LABEL: Final = r"[A-Za-z0-9_-]{1,63}"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_MAX_NAME: Final = 253
#: URLs that are remembered, and the characters of one: a bot calls few of them, again and again.
_REMEMBERED: Final = 256
_LONGEST_REMEMBERED: Final = 512
# What resolvers take for an IPv4 address in a spelling of the 1980s: 127.1, 0x7f000001, 2130706433.
_ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
# IDNA 2003, which the standard library has, makes another name of these than what came later (IDNA
# 2008, UTS 46): another letter or none for the first ones, one for those that nobody sees.
_DEVIATIONS: Final = frozenset("\u00df\u1e9e\u03c2\u200c\u200d\u1806")
_UNSEEN: Final = re.compile("[\u115f\u1160\u17b4\u17b5\u180f\u3164\uffa0\U000e0100-\U000e01ef]")


class Origin(NamedTuple):
    """Where a server is: `scheme` is http or https, `host` a name in ASCII or an IP address."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class URL:
    """An absolute URL; `parse` makes it of text.

    `scheme` is http, https, ws or wss; `host` is in lower case, IDNA-encoded, an IPv6 address
    without brackets; `path` begins with "/"; it and `query` (None without a question mark) are
    percent-encoded; so is `userinfo`, if there is any; `fragment` is as it was written.

    As text it has no credentials; `full` has them.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str | None = None
    fragment: str | None = None
    userinfo: str | None = None

    @classmethod
    def parse(cls, text: str | URL) -> URL:
        """Read an absolute URL; one that is read already stands for itself.

        Blanks and what is not ASCII are percent-encoded as UTF-8, in a host by IDNA; what is
        percent-encoded stays as it is. Segments of dots are resolved. Raises InvalidURL.
        """
        if isinstance(text, URL):
            return text
        if not isinstance(text, str):
            raise InvalidURL(f"expected a URL as text, got {type(text).__name__}")
        return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else cls._parse(text)

    @classmethod
    def _parse(cls, text: str) -> URL:
        parts = _split(text)
        if not (parts.scheme and _SCHEME.fullmatch(parts.scheme)) or parts.authority is None:
            raise InvalidURL(f'expected a URL such as "https://example.org/", got {_shown(text)}')
        return cls._of(parts, text)

    @classmethod
    def _of(cls, parts: _Parts, text: str) -> URL:
        scheme = (parts.scheme or "").lower()
        if scheme not in _PORTS:
            raise InvalidURL(f"expected http, https, ws or wss as the scheme, got {_shown(text)}")
        match = _AUTHORITY.fullmatch(parts.authority or "")
        if match is None:
            raise InvalidURL(f'expected "host", "host:port" or "[IPv6]:port", got {_shown(text)}')
        return cls(
            scheme,
            _read_host(match["host"], text),
            _read_port(match["port"], text) or _PORTS[scheme],
            _without_dots(_encoded(parts.path, _IN_PATH, text) or "/"),
            None if parts.query is None else _encoded(parts.query, _IN_QUERY, text),
            parts.fragment,
            _read_userinfo(match["userinfo"], text),
        )

    @property
    def origin(self) -> Origin:
        """Where to connect: a WebSocket's scheme is that of HTTP beneath it."""
        return Origin(_BENEATH.get(self.scheme, self.scheme), self.host, self.port)

    @property
    def target(self) -> str:
        """What a request line asks a server for (RFC 9112, 3.2.1): path and query."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def absolute_target(self) -> str:
        """What a request line asks a proxy for (RFC 9112, 3.2.2)."""
        return f"{self.origin.scheme}://{self.host_header}{self.target}"

    @property
    def host_header(self) -> str:
        """The Host of a request (RFC 9110, 7.2): without a port that is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def username(self) -> str | None:
        """The name before the host, decoded; None without any."""
        return None if self.userinfo is None else unquote(self.userinfo.partition(":")[0])

    @property
    def password(self) -> str | None:
        """The password before the host, decoded; None without any."""
        _, colon, password = (self.userinfo or "").partition(":")
        return unquote(password) if colon else None

    @property
    def full(self) -> str:
        """The URL with its credentials, which are for no log."""
        return self._written("" if self.userinfo is None else f"{self.userinfo}@")

    def __str__(self) -> str:
        return self._written("")

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"

    def _written(self, userinfo: str) -> str:
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self.scheme}://{userinfo}{self.host_header}{self.target}{fragment}"

    def join(self, reference: str) -> URL:
        """What a reference means on this page (RFC 3986, 5.2.2), as a Location is one.

        The credentials stay with the authority: a reference that names a host has its own or none.
        Raises InvalidURL.
        """
        parts = _split(reference)
        if parts.scheme is not None:
            return URL.parse(reference)
        if parts.authority is not None:
            return URL._of(parts._replace(scheme=self.scheme), reference)
        query = None if parts.query is None else _encoded(parts.query, _IN_QUERY, reference)
        fragment, path = parts.fragment, _encoded(parts.path, _IN_PATH, reference)
        if not path:
            query = self.query if parts.query is None else query
            return replace(self, query=query, fragment=fragment)
        if not path.startswith("/"):
            path = self.path[: self.path.rindex("/") + 1] + path
        return replace(self, path=_without_dots(path), query=query, fragment=fragment)

    def with_params(self, params: Params | None) -> URL:
        """The same with `params` behind what stands in its query, which is kept to the letter.

        A str is a query as it would stand in a URL. Of anything else, names and values are
        percent-encoded, a blank as "%20"; lists repeat their name; None is left out; a bool is
        "true" or "false". Raises TypeError or ValueError for what is no parameter.
        """
        if params is None:
            return self
        if isinstance(params, str):
            added = _encoded(params, _IN_QUERY, params)
        else:
            added = "&".join(f"{quote(k, '')}={quote(v, '')}" for k, v in pairs_of(params))
        return replace(self, query="&".join(filter(None, (self.query, added)))) if added else self

    def with_default_params(self, params: Iterable[tuple[str, str]]) -> URL:
        """The same with those of `params` whose names do not stand in its query."""
        query = filter(None, (self.query or "").split("&"))
        names = {unquote_plus(parameter.partition("=")[0]) for parameter in query}
        return self.with_params([(name, value) for name, value in params if name not in names])

    def with_fragment_of(self, other: URL) -> URL:
        """The same with the fragment of `other`, unless it has its own (RFC 9110, 10.2.2)."""
        return self if self.fragment is not None else replace(self, fragment=other.fragment)


@lru_cache(_REMEMBERED)
def _remembered(text: str) -> URL:
    return URL._parse(text)


def pairs_of(params: Params) -> Iterator[tuple[str, str]]:
    """Each parameter as a pair of texts; see `Params`. Raises TypeError or ValueError."""
    for name, value in items_of(params):
        yield name, text_of(value)


def items_of(params: object) -> Iterator[tuple[str, object]]:
    """Each parameter with its value as it was given, lists taken apart, None left out.

    Raises TypeError for what are no parameters, ValueError for half of a pair of surrogates.
    """
    items = params.items() if isinstance(params, Mapping) else params
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        raise TypeError(f"expected a mapping or pairs, got {type(params).__name__}")
    for item in items:
        match item:
            case (str(name), value):
                for each in value if isinstance(value, (list, tuple)) else (value,):
                    if each is not None:
                        yield _encodable(name), each
            case _:
                raise TypeError(f"expected pairs whose names are text, got {type(item).__name__}")


def text_of(value: object) -> str:
    """One value of a parameter as text. Raises TypeError or ValueError."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _encodable(str.__str__(value))  # the value of an Enum that is text, not its name
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected a number as the value of a parameter, got {value}")
    if isinstance(value, (int, float)):
        return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)
    raise TypeError(
        f"expected text, a number, a bool or None as a parameter, got {type(value).__name__}"
    )


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"expected text, got half of a pair in {grammar.quote(text)}") from None
    return text


class _Parts(NamedTuple):
    scheme: str | None
    authority: str | None
    path: str
    query: str | None
    fragment: str | None


def _split(text: str) -> _Parts:
    """The five parts of a reference, after a look at what may stand in none of them."""
    control = _CONTROL.search(text)
    if control is not None:
        raise InvalidURL(
            f"expected a URL without control characters, got {control[0]!r}"
            f" at position {control.start()}"
        )
    if text != text.strip():
        raise InvalidURL("expected a URL without blanks around it")
    match = _PARTS.fullmatch(text)
    assert match is not None, "every text is a reference, by its grammar"
    return _Parts(*match.group("scheme", "authority", "path", "query", "fragment"))


def _shown(text: str) -> str:
    """A URL as it may stand in a message: secrets stand before the host, and behind it.

    A path is one too: that of each request to Telegram has the bot's token.
    """
    return grammar.quote(_ROUGHLY.sub(_without_secrets, text, count=1))


def _without_secrets(match: re.Match[str]) -> str:
    scheme, credentials, host, more = match.groups("")
    shown = f"{more[0]}..." if len(more) > 1 else more
    return f"{scheme}{'***@' if credentials else ''}{host}{shown}"


def _encoded(part: str, safe: str, text: str) -> str:
    """A part with everything percent-encoded that may not stand in it; what is so already stays."""
    try:
        return quote(_STRAY_PERCENT.sub("%25", part), safe)
    except UnicodeEncodeError:
        raise InvalidURL(f"expected a URL of characters, got {_shown(text)}") from None


def _read_userinfo(userinfo: str | None, text: str) -> str | None:
    """Credentials, percent-encoded; None for empty ones."""
    if not userinfo:
        return None
    encoded = _encoded(userinfo, _IN_PATH, text)
    name, _, password = encoded.partition(":")
    try:
        name, password = (unquote(part, errors="strict") for part in (name, password))
    except UnicodeDecodeError:
        raise InvalidURL("expected UTF-8 in the credentials of a URL") from None
    # RFC 7617, 2
    if ":" in name or _CONTROL.search(name + password):
        raise InvalidURL(
            "expected credentials in a URL without control characters, and no colon in the name"
        )
    return encoded


def _read_port(port: str | None, text: str) -> int | None:
    if not port:
        return None
    # The number of digits first: what a number of thousands costs is the square of it.
    if len(port) > 5 or not 1 <= int(port) <= 65_535:
        raise InvalidURL(f"expected a port from 1 to 65535, got {_shown(text)}")
    return int(port)


def _read_host(host: str, text: str) -> str:
    if host.startswith("["):
        return _read_ipv6(host[1:-1], text)
    if not host:
        raise InvalidURL(f"expected a host, got {_shown(text)}")
    name = (host if host.isascii() else _to_ascii(host, text)).lower()
    if not _NAME.fullmatch(name) or len(name.removesuffix(".")) > _MAX_NAME:
        raise InvalidURL(
            f"expected the name of a host (letters, digits, hyphens), got {_shown(text)}"
        )
    if _ENDS_IN_NUMBER.fullmatch(name):
        return _read_ipv4(name, text)
    return name


def _read_ipv6(host: str, text: str) -> str:
    try:
        address = IPv6Address(host)
    except ValueError:
        raise InvalidURL(f"expected an IPv6 address in brackets, got {_shown(text)}") from None
    if address.scope_id is not None:
        raise InvalidURL(f"expected an IPv6 address without a zone, got {_shown(text)}")
    return str(address)


def _read_ipv4(host: str, text: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise InvalidURL(
            f"expected an IPv4 address of four decimal numbers, got {_shown(text)}"
        ) from None


def _to_ascii(host: str, text: str) -> str:
    """A name by IDNA, unless its versions disagree about it."""
    if len(host) > _MAX_NAME:
        return host
    try:
        if not any(map(_is_ambiguous, host)):
            return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise InvalidURL(f"expected the name of a host (IDNA), got {_shown(text)}") from None
    raise InvalidURL(
        'expected a host whose name has one form in ASCII, which then begins with "xn--";'
        f" write that instead of {_shown(text)}"
    )


def _is_ambiguous(character: str) -> bool:
    """Whether IDNA 2003, of Unicode 3.2, may make something else of it than what came later.

    Raises UnicodeError for what may stand in no name.
    """
    if character.isascii():
        return False
    if character in _DEVIATIONS or _UNSEEN.match(character):
        return True
    prepared = nameprep(character)
    # Of what is not known yet, nobody knows what it will be.
    return bool(prepared) and (
        unicodedata.category(character) in ("Cf", "Cn")
        or prepared != unicodedata.normalize("NFKC", character.casefold())
    )


def _without_dots(path: str) -> str:
    """An absolute path with "." and ".." resolved (RFC 3986, 5.2.4)."""
    if "/." not in path:
        return path
    segments: list[str] = []
    *others, last = path.split("/")[1:]
    for segment in others:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    if last == "..":
        del segments[-1:]
    segments.append("" if last in (".", "..") else last)
    return "/" + "/".join(segments)
