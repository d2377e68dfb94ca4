"""What the checkers of faults come to, of runs of which we know how their agents took them."""

from __future__ import annotations

import pytest

from proofrig.checkers.checker import Checked
from specimens.struck_runs import BAD, DECLARED, RIGHT, Struck, judged, run_of

SEEDS = range(5)


def flagged(checked: dict[str, Checked]) -> list[str]:
    return [f"{finding.says}" for one in checked.values() for finding in one.findings]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", RIGHT)
def test_an_agent_that_takes_a_fault_right_is_not_flagged(shape: str, seed: int) -> None:
    assert flagged(judged(run_of(seed, [RIGHT[shape]]))) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_many_right_agents_at_once_are_not_flagged(seed: int) -> None:
    checked = judged(run_of(seed, [*RIGHT.values()] * 3))
    assert flagged(checked) == []
    about = ("duplicate_effects", "partial_as_complete")
    assert {checked[name].verdict for name in about} == {"valid"}, "something was looked at"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_wrong_agent_among_right_ones_is_flagged_by_its_calls(bad: Struck, seed: int) -> None:
    trials = run_of(seed, [RIGHT["looks_first"], RIGHT["says_so"], bad])
    name, kind = BAD[bad]
    checked = judged(trials)
    assert {one.checker for one in checked.values() if one.found} == {name}
    found = checked[name]
    assert found.kinds == {kind: 1}
    witness = {one.id for one in found.findings[0].witness}
    assert set(trials[-1].bad) <= witness, "the witness lacks calls that prove it"
    assert found.findings[0].trials == (trials[-1].name,)


def test_a_fault_that_never_fired_makes_its_check_unknown_and_is_named() -> None:
    trials = run_of(1, [RIGHT["looks_first"], RIGHT["says_so"], RIGHT["only_late"]])
    fired = judged(trials)["faults_fired"]
    assert fired.verdict == "unknown"
    assert "2 of 5 faults never fired: partial_response, rate_limit; raise" in fired.says
    assert fired.measures["struck:lost-answers"] == 1
    assert judged(trials, DECLARED[:2])["faults_fired"].verdict == "valid"
