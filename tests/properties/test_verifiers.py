"""Properties of what the verifiers compare with."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.verifiers._sqlite import compare
from proofrig.verifiers._values import assign, covers, read_json, same

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)
EDGES = st.lists(st.sets(st.integers(0, 4)), max_size=5)


@given(EDGES)
@settings(max_examples=150, deadline=None)
def test_assign_leaves_as_few_as_any_assignment_could(edges: list[set[int]]) -> None:
    found = list(range(5))
    missing, spare = assign(edges, found, lambda want, place: place in want)
    best = max(
        sum(place in want for want, place in zip(edges, order, strict=False))
        for order in itertools.permutations(found)
    )
    assert len(edges) - len(missing) == best
    assert len(found) - len(spare) == best


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_a_value_is_itself_covers_itself_and_survives_json(value: Any) -> None:
    again, reason = read_json(json.dumps(value))
    assert reason == ""
    assert same(value, again)
    assert covers(value, again)
    assert covers(value, again, "unordered")


@given(VALUES, VALUES)
@settings(max_examples=150, deadline=None)
def test_same_is_symmetric_and_implies_covers_both_ways(one: Any, other: Any) -> None:
    assert same(one, other) == same(other, one)
    if same(one, other):
        assert covers(one, other) and covers(other, one)


@given(st.text())
@settings(max_examples=150, deadline=None)
def test_reading_json_never_raises(text: str) -> None:
    _, reason = read_json(text)
    assert isinstance(reason, str)


ROWS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([1.0, 1.04, 1.5, 2.0])), max_size=6)


@given(ROWS, ROWS, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_rows_are_compared_without_order(wanted: list[Any], got: list[Any], random: Any) -> None:
    shuffled = random.sample(got, len(got))
    for tolerance in (0.0, 0.05):
        missing, unexpected = compare(wanted, got, tolerance)
        again = compare(wanted, shuffled, tolerance)
        assert (len(again[0]), len(again[1])) == (len(missing), len(unexpected))
        assert len(wanted) - len(missing) == len(got) - len(unexpected)
        assert not any(compare(got, shuffled, tolerance))
