"""Which names of charsets from outside are taken at their word; pure.

Python has encodings that are no charsets: some of them ("punycode") take the square of the time,
some give a warning for what they read. And whoever asks Python for one by a name has the name kept
for ever, so that names which nobody knows would fill the memory. So only those on a list are asked
for.
"""

from __future__ import annotations

import codecs
from encodings.aliases import aliases
from typing import Final

__all__ = ["charset_of"]

#: Names of Python's modules; the ones in its list of aliases are all but these.
_NO_CHARSETS: Final = frozenset(
    "base64_codec bz2_codec hex_codec mbcs quopri_codec rot_13 utf_7 uu_codec zlib_codec".split()
)
_WITHOUT_ALIAS: Final = frozenset(
    "cp720 cp737 cp856 cp874 cp875 iso8859_1 koi8_t koi8_u mac_romanian utf_8_sig".split()
)
_CHARSETS: Final = (frozenset(aliases.values()) | _WITHOUT_ALIAS) - _NO_CHARSETS
_LONGEST: Final = 40


def charset_of(name: str) -> str | None:
    """What Python calls the charset `name`, to decode text with; None if it is none."""
    if len(name) > _LONGEST:
        return None
    name = name.lower().replace("-", "_").replace(".", "_").replace(":", "_")
    module = aliases.get(name, name)
    return codecs.lookup(module).name if module in _CHARSETS else None
