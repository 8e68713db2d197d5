"""JSON in and out, by the standard library, or by orjson where it is installed.

An optional extra may change the speed and nothing else, and the two libraries differ in more
places than they should. So the standard library is the law, and orjson is a short cut to its
verdict: what orjson refuses the standard library answers, and what orjson would answer otherwise
is recognised and handed over too.

Where orjson answers otherwise:

- reading, an integer beyond 64 bits becomes a float;
- reading, the nesting may be 1,024 deep (before 3.9.15 it had no limit, see `OLDEST_ORJSON`);
- writing, NaN and the infinities become null, an Enum its value, a UUID its text.

Both codecs read RFC 8259 strictly: UTF-8, no byte order mark, no NaN or Infinity, and at most
`MAX_DEPTH` levels of nesting (section 9 allows such a limit). Of doubled names the last one counts
(section 4), and a number too large for a float is an infinity, as in the standard library. The
written texts may differ in the spelling of a float (1e16, 1e+16), never in its value.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import re
import reprlib
from collections.abc import Callable, Iterable
from itertools import chain
from types import ModuleType
from typing import Any, NoReturn, TypeAlias

__all__ = [
    "MAX_DEPTH",
    "OLDEST_ORJSON",
    "Codec",
    "Data",
    "OrjsonCodec",
    "choose",
    "dumps",
    "find_library",
    "library",
    "loads",
    "loads_object",
]

Data: TypeAlias = str | bytes | bytearray | memoryview
"""What JSON can be read from: text, or its UTF-8 bytes."""

MAX_DEPTH = 512
"""How deep arrays and objects may be nested in what is read, in levels; `[]` is one level.

It is a number of our own because the libraries share none: how deep the standard library gets
depends on Python's version and on the caller's stack, orjson on its release. This one leaves half
of Python's default recursion limit to the caller, and no chat platform comes near it.
"""

OLDEST_ORJSON = (3, 9, 15)
"""Before this release a deeply nested message overflows the stack and kills the process
(CVE-2024-27454)."""


class Codec:
    """JSON in and out by the standard library."""

    library: str = "json"
    """The name of the library at work, for a log line."""

    def loads(self, data: Data) -> Any:
        """Read one JSON text (RFC 8259); bytes have to be UTF-8.

        Raises:
            ValueError: it is not JSON, not UTF-8, or nested deeper than `MAX_DEPTH`; one line
                says what is wrong, and where.
            TypeError: `data` is neither text nor bytes.
        """
        text = data if isinstance(data, str) else _decode(data)
        try:
            # What `JSONDecoder.decode` does, but for its two searches for blanks around the value.
            value, end = _scan(text)
        except (ValueError, RecursionError):
            end = -1
        # Many end what they write with a line end.
        whole = end == len(text) or (end > 0 and not text[end:].strip(_BLANKS))
        if whole and not (end > _SHALLOW and _is_too_deep(value)):
            return value
        return self._load(text)

    def _load(self, text: str) -> Any:
        """Read what is not just a value of no great depth, or say what is wrong with it."""
        try:
            value = _parse(text)
        except RecursionError:
            too_deep = True
        except ValueError as error:
            raise ValueError(f"invalid JSON: {_explain(text, error)}") from error
        else:
            too_deep = len(text) > _SHALLOW and _is_too_deep(value)
        if too_deep:
            raise ValueError(f"invalid JSON: nested deeper than {MAX_DEPTH} levels")
        return value

    def loads_object(self, data: Data) -> dict[str, Any]:
        """Read a JSON text that has to be an object, as every event and every API answer is.

        Raises:
            ValueError: it is not; the message is fit for a log line and for the body of a 400:
                "expected a JSON object, got a list".
            TypeError: `data` is neither text nor bytes.
        """
        try:
            value = self.loads(data)
        except ValueError as error:
            raise ValueError(f"expected a JSON object, got {error}") from error
        if not isinstance(value, dict):
            raise ValueError(f"expected a JSON object, got {_NAMES[type(value)]}")
        return value

    def dumps(self, value: Any) -> str:
        """Write `value` as compact JSON that can always be encoded in UTF-8.

        A dataclass is written as its fields, a subclass of a JSON type as that type, a lone
        surrogate as its escape, any other character as it is. Keys are treated as by `json.dumps`.

        Raises:
            TypeError: something in `value` has no JSON form; the message names type and place.
            ValueError: a NaN or an infinity, a value that contains itself, one nested deeper than
                Python's recursion limit lets the standard library go.
        """
        try:
            text = "".join(_write_parts(value, 0))
            # Half of a pair is not printable, and most text is.
            return text if text.isprintable() else _escape_surrogates(text)
        except Exception:
            # The encoder says what is wrong.
            _being_written.clear()
        try:
            text = _write(value)
        except RecursionError:
            raise ValueError("nested too deeply to be written as JSON") from None
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{error}{_place(value, error)}") from error
        return _escape_surrogates(text)


class OrjsonCodec(Codec):
    """The same, faster: orjson answers wherever it answers as the standard library does."""

    library = "orjson"

    def __init__(self, orjson: Any) -> None:
        self._loads = orjson.loads
        self._dumps = orjson.dumps
        self._options: int = (
            orjson.OPT_PASSTHROUGH_DATACLASS
            | orjson.OPT_PASSTHROUGH_DATETIME
            | orjson.OPT_PASSTHROUGH_SUBCLASS
        )

    def loads(self, data: Data) -> Any:
        """As `Codec.loads`."""
        try:
            raw = data if type(data) is bytes else _to_bytes(data)
            value = self._loads(raw)
        except ValueError:  # a lone surrogate in text, or whatever orjson refuses
            pass
        else:
            # The cheap half of both questions stands here: it is all that most messages need.
            sample = raw[_SAMPLE].translate(_DIGITS_TO_ZERO)
            long = sample.find(_RUN) >= 0 and _holds_long_integer(raw)
            deep = len(raw) > _SHALLOW and _is_deep(raw, value)
            if not long and not deep:
                return value
        return super().loads(data)

    def dumps(self, value: Any) -> str:
        """As `Codec.dumps`."""
        nodes = [value]
        expanded: set[type] = set()

        def expand(node: object) -> Any:
            plain = _list_or_fields(node)
            nodes.append(plain)
            expanded.add(type(node))
            return plain

        try:
            raw: bytes = self._dumps(value, expand, self._options)
        except TypeError:  # orjson.JSONEncodeError
            pass
        else:
            if _is_plain(nodes, expanded):
                return raw.decode()
        return super().dumps(value)


def find_library(name: str = "orjson") -> ModuleType | None:
    """The module of that name, or None where it cannot be imported."""
    # By name, so that type checking and vendoring do not depend on what happens to be installed.
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def choose(orjson: ModuleType | None) -> Codec:
    """The codec to use, given orjson or None where it is not installed.

    An orjson before `OLDEST_ORJSON` is left aside, and so is a module that is not orjson.
    """
    if orjson is None or _version(orjson) < OLDEST_ORJSON:
        return Codec()
    return OrjsonCodec(orjson)


def _version(module: ModuleType) -> tuple[int, ...]:
    # A folder that happens to have the name is a module too, without a version.
    version = str(getattr(module, "__version__", ""))
    return tuple(int(number) for number in re.findall(r"[0-9]+", version)[:3])


# --- Reading ---

_SHALLOW = 2 * MAX_DEPTH
"""A text up to this length cannot be too deep, since a level takes two characters."""

_BOM = "\ufeff"
_BLANKS = " \t\n\r"

_NAMES = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _refuse_constant(name: str) -> NoReturn:
    # RFC 8259 section 6: numeric values such as Infinity and NaN are not permitted.
    raise ValueError(f"{name} is not a JSON number")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_parse = _decoder.decode
_scan = _decoder.raw_decode


def _to_bytes(data: Data) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"expected JSON as str or bytes, got {type(data).__name__}")


def _decode(data: Data) -> str:
    # RFC 8259 section 8.1: UTF-8; json.loads would guess UTF-16 and let surrogates pass.
    raw = data if isinstance(data, bytes) else _to_bytes(data)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        raise ValueError(
            f"invalid UTF-8: byte 0x{byte:02x} at position {error.start} ({error.reason})"
        ) from error


def _explain(text: str, error: ValueError) -> str:
    if not text.strip(_BLANKS):
        return "the text is empty"
    if text.startswith(_BOM):
        return "a byte order mark stands before it (RFC 8259 section 8.1); send it without"
    return str(error)


_CONTAINERS = frozenset((dict, list))


def _is_too_deep(value: Any) -> bool:
    """Whether `value` has more than `MAX_DEPTH` levels; goes level by level, not down the stack."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        insides = [node.values() if type(node) is dict else node for node in level]
        level = [node for node in chain.from_iterable(insides) if type(node) in _CONTAINERS]
        if not level:
            return False
    return True


# A number of 20 digits, or of 19 after a minus: the smallest beyond 64 bits are 2**64 and -2**63-1.
# A match inside a string costs a second parse and does no harm.
_holds_long_integer = re.compile(rb"(?:-|(?:^|[:,\[\s])[0-9])[0-9]{19}").search

# That search takes twice as long as orjson, so a cheaper one comes first: a run of 19 digits has
# three of them in a row among every sixth byte, where bytes.translate makes them findable. The ids
# and times of OneBot, of ten digits, have two at most.
_SAMPLE = slice(None, None, 6)
_DIGITS_TO_ZERO = bytes(ord("0") if chr(i) in "0123456789" else ord(" ") for i in range(256))
_RUN = b"0" * (19 // 6)


def _is_deep(raw: bytes, value: Any) -> bool:
    # Taking the brackets out counts them several times faster than bytes.count does.
    openings = len(raw) - len(raw.replace(b"[", b"").replace(b"{", b""))
    return openings > MAX_DEPTH and _is_too_deep(value)


# --- Writing ---

_SURROGATE = re.compile("[\ud800-\udfff]")

_SCALARS = frozenset((str, int, bool, type(None)))
_BASES = (str, int, float, tuple, dict)


def _find_field_names(kind: type) -> tuple[str, ...] | None:
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


_field_names: Callable[[type], tuple[str, ...] | None]
_field_names = functools.lru_cache(maxsize=256)(_find_field_names)


def _fields(value: object) -> dict[str, Any]:
    """The fields of a dataclass, one level of them: the encoder comes back for the next."""
    names = _field_names(type(value))
    if names is not None:
        return {name: getattr(value, name) for name in names}
    raise TypeError(
        f"cannot write {type(value).__qualname__} as JSON, "
        "only None, bool, int, float, str, list, tuple, dict and dataclasses"
    )


_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_fields
)
_write = _encoder.encode


_being_written: dict[int, object] = {}
"""What the one writer is inside of, by which it finds values that contain themselves.

Without, it would go down to the end of the stack, which in a thread may come before Python's limit.
Values that are written at the same time, by threads or by what a dataclass does when it is looked
at, share it. At the worst one is refused for another's sake, and then written the long way.
"""


def _find_writer() -> Callable[[Any, int], Iterable[str]]:
    """What `JSONEncoder.encode` makes anew for each value and then calls, made once.

    Where the standard library has it not, or no longer alike, it is the encoder's public way.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    each = _encoder
    try:
        writer: Callable[[Any, int], Iterable[str]] = make(  # type: ignore[misc]  # None: TypeError
            _being_written,
            each.default,
            json.encoder.encode_basestring,
            None,
            ":",
            ",",
            False,
            False,
            False,
        )
    except TypeError:
        return lambda value, _: (each.encode(value),)
    return writer


_write_parts = _find_writer()


def _list_or_fields(value: object) -> Any:
    """The plain value for what orjson passes on; TypeError to leave it to the standard library."""
    if isinstance(value, list):  # a NoneBot Message
        return list(value)
    if isinstance(value, _BASES):  # even if it is a dataclass as well
        raise TypeError
    return _fields(value)


def _is_plain(nodes: list[Any], expanded: set[type]) -> bool:
    """Whether all under `nodes`, a list that is used up, is of types that both write alike.

    `expanded` are the types that orjson passed on. As it has written `nodes`, they end somewhere.
    """
    for node in nodes:
        kind = type(node)
        if kind in _SCALARS:
            continue
        if kind is dict:
            nodes += node.values()
        elif kind is list or kind is tuple:
            nodes += node
        elif kind is float:
            if node - node != 0:  # NaN or an infinity
                return False
        elif kind not in expanded:
            return False
    return True


def _escape_surrogates(text: str) -> str:
    # RFC 8259 section 8.2: an escape is the only way to write half of a pair.
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text


def _place(value: Any, error: Exception) -> str:
    """Where in `value` the encoder failed: the innermost part that fails alike, `, at ['a'][0]`."""
    path = ""
    seen: set[int] = set()
    while id(value) not in seen:  # or it contains itself
        seen.add(id(value))
        for key, child in _items(value):
            if _fails(child, error):
                path += f"[{reprlib.repr(key)}]"
                value = child
                break
    return f", at {path}" if path else ""


def _items(value: Any) -> Iterable[tuple[object, Any]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    return _fields(value).items() if dataclasses.is_dataclass(type(value)) else ()


def _fails(value: Any, error: Exception) -> bool:
    try:
        _write(value)
    except (TypeError, ValueError, RecursionError) as again:
        return str(again) == str(error)
    return False


_codec = choose(find_library())
library = _codec.library
"""The name of the library in use: "orjson" or "json"."""
loads = _codec.loads
loads_object = _codec.loads_object
dumps = _codec.dumps
