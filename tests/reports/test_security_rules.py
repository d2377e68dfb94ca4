"""The table of what is about security."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proofrig.reports.advice import ADVICE
from proofrig.reports.security_rules import (
    DENIED,
    METADATA,
    NOT_DENIED,
    OF_FINDINGS,
    RULES,
    SecurityRule,
    of_ruling,
)

# What code scanning makes of a severity: at least so much is shown as this.
_SHOWN = {"error": 7.0, "warning": 4.0, "note": 0.1}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_all_that_code_scanning_shows(rule: SecurityRule) -> None:
    assert re.fullmatch(r"proofrig/[a-z-]+", rule.id) and re.fullmatch(r"[A-Za-z]+", rule.name)
    assert rule.short and not rule.short.endswith(".") and len(rule.short) <= 100
    assert rule.full.endswith(".") and rule.help.endswith(".") and rule.cwe
    assert _SHOWN[rule.level] <= float(rule.severity) <= 10.0


def test_ids_and_names_are_each_of_one_rule() -> None:
    assert len({rule.id for rule in RULES}) == len({rule.name for rule in RULES}) == len(RULES)


def test_the_rules_of_findings_are_about_kinds_that_there_are() -> None:
    assert OF_FINDINGS.keys() <= ADVICE.keys()


@pytest.mark.parametrize(
    ("code", "shadow", "rule"),
    [
        ("forbidden", False, DENIED),
        ("not_allowed", False, DENIED),
        ("forbidden", True, NOT_DENIED),
        ("metadata", False, METADATA),
        ("metadata", True, METADATA),
        ("budget_exceeded", False, None),
        ("rate_exceeded", True, None),
        ("repeat_detected", False, None),
        ("argument_missing", False, None),
    ],
)
def test_a_denial_is_about_security_when_a_rule_made_it(
    code: str, shadow: bool, rule: SecurityRule | None
) -> None:
    assert of_ruling(code, shadow=shadow) is rule


def test_the_guide_lists_the_rules() -> None:
    page = (Path(__file__).parents[2] / "docs" / "guides" / "ci.md").read_text()
    rows = re.findall(r"^\| `(proofrig/[a-z-]+)` \| (\w+) \| ([\d.]+) \|", page, re.MULTILINE)
    assert rows == [(rule.id, rule.level, rule.severity) for rule in RULES]
