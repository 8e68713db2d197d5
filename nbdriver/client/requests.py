"""What a server is asked: the head of a request, and what is left of it for the next server.

A caller says some of it, the client's settings say the rest, and a redirect takes away what must
not go along. An opening handshake is such a request too, so nothing here knows how it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar
from typing import Final

from ..errors import InvalidResponse, NetworkError
from ..model import Headers, check_field
from ..wire.content_coding import ACCEPT_ENCODING
from .authorization import Credentials, authorization
from .content import Content
from .cookies import Cookies, cookie_header, jar_of
from .redirects import follow, location_of
from .settings import ClientSettings
from .urls import URL, Params

__all__ = ["HeaderSource", "Prepared", "prepare"]

HeaderSource = Mapping[str, str] | Headers | Iterable[tuple[str, str]]
"""Headers as a caller gives them; a name may have several lines."""

Lines = tuple[tuple[str, str], ...]

#: Methods for which a request without a body says so (RFC 9110, 8.6).
_EXPECT_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
#: Methods that may be asked for twice, if nobody knows whether the first was heard (9.2.2).
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_LENGTH: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One request, as far as it does not depend on the connection that it takes."""

    method: str
    url: URL
    given: Lines
    """The headers of the settings, and the caller's."""
    user_agent: str | None
    credentials: Credentials | None
    cookies: CookieJar | None
    """Those of this request alone."""
    content: Content | None = None

    def fields(self, jar: CookieJar | None) -> list[tuple[str, str]]:
        """The headers, Host first; with the cookies of `jar` unless the caller gave a Cookie.

        Nothing is said of a body.
        """
        names = {name.lower() for name, _ in self.given}
        fields = [(name, value) for name, value in self.given if name.lower() == "host"]
        fields = fields or [("Host", self.url.host_header)]
        usual = [
            ("User-Agent", self.user_agent),
            ("Authorization", authorization(self.url, self.credentials)),
            ("Cookie", cookie_header(jar, self.url, self.cookies)),
        ]
        fields += [
            (name, value)
            for name, value in usual
            if value is not None and name.lower() not in names
        ]
        fields += [(name, value) for name, value in self.given if name.lower() != "host"]
        return fields

    def fields_with_body(self, jar: CookieJar | None) -> list[tuple[str, str]]:
        """The headers of a request whose answer may be any, and of its body.

        Raises ValueError for a length that is not that of the body.
        """
        fields = self.fields(jar)
        names = {name.lower() for name, _ in fields}
        usual = [("Accept", "*/*"), ("Accept-Encoding", ACCEPT_ENCODING)]
        if self.content is not None:
            usual += self.content.headers
        added = [(name, value) for name, value in usual if name.lower() not in names]
        framing = self._framing([v for name, v in fields if name.lower() == "content-length"])
        return [*(field for field in fields if not _frames(field[0])), *added, *framing]

    def _framing(self, lengths: list[str]) -> list[tuple[str, str]]:
        """How the body ends; whoever gives an iterator may know how long it is."""
        length = 0 if self.content is None else self.content.length
        if lengths:
            told = ", ".join(lengths)
            if not _LENGTH.fullmatch(told) or length not in (None, int(told)):
                raise ValueError(
                    f"expected {'a number' if length is None else length} as Content-Length,"
                    f" got {told}; leave it out"
                )
            length = int(told)
        if length is None:
            return [("Transfer-Encoding", "chunked")]
        if length or self.content is not None or self.method in _EXPECT_BODY:
            return [("Content-Length", str(length))]
        return []

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again if nobody knows whether it was heard (RFC 9110, 9.2.2)."""
        return self.method in _IDEMPOTENT and (self.content is None or self.content.replayable)

    def redirected(self, status_code: int, headers: Headers) -> Prepared | None:
        """The request to which an answer to this one leads; None if it leads nowhere.

        Raises InvalidResponse if that cannot be followed, and NetworkError if the body would have
        to be sent again and is gone.
        """
        try:
            location = location_of(status_code, headers)
        except InvalidResponse as error:
            raise error.of(self.url.host_header) from None
        if location is None:
            return None
        step = follow(status_code, location, self.url, self.method, self.given)
        content = self.content if step.keeps_body else None
        if content is not None and not content.replayable:
            raise NetworkError(
                "expected a body that can be sent again, since"
                f" {self.url.host_header} answered {status_code}: give bytes or a file in the place"
                " of an iterator"
            )
        following = replace(
            self, method=step.method, url=step.url, given=step.headers, content=content
        )
        if step.keeps_credentials:
            return following
        return replace(following, credentials=None, cookies=None)


def prepare(
    settings: ClientSettings,
    method: str,
    url: str | URL,
    *,
    params: Params | None = None,
    headers: HeaderSource | None = None,
    cookies: Cookies | None = None,
    auth: Credentials | None = None,
    content: Content | None = None,
) -> Prepared:
    """What a caller wants to ask, with what the settings add.

    Raises InvalidURL, and ValueError or TypeError for what cannot be asked.
    """
    where = URL.parse(url).with_params(params).with_default_params(settings.params)
    own = _lines(headers)
    names = {name.lower() for name, _ in own}
    given = (*(field for field in settings.headers if field[0].lower() not in names), *own)
    _check(given)
    return Prepared(
        method=_method(method),
        url=where,
        given=given,
        user_agent=settings.user_agent,
        credentials=_credentials(where, auth, settings),
        cookies=jar_of(cookies, where),
        content=content,
    )


def _method(method: str) -> str:
    if method.upper() == "CONNECT":
        raise ValueError("expected a method for a server, CONNECT is one for proxies")
    return method.upper()


def _lines(headers: HeaderSource | None) -> Lines:
    """The caller's headers, seen to be such as can stand on the wire."""
    pairs = headers.items() if isinstance(headers, (Mapping, Headers)) else headers or ()
    return tuple(check_field(name, value) for name, value in pairs)


def _check(headers: Lines) -> None:
    """See that nothing is said that is not for the caller to say, or could be misunderstood."""
    values = Headers(headers)
    if values.repeats("host"):
        raise ValueError("expected one Host header, got several")
    if "proxy-authorization" in values:
        raise ValueError(
            "expected credentials for a proxy in its URL, got the header Proxy-Authorization,"
            " which the server would see too"
        )
    coding = values.get("transfer-encoding", "chunked")
    if coding != "chunked":
        raise ValueError(f"expected no Transfer-Encoding but chunked, got {coding}")


def _credentials(
    url: URL, given: Credentials | None, settings: ClientSettings
) -> Credentials | None:
    """Those of the request, or those of the settings unless the URL has its own."""
    return settings.auth if given is None and url.userinfo is None else given


def _frames(name: str) -> bool:
    """Whether a header says how the body ends, which is for us to say."""
    return name.lower() in ("content-length", "transfer-encoding")
