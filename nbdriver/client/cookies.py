"""Which cookies go along with a request, and which are taken from an answer.

The jar is the standard library's. What goes into it is read here by RFC 6265, since the library
follows what browsers did before: a host may delete another's cookies, one for a host alone goes to
all hosts below it, and the part of an address counts as a domain.

There is no list of public suffixes: of the domains below which anybody may have a name, those
without a dot and those such as ".com.cn" are known, "github.io" is not. Nothing is kept on disk.
"""

from __future__ import annotations

import calendar
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from email.utils import parsedate_tz
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote
from urllib.request import Request

from ..model import Headers
from .urls import URL

__all__ = [
    "MAX_COOKIE",
    "MAX_COOKIES",
    "MAX_COOKIES_OF_DOMAIN",
    "Cookies",
    "cookie_header",
    "jar_of",
    "new_jar",
    "take",
]

Cookies = CookieJar | Mapping[str, str] | Iterable[tuple[str, str]]
"""The cookies of one request."""

MAX_COOKIES: Final = 3_000
MAX_COOKIES_OF_DOMAIN: Final = 180
"""How many a jar keeps (RFC 6265, 6.1, asks for 3,000, and for 50 of a domain)."""
MAX_COOKIE: Final = 4_096
"""Bytes of a cookie's name and value (RFC 6265bis, 5.7); a larger one is passed over."""

_BLANKS: Final = " \t"
# What ends a cookie, or may stand in no header.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f;]")
_MAX_AGE: Final = re.compile(r"-?[0-9]{1,18}")
#: Characters of a date; the longest that is one has 33.
_LONGEST_DATE: Final = 64
#: Bytes of an attribute (RFC 6265bis, 5.6); a longer one is as if it were not there.
_LONGEST_ATTRIBUTE: Final = 1_024


def new_jar() -> CookieJar:
    """An empty jar that keeps to RFC 6265; a jar made elsewhere keeps to its own policy."""
    policy = DefaultCookiePolicy(
        strict_domain=True, strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain
    )
    return CookieJar(policy)


def take(jar: CookieJar, url: URL, headers: Headers) -> None:
    """Put the cookies of an answer from `url` into the jar, as far as its policy lets them in.

    What is no cookie, or is for somebody else, is passed over; what has expired is deleted.
    """
    lines = headers.get_all("set-cookie")
    if not lines:
        return
    request, now = Request(url.absolute_target), time.time()
    kept_by_tls = [kept for kept in jar if kept.secure] if url.origin.scheme == "http" else []
    for cookie in filter(None, (_read(line, url, now) for line in lines)):
        if any(_is_taken_for(cookie, kept) for kept in kept_by_tls):
            continue
        if cookie.is_expired(int(now)):
            _delete(jar, cookie)
        else:
            jar.set_cookie_if_ok(cookie, request)
    _limit(jar)


def cookie_header(jar: CookieJar | None, url: URL, own: CookieJar | None = None) -> str | None:
    """The value of Cookie in a request for `url`, None without any.

    `own` are those of the request (see `jar_of`), which count more than those of the same name in
    the client's `jar`.
    """
    given = list(_pairs_for(own, url))
    names = {name for name, _ in given}
    pairs = [pair for pair in _pairs_for(jar, url) if pair[0] not in names] + given
    return "; ".join(f"{name}={value}" if name else value for name, value in pairs) or None


def jar_of(cookies: Cookies | None, url: URL) -> CookieJar | None:
    """The cookies of one request for `url`, as a jar.

    Those that are for no host (all that are given as text, and NoneBot's own) are for that of
    `url`, and only by TLS if that is: they do not go along to another host. Text goes as it stands,
    as UTF-8 where it is not ASCII. Raises TypeError for what is no cookie, ValueError for what
    would not stay one.
    """
    if cookies is None:
        return None
    jar = new_jar()
    if isinstance(cookies, CookieJar):
        for cookie in cookies:
            jar.set_cookie(cookie if cookie.domain else _bound_to(url, cookie))
        return jar
    for name, value in _pairs(cookies):
        jar.set_cookie(_given(url, name, value))
    return jar


def _pairs(cookies: object) -> Iterator[tuple[str, str]]:
    items = cookies.items() if isinstance(cookies, Mapping) else cookies
    for item in items if isinstance(items, Iterable) else [items]:
        match item:
            case (str(name), str(value)):
                yield name, value
            case _:
                raise TypeError("expected cookies as a CookieJar, a mapping or pairs of text")


def _given(url: URL, name: str, value: str) -> Cookie:
    for text in (name, value):
        if _FORBIDDEN.search(text) or text != text.strip(_BLANKS):
            raise ValueError(
                "expected a cookie without control characters, semicolons and outer blanks,"
                f" got one by the name {name!r}"
            )
    if not name or "=" in name:
        raise ValueError(f'expected a name for a cookie, without "=", got {name!r}')
    name, value = (text.encode().decode("latin-1") for text in (name, value))
    return _cookie(name, value, _name_in_jar(url), secure=url.origin.scheme == "https")


def _bound_to(url: URL, cookie: Cookie) -> Cookie:
    bound = copy(cookie)
    bound.domain = _name_in_jar(url)
    bound.domain_specified = False
    bound.secure = cookie.secure or url.origin.scheme == "https"
    return bound


# --- Reading Set-Cookie ---


def _read(line: str, url: URL, now: float) -> Cookie | None:
    """The cookie in a Set-Cookie line (RFC 6265, 5.2 and 5.3); None if it is none for this host."""
    if _CONTROL.search(line):
        return None
    first, *rest = line.split(";")
    name, equals, value = first.partition("=")
    name, value = (name.strip(_BLANKS), value.strip(_BLANKS)) if equals else ("", first.strip())
    attributes = dict(each for each in map(_attribute, rest) if len(each[1]) <= _LONGEST_ATTRIBUTE)
    domain = _domain(attributes.get("domain", ""), url)
    secure = "secure" in attributes
    # RFC 6265bis, 5.7: who cannot be told a secure cookie has none to give either.
    if not (name or value) or domain is None or (secure and url.origin.scheme != "https"):
        return None
    path = attributes.get("path", "")
    if len(name) + len(value) > MAX_COOKIE or not (
        _is_as_named(name, secure=secure, of_top=not domain and path == "/")
        if name
        else _is_as_named(value)
    ):
        return None
    return _cookie(
        name,
        value,
        domain or _name_in_jar(url),
        path=_path(path if path.startswith("/") else url.path[: url.path.rindex("/")] or "/"),
        secure=secure,
        expires=_expiry(attributes, now),
    )


def _attribute(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(_BLANKS).lower(), value.strip(_BLANKS)


def _is_as_named(name: str, *, secure: bool = False, of_top: bool = False) -> bool:
    """Whether a cookie is what its name promises (RFC 6265bis, 4.1.3): a server that reads one of
    that name knows who has set it. One without a name, which looks alike once sent, has no claim.
    """
    name = name.lower()
    return not name.startswith(("__secure-", "__host-")) or (
        secure and (of_top or not name.startswith("__host-"))
    )


def _path(path: str) -> str:
    """A path as the jar compares it: percent-encoded, in capitals."""
    encoded = quote(path.encode("latin-1"), "%/;:@&=+$,!~*'()")
    return re.sub("%[0-9a-fA-F]{2}", lambda match: match[0].upper(), encoded)


def _domain(attribute: str, url: URL) -> str | None:
    """The domain of a cookie, with its dot; empty for this host alone; None where it may not be."""
    domain = attribute.removeprefix(".").lower()
    if not domain or (domain.strip("[]") == url.host and _is_alone(url.host)):
        return ""
    # With a dot at the end, "com." would be more than a name without dots.
    if "." not in domain or domain.endswith(".") or _is_alone(url.host):
        return None
    return f".{domain}" if f".{url.host}".endswith(f".{domain}") else None


def _is_alone(host: str) -> bool:
    """Whether a host has no domain above it: an address, or a name without dots."""
    try:
        return "." not in host or bool(ip_address(host))
    except ValueError:
        return False


def _expiry(attributes: Mapping[str, str], now: float) -> int | None:
    """When a cookie ends; None for never, as long as there is the jar (RFC 6265, 5.3, 3)."""
    if _MAX_AGE.fullmatch(age := attributes.get("max-age", "")):
        return int(now) + int(age)
    date = parsedate_tz(attributes.get("expires", "").strip('"')[:_LONGEST_DATE])
    try:
        # RFC 6265, 5.1.1: whatever zone it names, it is UTC.
        return calendar.timegm(date[:9]) if date else None
    except (ValueError, OverflowError):  # as for the year 99999
        return None


# --- The jar ---


def _name_in_jar(url: URL) -> str:
    """What the standard library calls the host of a URL; it knows no `a` beside `a.local`."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return host if "." in host else f"{host}.local"


def _cookie(
    name: str,
    value: str,
    domain: str,
    *,
    path: str = "/",
    secure: bool = False,
    expires: int | None = None,
) -> Cookie:
    is_domain = domain.startswith(".")
    return Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=is_domain,
        domain_initial_dot=is_domain,
        path=path,
        path_specified=True,
        secure=secure,
        expires=expires,
        discard=expires is None,
        comment=None,
        comment_url=None,
        rest={},
    )


def _pairs_for(jar: CookieJar | None, url: URL) -> Iterator[tuple[str, str]]:
    """Name and value of each cookie that a jar has for `url`; a nameless one has a value alone."""
    if jar is None or next(iter(jar), None) is None:  # as most are, and to ask them takes its time
        return
    request = Request(url.absolute_target)
    jar.add_cookie_header(request)
    for text in filter(None, (request.get_header("Cookie") or "").split("; ")):
        name, equals, value = _as_latin_1(text).partition("=")
        yield (name, value) if equals else ("", name)


def _as_latin_1(text: str) -> str:
    """Text for a header, one character per byte; what no byte stands for as UTF-8."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode("latin-1")
    return text


def _is_taken_for(cookie: Cookie, kept: Cookie) -> bool:
    """Whether `cookie`, which came without TLS, could be taken for a secure one that is there
    (RFC 6265bis, 5.7): anybody on the way may have written it.
    """
    return (
        kept.name == cookie.name
        and (_is_in(kept.domain, cookie.domain) or _is_in(cookie.domain, kept.domain))
        and f"{cookie.path}/".startswith(f"{kept.path.removesuffix('/')}/")
    )


def _is_in(host: str, domain: str) -> bool:
    return f".{host.lstrip('.')}".endswith(f".{domain.lstrip('.')}")


def _delete(jar: CookieJar, cookie: Cookie) -> None:
    try:
        jar.clear(cookie.domain, cookie.path, cookie.name)
    except KeyError:  # it is not there
        pass


def _limit(jar: CookieJar) -> None:
    """Let those go that came first, where there are too many."""
    cookies = list(jar)
    total, of_domain = len(cookies), Counter(cookie.domain for cookie in cookies)
    for cookie in cookies:
        if total > MAX_COOKIES or of_domain[cookie.domain] > MAX_COOKIES_OF_DOMAIN:
            jar.clear(cookie.domain, cookie.path, cookie.name)
            of_domain[cookie.domain] -= 1
            total -= 1
