"""`.env` files are read as python-dotenv reads them, and what it only warns of is an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdriver.dotenv import parse, read
from nbdriver.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("A = 1 \t", {"A": "1"}),
        ("  A=b c", {"A": "b c"}),
        ("A=x=y", {"A": "x=y"}),
        ("A=它 說", {"A": "它 說"}),
        ("'A b'=1", {"A b": "1"}),
        ("export A=1", {"A": "1"}),
        ("export\tA=1", {"A": "1"}),
        ("export=1", {"export": "1"}),
        ("exported=1", {"exported": "1"}),
        ("A=1\nA=2", {"A": "2"}),
        ("a=1\nA=2", {"a": "1", "A": "2"}),
    ],
)
def test_a_statement_is_a_name_and_a_value(text: str, expected: dict[str, str]) -> None:
    assert parse(text, {}) == expected


@pytest.mark.parametrize("text", ["A=", "A= ", "A=''", 'A=""', "A= # comment"])
def test_a_value_may_be_empty(text: str) -> None:
    assert parse(text, {}) == {"A": ""}


def test_a_name_without_an_equals_sign_has_no_value() -> None:
    assert parse("A\nexport B # comment\nC=1", {}) == {"A": None, "B": None, "C": "1"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=x # comment", "x"),
        ("A=x\t#comment", "x"),
        ("A=x#y", "x#y"),
        ("A=#x", "#x"),
        ("A='x # y' # comment", "x # y"),
        ('A="x # y"# comment', "x # y"),
    ],
)
def test_a_comment_within_a_line_begins_after_white_space_or_a_quote(text: str, value: str) -> None:
    assert parse(text, {}) == {"A": value}


def test_comments_and_empty_lines_say_nothing() -> None:
    assert parse("# a\n\n \t\n  # b = c\nA=1\n#", {}) == {"A": "1"}
    assert parse("", {}) == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\nb\tc\\d\"e\'f\r\a\b\f\v"', "a\nb\tc\\d\"e'f\r\a\b\f\v"),
        (r'"\x41\u0041\0"', r"\x41\u0041\0"),
        ('"two\nlines"', "two\nlines"),
        (r"'a\nb\'c\\d\"e'", r"a\nb'c\d\"e"),
        ("'two\nlines'", "two\nlines"),
        ('a"b"', 'a"b"'),
        ('{"a": "b"}', '{"a": "b"}'),
    ],
)
def test_quotes_keep_lines_and_double_ones_have_escapes(text: str, value: str) -> None:
    assert parse(f"A={text}\nB=2", {}) == {"A": value, "B": "2"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${B}", "above"),
        ("<${B}${C}>", "<aboveenvironment>"),
        ("'${B}'", "above"),
        ("${NONE}", ""),
        ("${NONE:-other}", "other"),
        ("${NONE:-}", ""),
        ("${EMPTY:-other}", ""),
        ("${BARE:-other}", ""),
        ("$B ${B", "$B ${B"),
        ("${A:-itself}", "itself"),
    ],
)
def test_a_variable_is_what_stands_above_or_in_the_environment_or_its_default(
    text: str, value: str
) -> None:
    environ = {"B": "hidden", "C": "environment"}
    assert parse(f"B=above\nEMPTY=\nBARE\nA={text}", environ)["A"] == value


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system(end: str, tmp_path: Path) -> None:
    text = end.join(["A=1", "# comment", 'B="two', 'lines"', "C=3", ""])
    assert parse(text, {}) == {"A": "1", "B": f"two{end}lines", "C": "3"}
    path = tmp_path / ".env"
    path.write_bytes(text.encode())
    assert read(path, {}) == {"A": "1", "B": "two\nlines", "C": "3"}


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1", encoding="utf-8-sig")
    assert read(path, {}) == parse("\ufeffA=1", {}) == {"A": "1"}


@pytest.mark.parametrize(
    "line",
    [
        "TOKEN hunter2",
        "=hunter2",
        'TOKEN="hunter2',
        "TOKEN='hunter2",
        "'TOKEN=hunter2",
        'TOKEN="hunter2" hunter2',
        "TOKEN='hunter2'hunter2",
        "export =hunter2",
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_not_quoted(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"\n# comment\r\nA='\n'\r{line}\nB=2", {}, "folder/.env")
    assert str(caught.value).startswith("folder/.env, line 5: expected NAME=value")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there_and_a_folder_say_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / ".env", {}) == read(tmp_path, {}) == {}


def test_a_file_that_cannot_be_opened_is_an_error_that_says_why(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.symlink_to(path)
    with pytest.raises(ConfigError, match=r"\.env: cannot be read \(.+\)"):
        read(path, {})


def test_a_file_in_another_encoding_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes("A=1\nB=机器人\n".encode("gbk"))
    with pytest.raises(ConfigError, match=r"\.env, line 2: expected UTF-8"):
        read(path, {})


@given(st.text().filter(lambda text: "${" not in text))
def test_what_is_escaped_and_quoted_is_read_back(value: str) -> None:
    """Any value, its backslashes and quotes escaped, in double quotes, is that value."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'A="{escaped}"', {}) == {"A": value}


@given(st.text(st.sampled_from("aA='\"\\# \t\n\r${}:-\ufeff"), max_size=40))
def test_any_text_is_read_or_refused_with_the_line_of_the_fault(text: str) -> None:
    """Parsing gives values or a `ConfigError`, and what stands above the line it names is fine."""
    try:
        parse(text, {})
    except ConfigError as error:
        line = int(str(error).split("line ")[1].split(":")[0])
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert 1 <= line <= len(lines)
        parse("\n".join(lines[: line - 1]), {})
