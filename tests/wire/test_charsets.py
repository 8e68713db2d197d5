"""Names of charsets: those that stand for text, and nothing kept of the others."""

from __future__ import annotations

import codecs
import encodings
import pkgutil

import pytest
from fuzz.strategies import BOUNDED
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.wire.charsets import charset_of

#: Those that are not on our list, with why.
NO_CHARSETS = {
    "aliases", "charmap",  # no encodings
    "base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec",
    "idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf_7",
    "mbcs", "oem", "cp65001", "_win_cp_codecs",  # what they are depends on the machine
    "cp1006", "mac_arabic", "mac_croatian", "mac_farsi", "palmos",  # of no use in HTTP
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "python"),
    [
        ("utf-8", "utf-8"), ("UTF8", "utf-8"), ("Utf_8", "utf-8"), ("utf-8-sig", "utf-8-sig"),
        ("iso-8859-1", "iso8859-1"), ("latin-1", "iso8859-1"), ("us-ascii", "ascii"),
        ("GB2312", "gb2312"), ("gbk", "gbk"), ("gb18030", "gb18030"), ("big5", "big5"),
        ("Shift_JIS", "shift_jis"), ("euc-kr", "euc_kr"), ("windows-1251", "cp1251"),
        ("KOI8-R", "koi8-r"), ("koi8-u", "koi8-u"), ("utf-16le", "utf-16-le"),
    ],
)  # fmt: skip
def test_a_charset_has_the_name_by_which_python_knows_it(name: str, python: str) -> None:
    assert charset_of(name) == python


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "utf-9", "punycode", "idna", "unicode_escape", "undefined", "utf-7", "base64",
        "zlib", "rot13", "mbcs", "oem", "aliases", "\x00", "é", "..utf_8", "utf-8" + " " * 40,
    ],
)  # fmt: skip
def test_what_stands_for_no_text_is_no_charset(name: str) -> None:
    assert charset_of(name) is None


def test_every_encoding_of_python_is_a_charset_or_known_to_be_none() -> None:
    modules = {module.name for module in pkgutil.iter_modules(encodings.__path__)}
    ours = {name for name in modules if charset_of(name) is not None}
    assert modules - ours <= NO_CHARSETS
    assert not ours & NO_CHARSETS


@BOUNDED
@given(st.text(max_size=50) | st.sampled_from(["gbk", "utf-8", "idna", "hex"]), st.binary())
def test_whatever_is_a_charset_decodes_whatever_comes(name: str, data: bytes) -> None:
    if (charset := charset_of(name)) is not None:
        assert codecs.lookup(charset).name == charset
        assert isinstance(data.decode(charset, "replace"), str)


def test_names_that_nobody_knows_are_not_kept() -> None:
    # Python's own memory, which `codecs.lookup` fills.
    kept = vars(encodings)["_cache"]
    before = len(kept)
    assert charset_of("nobody-knows-this-name") is None
    assert len(kept) == before
