"""What is asked of a run: gates of the suite, of its lane, and beside it; terms; the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proofrig.baselining import keep
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.errors import UsageError
from proofrig.gating import asked_of
from proofrig.suites import Suite
from proofrig.trials.manifest import Manifest


@dataclass
class Given:
    root: Path
    baseline: str = ""
    gates: tuple[str, ...] = ()

    def store_url(self) -> str:
        return f"sqlite:///{self.root}/store.db"


def suite(**more: Any) -> Suite:
    return Suite.model_validate(
        {"suite": "desk", "agent": {"type": "python", "target": "a:b"}, "cases": []} | more
    )


def manifest(**more: Any) -> Manifest:
    return Manifest(
        run="now",
        started_ns=2,
        suite="desk",
        suite_path="",
        repeats=1,
        concurrency=1,
        seed=0,
        **more,
    )


def keep_one(given: Given) -> None:
    trials = [TrialSample(case="a", passed=True)]
    sample = Sample(suite="desk", suite_digest="d", runs=["old"], cases={"a": "1"}, trials=trials)
    keep(sample, "main", given.store_url(), 1, pinned=True)


def test_gates_come_from_the_suite_its_lane_and_the_command(tmp_path: Path) -> None:
    lanes = {"pr": {"gates": ["infra_rate <= 1 %"]}, "nightly": {"gates": ["denied == 0"]}}
    asked = asked_of(
        suite(gates=["accuracy >= 90 %"], lanes=lanes),
        manifest(lane="pr", gates=["flaky_rate <= 10 %"]),
        Given(tmp_path),
    )
    assert [gate.rule for gate in asked.gates] == [
        *("accuracy >= 90 %", "infra_rate <= 1 %", "flaky_rate <= 10 %")
    ]
    assert (asked.ref, asked.base) == (None, None)
    twice = Given(tmp_path, gates=("accuracy >= 90 %", "denied == 0", "denied == 0"))
    asked = asked_of(suite(gates=["accuracy >= 90 %"]), manifest(), twice)
    assert [gate.rule for gate in asked.gates] == ["accuracy >= 90 %", "denied == 0"]
    assert not (tmp_path / "store.db").exists(), "nothing asks for a baseline"


@pytest.mark.parametrize(
    ("gates", "ref", "rules"),
    [
        ((), "main", ["no regression of accuracy"]),
        (({"regression": "tokens"},), "main", ["no regression of tokens"]),
        (({"regression": "accuracy"},), "", ["no regression of accuracy"]),
        (("accuracy >= baseline",), "", ["accuracy >= baseline"]),
    ],
)
def test_a_baseline_is_found_where_one_is_asked_for(
    tmp_path: Path, gates: Any, ref: str, rules: list[str]
) -> None:
    given = Given(tmp_path, baseline=ref)
    keep_one(given)
    asked = asked_of(suite(gates=gates), manifest(), given)
    assert [gate.rule for gate in asked.gates] == rules
    assert asked.base is not None and asked.base.runs == ["old"]
    assert asked.ref == ref


def test_a_branch_without_a_baseline_has_none_and_a_name_of_nothing_is_refused(
    tmp_path: Path,
) -> None:
    gated = suite(gates=[{"regression": "accuracy"}])
    asked = asked_of(gated, manifest(), Given(tmp_path))
    assert (asked.ref, asked.base) == ("", None)
    assert asked.lack.startswith("there is no baseline of desk on main yet")
    named = asked_of(suite(), manifest(), Given(tmp_path, baseline="main"))
    assert [gate.rule for gate in named.gates] == ["no regression of accuracy"]
    assert (named.base, named.lack) == (None, asked.lack), "the suite's own branch is no mistake"
    with pytest.raises(UsageError, match="nowhere"):
        asked_of(gated, manifest(), Given(tmp_path, baseline="nowhere"))


def test_terms_are_the_baselines_with_what_gates_say(tmp_path: Path) -> None:
    gated = suite(
        baseline={"alpha": "1 %", "cases": "sampled", "margin": 0.1},
        gates=[
            {"regression": "accuracy", "min_effect": "2 %"},
            {"regression": "tokens", "min_effect": "10 %"},
            {"regression": "cost"},
        ],
    )
    terms = asked_of(gated, manifest(), Given(tmp_path)).terms
    assert (terms.alpha, terms.cases, terms.margin, terms.min_effect) == (
        0.01,
        "sampled",
        0.1,
        0.02,
    )
    assert terms.metrics == {"tokens": 0.1, "cost": 0.05}
