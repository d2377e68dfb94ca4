"""Conditions on arguments: what is compared, what cannot be, and how broadly."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from proofrig.authority.arguments import Unread
from proofrig.authority.conditions import MAX_TEXT, condition, operand_problem, said_of


def asked(operators: dict[str, Any], value: Any, *, permits: bool) -> bool | str:
    """What a condition on the argument `x` says; the code when it cannot be read."""
    try:
        return condition("x", operators, permits=permits)({"x": value})
    except Unread as unread:
        assert "x" in unread.says
        return unread.code


COMPARED: list[tuple[dict[str, Any], Any, bool]] = [
    ({"==": 5}, 5, True),
    ({"==": 5}, 5.0, True),
    ({"==": 5}, 6, False),
    ({"==": True}, True, True),
    ({"==": "a"}, "a", True),
    ({"==": "a"}, "A", False),
    ({"!=": "a"}, "b", True),
    ({"<": 5}, 4.9, True),
    ({"<=": 5}, 5, True),
    ({">": 100}, 100, False),
    ({">": 100}, 100.01, True),
    ({">": 0.1}, Decimal("0.2"), True),
    ({">=": "2026-01-01"}, "2026-06-01", True),
    ({">": 100}, 10**4_000, True),
    ({">": 100.5}, -(10**4_000), False),
    ({">": 10, "<": 20}, 15, True),
    ({">": 10, "<": 20}, 25, False),
    ({"in": ["a", 5]}, "a", True),
    ({"in": ["a", 5]}, 5.0, True),
    ({"in": ["a", 5]}, "5", False),
    ({"not_in": ["a", "b"]}, "c", True),
    ({"not_in": ["a", "b"]}, "a", False),
    ({"contains": "b"}, "abc", True),
    ({"contains": "b"}, ["a", "b"], True),
    ({"contains": 5}, ["a", 5], True),
    ({"contains": 1}, [True], False),
    ({"matches": "a+"}, "aaa", True),
]


@pytest.mark.parametrize("permits", [True, False])
@pytest.mark.parametrize(("operators", "value", "holds"), COMPARED)
def test_values_are_compared(
    operators: dict[str, Any], value: Any, holds: bool, permits: bool
) -> None:
    assert asked(operators, value, permits=permits) is holds


UNREADABLE: list[tuple[dict[str, Any], Any]] = [
    ({">": 100}, "500"),
    ({">": 100}, True),
    ({">": 100}, float("nan")),
    ({">": 100}, float("inf")),
    ({"<": 100}, float("-inf")),
    ({"<": 100}, Decimal("NaN")),
    ({">": 100}, {"value": 500}),
    ({">": 100}, b"500"),
    ({">": 100}, {500}),
    ({">": 100}, 5 + 0j),
    ({"==": 5}, "5"),
    ({"==": 1}, True),
    ({"==": True}, 1),
    ({"!=": "a"}, 5),
    ({"==": "a"}, {"a": 1}),
    ({"in": [1, 2]}, "1"),
    ({"not_in": ["a"]}, 5),
    ({"in": [1]}, True),
    ({"in": [1.5]}, float("nan")),
    ({"matches": "a"}, 5),
    ({"matches": "a"}, "a" * (MAX_TEXT + 1)),
    ({"contains": "a"}, 5),
    ({"contains": "a"}, {"a": 1}),
    ({"contains": "a"}, [{"a": 1}]),
    ({">": 1, "<": 5}, "3"),
    ({">": 100}, [1, "500"]),
    ({">": 100}, [500, "1"]),
]
MISSING: list[tuple[dict[str, Any], Any]] = [
    ({">": 100}, None),
    ({">": 100}, []),
    ({">": 100}, [500, None]),
    ({"contains": "a"}, None),
]


@pytest.mark.parametrize("permits", [True, False])
@pytest.mark.parametrize(("operators", "value"), UNREADABLE)
def test_what_cannot_be_compared_cannot_be_read(
    operators: dict[str, Any], value: Any, permits: bool
) -> None:
    assert asked(operators, value, permits=permits) == "argument_unreadable"


@pytest.mark.parametrize("permits", [True, False])
@pytest.mark.parametrize(("operators", "value"), MISSING)
def test_what_is_missing_cannot_be_read(
    operators: dict[str, Any], value: Any, permits: bool
) -> None:
    assert asked(operators, value, permits=permits) == "argument_missing"


@pytest.mark.parametrize(
    ("operators", "value", "forbids", "permits"),
    [
        ({">": 100}, [5, 500], True, False),
        ({">": 100}, [200, 500], True, True),
        ({">": 100}, [5, 6], False, False),
        ({">": 10, "<": 20}, [5, 25], False, False),  # no element lies between
        ({"matches": "evil"}, "an evil thing", True, False),
        ({"matches": "https://acme.example/"}, "http://x/?https://acme.example/", True, False),
        ({"matches": "ok"}, "ok\n", True, False),
        ({"contains": "rm -rf"}, ["sh", "-c", "rm -rf /"], True, False),
        ({"contains": "a"}, [["a"]], True, "argument_unreadable"),
    ],
)
def test_forbidding_reads_broadly_and_permitting_narrowly(
    operators: dict[str, Any], value: Any, forbids: bool, permits: bool | str
) -> None:
    assert asked(operators, value, permits=False) is forbids
    assert asked(operators, value, permits=True) == permits


def test_a_dotted_name_goes_into_objects_and_lists() -> None:
    forbids = condition("orders.amount", {">": 100}, permits=False)
    permits = condition("orders.amount", {"<=": 100}, permits=True)
    mixed = {"orders": [{"amount": 5}, {"amount": 500}]}
    assert forbids(mixed)
    assert not permits(mixed)
    assert permits({"orders": [{"amount": 5}, {"amount": 6}]})
    with pytest.raises(Unread):
        permits({"orders": [{"amount": 5}, {}]})


@pytest.mark.parametrize("arguments", [[], "x", None, 5, [{"x": 5}]])
def test_arguments_that_are_no_object_cannot_be_read(arguments: Any) -> None:
    with pytest.raises(Unread, match="in an object"):
        condition("x", {">": 1}, permits=False)(arguments)


@pytest.mark.parametrize(
    ("operator", "operand", "said"),
    [
        ("==", None, "got null"),
        ("==", float("nan"), "finite"),
        ("==", {"a": 1}, "expected text"),
        (">", True, "got true"),
        ("in", [], "expected a list"),
        ("in", "ab", "expected a list"),
        ("in", [None], "got null"),
        ("matches", 5, "expected a regex"),
        ("matches", "(a", "unclosed group"),
        ("matches", "(?=a)b", "look-around"),
        ("matches", r"(a)\1", "backreferences"),
        ("matches", "(?x)a # b", "unclosed group"),
        ("matches", "(.{0,300}){0,300}", "size limit"),
        ("matches", "(a|aa)*b", ""),
        ("matches", "a" * 2_000, "at most 1,000"),
        ("matches", r"^rm\b.*-rf", ""),
        ("matches", r"[(+)]+(ab)+\(a+\)+", ""),
        ("contains", 5, ""),
        ("<", "2026", ""),
    ],
)
def test_operands_are_checked(operator: str, operand: Any, said: str) -> None:
    assert said in operand_problem(operator, operand)
    assert bool(said) is bool(operand_problem(operator, operand))


def test_a_condition_in_words() -> None:
    assert said_of("amount", {">": 100, "<": 200}) == "amount above 100 and below 200"
    assert said_of("to", {"in": ["a", "b"]}) == "to one of 'a', 'b'"


@pytest.mark.parametrize("regex", ["a*a*a*a*b", "(aa?)+b", "(a?){20}b", "(a+)+b", "^(a|aa)*c"])
def test_no_regex_takes_more_than_linear_time(regex: str) -> None:
    """Each of them takes a backtracking engine from seconds to longer than the universe."""
    for permits in (True, False):
        assert not condition("x", {"matches": regex}, permits=permits)({"x": "a" * MAX_TEXT})


def test_a_line_feed_or_half_a_character_hides_nothing_from_a_deny() -> None:
    denies = condition("x", {"matches": r"\.exe$"}, permits=False)
    assert denies({"x": "evil.exe\n"})
    with pytest.raises(Unread, match="valid Unicode"):
        denies({"x": "evil.exe\ud800"})
