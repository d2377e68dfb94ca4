"""The reference page and the guide of policies: complete, and true of what they show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from proofrig.authority.limits import Budget
from proofrig.authority.policy import parse_policy
from proofrig.authority.rules import (
    CapSettings,
    Comparison,
    PolicySettings,
    Risk,
    RuleSettings,
    StepSettings,
    policy_schema,
)
from proofrig.yaml12 import parse

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "policy.md").read_text()
GUIDE = (DOCS / "guides" / "policy.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE + GUIDE, re.DOTALL)
SECTIONS: dict[str, Any] = {
    "## Top level": PolicySettings,
    "## A rule": RuleSettings,
    "## A cap": CapSettings,
    "## A step": StepSettings,
}


@pytest.mark.parametrize("title", SECTIONS)
def test_a_table_has_every_key_in_order_and_no_other(title: str) -> None:
    section = PAGE.split(f"{title}\n")[1].split("\n## ")[0]
    keys = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert keys == list(SECTIONS[title].model_fields)


def test_every_operator_unit_and_class_is_there() -> None:
    fields = Comparison.model_fields
    names = [field.alias or name for name, field in fields.items()]
    names += [*Budget.model_fields, *get_args(Risk)]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("text", BLOCKS)
def test_yaml_on_the_pages_is_a_policy(text: str) -> None:
    written = parse(text, "page").value
    jsonschema.validate(written, policy_schema())
    policy = parse_policy(text)
    assert policy.rules or policy.table.patterns
