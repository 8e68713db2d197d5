"""JSON: RFC 8259 by the standard library, and orjson held to the very same answers.

Every test runs against the standard library, against orjson where it is installed, and against
`LikeOrjson`, which differs from the standard library in the same places as orjson does, so that
the guards are tested everywhere.
"""

from __future__ import annotations

import enum
import json
import math
import re
import sys
import uuid
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time
from http import HTTPStatus
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbdriver import codec as module
from nbdriver.codec import MAX_DEPTH, Codec, OrjsonCodec, choose, find_library

#: Python reads no integer of more digits (the default of `sys.set_int_max_str_digits`).
DIGITS = sys.get_int_max_str_digits()

#: What nearly all traffic looks like: a OneBot v11 event.
EVENT = {
    "time": 1515204254,
    "self_id": 10001000,
    "post_type": "message",
    "message_id": 12,
    "user_id": 12345678,
    "message": "你好～[CQ:at,qq=10001000]",
    "sender": {"nickname": "小不点", "sex": "male", "age": 18},
}


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    YES = "yes"


class Level(int, enum.Enum):
    """The standard library writes the number, orjson the label."""

    def __new__(cls, number: int, label: str) -> Level:
        member = int.__new__(cls, number)
        member._value_ = label
        return member

    LOW = (7, "low")

    def __repr__(self) -> str:
        return self.name


class OfText(str):
    """A subclass like any other."""


class OfBytes(bytes):
    """A subclass like any other."""


class OfInt(int):
    """Its own idea of itself does not count."""

    def __repr__(self) -> str:
        return "OfInt"

    def __int__(self) -> int:
        return 0


class OfFloat(float):
    """Its own idea of itself does not count."""

    def __repr__(self) -> str:
        return "OfFloat"


class OfDict(dict[Any, Any]):
    """A subclass like any other."""


class Message(list[Any]):
    """Like NoneBot's: a list of dataclasses."""


class Backwards(list[Any]):
    """Counts as what iterating over it gives."""

    def __iter__(self) -> Iterator[Any]:
        return super().__reversed__()


class Shouting(dict[str, Any]):
    """Counts as what `items` gives."""

    def items(self) -> Any:
        return {key.upper(): value for key, value in super().items()}.items()


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Segment:
    """Like NoneBot's, with everything that dataclasses can have and that is no field."""

    type: Any
    data: Any
    seed: InitVar[Any]
    _hidden: Any = field(default=None)
    shared: ClassVar[set[int]] = {1}


@dataclass(slots=True)
class Point:
    x: Any
    rest: Any


@dataclass
class Record(dict[str, Any]):
    """A dataclass that is a dict as well: the dict is what counts."""

    content: InitVar[dict[str, Any]]
    note: str = "unseen"

    def __post_init__(self, content: dict[str, Any]) -> None:
        self.update(content)


class LikeOrjson:
    """orjson in Python: the same functions, and the same differences from the standard library."""

    OPT_PASSTHROUGH_SUBCLASS = 1 << 8
    OPT_PASSTHROUGH_DATETIME = 1 << 9
    OPT_PASSTHROUGH_DATACLASS = 1 << 11
    RECURSION_LIMIT = 254

    def loads(self, raw: bytes) -> Any:
        """Strict, but for integers beyond 64 bits; has no limit of nesting of its own."""
        try:
            value = self._decoder.decode(raw.decode())
            json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
        except RecursionError:
            raise ValueError("depth limit exceeded") from None
        return value

    def dumps(self, value: Any, default: Callable[[Any], Any], option: int) -> bytes:
        """Knows Enum and UUID, writes null for NaN, asks `default` about all subclasses."""
        assert option == (
            self.OPT_PASSTHROUGH_DATACLASS
            | self.OPT_PASSTHROUGH_DATETIME
            | self.OPT_PASSTHROUGH_SUBCLASS
        )
        try:
            return "".join(self._write(value, default, self.RECURSION_LIMIT)).encode()
        except UnicodeEncodeError as error:
            raise TypeError("str is not valid UTF-8: surrogates not allowed") from error

    def _write(self, value: Any, default: Callable[[Any], Any], levels: int) -> Iterator[str]:
        if not levels:
            raise TypeError("Recursion limit reached")
        kind = type(value)
        if kind in (str, bool, type(None)):
            yield json.dumps(value, ensure_ascii=False)
        elif kind is int:
            if not -(2**63) <= value < 2**64:
                raise TypeError("Integer exceeds 64-bit range")
            yield str(value)
        elif kind is float:
            yield repr(value) if math.isfinite(value) else "null"
        elif kind in (list, tuple):
            yield "["
            for index, child in enumerate(value):
                yield "," if index else ""
                yield from self._write(child, default, levels - 1)
            yield "]"
        elif kind is dict:
            yield "{"
            for index, (key, child) in enumerate(value.items()):
                if type(key) is not str:
                    raise TypeError("Dict key must be str")
                yield ("," if index else "") + json.dumps(key, ensure_ascii=False) + ":"
                yield from self._write(child, default, levels - 1)
            yield "}"
        elif type(kind) is enum.EnumMeta:
            yield from self._write(value.value, default, levels - 1)
        elif kind is uuid.UUID:
            yield f'"{value}"'
        else:
            yield from self._write(default(value), default, levels - 1)

    @staticmethod
    def _refuse(text: str) -> Any:
        raise ValueError(f"unexpected {text}")

    @staticmethod
    def _finite(text: str) -> float:
        number = float(text)
        if math.isinf(number):
            raise ValueError("number is infinity when parsed as double")
        return number

    @staticmethod
    def _integer(text: str) -> int | float:
        number = LikeOrjson._finite(text)
        return int(text) if -(2**63) <= int(text) < 2**64 else number

    @property
    def _decoder(self) -> json.JSONDecoder:
        return json.JSONDecoder(
            parse_constant=self._refuse, parse_float=self._finite, parse_int=self._integer
        )


def like_orjson(version: str = "3.9.15") -> ModuleType:
    made = ModuleType("like_orjson")
    like = LikeOrjson()
    made.__dict__.update({name: getattr(like, name) for name in dir(like) if name[0] != "_"})
    made.__dict__["__version__"] = version
    return made


STANDARD = choose(None)
CHOICES = {found: choose(found) for found in (like_orjson(), find_library()) if found}
FAST = {found.__name__: chosen for found, chosen in CHOICES.items()}
#: Those that are fit for use.
LIBRARIES = {found.__name__: found for found in CHOICES if CHOICES[found].library == "orjson"}
CODECS = {"json": STANDARD, **FAST}


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return CODECS[request.param]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> ModuleType:
    return LIBRARIES[request.param]


def outcome(function: Callable[[Any], Any], argument: object) -> tuple[str, str]:
    """What came of a call, to the last bit: repr tells 1 from 1.0 and -0.0, and keeps the order."""
    try:
        return "value", repr(function(argument))
    except (TypeError, ValueError) as error:
        return type(error).__name__, str(error)


def assert_read_alike(data: object) -> None:
    law = outcome(STANDARD.loads, data)
    for name, fast in FAST.items():
        assert outcome(fast.loads, data) == law, name


def assert_written_alike(value: object) -> None:
    """All refuse with the same words, or write texts that every codec reads as one value."""
    law = what_is_written(STANDARD, value)
    assert len(law) == 1
    for name, fast in FAST.items():
        assert what_is_written(fast, value) == law, name


def what_is_written(codec: Codec, value: object) -> set[tuple[str, str]]:
    try:
        text = codec.dumps(value)
    except (TypeError, ValueError) as error:
        return {(type(error).__name__, str(error))}
    return {outcome(reader.loads, text.encode()) for reader in CODECS.values()}


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


# --- The choice ---


def test_the_standard_library_answers_where_orjson_is_not_installed() -> None:
    assert find_library("no_module_has_this_name") is None
    assert type(choose(None)) is Codec
    assert choose(None).library == "json"


@pytest.mark.parametrize("version", ["3.9.15", "3.10.0", "3.13.0rc1", "4.0"])
def test_orjson_answers_where_it_is_installed(version: str) -> None:
    assert find_library("json") is json
    assert type(choose(like_orjson(version))) is OrjsonCodec
    assert choose(like_orjson(version)).library == "orjson"


@pytest.mark.parametrize("version", ["2.6.8", "3.8.10", "3.9.14"])
def test_an_orjson_that_deep_nesting_can_crash_is_left_aside(version: str) -> None:
    assert type(choose(like_orjson(version))) is Codec


def test_an_empty_folder_named_orjson_is_left_aside() -> None:
    assert type(choose(ModuleType("orjson"))) is Codec


def test_the_functions_of_the_module_use_the_best_library_there_is() -> None:
    best = choose(find_library())
    assert module.library == best.library
    assert module.dumps(EVENT) == best.dumps(EVENT)
    assert module.loads(module.dumps(EVENT)) == module.loads_object(module.dumps(EVENT)) == EVENT


# --- The differences that the guards are for ---


def test_orjson_reads_integers_beyond_64_bits_as_floats(library: ModuleType) -> None:
    assert repr(library.loads(b"[18446744073709551616]")) == "[1.8446744073709552e+19]"
    assert repr(library.loads(b"[-9223372036854775809]")) == "[-9.223372036854776e+18]"


def test_orjson_reads_what_is_nested_deeper_than_our_limit(library: ModuleType) -> None:
    assert library.loads(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)) == nested(MAX_DEPTH + 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "null"),
        (-math.inf, "null"),
        (Colour.RED, '"red"'),
        (Level.LOW, '"low"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    ],
)
def test_orjson_writes_what_the_standard_library_refuses_or_writes_otherwise(
    library: ModuleType, value: object, text: str
) -> None:
    options = (
        library.OPT_PASSTHROUGH_DATACLASS
        | library.OPT_PASSTHROUGH_DATETIME
        | library.OPT_PASSTHROUGH_SUBCLASS
    )
    assert library.dumps(value, None, options).decode() == text


# --- Reading ---

READ: dict[str, object] = {
    "null": None,
    " \t\r\n[true ,false]\n": [True, False],
    '{"a":1,"b":2,"a":3}': {"a": 3, "b": 2},
    "-0": 0,
    "-0.0": -0.0,
    "1E5": 100000.0,
    "1e-999": 0.0,
    "5e-324": 5e-324,
    "9007199254740993.0": 9007199254740992.0,
    "0.1000000000000000055511151231257827021181583404541015625": 0.1,
    "1e999": math.inf,
    "-1e999": -math.inf,
    "9223372036854775807": 2**63 - 1,
    "9223372036854775808": 2**63,
    "18446744073709551615": 2**64 - 1,
    "18446744073709551616": 2**64,
    "-9223372036854775808": -(2**63),
    "-9223372036854775809": -(2**63) - 1,
    "[1,\n18446744073709551616]": [1, 2**64],
    '{"id": -9223372036854775809}': {"id": -(2**63) - 1},
    '"18446744073709551616"': "18446744073709551616",
    '",18446744073709551616"': ",18446744073709551616",
    "12345678901234567890.5": 12345678901234567890.5,
    "0.12345678901234567890": 0.1234567890123456789,
    "[12,123456789012345678,12]": [12, 123456789012345678, 12],
    "1" * DIGITS: int("1" * DIGITS),
    '"\\ud83d\\ude00"': "😀",
    '"\\ud800"': "\ud800",
    '"\\udc00\\ud800"': "\udc00\ud800",
    '{"\\udfff":1}': {"\udfff": 1},
    '"\\u0000\\/\\b"': "\0/\b",
    '"\x7f\u2028\ufffe"': "\x7f\u2028\ufffe",
    json.dumps(EVENT, ensure_ascii=False): EVENT,
    "[" + ",".join(["{}"] * 2000) + "]": [{}] * 2000,
    json.dumps("[" * 3000): "[" * 3000,
    json.dumps("长" * 30000, ensure_ascii=False): "长" * 30000,
}

REFUSED = {
    "": "the text is empty",
    " \r\n": "the text is empty",
    "\0": "line 1 column 1",
    "1\0": "line 1 column 2",
    "\xa01": "line 1 column 1",
    "\x0c1": "line 1 column 1",
    "1 2": "line 1 column 3",
    "{}}": "line 1 column 3",
    "NaN": "NaN is not a JSON number",
    "[Infinity]": "Infinity is not a JSON number",
    "[1,-Infinity]": "-Infinity is not a JSON number",
    "\ufeff{}": "byte order mark",
    '"\x01"': "control character",
    '"\t"': "control character",
    '"\\x41"': "escape",
    '"\\u+041"': "escape",
    '"\\u００４１"': "escape",
    "'a'": "line 1 column 1",
    "{1:2}": "line 1 column 2",
    "[1,]": "line 1 column",
    "[1\n2]": "line 2 column 1",
    "01": "line 1 column 2",
    "+1": "line 1 column 1",
    "1.": "line 1 column 2",
    ".5": "line 1 column 1",
    "1e": "line 1 column 2",
    "1_0": "line 1 column 2",
    "٣": "line 1 column 1",
    "1.٣": "line 1 column 2",
    "1" * (DIGITS + 1): "limit",
    "-" + "1" * (DIGITS + 1): "limit",
}


def shortened(text: str) -> str:
    return ascii(text[:30])


@pytest.mark.parametrize("text", READ, ids=shortened)
def test_valid_json_means_what_the_standard_library_reads_in_it(codec: Codec, text: str) -> None:
    assert repr(codec.loads(text)) == repr(READ[text])


@pytest.mark.parametrize("text", REFUSED, ids=shortened)
def test_invalid_json_is_a_value_error_of_one_line_that_says_why(codec: Codec, text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid JSON: ") as caught:
        codec.loads(text)
    assert REFUSED[text] in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", [*READ, *REFUSED], ids=shortened)
def test_text_and_all_kinds_of_bytes_are_read_alike(text: str) -> None:
    law = outcome(STANDARD.loads, text)
    raw = text.encode()
    apart = memoryview(bytes(byte for pair in zip(raw, raw, strict=True) for byte in pair))[::2]
    for codec in CODECS.values():
        for data in (text, raw, bytearray(raw), memoryview(raw), apart, OfText(text), OfBytes(raw)):
            assert outcome(codec.loads, data) == law


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'"\xff"', "byte 0xff at position 1"),
        (b'{"a":"\xe9"}', "byte 0xe9 at position 6"),
        (b'"\xc0\x80"', "byte 0xc0 at position 1"),
        (b'"\xed\xa0\x80"', "byte 0xed at position 1"),
        (b'"\xe4\xbd', "byte 0xe4 at position 1"),
        ("{}".encode("utf-16"), "byte 0xff at position 0"),
    ],
)
def test_bytes_that_are_not_utf_8_are_refused_rfc_8259_section_8_1(
    codec: Codec, raw: bytes, where: str
) -> None:
    with pytest.raises(ValueError, match=f"invalid UTF-8: {where}"):
        codec.loads(raw)


def test_a_lone_surrogate_in_text_is_read_as_it_is(codec: Codec) -> None:
    assert codec.loads('"\ud800"') == "\ud800"


@pytest.mark.parametrize("data", [None, 5, [], {}])
def test_what_is_neither_text_nor_bytes_is_a_type_error(codec: Codec, data: Any) -> None:
    with pytest.raises(TypeError, match=f"str or bytes, got {type(data).__name__}"):
        codec.loads(data)


@pytest.mark.parametrize(
    "pair", [("[", "]"), ('{"":', "}"), ('[1,{"a":2,"b":', "}]")], ids=["array", "object", "mixed"]
)
def test_the_limit_of_nesting_is_a_number_of_levels_rfc_8259_section_9(
    codec: Codec, pair: tuple[str, str]
) -> None:
    opening, closing = pair
    most = MAX_DEPTH // (opening.count("[") + opening.count("{"))
    text = opening * most + "1" + closing * most
    assert codec.loads(text) == json.loads(text)
    for deeper in (f"[{text}]", opening * 100_000, opening * 100_000 + "1" + closing * 100_000):
        with pytest.raises(ValueError, match=f"nested deeper than {MAX_DEPTH} levels"):
            codec.loads(deeper)


@pytest.mark.parametrize(
    ("data", "got"),
    [
        ("[1]", "a list"),
        ('"a"', "a string"),
        ("1", "a number"),
        (b"1.5", "a number"),
        (b"true", "a boolean"),
        ("null", "null"),
        ("", "invalid JSON: the text is empty"),
        (b'{"a"', "invalid JSON: Expecting ':' delimiter: line 1 column 5 (char 4)"),
        (b"\xff", "invalid UTF-8: byte 0xff at position 0 (invalid start byte)"),
    ],
)
def test_what_is_no_object_is_refused_with_what_it_is(
    codec: Codec, data: str | bytes, got: str
) -> None:
    with pytest.raises(ValueError, match=r"expected a JSON object, ") as caught:
        codec.loads_object(data)
    assert str(caught.value) == f"expected a JSON object, got {got}"


def test_an_object_is_read_as_a_dict(codec: Codec) -> None:
    assert codec.loads_object(json.dumps(EVENT).encode()) == EVENT


# --- Writing ---


WRITTEN: dict[str, object] = {
    "null": None,
    "[true,false,[1,2.5],{}]": [True, False, (1, 2.5), {}],
    '{"a":"你好","b":"\\"\\\\\\n\\u0001\x7f/"}': {"a": "你好", "b": '"\\\n\x01\x7f/'},
    "[9223372036854775808,18446744073709551616]": [2**63, 2**64],
    "-1180591620717411303424": -(2**70),
    '"\\ud800é"': "\ud800é",
    '{"\\udfff":["😀"]}': {"\udfff": ["😀"]},
    '{"1":1,"null":2,"false":3,"1.5":4}': {1: 1, None: 2, False: 3, 1.5: 4},
    '{"1":1,"1":2}': {1: 1, "1": 2},
    '{"type":"at","data":{"qq":1},"_hidden":null}': Segment("at", {"qq": 1}, 2),
    '{"x":1,"rest":{"x":2,"rest":null}}': Point(1, Point(2, None)),
    '[{"type":"text","data":{},"_hidden":null},"a"]': Message([Segment("text", {}, 0), "a"]),
    "[[],[[1]]]": Message([Message(), Message([Message([1])])]),
    '["é",7,0.5]': [OfText("é"), OfInt(7), OfFloat(0.5)],
    '[{"a":1},[1,2]]': [OfDict(a=1), Pair(1, 2)],
    '{"a":{"b":1}}': {OfText("a"): OfDict({OfText("b"): OfInt(1)})},
    '[7,"yes",200]': [Level.LOW, Word.YES, HTTPStatus.OK],
    "[2,1]": Backwards([1, 2]),
    '{"A":1}': Shouting(a=1),
    '{"a":1}': Record({"a": 1}),
    '{"a":{"b":[1]}}': OrderedDict(a=defaultdict(list, b=[1])),
}


@pytest.mark.parametrize("text", WRITTEN, ids=shortened)
def test_a_value_is_written_compactly_as_the_standard_library_writes_it(
    codec: Codec, text: str
) -> None:
    assert codec.dumps(WRITTEN[text]) == text


def test_floats_are_written_so_that_they_are_read_as_the_same_number() -> None:
    floats = [1e16, 1e-7, 5e-324, 1.7976931348623157e308, -0.0, 0.1, 123456789.123]
    assert_written_alike(floats)
    for codec in CODECS.values():
        assert repr(codec.loads(codec.dumps(floats))) == repr(floats)


class Opaque:
    """Has no JSON form."""


@pytest.mark.parametrize(
    "value",
    [
        {1},
        b"a",
        bytearray(b"a"),
        1j,
        Opaque(),
        Segment,
        Colour.RED,
        uuid.UUID(int=1),
        datetime(2021, 1, 1, tzinfo=UTC),
        date(2021, 1, 1),
        time(1, 2, 3),
        range(3),
        array("q", [1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_json_form_is_a_type_error_that_names_type_and_place(
    codec: Codec, value: object
) -> None:
    name = type(value).__qualname__
    with pytest.raises(TypeError, match=f"^cannot write {name} as JSON, .*dataclasses$"):
        codec.dumps(value)
    for inner in (value, [value], Message([value])):
        envelope = {"a": [1.5, "b", Segment("c", {"d": (inner,)}, 0)]}
        with pytest.raises(TypeError, match=f"^cannot write {name} as JSON, .*, at ") as caught:
            codec.dumps(envelope)
        place = "['a'][2]['data']['d'][0]" + ("" if inner is value else "[0]")
        assert str(caught.value).endswith(f", at {place}")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, OfFloat("nan")])
def test_nan_and_infinities_are_refused_rfc_8259_section_6(codec: Codec, number: float) -> None:
    for value in (number, {"a": [1, number]}, Message([number]), Point(0, number), {number: 1}):
        with pytest.raises(ValueError, match="Out of range float"):
            codec.dumps(value)
    with pytest.raises(ValueError, match=r", at \['a'\]\[1\]$"):
        codec.dumps({"a": [1, number]})


def test_a_key_without_a_json_form_is_a_type_error_at_its_object(codec: Codec) -> None:
    with pytest.raises(TypeError, match=r"^keys must be .*, not tuple, at \['a'\]$"):
        codec.dumps({"a": {(1, 2): 3, "b": {4}}})


def test_a_long_key_is_shortened_in_the_message_and_stays_one_line(codec: Codec) -> None:
    with pytest.raises(TypeError) as caught:
        codec.dumps({"\r\n\x1b" * 1000: Opaque()})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_a_value_that_contains_itself_is_a_value_error(codec: Codec) -> None:
    array: list[object] = [1]
    array.append({"a": array})
    point = Point(1, [])
    point.rest.append(point)
    message = Message()
    message.append(message)
    for value, place in ((array, "[1]['a']"), (point, "['rest'][0]"), (message, "[0]")):
        with pytest.raises(ValueError, match="Circular reference detected") as caught:
            codec.dumps(value)
        assert str(caught.value).endswith(f", at {place}")


def test_a_value_that_is_nested_too_deeply_is_a_value_error(codec: Codec) -> None:
    with pytest.raises(ValueError, match="nested too deeply to be written as JSON"):
        codec.dumps(nested(20_000))


@pytest.mark.parametrize("levels", [100, 253, 254, 255, 256, MAX_DEPTH])
def test_what_can_be_read_can_be_written(codec: Codec, levels: int) -> None:
    text = "[" * levels + "]" * levels
    assert codec.dumps(codec.loads(text)) == text


def test_an_integer_with_too_many_digits_is_a_value_error(codec: Codec) -> None:
    with pytest.raises(ValueError, match=r"limit .*, at \[0\]$"):
        codec.dumps([10**DIGITS])


# --- Any JSON, any text, any value ---

fuzz = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NUMBERS = (
    st.integers()
    | st.integers(-(2**63) - 2, -(2**63) + 2)
    | st.integers(2**64 - 2, 2**64 + 2)
    | st.integers(10**17, 10**20)
)
#: Surrogates included.
TEXTS = st.text(st.characters())
TOKENS = st.sampled_from(
    [
        *'[]{}:,"\\-+.eE0123456789 \t\n\0é你😀\ufeff\ud800',
        *("1" * 9, "9" * 18, "9" * 19, "0" * 20, "18446744073709551615", "-9223372036854775808"),
        *("e308", "e-400", "null", "true", "false", "NaN", "Infinity", "[" * 300, "]" * 300),
        *('""', '"a"', "\\ud800", "\\udc00", "\\n", "\\u"),
    ]
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(TEXTS, inner)


JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False) | TEXTS,
    containers,
    max_leaves=20,
)
CLEAN_JSON = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
EDITS = st.lists(st.tuples(st.integers(0), st.integers(0, 3), TOKENS), max_size=3)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | st.floats()
    | TEXTS
    | TEXTS.map(OfText)
    | NUMBERS.map(OfInt)
    | st.floats().map(OfFloat)
    | st.sampled_from([*Colour, *Level, *Word, *HTTPStatus, Opaque, Segment])
    | st.binary()
    | st.uuids()
    | st.datetimes(),
    lambda inner: (
        containers(inner)
        | st.tuples(inner, inner)
        | st.sets(st.integers())
        | st.builds(Pair, inner, inner)
        | st.builds(Point, inner, inner)
        | st.builds(Segment, inner, inner, inner)
        | st.lists(inner).map(Message)
        | st.lists(inner).map(Backwards)
        | st.dictionaries(TEXTS, inner).map(OfDict)
        | st.dictionaries(TEXTS, inner).map(Shouting)
        | st.dictionaries(TEXTS, inner).map(Record)
        | st.dictionaries(TEXTS | NUMBERS | st.floats() | st.booleans() | st.none(), inner)
        | st.dictionaries(TEXTS.map(OfText) | st.tuples(st.integers()) | st.just(Word.YES), inner)
    ),
    max_leaves=20,
)


@fuzz
@given(CLEAN_JSON)
def test_any_json_value_survives_from_any_writer_to_any_reader(value: Any) -> None:
    """What can be written in JSON without loss comes back exactly, whoever writes and reads."""
    for writer in CODECS.values():
        for reader in CODECS.values():
            assert repr(reader.loads(writer.dumps(value).encode())) == repr(value)


@fuzz
@given(VALUES)
def test_any_python_value_is_written_alike_or_refused_alike(value: object) -> None:
    """No value is written by one library that another refuses, or reads as something else."""
    assert_written_alike(value)


@fuzz
@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
def test_any_number_is_read_alike(number: str) -> None:
    """The type and the value of a number depend on its text alone, wherever it stands."""
    for text in (
        number,
        f"\n{number} ",
        f"[{number},-{number}]",
        f'{{"a":{number}}}',
        f'":{number}"',
    ):
        assert_read_alike(text)


@fuzz
@given(st.lists(TOKENS).map("".join))
def test_any_text_is_read_alike_or_refused_alike(text: str) -> None:
    """The pieces JSON is made of, in any order, give one value or one message."""
    assert_read_alike(text)


@fuzz
@given(JSON, st.booleans(), EDITS)
def test_damaged_json_is_read_alike_or_refused_alike(
    value: Any, ascii_only: bool, edits: list[tuple[int, int, str]]
) -> None:
    """JSON with pieces put in, or in the place of others, gives one value or one message."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    for where, length, token in edits:
        start = where % (len(text) + 1)
        text = text[:start] + token + text[start + length :]
    assert_read_alike(text)


@fuzz
@given(JSON, st.integers(0), st.integers(0, 3), st.binary(max_size=4))
def test_damaged_bytes_are_read_alike_or_refused_alike(
    value: Any, where: int, length: int, piece: bytes
) -> None:
    """UTF-8 with some of its bytes exchanged gives one value or one message."""
    raw = json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    start = where % (len(raw) + 1)
    assert_read_alike(raw[:start] + piece + raw[start + length :])


# Short cuts past what the standard library does for each text and each value.


@fuzz
@given(st.lists(TOKENS).map("".join) | JSON.map(json.dumps), st.text(" \t\n\r\x0b\xa0", max_size=2))
def test_a_text_is_read_as_by_the_long_way(text: str, blanks: str) -> None:
    """With blanks around it, more behind it, or nested too deeply: one value or one message."""
    for each in (text, blanks + text, text + blanks, text + blanks + text, f"[{text}"):
        assert outcome(STANDARD.loads, each) == outcome(STANDARD._load, each)


@fuzz
@given(VALUES)
def test_a_value_is_written_as_by_the_public_way(value: object) -> None:
    """`JSONEncoder.encode` writes the same text, or fails of the same value."""
    try:
        text = module._escape_surrogates(module._encoder.encode(value))
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error), match=f"^{re.escape(str(error))}"):
            STANDARD.dumps(value)
    else:
        assert STANDARD.dumps(value) == text


class ShortOnly(Codec):
    """Reads by the short cut alone."""

    def _load(self, text: str) -> Any:
        raise AssertionError(f"the long way was taken by {text!r}")


@pytest.mark.parametrize("blanks", ["", "\n", "\r\n", " \t\n"])
def test_blanks_at_the_end_do_not_have_a_text_read_twice(blanks: str) -> None:
    assert ShortOnly().loads(f'{{"a": 1}}{blanks}') == {"a": 1}


class Watched(dict[str, object]):
    """Counts how often it is written."""

    times = 0

    def items(self) -> Any:
        self.times += 1
        return super().items()


def test_a_value_that_contains_itself_is_found_out_at_once() -> None:
    """Not at the end of the stack, which in a thread may come before Python's limit."""
    value = Watched()
    value["itself"] = [value]
    with pytest.raises(ValueError, match="Circular reference detected"):
        STANDARD.dumps(value)
    assert value.times < 10


class Nosy(dict[str, object]):
    """Looks at its own text whenever it is written, and fails if told to."""

    text = ""
    fails = False

    def items(self) -> Any:
        if self.fails:
            raise ArithmeticError("it does not want to be written")
        if not self.text:
            self.text = "..."
            self.text = STANDARD.dumps([self])
        return super().items()


def test_a_value_may_be_written_while_it_is_being_written() -> None:
    value = Nosy(a=[1])
    assert STANDARD.dumps({"b": value}) == '{"b":{"a":[1]}}'
    assert value.text == '[{"a":[1]}]'


def test_what_could_not_be_written_can_be_once_it_is_right() -> None:
    value = Nosy(a=[1])
    value.fails = True
    with pytest.raises(ArithmeticError):
        STANDARD.dumps([value])
    value.fails = False
    assert STANDARD.dumps([value]) == '[{"a":[1]}]'
    assert not module._being_written


@pytest.mark.parametrize("make", [None, lambda: None], ids=["none", "another"])
def test_without_the_writer_that_we_know_the_public_way_is_taken(
    make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other Pythons have none, and later ones may have one with other arguments."""
    with monkeypatch.context() as context:
        context.setattr(json.encoder, "c_make_encoder", make)
        write = module._find_writer()
    for value in (EVENT, "text", [1.5, None, {"a": [True]}]):
        assert "".join(write(value, 0)) == module._encoder.encode(value)
