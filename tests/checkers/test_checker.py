"""What all checkers share: findings with their witness, verdicts with their exposure."""

from __future__ import annotations

import pytest

from builders import action, entry
from proofrig.checkers.checker import (
    KEPT,
    Checked,
    Evidence,
    Finding,
    Findings,
    Verdict,
    began,
    conclude,
    ended,
    evidence,
    noted,
    worst,
)


@pytest.mark.parametrize(
    ("verdicts", "found"),
    [
        ([], "valid"),
        (["valid", "unknown", "valid"], "unknown"),
        (["unknown", "invalid", "valid"], "invalid"),
    ],
)
def test_the_worst_verdict_counts(verdicts: list[Verdict], found: Verdict) -> None:
    assert worst(verdicts) == found


def test_a_finding_shows_its_witness_in_the_order_of_time() -> None:
    findings = Findings()
    later = Evidence(9, "kv.put", "overwrote it", id="b", trial="t2", tenant="acme")
    first = Evidence(3, "kv.get", "read version 1", id="a", trial="t1", tenant="acme")
    findings.add("lost_update", "one was lost", [later, first, later])
    [finding] = findings.kept
    assert finding.witness == (first, later, later)
    assert (finding.trials, finding.tenants) == (("t1", "t2"), ("acme",))
    assert Finding("x", "y", (Evidence(0, "lag", "z"),)).trials == ()


def test_all_findings_are_counted_and_the_first_are_kept() -> None:
    findings = Findings()
    for number in range(KEPT + 5):
        findings.add("kind", f"finding {number}", [])
    assert (len(findings), len(findings.kept), findings.kept[-1].says) == (
        KEPT + 5,
        KEPT,
        f"finding {KEPT - 1}",
    )
    checked = conclude("c", findings, {"reads": 0}, wanted="reads")
    assert (checked.verdict, checked.found, checked.says) == ("invalid", KEPT + 5, "25 found")


@pytest.mark.parametrize("exposure", [{}, {"reads": 0}, {"writes": 5}])
def test_without_exposure_nothing_can_be_said(exposure: dict[str, int]) -> None:
    checked = conclude("c", Findings(), exposure, wanted="reads", says="all is well")
    assert checked == Checked(
        "c", "unknown", "no reads were seen, so nothing can be said", exposure=exposure
    )


def test_a_pass_says_how_often_it_could_have_failed() -> None:
    checked = conclude("c", Findings(), {"reads": 1200}, wanted="reads", measures={"a_ms": 1.0})
    assert (checked.verdict, checked.says) == ("valid", "none in 1,200 reads")
    assert (checked.exposure, checked.measures) == ({"reads": 1200}, {"a_ms": 1.0})


def test_an_action_is_evidence_at_its_end_or_its_beginning() -> None:
    whole, open_ = action("kv.put", id="a"), action("kv.put", id="b", outcome=None)
    assert (began(whole), ended(whole), ended(open_)) == (0, 2, -1)
    assert evidence(whole, "wrote") == Evidence(2, "kv.put", "wrote", "a", "case:0", "acme")
    assert evidence(whole, "asked", at_end=False).t == 0
    assert evidence(open_, "never ended").t == 0


def test_a_note_is_evidence_too() -> None:
    found = noted(entry("note", "kill", t=5, point="after_ack"), "was killed")
    assert found == Evidence(5, "kill", "was killed", "", "case:0", "acme")
