"""One target under atheris: `python -m fuzz.guided TARGET`, and options of libFuzzer.

The modules whose branches guide it are instrumented while they are imported, so this comes first.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(
    include=["nbdriver.wire", "nbdriver.net", "nbdriver.inbox", "nbdriver.client"]
):
    from . import targets

if __name__ == "__main__":
    program, name, *options = sys.argv
    atheris.Setup([program, *options], targets.TARGETS[name].check)
    atheris.Fuzz()
