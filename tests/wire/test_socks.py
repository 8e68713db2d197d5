"""SOCKS5: what is sent, byte for byte (RFC 1928, RFC 1929), and what each answer means."""

from __future__ import annotations

import pytest

from nbdriver.errors import ConnectError
from nbdriver.wire.socks import handshake

ANYBODY = b"\x05\x00"
PASSWORD = b"\x05\x02"
ACCEPTED = b"\x01\x00"
CONNECTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"
ME = ("me", "秘密")


def play(
    answers: bytes,
    host: str = "a.example",
    port: int = 80,
    credentials: tuple[str, str] | None = None,
) -> tuple[list[bytes], bytes, bool]:
    """Answer as far as it goes; what was sent, what was not read, whether the handshake is over."""
    steps = handshake(host, port, credentials)
    send, count = next(steps)
    sent = [send]
    while len(answers) >= count:
        answer, answers = answers[:count], answers[count:]
        try:
            send, count = steps.send(answer)
        except StopIteration:
            return sent, answers, True
        sent += [send] if send else []
    return sent, answers, False


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("a.example", 80, b"\x03\x09a.example\x00\x50"),
        ("a.example.", 65_535, b"\x03\x0aa.example.\xff\xff"),
        ("xn--fsq.example", 443, b"\x03\x0fxn--fsq.example\x01\xbb"),
        ("127.0.0.1", 8080, b"\x01\x7f\x00\x00\x01\x1f\x90"),
        ("2001:db8::1", 1, b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x00\x01"),
        ("a" * 63 + ".b", 1, b"\x03\x41" + b"a" * 63 + b".b\x00\x01"),
    ],
)
def test_names_are_for_the_proxy_to_resolve_and_addresses_are_sent_as_such(
    host: str, port: int, address: bytes
) -> None:
    sent, _, over = play(ANYBODY + CONNECTED, host, port)
    assert sent == [b"\x05\x01\x00", b"\x05\x01\x00" + address]
    assert over


def test_a_password_is_sent_to_a_proxy_that_asks_for_it() -> None:
    sent, _, over = play(PASSWORD + ACCEPTED + CONNECTED, credentials=ME)
    assert sent[:2] == [b"\x05\x02\x00\x02", b"\x01\x02me\x06" + "秘密".encode()]
    assert sent[2].startswith(b"\x05\x01\x00\x03")
    assert over


def test_a_password_is_not_sent_to_a_proxy_that_does_not_ask_for_it() -> None:
    sent, _, over = play(ANYBODY + CONNECTED, credentials=ME)
    assert "秘密".encode() not in b"".join(sent)
    assert over


@pytest.mark.parametrize("parts", [("a" * 255, "b" * 255), ("me", ""), ("", "")])
def test_names_and_passwords_may_be_as_long_as_their_length_can_say(parts: tuple[str, str]) -> None:
    sent, *_ = play(PASSWORD, credentials=parts)
    name, password = (part.encode() for part in parts)
    assert sent[1] == bytes([1, len(name)]) + name + bytes([len(password)]) + password


@pytest.mark.parametrize(
    "bound",
    [
        b"\x01\x00\x00\x00\x00\x00\x00",
        b"\x03\x00\x00\x50",
        b"\x03\x07a.local\x00\x50",
        b"\x03\xff" + b"a" * 255 + b"\x00\x50",
        b"\x04" + bytes(16) + b"\x00\x50",
    ],
)
def test_it_is_over_with_the_last_byte_of_the_answer_and_not_one_is_read_beyond(
    bound: bytes,
) -> None:
    answers = ANYBODY + b"\x05\x00\x00" + bound
    assert play(answers + b"beyond")[1:] == (b"beyond", True)
    for end in range(len(answers)):
        assert not play(answers[:end])[2]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (1, "a general failure"),
        (2, "its rules do not allow it"),
        (3, "the network is unreachable"),
        (4, "the host is unreachable"),
        (5, "the connection was refused"),
        (6, "the time to live has expired"),
        (7, "it does not know the command CONNECT"),
        (8, "it does not know this kind of address"),
        (9, "reason 9"),
        (255, "reason 255"),
    ],
)
def test_a_refusal_says_its_reason_even_if_nothing_follows_it(reply: int, words: str) -> None:
    with pytest.raises(ConnectError, match=f"it has not connected: {words}"):
        play(ANYBODY + bytes([5, reply]))


@pytest.mark.parametrize(
    ("answers", "credentials", "words"),
    [
        (b"HTTP/1.1 400 Bad Request", None, r"SOCKS5 \(5\), got 72: is it an HTTP proxy\?"),
        (b"\x04\x00", None, r"SOCKS5 \(5\), got 4$"),
        (b"\x05\xff", None, "it wants a name and a password: .*socks5://name:password@host:port"),
        (b"\x05\xff", ME, "it wants more than a name and a password"),
        (b"\x05\x02", None, r"that we know, \[0\], got 2"),
        (b"\x05\x01", ME, r"that we know, \[0, 2\], got 1"),
        (PASSWORD + b"\x05\x00", ME, r"SOCKS5 \(1\), got 5"),
        (PASSWORD + b"\x01\x01", ME, "it does not accept the name and password in its URL"),
        (PASSWORD + b"\x01\xff", ME, "it does not accept the name and password in its URL"),
        (PASSWORD + ACCEPTED + b"\x05\x02", ME, "its rules do not allow it"),
        (ANYBODY + b"\x04\x5a", None, r"SOCKS5 \(5\), got 4$"),
        (ANYBODY + b"\x05\x00\x01\x01", None, "begins 1, 1"),
        (ANYBODY + b"\x05\x00\x00\x00", None, "begins 0, 0"),
        (ANYBODY + b"\x05\x00\x00\x02", None, "begins 0, 2"),
        (ANYBODY + b"\x05\x00\x00\x05", None, "begins 0, 5"),
    ],
)
def test_an_answer_that_says_no_or_is_none_is_an_error_in_words(
    answers: bytes, credentials: tuple[str, str] | None, words: str
) -> None:
    with pytest.raises(ConnectError, match=words) as caught:
        play(answers, credentials=credentials)
    assert "秘密" not in str(caught.value)
