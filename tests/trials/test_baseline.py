"""The null and the reference agent run next to the agent, once per case."""

from __future__ import annotations

from pathlib import Path

from end_to_end.suites import case, write_suite
from proofrig.trials.baseline import baselines, role_of


def test_one_null_trial_a_case_and_a_reference_where_there_is_one(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, [case("a", reference={"answer": "42"}), case("b")], repeats=3)
    planned = list(baselines(suite))
    assert [p.trial for p in planned] == ["a:null", "b:null", "a:reference"]
    assert [role_of(p) for p in planned] == ["null", "null", "reference"]
    assert {role_of(p) for p in suite.plan()} == {"subject"}
