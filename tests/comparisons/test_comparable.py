"""What two samples have in common, and when comparing them makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.comparisons.comparable import aligned, differences, impossible, label_of, refusal
from proofrig.comparisons.sample import Sample
from samples import a_sample

WHAT = {"suite_digest": "d1", "cases": {}, "limits": {"timeout_s": 30}, "model": {"name": "one"}}


def with_what(**changes: Any) -> Sample:
    return a_sample(cases=2, repeats=1, what=WHAT | changes)


def with_settings(**changes: Any) -> Sample:
    return a_sample(cases=2, repeats=1, what=WHAT, settings={"repeats": 1} | changes)


def test_cases_are_compared_by_id_where_their_text_is_the_same() -> None:
    base = a_sample(cases=["a", "b", "c"], repeats=2)
    now = a_sample(cases=["b", "c", "d"], repeats=3)
    now.cases["c"] = "another digest"
    found = aligned(base, now)
    assert found.labels == ["b"]
    assert ([len(t) for t in found.base], [len(t) for t in found.now]) == ([2], [3])
    assert found.left_out == [
        "c: its text changed",
        "a: only the base has it",
        "d: only this run has it",
    ]


def test_cases_of_a_scenario_are_compared_with_those_of_the_same() -> None:
    base = a_sample(cases=["a"], repeats=1, scenarios=("", "burst"))
    now = a_sample(cases=["a"], repeats=1, scenarios=("burst", "ramp"))
    found = aligned(base, now)
    assert found.labels == ["a@burst"] == [label_of("a", "burst")]
    assert found.scenario(0) == "burst"
    assert found.left_out == ["a: only the base has it", "a@ramp: only this run has it"]


def test_a_case_without_a_digest_is_taken_for_the_same() -> None:
    base, now = (a_sample(cases=["a"], repeats=1) for _ in range(2))
    base.cases = {}
    assert aligned(base, now).labels == ["a"]


def test_the_same_may_be_compared() -> None:
    assert refusal(a_sample(cases=2), a_sample(cases=2, seed=2)) is None


def test_long_texts_are_cut_to_where_they_differ() -> None:
    long = "the same words, again and again, " * 9
    base, now = with_what(agent={"note": f"{long}1"}), with_what(agent={"note": f"{long}2"})
    [line] = differences(base, now)
    assert line == "what.agent.note: ... and again, 1' | ... and again, 2'"
    assert differences(base, with_what(agent={"note": f"{long}1"}, suite_digest="d2")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"name": "two"}},
        {"agent": {"target": "other:agent"}},
        {"tools": [{"name": "new"}]},
    ],
    ids=str,
)
def test_another_model_or_agent_is_what_comparisons_are_for(changes: dict[str, Any]) -> None:
    base, now = with_what(), with_what(**changes)
    assert refusal(base, now) is None
    [[path]] = [[line.split(":")[0] for line in differences(base, now)]]
    assert path.startswith("what.")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"limits": {"timeout_s": 60}}, "limits (timeout_s: 30 | 60)"),
        ({"faults": [{"kind": "stall"}]}, "faults (nothing | [{'kind': 'stall'}])"),
        ({"tenants": {"acme": 1}}, "tenants ("),
        ({"policy": {"rules": []}}, "policy ("),
    ],
    ids=["limits", "faults", "tenants", "policy"],
)
def test_other_conditions_are_refused_with_what_differs(changes: dict[str, Any], says: str) -> None:
    said = refusal(with_what(), with_what(**changes))
    assert said is not None
    assert says in said
    assert "Run the base again" in said
    assert impossible(with_what(), with_what(**changes)) is None  # it can be done anyway


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("replay", {"path": "tape"}),
        ("packs", ["slow"]),
        ("faultless", True),
        ("agents", 50),
        ("tenants", 4),
    ],
)
def test_other_settings_are_refused(name: str, value: Any) -> None:
    said = refusal(with_settings(), with_settings(**{name: value}))
    assert said is not None
    assert name in said


def test_more_repeats_or_another_seed_are_told_and_not_refused() -> None:
    base, now = with_settings(seed=1), with_settings(seed=2, concurrency=8)
    assert refusal(base, now) is None
    assert differences(base, now) == ["concurrency: nothing | 8", "seed: 1 | 2"]


def test_shared_services_matter_in_scenarios_alone() -> None:
    changes = {"services": [{"name": "memory", "partition": "tenant"}]}
    assert refusal(with_what(), with_what(**changes)) is None
    base, now = (
        a_sample(cases=2, repeats=1, scenarios=("burst",), what=WHAT | more)
        for more in ({}, changes)
    )
    assert "shared services" in str(refusal(base, now))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"suite": "shop"}, "a run of suite 'desk', this one of 'shop'"),
        ({"scenarios": ("burst",)}, "the base ran the plain plan, this run burst"),
        ({"cases": ["x", "y"]}, "the base has case_000, case_001, this run x, y"),
    ],
    ids=["suite", "scenario", "cases"],
)
def test_what_has_nothing_in_common_is_impossible(fields: dict[str, Any], says: str) -> None:
    base, now = a_sample(cases=2, repeats=1), a_sample(**{"cases": 2, "repeats": 1} | fields)
    for told in (impossible(base, now), refusal(base, now)):
        assert told is not None
        assert says in told


def test_long_values_are_cut() -> None:
    base, now = with_what(policy={"text": "x" * 500}), with_what(policy={"text": "y" * 500})
    assert all(len(line) < 200 for line in differences(base, now))
    assert len(str(refusal(base, now))) < 400
