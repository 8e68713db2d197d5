"""The corpus: every input that once broke something, here or in another server, with its verdict.

A case is a TOML file in `tests/corpus/`, whose name says what it broke. Keys:

- `why`: what went wrong where;
- `send`: what the peer sends, a list of pieces: a text of ISO 8859-1, so that any byte can stand
  in it; `{ hex = "..." }`; `{ times = 100, of = piece }`; `{ inflates_to = 1000 }`, so many zeros,
  compressed; `{ frame = piece, opcode = 1, fin = true, rsv = 0 }`. A WebSocket opens by itself,
  with the extension that `offer` names, and `send` is what follows;
- `answers`: the statuses that have to come back, `{ times = 100, of = 200 }` among them;
- of a WebSocket `messages` (text), `pongs` and `close`, the code of our Close (0: none);
- `setting`: limits, where a smaller one makes the case shorter.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import frames
from support.deflate import bomb

from .conversation import Setting

FOLDER = Path(__file__).parents[1] / "corpus"
OPENING = (
    b"GET /a/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
DEFAULTS: dict[str, Any] = {
    "deflate": True,
    "max_head": 65_536,
    "max_target": 8_192,
    "max_headers": 100,
    "max_body": 16 * 2**20,
    "read_ahead": 65_536,
    "max_message": 16 * 2**20,
    "max_fragments": 4_096,
    "max_parked": 4 * 2**20,
    "write_buffer": 65_536,
}


@dataclass(frozen=True)
class Case:
    """One input, and what has to come of it; None for what the case says nothing of."""

    name: str
    sent: bytes
    setting: Setting
    answers: list[int]
    messages: list[str | bytes] | None = None
    pongs: list[bytes] | None = None
    close: int | None = None


def cases() -> Iterator[Case]:
    """All there are, in the order of their names."""
    for path in sorted(FOLDER.glob("*/*.toml")):
        yield read(path.relative_to(FOLDER).with_suffix("").as_posix(), path.read_text("utf-8"))


def read(name: str, text: str) -> Case:
    """A case from the text of its file. Raises ValueError for a key that has no meaning."""
    told = tomllib.loads(text)
    told.pop("why")
    sent = b"".join(map(_piece, told.pop("send")))
    offer = told.pop("offer", "")
    answers: list[int] = []
    for answer in told.pop("answers"):
        answers += [answer] if isinstance(answer, int) else [answer["of"]] * answer["times"]
    if name.startswith("websocket/"):
        extensions = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
        sent = OPENING + extensions.encode() + b"\r\n" + sent
    case = Case(
        name,
        sent,
        Setting(**{**DEFAULTS, **told.pop("setting", {})}),
        answers,
        told.pop("messages", None),
        [pong.encode("latin-1") for pong in told.pop("pongs", [])] if 101 in answers else None,
        told.pop("close", None),
    )
    if told:
        raise ValueError(f"{name}: expected the keys that {__name__} names, got {', '.join(told)}")
    return case


def _piece(piece: str | dict[str, Any]) -> bytes:
    match piece:
        case str():
            return piece.encode("latin-1")
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"times": times, "of": repeated}:
            return _piece(repeated) * int(times)
        case {"inflates_to": size}:
            return bomb(int(size))
        case {"frame": payload, **bits}:
            opcode = bits.pop("opcode", frames.TEXT)
            return frames.frame(_piece(payload), opcode, **bits)
    raise ValueError(f"expected a piece that {__name__} names, got {piece!r}")
