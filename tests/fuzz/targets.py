"""What can be fuzzed: bytes in, and an exception if they break something.

The first byte of an input says how the server is set and how the conversation ends, the second
where the rest, which is what the peer sends, is cut.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator

from support.frames import take_frame

from . import answers, corpus, lanes, openings, sessions
from .conversation import Act, Manner, Setting, Step
from .judgement import hear, lanes_agree, means_the_same
from .test_connections import test_whatever_a_peer_does_nothing_breaks_and_every_answer_is_right

ENDS: list[list[Step]] = [[], [Act.END], [Act.RESET], [100.0, Act.END]]
#: The seeds need not be longer: what is long in the corpus is so by repeating itself.
LONGEST_SEED = 4_000


class Target(ABC):
    """Something that takes an input."""

    @abstractmethod
    def check(self, data: bytes) -> None:
        """Raises AssertionError if an invariant does not hold."""

    @abstractmethod
    def seeds(self) -> Iterator[bytes]:
        """The cases of the corpus as inputs."""

    def case(self, data: bytes) -> tuple[str, str]:
        """The folder of the corpus, and the text of a case, that such an input belongs in."""
        raise ValueError("expected a find that is bytes from a peer; write this one as a test")


def in_steps(data: bytes, size: int) -> list[bytes]:
    """`data` cut into pieces of so many bytes, or not at all for 0."""
    size = size or len(data) or 1
    return [data[start : start + size] for start in range(0, len(data), size)]


class Connection(Target):
    """A connection of a server, up to `opening` right, and from there on whatever comes."""

    def __init__(self, folder: str, opening: bytes = b"") -> None:
        self._folder = folder
        self._opening = opening

    def _read(self, data: bytes) -> tuple[Setting, bytes, int, list[Step]]:
        flags, size, *_ = data[:2].ljust(2, b"\0")
        setting = Setting(
            manner=Manner.LISTEN if flags & 1 else Manner.RECEIVE,
            deflate=bool(flags & 2),
            max_parked=0 if flags & 4 else 4_000,
        )
        opening = self._opening
        if opening:
            offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if flags & 2 else b""
            opening += offer + b"\r\n"
        return setting, opening + data[2:], size, ENDS[flags >> 3 & 3]

    def check(self, data: bytes) -> None:
        """All that holds for a conversation; and cut or not, it is the same."""
        setting, sent, size, end = self._read(data)
        if end:
            hear([*in_steps(sent, size), *end], setting)
        else:
            means_the_same(sent, [in_steps(sent, size)], setting)

    def seeds(self) -> Iterator[bytes]:
        """Its own folder's, without the opening."""
        for case in corpus.cases():
            if case.name.startswith(f"{self._folder}/"):
                _, sent = case.sent.split(b"\r\n\r\n", 1) if self._opening else (b"", case.sent)
                yield (b"\x02\x00" + sent)[:LONGEST_SEED]

    def case(self, data: bytes) -> tuple[str, str]:
        """See `Target.case`."""
        setting, sent, _, _ = self._read(data)
        said, verdict = hear([sent], setting)
        lines = ["why = 'found by fuzzing: say here what it broke'", "send = ["]
        lines += [f"    {_toml(line)}," for line in data[2:].splitlines(keepends=True)]
        lines += ["]", f"answers = {verdict.statuses}"]
        if self._opening:
            if setting.deflate:
                lines.append("offer = 'permessage-deflate'")
            lines.append(f"pongs = [{', '.join(map(_toml, verdict.pongs))}]")
            lines.append(f"close = {verdict.close or 0}")
            if all(isinstance(message, str) for message in said.messages):
                lines.append(f"messages = [{', '.join(map(_toml, said.messages))}]")
        if setting.max_parked == 0:
            lines.append("setting = { max_parked = 0 }")
        return self._folder, "\n".join([*lines, ""])


def _toml(data: bytes | str) -> str:
    """A TOML string, of ISO 8859-1 if it stands for bytes (JSON's escapes are TOML's but DEL's)."""
    if isinstance(data, bytes):
        return json.dumps(data.decode("latin-1")).replace("\x7f", "\\u007f")
    return json.dumps(data, ensure_ascii=False).replace("\x7f", "\\u007f")


class Frames(Target):
    """A session of either role beside websockets and wsproto."""

    def check(self, data: bytes) -> None:
        """Cut or not and in either lane it is the same; and what we accept, it is to others too."""
        flags, size, *_ = data[:2].ljust(2, b"\0")
        client, deflate, sent = bool(flags & 1), bool(flags & 2), data[2:]
        sessions.means_the_same(sent, in_steps(sent, size), client=client, deflate=deflate)
        sessions.lanes_agree(in_steps(sent, size), client=client)
        sessions.agree_with_websockets(sent, client=client, deflate=deflate)
        if not deflate:
            sessions.agree_with_wsproto(sent, client=client)

    def seeds(self) -> Iterator[bytes]:
        """Those of WebSockets, as they are and as a server would send them."""
        for case in corpus.cases():
            if case.name.startswith("websocket/"):
                sent = case.sent.split(b"\r\n\r\n", 1)[1][:LONGEST_SEED]
                yield b"\x02\x00" + sent
                yield b"\x03\x00" + _unmasked(sent)


def _unmasked(sent: bytes) -> bytes:
    buffer, unmasked = bytearray(sent), bytearray()
    while take_frame(rest := bytearray(buffer)) is not None:
        frame = buffer[: len(buffer) - len(rest)]
        buffer = rest
        if frame[1] & 0x80:
            size = {0xFE: 4, 0xFF: 10}.get(frame[1], 2)
            frame[1] &= 0x7F
            del frame[size : size + 4]  # a key of zeros, so that the payload stays what it is
        unmasked += frame
    return bytes(unmasked)


class Grammar(Target):
    """The property of whole connections, whose strategies are guided instead of drawn at random."""

    def check(self, data: bytes) -> None:
        """What hypothesis makes of the bytes has to hold."""
        test = test_whatever_a_peer_does_nothing_breaks_and_every_answer_is_right
        test.hypothesis.fuzz_one_input(data)  # type: ignore[attr-defined]

    def seeds(self) -> Iterator[bytes]:
        """None: the bytes are choices, not what is sent."""
        return iter(())


class Lanes(Target):
    """A connection in both lanes: the bytes say what is sent, mostly such as clients send."""

    def check(self, data: bytes) -> None:
        """Both lanes are the same to whoever looks."""
        flags = data[0] if data else 0
        setting = Setting(
            manner=Manner.LISTEN if flags & 1 else Manner.RECEIVE,
            slow=bool(flags & 2),
            max_parked=0 if flags & 4 else 4_000,
        )
        lanes_agree([*lanes.pieces_of(data[1:]), *ENDS[flags >> 3 & 3]], setting)

    def seeds(self) -> Iterator[bytes]:
        """The corpus, whole and cut between requests and frames, and what clients send."""
        yield from lanes.SEEDS
        for case in corpus.cases():
            opening, end, rest = case.sent[:LONGEST_SEED].partition(b"\r\n\r\n")
            yield b"\x00" + lanes.saying([case.sent[:LONGEST_SEED]])
            yield b"\x01" + lanes.saying([opening + end, rest])


class Openings(Target):
    """A client's WebSocket: what a server answers to its opening, or sends behind a right 101."""

    def check(self, data: bytes) -> None:
        """Nothing breaks, nothing is left, and websockets reads the same."""
        flags, size, *_ = data[:2].ljust(2, b"\0")
        end = (None, Act.END, Act.RESET, None)[flags >> 3 & 3]
        sent = in_steps(data[2:], size)
        openings.open_to(sent, right=bool(flags & 1), deflate=bool(flags & 2), end=end)

    def seeds(self) -> Iterator[bytes]:
        """Some answers, and the frames of the corpus as a server would send them."""
        for answer in openings.ANSWERS:
            yield b"\x00\x00" + answer
            yield b"\x08\x03" + answer
        for case in corpus.cases():
            if case.name.startswith("websocket/"):
                sent = _unmasked(case.sent.split(b"\r\n\r\n", 1)[1][:LONGEST_SEED])
                yield b"\x01\x00" + sent
                yield b"\x03\x00" + sent


class Answers(Target):
    """A client's request, and whatever a server answers to it."""

    def check(self, data: bytes) -> None:
        """Nothing breaks, nothing is left, and http.client reads the same."""
        flags, size, *_ = data[:2].ljust(2, b"\0")
        answers.ask(
            in_steps(data[2:], size),
            method=answers.METHODS[flags % 3],
            follow_redirects=bool(flags & 4),
            end=(None, Act.END, Act.RESET, None)[flags >> 3 & 3],
        )

    def seeds(self) -> Iterator[bytes]:
        """Some answers, whole and in pieces, with each end."""
        for number, answer in enumerate(answers.ANSWERS):
            yield bytes([number % 3, 0]) + answer
            yield bytes([8 + number % 3, 7]) + answer


TARGETS: dict[str, Target] = {
    "http": Connection("http"),
    "websocket": Connection("websocket", corpus.OPENING),
    "frames": Frames(),
    "grammar": Grammar(),
    "lanes": Lanes(),
    "openings": Openings(),
    "answers": Answers(),
}


def words() -> list[bytes]:
    """What stands in the corpus, line by line: a dictionary for who knows nothing of HTTP."""
    found = dict.fromkeys(
        word
        for case in corpus.cases()
        for line in case.sent[:LONGEST_SEED].splitlines(keepends=True)
        for word in [line, *line.split(b": ")]
        if 2 <= len(word) <= 60
    )
    return [*found, b"\r\n\r\n"]
