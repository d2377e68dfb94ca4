"""CEL: what it may name, and that whatever fails denies."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from proofrig.authority.arguments import Unread
from proofrig.authority.expressions import Expression, expression_problem

RUN = {"tainted": False, "taints": [], "step": "", "tier": "clerk"}


@pytest.mark.parametrize(
    ("source", "arguments", "holds"),
    [
        ("args.amount > 50 && !run.tainted", {"amount": 60}, True),
        ("args.amount > 50 && !run.tainted", {"amount": 60.5}, True),
        ("args.amount > 50 && !run.tainted", {"amount": 5}, False),
        ("has(args.note) && args.note.contains('x')", {}, False),
        ("args.items.exists(i, i.price > 5)", {"items": [{"price": 1}, {"price": 9}]}, True),
        ("run.tier == 'clerk'", {}, True),
    ],
)
def test_an_expression_holds(source: str, arguments: Any, holds: bool) -> None:
    assert Expression(source).holds({"args": arguments, "run": RUN}) is holds


@pytest.mark.parametrize(
    ("source", "arguments", "code"),
    [
        ("args.amount > 50", {}, "argument_missing"),
        ("args.items[3] > 1", {"items": []}, "argument_missing"),
        ("args.amount > 50", {"amount": None}, "argument_unreadable"),
        ("args.amount > 50", {"amount": "60"}, "argument_unreadable"),
        ("args.amount > 50", {"amount": True}, "argument_unreadable"),
        ("args.amount > 50", {"amount": float("nan")}, "argument_unreadable"),
        ("args.amount > 50", {"amount": float("inf")}, "argument_unreadable"),
        ("args.amount > 50", {"amount": 2**63}, "argument_unreadable"),
        ("args.amount > 50", {"amount": 10**4_000}, "argument_unreadable"),
        ("args.amount > 50", {"amount": 60, "deep": [[float("nan")]]}, "argument_unreadable"),
        ("args.amount > 50", {"amount": object()}, "argument_unreadable"),
        ("args.amount > 50", [], "argument_unreadable"),
        ("args.amount > 50", None, "argument_unreadable"),
        ("args.a.b > 50", {"a": 5}, "argument_unreadable"),
        ("args.amount", {"amount": 5}, "argument_unreadable"),
        ("args.amount / args.parts > 1", {"amount": 5, "parts": 0}, "argument_unreadable"),
        ("args.text.matches(args.regex)", {"text": "a", "regex": "("}, "argument_unreadable"),
    ],
)
def test_what_fails_cannot_be_read(source: str, arguments: Any, code: str) -> None:
    with pytest.raises(Unread) as raised:
        Expression(source).holds({"args": arguments})
    assert raised.value.code == code


def test_arguments_without_end_cannot_be_read() -> None:
    endless: dict[str, Any] = {}
    endless["more"] = endless
    with pytest.raises(Unread, match="no deeper than"):
        Expression("has(args.x)").holds({"args": endless})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("args.amount >", "Syntax error"),
        ("arg.amount > 5", "got arg"),
        ("run.taint", "got run.taint"),
        ("scope.agnt == 'a'", "got scope.agnt"),
        ("nosuch(args.x)", "got nosuch()"),
        ("args.x.startswith('a')", "got startswith()"),
        ("args.x.startsWith('a') && size(args.l) > 1 && int(args.x) > 2", ""),
        ("args.items.all(i, i > 2)", ""),
        ("timestamp(args.t) > timestamp('2026-01-01T00:00:00Z')", ""),
    ],
)
def test_expressions_are_checked(source: str, said: str) -> None:
    assert said in expression_problem(source)
    assert bool(said) is bool(expression_problem(source))


def test_it_says_what_it_reads() -> None:
    assert Expression("args.l.all(i, i > 2) && run.tainted").variables == {"args", "run"}


def test_the_package_is_imported_when_a_rule_needs_it() -> None:
    code = (
        "import sys; from proofrig.authority.policy import parse_policy\n"
        "parse_policy({'rules': [{'name': 'a', 'deny': 'x'}]}); print('cel' in sys.modules)\n"
        "parse_policy({'rules': [{'name': 'a', 'deny': 'x', 'cel': 'true'}]})\n"
        "print('cel' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "True"]


def test_too_many_arguments_cannot_be_read() -> None:
    with pytest.raises(Unread, match="at most 10,000 values"):
        Expression("args.a.exists(x, args.a.exists(y, x > y))").holds(
            {"args": {"a": [list(range(6_000)), list(range(6_000))]}}
        )
