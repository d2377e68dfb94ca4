"""What the checkers of any run come to, of runs of which we know how they are."""

from __future__ import annotations

import pytest

from proofrig.checkers.checker import Checked
from specimens.plain_runs import BAD, RIGHT, Shape, judged, run_of

SEEDS = range(5)


def flagged(checked: dict[str, Checked]) -> list[str]:
    return [f"{finding.says}" for one in checked.values() for finding in one.findings]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", RIGHT)
def test_a_run_that_is_right_is_not_flagged(shape: str, seed: int) -> None:
    assert flagged(judged(run_of(seed, [RIGHT[shape]]))) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_many_right_trials_at_once_are_not_flagged(seed: int) -> None:
    checked = judged(run_of(seed, [*RIGHT.values()] * 2))
    assert flagged(checked) == []
    verdicts = {name: one.verdict for name, one in checked.items()}
    assert verdicts.pop("signature_drift") == "unknown"
    for name in ("faults_fired", "duplicate_effects", "partial_as_complete"):
        assert verdicts.pop(name) == "unknown", "no fault was declared"
    assert set(verdicts.values()) == {"valid"}, "and every one of them had something to look at"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_bad_trial_among_right_ones_is_flagged_by_its_calls(bad: Shape, seed: int) -> None:
    trials = run_of(seed, [RIGHT["mixed"], RIGHT["batch"], bad])
    name, kind = BAD[bad]
    checked = judged(trials)
    assert {one.checker for one in checked.values() if one.found} == {name}
    found = checked[name]
    assert found.kinds == {kind: 1}
    witness = {one.id for one in found.findings[0].witness}
    assert witness & set(trials[-1].bad), "the witness has none of the calls that were wrong"
    assert found.findings[0].trials == (trials[-1].name,)
