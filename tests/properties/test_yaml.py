"""The YAML layer: what is written comes back, and no text makes it fail in another way."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.errors import SuiteError
from proofrig.yaml12 import Document, parse

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_json_is_read_as_itself(value: Any) -> None:
    assert parse(json.dumps(value, ensure_ascii=False)).value == value


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_every_scalar_stands_where_it_is_said_to(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1)
    lines = text.split("\n")
    document = parse(text)

    def walk(part: Any, path: tuple[str | int, ...]) -> None:
        line, column = document.at(path)
        if isinstance(part, dict):
            for key, inner in part.items():
                walk(inner, (*path, key))
        elif isinstance(part, list):
            for place, inner in enumerate(part):
                walk(inner, (*path, place))
        elif path:
            assert lines[line - 1][column - 1 :].startswith(json.dumps(part, ensure_ascii=False))

    walk(value, ())


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,?~ \n\t01.é\x07\ufeff", max_size=40) | st.binary())
def test_any_text_is_a_document_or_a_problem_with_a_place(text: str | bytes) -> None:
    try:
        assert isinstance(parse(text, "f"), Document)
    except SuiteError as error:
        assert all(p.file == "f" and p.line >= 1 and p.column >= 1 for p in error.problems)
