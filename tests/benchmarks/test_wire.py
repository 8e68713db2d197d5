"""The bytes that are sent and expected are those of the RFC."""

from __future__ import annotations

import pytest

from benchmarks import wire


def test_a_frame_is_as_rfc_6455_5_7_has_it() -> None:
    assert wire.server_frame(b"Hello") == bytes.fromhex("81 05 48 65 6c 6c 6f")
    assert wire.server_frame(bytes(256))[:4] == bytes.fromhex("81 7e 01 00")
    assert wire.server_frame(bytes(65536))[:10] == bytes.fromhex("81 7f 00 00 00 00 00 01 00 00")
    hello = bytes.fromhex("7f 9f 4d 51 58")
    assert wire.mask(hello, bytes.fromhex("37 fa 21 3d")) == b"Hello"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_masked_frame_holds_its_payload(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    frame = wire.client_frame(payload)
    masked = frame[len(frame) - size :]
    key = frame[len(frame) - size - 4 : len(frame) - size]
    assert frame[1] & 0x80
    assert wire.mask(masked, key) == payload


def test_the_accept_value_is_that_of_rfc_6455_1_3() -> None:
    assert wire.ws_accept(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
