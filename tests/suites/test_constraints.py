"""The constraint file: its format, its mistakes, and how it holds beside a suite's own limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proofrig.errors import SuiteError
from proofrig.gateways.limits import CallLimits
from proofrig.sandboxes.sandbox import Limits
from proofrig.suites import load_suite
from proofrig.suites.constraints import read_constraints

WHOLE: dict[str, Any] = {
    "evaluation_config": {
        "constraints": {
            "memory_limit_mb": 512,
            "cpu_timeout_ms": 30_000,
            "max_retries": 3,
            "allowed_tools": ["search", "read_*"],
            "network_egress_limit_mb": 10,
        },
        "metrics": {
            "track_resource_usage": True,
            "track_tool_calls": True,
            "track_retry_count": False,
            "error_classification": True,
        },
        "scoring": {
            "success_weight": 0.7,
            "efficiency_weight": 0.3,
            "penalty_oom": -0.5,
            "penalty_timeout": 0.2,
        },
    }
}
SUITE = """
suite: s
agent: {type: "null"}
limits: {memory_mb: 256, retries: 5, allowed_tools: ["read_*"]}
cases: [{id: a, task: t, verify: [{type: exact, value: x}]}]
"""


def written(tmp_path: Path, text: str, name: str = "prod.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "indent"), [("c.json", 2), ("c.json", "\t"), ("c.yaml", None), ("constraints", 1)]
)
def test_the_whole_format_is_taken_as_it_is(tmp_path: Path, name: str, indent: Any) -> None:
    path = written(tmp_path, json.dumps(WHOLE, indent=indent), name)
    assert read_constraints(path).model_dump(mode="json") == WHOLE


@pytest.mark.parametrize("left_out", ["constraints", "metrics", "scoring"])
def test_every_section_may_be_left_out(tmp_path: Path, left_out: str) -> None:
    part = {k: v for k, v in WHOLE["evaluation_config"].items() if k != left_out}
    read = read_constraints(written(tmp_path, json.dumps({"evaluation_config": part})))
    whole = Limits(512_000_000, 30_000, egress_bytes=10_000_000)
    assert read.limits().box() == (Limits() if left_out == "constraints" else whole)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "expected a constraint file: a mapping"),
        ("{}", "`evaluation_config` is missing"),
        ("evaluation_config: {constraint: {}}", "did you mean `constraints`?"),
        (
            "evaluation_config:\n  constraints: {memory_limit: 512}",
            "prod.yaml:2:17: evaluation_config.constraints: unknown key `memory_limit`\n"
            "    did you mean `memory_limit_mb`?",
        ),
        ("evaluation_config: {constraints: {max_retries: 1.5}}", "expected a whole number"),
        ("evaluation_config: {constraints: {memory_limit_mb: 0}}", "greater than 0"),
        ("evaluation_config: {constraints: {allowed_tools: search}}", "expected a list"),
        ("evaluation_config: {metrics: {track_tool_calls: 1}}", "expected true or false"),
        ("evaluation_config: {scoring: {success_weight: -1}}", "greater than or equal to 0"),
    ],
)
def test_mistakes_say_where_and_what_was_meant(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SuiteError) as told:
        read_constraints(written(tmp_path, text))
    assert says in str(told.value)


def test_all_mistakes_of_a_file_are_said(tmp_path: Path) -> None:
    text = "evaluation_config: {constraints: {max_retries: -1, retries: 2}, scorin: {}}"
    with pytest.raises(SuiteError) as told:
        read_constraints(written(tmp_path, text))
    assert len(told.value.problems) == 3


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="expected a constraint file, got: No such file"):
        read_constraints(tmp_path / "gone.yaml")


@pytest.mark.parametrize("inline", [False, True], ids=["file", "inline"])
def test_a_suite_is_held_to_both(tmp_path: Path, inline: bool) -> None:
    written(tmp_path, json.dumps(WHOLE), "prod.json")
    said = json.dumps(WHOLE) if inline else "prod.json"
    suite = load_suite(written(tmp_path, f"{SUITE}constraints: {said}\n", "suite.yaml"))
    assert suite.box_limits() == Limits(256_000_000, 30_000, egress_bytes=10_000_000)
    assert suite.call_limits() == CallLimits(
        (("read_*",), ("search", "read_*")), retries=3, egress_bytes=10_000_000
    )
    assert suite.limits_in_force()["memory_mb"] == 256
    # What was read is part of the suite: the file may go.
    (tmp_path / "prod.json").unlink()
    assert suite.call_limits().retries == 3


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("gone.json", "constraints"),
        ("../prod.json", "stays inside"),
        ("bad.json", "unknown key `max_retrys`"),
        ("{evaluation_config: {constraints: {max_retrys: 3}}}", "did you mean `max_retries`?"),
    ],
)
def test_a_suite_says_what_is_wrong_with_its_constraints(
    tmp_path: Path, said: str, says: str
) -> None:
    written(tmp_path, '{"evaluation_config": {"constraints": {"max_retrys": 3}}}', "bad.json")
    with pytest.raises(SuiteError) as told:
        load_suite(written(tmp_path, f"{SUITE}constraints: {said}\n", "suite.yaml"))
    assert says in str(told.value)


def test_other_constraints_are_another_suite(tmp_path: Path) -> None:
    path = written(tmp_path, f"{SUITE}constraints: prod.json\n", "suite.yaml")
    digests = set()
    for retries in (1, 2):
        held = {"evaluation_config": {"constraints": {"max_retries": retries}}}
        written(tmp_path, json.dumps(held), "prod.json")
        digests.add(load_suite(path).digest())
    assert len(digests) == 2


def test_a_broken_file_is_called_what_it_is(tmp_path: Path) -> None:
    for name, form in (("c.json", "JSON"), ("c.yaml", "YAML")):
        with pytest.raises(SuiteError, match=f"broken {form}: "):
            read_constraints(written(tmp_path, '{"evaluation_config": {]}', name))
