"""Failure classes: one table, every row."""

from __future__ import annotations

import pytest

from proofrig.history.action import Action, Entry
from proofrig.sandboxes.sandbox import Ended, Limit, Limits, Usage
from proofrig.trials.failure import (
    MEASURED,
    RULES,
    Facts,
    broken,
    classify,
    limited,
    overall,
    suite_mistake,
    unresolved_infra,
)
from proofrig.verifiers.verifier import Verdict


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(passed=True), ""),
        (Facts(passed=True, ending="error"), ""),
        (Facts(passed=True, infra_unresolved=True, limited=True), ""),
        (Facts(passed=False), "agent"),
        (Facts(passed=False, ending="error"), "agent"),
        (Facts(passed=None, ending="killed"), "agent"),
        (Facts(passed=False, ending="timeout"), "timeout"),
        (Facts(passed=False, limited=True, ending="error"), "limit"),
        (Facts(passed=False, limited=True, infra_unresolved=True), "limit"),
        (Facts(passed=False, infra_unresolved=True, ending="timeout"), "infra"),
        (Facts(passed=False, misconfigured=True, limited=True, ending="error"), "harness"),
        (Facts(passed=True, misconfigured=True), ""),
        (Facts(infra_error=True), "infra"),
        (Facts(passed=True, infra_error=True), "infra"),
        (Facts(passed=True, harness_error=True), "harness"),
        (Facts(passed=None), "harness"),
        (Facts(passed=None, unfired=True), "unfired"),
        (Facts(passed=None, unfired=True, limited=True, ending="error"), "unfired"),
        (Facts(passed=True, unfired=True), ""),
        (Facts(passed=False, unfired=True), "agent"),
        (Facts(passed=True, diverged=True), "diverged"),
        (Facts(passed=False, diverged=True, ending="timeout"), "diverged"),
        (Facts(infra_error=True, diverged=True), "infra"),
        (Facts(passed=True, broke=("memory",)), ""),
        (Facts(passed=False, broke=("memory",), ending="error"), "limit"),
        (Facts(passed=None, broke=("egress",), infra_unresolved=True), "limit"),
        (Facts(passed=False, broke=("cpu", "wall"), ending="timeout"), "limit"),
        (Facts(passed=False, broke=("wall",), ending="timeout"), "timeout"),
        (Facts(passed=False, broke=("memory",), misconfigured=True), "harness"),
        (Facts(broke=("memory",), infra_error=True), "infra"),
        (Facts(passed=False, ending="killed"), "agent"),
    ],
)
def test_class(facts: Facts, expected: str) -> None:
    assert classify(facts) == expected


def test_every_row_is_reachable_and_what_is_nobodys_fault_leaves_the_denominator() -> None:
    assert {name for name, _ in RULES} - MEASURED == {"infra", "harness", "unfired"}


def test_verdicts_as_one() -> None:
    passed, failed, unmeasured = (Verdict("v", outcome) for outcome in (True, False, None))
    assert overall([passed, passed]) is True
    assert overall([passed, failed, unmeasured]) is False
    assert overall([passed, unmeasured]) is None
    assert overall([]) is None


def action(name: str, **attrs: object) -> Action:
    end = Entry(0, 0, "commit", name, id="x", attrs=attrs)
    return Action(id="x", name=name, trial="", tenant="", scope="", end=end)


def test_infra_trouble_that_a_retry_made_good_does_not_count() -> None:
    trouble, fine = action("llm.messages", infra=True), action("llm.messages")
    assert unresolved_infra([trouble])
    assert not unresolved_infra([trouble, fine])
    assert unresolved_infra([fine, trouble])
    assert unresolved_infra([trouble, action("tool.x")])


def refused(name: str, code: str, fix: str = "") -> Action:
    attrs = {"decision": "deny", "code": code, "fix": fix}
    reserve = Entry(0, 0, "reserve", name, id="x", attrs=attrs)
    return Action(id="x", name=name, trial="", tenant="", scope="", reserve=reserve)


def test_a_limit_that_the_agent_got_past_does_not_count() -> None:
    denied, fine = refused("llm.messages", "budget_exceeded"), action("llm.messages")
    assert limited([denied])
    assert limited([fine, denied])
    assert not limited([denied, fine])
    assert limited([fine, refused("tool.x", "budget_exceeded"), fine])


def test_what_was_cut_at_the_bytes_of_its_trial_met_a_limit() -> None:
    cut, fine = action("egress.get", blocked="byte_cap"), action("egress.get")
    assert limited([cut])
    assert not limited([cut, fine])


def test_a_model_without_a_price_and_a_simulated_one_that_raised_are_mistakes_of_the_suite() -> (
    None
):
    unknown = refused("llm.messages", "price_unknown", "no price for model 'm': add it")
    raised = action("llm.messages", status=500, harness=True, error="ValueError: no")
    fine, budget = action("llm.messages"), refused("llm.messages", "budget_exceeded", "raise it")
    assert suite_mistake([fine, unknown]) == "no price for model 'm': add it"
    assert suite_mistake([raised]) == "ValueError: no"
    assert suite_mistake([unknown, fine]) == suite_mistake([budget]) == suite_mistake([]) == ""
    assert not limited([unknown])
    assert not unresolved_infra([raised])


def test_a_request_that_nobody_could_read_is_no_limit() -> None:
    assert not limited([refused("llm.messages", "invalid_request")])


def test_a_declared_rate_limit_is_a_limit_and_that_of_a_real_provider_is_infra() -> None:
    for status in (429, 529):
        declared = action("llm.messages", outcome="fail", status=status)
        real = action("llm.messages", outcome="fail", status=status, infra=True)
        assert (limited([declared]), unresolved_infra([declared])) == (True, False)
        assert (limited([real]), unresolved_infra([real])) == (False, True)


@pytest.mark.parametrize(
    ("code", "blocked"),
    [
        *(("limit_tools", ""), ("limit_retries", ""), ("limit_context", "")),
        ("limit_egress", "limit_egress"),
    ],
)
def test_a_call_that_a_limit_denied_counts_as_one(code: str, blocked: str) -> None:
    attrs = {"decision": "deny", "code": code} | ({"blocked": blocked} if blocked else {})
    reserve = Entry(0, 0, "reserve", "tool.x", id="x", attrs=attrs)
    denied = Action(id="x", name="tool.x", trial="", tenant="", scope="", reserve=reserve)
    assert limited([denied])
    assert not limited([denied, action("tool.x")])


def test_a_transfer_that_was_cut_counts_as_one() -> None:
    assert limited([action("egress.connect", blocked="limit_egress")])


MB = 1_000_000


@pytest.mark.parametrize(
    ("broke", "limits", "usage", "says"),
    [
        ((), Limits(memory_bytes=MB), Usage(), ""),
        (("wall",), Limits(), Usage(), ""),
        (
            ("memory",),
            Limits(memory_bytes=512 * MB),
            Usage(oom_kills=2, memory_peak_bytes=512 * MB),
            "limit: memory (512 MB): 2 processes were killed; peak 512 MB",
        ),
        (
            ("memory",),
            Limits(memory_bytes=MB * 3 // 2),
            Usage(oom_kills=1),
            "limit: memory (1.5 MB): 1 process was killed",
        ),
        (("cpu",), Limits(cpu_ms=1500), Usage(cpu_ms=1510), "limit: cpu (1.5 s): 1.51 s were used"),
        (
            ("processes", "disk"),
            Limits(processes=64, disk_bytes=1000 * MB),
            Usage(processes_peak=64, processes_refused=47, disk_bytes=999 * MB),
            "limit: processes (64): 47 starts were refused; peak 64; "
            "disk (1,000 MB): 999 MB at the end",
        ),
        (
            ("open_files",),
            Limits(open_files=256),
            Usage(),
            "limit: open files (256): it was used up",
        ),
        (
            ("egress", "wall"),
            Limits(egress_bytes=10 * MB),
            Usage(bytes_out=10 * MB),
            "limit: egress (10 MB): 10 MB were sent",
        ),
        (("egress",), Limits(), Usage(), "limit: egress: it was used up"),
    ],
)
def test_broken_limits_in_words(
    broke: tuple[Limit, ...], limits: Limits, usage: Usage, says: str
) -> None:
    ended = Ended("namespace", "enforced", broke=broke, usage=usage)
    assert broken(ended, limits) == says
