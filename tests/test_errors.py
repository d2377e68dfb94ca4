"""The tree of errors: definite or not, and messages that say where and what to do."""

from __future__ import annotations

import pytest

from proofrig import errors
from proofrig.errors import Denied, InfraError, Problem, ProofrigError, SuiteError, UsageError

CLASSES = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ProofrigError)
]


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    for cls in CLASSES:
        assert cls.__name__ in drawn, f"draw {cls.__name__} in the tree"


@pytest.mark.parametrize(
    ("error", "definite"),
    [
        (UsageError("x"), True),
        (InfraError("x"), False),
        (InfraError("x", definite=True), True),
        (Denied("budget_exceeded"), True),
    ],
)
def test_whether_the_action_certainly_did_not_happen(error: ProofrigError, definite: bool) -> None:
    assert error.definite is definite


def test_a_problem_says_where_and_what_to_do() -> None:
    problem = Problem("unknown key 'taks'", "suite.yaml", 3, 7, hint="did you mean 'task'?")
    assert str(problem) == "suite.yaml:3:7: unknown key 'taks'\n    did you mean 'task'?"
    assert str(Problem("no cases")) == "no cases"


def test_a_suite_error_carries_every_problem() -> None:
    error = SuiteError([Problem("a", "f", 1), Problem("b", "f", 2)])
    assert str(error) == "f:1: a\nf:2: b"
    assert len(error.problems) == 2


def test_a_denial_carries_what_the_agent_needs() -> None:
    denied = Denied("budget_exceeded", scope="acme", remaining={"calls": 0}, fix="wait")
    assert str(denied) == "denied: budget_exceeded at acme (wait)"
    assert denied.remaining == {"calls": 0}
