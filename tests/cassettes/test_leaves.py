"""Leaves by path, and where two values part."""

from __future__ import annotations

import pytest

from proofrig.cassettes.leaves import MISSING, Part, leaves, parting


def test_leaves_are_named_by_path_in_their_order() -> None:
    value = {"request": {"messages": [{"content": "hi"}, {}], "odd key": None}, "n": 1}
    assert leaves(value) == [
        ("request.messages[0].content", "hi"),
        ("request.messages[1]", {}),
        ('request["odd key"]', None),
        ("n", 1),
    ]


def test_events_of_a_stream_have_leaves_of_their_own() -> None:
    text = 'event: a\ndata: {"delta":{"text":"hi"}}\n\ndata: [DONE]\n\n'
    assert leaves({"response": text}) == [
        ("response.event[0]", "event: a"),
        ("response.event[0].delta.text", "hi"),
        ("response.event[0]", ""),
        ("response.event[1]", "data: [DONE]"),
        ("response.event[1]", ""),
        ("response.event[2]", ""),
    ]


def test_a_text_with_lines_is_one_leaf() -> None:
    assert leaves({"a": "one\ntwo"}) == [("a", "one\ntwo")]


@pytest.mark.parametrize(
    ("one", "other", "part"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, None),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, Part("$.a.b[1]", 2, 3)),
        ({"a": [1]}, {"a": [1, 2]}, Part("$.a[1]", MISSING, 2)),
        ({"a": 1, "b": 1}, {"b": 2}, Part("$.b", 1, 2)),
        ({"a": 1}, {"b": 1}, Part("$.a", 1, MISSING)),
        ({"a": 1}, {"a": True}, Part("$.a", 1, True)),
        ({"a": "x"}, {"a": ["x"]}, Part("$.a", "x", ["x"])),
    ],
)
def test_values_part_at_the_first_leaf_that_differs(one: object, other: object, part: Part) -> None:
    assert parting(one, other) == part
