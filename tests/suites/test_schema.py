"""The schema and the reference page: current, complete, and true of what they show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from proofrig.problems import Origin
from proofrig.suites.authority import ApprovalSettings, AuthoritySettings, WatchSettings
from proofrig.suites.budgets import Budget, Budgets, Prices
from proofrig.suites.case import Case, World
from proofrig.suites.checks import check_cases
from proofrig.suites.limits import TrialLimits
from proofrig.suites.sandbox import SandboxSettings
from proofrig.suites.schema import published, schema_text, suite_schema
from proofrig.suites.suite import Defaults, Retries, Suite
from proofrig.yaml12 import parse

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "suite.md").read_text()
BLOCKS = re.findall(r"```(yaml|python)\n(.*?)```", PAGE, re.DOTALL)
LEAST = {
    "suite": "s",
    "agent": {"type": "null"},
    "cases": [{"id": "a", "task": "t", "verify": [{"type": "exact", "value": "x"}]}],
}


def test_the_published_schema_is_current() -> None:
    assert published() == schema_text(), "run: python -m proofrig.suites.schema"


def test_the_schema_is_valid_and_refuses_what_the_models_refuse() -> None:
    schema = suite_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    assert validator.is_valid(LEAST)
    budget = {"run": {"calls:llm": 3}}
    assert validator.is_valid({**LEAST, "budgets": budget})
    world = {"databases": {"a.db": "select 1", "b.db": ["select 1", "x.sql"]}}
    assert validator.is_valid({**LEAST, "cases": [{**LEAST["cases"][0], "world": world}]})  # type: ignore[dict-item]
    for wrong in (
        {"budgets": {"run": {"dollars": 3}}},
        {"repeats": 0},
        {"agnet": {}},
        {"agent": {"type": "pyton"}},
    ):
        assert not validator.is_valid({**LEAST, **wrong}), wrong


@pytest.mark.parametrize(
    "model",
    [
        *(Suite, Case, World, Defaults, TrialLimits, Retries, Budget, Budgets, Prices),
        *(AuthoritySettings, ApprovalSettings, WatchSettings, SandboxSettings),
    ],
)
def test_every_key_is_documented(model: Any) -> None:
    missing = [name for name in model.model_fields if f"`{name}" not in PAGE and name != "prices"]
    assert missing == []


@pytest.mark.parametrize("model", [Suite, Case])
def test_every_documented_key_exists(model: Any) -> None:
    title = {Suite: "## Top level", Case: "## A case"}[model]
    section = PAGE.split(title)[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(model.model_fields)


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "yaml"])
def test_yaml_on_the_page_is_what_it_says(text: str, tmp_path: Path) -> None:
    document = parse(text, "page")
    value = document.value
    written = {**LEAST, "cases": value} if isinstance(value, list) else {**LEAST, **value}
    suite = Suite.model_validate(written)
    jsonschema.validate(written, suite_schema())
    cases = [(case, Origin(document)) for case in suite.cases]
    assert list(check_cases(cases, tmp_path, tenants=list(suite.tenants))) == []
    assert suite.price_table()


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "python"])
def test_python_on_the_page_builds_a_suite(text: str) -> None:
    names: dict[str, Any] = {}
    exec(text, names)
    assert isinstance(names["suite"], Suite)
    assert len(names["suite"].cases) == 10
