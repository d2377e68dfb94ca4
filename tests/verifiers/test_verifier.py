"""The family as a whole: what a suite writes becomes a verifier, and none can break its caller."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

import msgspec
import pytest
from pydantic import TypeAdapter, ValidationError

from builders import evidence
from proofrig.verifiers import VERIFIERS, AnyVerifier, Evidence, Verdict, Verifier, judge
from proofrig.verifiers.exact import Exact
from proofrig.verifiers.verifier import CUT, cut

WRITTEN: list[dict[str, Any]] = [
    {"type": "exact", "value": "42"},
    {"type": "contains", "all": ["a"], "any": ["b"], "none": ["c"], "ignore_case": True},
    {"type": "regex", "pattern": "^a"},
    {"type": "numeric", "value": 12.5, "abs_tol": 0.01, "rel_tol": 0},
    {"type": "json_schema", "schema": {"type": "object"}},
    {"type": "json_subset", "value": {"a": 1}},
    {"type": "file_state", "files": {"a.txt": {"contains": "x"}, "b.txt": {"absent": True}}},
    {"type": "command", "run": ["python", "-m", "pytest", "-q"], "exit": 0, "timeout_s": 60},
    {"type": "sql_state", "database": "shop.db", "expect": {"o": {"key": ["id"], "rows": []}}},
    {"type": "trajectory", "mode": "superset", "arguments": "subset", "calls": [{"name": "f"}]},
    {"type": "claim", "when": "refund(ed)?", "needs": {"tool": "refund", "arguments": {"id": 1}}},
    {"type": "protected_paths", "paths": ["tests/**"]},
    {"type": "python", "target": "checks:ok"},
]


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: str(written["type"]))
def test_what_a_suite_writes_becomes_the_member_of_that_name(written: dict[str, Any]) -> None:
    (verifier,) = TypeAdapter(list[AnyVerifier]).validate_python([written])
    assert type(verifier) is VERIFIERS[written["type"]]
    assert verifier.type == written["type"]


def test_every_member_is_written_above() -> None:
    assert [written["type"] for written in WRITTEN] == list(VERIFIERS)


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ({"type": "exact", "value": "a", "valeu": "b"}, (0, "exact", "valeu")),
        ({"type": "exakt", "value": "a"}, (0,)),
        ({"type": "exact"}, (0, "exact")),
        ({"type": "exact", "value": "a", "any_of": ["b"]}, (0, "exact")),
        ({"type": "contains"}, (0, "contains")),
        ({"type": "contains", "all": [" "]}, (0, "contains")),
        ({"type": "regex", "pattern": "("}, (0, "regex", "pattern")),
        ({"type": "claim", "when": "(", "needs": {"tool": "f"}}, (0, "claim", "when")),
        ({"type": "json_schema", "schema": {"type": "objekt"}}, (0, "json_schema", "schema")),
        ({"type": "file_state", "files": {}}, (0, "file_state", "files")),
        ({"type": "file_state", "files": {"../a": {}}}, (0, "file_state", "files")),
        ({"type": "file_state", "files": {"/etc/passwd": {}}}, (0, "file_state", "files")),
        ({"type": "sql_state", "database": "a.db"}, (0, "sql_state")),
        ({"type": "sql_state", "database": "../a.db", "equals": ""}, (0, "sql_state", "database")),
        ({"type": "python", "target": "checks"}, (0, "python", "target")),
        ({"type": "numeric", "value": 1, "abs_tol": -1}, (0, "numeric", "abs_tol")),
    ],
)
def test_a_mistake_is_refused_where_it_stands(
    written: dict[str, Any], where: tuple[object, ...]
) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[AnyVerifier]).validate_python([written])
    assert where in [error["loc"] for error in caught.value.errors()]


class Broken(Verifier):
    type: Literal["broken"] = "broken"

    def verify(self, evidence: Evidence) -> Verdict:
        raise LookupError("no such thing \udcff")


def test_a_verifier_that_raises_measures_nothing_and_says_why() -> None:
    verdict = judge(Broken(), evidence("x"))
    assert (verdict.verifier, verdict.passed, verdict.score) == ("broken", None, 0.0)
    assert "LookupError: no such thing" in verdict.message
    msgspec.json.encode(verdict)


def test_a_verdict_says_expected_and_got_and_is_cut() -> None:
    verdict = judge(Exact(value="yes"), evidence("n" + "o" * 5_000))
    assert verdict.message.startswith('expected "yes"; got "noooo')
    assert len(verdict.got) <= CUT
    assert "5,003 characters" in verdict.got


@pytest.mark.parametrize("text", ["", "a" * 200, "a" * 201, "é" * 500, "\udcff" * 500])
def test_cut_keeps_to_its_limit_and_can_be_encoded(text: str) -> None:
    assert len(cut(text).encode()) >= min(len(text), 1)
    assert len(cut(text)) <= CUT


@pytest.mark.parametrize("answer", ["", "\udcff\udcfe", "\x00\x01", "[" * 100_000, "9" * 10_000])
@pytest.mark.parametrize(
    "written",
    [one for one in WRITTEN if one["type"] not in ("command", "python")],
    ids=lambda written: str(written["type"]),
)
def test_no_answer_breaks_a_verifier(written: dict[str, Any], answer: str, tmp_path: Any) -> None:
    verifier = VERIFIERS[written["type"]].model_validate(written)
    verdict = judge(verifier, evidence(answer, world=tmp_path, before={"tests/a": "0"}))
    assert verdict.passed in (True, False)
    msgspec.json.encode(verdict)


def test_the_family_loads_nothing_heavy_until_it_judges() -> None:
    code = (
        "import sys; from proofrig.verifiers import VERIFIERS; VERIFIERS;"
        "print(sorted({'jsonschema', 'sqlite3', 'asyncio', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
