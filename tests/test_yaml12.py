"""YAML 1.2: what scalars mean, where parts stand, what is refused and how that is said."""

from __future__ import annotations

import math
from typing import Any

import pytest

from proofrig.errors import Problem, SuiteError
from proofrig.yaml12 import MAX_ALIASED, MAX_BYTES, MAX_DEPTH, parse, plain


def refused(text: str | bytes) -> Problem:
    with pytest.raises(SuiteError) as caught:
        parse(text, "s.yaml")
    (problem,) = caught.value.problems
    return problem


def place(problem: Problem) -> tuple[str, int, int]:
    return problem.file, problem.line, problem.column


@pytest.mark.parametrize("text", ["no", "yes", "on", "off", "y", "N", "Yes"])
def test_words_are_text_not_booleans(text: str) -> None:
    assert parse(f"a: {text}").value == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("12:30:45", "12:30:45"),
        ("2026-01-31", "2026-01-31"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        (".", "."),
        ("-", "-"),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("null", None),
        ("", None),
        ("nULL", "nULL"),
    ],
)
def test_plain_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    found = plain(text)
    assert (found, type(found)) == (value, type(value))


def test_nan_is_a_number() -> None:
    assert math.isnan(plain(".NaN"))


def test_quoted_scalars_are_text_and_so_are_keys() -> None:
    document = parse("a: '1'\n1: \"true\"\nno: |\n  7\nnull: '~'\n")
    assert document.value == {"a": "1", "1": "true", "no": "7\n", "null": "~"}


def test_core_tags_are_read_and_others_refused() -> None:
    assert parse("[!!str 1, !!float 2, !!int 3, ! 4]").value == ["1", 2.0, 3, "4"]
    assert "!!python/name" in refused("a: !!python/name:os.system x").message
    assert "`!!int` does not fit" in refused("a: !!int x").message


def test_every_part_knows_where_it_stands() -> None:
    document = parse("a:\n  - {b: 1, c: [2]}\n\nd: x\n")
    assert document.at(("a",), key=True) == (1, 1)
    assert document.at(("a", 0, "c")) == (2, 15)
    assert document.at(("a", 0, "c", 0)) == (2, 16)
    assert document.at(("d",)) == (4, 4)
    assert document.at(("a", 0, "missing", "deeper")) == (2, 5)
    assert document.at(()) == (1, 1)


def test_anchors_are_shared_and_merge_keys_refused() -> None:
    assert parse("a: &x [1, 2]\nb: *x").value == {"a": [1, 2], "b": [1, 2]}
    merge = refused("a: &x {b: 1}\nc:\n  <<: *x\n")
    assert place(merge) == ("s.yaml", 3, 3)
    assert "write the keys out" in merge.hint
    assert parse('"<<": 1').value == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", 4, 3, "already on line 3"),
        ("a: b: c", 1, 5, "mapping values are not allowed"),
        ("a:\n\t- b\n", 2, 1, "cannot start any token"),
        ("x: 1\na: 'open\n\n", 2, 4, "end of stream"),
        ("x: 1\na: [1, 2\n\n", 2, 4, "expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("a: *gone", 1, 4, "undefined alias"),
        ("a: &x [*x]", 1, 8, "contains itself"),
        ("? [a]\n: b", 1, 3, "expected a scalar as key"),
        ("ok: 1\na: \x07", 2, 4, "control characters"),
        (b"ok: \xc3\xa9\na: \xff", 2, 4, "not UTF-8"),
    ],
)
def test_broken_text_is_refused_at_its_place(
    text: str | bytes, line: int, column: int, said: str
) -> None:
    problem = refused(text)
    assert place(problem) == ("s.yaml", line, column)
    assert said in problem.message


def test_a_broken_line_is_shown_with_a_caret_and_advice() -> None:
    shown = str(refused("ok: 1\na: b: c\n"))
    assert shown.splitlines() == [
        "s.yaml:2:5: broken YAML: mapping values are not allowed in this context",
        "    a: b: c",
        "        ^",
        '    quote text that holds ": ", as in "a: b"',
    ]


def test_limits_hold() -> None:
    assert "nested deeper" in refused("[" * 100_000).message
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert parse(deep).value
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
        for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    assert f"more than {MAX_ALIASED:,}" in refused(bomb).message
    assert "too large" in refused("#" * (MAX_BYTES + 1)).message


def test_an_empty_file_is_nothing_and_a_bom_is_no_text() -> None:
    assert parse("").value is None
    assert parse("# only words\n").value is None
    assert parse("\ufeffa: 1".encode()).value == {"a": 1}


def test_a_number_too_long_for_python_is_text() -> None:
    assert parse("a: " + "9" * 5000).value == {"a": "9" * 5000}
