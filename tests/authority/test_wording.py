"""What a denial says to do."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.authority.rules import RuleSettings
from proofrig.authority.wording import fix_of, fix_of_default


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"deny": "tool.x", "fix": "do y"}, "do y"),
        ({"deny": "tool.x"}, "tool.x is not allowed"),
        (
            {"deny": "tool.refund", "below": "manager", "when": {"amount": {">": 100}}},
            "amount must not be above 100 below tier manager",
        ),
        ({"deny": "x", "when": {"to": "bob"}}, "to must not be 'bob'"),
        (
            {"deny": "x", "when": {"to": ["a", "b"]}},
            "to must not be one of 'a', 'b'",
        ),
        ({"deny": "x", "paths": {"path": "tests/**"}}, "path must not lie in tests/**"),
        ({"deny": "x", "tainted": "web"}, "x is not allowed in a run tainted by web"),
        ({"deny": "x", "tainted": True}, "x is not allowed in a tainted run"),
        ({"deny": "x", "tainted": False}, "x is not allowed in a run that is not tainted"),
        ({"deny": "x", "step": ["a", "b"]}, "x is not allowed in step a or b"),
        (
            {"deny": "x", "cel": "args.a > 5", "step": "a"},
            "x must not have `args.a > 5` in step a",
        ),
        (
            {"deny": "x", "when": {"a": 1}, "paths": {"p": "q"}},
            "x must not have a 1 and p in q",
        ),
        ({"ask": "x", "when": {"a": {">": 1}}}, "x with a above 1 needs an approval"),
    ],
)
def test_a_fix_says_what_the_rule_wants(written: dict[str, Any], said: str) -> None:
    assert fix_of(RuleSettings.model_validate({"name": "r", **written})) == said


def test_the_default_says_what_may_be_done() -> None:
    assert "add a rule that allows it" in fix_of_default("tool.x", "deny")
    assert "declare its risk" in fix_of_default("tool.x", "strict")
