"""Problems: pydantic's errors at their place, in words, with something to do."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from proofrig.problems import Origin, problems_of
from proofrig.yaml12 import parse


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Exact(_Strict):
    type: Literal["exact"] = "exact"
    exact: str = Field(default="", description="The text.")


class Rows(_Strict):
    type: Literal["rows"] = "rows"
    rows: list[list[int]]
    mode: Literal["strict", "loose"] = "strict"


class Form(_Strict):
    name: str
    checks: list[Annotated[Exact | Rows, Field(discriminator="type")]] = []
    one: Annotated[Exact | Rows, Field(discriminator="type")] | None = None
    either: Rows | str | None = None
    run: list[str | list[str]] = []
    few: Annotated[tuple[Annotated[str, Field(pattern="^[a-w]+$")], ...], Field(min_length=1)] = (
        "a",
    )
    weights: dict[Annotated[str, Field(pattern="^[a-z]+$")], int] = {}


_Kind = Annotated[Exact | Rows, Field(discriminator="type")]


class Short(_Strict):
    """Each of `named` may be written as a name alone."""

    named: list[
        Annotated[
            _Kind,
            BeforeValidator(lambda one: one, json_schema_input_type=Literal["usual"] | _Kind),
        ]
    ] = []
    nth: Annotated[int, Field(ge=1)] | list[int] = 1


def told(text: str, label: str = "", form: type[BaseModel] = Form) -> list[str]:
    document = parse(text, "f")
    with pytest.raises(ValidationError) as caught:
        form.model_validate(document.value)
    origin = Origin(document, label=label)
    found = problems_of(caught.value, form.model_json_schema(), document.value, origin)
    return [str(problem) for problem in found]


def test_unknown_keys_say_what_was_meant_and_what_is_known() -> None:
    assert told("name: a\nchekcs: []\n") == [
        "f:2:1: unknown key `chekcs`\n"
        "    did you mean `checks`? known: name, checks, one, either, run, few, weights"
    ]
    assert told("name: a\nchecks:\n  - {type: rows, row: 1, rows: []}") == [
        "f:3:18: checks[0]: unknown key `row`\n    did you mean `rows`? known: type, rows, mode"
    ]


def test_missing_keys_stand_at_their_mapping() -> None:
    assert told("checks:\n  - type: rows\n") == [
        "f:1:1: `name` is missing",
        "f:2:5: checks[0]: `rows` is missing",
    ]


def test_unknown_types_say_what_was_meant() -> None:
    assert told("name: a\nchecks: [{type: row}]\none: {exact: x}") == [
        "f:2:10: checks[0]: unknown type `row`\n    did you mean `rows`? known: exact, rows",
        "f:3:6: one: `type` is missing\n    one of: exact, rows",
    ]


def test_a_key_that_is_named_like_its_type_is_found() -> None:
    assert told("name: a\nchecks:\n  - {type: exact, exact: 7}\none: {type: exact, exact: []}") == [
        'f:3:26: checks[0].exact: expected text, got 7\n    quote it: "7"',
        "f:4:27: one.exact: expected text, got []",
    ]


def test_deep_values_are_found_and_choices_suggested() -> None:
    assert told("name: a\none: {type: rows, rows: [[1], [2, x]], mode: strikt}") == [
        'f:2:35: one.rows[1][1]: expected a whole number, got "x"',
        "f:2:46: one.mode: expected 'strict' or 'loose', got \"strikt\"\n"
        "    did you mean `strict`?",
    ]


def test_the_form_that_got_furthest_is_the_one_that_was_meant() -> None:
    assert told("name: a\neither: {rows: [], mod: strict}") == [
        "f:2:20: either: unknown key `mod`\n    did you mean `mode`? known: type, rows, mode"
    ]
    assert told("name: a\neither: {rows: [[x]], mod: strict}") == [
        'f:2:18: either.rows[0][0]: expected a whole number, got "x"',
        "f:2:23: either: unknown key `mod`\n    did you mean `mode`? known: type, rows, mode",
    ]
    assert told("name: a\neither: 3\nrun: [a, [b, 4], 5]") == [
        "f:2:9: either: expected a mapping or text, got 3",
        'f:3:14: run[1][1]: expected text, got 4\n    quote it: "4"',
        "f:3:18: run[2]: expected text or a list, got 5",
    ]


def test_types_and_keys_are_known_where_a_name_alone_would_do_too() -> None:
    assert told("named: [{type: row}, {type: rows, row: 1, rows: []}]", form=Short) == [
        "f:1:9: named[0]: unknown type `row`\n    did you mean `rows`? known: exact, rows",
        "f:1:35: named[1]: unknown key `row`\n    did you mean `rows`? known: type, rows, mode",
    ]


def test_of_several_types_the_one_that_fits_says_what_is_wrong() -> None:
    assert told("nth: 0", form=Short) == [
        "f:1:6: nth: expected a number greater than or equal to 1, got 0"
    ]


def test_items_that_are_wrong_are_not_told_as_missing() -> None:
    assert told("name: a\nfew: [x]\n") == [
        'f:2:7: few[0]: expected text that matches ^[a-w]+$, got "x"'
    ]
    assert told("name: a\nfew: []\n") == ["f:2:6: few: expected at least 1 of them, got 0"]


def test_a_bad_key_is_pointed_at_itself() -> None:
    assert told("name: a\nweights: {ok: 1, 'NO WAY': 2}") == [
        'f:2:18: weights: expected text that matches ^[a-z]+$, got "NO WAY"'
    ]


def test_odd_keys_are_quoted_and_labels_come_first() -> None:
    assert told("name: a\nweights: {ab: x}", label="case q") == [
        'f:2:15: case q: weights.ab: expected a whole number, got "x"'
    ]
    origin = Origin(parse("a: {'b.c': 1}", "f"), ("a",))
    assert str(origin.problem("no", ("b.c",), key=True)) == "f:1:5: no"


def test_long_values_are_cut() -> None:
    (problem,) = told(f"name: [{'x' * 500}]")
    assert len(problem) < 120
