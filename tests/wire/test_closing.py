"""Close codes and reasons: RFC 6455, 5.5.1 and 7.4."""

from __future__ import annotations

import pytest

from nbdriver.wire.closing import check_code, clip_reason


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1014), 3000, 3999, 4000, 4999])
def test_a_code_that_may_be_sent_passes(code: int) -> None:
    check_code(code)


@pytest.mark.parametrize(
    "code", [-1, 0, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, 65536, 70000]
)
def test_any_other_code_is_a_value_error_that_names_it(code: int) -> None:
    with pytest.raises(ValueError, match=rf"got {code}$"):
        check_code(code)


@pytest.mark.parametrize(
    ("reason", "clipped"),
    [
        ("", ""),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("汉" * 41, "汉" * 41),
        ("汉" * 42, "汉" * 41),
        ("x" + "汉" * 41, "x" + "汉" * 40),
    ],
)
def test_a_reason_is_cut_to_what_a_control_frame_can_carry_between_characters(
    reason: str, clipped: str
) -> None:
    assert clip_reason(reason) == clipped
    assert len(clipped.encode()) <= 123


def test_a_reason_with_a_lone_surrogate_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        clip_reason("\ud800")
