"""Finding arguments: nothing is skipped because it is not there."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.authority.arguments import Unread, shown, values_at

FOUND: list[tuple[Any, str, list[Any]]] = [
    ({"amount": 5}, "amount", [5]),
    ({"order": {"amount": 5}}, "order.amount", [5]),
    ({"orders": [{"amount": 5}, {"amount": 6}]}, "orders.amount", [5, 6]),
    ({"amount": [1, [2, (3,)]]}, "amount", [1, 2, 3]),
    ({"a": [{"b": [1, 2]}, {"b": 3}]}, "a.b", [1, 2, 3]),
    ({"amount": 0}, "amount", [0]),
    ({"amount": ""}, "amount", [""]),
    ({"amount": False}, "amount", [False]),
]

NOT_FOUND: list[tuple[Any, str, str]] = [
    ({}, "amount", "argument_missing"),
    ({"amount": None}, "amount", "argument_missing"),
    ({"amount": []}, "amount", "argument_missing"),
    ({"amount": [[]]}, "amount", "argument_missing"),
    ({"amount": [1, None]}, "amount", "argument_missing"),
    ({"order": {}}, "order.amount", "argument_missing"),
    ({"order": None}, "order.amount", "argument_missing"),
    ({"orders": []}, "orders.amount", "argument_missing"),
    ({"orders": [{"amount": 5}, {}]}, "orders.amount", "argument_missing"),
    ({"order": 5}, "order.amount", "argument_unreadable"),
    ({"order": "amount"}, "order.amount", "argument_unreadable"),
    ({"orders": [{"amount": 5}, 6]}, "orders.amount", "argument_unreadable"),
    ({"amount": [1] * 1_001}, "amount", "argument_unreadable"),
    ({"order.amount": 5}, "order.amount", "argument_missing"),
    ([], "amount", "argument_unreadable"),
    (["amount"], "amount", "argument_unreadable"),
    ("amount", "amount", "argument_unreadable"),
    (None, "amount", "argument_unreadable"),
    (5, "amount", "argument_unreadable"),
]


@pytest.mark.parametrize(("arguments", "name", "values"), FOUND)
def test_a_name_stands_for_values(arguments: Any, name: str, values: list[Any]) -> None:
    assert values_at(arguments, name) == values


@pytest.mark.parametrize(("arguments", "name", "code"), NOT_FOUND, ids=lambda x: repr(x)[:30])
def test_what_is_not_there_cannot_be_read(arguments: Any, name: str, code: str) -> None:
    with pytest.raises(Unread) as raised:
        values_at(arguments, name)
    assert raised.value.code == code


def test_an_argument_with_dots_in_its_name_hides_no_other() -> None:
    with pytest.raises(Unread, match="dots in its name"):
        values_at({"order": {"amount": 5}, "order.amount": 5000}, "order.amount")


def test_a_list_may_stay_whole() -> None:
    assert values_at({"a": [{"b": [1, 2]}]}, "a.b", whole=True) == [[1, 2]]


def test_lists_without_end_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unread, match="no deeper than"):
        values_at({"a": endless}, "a")


def test_what_is_shown_is_short() -> None:
    values: list[Any] = ["a" * 10_000, 10**5_000, {"a": 1}, None, True, 1.5]
    assert all(len(shown(value)) < 80 for value in values)
